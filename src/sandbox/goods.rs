//! What is for sale in the sandbox? A seeded catalogue whose pictures are drawn when asked for.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;
use rust_decimal::Decimal;

use super::naming::{CREDITS, KINDS, LEADS, NAMES, PLACES, PRINT_WORDS, SHADES, STYLES, Shade, TRADES};
use super::render::{Backdrop, Camera, Look, Print, Scene, render};
use crate::dice::Dice;
use crate::drawing::Tint;
use crate::drawing::poster::{self, HEADLINES, LINES, POINTS};
use crate::offer::Price;
use crate::photo::encode_jpeg;

/// Models per kind of goods: two look-alike pairs and one on its own.
const MODELS_PER_KIND: usize = 5;
/// Encoded pictures kept, about 60 KB each.
const MAX_CACHED_PICTURES: usize = 256;
const JPEG_QUALITY: u8 = 88;
const SIZES_PX: [(u32, u32); 6] = [(800, 800), (640, 640), (720, 720), (600, 800), (800, 800), (560, 480)];

/// One offer: one model in one colour.
#[derive(Clone, Debug)]
pub struct Good {
    /// 12 decimal digits.
    pub offer_id: u64,
    /// Counts the models from 0; colour variants share it.
    pub model: u32,
    /// The model that this one is easily taken for: same shape and colours, one part or print different.
    pub looks_like: Option<u32>,
    /// The kind of goods in Chinese, for example `马克杯`.
    pub kind: &'static str,
    /// The colour in Chinese, for example `蓝色`.
    pub colour: &'static str,
    /// In Chinese, as at 1688.
    pub title: String,
    /// Of its kind.
    pub category_id: u64,
    /// Of one piece.
    pub price: Price,
    /// 1 to 100 pieces.
    pub min_order_quantity: u32,
    /// Who sells it.
    pub company_name: String,
    /// As the platform writes it, for example `5A`.
    pub credit_level: &'static str,
    /// 480 to 800 pixels.
    pub width_px: u32,
    /// 480 to 800 pixels.
    pub height_px: u32,
    scene: Scene,
    copy: poster::Copy,
}

/// The pictures of a good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum View {
    /// The first picture of the offer.
    Main,
    /// From the side.
    Side,
    /// Turned.
    Angled,
    /// A part of it.
    CloseUp,
    /// The goods in front of promotional text and a price tag.
    Poster,
}

impl View {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Main, Self::Side, Self::Angled, Self::CloseUp, Self::Poster];

    /// The name in picture addresses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Side => "side",
            Self::Angled => "angled",
            Self::CloseUp => "close-up",
            Self::Poster => "poster",
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text is not a [`View`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no view {0:?}: use main, side, angled, close-up or poster")]
pub struct ViewError(String);

impl FromStr for View {
    type Err = ViewError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|view| view.name() == text);
        known.ok_or_else(|| ViewError(text.chars().take(40).collect()))
    }
}

/// All goods of one seed. The same seed gives the same goods and, on one machine, the same picture bytes.
#[derive(Debug)]
pub struct Catalogue {
    seed: u64,
    goods: Vec<Good>,
    by_id: HashMap<u64, usize>,
    cache: Mutex<PictureCache>,
}

