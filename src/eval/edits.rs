//! What do resellers do to a photo that was seen before? Seeded edits, in the spirit of models/edits.py.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use tiny_skia::Transform;

use crate::dice::Dice;
use crate::drawing::poster::{self, HEADLINES, LINES, POINTS};
use crate::drawing::{Brush, Outline, Tint, width, write};

const LETTERS: &[u8] = b"ABCDEFGHKLMNPRSTUVWXYZ0123456789 -%";

/// One thing that is done to a picture.
pub(super) struct Edit {
    pub(super) name: &'static str,
    /// JPEG quality with which the result is saved, lowest and highest.
    pub(super) quality: (u8, u8),
    apply: fn(&RgbImage, &mut Dice, &dyn Others) -> RgbImage,
}

/// Where pictures come from that are not stored, for collages and scenes.
pub(super) trait Others {
    /// One of them, at least 1 x 1 pixel.
    fn another(&self, dice: &mut Dice) -> RgbImage;
}

pub(super) const EDITS: [Edit; 12] = [
    Edit { name: "jpeg", quality: (60, 85), apply: |picture, _, _| picture.clone() },
    Edit { name: "resize", ..Edit::new(resize) },
    Edit { name: "crop70", ..Edit::new(|picture, dice, _| crop(picture, dice, 0.7)) },
    Edit { name: "crop40", ..Edit::new(|picture, dice, _| crop(picture, dice, 0.4)) },
    Edit { name: "banner", ..Edit::new(banner) },
    Edit { name: "pad", ..Edit::new(pad) },
    Edit { name: "mirror", ..Edit::new(|picture, _, _| imageops::flip_horizontal(picture)) },
    Edit { name: "turn", ..Edit::new(turn) },
    Edit { name: "tone", ..Edit::new(|picture, dice, _| tone(picture, dice)) },
    Edit { name: "collage", ..Edit::new(collage) },
    Edit { name: "scene", ..Edit::new(scene) },
    Edit { name: "poster", ..Edit::new(on_poster) },
];

impl Edit {
    const fn new(apply: fn(&RgbImage, &mut Dice, &dyn Others) -> RgbImage) -> Self {
        // As good as shops save: the edit is to be judged, not the encoder.
        Self { name: "", quality: (88, 88), apply }
    }

    pub(super) fn apply(&self, picture: &RgbImage, dice: &mut Dice, others: &dyn Others) -> RgbImage {
        (self.apply)(picture, dice, others)
    }

    pub(super) fn quality(&self, dice: &mut Dice) -> u8 {
        let (low, high) = self.quality;
        low + dice.below(usize::from(high - low) + 1) as u8
    }
}

fn between(dice: &mut Dice, low: f32, high: f32) -> f32 {
    low + (high - low) * dice.unit()
}

fn chance(dice: &mut Dice, share: f32) -> bool {
    dice.unit() < share
}

/// `picture` with its long side at `side` pixels.
pub(super) fn scaled_to(picture: &RgbImage, side: u32) -> RgbImage {
    let long = picture.width().max(picture.height());
    let scaled = |length: u32| (length * side / long).max(1);
    imageops::resize(picture, scaled(picture.width()), scaled(picture.height()), FilterType::Triangle)
}

fn resize(picture: &RgbImage, dice: &mut Dice, _: &dyn Others) -> RgbImage {
    scaled_to(picture, 220 + dice.below(91) as u32)
}

/// Keeps the share `area` of the picture at the same aspect ratio, anywhere.
fn crop(picture: &RgbImage, dice: &mut Dice, area: f32) -> RgbImage {
    let part = |side: u32| ((side as f32 * area.sqrt()).round() as u32).clamp(1, side);
    let (w, h) = (part(picture.width()), part(picture.height()));
    let x = dice.below((picture.width() - w + 1) as usize) as u32;
    let y = dice.below((picture.height() - h + 1) as usize) as u32;
    imageops::crop_imm(picture, x, y, w, h).to_image()
}

