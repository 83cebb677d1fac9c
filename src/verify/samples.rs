//! Looking at a picture between its pixels.

use std::ops::Range;

use super::raster::Colours;

/// A picture that can be looked at between its pixels, by bilinear interpolation. Places are in pixels: the middle of the first
/// one is at 0.5, 0.5.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    pub(super) width: usize,
    pub(super) height: usize,
    /// With one more pixel on every side that repeats the rim, so that no look needs to mind it.
    rimmed: Vec<[f32; 4]>,
    /// The brightness alone, with the same rim.
    luma: Vec<f32>,
}

/// Places on a straight line through a picture, equally far from each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) start: (f32, f32),
    /// From each to the next.
    pub(super) step: (f32, f32),
}

impl Line {
    fn at(&self, place: usize) -> (f32, f32) {
        // By way of i32, which the processor has an instruction for.
        let place = place as i32 as f32;
        (self.start.0 + place * self.step.0, self.start.1 + place * self.step.1)
    }
}

/// The four pixels about a place, and how far it is from the upper left one.
struct Between {
    /// The upper left one, in the rimmed picture.
    at: usize,
    /// 0..1.
    across: f32,
    along: f32,
}

impl Samples {
    pub(super) fn of(picture: &Colours) -> Self {
        let (width, height) = (picture.width, picture.height);
        let mut rimmed = Vec::with_capacity((width + 2) * (height + 2));
        let row_into = |rimmed: &mut Vec<[f32; 4]>, y: usize| {
            let row = &picture.pixels[y * width..(y + 1) * width];
            rimmed.push(row[0]);
            rimmed.extend_from_slice(row);
            rimmed.push(row[width - 1]);
        };
        row_into(&mut rimmed, 0);
        (0..height).for_each(|y| row_into(&mut rimmed, y));
        row_into(&mut rimmed, height - 1);
        let luma = rimmed.iter().map(|pixel| pixel[0]).collect();
        Self { width, height, rimmed, luma }
    }

    /// Without the rim.
    pub(super) fn colours(&self) -> Colours {
        let rows = self.rimmed.chunks_exact(self.width + 2).skip(1).take(self.height);
        let pixels = rows.flat_map(|row| row[1..=self.width].iter().copied()).collect();
        Colours { width: self.width, height: self.height, pixels }
    }

    pub(super) fn long_side(&self) -> f32 {
        self.width.max(self.height) as f32
    }

    /// The colour at one place; `None` outside the picture.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "an inner loop of the verifier: 20 % faster")]
    pub(super) fn sample(&self, x: f32, y: f32) -> Option<[f32; 4]> {
        self.is_inside(x, y).then(|| self.mixed(&self.between(x, y)))
    }

