//! What is a shape filled with?

use tiny_skia::{Color, GradientStop, LinearGradient, Point, RadialGradient, Shader, SpreadMode, Transform};

/// A colour with opacity: channels 0.0 to 1.0, not premultiplied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tint {
    pub(crate) r: f32,
    pub(crate) g: f32,
    pub(crate) b: f32,
    pub(crate) a: f32,
}

impl Tint {
    pub(crate) const WHITE: Self = Self::rgb(255, 255, 255);
    pub(crate) const BLACK: Self = Self::rgb(0, 0, 0);
    pub(crate) const CLEAR: Self = Self { r: 1.0, g: 1.0, b: 1.0, a: 0.0 };

    pub(crate) const fn rgb(r: u8, g: u8, b: u8) -> Self {
        Self { r: r as f32 / 255.0, g: g as f32 / 255.0, b: b as f32 / 255.0, a: 1.0 }
    }

    /// `t` of 0.0 is `self`, 1.0 is `other`.
    pub(crate) fn mix(self, other: Self, t: f32) -> Self {
        let between = |a: f32, b: f32| a + (b - a) * t;
        Self {
            r: between(self.r, other.r),
            g: between(self.g, other.g),
            b: between(self.b, other.b),
            a: between(self.a, other.a),
        }
    }

    pub(crate) fn lighter(self, t: f32) -> Self {
        self.mix(Self { a: self.a, ..Self::WHITE }, t)
    }

    pub(crate) fn darker(self, t: f32) -> Self {
        self.mix(Self { a: self.a, ..Self::BLACK }, t)
    }

    pub(crate) fn alpha(self, a: f32) -> Self {
        Self { a, ..self }
    }

    /// Perceived brightness, 0.0 to 1.0.
    pub(crate) fn luma(self) -> f32 {
        0.299 * self.r + 0.587 * self.g + 0.114 * self.b
    }

    fn color(self) -> Color {
        let unit = |v: f32| v.clamp(0.0, 1.0);
        Color::from_rgba(unit(self.r), unit(self.g), unit(self.b), unit(self.a)).unwrap_or(Color::TRANSPARENT)
    }
}

/// A flat colour or a gradient, in design units (0 to 1000).
#[derive(Clone, Debug)]
pub(crate) enum Ink {
    Flat(Tint),
    Linear { from: (f32, f32), to: (f32, f32), stops: Vec<(f32, Tint)> },
    Radial { centre: (f32, f32), radius: f32, stops: Vec<(f32, Tint)> },
}

impl From<Tint> for Ink {
    fn from(tint: Tint) -> Self {
        Self::Flat(tint)
    }
}

impl Ink {
    pub(crate) fn across(x0: f32, x1: f32, stops: &[(f32, Tint)]) -> Self {
        Self::Linear { from: (x0, 0.0), to: (x1, 0.0), stops: stops.to_vec() }
    }

    pub(crate) fn down(y0: f32, y1: f32, stops: &[(f32, Tint)]) -> Self {
        Self::Linear { from: (0.0, y0), to: (0.0, y1), stops: stops.to_vec() }
    }

    pub(crate) fn glow(cx: f32, cy: f32, radius: f32, stops: &[(f32, Tint)]) -> Self {
        Self::Radial { centre: (cx, cy), radius, stops: stops.to_vec() }
    }

    /// A round body of colour `c` between two edges, lit from the left.
    pub(crate) fn cylinder(x0: f32, x1: f32, c: Tint) -> Self {
        Self::across(
            x0,
            x1,
            &[
                (0.0, c.darker(0.30)),
                (0.10, c.darker(0.04)),
                (0.26, c.lighter(0.34)),
                (0.44, c.lighter(0.04)),
                (0.76, c.darker(0.20)),
                (0.94, c.darker(0.42)),
                (1.0, c.darker(0.30)),
            ],
        )
    }

    /// A ball or cushion of colour `c`, lit from the upper left.
    pub(crate) fn ball(cx: f32, cy: f32, radius: f32, c: Tint) -> Self {
        Self::glow(
            cx - radius * 0.35,
            cy - radius * 0.4,
            radius * 1.5,
            &[(0.0, c.lighter(0.38)), (0.4, c), (1.0, c.darker(0.45))],
        )
    }

    pub(crate) fn shader(&self) -> Option<Shader<'static>> {
        let stops = |list: &[(f32, Tint)]| {
            list.iter().map(|&(at, tint)| GradientStop::new(at, tint.color())).collect::<Vec<_>>()
        };
        let point = |(x, y)| Point::from_xy(x, y);
        match self {
            Self::Flat(tint) => Some(Shader::SolidColor(tint.color())),
            Self::Linear { from, to, stops: list } => LinearGradient::new(
                point(*from),
                point(*to),
                stops(list),
                SpreadMode::Pad,
                Transform::identity(),
            ),
            Self::Radial { centre, radius, stops: list } => RadialGradient::new(
                point(*centre),
                0.0,
                point(*centre),
                *radius,
                stops(list),
                SpreadMode::Pad,
                Transform::identity(),
            ),
        }
    }
}
