//! What does a search find? The same goods in the same order for every dialect; only the words differ.

use std::cmp::Reverse;

use image::RgbImage;

use super::goods::{Good, View};
use super::shared::Shared;
use super::terms::Terms;
use crate::dialect::{Wish, put_in_order};
use crate::offer::{Offer, OfferId, Supplier};

fn wants(wish: &Wish, good: &Good, market_day: Option<u64>) -> bool {
    let terms = Terms::of(good, market_day);
    let words = wish.keyword.as_deref().unwrap_or_default();
    let has = |word: &str| {
        good.title.contains(word)
            || wish.translate_keyword && terms.title_translated.contains(&word.to_lowercase())
    };
    wish.category_id.is_none_or(|id| id == good.category_id)
        && wish.price_min.is_none_or(|low| low <= terms.price)
        && wish.price_max.is_none_or(|high| terms.price <= high)
        && words.split_whitespace().all(has)
        // A collection holds the goods of the category that has its number.
        && wish.collection_id.as_ref().is_none_or(|id| id.as_str() == good.category_id.to_string())
        && wish.filters.iter().all(|filter| terms.meet(*filter, good))
}

/// How many words of the texts that say what is meant stand in a title: those goods come first.
fn words_met(wish: &Wish, offer: &Offer) -> usize {
    let texts = [&wish.auxiliary_text, &wish.item_title];
    let words = texts.into_iter().flatten().flat_map(|text| text.as_str().split_whitespace());
    let translated = offer.title_translated.as_deref().unwrap_or_default();
    words.filter(|word| offer.title.contains(*word) || translated.contains(&word.to_lowercase())).count()
}

/// One page of what was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Over all pages.
    pub(super) total: u64,
    /// With their likeness, 0 to 100, as a similarity.
    pub(super) offers: Vec<Offer>,
}

/// The goods that look like `picture`.
pub(super) fn find(shared: &Shared, picture: &RgbImage, wish: &Wish) -> Found {
    let goods = shared.catalogue.goods();
    let ranked = shared.matcher().rank(picture).into_iter().map(|(at, likeness)| (&goods[at], likeness));
    let wanted = ranked.filter(|(good, _)| wants(wish, good, shared.market_day()));
    let mut offers: Vec<Offer> = wanted.map(|(good, likeness)| offer(shared, good, Some(likeness))).collect();
    offers.sort_by_key(|offer| Reverse(words_met(wish, offer)));
    put_in_order(&mut offers, wish.order, |offer| offer);
    let from = wish.page.saturating_sub(1).saturating_mul(wish.page_size);
    let total = offers.len() as u64;
    Found { total, offers: offers.into_iter().skip(from).take(wish.page_size).collect() }
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
    let terms = Terms::of(good, shared.market_day());
    let price_ladder = terms.price_ladder(good);
    Offer {
        title_translated: Some(terms.title_translated),
        price: Some(terms.price),
        dropships: Some(terms.dropship_price.is_some()),
        dropship_price: terms.dropship_price,
        promotion_price: terms.promotion_price,
        min_order_quantity: Some(good.min_order_quantity),
        price_ladder,
        stock: Some(terms.stock),
        weight_grams: Some(terms.weight_grams),
        is_postage_free: Some(terms.is_postage_free),
        no_reason_return: Some(terms.no_reason_return),
        category_ids: vec![good.category_id],
        month_sold: Some(terms.month_sold),
        week_sold: Some(terms.week_sold),
        repurchase_percent: Some(terms.repurchase_percent),
        trade_score: Some(terms.trade_score),
        shipping_promise: Some(terms.shipping_promise.to_owned()),
        is_patented: Some(terms.is_patented),
        gives_invoice: Some(!terms.invoice_types.is_empty()),
        invoice_types: terms.invoice_types,
        similarity,
        image_url: Some(image_url(shared, good)),
        supplier: Supplier {
            company_name: Some(good.company_name.clone()),
            credit_level: Some(good.credit_level.to_owned()),
            // Companies are named after their towns.
            address: good
                .company_name
                .find('市')
                .map(|end| good.company_name[..end + '市'.len_utf8()].to_owned()),
            years: Some(terms.years),
            service_score: Some(terms.service_score),
            identities: terms.identities,
        },
        ..Offer::new(OfferId::new(good.offer_id.to_string()).expect("12 digits"), good.title.as_str())
    }
}