    /// The brightness at as many places of the line as `luma` takes: which of them lie in the picture; the others stay as they were.
    pub(super) fn luma_along(&self, line: &Line, luma: &mut [f32]) -> Range<usize> {
        let inside = self.inside(line, luma.len());
        let lumas = &mut luma[inside.clone()];
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has just said that it has these instructions.
            #[expect(unsafe_code)]
            unsafe {
                x86::luma_by_avx2(self, line, inside.start, lumas);
            }
            return inside;
        }
        self.luma_anywhere(line, inside.start, lumas);
        inside
    }

    /// The same for the colours.
    pub(super) fn colours_along(&self, line: &Line, colours: &mut [[f32; 4]]) -> Range<usize> {
        let inside = self.inside(line, colours.len());
        let within = &mut colours[inside.clone()];
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has just said that it has these instructions.
            #[expect(unsafe_code)]
            unsafe {
                x86::colours_by_avx2(self, line, inside.start, within);
            }
            return inside;
        }
        self.colours_anywhere(line, inside.start, within);
        inside
    }

    /// From place `first` on, all of which lie in the picture.
    fn luma_anywhere(&self, line: &Line, first: usize, luma: &mut [f32]) {
        let stride = self.width + 2;
        for (place, luma) in luma.iter_mut().enumerate() {
            let (x, y) = line.at(first + place);
            let Between { at, across, along } = self.between(x, y);
            let (upper, lower) = (&self.luma[at..at + 2], &self.luma[at + stride..at + stride + 2]);
            *luma = part(part(upper[0], upper[1], across), part(lower[0], lower[1], across), along);
        }
    }

    fn colours_anywhere(&self, line: &Line, first: usize, colours: &mut [[f32; 4]]) {
        for (place, colour) in colours.iter_mut().enumerate() {
            let (x, y) = line.at(first + place);
            *colour = self.mixed(&self.between(x, y));
        }
    }

    fn is_inside(&self, x: f32, y: f32) -> bool {
        x >= 0.0 && y >= 0.0 && x < self.width as f32 && y < self.height as f32
    }

    /// Which of the first `count` places of the line lie in the picture: they are neighbours.
    fn inside(&self, line: &Line, count: usize) -> Range<usize> {
        let is_inside = |place: &usize| {
            let (x, y) = line.at(*place);
            self.is_inside(x, y)
        };
        let Some(first) = (0..count).find(is_inside) else { return 0..0 };
        let last = (first..count).rfind(is_inside).unwrap_or(first);
        first..last + 1
    }

    /// For a place in the picture.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost loop of the verifier")]
    fn between(&self, x: f32, y: f32) -> Between {
        let (x, y) = (x + 0.5, y + 0.5);
        // By way of i32, which the processor has an instruction for.
        let (left, top) = (x as i32, y as i32);
        let at = top as usize * (self.width + 2) + left as usize;
        Between { at, across: x - left as f32, along: y - top as f32 }
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the innermost loop of the verifier")]
    fn mixed(&self, between: &Between) -> [f32; 4] {
        let stride = self.width + 2;
        let Between { at, across, along } = *between;
        let (upper, lower) = (&self.rimmed[at..at + 2], &self.rimmed[at + stride..at + stride + 2]);
        let mut mixed = [0.0; 4];
        for lane in 0..4 {
            let above = part(upper[0][lane], upper[1][lane], across);
            mixed[lane] = part(above, part(lower[0][lane], lower[1][lane], across), along);
        }
        mixed
    }
}

/// Of one picture at several sizes that at which one pixel is nearest to `step` of the longer side.
pub(super) fn for_step(sizes: &[Samples], step: f32) -> &Samples {
    let off = |size: &Samples| (size.long_side() * step).ln().abs();
    let mut best = &sizes[0];
    for size in &sizes[1..] {
        if off(size) < off(best) {
            best = size;
        }
    }
    best
}

/// A part of the way from one number to the other.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the innermost loop of the verifier")]
fn part(one: f32, other: f32, part: f32) -> f32 {
    one + (other - one) * part
}

