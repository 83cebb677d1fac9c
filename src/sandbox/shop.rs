//! What does a search find? The same goods in the same order for every dialect; only the words differ.

use image::RgbImage;
use image::imageops::crop_imm;

use super::goods::{Good, View};
use super::shared::Shared;
use crate::offer::Price;

/// What a search asks for beside the picture.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) category_id: Option<u64>,
    pub(super) price_min: Option<Price>,
    pub(super) price_max: Option<Price>,
    /// Words that must all stand in the title.
    pub(super) keyword: Option<String>,
    pub(super) order: Order,
    /// 1-based.
    pub(super) page: usize,
    pub(super) page_size: usize,
}

/// In which order goods come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Likeness,
    PriceUp,
    PriceDown,
}

impl Wish {
    pub(super) fn page(page: usize, page_size: usize) -> Self {
        Self {
            category_id: None,
            price_min: None,
            price_max: None,
            keyword: None,
            order: Order::Likeness,
            page,
            page_size,
        }
    }

    fn wants(&self, good: &Good) -> bool {
        let words = self.keyword.as_deref().unwrap_or_default();
        self.category_id.is_none_or(|id| id == good.category_id)
            && self.price_min.is_none_or(|low| low <= good.price)
            && self.price_max.is_none_or(|high| good.price <= high)
            && words.split_whitespace().all(|word| good.title.contains(word))
    }
}

/// One page of what was found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// Over all pages.
    pub(super) total: usize,
    /// With their likeness, 0 to 100.
    pub(super) goods: Vec<(&'a Good, u8)>,
}

/// The goods that look like `picture`.
pub(super) fn find<'a>(shared: &'a Shared, picture: &RgbImage, wish: &Wish) -> Found<'a> {
    let goods = shared.catalogue.goods();
    let ranked = shared.matcher().rank(picture).into_iter().map(|(at, likeness)| (&goods[at], likeness));
    let mut ranked: Vec<(&Good, u8)> = ranked.filter(|(good, _)| wish.wants(good)).collect();
    match wish.order {
        Order::Likeness => {}
        Order::PriceUp => ranked.sort_by_key(|(good, _)| good.price),
        Order::PriceDown => ranked.sort_by_key(|(good, _)| std::cmp::Reverse(good.price)),
    }
    let from = wish.page.saturating_sub(1).saturating_mul(wish.page_size);
    let total = ranked.len();
    Found { total, goods: ranked.into_iter().skip(from).take(wish.page_size).collect() }
}

/// Where the sandbox serves the main picture of a good.
pub(super) fn image_url(shared: &Shared, good: &Good) -> String {
    format!("{}/img/{}/{}.jpg", shared.base_url, good.offer_id, View::Main)
}

/// The picture at an address, if that is one of the sandbox's own pictures: nothing else is ever fetched. Draws it.
pub(super) fn own_picture(shared: &Shared, url: &str) -> Option<RgbImage> {
    let path = url.strip_prefix(&shared.base_url)?.strip_prefix("/img/")?;
    let (offer_id, file) = path.split_once('/')?;
    let view: View = file.strip_suffix(".jpg")?.parse().ok()?;
    let good = shared.catalogue.find(offer_id.parse().ok()?)?;
    Some(shared.catalogue.picture(good, view))
}

/// The page of an offer as 1688 addresses it.
pub(super) fn detail_url(good: &Good) -> String {
    format!("https://detail.1688.com/offer/{}.html", good.offer_id)
}

/// A part of a picture, as the gateway writes it: `x1,x2,y1,y2` in pixels, both x first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    left: u32,
    right: u32,
    top: u32,
    bottom: u32,
}

impl Region {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<u32> = text.split(',').map(|n| n.trim().parse().ok()).collect::<Option<_>>()?;
        let [left, right, top, bottom] = numbers.try_into().ok()?;
        (left < right && top < bottom).then_some(Self { left, right, top, bottom })
    }

    /// That part of the picture; nothing when it lies outside.
    pub(super) fn of(self, picture: &RgbImage) -> Option<RgbImage> {
        let (right, bottom) = (self.right.min(picture.width()), self.bottom.min(picture.height()));
        let (width, height) = (right.checked_sub(self.left)?, bottom.checked_sub(self.top)?);
        (width > 0 && height > 0).then(|| crop_imm(picture, self.left, self.top, width, height).to_image())
    }
}
