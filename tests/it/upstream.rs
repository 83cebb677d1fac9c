//! The clients of the expensive call, over a real socket on this machine.

mod aop;
mod article;
mod fake;
mod guard;
mod inputs;
mod linkplus;
pub(crate) mod loopback;
mod prepare;
mod tmapi;
mod tokens;
mod untidy;
mod waits;

use std::collections::HashSet;

use image::{Rgb, RgbImage};
use tongkuan::clock::Timestamp;
use tongkuan::offer::Price;
use tongkuan::upstream::{
    SearchParams, UploadPicture, Upstream, UpstreamErrorKind, UpstreamPage, prepare as make_fit,
};

/// 2026-11-24 02:00 UTC, which is 10:00 in China.
const MORNING: Timestamp = Timestamp::from_unix_ms(1_795_485_600_000);

fn picture_for(upstream: &dyn Upstream) -> UploadPicture {
    let drawn =
        RgbImage::from_fn(400, 320, |x, y| Rgb([(x / 2).to_le_bytes()[0], (y / 2).to_le_bytes()[0], 90]));
    make_fit(&drawn, None, &upstream.upload_limits()).unwrap().picture
}

/// The picture with an address to look it up at.
fn picture_at(upstream: &dyn Upstream, url: &str) -> UploadPicture {
    UploadPicture { source_url: Some(url.to_owned()), ..picture_for(upstream) }
}

fn yuan(text: &str) -> Price {
    text.parse().unwrap()
}

/// What holds for every upstream that is well and knows at least three offers for the test picture, whatever
/// its dialect.
pub(crate) fn conformance(upstream: &dyn Upstream) {
    conformance_for(upstream, &picture_for(upstream));
}

/// The same, for this picture.
pub(crate) fn conformance_for(upstream: &dyn Upstream, picture: &UploadPicture) {
    let profile = upstream.profile();
    assert!(!profile.is_empty() && profile.bytes().all(|b| b.is_ascii_lowercase()), "{profile:?}");
    let limits = upstream.upload_limits();
    assert!(limits.advised_min_side_px <= limits.max_side_px && limits.max_bytes >= 100_000, "{limits:?}");
    upstream.check().unwrap();

    // Its provider's count grows with every call.
    let ask = |params: &SearchParams| UpstreamPage {
        provider_count: None,
        ..upstream.search(picture, params).unwrap()
    };
    let all = SearchParams::default();
    let page = ask(&all);
    assert!(page.offers.len() >= 3, "only {} offers", page.offers.len());
    assert!(page.offers.len() <= 20);
    assert_eq!(page.skipped, 0);
    assert!(page.total.is_none_or(|total| total >= page.offers.len() as u64));
    assert_eq!(ask(&all), page, "the same question has the same answer");
    let ids: HashSet<_> = page.offers.iter().map(|offer| &offer.offer_id).collect();
    assert_eq!(ids.len(), page.offers.len(), "no offer comes twice on one page");
    for offer in &page.offers {
        assert!(!offer.title.is_empty());
        assert!(offer.similarity.is_none_or(|similarity| similarity <= 100));
        for url in offer.image_url.iter().chain(&offer.detail_url) {
            assert!(url.starts_with("http://") || url.starts_with("https://"), "{url}");
        }
    }

    let pages: Vec<_> = (1..=2).map(|page| ask(&all.clone().page(page).page_size(1))).collect();
    assert_eq!(pages[0].offers, page.offers[..1]);
    assert_eq!(pages[1].offers, page.offers[1..2]);
    let beyond = ask(&all.clone().page(10_000).page_size(50));
    assert!(beyond.offers.is_empty(), "a page beyond the last is empty, not an error");

    let price = page.offers.iter().filter_map(|offer| offer.price).min().unwrap();
    let cheap = ask(&all.clone().price_min(price).price_max(price));
    assert!(!cheap.offers.is_empty());
    assert!(cheap.offers.iter().all(|offer| offer.price == Some(price)), "{:?}", cheap.offers);

    let wrong = [
        all.clone().page(0),
        all.clone().page_size(0),
        all.clone().page_size(51),
        all.price_min(yuan("2")).price_max(yuan("1")),
    ];
    for params in wrong {
        let error = upstream.search(picture, &params).unwrap_err();
        assert_eq!((error.kind, error.profile), (UpstreamErrorKind::Param, profile), "{params:?}");
    }
}
