//! How do mugs, bottles and kettles look?

use super::Look;
use crate::drawing::{Brush, Ink, Outline, Tint};

pub(super) fn mug(brush: &mut Brush, look: &Look) {
    let [wide, tall, taper, thick] = look.shape;
    let (half, height) = (185.0 + 55.0 * wide, 400.0 + 130.0 * tall);
    let (cx, top) = (450.0, 510.0 - height / 2.0);
    let bottom = top + height;
    let (foot, ry) = (half * (0.70 + 0.28 * taper), half * 0.20);
    let (left, right) = (cx - half, cx + half);

    // The handle first: the body covers where it is joined on.
    if !look.turned {
        let (y0, y1) = (top + height * 0.18, bottom - height * 0.2);
        let reach = right + 130.0 + 30.0 * wide;
        let handle = match look.detail {
            0 => Outline::at(right - 30.0, y0).curve(
                (reach, y0 - 20.0),
                (reach + 20.0, y1),
                (right - 40.0, y1),
            ),
            1 => Outline::at(right - 30.0, y0)
                .to(reach - 50.0, y0)
                .bend(reach - 15.0, y0, reach - 15.0, y0 + 35.0)
                .to(reach - 15.0, y1 - 60.0)
                .bend(reach - 20.0, y1 - 10.0, right - 40.0, y1),
            _ => Outline::at(right - 30.0, y0)
                .curve((reach, y0 - 90.0), (reach + 60.0, y0 + 90.0), (right + 30.0, (y0 + y1) / 2.0))
                .curve((reach, y1 - 80.0), (reach - 10.0, y1 + 50.0), (right - 50.0, y1)),
        };
        let w = 36.0 + 16.0 * thick;
        brush.line(&handle, w, look.base.darker(0.32));
        brush.line(&handle, w * 0.72, look.base.darker(0.10));
        brush.viewed(tiny_skia::Transform::from_translate(-4.0, -6.0), |b| {
            b.line(&handle, w * 0.22, look.base.lighter(0.4).alpha(0.8));
        });
    }

    let body = Outline::at(left, top)
        .curve((left, top + height * 0.6), (cx - foot, bottom - height * 0.1), (cx - foot, bottom - 12.0))
        .bend(cx, bottom + ry * 0.9, cx + foot, bottom - 12.0)
        .curve((cx + foot, bottom - height * 0.1), (right, top + height * 0.6), (right, top))
        .bend(cx, top + ry * 2.0, left, top)
        .close();
    brush.fill(&body, Ink::cylinder(left, right, look.base));
    brush.within(&body, |b| {
        let at = if look.turned { (left + 40.0, 530.0) } else { (cx, 545.0) };
        look.print.draw(b, at, half * 0.52, look.accent, look.second);
        b.soft(14.0, |s| {
            let streak =
                Outline::round_rect(left + half * 0.32, top + 90.0, half * 0.16, height * 0.62, 30.0);
            s.fill(&streak, Tint::WHITE.alpha(0.55));
            s.fill(&Outline::oval(cx, bottom + 12.0, half * 1.1, 44.0), Tint::BLACK.alpha(0.25));
        });
        if look.detail == 2 {
            b.fill(&Outline::rect(0.0, bottom - height * 0.16, 1000.0, 200.0), look.accent.alpha(0.85));
        }
    });

    let inside = if thick > 0.5 { Tint::rgb(246, 243, 236) } else { look.base };
    brush.fill(&Outline::oval(cx, top, half, ry), look.base.lighter(0.25));
    let hollow = Ink::across(
        left,
        right,
        &[(0.0, inside.darker(0.38)), (0.55, inside.darker(0.14)), (1.0, inside.lighter(0.1))],
    );
    brush.fill(&Outline::oval(cx, top + 3.0, half - 14.0, ry - 8.0), hollow);
}

pub(super) fn bottle(brush: &mut Brush, look: &Look) {
    let [wide, tall, shoulder, band] = look.shape;
    let (half, cx) = (105.0 + 40.0 * wide, 500.0);
    let (top, bottom) = (330.0 - 70.0 * tall, 880.0);
    let (left, right) = (cx - half, cx + half);
    let neck = half * (0.55 + 0.2 * shoulder);

    let cap_top = top - 130.0;
    let cap = Outline::round_rect(cx - neck, cap_top, neck * 2.0, 130.0, 22.0);
    match look.detail {
        0 => {}
        1 => {
            let ring = Outline::at(cx - neck * 0.7, cap_top + 20.0).curve(
                (cx - neck * 0.8, cap_top - 105.0),
                (cx + neck * 0.8, cap_top - 105.0),
                (cx + neck * 0.7, cap_top + 20.0),
            );
            brush.line(&ring, 28.0, look.trim.darker(0.3));
            brush.line(&ring, 14.0, look.trim.lighter(0.15));
        }
        _ => {
            let straw = Outline::at(cx + 10.0, cap_top + 10.0)
                .to(cx + 10.0, cap_top - 50.0)
                .to(cx + 70.0, cap_top - 85.0);
            brush.line(&straw, 34.0, look.accent.darker(0.25));
            brush.line(&straw, 20.0, look.accent.lighter(0.1));
        }
    }
    brush.fill(&cap, Ink::cylinder(cx - neck, cx + neck, look.trim));
    for i in 0_u8..12 {
        let x = cx - neck + neck * 2.0 * (f32::from(i) + 0.5) / 12.0;
        let groove = Outline::at(x, cap_top + 30.0).to(x, cap_top + 116.0);
        brush.line(&groove, 3.0, Tint::BLACK.alpha(0.16));
    }
    let rise = 60.0 + 70.0 * shoulder;
    let body = Outline::at(cx - neck, top)
        .curve((cx - neck, top + rise * 0.5), (left, top + rise * 0.4), (left, top + rise))
        .to(left, bottom - 34.0)
        .bend(left, bottom, left + 40.0, bottom + 6.0)
        .bend(cx, bottom + 20.0, right - 40.0, bottom + 6.0)
        .bend(right, bottom, right, bottom - 34.0)
        .to(right, top + rise)
        .curve((right, top + rise * 0.4), (cx + neck, top + rise * 0.5), (cx + neck, top))
        .close();
    brush.fill(&body, Ink::cylinder(left, right, look.base));
    brush.within(&body, |b| {
        let at = (if look.turned { left + 20.0 } else { cx }, 590.0);
        look.print.draw(b, at, half * 0.66, look.accent, look.second);
        if band > 0.4 {
            let steel = Ink::cylinder(left, right, Tint::rgb(196, 200, 205));
            b.fill(&Outline::rect(left, bottom - 62.0, half * 2.0, 90.0), steel);
        }
        b.soft(12.0, |s| {
            s.fill(
                &Outline::round_rect(left + half * 0.34, top + rise, half * 0.2, 380.0, 20.0),
                Tint::WHITE.alpha(0.5),
            );
            s.fill(&Outline::rect(right - half * 0.2, top, half * 0.2, 700.0), Tint::BLACK.alpha(0.14));
        });
    });
    let ring = Ink::cylinder(cx - neck, cx + neck, Tint::rgb(205, 208, 212));
    brush.fill(&Outline::round_rect(cx - neck - 3.0, top - 12.0, neck * 2.0 + 6.0, 20.0, 8.0), ring);
}

