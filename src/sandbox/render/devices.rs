//! How do watches, headphones and phone cases look?

use super::Look;
use crate::drawing::{Brush, Ink, Outline, Tint};

const STEEL: Tint = Tint::rgb(190, 194, 200);
const DARK: Tint = Tint::rgb(30, 31, 35);

pub(super) fn watch(brush: &mut Brush, look: &Look) {
    let [wide, strap_wide, pale_dial, gold] = look.shape;
    let (cx, cy) = (500.0, 500.0);
    let r = 185.0 + 35.0 * wide;
    let strap = r * (0.50 + 0.16 * strap_wide);
    let c = look.base;
    let metal = if gold > 0.6 { Tint::rgb(214, 176, 104) } else { STEEL };
    for (y0, y1, narrow) in [(cy - r * 0.6, 60.0, 0.86), (cy + r * 0.6, 940.0, 0.80)] {
        let band = Outline::at(cx - strap, y0)
            .bend(cx - strap * 0.98, y1, cx - strap * narrow + 40.0, y1)
            .to(cx + strap * narrow - 40.0, y1)
            .bend(cx + strap * 0.98, y1, cx + strap, y0)
            .close();
        brush.fill(
            &band,
            Ink::across(
                cx - strap,
                cx + strap,
                &[(0.0, c.darker(0.36)), (0.16, c.lighter(0.10)), (0.6, c), (1.0, c.darker(0.40))],
            ),
        );
        brush.within(&band, |b| {
            look.print.draw(b, (cx, f32::midpoint(y0, y1)), strap * 0.45, look.accent, look.second);
            for side in [-1.0_f32, 1.0] {
                b.stitch(
                    &Outline::at(cx + side * strap * 0.82, y0).to(cx + side * strap * narrow * 0.76, y1),
                    4.0,
                    12.0,
                    c.lighter(0.45),
                );
            }
        });
    }
    for i in 0_u8..4 {
        brush.fill(&Outline::oval(cx, 760.0 + f32::from(i) * 42.0, 9.0, 7.0), c.darker(0.6));
    }
    let rim = Ink::Linear {
        from: (cx - r, cy - r),
        to: (cx + r, cy + r),
        stops: vec![
            (0.0, metal.lighter(0.7)),
            (0.3, metal),
            (0.5, metal.darker(0.35)),
            (0.7, metal.lighter(0.3)),
            (1.0, metal.darker(0.4)),
        ],
    };
    brush.fill(&Outline::round_rect(cx + r - 8.0, cy - 24.0, 44.0, 48.0, 10.0), rim.clone());
    let dial = if pale_dial > 0.5 { Tint::rgb(246, 245, 240) } else { Tint::rgb(34, 40, 54) };
    let marks = if dial.luma() > 0.5 { DARK } else { Tint::rgb(236, 236, 230) };
    let square = look.detail == 1;
    let face = |size: f32| {
        if square {
            Outline::round_rect(cx - size, cy - size, size * 2.0, size * 2.0, size * 0.3)
        } else {
            Outline::oval(cx, cy, size, size)
        }
    };
    brush.fill(&face(r), rim);
    brush.fill(&face(r * 0.87), metal.darker(0.5));
    brush.fill(
        &face(r * 0.84),
        Ink::glow(cx, cy - 40.0, r * 1.1, &[(0.0, dial.lighter(0.15)), (1.0, dial.darker(0.12))]),
    );
    for i in 0_u8..60 {
        let angle = f32::from(i) * std::f32::consts::TAU / 60.0;
        let hour = i % 5 == 0;
        let inner = if hour { 0.66 } else { 0.75 };
        let ray = |at: f32| (cx + angle.sin() * r * at, cy - angle.cos() * r * at);
        let (from, to) = (ray(inner), ray(0.79));
        brush.line(&Outline::at(from.0, from.1).to(to.0, to.1), if hour { 9.0 } else { 2.5 }, marks);
    }
    if look.detail == 2 {
        for (x, y) in [(-0.34, 0.0), (0.34, 0.0), (0.0, 0.36)] {
            brush.fill(&Outline::oval(cx + x * r, cy + y * r, r * 0.2, r * 0.2), dial.mix(look.accent, 0.45));
            brush.line(&Outline::oval(cx + x * r, cy + y * r, r * 0.2, r * 0.2), 4.0, marks);
            brush.line(
                &Outline::at(cx + x * r, cy + y * r).to(cx + x * r + 14.0, cy + y * r - 22.0),
                4.0,
                marks,
            );
        }
    }
    brush.line(&Outline::at(cx + 10.0, cy + 8.0).to(cx - r * 0.34, cy - r * 0.32), 15.0, marks);
    brush.line(&Outline::at(cx - 8.0, cy + 8.0).to(cx + r * 0.46, cy - r * 0.44), 10.0, marks);
    brush.line(&Outline::at(cx, cy - 30.0).to(cx + 4.0, cy + r * 0.6), 4.0, look.accent);
    brush.fill(&Outline::oval(cx, cy, 13.0, 13.0), metal);
    brush.within(&face(r * 0.84), |b| {
        b.fill(
            &Outline::polygon(&[
                (cx - r, cy - r * 0.1),
                (cx - r * 0.2, cy - r),
                (cx + r * 0.25, cy - r),
                (cx - r, cy + r * 0.45),
            ]),
            Tint::WHITE.alpha(0.13),
        );
    });
}

