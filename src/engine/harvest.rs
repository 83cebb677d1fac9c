//! The offers' own pictures: fetched and indexed, so that a supplier's picture is a hit the next time.

use std::collections::HashMap;
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use url::{Origin, Url};

use super::picture::Picture;
use super::{Engine, EngineError};
use crate::cancel::{Interrupt, Interrupted};
use crate::fetch::{Fetch, FetchError};
use crate::offer::OfferId;
use crate::photo_id::PhotoId;
use crate::store::{CatalogError, WaitingImage};

/// Pictures fetched at the same time: enough to hide the network's delay, few enough for any host.
const CONCURRENT: usize = 4;
/// Pictures taken from the catalogue at a time.
const CHUNK: u32 = 256;

/// What [`Engine::harvest`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Harvested {
    /// New photos.
    pub stored: u64,
    /// Pictures that were stored already, from another address or a search.
    pub known: u64,
    /// Pictures that could not be fetched or read. Those for which that may pass go on waiting.
    pub failed: u64,
    /// Pictures at addresses that are not fetched from, as things are configured. They go on waiting.
    pub refused: u64,
    /// Why the caller has ended it before all were tried.
    pub interrupted: Option<Interrupted>,
}

/// Why a picture of an offer is not stored.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum HarvestError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl HarvestError {
    /// Whether another configuration would have it fetched.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Fetch(error) if error.is_refusal())
    }

    /// Whether the same picture may be had later; `None` when it does not lie in the picture at all.
    fn may_pass(&self) -> Option<bool> {
        match self {
            Self::Fetch(error) => Some(error.may_pass()),
            Self::Engine(error) => error.is_input_error().then_some(false),
        }
    }
}

/// Has an origin looked at once, where it is refused by itself: many pictures may wait there each time.
#[derive(Debug)]
struct RefusingOrigins<'f> {
    fetcher: &'f dyn Fetch,
    refused: Mutex<HashMap<Origin, FetchError>>,
}

impl Fetch for RefusingOrigins<'_> {
    fn fetch(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        let Some(origin) = origin_of(address) else { return self.fetcher.fetch(address) };
        let refused = || self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = refused().get(&origin) {
            return Err(error.clone());
        }
        let fetched = self.fetcher.fetch(address);
        // Not where it is a redirect that leads elsewhere.
        if let Err(error @ (FetchError::Port { url, .. } | FetchError::NotPublic { url })) = &fetched
            && origin_of(url).as_ref() == Some(&origin)
        {
            refused().insert(origin, error.clone());
        }
        fetched
    }
}

/// Scheme, host and port of an address.
fn origin_of(address: &str) -> Option<Origin> {
    Url::parse(address).ok().map(|url| url.origin())
}

impl Engine {
    /// Fetches the pictures of offers that wait for it, and those of their variants where details are stored, up to `limit` of
    /// them, four at a time, and stores them. What is refused as things are configured counts towards no limit.
    /// Whatever ends this, it is taken up again by calling it again. A search for such a picture is then answered with
    /// the newest answer that names the offer, the offer first. `each` hears of every picture.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder or the model fails.
    pub fn harvest(
        &self,
        fetcher: &dyn Fetch,
        limit: Option<u64>,
        each: &mut dyn FnMut(&WaitingImage, &Result<PhotoId, HarvestError>),
    ) -> Result<Harvested, EngineError> {
        self.harvest_unless(&Interrupt::never(), fetcher, limit, each)
    }