pub(super) fn kettle(brush: &mut Brush, look: &Look) {
    let [wide, tall, round, base] = look.shape;
    let (half, cx) = (205.0 + 40.0 * wide, 500.0);
    let (top, bottom) = (380.0 - 60.0 * tall, 820.0);
    let neck = half * (0.48 + 0.18 * round);

    let spout = Outline::at(cx - half * 0.8, bottom - 170.0)
        .curve(
            (cx - half - 60.0, bottom - 190.0),
            (cx - half - 70.0, top + 120.0),
            (cx - half - 130.0, top + 50.0),
        )
        .to(cx - half - 75.0, top + 20.0)
        .curve((cx - half, top + 100.0), (cx - half + 10.0, top + 150.0), (cx - half * 0.6, top + 160.0))
        .close();
    brush.fill(
        &spout,
        Ink::down(top, bottom, &[(0.0, look.base.lighter(0.25)), (1.0, look.base.darker(0.4))]),
    );
    let dark = Tint::rgb(44, 42, 42);
    let handle = match look.detail {
        0 => Outline::at(cx + neck * 0.7, top + 40.0).curve(
            (cx + half + 170.0, top - 60.0),
            (cx + half + 170.0, bottom - 130.0),
            (cx + half * 0.85, bottom - 150.0),
        ),
        1 => Outline::at(cx - neck, top + 60.0).curve(
            (cx - half, top - 260.0),
            (cx + half, top - 260.0),
            (cx + neck, top + 60.0),
        ),
        _ => Outline::at(cx + neck, top + 60.0)
            .to(cx + half + 90.0, top + 50.0)
            .bend(cx + half + 130.0, top + 60.0, cx + half + 110.0, top + 150.0)
            .to(cx + half + 60.0, bottom - 120.0),
    };
    brush.line(&handle, 46.0, dark.darker(0.2));
    brush.viewed(tiny_skia::Transform::from_translate(-5.0, -8.0), |b| {
        b.line(&handle, 16.0, look.second.lighter(0.1).alpha(0.85));
    });

    let body = Outline::at(cx - neck, top)
        .curve((cx - half * 0.95, top + 90.0), (cx - half, top + 180.0), (cx - half, bottom - 120.0))
        .curve((cx - half, bottom - 30.0), (cx - half + 30.0, bottom), (cx - half + 70.0, bottom))
        .to(cx + half - 70.0, bottom)
        .curve((cx + half - 30.0, bottom), (cx + half, bottom - 30.0), (cx + half, bottom - 120.0))
        .curve((cx + half, top + 180.0), (cx + half * 0.95, top + 90.0), (cx + neck, top))
        .close();
    brush.fill(&body, Ink::cylinder(cx - half, cx + half, look.base));
    brush.within(&body, |b| {
        let at = (if look.turned { cx - half * 0.6 } else { cx }, (top + bottom) / 2.0 + 50.0);
        look.print.draw(b, at, half * 0.44, look.accent, look.second);
        b.soft(16.0, |s| {
            s.fill(&Outline::oval(cx - half * 0.45, top + 190.0, half * 0.12, 130.0), Tint::WHITE.alpha(0.7));
            s.fill(&Outline::rect(0.0, bottom - 40.0, 1000.0, 60.0), Tint::BLACK.alpha(0.3));
        });
    });
    if base > 0.4 {
        let plate = Outline::round_rect(cx - half - 12.0, bottom - 4.0, half * 2.0 + 24.0, 40.0, 18.0);
        brush.fill(&plate, Ink::cylinder(cx - half, cx + half, dark.lighter(0.08)));
    }
    let lid = Outline::at(cx - neck - 8.0, top + 8.0)
        .curve((cx - neck, top - 70.0), (cx + neck, top - 70.0), (cx + neck + 8.0, top + 8.0))
        .close();
    brush.fill(&lid, Ink::cylinder(cx - neck, cx + neck, look.base.darker(0.06)));
    brush.fill(
        &Outline::oval(cx, top - 62.0, 32.0, 26.0),
        Ink::ball(cx, top - 62.0, 32.0, dark.lighter(0.12)),
    );
}