/// A strip of text over 14 to 20 % of the height, and a half-transparent mark in the middle.
fn banner(picture: &RgbImage, dice: &mut Dice, _: &dyn Others) -> RgbImage {
    let mut out = picture.clone();
    let (w, h) = (picture.width() as f32, picture.height() as f32);
    let mut brush = Brush::new(picture.width(), picture.height(), Transform::identity());
    let tall = h * between(dice, 0.14, 0.2);
    let top = if chance(dice, 0.5) { 0.0 } else { h - tall };
    brush.fill(&Outline::rect(0.0, top, w, tall), any_tint(dice));
    let words = if chance(dice, 0.5) { letters(dice) } else { dice.pick(&HEADLINES).to_owned() };
    let size = (tall * 0.6).min(tall * 0.6 * w * 0.92 / width(&words, tall * 0.6).max(1.0));
    write(&mut brush, &words, (w * 0.04, top + tall * 0.72), size, Tint::WHITE);
    write(&mut brush, &letters(dice), (w * 0.15, h * 0.55), (w * 0.09).max(8.0), Tint::WHITE.alpha(0.47));
    brush.lay_over(&mut out);
    out
}

fn letters(dice: &mut Dice) -> String {
    (0..14).map(|_| char::from(dice.pick(LETTERS))).collect()
}

fn any_tint(dice: &mut Dice) -> Tint {
    let mut channel = || dice.below(256) as u8;
    Tint::rgb(channel(), channel(), channel())
}

fn pixel(tint: Tint) -> Rgb<u8> {
    Rgb([tint.r, tint.g, tint.b].map(|channel| (channel * 255.0).round() as u8))
}

/// White, or now and then any colour.
fn ground(dice: &mut Dice) -> Rgb<u8> {
    let any = any_tint(dice);
    if chance(dice, 0.6) { Rgb([255; 3]) } else { pixel(any) }
}

/// A rim of 8 to 25 % of the long side.
fn pad(picture: &RgbImage, dice: &mut Dice, _: &dyn Others) -> RgbImage {
    let long = picture.width().max(picture.height()) as f32;
    let (across, down) =
        ((long * between(dice, 0.08, 0.25)) as u32, (long * between(dice, 0.08, 0.25)) as u32);
    let mut out =
        RgbImage::from_pixel(picture.width() + 2 * across, picture.height() + 2 * down, ground(dice));
    imageops::replace(&mut out, picture, i64::from(across), i64::from(down));
    out
}

/// Turned by 8 to 25 degrees, whole, on a ground.
fn turn(picture: &RgbImage, dice: &mut Dice, _: &dyn Others) -> RgbImage {
    let degrees = between(dice, 8.0, 25.0) * if chance(dice, 0.5) { 1.0 } else { -1.0 };
    let (sin, cos) = degrees.abs().to_radians().sin_cos();
    let (w, h) = (picture.width() as f32, picture.height() as f32);
    let (wide, high) = ((w * cos + h * sin).ceil(), (w * sin + h * cos).ceil());
    let mut out = RgbImage::from_pixel(wide as u32, high as u32, ground(dice));
    let mut brush = Brush::new(wide as u32, high as u32, Transform::identity());
    brush.picture(picture, about_middle((w, h), (wide / 2.0, high / 2.0), degrees));
    brush.lay_over(&mut out);
    out
}

/// Puts the middle of a picture of `size` at `place`, turned.
fn about_middle((w, h): (f32, f32), (x, y): (f32, f32), degrees: f32) -> Transform {
    Transform::from_translate(x, y).pre_rotate(degrees).pre_translate(-w / 2.0, -h / 2.0)
}

/// A cast, contrast and saturation by up to 30 %, then a blur of 0.3 to 0.6 % of the long side.
fn tone(picture: &RgbImage, dice: &mut Dice) -> RgbImage {
    let bright = between(dice, 0.8, 1.2);
    let cast = [between(dice, 0.92, 1.08), between(dice, 0.92, 1.08), between(dice, 0.92, 1.08)];
    let (contrast, saturation) = (between(dice, 0.7, 1.3), between(dice, 0.7, 1.3));
    let mut out = picture.clone();
    for Rgb(samples) in out.pixels_mut() {
        let [r, g, b] = samples.map(f32::from);
        let grey = 0.299 * r + 0.587 * g + 0.114 * b;
        for (sample, cast) in samples.iter_mut().zip(cast) {
            let coloured = grey + (f32::from(*sample) - grey) * saturation;
            let toned = ((coloured - 128.0) * contrast + 128.0) * bright * cast;
            *sample = toned.round().clamp(0.0, 255.0) as u8;
        }
    }
    let long = picture.width().max(picture.height()) as f32;
    imageops::fast_blur(&out, between(dice, 0.003, 0.006) * long)
}

