//! How is a shop picture made? Goods are drawn in a 1000 x 1000 design square, lit, shadowed and set before a
//! backdrop, at any size.

mod bags;
mod devices;
mod home;
mod prints;
mod vessels;
mod wear;

use image::RgbImage;
use tiny_skia::{Pixmap, Transform};

use crate::dice::mix;
use crate::drawing::{Brush, Ink, Outline, Tint, blur, everywhere, poster};

pub(super) use prints::Print;

/// How a kind of goods is drawn, and how it lies before the camera.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    draw: fn(&mut Brush, &Look),
    /// Standing goods have their shadow under them, lying ones behind them.
    stands: bool,
    /// What a close-up looks at, in design units.
    focus: (f32, f32),
    weave: Weave,
}

/// The texture of the surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weave {
    Smooth,
    Cloth,
    Leather,
}

impl Subject {
    const fn new(draw: fn(&mut Brush, &Look), stands: bool, focus: (f32, f32), weave: Weave) -> Self {
        Self { draw, stands, focus, weave }
    }

    pub(super) const MUG: Self = Self::new(vessels::mug, true, (470.0, 480.0), Weave::Smooth);
    pub(super) const BOTTLE: Self = Self::new(vessels::bottle, true, (500.0, 440.0), Weave::Smooth);
    pub(super) const KETTLE: Self = Self::new(vessels::kettle, true, (500.0, 540.0), Weave::Smooth);
    pub(super) const TSHIRT: Self = Self::new(wear::tshirt, false, (500.0, 420.0), Weave::Cloth);
    pub(super) const CAP: Self = Self::new(wear::cap, false, (480.0, 500.0), Weave::Cloth);
    pub(super) const SNEAKER: Self = Self::new(wear::sneaker, true, (520.0, 560.0), Weave::Cloth);
    pub(super) const HANDBAG: Self = Self::new(bags::handbag, true, (500.0, 560.0), Weave::Leather);
    pub(super) const BACKPACK: Self = Self::new(bags::backpack, true, (500.0, 520.0), Weave::Cloth);
    pub(super) const LAMP: Self = Self::new(home::lamp, true, (500.0, 360.0), Weave::Cloth);
    pub(super) const CHAIR: Self = Self::new(home::chair, true, (500.0, 450.0), Weave::Cloth);
    pub(super) const TOY_CAR: Self = Self::new(home::toy_car, true, (520.0, 560.0), Weave::Smooth);
    pub(super) const WATCH: Self = Self::new(devices::watch, false, (500.0, 500.0), Weave::Leather);
    pub(super) const HEADPHONES: Self = Self::new(devices::headphones, false, (500.0, 520.0), Weave::Smooth);
    pub(super) const PHONE_CASE: Self = Self::new(devices::phone_case, false, (480.0, 420.0), Weave::Smooth);
}

/// Everything that tells one good's body from another's.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) base: Tint,
    pub(super) accent: Tint,
    pub(super) second: Tint,
    /// Metal and caps.
    pub(super) trim: Tint,
    /// Free proportions of the model, each 0.0 to 1.0; what they mean is up to the kind of goods.
    pub(super) shape: [f32; 4],
    /// A build of the part that look-alikes differ in: 0, 1 or 2.
    pub(super) detail: usize,
    pub(super) print: Print,
    /// Seen from the side: prints move to the edge.
    pub(super) turned: bool,
}

impl Look {
    /// The accent, or the second colour where the accent would not show on `ground`.
    fn accent_on(&self, ground: Tint) -> Tint {
        if (self.accent.luma() - ground.luma()).abs() > 0.12 { self.accent } else { self.second }
    }

    fn lace(&self) -> Tint {
        if self.base.luma() > 0.8 { self.accent.mix(Tint::WHITE, 0.2) } else { Tint::rgb(244, 243, 238) }
    }
}

/// What is behind the goods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Backdrop {
    White,
    /// Light grey, brighter in the middle.
    Studio,
    /// A soft wall in this tint.
    Wall(Tint),
    /// A wall in this tint over a table top.
    Table(Tint),
}

/// Where the camera stands.
#[derive(Clone, Debug)]
pub(super) enum Camera {
    Front,
    Side,
    Angled,
    CloseUp,
    Poster(poster::Copy),
}

/// One picture to be made.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) subject: Subject,
    pub(super) look: Look,
    pub(super) backdrop: Backdrop,
    pub(super) camera: Camera,
    /// Size of the goods in the frame, about 0.8 to 1.0.
    pub(super) fill: f32,
    /// Seeds the surface grain and the sensor noise.
    pub(super) grain: u64,
}

