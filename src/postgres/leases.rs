//! Searches under way, as leases: before its paid call a search registers here, so that no other worker pays for the same
//! picture, or for the details of the same offer.
//!
//! A lease ends when it is given back, or when its time is over by the server's clock. While it is held, a thread of the
//! holder's process renews it. Its number is the fencing token: it rises with every lease, and whoever holds an old one can
//! neither renew nor end a newer one. A worker that comes back too late has its answer stored all the same.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::PostgresStore;
use super::address::PostgresAddress;
use super::connection::{Connection, Lock};
use crate::catalog::{Asking, CatalogError, Holder, Subject};
use crate::photo_id::PhotoId;
use crate::vector::Embedding;

/// How long a lease lasts that is not renewed: so long others wait for a worker that was killed.
const LEASE: Duration = Duration::from_mins(1);

/// How often leases are renewed: two renewals may fail.
const RENEW: Duration = Duration::from_secs(20);

/// The leases that this process holds, and the thread that renews them.
pub(super) struct Leases {
    shared: Arc<Shared>,
    renewal: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    address: PostgresAddress,
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Default)]
struct Held {
    leases: BTreeSet<i64>,
    /// Leases that are over, but could not be ended: the server was away.
    left: Vec<i64>,
    has_ended: bool,
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews what is held, until the store is closed.
    fn renew(&self) {
        let mut connection = None;
        let mut held = self.held();
        while !held.has_ended {
            let (next, waited) =
                self.changed.wait_timeout(held, RENEW).unwrap_or_else(PoisonError::into_inner);
            held = next;
            if held.has_ended || !waited.timed_out() {
                continue;
            }
            let leases: Vec<i64> = held.leases.iter().copied().collect();
            drop(held);
            if leases.is_empty() {
                connection = None;
            } else if renew(&self.address, &mut connection, &leases).is_err() {
                // The next time with a new one. Should all fail, others take the turns over, as if this worker were gone.
                connection = None;
            }
            held = self.held();
        }
    }
}

fn renew(
    address: &PostgresAddress,
    connection: &mut Option<Connection>,
    leases: &[i64],
) -> Result<(), postgres::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Connection::open(address)?),
    };
    connection
        .execute(
            "UPDATE asking SET expires_at = clock_timestamp() + $2::bigint * interval '1 ms'
             WHERE asking_id = ANY($1)",
            &[&leases, &lease_ms()],
        )
        .map(drop)
}

fn lease_ms() -> i64 {
    i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX)
}

impl Leases {
    pub(super) fn new(address: PostgresAddress) -> Self {
        let shared = Shared { address, held: Mutex::default(), changed: Condvar::new() };
        Self { shared: Arc::new(shared), renewal: Mutex::new(None) }
    }

    /// From now on the lease is renewed.
    fn hold(&self, lease: i64) {
        self.shared.held().leases.insert(lease);
        let mut renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        if renewal.is_none() {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("tongkuan-leases".to_owned());
            // Without the thread a lease ends by itself, which costs a second call at worst.
            *renewal = thread.spawn(move || shared.renew()).ok();
        }
    }

    fn let_go(&self, lease: i64) {
        self.shared.held().leases.remove(&lease);
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.shared.held().has_ended = true;
        self.shared.changed.notify_all();
        let thread = self.renewal.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It cannot panic, and there would be nothing to do about it.
            let _ = thread.join();
        }
    }
}

impl PostgresStore {
    pub(super) fn take_lease(
        &self,
        given_up: Option<Holder>,
        subject: Subject<'_>,
        params: &str,
        same_from: f32,
    ) -> Result<Result<Asking<'_>, Holder>, CatalogError> {
        let key = subject.key(params);
        let mut write = self.write(Lock::Turns)?;
        let left = self.leases.shared.held().left.clone();
        write.execute(
            "DELETE FROM asking WHERE expires_at <= clock_timestamp() OR asking_id = ANY($1)",
            &[&left],
        )?;
        let others = write.query(
            "SELECT asking_id, asking.photo_id, coalesce(asking.vector, embeddings.vector)
             FROM asking LEFT JOIN embeddings ON embeddings.photo_id = asking.photo_id WHERE params = $1",
            &[&key],
        )?;
        let stored = match subject {
            Subject::Stored(PhotoId(photo_id)) if !others.is_empty() => {
                let row = write.first("SELECT vector FROM embeddings WHERE photo_id = $1", &[&photo_id])?;
                let vector: Option<Vec<u8>> = row.map(|row| row.try_get(0)).transpose()?;
                vector.and_then(|vector| Embedding::from_le_bytes(&vector).ok())
            }
            _ => None,
        };
        for other in others {
            let (asking_id, photo_id, vector): (i64, Option<i64>, Option<&[u8]>) =
                (other.try_get(0)?, other.try_get(1)?, other.try_get(2)?);
            if !subject.is_same(stored.as_ref(), photo_id.map(PhotoId), vector, same_from) {
                continue;
            }
            let holder = Holder(asking_id);
            if given_up != Some(holder) {
                // What has expired is gone by the next look, committed now or then.
                return Ok(Err(holder));
            }
            write.execute("DELETE FROM asking WHERE asking_id = $1", &[&asking_id])?;
        }
        let (photo_id, vector) = subject.columns();
        let photo_id = photo_id.map(|photo_id| photo_id.0);
        let row = write.one(
            "INSERT INTO asking (holder, params, photo_id, vector, expires_at)
             VALUES ($1, $2, $3, $4, clock_timestamp() + $5::bigint * interval '1 ms') RETURNING asking_id",
            &[&holder_name(), &key, &photo_id, &vector, &lease_ms()],
        )?;
        let asking_id = row.try_get(0)?;
        write.commit()?;
        self.leases.shared.held().left.retain(|lease| !left.contains(lease));
        self.leases.hold(asking_id);
        Ok(Ok(Asking::new(move || self.end_lease(asking_id))))
    }

    fn end_lease(&self, asking_id: i64) {
        self.leases.let_go(asking_id);
        let end = || {
            let mut write = self.write(Lock::None)?;
            write.execute("DELETE FROM asking WHERE asking_id = $1", &[&asking_id])?;
            write.commit()
        };
        let ended: Result<(), CatalogError> = end();
        if ended.is_err() {
            // The next turn of this process ends it as well; before, it expires.
            self.leases.shared.held().left.push(asking_id);
        }
    }
}

/// For people who look into the table.
fn holder_name() -> String {
    format!("process {}", std::process::id())
}
