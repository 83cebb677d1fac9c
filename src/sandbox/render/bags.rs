//! How do handbags and backpacks look?

use super::Look;
use crate::drawing::{Brush, Ink, Outline, Tint};

const GOLD: Tint = Tint::rgb(212, 174, 92);

pub(super) fn handbag(brush: &mut Brush, look: &Look) {
    let [wide, tall, slant, flap_deep] = look.shape;
    let cx = 500.0;
    let (foot, top, bottom) = (270.0 + 50.0 * wide, 440.0 - 50.0 * tall, 830.0);
    let shoulder = foot * (0.72 + 0.24 * slant);
    let c = look.base;
    let grip = |lift: f32, spread: f32| {
        Outline::at(cx - spread, top + 26.0).curve(
            (cx - spread * 0.95, top - lift),
            (cx + spread * 0.95, top - lift),
            (cx + spread, top + 26.0),
        )
    };
    let strap = if look.detail == 1 { look.accent } else { c.darker(0.12) };
    brush.line(&grip(270.0, shoulder * 0.52), 24.0, strap.darker(0.45));
    let body = Outline::at(cx - shoulder + 26.0, top)
        .to(cx + shoulder - 26.0, top)
        .bend(cx + shoulder, top, cx + shoulder + 4.0, top + 30.0)
        .to(cx + foot, bottom - 44.0)
        .bend(cx + foot + 4.0, bottom, cx + foot - 44.0, bottom)
        .to(cx - foot + 44.0, bottom)
        .bend(cx - foot - 4.0, bottom, cx - foot, bottom - 44.0)
        .to(cx - shoulder - 4.0, top + 30.0)
        .bend(cx - shoulder, top, cx - shoulder + 26.0, top)
        .close();
    brush.fill(
        &body,
        Ink::across(
            cx - foot,
            cx + foot,
            &[(0.0, c.darker(0.28)), (0.2, c.lighter(0.08)), (0.5, c.lighter(0.12)), (1.0, c.darker(0.34))],
        ),
    );
    brush.within(&body, |b| {
        b.shade(
            &body,
            Ink::down(
                top,
                bottom,
                &[(0.0, Tint::WHITE.alpha(0.16)), (0.5, Tint::CLEAR), (1.0, Tint::BLACK.alpha(0.30))],
            ),
        );
        let low = if look.detail == 2 { 640.0 } else { 710.0 };
        let x = if look.turned { cx - foot * 0.7 } else { cx };
        look.print.draw(b, (x, low), 78.0, look.accent, look.second);
        let inset = Outline::at(cx - shoulder + 24.0, top + 20.0)
            .to(cx - foot + 26.0, bottom - 24.0)
            .to(cx + foot - 26.0, bottom - 24.0)
            .to(cx + shoulder - 24.0, top + 20.0);
        b.stitch(&inset, 3.5, 11.0, c.lighter(0.35));
    });
    if look.detail < 2 {
        let deep = top + 150.0 + 60.0 * flap_deep;
        let flap = Outline::at(cx - shoulder - 6.0, top + 4.0)
            .bend(cx, top - 26.0, cx + shoulder + 6.0, top + 4.0)
            .to(cx + shoulder + 4.0, deep - 60.0)
            .curve((cx + shoulder * 0.6, deep + 20.0), (cx + 80.0, deep), (cx, deep + 6.0))
            .curve((cx - 80.0, deep), (cx - shoulder * 0.6, deep + 20.0), (cx - shoulder - 4.0, deep - 60.0))
            .close();
        brush.soft(12.0, |s| {
            s.viewed(tiny_skia::Transform::from_translate(0.0, 12.0), |s| {
                s.fill(&flap, Tint::BLACK.alpha(0.30))
            })
        });
        brush.fill(&flap, Ink::down(top, deep, &[(0.0, c.lighter(0.22)), (0.5, c), (1.0, c.darker(0.16))]));
        brush.within(&flap, |b| {
            b.viewed(tiny_skia::Transform::from_row(0.95, 0.0, 0.0, 0.95, 25.0, top * 0.05 - 4.0), |b| {
                b.stitch(&flap, 3.5, 11.0, c.lighter(0.35))
            });
        });
        let lock = Outline::round_rect(cx - 36.0, deep - 36.0, 72.0, 62.0, 14.0);
        brush.fill(
            &lock,
            Ink::down(
                deep - 36.0,
                deep + 26.0,
                &[(0.0, GOLD.lighter(0.5)), (0.4, GOLD), (1.0, GOLD.darker(0.35))],
            ),
        );
        brush.fill(&Outline::oval(cx, deep - 6.0, 9.0, 9.0), GOLD.darker(0.6));
    }
    brush.line(&grip(235.0, shoulder * 0.56), 26.0, strap.darker(0.2));
    brush.viewed(tiny_skia::Transform::from_translate(-3.0, -5.0), |b| {
        b.line(&grip(235.0, shoulder * 0.56), 9.0, strap.lighter(0.35))
    });
    for side in [-1.0_f32, 1.0] {
        let (x, y) = (cx + side * shoulder * 0.56, top + 34.0);
        brush.line(&Outline::oval(x, y, 19.0, 19.0), 9.0, GOLD.darker(0.15));
        brush.line(&Outline::oval(x - 1.0, y - 2.0, 19.0, 19.0), 3.0, GOLD.lighter(0.5));
    }
}

