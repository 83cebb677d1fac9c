//! How does the same thing look in another colour? The strongest colour near the middle, where the goods are, is turned
//! to another hue; white, grey, other colours and the ground stay. A colour that is stored is none.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use crate::dice::Dice;

/// What becomes of the colour of goods in a query that must not be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recolours {
    /// Another hue.
    Turned,
    /// Another hue, or paler, stronger, lighter or darker: what goods are sold in, and harder to tell from a photo that
    /// was toned.
    All,
}

/// Mean difference, 0 to 255 over all samples, that a new colour must make to count as one. `recolour` in
/// models/edits.py asks for 8, but turns the ground, too; at 4 some new colours could hardly be seen.
const LEAST_DIFFERENCE: f64 = 6.0;

/// Chroma (0 to 1) below which a pixel has no colour to turn, and from which on it is turned wholly.
const CHROMA: (f32, f32) = (0.08, 0.2);

/// Distance in degrees from the strongest hue up to which a pixel is turned wholly, and from which on not at all.
const REACH_DEGREES: (f32, f32) = (35.0, 60.0);

const HUE_BINS: usize = 36;

/// The rim is what lies nearer than this to an edge, as a share of the side.
const RIM: f32 = 0.08;

/// The share of the rim that may have the colour of the goods.
const MOST_GROUND: f32 = 0.2;

/// How far the new colour must be from that of every stored variant, in steps of 255 of the channel that differs most:
/// goods turned to the colour of a stored variant show that variant.
const LEAST_APART: f32 = 40.0;

/// How many changes are thrown for a picture whose new colours are taken.
const TRIES: usize = 6;

/// `picture` in another colour; `None` when it has too little of any for the change to show, or when one of `variants`,
/// which show the same goods in other colours, has each of the [`TRIES`] new colours.
pub(super) fn recoloured(
    picture: &RgbImage,
    recolours: Recolours,
    dice: &mut Dice,
    variants: &[RgbImage],
) -> Option<RgbImage> {
    let goods = Goods::of(picture)?;
    for _ in 0..TRIES {
        let (other, difference) = goods.changed(picture, Change::any(recolours, dice));
        if difference < LEAST_DIFFERENCE {
            return None;
        }
        if !variants.iter().any(|variant| goods.have_the_colour(&other, variant)) {
            return Some(other);
        }
    }
    None
}

/// The pixels of a picture that have its strongest colour.
struct Goods {
    width: u32,
    height: u32,
    /// 0 to 1 for each pixel, row by row: how far it is changed.
    weights: Vec<f32>,
}

impl Goods {
    fn of(picture: &RgbImage) -> Option<Self> {
        let strongest = strongest_hue(picture)?;
        let weight = |pixel: &Rgb<u8>| {
            let (hue, chroma, _) = hue_chroma_value(*pixel);
            let apart = ((hue - strongest + 540.0) % 360.0 - 180.0).abs();
            ramp(chroma, CHROMA.0, CHROMA.1) * (1.0 - ramp(apart, REACH_DEGREES.0, REACH_DEGREES.1))
        };
        let (width, height) = picture.dimensions();
        Some(Self { width, height, weights: picture.pixels().map(weight).collect() })
    }

    /// Whether a variant has the new colour: in the same place, or wherever its own strongest colour is.
    fn have_the_colour(&self, new: &RgbImage, variant: &RgbImage) -> bool {
        let colour = self.mean(new);
        let is_near = |other: [f32; 3]| colour.iter().zip(other).all(|(a, b)| (a - b).abs() < LEAST_APART);
        let in_place = imageops::resize(variant, self.width, self.height, FilterType::Triangle);
        is_near(self.mean(&in_place)) || Self::of(variant).is_some_and(|goods| is_near(goods.mean(variant)))
    }

    /// The mean colour of the goods in a picture of this size.
    fn mean(&self, picture: &RgbImage) -> [f32; 3] {
        let (mut sum, mut count) = ([0.0; 3], 1e-3);
        for (pixel, weight) in picture.pixels().zip(&self.weights) {
            count += weight;
            for (sum, sample) in sum.iter_mut().zip(pixel.0) {
                *sum += weight * f32::from(sample);
            }
        }
        sum.map(|sum| sum / count)
    }

    /// `picture` with its goods changed, and the mean difference, 0 to 255 over all samples.
    fn changed(&self, picture: &RgbImage, change: Change) -> (RgbImage, f64) {
        let mut out = picture.clone();
        let mut difference = 0.0;
        for (pixel, weight) in out.pixels_mut().zip(&self.weights).filter(|(_, weight)| **weight > 0.0) {
            let turned = change.of(*pixel);
            for (channel, new) in pixel.0.iter_mut().zip(turned) {
                let old = f32::from(*channel);
                *channel = (old + (new - old) * weight).round().clamp(0.0, 255.0) as u8;
                difference += f64::from((f32::from(*channel) - old).abs());
            }
        }
        (out, difference / f64::from(self.width * self.height * 3))
    }
}