/// Renders `scene` at `width` x `height` pixels, each 1 to 4096. The same scene and size give the same pixels.
pub(super) fn render(scene: &Scene, width: u32, height: u32) -> RgbImage {
    let (w, h) = (width.clamp(1, 4096) as f32, height.clamp(1, 4096) as f32);
    let scale = w.min(h) / 1000.0;
    let to_pixels =
        Transform::from_row(scale, 0.0, 0.0, scale, (w - 1000.0 * scale) / 2.0, (h - 1000.0 * scale) / 2.0);

    let mut goods = Brush::new(width, height, to_pixels.pre_concat(view(scene)));
    (scene.subject.draw)(&mut goods, &scene.look);
    light(&mut goods, scene);
    texture(&mut goods, scene);

    let mut picture = Brush::new(width, height, to_pixels);
    match &scene.camera {
        Camera::Poster(copy) => poster::backdrop(&mut picture, copy),
        _ => backdrop(&mut picture, scene.backdrop),
    }
    shadow(&mut picture, &goods, scene);
    picture.layer_mut().draw_pixmap(
        0,
        0,
        goods.layer().as_ref(),
        &tiny_skia::PixmapPaint::default(),
        Transform::identity(),
        None,
    );
    if let Camera::Poster(copy) = &scene.camera {
        poster::overlay(&mut picture, copy);
    }
    develop(picture.layer(), scene.grain)
}

/// From the drawing of the goods to the frame, both in design units.
fn view(scene: &Scene) -> Transform {
    let about = |t: Transform, x: f32, y: f32| t.pre_translate(-x, -y).post_translate(x, y);
    let f = scene.fill;
    match scene.camera {
        Camera::Front => about(Transform::from_scale(f, f), 500.0, 520.0),
        Camera::Side => about(Transform::from_row(-0.74 * f, 0.02, 0.0, f, 0.0, 0.0), 500.0, 520.0),
        Camera::Angled => about(
            Transform::from_row(0.84 * f, 0.0, -0.12, 0.86 * f, 0.0, 0.0).pre_rotate(-11.0),
            500.0,
            520.0,
        ),
        Camera::CloseUp => {
            let (x, y) = scene.subject.focus;
            Transform::from_scale(1.75, 1.75).pre_translate(-x, -y).post_translate(500.0, 500.0)
        }
        Camera::Poster(_) => {
            about(Transform::from_scale(0.64, 0.64), 500.0, 520.0).post_translate(100.0, 20.0)
        }
    }
}

fn backdrop(picture: &mut Brush, kind: Backdrop) {
    let all = everywhere();
    match kind {
        Backdrop::White => picture.fill(&all, Tint::rgb(254, 254, 254)),
        Backdrop::Studio => {
            picture.fill(
                &all,
                Ink::glow(
                    500.0,
                    430.0,
                    760.0,
                    &[(0.0, Tint::rgb(250, 250, 251)), (1.0, Tint::rgb(216, 218, 222))],
                ),
            );
        }
        Backdrop::Wall(c) => {
            picture.fill(
                &all,
                Ink::glow(380.0, 330.0, 950.0, &[(0.0, c.lighter(0.35)), (0.6, c), (1.0, c.darker(0.12))]),
            );
        }
        Backdrop::Table(c) => {
            picture.fill(&all, Ink::down(0.0, 760.0, &[(0.0, c.lighter(0.18)), (1.0, c)]));
            let wood = Tint::rgb(206, 170, 128);
            let top = Outline::rect(-1500.0, 740.0, 4000.0, 2000.0);
            picture.fill(
                &top,
                Ink::down(740.0, 1000.0, &[(0.0, wood.darker(0.2)), (0.12, wood), (1.0, wood.lighter(0.15))]),
            );
            for i in 0_u8..14 {
                let y = 752.0 + f32::from(i) * f32::from(i) * 2.2;
                let vein = Outline::at(-1500.0, y).bend(300.0, y + 10.0, 900.0, y - 4.0).bend(
                    1200.0,
                    y - 10.0,
                    2500.0,
                    y + 6.0,
                );
                picture.line(&vein, 2.0, wood.darker(0.3).alpha(0.35));
            }
        }
    }
}