pub(super) fn backpack(brush: &mut Brush, look: &Look) {
    let [wide, tall, round, pocket_high] = look.shape;
    let cx = 500.0;
    let (half, top, bottom) = (225.0 + 45.0 * wide, 250.0 - 50.0 * tall, 850.0);
    let c = look.base;
    let loop_handle = Outline::at(cx - 60.0, top + 20.0).curve(
        (cx - 60.0, top - 90.0),
        (cx + 60.0, top - 90.0),
        (cx + 60.0, top + 20.0),
    );
    brush.line(&loop_handle, 26.0, c.darker(0.45));
    for side in [-1.0_f32, 1.0] {
        let strap = Outline::sweep(&[
            (cx + side * half * 0.6, top + 60.0),
            (cx + side * (half + 50.0), 480.0),
            (cx + side * (half + 18.0), 800.0),
        ]);
        brush.line(&strap, 40.0, c.darker(0.5));
        let pouch = Outline::round_rect(cx + side * half - 52.0, 620.0, 104.0, 190.0, 40.0);
        brush.fill(&pouch, c.darker(0.36));
    }
    let arch = 90.0 + 130.0 * round;
    let body = Outline::at(cx - half, top + arch + 60.0)
        .curve((cx - half, top + 10.0), (cx - half * 0.55, top), (cx, top))
        .curve((cx + half * 0.55, top), (cx + half, top + 10.0), (cx + half, top + arch + 60.0))
        .to(cx + half + 8.0, bottom - 70.0)
        .bend(cx + half, bottom, cx + half - 80.0, bottom)
        .to(cx - half + 80.0, bottom)
        .bend(cx - half, bottom, cx - half - 8.0, bottom - 70.0)
        .close();
    brush.fill(&body, Ink::ball(cx, 500.0, half * 1.35, c));
    brush.within(&body, |b| {
        let zip = Outline::at(cx - half + 34.0, 560.0)
            .curve((cx - half + 36.0, top + 60.0), (cx - half * 0.4, top + 50.0), (cx, top + 50.0))
            .curve((cx + half * 0.4, top + 50.0), (cx + half - 36.0, top + 60.0), (cx + half - 34.0, 560.0));
        b.line(&zip, 15.0, Tint::rgb(36, 36, 40));
        b.stitch(&zip, 5.0, 6.0, Tint::rgb(168, 170, 174));
        if look.detail == 1 {
            b.fill(&Outline::rect(0.0, 470.0, 1000.0, 46.0), look.accent);
        }
        let y = (top + 560.0) / 2.0 + 20.0;
        look.print.draw(b, (if look.turned { cx + half } else { cx }, y), 80.0, look.accent, look.second);
    });
    let pocket_top = 600.0 - 40.0 * pocket_high;
    let pocket =
        Outline::round_rect(cx - half * 0.78, pocket_top, half * 1.56, bottom - pocket_top - 30.0, 60.0);
    brush.soft(14.0, |s| s.fill(&pocket, Tint::BLACK.alpha(0.35)));
    let front = if look.detail == 2 { look.accent } else { c };
    brush.fill(
        &pocket,
        Ink::down(pocket_top, bottom, &[(0.0, front.lighter(0.20)), (0.5, front), (1.0, front.darker(0.28))]),
    );
    let zip = Outline::at(cx - half * 0.66, pocket_top + 60.0).bend(
        cx,
        pocket_top + 34.0,
        cx + half * 0.66,
        pocket_top + 60.0,
    );
    brush.line(&zip, 13.0, Tint::rgb(36, 36, 40));
    brush.stitch(&zip, 5.0, 6.0, Tint::rgb(168, 170, 174));
    brush.line(
        &Outline::at(cx + half * 0.5, pocket_top + 54.0).to(cx + half * 0.46, pocket_top + 104.0),
        10.0,
        look.accent,
    );
    let label = Outline::round_rect(cx - 62.0, bottom - 140.0, 124.0, 56.0, 8.0);
    brush.fill(&label, look.second);
    brush.stitch(&label, 3.0, 8.0, look.second.darker(0.5));
    brush.line(
        &Outline::at(cx - 36.0, bottom - 112.0).to(cx + 36.0, bottom - 112.0),
        9.0,
        look.second.darker(0.55),
    );
}