/// A square of `side` pixels: the middle of the picture, or the whole of it on white.
fn square(picture: &RgbImage, side: u32, whole: bool) -> RgbImage {
    if whole {
        let small = scaled_to(picture, side);
        let mut out = RgbImage::from_pixel(side, side, Rgb([255; 3]));
        let (x, y) = ((side - small.width()) / 2, (side - small.height()) / 2);
        imageops::replace(&mut out, &small, i64::from(x), i64::from(y));
        return out;
    }
    filled(picture, side, side)
}

/// Two by two squares, the picture in one of them.
fn collage(picture: &RgbImage, dice: &mut Dice, others: &dyn Others) -> RgbImage {
    let cell = 240 + dice.below(81) as u32;
    let gap = dice.below(9) as u32;
    let mut out = RgbImage::from_pixel(2 * cell + gap, 2 * cell + gap, Rgb([255; 3]));
    let mine = dice.below(4);
    let whole = chance(dice, 0.5);
    for place in 0..4 {
        let tile = if place == mine {
            square(picture, cell, whole)
        } else {
            square(&others.another(dice), cell, whole)
        };
        let (x, y) = (place as u32 % 2 * (cell + gap), place as u32 / 2 * (cell + gap));
        imageops::replace(&mut out, &tile, i64::from(x), i64::from(y));
    }
    out
}

/// Pasted at 45 to 70 % of the width, a little turned, on another picture that is out of focus.
fn scene(picture: &RgbImage, dice: &mut Dice, others: &dyn Others) -> RgbImage {
    const SIDE: u32 = 640;
    let mut out = imageops::fast_blur(&square(&others.another(dice), SIDE, false), 3.0);
    let long = between(dice, 0.45, 0.7) * SIDE as f32;
    let small = scaled_to(picture, long as u32);
    let mut brush = Brush::new(SIDE, SIDE, Transform::identity());
    let room = SIDE as f32 - long;
    let middle = (long / 2.0 + room * dice.unit(), long / 2.0 + room * dice.unit());
    let size = (small.width() as f32, small.height() as f32);
    brush.picture(&small, about_middle(size, middle, between(dice, -5.0, 5.0)));
    brush.lay_over(&mut out);
    out
}

/// In the middle of an advertisement with a headline, selling points and a price tag.
pub(super) fn on_poster(picture: &RgbImage, dice: &mut Dice, _: &dyn Others) -> RgbImage {
    const SIDE: u32 = 640;
    /// The part that words leave free, in design units: centre and longest side.
    const FREE: (f32, f32, f32) = (620.0, 530.0, 590.0);
    let mut points = POINTS;
    dice.shuffle(&mut points);
    let copy = poster::Copy {
        headline: dice.pick(&HEADLINES).to_owned(),
        line: dice.pick(&LINES).to_owned(),
        points: [points[0], points[1], points[2]].map(str::to_owned),
        price: format!("{}.{}", 1 + dice.below(200), dice.below(10)),
        layout: dice.below(3),
        colour: dice.pick(&poster::COLOURS),
    };
    let scale = SIDE as f32 / 1000.0;
    let mut brush = Brush::new(SIDE, SIDE, Transform::from_scale(scale, scale));
    poster::backdrop(&mut brush, &copy);
    let (x, y, longest) = FREE;
    let small = scaled_to(picture, (longest * scale) as u32);
    let size = (small.width() as f32, small.height() as f32);
    let to_units = Transform::from_scale(1.0 / scale, 1.0 / scale);
    brush.picture(&small, to_units.pre_concat(about_middle(size, (x * scale, y * scale), 0.0)));
    poster::overlay(&mut brush, &copy);
    let mut out = RgbImage::new(SIDE, SIDE);
    brush.lay_over(&mut out);
    out
}

