//! Pictures of offers and of their variants: fetched for a sheet, and compared.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use rayon::prelude::*;

use crate::cancel::Interrupt;
use crate::cli::output::complain;
use crate::cli::picture::Pictures;
use crate::cli::show::Terminal;
use crate::engine::{Engine, Progress as _};
use crate::fetch::Fetch;
use crate::sheet::{Sheet, SheetOffer};
use crate::thumbnail;

/// Which offers show the same picture, by the threshold for as many pictures as there are.
pub(super) fn group(engine: &Engine, fetcher: &dyn Fetch, offers: &mut [SheetOffer]) -> Result<()> {
    let mut compared = Vec::new();
    let mut places = Vec::new();
    for (place, offer) in offers.iter().enumerate() {
        let fetched = offer.offer.image_url.as_ref().and_then(|address| fetcher.fetch(address).ok());
        // One that cannot be read is like none.
        if let Some(Ok(prepared)) = fetched.map(|bytes| engine.prepare_picture(&bytes)) {
            compared.push(prepared);
            places.push(place);
        }
    }
    let same_as = engine.same_among(&compared)?;
    for (place, first) in places.iter().zip(same_as).filter(|(place, first)| **place != places[*first]) {
        offers[*place].same_picture_as = Some(offers[places[first]].offer.offer_id.clone());
    }
    Ok(())
}

/// Small JPEGs by address; each address is fetched once.
pub(super) fn fetch_thumbnails(
    pictures: &Pictures,
    mut addresses: Vec<String>,
    interrupt: &Interrupt,
) -> HashMap<String, Vec<u8>> {
    let Some(fetcher) = pictures.fetcher() else { return HashMap::new() };
    addresses.sort_unstable();
    addresses.dedup();
    let (terminal, done, of) = (Terminal::new(), AtomicUsize::new(0), addresses.len());
    let fetched: HashMap<String, Vec<u8>> = addresses
        .into_par_iter()
        .filter_map(|address| {
            interrupt.check().ok()?;
            let bytes = fetcher.fetch(&address).ok();
            terminal.step("fetching pictures", done.fetch_add(1, Ordering::Relaxed) + 1, of);
            Some((address, thumbnail::of_file(&bytes?)?))
        })
        .collect();
    if fetched.len() < of {
        complain(format_args!("{} of {of} pictures of offers could not be fetched", of - fetched.len()));
    }
    fetched
}

pub(super) fn fetch_variant_pictures(pictures: &Pictures, sheet: &mut Sheet, interrupt: &Interrupt) {
    let offers = sheet.pictures.iter().flat_map(|picture| &picture.offers);
    let variants = offers.flat_map(|offer| offer.details.iter().flat_map(|details| &details.variants));
    let addresses: Vec<String> = variants.filter_map(|sku| sku.image_url.clone()).collect();
    if !addresses.is_empty() {
        sheet.variant_pictures = fetch_thumbnails(pictures, addresses, interrupt);
    }
}
