//! What is printed on the goods? One motif around a centre, in one or two tints.

use crate::drawing::{Brush, Outline, Tint};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::sandbox) enum Print {
    Plain,
    Stripes,
    Dots,
    Star,
    Heart,
    Flower,
    Cat,
    Peaks,
    Zigzag,
    Leaf,
    Rings,
    Checks,
}

impl Print {
    pub(in crate::sandbox) const ALL: [Self; 12] = [
        Self::Plain,
        Self::Stripes,
        Self::Dots,
        Self::Star,
        Self::Heart,
        Self::Flower,
        Self::Cat,
        Self::Peaks,
        Self::Zigzag,
        Self::Leaf,
        Self::Rings,
        Self::Checks,
    ];

    /// Draws the motif within about `size` design units of (`cx`, `cy`).
    pub(super) fn draw(self, brush: &mut Brush, (cx, cy): (f32, f32), size: f32, main: Tint, second: Tint) {
        let s = size;
        match self {
            Self::Plain => {}
            Self::Stripes => {
                for i in -2_i8..=2 {
                    let y = cy + f32::from(i) * s * 0.36;
                    let tint = if i % 2 == 0 { main } else { second };
                    brush.fill(&Outline::rect(cx - s * 3.0, y - s * 0.09, s * 6.0, s * 0.18), tint);
                }
            }
            Self::Dots => {
                for row in -3_i8..=3 {
                    for column in -5_i8..=5 {
                        let shift = if row % 2 == 0 { 0.0 } else { 0.19 };
                        let x = cx + (f32::from(column) * 0.38 + shift) * s;
                        let tint = if (row + column) % 3 == 0 { second } else { main };
                        brush.fill(
                            &Outline::oval(x, cy + f32::from(row) * s * 0.33, s * 0.09, s * 0.09),
                            tint,
                        );
                    }
                }
            }
            Self::Star => {
                brush.fill(&Outline::star(cx, cy, s, s * 0.42, 5), main);
                brush.fill(&Outline::star(cx, cy, s * 0.55, s * 0.23, 5), second);
            }
            Self::Heart => {
                brush.fill(&heart(cx, cy, s), main);
                brush.fill(&heart(cx + s * 0.62, cy + s * 0.5, s * 0.36), second);
            }
            Self::Flower => flower(brush, (cx, cy), s, main, second),
            Self::Cat => cat(brush, (cx, cy), s, main, second),
            Self::Peaks => {
                brush.fill(&Outline::oval(cx + s * 0.45, cy - s * 0.5, s * 0.26, s * 0.26), second);
                let y = cy + s * 0.6;
                let far = [(cx - s * 0.2, y), (cx + s * 0.42, cy - s * 0.3), (cx + s, y)];
                brush.fill(&Outline::polygon(&far), main.mix(second, 0.4));
                let near = [(cx - s, y), (cx - s * 0.3, cy - s * 0.65), (cx + s * 0.45, y)];
                brush.fill(&Outline::polygon(&near), main);
            }
            Self::Zigzag => {
                for row in -1_i8..=1 {
                    let y = cy + f32::from(row) * s * 0.5;
                    let mut line = Outline::at(cx - s * 3.0, y);
                    for i in -11_i8..=12 {
                        let up = if i % 2 == 0 { 0.0 } else { -0.26 };
                        line = line.to(cx + f32::from(i) * s * 0.25, y + up * s);
                    }
                    brush.line(&line, s * 0.11, if row == 0 { second } else { main });
                }
            }
            Self::Leaf => {
                brush.line(
                    &Outline::at(cx - s * 0.1, cy + s).bend(cx + s * 0.2, cy, cx, cy - s * 0.9),
                    s * 0.06,
                    main,
                );
                for i in 0_u8..5 {
                    let y = cy + s * (0.62 - 0.34 * f32::from(i));
                    let reach = s * (0.75 - 0.1 * f32::from(i));
                    for (side, tint) in [(-1.0, main), (1.0, second)] {
                        let tip = (cx + side * reach, y - s * 0.3);
                        let leaf = Outline::at(cx + s * 0.04, y)
                            .bend(cx + side * reach * 0.4, y - s * 0.42, tip.0, tip.1)
                            .bend(cx + side * reach * 0.6, y + s * 0.05, cx + s * 0.04, y)
                            .close();
                        brush.fill(&leaf, tint);
                    }
                }
            }
            Self::Rings => {
                for (at, r) in [(-0.5, 0.55), (0.3, 0.75), (0.95, 0.4)] {
                    let tint = if r > 0.6 { main } else { second };
                    brush.line(&Outline::oval(cx + at * s, cy + (0.5 - r) * s, r * s, r * s), s * 0.1, tint);
                }
            }
            Self::Checks => {
                for row in -2_i8..=2 {
                    for column in -6_i8..=6 {
                        if (row + column) % 2 == 0 {
                            let (x, y) = (cx + f32::from(column) * s * 0.34, cy + f32::from(row) * s * 0.34);
                            let tint = if column % 2 == 0 { main } else { second };
                            let side = s * 0.34;
                            brush.fill(&Outline::rect(x - side / 2.0, y - side / 2.0, side, side), tint);
                        }
                    }
                }
            }
        }
    }
}

fn heart(cx: f32, cy: f32, s: f32) -> Outline {
    Outline::at(cx, cy - s * 0.45)
        .curve((cx + s * 0.3, cy - s * 1.1), (cx + s * 1.25, cy - s * 0.5), (cx, cy + s * 0.85))
        .curve((cx - s * 1.25, cy - s * 0.5), (cx - s * 0.3, cy - s * 1.1), (cx, cy - s * 0.45))
        .close()
}

fn flower(brush: &mut Brush, (cx, cy): (f32, f32), s: f32, main: Tint, second: Tint) {
    for i in 0_u8..6 {
        let angle = f32::from(i) * std::f32::consts::TAU / 6.0;
        let (x, y) = (cx + angle.cos() * s * 0.55, cy + angle.sin() * s * 0.55);
        brush.fill(&Outline::oval(x, y, s * 0.36, s * 0.36), main);
        brush.fill(&Outline::oval(x, y, s * 0.16, s * 0.16), main.mix(second, 0.35));
    }
    brush.fill(&Outline::oval(cx, cy, s * 0.3, s * 0.3), second);
}

fn cat(brush: &mut Brush, (cx, cy): (f32, f32), s: f32, main: Tint, second: Tint) {
    for side in [-1.0_f32, 1.0] {
        let ear = [
            (cx + side * s * 0.8, cy - s * 0.95),
            (cx + side * s * 0.78, cy),
            (cx + side * s * 0.1, cy - s * 0.5),
        ];
        brush.fill(&Outline::polygon(&ear), main);
    }
    brush.fill(&Outline::oval(cx, cy + s * 0.1, s * 0.85, s * 0.68), main);
    for side in [-1.0_f32, 1.0] {
        brush.fill(&Outline::oval(cx + side * s * 0.34, cy, s * 0.1, s * 0.15), second);
        for lift in [-0.04_f32, 0.12] {
            let whisker = Outline::at(cx + side * s * 0.45, cy + s * (0.26 + lift * 0.4))
                .to(cx + side * s * 1.1, cy + s * (0.18 + lift));
            brush.line(&whisker, s * 0.04, second);
        }
    }
    let nose = [(cx - s * 0.08, cy + s * 0.2), (cx + s * 0.08, cy + s * 0.2), (cx, cy + s * 0.3)];
    brush.fill(&Outline::polygon(&nose), second);
}
