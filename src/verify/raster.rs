//! Pixels, row by row.

/// Grey values, row by row, 0..=255.
#[derive(Clone, Debug)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<f32>,
}

/// Luma (0..=255), blue and red chroma (about -128..=127), and a fourth lane that is always 0: four lanes are one
/// register.
#[derive(Clone, Debug)]
pub(super) struct Colours {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<[f32; 4]>,
}

impl Colours {
    /// The brightness alone.
    pub(super) fn luma(&self) -> Plane {
        let values = self.pixels.iter().map(|pixel| pixel[0]).collect();
        Plane { width: self.width, height: self.height, values }
    }

    pub(super) fn long_side(&self) -> f32 {
        self.width.max(self.height) as f32
    }
}

/// Half as large, by the mean of 2 x 2 pixels; an odd last column or row counts double.
pub(super) fn averaged(picture: &Colours) -> Colours {
    let (width, height) = (picture.width.div_ceil(2), picture.height.div_ceil(2));
    let at = |x: usize, y: usize| {
        &picture.pixels[y.min(picture.height - 1) * picture.width + x.min(picture.width - 1)]
    };
    let mut pixels = Vec::with_capacity(width * height);
    for y in (0..picture.height).step_by(2) {
        for x in (0..picture.width).step_by(2) {
            let four = [at(x, y), at(x + 1, y), at(x, y + 1), at(x + 1, y + 1)];
            pixels.push([0, 1, 2, 3].map(|lane| four.iter().map(|pixel| pixel[lane]).sum::<f32>() / 4.0));
        }
    }
    Colours { width, height, pixels }
}

impl Plane {
    /// Averages 2 x 2 pixels; an odd last column or row counts double.
    pub(super) fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            let (upper, lower) = (2 * y * self.width, (2 * y + 1).min(self.height - 1) * self.width);
            for x in 0..width {
                let (left, right) = (2 * x, (2 * x + 1).min(self.width - 1));
                let sum = self.values[upper + left]
                    + self.values[upper + right]
                    + self.values[lower + left]
                    + self.values[lower + right];
                values.push(sum * 0.25);
            }
        }
        Self { width, height, values }
    }

    /// With `margin` pixels more on every side, which repeat the rim.
    pub(super) fn padded(&self, margin: usize) -> Self {
        let (width, height) = (self.width + 2 * margin, self.height + 2 * margin);
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            let y = y.saturating_sub(margin).min(self.height - 1);
            let row = &self.values[y * self.width..(y + 1) * self.width];
            values.extend(std::iter::repeat_n(row[0], margin));
            values.extend_from_slice(row);
            values.extend(std::iter::repeat_n(row[self.width - 1], margin));
        }
        Self { width, height, values }
    }

    /// Smooths by the weights 1 4 6 4 1 in both directions; the rim is repeated outwards.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "its caller compiles it for its own instructions")]
    pub(super) fn blurred(&self) -> Self {
        let (width, height) = (self.width, self.height);
        let mix = |a: f32, b: f32, c: f32, d: f32, e: f32| (a + e + 4.0 * (b + d) + 6.0 * c) * (1.0 / 16.0);
        let mut across = vec![0.0; width * height];
        let mut padded = vec![0.0; width + 4];
        for (row, out) in self.values.chunks_exact(width).zip(across.chunks_exact_mut(width)) {
            padded[2..width + 2].copy_from_slice(row);
            padded[..2].fill(row[0]);
            padded[width + 2..].fill(row[width - 1]);
            // Slices of one length, so that the loop needs no checks and is vectorised.
            let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|from| &padded[from..from + width]);
            for x in 0..width {
                out[x] = mix(a[x], b[x], c[x], d[x], e[x]);
            }
        }
        let mut values = vec![0.0; width * height];
        let row = |y: usize| &across[y * width..(y + 1) * width];
        for (y, out) in values.chunks_exact_mut(width).enumerate() {
            let (a, b, c) = (row(y.saturating_sub(2)), row(y.saturating_sub(1)), row(y));
            let (d, e) = (row((y + 1).min(height - 1)), row((y + 2).min(height - 1)));
            let out = &mut out[..width];
            for x in 0..width {
                out[x] = mix(a[x], b[x], c[x], d[x], e[x]);
            }
        }
        Self { width, height, values }
    }
}