/// One light for all: bright from the upper left, dim to the lower right.
fn light(goods: &mut Brush, scene: &Scene) {
    let side = if scene.look.turned { 1000.0 } else { 0.0 };
    let ink = Ink::Linear {
        from: (side, 80.0),
        to: (1000.0 - side, 920.0),
        stops: vec![(0.0, Tint::WHITE.alpha(0.14)), (0.45, Tint::CLEAR), (1.0, Tint::BLACK.alpha(0.16))],
    };
    goods.shade(&everywhere(), ink);
}

/// Weave and pores, drawn in design units so that a close-up shows them larger.
fn texture(goods: &mut Brush, scene: &Scene) {
    let weave = scene.subject.weave;
    let depth = match weave {
        Weave::Smooth => return,
        Weave::Cloth => 9,
        Weave::Leather => 8,
    };
    let cell = 1.0 / goods.scale().max(0.01);
    let layer = goods.layer_mut();
    let width = layer.width().max(1);
    for (i, pixel) in layer.data_mut().chunks_exact_mut(4).enumerate() {
        if pixel[3] < 128 {
            continue;
        }
        let (x, y) = ((i as u32 % width) as f32 * cell, (i as u32 / width) as f32 * cell);
        let (u, v) = ((x / 4.0) as u64, (y / 4.0) as u64);
        let noise = i32::from((mix(scene.grain ^ (u << 20) ^ v) & 0xff) as u8) - 128;
        let rib = if weave == Weave::Cloth && (u + v) % 3 == 0 { -60 } else { 0 };
        let shift = (noise + rib) * depth / 128;
        let alpha = i32::from(pixel[3]);
        for channel in &mut pixel[..3] {
            *channel = (i32::from(*channel) + shift).clamp(0, alpha) as u8;
        }
    }
}

fn shadow(picture: &mut Brush, goods: &Brush, scene: &Scene) {
    let Some((x0, x1, bottom)) = extent(goods.layer(), picture) else { return };
    let close = matches!(scene.camera, Camera::CloseUp);
    if scene.subject.stands && !close {
        let (cx, half) = (f32::midpoint(x0, x1), (x1 - x0) / 2.0);
        picture.soft(34.0, |s| {
            s.fill(&Outline::oval(cx + 24.0, bottom - 8.0, half * 0.98, 34.0), Tint::BLACK.alpha(0.30))
        });
        picture.soft(9.0, |s| {
            s.fill(&Outline::oval(cx, bottom - 8.0, half * 0.82, 12.0), Tint::BLACK.alpha(0.42))
        });
    } else {
        let mut dark = goods.layer().clone();
        for pixel in dark.data_mut().chunks_exact_mut(4) {
            pixel.copy_from_slice(&[0, 0, 0, (u16::from(pixel[3]) * 80 / 255) as u8]);
        }
        let scale = picture.scale();
        blur(&mut dark, 20.0 * scale);
        let (dx, dy) = ((14.0 * scale).round() as i32, (22.0 * scale).round() as i32);
        let paint = tiny_skia::PixmapPaint::default();
        picture.layer_mut().draw_pixmap(dx, dy, dark.as_ref(), &paint, Transform::identity(), None);
    }
}

/// Left, right and bottom edge of what is on `layer`, in `frame`'s design units.
fn extent(layer: &Pixmap, frame: &Brush) -> Option<(f32, f32, f32)> {
    let width = layer.width() as usize;
    let (mut x0, mut x1, mut bottom) = (usize::MAX, 0, 0);
    for (i, pixel) in layer.data().chunks_exact(4).enumerate() {
        if pixel[3] > 128 {
            (x0, x1, bottom) = (x0.min(i % width), x1.max(i % width), i / width);
        }
    }
    let scale = frame.scale();
    let left = (layer.width() as f32 / scale - 1000.0) / 2.0;
    let above = (layer.height() as f32 / scale - 1000.0) / 2.0;
    (x0 <= x1).then(|| (x0 as f32 / scale - left, x1 as f32 / scale - left, bottom as f32 / scale - above))
}

/// To RGB, with a little sensor noise: no shop picture is perfectly flat.
fn develop(layer: &Pixmap, grain: u64) -> RgbImage {
    let mut picture = RgbImage::new(layer.width(), layer.height());
    for (i, (from, to)) in layer.data().chunks_exact(4).zip(picture.chunks_exact_mut(3)).enumerate() {
        let bits = mix(grain.wrapping_add(i as u64));
        // Two small dice: -2 to 2, mostly 0.
        let noise = (bits & 3) as i16 + ((bits >> 8) & 1) as i16 - 2;
        for (to, &from) in to.iter_mut().zip(from) {
            *to = (i16::from(from) + noise).clamp(0, 255) as u8;
        }
    }
    picture
}
