//! How do T-shirts, caps and sneakers look?

use super::Look;
use crate::drawing::{Brush, Ink, Outline, Tint};

pub(super) fn tshirt(brush: &mut Brush, look: &Look) {
    let [wide, long, sleeve, trim] = look.shape;
    let cx = 500.0;
    let (half, hem) = (205.0 + 35.0 * wide, 800.0 + 70.0 * long);
    let (cuff_x, cuff_y) = (385.0 + 30.0 * sleeve, 430.0 + 60.0 * sleeve);
    let half_shirt = |m: f32| {
        [
            (cx + m * 95.0, 170.0),
            (cx + m * 255.0, 225.0),
            (cx + m * cuff_x, cuff_y),
            (cx + m * (cuff_x - 105.0), cuff_y + 65.0),
        ]
    };
    let [neck_r, shoulder_r, cuff_r, under_r] = half_shirt(1.0);
    let [neck_l, shoulder_l, cuff_l, under_l] = half_shirt(-1.0);
    let shirt = Outline::at(neck_l.0, neck_l.1)
        .bend(cx, 265.0, neck_r.0, neck_r.1)
        .to(shoulder_r.0, shoulder_r.1)
        .bend(cx + 330.0, 290.0, cuff_r.0, cuff_r.1)
        .to(under_r.0, under_r.1)
        .bend(cx + half + 15.0, 410.0, cx + half, 440.0)
        .bend(cx + half - 14.0, 640.0, cx + half + 6.0, hem)
        .bend(cx, hem + 26.0, cx - half - 6.0, hem)
        .bend(cx - half + 14.0, 640.0, cx - half, 440.0)
        .bend(cx - half - 15.0, 410.0, under_l.0, under_l.1)
        .to(cuff_l.0, cuff_l.1)
        .bend(cx - 330.0, 290.0, shoulder_l.0, shoulder_l.1)
        .close();
    let c = look.base;
    brush.fill(&Outline::oval(cx, 190.0, 92.0, 40.0), c.darker(0.42));
    brush.fill(
        &shirt,
        Ink::across(130.0, 870.0, &[(0.0, c.darker(0.12)), (0.35, c.lighter(0.06)), (1.0, c.darker(0.16))]),
    );
    brush.within(&shirt, |b| {
        if look.print == super::prints::Print::Stripes {
            look.print.draw(b, (cx, 520.0), 230.0, look.accent, look.second);
        } else if !look.turned {
            look.print.draw(b, (cx, 470.0), 118.0, look.accent, look.second);
        }
        if trim > 0.5 {
            for (cuff, under) in [(cuff_l, under_l), (cuff_r, under_r)] {
                b.line(&Outline::at(cuff.0, cuff.1).to(under.0, under.1), 44.0, look.accent);
            }
        }
        b.soft(10.0, |s| {
            let dark = Tint::BLACK.alpha(0.22);
            for side in [-1.0_f32, 1.0] {
                let arm = Outline::sweep(&[
                    (cx + side * 225.0, 240.0),
                    (cx + side * 212.0, 340.0),
                    (cx + side * half, 450.0),
                ]);
                s.line(&arm, 12.0, dark);
                let fold = [
                    (cx + side * (half - 10.0), 480.0),
                    (cx + side * 110.0, 560.0),
                    (cx + side * 70.0, 640.0),
                ];
                s.line(&Outline::sweep(&fold), 11.0, dark.alpha(0.13));
                let low = [
                    (cx + side * (half - 4.0), hem - 120.0),
                    (cx + side * 90.0, hem - 90.0),
                    (cx + side * 40.0, hem - 10.0),
                ];
                s.line(&Outline::sweep(&low), 14.0, dark.alpha(0.14));
            }
            s.line(
                &Outline::sweep(&[(cx - 40.0, 560.0), (cx - 10.0, 700.0), (cx + 20.0, hem)]),
                16.0,
                Tint::WHITE.alpha(0.18),
            );
        });
        b.stitch(
            &Outline::at(cx - half, hem - 22.0).bend(cx, hem + 4.0, cx + half, hem - 22.0),
            3.0,
            9.0,
            c.darker(0.35),
        );
    });
    let rib = if trim > 0.5 { look.accent } else { c.darker(0.14) };
    match look.detail {
        0 => brush.line(&Outline::at(neck_l.0, neck_l.1).bend(cx, 265.0, neck_r.0, neck_r.1), 24.0, rib),
        1 => {
            let vee = Outline::at(neck_l.0, neck_l.1).to(cx, 300.0).to(neck_r.0, neck_r.1);
            brush.fill(&vee.clone().close(), c.darker(0.42));
            brush.line(&vee, 22.0, rib);
        }
        _ => {
            for side in [-1.0_f32, 1.0] {
                let wing = [
                    (cx + side * 95.0, 165.0),
                    (cx + side * 6.0, 235.0),
                    (cx + side * 70.0, 305.0),
                    (cx + side * 135.0, 205.0),
                ];
                brush.fill(&Outline::polygon(&wing), rib.lighter(0.06));
                brush.line(&Outline::polygon(&wing), 4.0, rib.darker(0.3));
            }
            brush.line(&Outline::at(cx, 250.0).to(cx, 370.0), 3.0, c.darker(0.4));
            for y in [285.0, 335.0] {
                brush.fill(&Outline::oval(cx, y, 9.0, 9.0), Tint::rgb(240, 238, 230));
            }
        }
    }
}

