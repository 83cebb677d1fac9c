//! Pictures on which a provider's vectors are compared with the CPU's: drawn, always the same, of several kinds.

use image::{Rgb, RgbImage};

use crate::tensor::{Preprocessor, Tensor, TensorError, TensorSpec};

const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;
/// Of each kind there are two, with other colours and in another place.
const VARIETIES: u32 = 2;
/// White, as behind most goods.
const GROUND: [u8; 3] = [255; 3];

type Pixel = fn(variety: u32, x: u32, y: u32) -> [u8; 3];

const KINDS: [Pixel; 8] = [gradient, stripes, checks, rings, grain, clouds, on_plain_ground, pieces];

/// As a model wants them.
pub(super) fn tensors(spec: &TensorSpec) -> Result<Vec<Tensor>, TensorError> {
    let mut preprocessor = Preprocessor::new(spec.clone());
    pictures().iter().map(|picture| preprocessor.tensor_of(picture)).collect()
}

fn pictures() -> Vec<RgbImage> {
    let each = (0..VARIETIES).flat_map(|variety| KINDS.map(|kind| (variety, kind)));
    each.map(|(variety, kind)| RgbImage::from_fn(WIDTH, HEIGHT, |x, y| Rgb(kind(variety, x, y)))).collect()
}

fn gradient(variety: u32, x: u32, y: u32) -> [u8; 3] {
    let (across, down) = (x * 255 / WIDTH, y * 255 / HEIGHT);
    [byte(across), byte(down), byte((across + down + 128 * variety) / 3)]
}

fn stripes(variety: u32, x: u32, y: u32) -> [u8; 3] {
    colour(variety, (x + 2 * y) / (9 + 14 * variety) % 2)
}

fn checks(variety: u32, x: u32, y: u32) -> [u8; 3] {
    let side = 20 + 24 * variety;
    colour(2 + variety, (x / side + y / side) % 2)
}

fn rings(variety: u32, x: u32, y: u32) -> [u8; 3] {
    colour(4 + variety, squared_distance(x, y, 160, 120) / (1200 + 2400 * variety) % 3)
}

/// Coarse noise.
fn grain(variety: u32, x: u32, y: u32) -> [u8; 3] {
    let side = 3 + 5 * variety;
    colour(6 + variety, x / side + WIDTH * (y / side))
}

/// Soft noise: colours of a lattice, and between them what lies between.
fn clouds(variety: u32, x: u32, y: u32) -> [u8; 3] {
    const SIDE: u32 = 40;
    let (column, row) = (x / SIDE, y / SIDE);
    let (right, down) = (x % SIDE, y % SIDE);
    let corner = |column: u32, row: u32| colour(8 + variety, column + WIDTH * row);
    let corners = [
        (corner(column, row), (SIDE - right) * (SIDE - down)),
        (corner(column + 1, row), right * (SIDE - down)),
        (corner(column, row + 1), (SIDE - right) * down),
        (corner(column + 1, row + 1), right * down),
    ];
    [0, 1, 2].map(|channel| {
        let sum: u32 = corners.iter().map(|(colour, share)| u32::from(colour[channel]) * share).sum();
        byte(sum / (SIDE * SIDE))
    })
}

/// A round thing that is lighter on one side, on white.
fn on_plain_ground(variety: u32, x: u32, y: u32) -> [u8; 3] {
    if squared_distance(x, y, 150 + 30 * variety, 125) > 90 * 90 {
        return GROUND;
    }
    colour(10 + variety, 0).map(|channel| byte(u32::from(channel) * (120 + x) / WIDTH))
}

/// Rectangles over one another, on white.
fn pieces(variety: u32, x: u32, y: u32) -> [u8; 3] {
    let covers = |piece: &u32| {
        let [left, top, width, height] = scattered(97 * variety + piece).to_le_bytes().map(u32::from);
        (left..=left + 20 + width / 3).contains(&x) && (top..=top + 20 + height / 3).contains(&y)
    };
    (0..24).rev().find(covers).map_or(GROUND, |piece| colour(12 + variety, piece))
}

fn squared_distance(x: u32, y: u32, to_x: u32, to_y: u32) -> u32 {
    x.abs_diff(to_x).pow(2) + y.abs_diff(to_y).pow(2)
}

/// Colour number `n` of a palette.
fn colour(palette: u32, n: u32) -> [u8; 3] {
    let [red, green, blue, _] = scattered(scattered(palette).wrapping_add(n)).to_le_bytes();
    [red, green, blue]
}

fn byte(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

/// Other numbers for near ones.
fn scattered(n: u32) -> u32 {
    let n = (n ^ (n >> 16)).wrapping_mul(0x7feb_352d);
    let n = (n ^ (n >> 15)).wrapping_mul(0x846c_a68b);
    n ^ (n >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drawn_pictures_are_always_the_same_and_each_another_one_with_something_on_it() {
        let (drawn, again) = (pictures(), pictures());
        assert_eq!(drawn.len(), 16);
        assert_eq!(drawn, again);
        for (place, picture) in drawn.iter().enumerate() {
            assert!(drawn[place + 1..].iter().all(|other| other != picture), "{place}");
            let first = picture.get_pixel(0, 0);
            assert!(picture.pixels().filter(|pixel| *pixel != first).count() > 1000, "{place}");
        }
    }
}
