//! Where what was paid for waits until it can be stored: in the side journal, else in memory.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::CatalogError;
use super::answers::StoredAnswer;
use super::details::StoredDetail;
use super::journal::Journal;
use super::paid::{Paid, PaidAnswer, PaidDetails, PaidWaiting};
use crate::offer::OfferId;
use crate::photo::Digest;
use crate::timestamp::Timestamp;

/// So many records are kept in memory when even the journal cannot be written.
const MAX_IN_MEMORY: usize = 64;

/// What was paid for and is not in the store yet.
#[derive(Debug)]
pub(crate) struct SetAside {
    journal: Journal,
    /// What is not in the journal either.
    unwritten: Mutex<Vec<Paid>>,
    /// Whether the last attempt to store something that was paid for, or to be allowed to pay, has failed.
    storing_fails: AtomicBool,
}

impl SetAside {
    /// The journal lies in the folder of `beside`.
    pub(crate) fn new(beside: &Path) -> Self {
        Self {
            journal: Journal::new(beside),
            unwritten: Mutex::default(),
            storing_fails: AtomicBool::new(false),
        }
    }

    fn unwritten(&self) -> MutexGuard<'_, Vec<Paid>> {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps something; `model`, as it is stored, has made its vector. Says whether it is on disk.
    pub(crate) fn keep(&self, mut paid: Paid, model: Option<&String>) -> bool {
        if let Paid::Answer(PaidAnswer { photo: Some(photo), .. }) = &mut paid {
            photo.model = model.cloned();
        }
        let written = serde_json::to_vec(&paid).is_ok_and(|record| self.journal.append(&record).is_ok());
        if !written {
            let mut in_memory = self.unwritten();
            if in_memory.len() < MAX_IN_MEMORY {
                in_memory.push(paid);
            }
        }
        written
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.journal.is_empty() && self.unwritten().is_empty()
    }

    /// What waits in the journal and in memory.
    pub(crate) fn counts(&self) -> Result<PaidWaiting, CatalogError> {
        let (on_disk, damaged) = self
            .journal
            .counts()
            .map_err(|source| CatalogError::Journal { path: self.journal.path().to_path_buf(), source })?;
        Ok(PaidWaiting { waiting: on_disk + self.unwritten().len(), damaged })
    }

    pub(crate) fn keep_room(&self) -> Result<(), CatalogError> {
        self.journal
            .keep_room()
            .map_err(|source| CatalogError::Journal { path: self.journal.path().to_path_buf(), source })
    }

    /// Has `store` store all that waits, here or in other processes, and lets it go when it has.
    pub(crate) fn drain(
        &self,
        store: impl Fn(&[Paid]) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        let mut in_memory = self.unwritten();
        if !in_memory.is_empty() {
            store(&in_memory)?;
            in_memory.clear();
        }
        drop(in_memory);
        if self.journal.is_empty() {
            return Ok(());
        }
        let path = self.journal.path();
        let stored = self.journal.drain(|records| {
            // What a later version has written stays where it is.
            let all: Result<Vec<Paid>, _> =
                records.iter().map(|record| serde_json::from_slice(record)).collect();
            let all = all.map_err(|e| Draining::Io(e.into()))?;
            store(&all).map_err(Draining::Catalog)
        });
        stored.map_err(|error| match error {
            Draining::Catalog(error) => error,
            Draining::Io(source) => CatalogError::Journal { path: path.to_path_buf(), source },
        })
    }

    /// The newest answer about these bytes.
    pub(crate) fn answer(
        &self,
        byte_digest: Digest,
        params: &str,
        profiles: &[&str],
    ) -> Option<StoredAnswer> {
        let mut found: Option<PaidAnswer> = None;
        for paid in self.all() {
            let Paid::Answer(answer) = paid else { continue };
            if answer.is_for(byte_digest, params, profiles)
                && found.as_ref().is_none_or(|found| found.fetched_at_ms < answer.fetched_at_ms)
            {
                found = Some(answer);
            }
        }
        found.map(PaidAnswer::into_stored)
    }

    /// The newest details of an offer.
    pub(crate) fn details(&self, offer_id: &OfferId, profiles: &[&str]) -> Option<StoredDetail> {
        let of_it = |paid| match paid {
            Paid::Details(details)
                if details.offer_id == *offer_id
                    && (profiles.is_empty() || profiles.contains(&details.profile.as_str())) =>
            {
                let PaidDetails { profile, fetched_at_ms, detail, .. } = *details;
                Some(StoredDetail { profile, fetched_at: Timestamp::from_unix_ms(fetched_at_ms), detail })
            }
            _ => None,
        };
        self.all().into_iter().filter_map(of_it).max_by_key(|stored| stored.fetched_at)
    }

    /// All that waits, on disk and in memory.
    fn all(&self) -> Vec<Paid> {
        let on_disk = self.journal.payloads();
        let mut all: Vec<Paid> =
            on_disk.iter().filter_map(|record| serde_json::from_slice(record).ok()).collect();
        all.extend(self.unwritten().iter().cloned());
        all
    }

    pub(crate) fn storing_fails(&self) -> bool {
        self.storing_fails.load(Ordering::Relaxed)
    }

    pub(crate) fn note_storing(&self, fails: bool) {
        self.storing_fails.store(fails, Ordering::Relaxed);
    }
}

/// What ends the draining of the journal.
enum Draining {
    Io(std::io::Error),
    Catalog(CatalogError),
}

impl From<std::io::Error> for Draining {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