/// The hue in degrees that has the most chroma near the middle, of those that the ground does not have: the same goods
/// on another ground are the same goods.
fn strongest_hue(picture: &RgbImage) -> Option<f32> {
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let (mut inner, mut rim) = ([0.0_f32; HUE_BINS], [0.0_f32; HUE_BINS]);
    let mut rim_pixels = 0.0;
    for (x, y, pixel) in picture.enumerate_pixels() {
        let (dx, dy) = ((x as f32 + 0.5) / width - 0.5, (y as f32 + 0.5) / height - 0.5);
        let on_rim = dx.abs().max(dy.abs()) > 0.5 - RIM;
        rim_pixels += f32::from(u8::from(on_rim));
        let (hue, chroma, _) = hue_chroma_value(*pixel);
        if chroma < CHROMA.0 {
            continue;
        }
        let bin = (hue / 360.0 * HUE_BINS as f32) as usize % HUE_BINS;
        if on_rim {
            rim[bin] += 1.0;
        } else {
            inner[bin] += chroma * (-(dx * dx + dy * dy) / 0.08).exp();
        }
    }
    // A colour lies across bins: neighbours count, and on the ground all that a turn would reach.
    let around = |bins: &[f32; HUE_BINS], i: usize, reach: usize| -> f32 {
        (0..=2 * reach).map(|step| bins[(i + HUE_BINS + step - reach) % HUE_BINS]).sum()
    };
    let reach = (REACH_DEGREES.1 / 360.0 * HUE_BINS as f32) as usize;
    let best = (0..HUE_BINS)
        .filter(|&i| around(&rim, i, reach) <= MOST_GROUND * rim_pixels)
        .max_by(|&a, &b| around(&inner, a, 1).total_cmp(&around(&inner, b, 1)))?;
    (around(&inner, best, 1) > 0.0).then_some((best as f32 + 0.5) * 360.0 / HUE_BINS as f32)
}

/// 0 up to `low`, 1 from `high`, straight between.
fn ramp(value: f32, low: f32, high: f32) -> f32 {
    ((value - low) / (high - low)).clamp(0.0, 1.0)
}

/// Hue in degrees (0 for grey), chroma and value, both 0 to 1.
fn hue_chroma_value(Rgb(samples): Rgb<u8>) -> (f32, f32, f32) {
    let [r, g, b] = samples.map(|sample| f32::from(sample) / 255.0);
    let value = r.max(g).max(b);
    let chroma = value - r.min(g).min(b);
    if chroma <= 0.0 {
        return (0.0, 0.0, value);
    }
    let sixth = if value <= r {
        (g - b) / chroma
    } else if value <= g {
        (b - r) / chroma + 2.0
    } else {
        (r - g) / chroma + 4.0
    };
    ((sixth * 60.0 + 360.0) % 360.0, chroma, value)
}

/// What happens to the colour of the goods.
#[derive(Clone, Copy, Debug)]
struct Change {
    turn_degrees: f32,
    /// Factor of the saturation.
    saturation: f32,
    /// Factor of the value ...
    dark: f32,
    /// ... and the share of the way from there to white.
    light: f32,
}

impl Change {
    const NONE: Self = Self { turn_degrees: 0.0, saturation: 1.0, dark: 1.0, light: 0.0 };

    /// Ranges as in models/verifier.py, but for the hue.
    fn any(recolours: Recolours, dice: &mut Dice) -> Self {
        let manner = if recolours == Recolours::All { dice.below(7) } else { 0 };
        let (first, second) = (dice.unit(), if manner > 0 { dice.unit() } else { 0.0 });
        match manner {
            3 => Self { saturation: 0.35 * first, ..Self::NONE },
            4 => Self { saturation: 1.8 + 0.8 * first, turn_degrees: 345.0 + 30.0 * second, ..Self::NONE },
            5 => Self { light: 0.4 + 0.35 * first, saturation: 0.4 + 0.5 * second, ..Self::NONE },
            6 => Self { dark: 0.3 + 0.3 * first, ..Self::NONE },
            _ => Self { turn_degrees: 60.0 + 240.0 * first, ..Self::NONE },
        }
    }

