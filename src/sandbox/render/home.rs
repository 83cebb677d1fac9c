//! How do lamps, chairs and toy cars look?

use super::Look;
use crate::drawing::{Brush, Ink, Outline, Tint};

const WOOD: Tint = Tint::rgb(186, 132, 82);
const BRASS: Tint = Tint::rgb(198, 162, 90);

pub(super) fn lamp(brush: &mut Brush, look: &Look) {
    let [wide, tall, slope, metal] = look.shape;
    let cx = 500.0;
    let (low, top) = (220.0 + 50.0 * wide, 150.0);
    let shade_bottom = 430.0 + 60.0 * tall;
    let high = low * (0.45 + 0.4 * slope);
    let stem = if metal > 0.5 { BRASS } else { look.second.darker(0.1) };
    match look.detail {
        0 => {
            brush.fill(
                &Outline::rect(cx - 14.0, shade_bottom - 60.0, 28.0, 400.0),
                Ink::cylinder(cx - 14.0, cx + 14.0, stem),
            );
            let foot = Outline::at(cx - 150.0, 850.0)
                .bend(cx - 140.0, 800.0, cx - 14.0, 790.0)
                .to(cx + 14.0, 790.0)
                .bend(cx + 140.0, 800.0, cx + 150.0, 850.0)
                .bend(cx, 880.0, cx - 150.0, 850.0)
                .close();
            brush.fill(&foot, Ink::cylinder(cx - 150.0, cx + 150.0, stem));
        }
        1 => {
            let vase = Outline::mirrored(
                cx,
                &[
                    (cx + 30.0, shade_bottom - 40.0),
                    (cx + 40.0, shade_bottom + 50.0),
                    (cx + 150.0, 670.0),
                    (cx + 130.0, 790.0),
                    (cx + 92.0, 855.0),
                ],
            );
            brush.fill(&vase, Ink::cylinder(cx - 150.0, cx + 150.0, look.accent));
            brush.within(&vase, |b| {
                b.soft(12.0, |s| {
                    s.fill(&Outline::oval(cx - 70.0, 680.0, 18.0, 80.0), Tint::WHITE.alpha(0.75))
                })
            });
        }
        _ => {
            for (x, shade) in [(-190.0, 0.1), (190.0, 0.3), (30.0, 0.0)] {
                brush.line(
                    &Outline::at(cx + x * 0.12, shade_bottom - 30.0).to(cx + x, 862.0),
                    22.0,
                    WOOD.darker(shade + 0.2),
                );
                brush.line(
                    &Outline::at(cx + x * 0.12 - 3.0, shade_bottom - 30.0).to(cx + x - 3.0, 860.0),
                    10.0,
                    WOOD.lighter(0.2 - shade * 0.4),
                );
            }
        }
    }
    let cone = Outline::at(cx - high, top)
        .bend(cx, top + 26.0, cx + high, top)
        .to(cx + low, shade_bottom)
        .bend(cx, shade_bottom + 58.0, cx - low, shade_bottom)
        .close();
    let c = look.base;
    brush.fill(
        &cone,
        Ink::across(
            cx - low,
            cx + low,
            &[(0.0, c.darker(0.34)), (0.3, c.lighter(0.10)), (0.55, c.lighter(0.26)), (1.0, c.darker(0.30))],
        ),
    );
    brush.within(&cone, |b| {
        let at = (if look.turned { cx - low * 0.6 } else { cx }, (top + shade_bottom) / 2.0 + 26.0);
        look.print.draw(b, at, 78.0, look.accent, look.second);
        b.shade(
            &cone,
            Ink::glow(
                cx,
                shade_bottom - 50.0,
                low * 1.1,
                &[(0.0, Tint::rgb(255, 240, 190).alpha(0.62)), (1.0, Tint::CLEAR)],
            ),
        );
    });
    brush.line(
        &Outline::at(cx - low, shade_bottom).bend(cx, shade_bottom + 58.0, cx + low, shade_bottom),
        9.0,
        look.accent.mix(c, 0.35),
    );
    brush.fill(&Outline::oval(cx, top + 4.0, high, 15.0), c.darker(0.25));
}