impl Catalogue {
    /// Makes the goods, 210 to 350 of them; no picture is drawn yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut goods = Vec::new();
        for kind in 0..KINDS.len() {
            for number in 0..MODELS_PER_KIND {
                stock_model(seed, kind, number, &mut goods);
            }
        }
        let by_id = goods.iter().enumerate().map(|(i, good)| (good.offer_id, i)).collect();
        Self { seed, goods, by_id, cache: Mutex::default() }
    }

    /// What the goods follow from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// In the order of kinds, models, colours.
    #[must_use]
    pub fn goods(&self) -> &[Good] {
        &self.goods
    }

    /// The good with this id.
    #[must_use]
    pub fn find(&self, offer_id: u64) -> Option<&Good> {
        self.by_id.get(&offer_id).map(|&i| &self.goods[i])
    }

    /// The other colours of the same model.
    pub fn colour_variants<'a>(&'a self, good: &'a Good) -> impl Iterator<Item = &'a Good> {
        self.goods.iter().filter(|other| other.model == good.model && other.offer_id != good.offer_id)
    }

    /// Goods of other models that are easily taken for this one, in the same colour.
    pub fn look_alikes<'a>(&'a self, good: &'a Good) -> impl Iterator<Item = &'a Good> {
        let alike = |a: &Good, b: &Good| a.looks_like == Some(b.model) || b.looks_like == Some(a.model);
        self.goods.iter().filter(move |other| other.colour == good.colour && alike(good, other))
    }

    /// Draws a picture at the good's own size.
    #[must_use]
    pub fn picture(&self, good: &Good, view: View) -> RgbImage {
        render(&scene_of(good, view), good.width_px, good.height_px)
    }

    /// Draws a picture with a longer side of `side_px` (1 to 4096), at the good's own proportions.
    #[must_use]
    pub fn thumbnail(&self, good: &Good, view: View, side_px: u32) -> RgbImage {
        let longer = good.width_px.max(good.height_px);
        render(&scene_of(good, view), good.width_px * side_px / longer, good.height_px * side_px / longer)
    }

    /// The picture as a JPEG file; the last few hundred are kept.
    #[must_use]
    pub fn jpeg(&self, good: &Good, view: View) -> Vec<u8> {
        self.shared_jpeg(good, view).to_vec()
    }

    pub(super) fn shared_jpeg(&self, good: &Good, view: View) -> Arc<[u8]> {
        let key = (good.offer_id, view);
        if let Some(kept) = self.cache().pictures.get(&key) {
            return Arc::clone(kept);
        }
        // Drawn outside the lock: two askers at once may both draw, and draw the same.
        let bytes = encode_jpeg(&self.picture(good, view), JPEG_QUALITY);
        let bytes: Arc<[u8]> = bytes.expect("its sides are short enough").into();
        self.cache().put(key, Arc::clone(&bytes));
        bytes
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, PictureCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Encoded pictures, the oldest thrown out first.
#[derive(Debug, Default)]
struct PictureCache {
    pictures: HashMap<(u64, View), Arc<[u8]>>,
    order: VecDeque<(u64, View)>,
}

impl PictureCache {
    fn put(&mut self, key: (u64, View), bytes: Arc<[u8]>) {
        if self.pictures.insert(key, bytes).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > MAX_CACHED_PICTURES {
            if let Some(oldest) = self.order.pop_front() {
                self.pictures.remove(&oldest);
            }
        }
    }
}

/// What a model is before it gets a colour.
struct Model {
    shape: [f32; 4],
    detail: usize,
    print: usize,
    shades: Vec<Shade>,
    looks_like: Option<u32>,
}

/// Models 0 and 1 look alike (another part), 2 and 3 too (another print), 4 is on its own.
fn design(seed: u64, kind: usize, number: usize) -> Model {
    let family = number / 2;
    let mut dice = Dice::of(&[seed, kind as u64, family as u64, 1]);
    let shape = [dice.unit(), dice.unit(), dice.unit(), dice.unit()];
    let (detail, print) = ((family + kind) % 3, (dice.below(4) + family * 4) % Print::ALL.len());
    let mut shades = SHADES;
    dice.shuffle(&mut shades);
    let colours = 3 + dice.below(3);
    let twin = number % 2 == 1;
    let first = (kind * MODELS_PER_KIND + number) as u32;
    let (detail, print) = match (twin, family) {
        (false, _) => (detail, print),
        (true, 0) => ((detail + 1) % 3, print),
        (true, _) => (detail, (print + 1 + dice.below(10)) % Print::ALL.len()),
    };
    Model { shape, detail, print, shades: shades[..colours].to_vec(), looks_like: twin.then(|| first - 1) }
}

fn stock_model(seed: u64, kind_at: usize, number: usize, goods: &mut Vec<Good>) {
    let kind = &KINDS[kind_at];
    let model = design(seed, kind_at, number);
    let number_of_all = (kind_at * MODELS_PER_KIND + number) as u32;
    let mut dice = Dice::of(&[seed, u64::from(number_of_all), 2]);
    let (lead, style) = (dice.pick(&LEADS), dice.pick(&STYLES));
    let (noun, feature, spec) = (dice.pick(kind.nouns), dice.pick(kind.features), dice.pick(kind.specs));
    let company_name = format!("{}{}{}", dice.pick(&PLACES), dice.pick(&NAMES), dice.pick(&TRADES));
    let credit_level = dice.pick(&CREDITS);
    let (low, high) = kind.fen;
    let fen = low + dice.below((high - low) as usize) as u32 / 10 * 10;
    let min_order_quantity = dice.pick(&[1, 2, 2, 3, 5, 6, 10, 12, 24, 50, 100]);
    let (width_px, height_px) = dice.pick(&SIZES_PX);
    let pastel = dice.pick(&SHADES).tint.lighter(0.62);
    let backdrop = match dice.below(10) {
        0..=5 => Backdrop::White,
        6 | 7 => Backdrop::Studio,
        8 => Backdrop::Wall(pastel),
        _ => Backdrop::Table(pastel),
    };
    let fill = 0.84 + 0.12 * dice.unit();
    let mut points = POINTS;
    dice.shuffle(&mut points);
    let print = Print::ALL[model.print];
    for (variant, shade) in model.shades.iter().enumerate() {
        // A colour may cost a little more; look-alikes come from another seller at another price.
        let fen = fen + variant as u32 % 2 * 50;
        let price = Price::from_yuan(Decimal::new(i64::from(fen), 2)).expect("not negative");
        let grain = Dice::of(&[seed, u64::from(number_of_all), variant as u64, 3]).next();
        let copy = poster::Copy {
            headline: dice.pick(&HEADLINES).to_owned(),
            line: dice.pick(&LINES).to_owned(),
            points: [points[0], points[1], points[2]].map(str::to_owned),
            price: price.to_string(),
            layout: number % 3,
            colour: dice.pick(&poster::COLOURS),
        };
        goods.push(Good {
            offer_id: offer_id(seed, number_of_all, variant),
            model: number_of_all,
            looks_like: model.looks_like,
            kind: kind.name,
            colour: shade.name,
            title: format!(
                "{lead} {style}{}{noun} {feature} {} {spec}",
                PRINT_WORDS[model.print], shade.name
            ),
            category_id: kind.category_id,
            price,
            min_order_quantity,
            company_name: company_name.clone(),
            credit_level,
            width_px,
            height_px,
            scene: Scene {
                subject: kind.subject,
                look: dress(shade.tint, &model, print),
                backdrop,
                camera: Camera::Front,
                fill,
                grain,
            },
            copy,
        });
    }
}

/// 12 digits; the low ones count, so that no two are equal.
fn offer_id(seed: u64, model: u32, variant: usize) -> u64 {
    let scattered = Dice::of(&[seed, u64::from(model), variant as u64, 4]).next() % 300_000_000;
    (600_000_000 + scattered) * 1000 + u64::from(model) * 8 + variant as u64
}

/// The colours that go with a base colour: prints must show on it.
fn dress(base: Tint, model: &Model, print: Print) -> Look {
    let bright = base.luma() > 0.55;
    let cream = Tint::rgb(248, 244, 234);
    let pairs = [
        (Tint::rgb(40, 46, 66), Tint::rgb(206, 66, 58)),
        (Tint::rgb(30, 92, 104), Tint::rgb(238, 150, 60)),
        (Tint::rgb(88, 44, 52), Tint::rgb(94, 142, 110)),
    ];
    let (dark, warm) = pairs[model.print % pairs.len()];
    let (accent, second) = if bright { (dark, warm) } else { (cream, Tint::rgb(246, 190, 84)) };
    let trim = if model.shape[0] > 0.5 { Tint::rgb(58, 60, 66) } else { Tint::rgb(198, 202, 208) };
    Look { base, accent, second, trim, shape: model.shape, detail: model.detail, print, turned: false }
}

fn scene_of(good: &Good, view: View) -> Scene {
    let mut scene = good.scene.clone();
    let pastel = good.scene.look.base.lighter(0.72);
    match view {
        View::Main => {}
        View::Side => {
            scene.camera = Camera::Side;
            scene.look.turned = true;
            scene.backdrop = Backdrop::Studio;
        }
        View::Angled => {
            scene.camera = Camera::Angled;
            scene.backdrop = Backdrop::Wall(pastel);
        }
        View::CloseUp => scene.camera = Camera::CloseUp,
        View::Poster => scene.camera = Camera::Poster(good.copy.clone()),
    }
    scene.grain = scene.grain.wrapping_add(view as u64);
    scene
}