/// Other goods over 20 to 45 % of the picture, near its middle: what a seller does who keeps the poster or the ground. As
/// `swap` in models/shop_edits.py.
pub(super) fn swapped(picture: &RgbImage, dice: &mut Dice, others: &dyn Others) -> RgbImage {
    let (area, shape) = (between(dice, 0.2, 0.45), between(dice, 0.7, 1.4));
    let part = |side: u32, share: f32| ((side as f32 * share.sqrt()) as u32).clamp(1, side);
    let (w, h) = (part(picture.width(), area * shape), part(picture.height(), area / shape));
    let mut place =
        |side: u32, part: u32| i64::from(((side - part) as f32 * between(dice, 0.25, 0.75)) as u32);
    let (x, y) = (place(picture.width(), w), place(picture.height(), h));
    let mut out = picture.clone();
    imageops::replace(&mut out, &filled(&others.another(dice), w, h), x, y);
    out
}

/// A print on the goods, over 3 to 12 % of the picture, near its middle: words on a patch, or a piece of another picture.
pub(super) fn printed(picture: &RgbImage, dice: &mut Dice, others: &dyn Others) -> RgbImage {
    let share = between(dice, 0.03, 0.12).sqrt();
    let (w, h) = ((picture.width() as f32 * share).max(8.0), (picture.height() as f32 * share).max(8.0));
    let (x, y) = (
        (picture.width() as f32 - w) * between(dice, 0.35, 0.65),
        (picture.height() as f32 - h) * between(dice, 0.35, 0.65),
    );
    let mut out = picture.clone();
    if chance(dice, 0.5) {
        imageops::replace(&mut out, &filled(&others.another(dice), w as u32, h as u32), x as i64, y as i64);
        return out;
    }
    let mut brush = Brush::new(picture.width(), picture.height(), Transform::identity());
    let (ground, ink) = (any_tint(dice), any_tint(dice));
    let ink = if (ground.luma() - ink.luma()).abs() > 0.35 {
        ink
    } else if ground.luma() > 0.5 {
        Tint::BLACK
    } else {
        Tint::WHITE
    };
    brush.fill(&Outline::rect(x, y, w, h), ground);
    for line in 0..2 {
        let words: String = letters(dice).chars().take(6).collect();
        let size = (h * 0.4).min(h * 0.4 * w * 0.9 / width(&words, h * 0.4).max(1.0));
        write(&mut brush, &words, (x + w * 0.05, y + h * (0.42 + 0.48 * line as f32)), size, ink);
    }
    brush.lay_over(&mut out);
    out
}

/// The picture, small, on a plain ground: at 12 to 35 % of the side. The same dice lay any picture in the same place.
pub(super) fn small_on_ground(picture: &RgbImage, dice: &mut Dice) -> RgbImage {
    const SIDE: u32 = 600;
    let mut out = RgbImage::from_pixel(SIDE, SIDE, ground(dice));
    let long = (between(dice, 0.12, 0.35) * SIDE as f32) as u32;
    let small = square(picture, long, false);
    let place = |at: f32| i64::from(((SIDE - long) as f32 * at) as u32);
    let (x, y) = (between(dice, 0.3, 0.7), between(dice, 0.3, 0.7));
    imageops::replace(&mut out, &small, place(x), place(y));
    out
}

