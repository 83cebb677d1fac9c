//! Own goods by the thousand: read and embedded on all cores, committed in groups, told of in their order.

use super::batch::{GROUP_MAX_AGE, Grouping, InFlight, in_groups};
use super::goods::PreparedPhoto;
use super::picture::Picture;
use super::{Added, BatchEnd, Engine, EngineError};
use crate::cancel::Interrupt;
use crate::offer::Offer;
use crate::photo::Digest;
use crate::store::NewGood;

/// Twice as many are under way at the most. Each takes some 8 kB once it is embedded.
const GROUPING: Grouping = Grouping { rows: 256, unordered: false, max_age: GROUP_MAX_AGE };

/// A good to be added.
#[derive(Clone, Debug)]
pub struct OwnGood<R> {
    /// What is told of it.
    pub offer: Offer,
    /// For people, usually the picture's file name; stored with the photo.
    pub label: String,
    /// Reads the picture's file.
    pub read: R,
}

/// A good that can be stored.
struct Ready {
    offer: Offer,
    label: String,
    byte_digest: Digest,
    photo: PreparedPhoto,
}

impl Engine {
    /// Stores many goods of the user's own, each as [`Engine::add_own`] does: pictures are read and embedded on all threads
    /// of the current rayon pool's number, and committed in groups of up to 256, or as many as came within 200 ms. `each`
    /// hears of every good, in the order of the input, after its group is on disk: what it was told outlives any crash.
    /// With several goods of one id the last one counts, however many threads there are. Memory stays bounded.
    ///
    /// `goods` is read on a thread of its own. `P` is whatever the caller knows a good by; a good that is an error is
    /// passed on to `each` in its place. Once `interrupt` says so, what is ready is stored and told of, and nothing else.
    ///
    /// # Errors
    /// [`EngineError`] when the home folder or the model fails; goods that `each` was not told of are not stored then.
    pub fn add_all<P, R, E, I>(
        &self,
        goods: I,
        interrupt: &Interrupt,
        each: &mut dyn FnMut(P, Result<Added, E>),
    ) -> Result<BatchEnd, EngineError>
    where
        P: Send + 'static,
        R: FnOnce() -> Result<Vec<u8>, E> + Send + 'static,
        E: From<EngineError> + Send + 'static,
        I: IntoIterator<Item = (P, Result<OwnGood<R>, E>)>,
        I::IntoIter: Send + 'static,
    {
        let under_way = InFlight::<PreparedPhoto>::default();
        let prepare = |(place, good): (P, Result<OwnGood<R>, E>)| {
            let ready = match good {
                Ok(good) => self.prepare(good, &under_way)?,
                Err(error) => Err(error),
            };
            Ok((place, ready))
        };
        in_groups(goods.into_iter(), GROUPING, interrupt, prepare, |group| {
            self.commit(group, &under_way, each)
        })
    }

    /// The good, or what is wrong with it.
    ///
    /// # Errors
    /// Those of all goods that would follow.
    fn prepare<R, E>(
        &self,
        good: OwnGood<R>,
        under_way: &InFlight<PreparedPhoto>,
    ) -> Result<Result<Ready, E>, EngineError>
    where
        R: FnOnce() -> Result<Vec<u8>, E>,
        E: From<EngineError>,
    {
        let OwnGood { offer, label, read } = good;
        let bytes = match read() {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(error)),
        };
        let byte_digest = Digest::of(&bytes);
        let prepare = || Self::prepare_photo(&Picture::with_digest(self, &bytes, byte_digest));
        match under_way.once(byte_digest, prepare) {
            Ok(photo) => Ok(Ok(Ready { offer, label, byte_digest, photo })),
            Err(error) if error.is_input_error() => Ok(Err(error.into())),
            Err(error) => Err(error),
        }
    }

    /// Commits a group, then tells of its goods.
    fn commit<P, E: From<EngineError>>(
        &self,
        goods: Vec<(P, Result<Ready, E>)>,
        under_way: &InFlight<PreparedPhoto>,
        each: &mut dyn FnMut(P, Result<Added, E>),
    ) -> Result<(), EngineError> {
        let added_at = self.clock.now();
        let new: Vec<NewGood<'_>> = goods
            .iter()
            .filter_map(|(_, good)| good.as_ref().ok())
            .map(|Ready { offer, label, photo, .. }| NewGood {
                offer,
                photo: photo.as_new(label, added_at),
                added_at,
            })
            .collect();
        let stored = if new.is_empty() { Vec::new() } else { self.store.store_all(&new)? };
        drop(new);
        let mut stored = stored.into_iter();
        for (place, good) in goods {
            let result = good.and_then(|ready| {
                under_way.forget(ready.byte_digest);
                let stored = stored.next().expect("store_all has a result for each good");
                stored.map(Added::from).map_err(|error| EngineError::from(error).into())
            });
            each(place, result);
        }
        Ok(())
    }
}