    /// The pixel in its new colour, samples 0 to 255.
    fn of(&self, pixel: Rgb<u8>) -> [f32; 3] {
        let (hue, chroma, value) = hue_chroma_value(pixel);
        let sixth = (hue + self.turn_degrees) % 360.0 / 60.0;
        let saturation = if value > 0.0 { (chroma / value * self.saturation).min(1.0) } else { 0.0 };
        let darker = value * self.dark;
        let value = darker + (1.0 - darker) * self.light;
        let chroma = saturation * value;
        // Each channel follows one wave, a third of the circle apart.
        [5.0, 3.0, 1.0].map(|offset: f32| {
            let at = (offset + sixth) % 6.0;
            (value - chroma * at.min(4.0 - at).clamp(0.0, 1.0)) * 255.0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::{Brush, Outline, Tint};
    use tiny_skia::Transform;

    fn red_disc_on_white() -> RgbImage {
        let mut picture = RgbImage::from_pixel(100, 100, Rgb([250, 250, 250]));
        let mut brush = Brush::new(100, 100, Transform::identity());
        brush.fill(&Outline::oval(50.0, 50.0, 30.0, 30.0), Tint::rgb(200, 30, 30));
        brush.fill(&Outline::rect(0.0, 90.0, 100.0, 10.0), Tint::rgb(30, 60, 200));
        brush.lay_over(&mut picture);
        picture
    }

    #[test]
    fn the_goods_change_colour_and_the_ground_and_other_colours_stay() {
        let before = red_disc_on_white();
        let after = recoloured(&before, Recolours::Turned, &mut Dice::of(&[1]), &[]).unwrap();
        assert_eq!(after.get_pixel(2, 2), before.get_pixel(2, 2));
        assert_eq!(after.get_pixel(50, 95), before.get_pixel(50, 95));
        let (hue, ..) = hue_chroma_value(*after.get_pixel(50, 50));
        assert!((60.0..=300.0).contains(&hue), "{hue}");
    }

    #[test]
    fn goods_are_not_given_the_colour_of_a_stored_variant() {
        let before = red_disc_on_white();
        for seed in 0..20 {
            let first = recoloured(&before, Recolours::Turned, &mut Dice::of(&[seed]), &[]).unwrap();
            // As photographed again: a little larger and brighter.
            let mut stored = imageops::resize(&first, 130, 130, FilterType::Triangle);
            stored.pixels_mut().for_each(|pixel| pixel.0 = pixel.0.map(|sample| sample.saturating_add(9)));
            let second = recoloured(&before, Recolours::Turned, &mut Dice::of(&[seed]), &[stored]).unwrap();
            let (one, other) = (first.get_pixel(50, 50).0, second.get_pixel(50, 50).0);
            assert!(one.iter().zip(other).any(|(a, b)| a.abs_diff(b) > 30), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_stored_variant_of_another_colour_changes_nothing() {
        let before = red_disc_on_white();
        let first = recoloured(&before, Recolours::Turned, &mut Dice::of(&[1]), &[]).unwrap();
        let again =
            recoloured(&before, Recolours::Turned, &mut Dice::of(&[1]), std::slice::from_ref(&before))
                .unwrap();
        assert!(first == again);
    }

    #[test]
    fn a_coloured_ground_alone_is_not_turned() {
        let mut picture = RgbImage::from_pixel(100, 100, Rgb([190, 40, 110]));
        let mut brush = Brush::new(100, 100, Transform::identity());
        brush.fill(&Outline::oval(50.0, 50.0, 30.0, 30.0), Tint::rgb(240, 240, 238));
        brush.lay_over(&mut picture);
        assert!(recoloured(&picture, Recolours::All, &mut Dice::of(&[1]), &[]).is_none());
    }

    #[test]
    fn a_grey_picture_has_no_colour_to_change() {
        let grey = RgbImage::from_fn(40, 40, |x, y| Rgb([(x * y % 256) as u8; 3]));
        assert!(recoloured(&grey, Recolours::All, &mut Dice::of(&[1]), &[]).is_none());
    }

    #[test]
    fn a_turn_by_nothing_changes_nothing() {
        for pixel in [[200, 30, 30], [12, 200, 99], [7, 8, 200], [255, 255, 255], [0, 0, 0], [90, 90, 12]] {
            for (new, old) in Change::NONE.of(Rgb(pixel)).into_iter().zip(pixel) {
                assert!((new - f32::from(old)).abs() < 0.01, "{new} {old}");
            }
        }
        let turn = Change { turn_degrees: 120.0, ..Change::NONE };
        let [r, g, b] = turn.of(Rgb([200, 30, 30]));
        assert!((r - 30.0).abs() < 0.01 && (g - 200.0).abs() < 0.01 && (b - 30.0).abs() < 0.01);
    }

    #[test]
    fn goods_also_come_paler_lighter_and_darker() {
        let before = red_disc_on_white();
        let (_, chroma, value) = hue_chroma_value(*before.get_pixel(50, 50));
        let mut found = [false; 3];
        for seed in 0..60 {
            let Some(after) = recoloured(&before, Recolours::All, &mut Dice::of(&[seed]), &[]) else {
                continue;
            };
            let (_, new_chroma, new_value) = hue_chroma_value(*after.get_pixel(50, 50));
            found[0] |= new_chroma < chroma / 2.0 && (new_value - value).abs() < 0.01;
            found[1] |= new_value > value + 0.05;
            found[2] |= new_value < value * 0.7;
            assert_eq!(after.get_pixel(50, 95), before.get_pixel(50, 95), "another colour stays");
        }
        assert_eq!(found, [true; 3]);
    }
}