pub(super) fn cap(brush: &mut Brush, look: &Look) {
    let [wide, tall, brim, trim] = look.shape;
    let (cx, base) = (540.0, 600.0);
    let (half, top) = (250.0 + 30.0 * wide, 300.0 - 50.0 * tall);
    let c = look.base;
    let peak_colour = if trim > 0.5 { look.accent } else { c };
    let crown = Outline::at(cx - half, base)
        .curve((cx - half - 10.0, top + 90.0), (cx - half * 0.55, top), (cx, top))
        .curve((cx + half * 0.6, top), (cx + half + 5.0, top + 110.0), (cx + half, base + 10.0))
        .bend(cx, base + 70.0, cx - half, base)
        .close();
    brush.fill(&crown, Ink::ball(cx, (top + base) / 2.0, half, c));
    brush.within(&crown, |b| {
        b.soft(8.0, |s| {
            for (x, pull) in [(-0.62, -0.45), (0.1, 0.06), (0.72, 0.55)] {
                let seam =
                    Outline::at(cx, top).bend(cx + half * pull * 1.5, top + 90.0, cx + half * x, base + 60.0);
                s.line(&seam, 9.0, Tint::BLACK.alpha(0.35));
            }
        });
        for (x, pull) in [(-0.62, -0.45), (0.72, 0.55)] {
            let seam = Outline::at(cx + 8.0, top).bend(
                cx + half * pull * 1.5 + 8.0,
                top + 90.0,
                cx + half * x + 8.0,
                base + 60.0,
            );
            b.stitch(&seam, 3.0, 9.0, c.lighter(0.3));
        }
        let at = (if look.turned { cx + half * 0.75 } else { cx - 55.0 }, (top + base) / 2.0 + 45.0);
        look.print.draw(b, at, 82.0, look.accent_on(c), look.second);
    });
    brush.fill(&Outline::oval(cx, top + 2.0, 26.0, 15.0), peak_colour.darker(0.2));
    let reach = 150.0 + 70.0 * brim;
    let peak = Outline::at(cx - half + 6.0, base - 8.0)
        .bend(cx - half * 0.2, base + 64.0, cx + half * 0.62, base + 44.0)
        .curve(
            (cx + half * 0.3, base + reach),
            (cx - half * 0.9, base + reach * 0.95),
            (cx - half - 90.0, base + reach * 0.55),
        )
        .curve(
            (cx - half - 90.0, base + 20.0),
            (cx - half - 20.0, base - 20.0),
            (cx - half + 6.0, base - 8.0),
        )
        .close();
    brush.fill(
        &peak,
        Ink::down(
            base - 20.0,
            base + reach,
            &[(0.0, peak_colour.darker(0.35)), (0.35, peak_colour), (1.0, peak_colour.darker(0.25))],
        ),
    );
    for row in 1_u8..=4 {
        let off = f32::from(row) * reach * 0.15;
        let seam = Outline::at(cx - half - 30.0, base + off * 0.8 + 12.0).bend(
            cx - half * 0.2,
            base + off + 75.0,
            cx + half * 0.42,
            base + off * 0.7 + 48.0,
        );
        brush.within(&peak, |b| b.stitch(&seam, 3.0, 8.0, peak_colour.darker(0.4)));
    }
    match look.detail {
        0 => {}
        1 => brush.line(
            &Outline::at(cx - half + 14.0, base - 24.0).bend(cx, base + 44.0, cx + half - 10.0, base - 14.0),
            26.0,
            look.accent,
        ),
        _ => {
            for (x, y) in [(-0.5, 0.45), (0.45, 0.4), (0.62, 0.55)] {
                let (ex, ey) = (cx + half * x, top + (base - top) * y);
                brush.line(&Outline::oval(ex, ey, 12.0, 13.0), 7.0, c.lighter(0.45));
                brush.fill(&Outline::oval(ex, ey, 9.0, 10.0), Tint::rgb(24, 24, 26));
            }
        }
    }
}

