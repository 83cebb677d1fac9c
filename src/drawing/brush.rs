//! How does a shape come onto the picture? Fill, stroke, clip, blur and shade on one transparent layer.

use image::RgbImage;
use tiny_skia::{
    BlendMode, FillRule, FilterQuality, LineCap, LineJoin, Mask, Paint, Pixmap, PixmapPaint, Stroke,
    Transform,
};

use super::ink::{Ink, Tint};
use super::outline::Outline;

/// Blurred layers are drawn this much smaller: they carry no detail, and a blur costs by the pixel.
const SOFT_SHRINK: u32 = 4;

/// A transparent layer with a view on it (design units to pixels) and, within [`Brush::within`], a clip.
pub(crate) struct Brush {
    layer: Pixmap,
    to_pixels: Transform,
    clip: Option<Mask>,
}

impl Brush {
    /// A clear layer; sides are held to 1 to 4096 pixels.
    pub(crate) fn new(width: u32, height: u32, to_pixels: Transform) -> Self {
        let layer =
            Pixmap::new(width.clamp(1, 4096), height.clamp(1, 4096)).expect("such sides fit a pixmap");
        Self { layer, to_pixels, clip: None }
    }

    pub(crate) fn layer(&self) -> &Pixmap {
        &self.layer
    }

    pub(crate) fn layer_mut(&mut self) -> &mut Pixmap {
        &mut self.layer
    }

    /// Pixels per design unit, roughly, under a slanted view.
    pub(crate) fn scale(&self) -> f32 {
        let t = self.to_pixels;
        (t.sx * t.sy - t.kx * t.ky).abs().sqrt()
    }

    pub(crate) fn fill(&mut self, outline: &Outline, ink: impl Into<Ink>) {
        self.paint(outline, &ink.into(), BlendMode::SourceOver, None);
    }

    /// Strokes with round ends; `width` in design units.
    pub(crate) fn line(&mut self, outline: &Outline, width: f32, ink: impl Into<Ink>) {
        self.paint(outline, &ink.into(), BlendMode::SourceOver, Some(stroke(width)));
    }

    /// A dashed stroke: seams and stitches.
    pub(crate) fn stitch(&mut self, outline: &Outline, width: f32, dash: f32, tint: Tint) {
        let mut stroke = stroke(width);
        stroke.dash = tiny_skia::StrokeDash::new(vec![dash, dash * 0.8], 0.0);
        self.paint(outline, &Ink::Flat(tint), BlendMode::SourceOver, Some(stroke));
    }

    /// Fills only where the layer already has colour: light and shade that keep to the goods.
    pub(crate) fn shade(&mut self, outline: &Outline, ink: impl Into<Ink>) {
        self.paint(outline, &ink.into(), BlendMode::SourceAtop, None);
    }

    /// Whatever `draw` does stays inside `outline`. Clips nest.
    pub(crate) fn within(&mut self, outline: &Outline, draw: impl FnOnce(&mut Self)) {
        let Some(path) = outline.path() else { return };
        let outer = self.clip.take();
        let mut inner = if let Some(mask) = &outer {
            mask.clone()
        } else {
            let mut mask = Mask::new(self.layer.width(), self.layer.height()).expect("as large as the layer");
            mask.data_mut().fill(255);
            mask
        };
        inner.intersect_path(&path, FillRule::Winding, true, self.to_pixels);
        self.clip = Some(inner);
        draw(self);
        self.clip = outer;
    }

    /// Draws on a layer of its own, blurs that by `radius` design units and lays it over this one.
    pub(crate) fn soft(&mut self, radius: f32, draw: impl FnOnce(&mut Self)) {
        let (width, height) = (self.layer.width(), self.layer.height());
        let shrink = 1.0 / SOFT_SHRINK as f32;
        let mut small = Self::new(
            width.div_ceil(SOFT_SHRINK),
            height.div_ceil(SOFT_SHRINK),
            self.to_pixels.post_scale(shrink, shrink),
        );
        draw(&mut small);
        let radius_px = radius * small.scale();
        blur(&mut small.layer, radius_px);
        let paint = PixmapPaint { quality: FilterQuality::Bilinear, ..PixmapPaint::default() };
        let grow = Transform::from_scale(SOFT_SHRINK as f32, SOFT_SHRINK as f32);
        self.layer.draw_pixmap(0, 0, small.layer.as_ref(), &paint, grow, self.clip.as_ref());
    }