pub(super) fn headphones(brush: &mut Brush, look: &Look) {
    let [wide, tall, cup, slim] = look.shape;
    let cx = 500.0;
    let (half, top) = (245.0 + 40.0 * wide, 190.0 - 40.0 * tall);
    let c = look.base;
    let band = Outline::at(cx - half, 560.0).curve(
        (cx - half - 30.0, top - 70.0),
        (cx + half + 30.0, top - 70.0),
        (cx + half, 560.0),
    );
    let w = 46.0 + 26.0 * slim;
    brush.line(&band, w, c.darker(0.40));
    brush.line(&band, w * 0.74, c.darker(0.08));
    brush.viewed(tiny_skia::Transform::from_translate(-5.0, -9.0), |b| {
        b.line(&band, w * 0.18, c.lighter(0.5).alpha(0.85))
    });
    let pad = Outline::at(cx - half * 0.62, top + 86.0).curve(
        (cx - half * 0.3, top + 22.0),
        (cx + half * 0.3, top + 22.0),
        (cx + half * 0.62, top + 86.0),
    );
    if look.detail != 0 {
        brush.line(&pad, 38.0, DARK);
        brush.stitch(&pad, 4.0, 10.0, look.accent);
    }
    let (rx, ry) = (84.0 + 26.0 * cup, 146.0 + 26.0 * cup);
    for side in [-1.0_f32, 1.0] {
        let x = cx + side * half;
        brush.line(
            &Outline::at(x, 400.0).to(x, 520.0),
            22.0,
            Ink::across(
                x - 12.0,
                x + 12.0,
                &[(0.0, STEEL.darker(0.3)), (0.4, STEEL.lighter(0.5)), (1.0, STEEL.darker(0.4))],
            ),
        );
        let cushion = Outline::round_rect(x - side * 62.0 - 46.0, 630.0 - ry, 92.0, ry * 2.0, 44.0);
        brush.fill(
            &cushion,
            Ink::down(
                630.0 - ry,
                630.0 + ry,
                &[(0.0, DARK.lighter(0.28)), (0.5, DARK.lighter(0.06)), (1.0, DARK.darker(0.4))],
            ),
        );
        let shell = if look.detail == 2 {
            Outline::round_rect(x + side * 26.0 - rx, 630.0 - ry, rx * 2.0, ry * 2.0, 62.0)
        } else {
            Outline::oval(x + side * 26.0, 630.0, rx, ry)
        };
        brush.fill(&shell, Ink::ball(x + side * 26.0, 630.0, ry, c));
        brush.within(&shell, |b| {
            b.line(
                &Outline::oval(x + side * 26.0, 630.0, rx * 0.74, ry * 0.74),
                7.0,
                look.accent.mix(STEEL, 0.3),
            );
            look.print.draw(b, (x + side * 26.0, 632.0), rx * 0.46, look.accent, look.second);
            b.soft(10.0, |s| {
                s.fill(
                    &Outline::oval(x + side * 26.0 - rx * 0.4, 630.0 - ry * 0.5, 16.0, 44.0),
                    Tint::WHITE.alpha(0.55),
                )
            });
        });
    }
}

