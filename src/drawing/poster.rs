//! What does a seller paste over a picture? A banner, a price tag, selling points.

use super::brush::{Brush, everywhere};
use super::ink::{Ink, Tint};
use super::lettering::{width, write, write_centred};
use super::outline::Outline;

/// The words on a poster.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) headline: String,
    pub(crate) line: String,
    pub(crate) points: [String; 3],
    pub(crate) price: String,
    pub(crate) layout: usize,
    pub(crate) colour: Tint,
}

pub(crate) const HEADLINES: [&str; 6] =
    ["年终大促", "新品上市", "厂家直销", "限时特惠", "爆款热卖", "品质之选"];
pub(crate) const LINES: [&str; 6] =
    ["全场低至五折", "买二送一", "当天发货", "支持定制", "七天无理由", "满百包邮"];
pub(crate) const POINTS: [&str; 8] =
    ["优质材料", "精工细作", "现货秒发", "破损包赔", "来图定制", "安全环保", "多色可选", "支持退换"];

pub(crate) const COLOURS: [Tint; 5] = [
    Tint::rgb(214, 48, 49),
    Tint::rgb(9, 104, 178),
    Tint::rgb(16, 134, 96),
    Tint::rgb(226, 112, 28),
    Tint::rgb(112, 66, 168),
];

const YELLOW: Tint = Tint::rgb(255, 226, 70);

/// What lies behind the goods.
pub(crate) fn backdrop(brush: &mut Brush, copy: &Copy) {
    let c = copy.colour;
    brush.fill(&everywhere(), Ink::down(0.0, 1000.0, &[(0.0, c.lighter(0.86)), (1.0, c.lighter(0.55))]));
    match copy.layout {
        0 => {
            brush.fill(&Outline::oval(600.0, 560.0, 330.0, 330.0), Tint::WHITE.alpha(0.75));
            brush.line(&Outline::oval(600.0, 560.0, 362.0, 362.0), 8.0, c.lighter(0.3));
        }
        1 => {
            for i in 0_u8..16 {
                let angle = f32::from(i) * std::f32::consts::TAU / 16.0;
                let ray = |turn: f32| {
                    (600.0 + (angle + turn).cos() * 1500.0, 540.0 + (angle + turn).sin() * 1500.0)
                };
                let (a, b) = (ray(-0.1), ray(0.1));
                brush.fill(&Outline::polygon(&[(600.0, 540.0), a, b]), Tint::WHITE.alpha(0.4));
            }
        }
        _ => brush.fill(
            &Outline::polygon(&[(-500.0, 1500.0), (-500.0, 640.0), (1500.0, 380.0), (1500.0, 1500.0)]),
            c.lighter(0.35),
        ),
    }
}

/// What lies over the goods.
pub(crate) fn overlay(brush: &mut Brush, copy: &Copy) {
    let c = copy.colour;
    let dark = c.darker(0.25);
    match copy.layout {
        0 => {
            brush.fill(
                &Outline::rect(-500.0, 0.0, 2000.0, 170.0),
                Ink::across(0.0, 1000.0, &[(0.0, dark), (1.0, c)]),
            );
            write(brush, &copy.headline, (44.0, 118.0), fit(&copy.headline, 96.0, 620.0), Tint::WHITE);
            write(brush, &copy.line, (690.0, 108.0), fit(&copy.line, 50.0, 280.0), YELLOW);
        }
        1 => {
            write_centred(
                brush,
                &copy.headline,
                (506.0, 136.0),
                fit(&copy.headline, 118.0, 900.0),
                Tint::WHITE.alpha(0.9),
            );
            write_centred(brush, &copy.headline, (500.0, 130.0), fit(&copy.headline, 118.0, 900.0), dark);
            let w = width(&copy.line, 46.0) + 60.0;
            brush.fill(&Outline::round_rect(500.0 - w / 2.0, 160.0, w, 68.0, 34.0), c);
            write_centred(brush, &copy.line, (500.0, 211.0), 46.0, Tint::WHITE);
        }
        _ => {
            brush.fill(&Outline::polygon(&[(0.0, 0.0), (430.0, 0.0), (250.0, 300.0), (0.0, 300.0)]), dark);
            write(brush, &copy.line, (30.0, 80.0), fit(&copy.line, 48.0, 330.0), YELLOW);
            let (first, rest) = halves(&copy.headline);
            write(brush, first, (30.0, 170.0), fit(first, 82.0, 290.0), Tint::WHITE);
            write(brush, rest, (30.0, 262.0), fit(rest, 82.0, 235.0), Tint::WHITE);
        }
    }
    for (i, point) in copy.points.iter().enumerate() {
        let y = 330.0 + i as f32 * 128.0;
        brush.fill(&Outline::oval(92.0, y + 40.0, 40.0, 40.0), c);
        let tick = Outline::at(74.0, y + 42.0).to(88.0, y + 56.0).to(112.0, y + 26.0);
        brush.line(&tick, 10.0, Tint::WHITE);
        write(brush, point, (146.0, y + 56.0), 44.0, dark);
    }
    price_tag(brush, copy);
}

fn price_tag(brush: &mut Brush, copy: &Copy) {
    let red = Tint::rgb(222, 36, 40);
    if copy.layout == 1 {
        brush.fill(&Outline::star(820.0, 830.0, 168.0, 140.0, 18), red);
        write_centred(brush, "批发价", (820.0, 800.0), 48.0, Tint::WHITE);
        let price = format!("¥{}", copy.price);
        write_centred(brush, &price, (820.0, 882.0), fit(&price, 84.0, 250.0), YELLOW);
    } else {
        brush.fill(
            &Outline::rect(-500.0, 850.0, 2000.0, 150.0),
            Ink::across(0.0, 1000.0, &[(0.0, red), (1.0, Tint::rgb(250, 100, 40))]),
        );
        write(brush, "批发价", (44.0, 944.0), 56.0, Tint::WHITE);
        write(brush, &format!("¥{}", copy.price), (236.0, 958.0), 104.0, YELLOW);
        write(brush, "一件代发 包邮", (630.0, 944.0), 52.0, Tint::WHITE);
    }
}

/// `size`, or what makes `text` no wider than `room`.
fn fit(text: &str, size: f32, room: f32) -> f32 {
    let wide = width(text, size);
    if wide > room { size * room / wide } else { size }
}

fn halves(text: &str) -> (&str, &str) {
    let middle = text.chars().count().div_ceil(2);
    let at = text.char_indices().nth(middle).map_or(text.len(), |(i, _)| i);
    text.split_at(at)
}