pub(super) fn sneaker(brush: &mut Brush, look: &Look) {
    let [long, high, thick, toe] = look.shape;
    let c = look.base;
    let (heel, tip) = (830.0, 150.0 - 30.0 * long);
    let ankle = 400.0 - 90.0 * high - if look.detail == 1 { 70.0 } else { 0.0 };
    let sole = 690.0;
    let upper = Outline::at(heel - 10.0, sole + 10.0)
        .curve((heel + 22.0, 600.0), (heel - 14.0, 500.0), (heel + 4.0, ankle - 20.0))
        .bend(heel - 40.0, ankle - 35.0, heel - 70.0, ankle + 5.0)
        .curve((heel - 130.0, ankle + 66.0), (heel - 190.0, ankle + 40.0), (heel - 235.0, ankle - 26.0))
        .bend(heel - 270.0, ankle - 30.0, heel - 290.0, ankle + 20.0)
        .curve((heel - 360.0, 520.0), (tip + 190.0, 545.0), (tip + 90.0, 580.0))
        .curve((tip + 20.0, 605.0), (tip - 5.0, 660.0), (tip + 12.0, sole + 10.0))
        .close();
    brush.fill(&upper, Ink::down(ankle, sole, &[(0.0, c.lighter(0.14)), (0.55, c), (1.0, c.darker(0.32))]));
    brush.within(&upper, |b| {
        if toe > 0.45 {
            let cap = Outline::oval(tip + 40.0, sole - 6.0, 150.0, 118.0);
            b.fill(&cap, Ink::ball(tip + 60.0, 640.0, 150.0, look.second));
            b.stitch(&cap, 3.0, 9.0, look.second.darker(0.4));
        }
        let counter = Outline::at(heel + 40.0, 505.0)
            .bend(heel - 110.0, 530.0, heel - 140.0, sole + 20.0)
            .to(heel + 40.0, sole + 20.0)
            .close();
        b.fill(&counter, look.accent.mix(c, 0.25));
        b.stitch(&counter, 3.0, 9.0, c.darker(0.4));
        let eyestay = Outline::polygon(&[
            (heel - 300.0, ankle),
            (heel - 225.0, ankle + 10.0),
            (tip + 245.0, 600.0),
            (tip + 180.0, 550.0),
        ]);
        b.fill(&eyestay, c.darker(0.16));
        match look.print {
            super::prints::Print::Plain => {}
            super::prints::Print::Stripes => {
                for i in 0_u8..3 {
                    let x = 470.0 + f32::from(i) * 62.0;
                    b.line(&Outline::at(x + 55.0, 525.0).to(x, sole), 24.0, look.accent);
                }
            }
            super::prints::Print::Zigzag | super::prints::Print::Peaks => {
                let wave = Outline::at(heel - 40.0, 520.0)
                    .curve((640.0, 700.0), (430.0, 680.0), (400.0, 600.0))
                    .curve((440.0, 640.0), (600.0, 620.0), (heel - 40.0, 520.0))
                    .close();
                b.fill(&wave, look.accent);
            }
            other => other.draw(b, (565.0, 605.0), 56.0, look.accent, look.second),
        }
        b.soft(12.0, |s| {
            s.line(
                &Outline::sweep(&[(tip + 60.0, 625.0), (tip + 190.0, 575.0), (tip + 290.0, 560.0)]),
                18.0,
                Tint::WHITE.alpha(0.35),
            );
            s.fill(&Outline::rect(0.0, sole - 26.0, 1000.0, 60.0), Tint::BLACK.alpha(0.3));
        });
    });
    let collar = Outline::at(heel - 2.0, ankle - 12.0).curve(
        (heel - 60.0, ankle + 60.0),
        (heel - 190.0, ankle + 70.0),
        (heel - 240.0, ankle - 16.0),
    );
    brush.line(&collar, 20.0, c.darker(0.35));
    for i in 0_u8..5 {
        let t = f32::from(i) / 4.0;
        let (x, y) =
            (heel - 292.0 + (tip + 215.0 - heel + 292.0) * t, ankle + 30.0 + (556.0 - ankle - 30.0) * t);
        let lace = Outline::at(x - 18.0, y + 6.0).bend(x + 22.0, y - 22.0, x + 56.0, y + 26.0);
        brush.line(&lace, 17.0, Tint::BLACK.alpha(0.3));
        brush.line(&lace, 12.0, look.lace());
    }
    let depth = 52.0 + 40.0 * thick;
    let midsole = Outline::at(tip - 6.0, sole - 22.0)
        .bend(tip + 200.0, sole + 10.0, 520.0, sole - 8.0)
        .bend(700.0, sole - 18.0, heel + 14.0, sole - 34.0)
        .bend(heel + 34.0, sole + depth, heel - 20.0, sole + depth)
        .to(tip + 60.0, sole + depth)
        .bend(tip - 30.0, sole + depth - 10.0, tip - 6.0, sole - 22.0)
        .close();
    let rubber = look.second.mix(Tint::rgb(244, 242, 236), 0.8);
    brush.fill(
        &midsole,
        Ink::down(
            sole - 30.0,
            sole + depth,
            &[(0.0, rubber), (0.7, rubber.darker(0.1)), (1.0, rubber.darker(0.34))],
        ),
    );
    brush.within(&midsole, |b| {
        b.line(
            &Outline::at(tip - 20.0, sole + depth * 0.45).bend(
                500.0,
                sole + depth * 0.62,
                heel + 30.0,
                sole + depth * 0.3,
            ),
            7.0,
            look.accent,
        );
        b.fill(&Outline::rect(0.0, sole + depth - 15.0, 1000.0, 30.0), look.accent.darker(0.35));
    });
}
