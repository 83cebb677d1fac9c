//! How much of an answer is taken? What is beyond reason is cut, and said: it was paid for, and the rest is good.

use crate::offer::{Attribute, Offer, OfferDetail};

use super::UpstreamPage;

/// Titles on 1688 have at most 60 characters.
const MAX_TITLE_CHARS: usize = 500;
/// Of a company's name, a property's name or value and the like.
const MAX_TEXT_CHARS: usize = 300;
/// Longer ones are left out: half an address leads nowhere.
const MAX_URL_BYTES: usize = 2048;
/// 1688 has three or four levels.
const MAX_CATEGORIES: usize = 16;
/// What a seller is, and kinds of invoices: a handful.
const MAX_WORDS: usize = 16;
/// More parts of a picture than anybody searches for.
const MAX_REGIONS: usize = 16;
/// A gallery has five pictures, a description up to some thirty.
const MAX_IMAGES: usize = 100;
const MAX_ATTRIBUTES: usize = 200;
/// Three, mostly.
const MAX_PRICE_STEPS: usize = 32;
/// Colours times sizes.
const MAX_SKUS: usize = 2000;
/// That tell a variant from the others.
const MAX_SKU_ATTRIBUTES: usize = 20;

/// What was cut.
#[derive(Default)]
struct Cuts {
    texts: usize,
    addresses: usize,
    entries: usize,
}

impl Cuts {
    fn text(&mut self, text: &mut String, max_chars: usize) {
        if let Some((end, _)) = text.char_indices().nth(max_chars) {
            text.truncate(end);
            self.texts += 1;
        }
    }

    fn optional_text(&mut self, text: &mut Option<String>) {
        if let Some(text) = text {
            self.text(text, MAX_TEXT_CHARS);
        }
    }

    fn address(&mut self, url: &mut Option<String>) {
        if url.take_if(|url| url.len() > MAX_URL_BYTES).is_some() {
            self.addresses += 1;
        }
    }

    fn entries<T>(&mut self, entries: &mut Vec<T>, max: usize) {
        self.entries += entries.len().saturating_sub(max);
        entries.truncate(max);
    }

    fn attributes(&mut self, attributes: &mut Vec<Attribute>, max: usize) {
        self.entries(attributes, max);
        for Attribute { name, value } in attributes {
            self.text(name, MAX_TEXT_CHARS);
            self.text(value, MAX_TEXT_CHARS);
        }
    }

    fn offer(&mut self, offer: &mut Offer) {
        self.text(&mut offer.title, MAX_TITLE_CHARS);
        self.entries(&mut offer.category_ids, MAX_CATEGORIES);
        self.entries(&mut offer.price_ladder, MAX_PRICE_STEPS);
        self.address(&mut offer.image_url);
        self.address(&mut offer.detail_url);
        self.optional_text(&mut offer.supplier.company_name);
        self.optional_text(&mut offer.supplier.credit_level);
        self.optional_text(&mut offer.supplier.address);
        self.optional_text(&mut offer.shipping_promise);
        if let Some(title) = &mut offer.title_translated {
            self.text(title, MAX_TITLE_CHARS);
        }
        for words in [&mut offer.supplier.identities, &mut offer.invoice_types] {
            self.entries(words, MAX_WORDS);
            for word in words {
                self.text(word, MAX_TEXT_CHARS);
            }
        }
    }

    fn warning(&self, profile: &str) -> Option<String> {
        let Self { texts, addresses, entries } = self;
        let cuts =
            [(*texts, "texts shortened"), (*addresses, "addresses"), (*entries, "list entries left out")];
        let cuts: Vec<String> = cuts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        (!cuts.is_empty())
            .then(|| format!("{profile} answered with more than an offer can hold: {}", cuts.join(", ")))
    }
}

/// Cuts a page that was asked for with `page_size` offers; what to tell about it.
pub(super) fn cut_page(profile: &str, page: &mut UpstreamPage, page_size: u32) -> Vec<String> {
    let mut warnings = Vec::new();
    let (held, max) = (page.offers.len(), page_size as usize);
    if held > max {
        page.offers.truncate(max);
        warnings.push(format!(
            "{profile} answered with {held} offers where {max} were asked for; the first {max} are kept"
        ));
    }
    if page.skipped > 0 {
        warnings.push(format!(
            "{} offers of {profile}'s answer have no usable id and were left out",
            page.skipped
        ));
    }
    let mut cuts = Cuts::default();
    page.offers.iter_mut().for_each(|offer| cuts.offer(offer));
    cuts.entries(&mut page.suggested_regions, MAX_REGIONS);
    warnings.extend(cuts.warning(profile));
    warnings
}