    /// As [`Engine::harvest`], until `interrupt` ends it, which [`Harvested::interrupted`] then says: the pictures in hand, four
    /// at most, are fetched and stored.
    ///
    /// # Errors
    /// Those of [`Engine::harvest`].
    pub fn harvest_unless(
        &self,
        interrupt: &Interrupt,
        fetcher: &dyn Fetch,
        limit: Option<u64>,
        each: &mut dyn FnMut(&WaitingImage, &Result<PhotoId, HarvestError>),
    ) -> Result<Harvested, EngineError> {
        let fetcher = &RefusingOrigins { fetcher, refused: Mutex::default() };
        let mut harvested = Harvested::default();
        let mut left = limit.unwrap_or(u64::MAX);
        let mut after = 0;
        while left > 0 {
            let chunk = u32::try_from(left).unwrap_or(u32::MAX).min(CHUNK);
            let waiting = self.store.waiting_images(after, chunk)?;
            let Some(last) = waiting.last() else { break };
            after = last.image_id;
            left -= waiting.len() as u64;
            let refused = harvested.refused;
            self.harvest_these(interrupt, fetcher, &waiting, &mut harvested, each)?;
            // Those stand at the front every time, and would use a limit up.
            left = left.saturating_add(harvested.refused - refused);
            if harvested.interrupted.is_some() {
                break;
            }
        }
        Ok(harvested)
    }

    fn harvest_these(
        &self,
        interrupt: &Interrupt,
        fetcher: &dyn Fetch,
        waiting: &[WaitingImage],
        harvested: &mut Harvested,
        each: &mut dyn FnMut(&WaitingImage, &Result<PhotoId, HarvestError>),
    ) -> Result<(), EngineError> {
        let queue = Mutex::new(waiting.iter());
        let rest = || queue.lock().unwrap_or_else(PoisonError::into_inner);
        let next = || interrupt.check().ok().and_then(|()| rest().next());
        std::thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            for _ in 0..CONCURRENT.min(waiting.len()) {
                let tell = tell.clone();
                let next = &next;
                scope.spawn(move || {
                    while let Some(image) = next() {
                        if tell.send((image, self.harvest_one(fetcher, image))).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(tell);
            for (image, result) in told {
                let result = match result {
                    Ok((photo_id, is_new)) => {
                        *(if is_new { &mut harvested.stored } else { &mut harvested.known }) += 1;
                        Ok(photo_id)
                    }
                    Err(error) if error.is_refusal() => {
                        harvested.refused += 1;
                        Err(error)
                    }
                    Err(error) => {
                        let Some(may_pass) = error.may_pass() else {
                            // Returning hangs up, which ends the others after the picture they are at.
                            return match error {
                                HarvestError::Engine(error) => Err(error),
                                HarvestError::Fetch(_) => Ok(()),
                            };
                        };
                        harvested.failed += 1;
                        self.store.note_image_trouble(image.image_id, &error.to_string(), may_pass)?;
                        Err(error)
                    }
                };
                each(image, &result);
            }
            if rest().len() > 0 {
                harvested.interrupted = interrupt.check().err();
            }
            Ok(())
        })
    }

    fn harvest_one(
        &self,
        fetcher: &dyn Fetch,
        image: &WaitingImage,
    ) -> Result<(PhotoId, bool), HarvestError> {
        let link = |photo_id| self.store.link_image(image.image_id, photo_id).map_err(EngineError::from);
        if let Some(photo_id) = self.store.photo_by_url(&image.url).map_err(EngineError::from)? {
            link(photo_id)?;
            return Ok((photo_id, false));
        }
        let bytes = fetcher.fetch(&image.url)?;
        let picture = Picture::new(self, &bytes);
        if let Some(photo_id) = picture.stored_id()? {
            link(photo_id)?;
            return Ok((photo_id, false));
        }
        let label = self.label_of(image).map_err(EngineError::from)?;
        let stored = picture.store_as_new(&label, |photo| self.store.store_image(image.image_id, photo))?;
        Ok((stored.photo_id, stored.is_new))
    }

    /// The offer, and which of its variants the picture shows where that is known.
    fn label_of(&self, image: &WaitingImage) -> Result<String, CatalogError> {
        let known = match OfferId::of_upstream(image.offer_id.as_str()) {
            Ok(offer_id) => self.store.details(&offer_id, &[&image.profile])?,
            Err(_) => None,
        };
        let variant = known.and_then(|known| known.detail.variant_shown_at(&image.url));
        let variant = variant.map(|name| format!(", {name}")).unwrap_or_default();
        Ok(format!("offer {}{variant}", image.offer_id))
    }
}