pub(super) fn phone_case(brush: &mut Brush, look: &Look) {
    let [wide, round, island, edge] = look.shape;
    let (cx, top, bottom) = (500.0, 90.0, 910.0);
    let half = 200.0 + 24.0 * wide;
    let radius = 54.0 + 34.0 * round;
    let c = look.base;
    let case = Outline::round_rect(cx - half, top, half * 2.0, bottom - top, radius);
    for (y, h) in [(290.0, 70.0), (380.0, 70.0)] {
        brush.fill(&Outline::round_rect(cx - half - 9.0, y, 22.0, h, 8.0), c.darker(0.35));
    }
    brush.fill(&Outline::round_rect(cx + half - 13.0, 330.0, 22.0, 110.0, 8.0), c.darker(0.35));
    brush.fill(&case, c.darker(0.34));
    let inset = 8.0 + 8.0 * edge;
    let face = Outline::round_rect(
        cx - half + inset,
        top + inset,
        half * 2.0 - inset * 2.0,
        bottom - top - inset * 2.0,
        radius - inset * 0.6,
    );
    brush.fill(
        &face,
        Ink::Linear {
            from: (cx - half, top),
            to: (cx + half, bottom),
            stops: vec![(0.0, c.lighter(0.20)), (0.5, c), (1.0, c.darker(0.16))],
        },
    );
    brush.within(&face, |b| {
        let at = (if look.turned { cx - half * 0.6 } else { cx }, 610.0);
        look.print.draw(b, at, half * 0.58, look.accent, look.second);
        b.fill(
            &Outline::polygon(&[
                (cx + half * 0.1, top),
                (cx + half * 0.62, top),
                (cx - half * 0.5, bottom),
                (cx - half, bottom),
            ]),
            Tint::WHITE.alpha(0.07),
        );
        b.soft(10.0, |s| s.line(&face, 14.0, Tint::WHITE.alpha(0.4)));
    });
    let bump = 130.0 + 40.0 * island;
    let (ix, iy) =
        if look.detail == 2 { (cx - bump / 2.0, top + 44.0) } else { (cx - half + 34.0, top + 34.0) };
    let tall = if look.detail == 1 { bump * 1.6 } else { bump };
    let module = Outline::round_rect(ix, iy, bump, tall, 38.0);
    brush.soft(10.0, |s| s.fill(&module, Tint::BLACK.alpha(0.5)));
    brush.fill(
        &module,
        Ink::Linear {
            from: (ix, iy),
            to: (ix + bump, iy + tall),
            stops: vec![(0.0, DARK.lighter(0.25)), (1.0, DARK)],
        },
    );
    brush.line(&module, 6.0, c.darker(0.25));
    let lens = bump * 0.17;
    let lenses: &[(f32, f32)] = if look.detail == 1 {
        &[(0.5, 0.2), (0.5, 0.5), (0.5, 0.8)]
    } else {
        &[(0.28, 0.28), (0.72, 0.5), (0.28, 0.74)]
    };
    for &(x, y) in lenses {
        let (lx, ly) = (ix + bump * x, iy + tall * y);
        brush.fill(&Outline::oval(lx, ly, lens + 5.0, lens + 5.0), STEEL.darker(0.25));
        brush.fill(
            &Outline::oval(lx, ly, lens, lens),
            Ink::glow(
                lx - 6.0,
                ly - 8.0,
                lens * 1.2,
                &[(0.0, Tint::rgb(92, 110, 160)), (0.35, Tint::rgb(20, 22, 36)), (1.0, DARK.darker(0.5))],
            ),
        );
        brush.fill(
            &Outline::oval(lx - lens * 0.35, ly - lens * 0.4, lens * 0.16, lens * 0.16),
            Tint::WHITE.alpha(0.9),
        );
    }
}