/// A size chart: the same `layout` dice give the same table, `words` what stands in it.
pub(super) fn size_chart(layout: &mut Dice, words: &mut Dice) -> RgbImage {
    const SIDE: u32 = 480;
    let side = SIDE as f32;
    let mut out = RgbImage::from_pixel(SIDE, SIDE, Rgb([255; 3]));
    let mut brush = Brush::new(SIDE, SIDE, Transform::identity());
    let (rows, columns) = (4 + layout.below(5), 3 + layout.below(3));
    let tint = any_tint(layout).darker(0.3);
    write(&mut brush, layout.pick(&HEADLINES), (side * 0.08, side * 0.12), side * 0.07, tint);
    let (tall, wide) = (side * 0.8 / rows as f32, side * 0.9 / columns as f32);
    brush.fill(&Outline::rect(side * 0.05, side * 0.16, side * 0.9, tall), tint.lighter(0.6));
    for row in 0..rows {
        let top = side * 0.16 + tall * row as f32;
        brush.fill(&Outline::rect(side * 0.05, top, side * 0.9, 1.5), tint);
        for column in 0..columns {
            let is_head = row == 0 || column == 0;
            let text = if is_head {
                letters(layout).chars().take(3).collect()
            } else {
                (20 + words.below(110)).to_string()
            };
            let at = (side * 0.07 + wide * column as f32, top + tall * 0.7);
            write(&mut brush, &text, at, (tall * 0.5).min(wide * 0.3), tint);
        }
    }
    brush.lay_over(&mut out);
    out
}

/// The middle of `picture`, as much of it as has that shape, at this size.
fn filled(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    let scale = (picture.width() as f32 / width as f32).min(picture.height() as f32 / height as f32);
    let part = |side: u32, all: u32| ((side as f32 * scale) as u32).clamp(1, all);
    let (w, h) = (part(width, picture.width()), part(height, picture.height()));
    let (x, y) = ((picture.width() - w) / 2, (picture.height() - h) / 2);
    imageops::resize(&imageops::crop_imm(picture, x, y, w, h).to_image(), width, height, FilterType::Triangle)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;

    impl Others for Plain {
        fn another(&self, dice: &mut Dice) -> RgbImage {
            RgbImage::from_pixel(50, 70, pixel(any_tint(dice)))
        }
    }

    fn sample(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x * 3 % 256) as u8, (y * 5 % 256) as u8, 90]))
    }

    #[test]
    fn the_same_dice_make_the_same_edit_and_others_another() {
        let picture = sample(200, 150);
        for edit in EDITS {
            let made = |seed| {
                let mut dice = Dice::of(&[seed]);
                (edit.apply(&picture, &mut dice, &Plain), edit.quality(&mut dice))
            };
            assert!(made(1) == made(1), "{}", edit.name);
            assert!(edit.name == "mirror" || (2..6).any(|seed| made(seed) != made(1)), "{}", edit.name);
            assert!(edit.name == "jpeg" || made(1).0 != picture, "{}", edit.name);
        }
    }

    #[test]
    fn no_edit_fails_on_the_smallest_and_thinnest_pictures() {
        for (width, height) in [(1, 1), (1, 300), (300, 1), (2, 3)] {
            for edit in EDITS {
                let made = edit.apply(&sample(width, height), &mut Dice::of(&[9]), &Plain);
                assert!(made.width() > 0 && made.height() > 0, "{} {width}x{height}", edit.name);
            }
        }
    }

    #[test]
    fn a_crop_keeps_its_share_of_the_area_and_the_resize_its_range() {
        let picture = sample(400, 300);
        let crop = crop(&picture, &mut Dice::of(&[3]), 0.4);
        let share = f64::from(crop.width() * crop.height()) / f64::from(400 * 300);
        assert!((share - 0.4).abs() < 0.01, "{share}");
        for seed in 0..20 {
            let resized = resize(&picture, &mut Dice::of(&[seed]), &Plain);
            assert!((220..=310).contains(&resized.width()), "{}", resized.width());
        }
    }

    #[test]
    fn other_goods_take_their_share_of_the_picture_and_the_rim_stays() {
        let picture = sample(200, 150);
        for seed in 0..20 {
            let swapped = swapped(&picture, &mut Dice::of(&[seed]), &Plain);
            let changed = swapped.pixels().zip(picture.pixels()).filter(|(new, old)| new != old).count();
            let share = changed as f64 / f64::from(200 * 150);
            assert!((0.18..=0.46).contains(&share), "{share}");
            assert_eq!(swapped.get_pixel(0, 0), picture.get_pixel(0, 0));
        }
        assert_eq!(swapped(&sample(1, 1), &mut Dice::of(&[1]), &Plain).dimensions(), (1, 1));
    }

    #[test]
    fn names_are_unique() {
        let mut names = EDITS.map(|edit| edit.name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EDITS.len());
    }
}