    /// Draws a picture; `view` maps its pixels to design units. Meant for about its own size: a picture that is drawn
    /// much smaller shows every few of its pixels only.
    pub(crate) fn picture(&mut self, picture: &RgbImage, view: Transform) {
        let Some(mut pixels) = Pixmap::new(picture.width(), picture.height()) else { return };
        for (to, from) in pixels.data_mut().chunks_exact_mut(4).zip(picture.pixels()) {
            let [r, g, b] = from.0;
            to.copy_from_slice(&[r, g, b, 255]);
        }
        let paint = PixmapPaint { quality: FilterQuality::Bicubic, ..PixmapPaint::default() };
        let view = self.to_pixels.pre_concat(view);
        self.layer.draw_pixmap(0, 0, pixels.as_ref(), &paint, view, self.clip.as_ref());
    }

    /// What is drawn, over `ground`, which is cut or left alone where the sizes differ.
    pub(crate) fn lay_over(&self, ground: &mut RgbImage) {
        let width = self.layer.width().min(ground.width());
        let rows = self.layer.data().chunks_exact(self.layer.width() as usize * 4);
        for (y, row) in (0..ground.height()).zip(rows) {
            for (x, over) in (0..width).zip(row.chunks_exact(4)) {
                let under = ground.get_pixel_mut(x, y);
                let through = 255 - u32::from(over[3]);
                for (channel, &colour) in under.0.iter_mut().zip(over) {
                    // Colours of a layer are premultiplied.
                    let mixed = u32::from(colour) + (u32::from(*channel) * through + 127) / 255;
                    *channel = mixed.min(255) as u8;
                }
            }
        }
    }

    /// Everything drawn through `view`, which maps design units to design units.
    pub(crate) fn viewed(&mut self, view: Transform, draw: impl FnOnce(&mut Self)) {
        let before = self.to_pixels;
        self.to_pixels = before.pre_concat(view);
        draw(self);
        self.to_pixels = before;
    }

    fn paint(&mut self, outline: &Outline, ink: &Ink, blend_mode: BlendMode, stroke: Option<Stroke>) {
        let (Some(path), Some(shader)) = (outline.path(), ink.shader()) else { return };
        let paint = Paint { shader, blend_mode, anti_alias: true, ..Paint::default() };
        let clip = self.clip.as_ref();
        match stroke {
            Some(stroke) => self.layer.stroke_path(&path, &paint, &stroke, self.to_pixels, clip),
            None => self.layer.fill_path(&path, &paint, FillRule::Winding, self.to_pixels, clip),
        }
    }
}

fn stroke(width: f32) -> Stroke {
    Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() }
}

/// The whole design square and more, for inks that cover everything.
pub(crate) fn everywhere() -> Outline {
    Outline::rect(-1500.0, -1500.0, 4000.0, 4000.0)
}

/// Two box blurs make a fair bell curve.
pub(crate) fn blur(layer: &mut Pixmap, radius_px: f32) {
    let radius = (radius_px.max(0.0) * 0.7).round() as usize;
    if radius == 0 {
        return;
    }
    let (width, height) = (layer.width() as usize, layer.height() as usize);
    let mut scratch = vec![0_u8; width.max(height) * 4];
    for _ in 0..2 {
        let data = layer.data_mut();
        for y in 0..height {
            blur_run(data, y * width * 4, 4, width, radius, &mut scratch);
        }
        for x in 0..width {
            blur_run(data, x * 4, width * 4, height, radius, &mut scratch);
        }
    }
}

/// Slides a window of `2 * radius + 1` pixels along one row or column; beyond its ends all is clear.
fn blur_run(data: &mut [u8], start: usize, step: usize, n: usize, radius: usize, scratch: &mut [u8]) {
    for i in 0..n {
        scratch[i * 4..i * 4 + 4].copy_from_slice(&data[start + i * step..start + i * step + 4]);
    }
    let window = (2 * radius + 1) as u32;
    let mut sum = [0_u32; 4];
    for pixel in scratch[..radius.min(n) * 4].chunks_exact(4) {
        for (s, &v) in sum.iter_mut().zip(pixel) {
            *s += u32::from(v);
        }
    }
    for i in 0..n {
        for c in 0..4 {
            if i + radius < n {
                sum[c] += u32::from(scratch[(i + radius) * 4 + c]);
            }
            data[start + i * step + c] = (sum[c] / window) as u8;
            if i >= radius {
                sum[c] -= u32::from(scratch[(i - radius) * 4 + c]);
            }
        }
    }
}