pub(super) fn chair(brush: &mut Brush, look: &Look) {
    let [wide, tall, splay, wood] = look.shape;
    let cx = 500.0;
    let (half, seat) = (200.0 + 40.0 * wide, 560.0);
    let top = 210.0 - 60.0 * tall;
    let c = look.base;
    let leg = if wood > 0.35 { WOOD } else { Tint::rgb(52, 52, 56) };
    let kick = 20.0 + 50.0 * splay;
    for (x, foot, dark) in
        [(-0.55, 800.0, 0.38), (0.7, 800.0, 0.45), (-0.82, 890.0, 0.08), (0.86, 890.0, 0.2)]
    {
        let (x0, x1) = (cx + half * x, cx + half * x + x.signum() * kick);
        brush.line(&Outline::at(x0, seat + 40.0).to(x1, foot), 30.0, leg.darker(dark + 0.25));
        brush.line(
            &Outline::at(x0 - 4.0, seat + 40.0).to(x1 - 4.0, foot),
            14.0,
            leg.lighter(0.15 - dark * 0.4),
        );
    }
    let back = Outline::mirrored(
        cx + 10.0,
        &[
            (cx + half * 0.55, top),
            (cx + half * 0.92, top + 60.0),
            (cx + half * 0.94, 420.0),
            (cx + half * 0.8, seat + 10.0),
        ],
    );
    match look.detail {
        0 => {
            brush.fill(
                &back,
                Ink::across(
                    cx - half,
                    cx + half,
                    &[(0.0, c.darker(0.26)), (0.35, c.lighter(0.16)), (1.0, c.darker(0.22))],
                ),
            );
            brush.within(&back, |b| {
                look.print.draw(b, (cx + 10.0, 370.0), 80.0, look.accent, look.second);
                b.soft(20.0, |s| {
                    s.fill(&Outline::rect(0.0, seat - 60.0, 1000.0, 90.0), Tint::BLACK.alpha(0.35))
                });
            });
        }
        1 => {
            for x in [-0.84, 0.84] {
                brush.line(
                    &Outline::at(cx + half * x, seat).to(cx + half * x * 0.96, top + 40.0),
                    34.0,
                    leg.darker(0.2),
                );
                brush.line(
                    &Outline::at(cx + half * x - 4.0, seat).to(cx + half * x * 0.96 - 4.0, top + 40.0),
                    14.0,
                    leg.lighter(0.12),
                );
            }
            for i in 0_u8..4 {
                let y = top + 40.0 + f32::from(i) * 88.0;
                let slat = Outline::at(cx - half * 0.82, y)
                    .bend(cx, y - 26.0, cx + half * 0.82, y)
                    .to(cx + half * 0.82, y + 46.0)
                    .bend(cx, y + 20.0, cx - half * 0.82, y + 46.0)
                    .close();
                brush.fill(
                    &slat,
                    Ink::down(y - 20.0, y + 46.0, &[(0.0, c.lighter(0.2)), (1.0, c.darker(0.25))]),
                );
            }
        }
        _ => {
            brush.line(&back, 26.0, leg.darker(0.2));
            brush.within(&back, |b| {
                b.fill(&back, c.darker(0.1).alpha(0.9));
                look.print.draw(b, (cx + 10.0, 370.0), 80.0, look.accent, look.second);
                for i in 0_u8..7 {
                    let x = cx - half * 0.9 + half * 1.8 * (f32::from(i) + 0.5) / 7.0;
                    b.line(&Outline::at(x, top - 20.0).to(x + 6.0, seat), 5.0, Tint::BLACK.alpha(0.22));
                }
            });
        }
    }
    let cushion = Outline::mirrored(
        cx,
        &[
            (cx + half * 0.6, seat - 26.0),
            (cx + half * 0.98, seat + 4.0),
            (cx + half * 1.08, seat + 60.0),
            (cx + half * 0.7, seat + 92.0),
        ],
    );
    brush.soft(12.0, |s| {
        s.viewed(tiny_skia::Transform::from_translate(0.0, 16.0), |s| {
            s.fill(&cushion, Tint::BLACK.alpha(0.3))
        })
    });
    brush.fill(
        &cushion,
        Ink::down(
            seat - 30.0,
            seat + 95.0,
            &[(0.0, c.lighter(0.12)), (0.55, c.lighter(0.02)), (0.72, c.darker(0.2)), (1.0, c.darker(0.45))],
        ),
    );
    brush.line(
        &Outline::sweep(&[
            (cx - half * 1.04, seat + 40.0),
            (cx, seat + 66.0),
            (cx + half * 1.04, seat + 40.0),
        ]),
        5.0,
        c.darker(0.38),
    );
}