/// Cuts what is known about one offer; what to tell about it.
pub(super) fn cut_detail(profile: &str, detail: &mut OfferDetail) -> Vec<String> {
    let mut cuts = Cuts::default();
    cuts.offer(&mut detail.offer);
    let urls = detail.image_urls.len();
    detail.image_urls.retain(|url| url.len() <= MAX_URL_BYTES);
    cuts.addresses += urls - detail.image_urls.len();
    cuts.entries(&mut detail.image_urls, MAX_IMAGES);
    cuts.attributes(&mut detail.attributes, MAX_ATTRIBUTES);
    cuts.entries(&mut detail.price_ladder, MAX_PRICE_STEPS);
    cuts.optional_text(&mut detail.ships_from);
    cuts.entries(&mut detail.skus, MAX_SKUS);
    for sku in &mut detail.skus {
        cuts.optional_text(&mut sku.sku_id);
        cuts.attributes(&mut sku.attributes, MAX_SKU_ATTRIBUTES);
        cuts.address(&mut sku.image_url);
    }
    cuts.warning(profile).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::{OfferId, PriceStep, Sku};

    fn offer(id: &str, title: &str) -> Offer {
        Offer::new(OfferId::new(id).expect("digits"), title)
    }

    #[test]
    fn an_offer_of_usual_size_is_left_alone() {
        let mut page =
            UpstreamPage { offers: vec![offer("1", "陶瓷马克杯")], ..UpstreamPage::default() };
        let before = page.clone();
        assert_eq!((cut_page("aop", &mut page, 20), page), (vec![], before));
    }

    #[test]
    fn more_than_a_page_or_an_offer_holds_is_cut_and_said() {
        let mut big = offer("1", &"杯".repeat(1_000_000));
        big.category_ids = (1..5000).collect();
        big.price_ladder = vec![PriceStep { from_quantity: 1, price: "1".parse().expect("a price") }; 100];
        big.image_url = Some(format!("https://img.example/{}", "a".repeat(5000)));
        let offers = std::iter::once(big).chain((2..1000).map(|id| offer(&id.to_string(), "cup"))).collect();
        let mut page = UpstreamPage { offers, skipped: 3, ..UpstreamPage::default() };
        let warnings = cut_page("aop", &mut page, 20);
        let first = &page.offers[0];
        assert_eq!((page.offers.len(), first.title.chars().count(), first.category_ids.len()), (20, 500, 16));
        assert_eq!(first.price_ladder.len(), 32);
        assert_eq!((&first.image_url, page.offers[19].title.as_str()), (&None, "cup"));
        for told in ["999 offers where 20", "3 offers", "1 texts shortened, 1 addresses, 5051 list entries"] {
            assert!(warnings.iter().any(|warning| warning.contains(told)), "{told}: {warnings:?}");
        }
    }

    #[test]
    fn details_without_end_are_cut_and_said() {
        let attribute = Attribute { name: "n".repeat(1000), value: "v".to_owned() };
        let sku = Sku { attributes: vec![attribute.clone(); 50], ..Sku::default() };
        let step = PriceStep { from_quantity: 1, price: "1".parse().expect("a price") };
        let mut detail = OfferDetail {
            image_urls: vec!["https://img.example/a.jpg".to_owned(); 800],
            attributes: vec![attribute; 3000],
            skus: vec![sku; 9000],
            price_ladder: vec![step; 100],
            ..OfferDetail::new(offer("1", "cup"))
        };
        let warnings = cut_detail("aop", &mut detail);
        let counts = (detail.image_urls.len(), detail.attributes.len(), detail.skus.len());
        assert_eq!((counts, detail.skus[0].attributes.len()), ((100, 200, 2000), 20));
        assert_eq!(detail.price_ladder.len(), 32);
        assert_eq!((detail.attributes[0].name.len(), warnings.len()), (300, 1));
    }
}