/// Eight places at a time: the same numbers to the bit.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code)]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m256i, _mm256_add_epi32, _mm256_add_ps, _mm256_cvtepi32_ps, _mm256_cvttps_epi32,
        _mm256_i32gather_ps, _mm256_max_epi32, _mm256_min_epi32, _mm256_mul_ps, _mm256_mullo_epi32,
        _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_ps, _mm256_setzero_si256, _mm256_storeu_ps,
        _mm256_storeu_si256, _mm256_sub_ps,
    };

    use super::{Between, Line, Samples};

    /// As [`Between`], of eight places.
    struct Eight {
        at: __m256i,
        across: __m256,
        along: __m256,
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn luma_by_avx2(samples: &Samples, line: &Line, first: usize, luma: &mut [f32]) {
        let stride = samples.width + 2;
        // The last pixel that has another to its right and a row below.
        let last = samples.luma.len() - stride - 2;
        let mut place = first;
        for luma in luma.chunks_mut(8) {
            let Eight { at, across, along } = eight(stride, last, line, place);
            // SAFETY: `at` is in 0..=last, and last + stride + 1 is the last number of the picture.
            let of = |from: usize| unsafe { _mm256_i32gather_ps::<4>(samples.luma[from..].as_ptr(), at) };
            let above = part(of(0), of(1), across);
            let below = part(of(stride), of(stride + 1), across);
            let found = part(above, below, along);
            if let Ok(luma) = <&mut [f32; 8]>::try_from(&mut *luma) {
                // SAFETY: eight numbers are written.
                unsafe { _mm256_storeu_ps(luma.as_mut_ptr(), found) };
            } else {
                luma.copy_from_slice(&numbers(found)[..luma.len()]);
            }
            place += 8;
        }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn colours_by_avx2(samples: &Samples, line: &Line, first: usize, colours: &mut [[f32; 4]]) {
        let stride = samples.width + 2;
        let last = samples.rimmed.len() - stride - 2;
        let mut place = first;
        for colours in colours.chunks_mut(8) {
            let Eight { at, across, along } = eight(stride, last, line, place);
            let (mut ats, across, along) = ([0i32; 8], numbers(across), numbers(along));
            // SAFETY: eight numbers are written.
            unsafe { _mm256_storeu_si256(ats.as_mut_ptr().cast(), at) };
            for (place, colour) in colours.iter_mut().enumerate() {
                let at = ats[place] as usize;
                *colour = samples.mixed(&Between { at, across: across[place], along: along[place] });
            }
            place += 8;
        }
    }

    /// Places `first` to `first + 7` of the line, none beyond pixel `last`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn eight(stride: usize, last: usize, line: &Line, first: usize) -> Eight {
        let places = _mm256_add_ps(
            _mm256_set1_ps(first as f32),
            _mm256_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),
        );
        let half = _mm256_set1_ps(0.5);
        let on = |start: f32, step: f32| {
            let at = _mm256_add_ps(_mm256_set1_ps(start), _mm256_mul_ps(places, _mm256_set1_ps(step)));
            _mm256_add_ps(at, half)
        };
        let (xs, ys) = (on(line.start.0, line.step.0), on(line.start.1, line.step.1));
        let (left, top) = (_mm256_cvttps_epi32(xs), _mm256_cvttps_epi32(ys));
        let at = _mm256_add_epi32(_mm256_mullo_epi32(top, _mm256_set1_epi32(stride as i32)), left);
        let at = _mm256_max_epi32(at, _mm256_setzero_si256());
        Eight {
            at: _mm256_min_epi32(at, _mm256_set1_epi32(last as i32)),
            across: _mm256_sub_ps(xs, _mm256_cvtepi32_ps(left)),
            along: _mm256_sub_ps(ys, _mm256_cvtepi32_ps(top)),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn numbers(of: __m256) -> [f32; 8] {
        let mut numbers = [0.0; 8];
        // SAFETY: eight numbers are written.
        unsafe { _mm256_storeu_ps(numbers.as_mut_ptr(), of) };
        numbers
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn part(one: __m256, other: __m256, part: __m256) -> __m256 {
        _mm256_add_ps(one, _mm256_mul_ps(_mm256_sub_ps(other, one), part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize) -> Samples {
        let pixel = |place: usize| [0, 1, 2, 3].map(|lane| (place * (7 + lane) % 256) as f32);
        Samples::of(&Colours { width, height, pixels: (0..width * height).map(pixel).collect() })
    }

    /// Through the picture, along its rims, past it, backwards, and standing still.
    fn lines() -> Vec<Line> {
        let starts = [(0.0, 0.0), (0.4, 3.7), (-6.3, 2.0), (12.99, 6.99), (40.0, 40.0)];
        let steps = [(1.0, 0.0), (0.37, 0.11), (-0.7, -0.2), (0.0, 0.0), (2.0, 1.0)];
        starts.into_iter().flat_map(|start| steps.map(|step| Line { start, step })).collect()
    }

    #[test]
    fn what_lies_along_a_line_is_what_each_place_shows() {
        let samples = picture(13, 7);
        for line in lines() {
            let (mut luma, mut colours) = ([-1.0; 29], [[-1.0; 4]; 29]);
            let inside = samples.luma_along(&line, &mut luma);
            assert_eq!(samples.colours_along(&line, &mut colours), inside);
            for place in 0..29 {
                let (x, y) = line.at(place);
                let found = samples.sample(x, y);
                assert_eq!(found.is_some(), inside.contains(&place), "{line:?} {place}");
                let colour = found.unwrap_or([-1.0; 4]);
                assert_eq!((luma[place], colours[place]), (colour[0], colour), "{line:?} {place}");
            }
        }
    }

    #[test]
    fn the_numbers_are_the_same_with_any_instructions() {
        let samples = picture(13, 7);
        for line in lines() {
            let (mut luma, mut colours) = ([-1.0; 29], [[-1.0; 4]; 29]);
            let inside = samples.luma_along(&line, &mut luma);
            samples.colours_along(&line, &mut colours);
            let (mut plain_luma, mut plain_colours) = ([-1.0; 29], [[-1.0; 4]; 29]);
            samples.luma_anywhere(&line, inside.start, &mut plain_luma[inside.clone()]);
            samples.colours_anywhere(&line, inside.start, &mut plain_colours[inside]);
            assert_eq!((luma, colours), (plain_luma, plain_colours), "{line:?}");
        }
    }
}