pub(super) fn toy_car(brush: &mut Brush, look: &Look) {
    let [long, high, round, wheel] = look.shape;
    let c = look.base;
    let (rear, front) = (140.0 - 20.0 * long, 860.0 + 20.0 * long);
    let (deck, floor) = (520.0, 700.0);
    let roof = 350.0 - 60.0 * high;
    let cabin: &[(f32, f32)] = match look.detail {
        0 => &[(240.0, 0.0), (330.0, 1.0), (600.0, 1.0), (720.0, 0.0)],
        1 => &[(160.0, 0.0), (170.0, 1.0), (740.0, 1.0), (790.0, 0.0)],
        _ => &[(470.0, 0.0), (490.0, 1.0), (680.0, 1.0), (770.0, 0.0)],
    };
    let y_at = |t: f32| deck + 10.0 + (roof - deck - 10.0) * t;
    let corners: Vec<(f32, f32)> = cabin.iter().map(|&(x, t)| (x, y_at(t))).collect();
    let bend = 30.0 + 50.0 * round;
    let shell = Outline::at(corners[0].0, corners[0].1)
        .bend(corners[1].0 - bend * 0.3, corners[1].1 + 4.0, corners[1].0 + bend, corners[1].1)
        .to(corners[2].0 - bend, corners[2].1)
        .bend(corners[2].0 + bend * 0.3, corners[2].1 + 4.0, corners[3].0, corners[3].1)
        .close();
    brush.fill(&shell, Ink::down(roof, deck, &[(0.0, c.lighter(0.36)), (0.3, c), (1.0, c.darker(0.12))]));
    brush.within(&shell, |b| {
        b.viewed(tiny_skia::Transform::from_row(0.86, 0.0, 0.0, 0.74, 66.0, roof * 0.26 + 26.0), |b| {
            b.fill(
                &shell,
                Ink::down(roof, deck, &[(0.0, Tint::rgb(150, 190, 214)), (1.0, Tint::rgb(44, 62, 80))]),
            );
            b.within(&shell, |b| {
                b.fill(
                    &Outline::polygon(&[(300.0, deck), (400.0, roof), (470.0, roof), (370.0, deck)]),
                    Tint::WHITE.alpha(0.3),
                )
            });
        });
        let pillar = f32::midpoint(corners[1].0, corners[2].0);
        b.fill(&Outline::rect(pillar - 13.0, roof, 26.0, 300.0), c.darker(0.08));
    });
    let body = Outline::at(rear, floor)
        .bend(rear - 22.0, deck + 10.0, rear + 60.0, deck)
        .to(front - 160.0, deck)
        .curve((front - 30.0, deck + 12.0), (front + 16.0, deck + 60.0), (front + 10.0, floor - 20.0))
        .bend(front + 8.0, floor + 12.0, front - 40.0, floor + 12.0)
        .to(rear + 30.0, floor + 12.0)
        .close();
    brush.fill(
        &body,
        Ink::down(
            deck,
            floor,
            &[(0.0, c.lighter(0.30)), (0.22, c.lighter(0.04)), (0.6, c.darker(0.06)), (1.0, c.darker(0.40))],
        ),
    );
    brush.within(&body, |b| {
        b.line(&Outline::at(rear, floor - 20.0).to(front + 20.0, floor - 20.0), 22.0, look.second);
        look.print.draw(b, (if look.turned { 640.0 } else { 490.0 }, 600.0), 54.0, look.accent, look.second);
        b.line(&Outline::at(520.0, deck + 8.0).to(512.0, floor), 4.0, c.darker(0.45));
        b.line(&Outline::at(545.0, deck + 44.0).to(590.0, deck + 44.0), 9.0, c.darker(0.5));
        b.fill(
            &Outline::oval(front - 8.0, deck + 78.0, 38.0, 26.0),
            Ink::ball(front - 12.0, deck + 76.0, 36.0, Tint::rgb(255, 236, 170)),
        );
        b.fill(&Outline::oval(rear + 2.0, deck + 66.0, 24.0, 30.0), Tint::rgb(206, 36, 34));
        b.soft(8.0, |s| {
            s.line(
                &Outline::at(rear + 70.0, deck + 16.0).to(front - 170.0, deck + 16.0),
                12.0,
                Tint::WHITE.alpha(0.5),
            )
        });
    });
    let r = 84.0 + 22.0 * wheel;
    for x in [rear + 165.0, front - 175.0] {
        brush.fill(&Outline::oval(x, floor + 6.0, r + 14.0, r + 14.0), Tint::rgb(24, 24, 26));
        brush.fill(
            &Outline::oval(x, floor + 14.0, r, r),
            Ink::ball(x, floor + 14.0, r, Tint::rgb(58, 58, 62)),
        );
        brush.fill(
            &Outline::oval(x, floor + 14.0, r * 0.56, r * 0.56),
            Ink::ball(x, floor + 14.0, r * 0.56, Tint::rgb(210, 212, 216)),
        );
        for i in 0_u8..5 {
            let angle = f32::from(i) * std::f32::consts::TAU / 5.0 + 0.3;
            let (dx, dy) = (angle.cos() * r * 0.34, angle.sin() * r * 0.34);
            brush.fill(&Outline::oval(x + dx, floor + 14.0 + dy, r * 0.12, r * 0.12), Tint::rgb(70, 72, 76));
        }
        brush.fill(&Outline::oval(x, floor + 14.0, r * 0.14, r * 0.14), look.accent);
    }
}
