//! What does a search find? The same goods in the same order for every dialect; only the words differ.

use image::RgbImage;

use super::goods::{Good, View};
use super::shared::Shared;
use crate::dialect::{Order, Wish};
use crate::offer::{Offer, OfferId, Supplier};

fn wants(wish: &Wish, good: &Good) -> bool {
    let words = wish.keyword.as_deref().unwrap_or_default();
    wish.category_id.is_none_or(|id| id == good.category_id)
        && wish.price_min.is_none_or(|low| low <= good.price)
        && wish.price_max.is_none_or(|high| good.price <= high)
        && words.split_whitespace().all(|word| good.title.contains(word))
}

/// One page of what was found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// Over all pages.
    pub(super) total: u64,
    /// With their likeness, 0 to 100.
    pub(super) goods: Vec<(&'a Good, u8)>,
}

/// The goods that look like `picture`.
pub(super) fn find<'a>(shared: &'a Shared, picture: &RgbImage, wish: &Wish) -> Found<'a> {
    let goods = shared.catalogue.goods();
    let ranked = shared.matcher().rank(picture).into_iter().map(|(at, likeness)| (&goods[at], likeness));
    let mut ranked: Vec<(&Good, u8)> = ranked.filter(|(good, _)| wants(wish, good)).collect();
    match wish.order {
        Order::Likeness => {}
        Order::PriceUp => ranked.sort_by_key(|(good, _)| good.price),
        Order::PriceDown => ranked.sort_by_key(|(good, _)| std::cmp::Reverse(good.price)),
    }
    let from = wish.page.saturating_sub(1).saturating_mul(wish.page_size);
    let total = ranked.len() as u64;
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

/// A good as an offer, with its likeness where the dialect states one.
pub(super) fn offer(shared: &Shared, good: &Good, similarity: Option<u8>) -> Offer {
    Offer {
        price: Some(good.price),
        min_order_quantity: Some(good.min_order_quantity),
        category_ids: vec![good.category_id],
        month_sold: Some(0),
        similarity,
        image_url: Some(image_url(shared, good)),
        supplier: Supplier {
            company_name: Some(good.company_name.clone()),
            credit_level: Some(good.credit_level.to_owned()),
        },
        ..Offer::new(OfferId::new(good.offer_id.to_string()).expect("12 digits"), good.title.as_str())
    }
}

impl Found<'_> {
    /// As offers, without a likeness.
    pub(super) fn offers(&self, shared: &Shared) -> Vec<Offer> {
        self.goods.iter().map(|(good, _)| offer(shared, good, None)).collect()
    }
}
