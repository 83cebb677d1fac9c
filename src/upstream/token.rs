//! Access tokens: fetched when they are first needed or about to end, once for all who wait, and kept in a file
//! where a later process finds them.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Secret, UpstreamError, UpstreamErrorKind};
use crate::access;
use crate::clock::{Clock, Timestamp};
use crate::paths::folder_of;

/// A token is renewed this long before it ends, so that it does not end on the way.
const MARGIN: Duration = Duration::from_mins(1);
/// For an answer that does not say how long its token holds; a token that ends earlier is renewed on its refusal.
const UNSTATED_LIFE: Duration = Duration::from_mins(10);
/// Renewing takes a request, which has a time-out of its own.
const MAX_LOCK_WAIT: Duration = Duration::from_mins(1);
const LOCK_POLL: Duration = Duration::from_millis(20);
const MAX_LIFE: Duration = Duration::from_hours(30 * 24);

/// A token as it is used for a call.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: Secret,
    /// Which fetch it came from; tells a refused token from the one that has replaced it meanwhile.
    generation: u64,
    renew_at: Timestamp,
}

/// A token as it is fetched.
pub(super) struct Fetched {
    pub(super) value: Secret,
    /// `None` when the upstream does not say.
    pub(super) life: Option<Duration>,
}

impl Fetched {
    /// When it is to be renewed, if it was fetched at `now`.
    fn renew_at(&self, now: Timestamp) -> Timestamp {
        now.plus(self.life.unwrap_or(UNSTATED_LIFE).min(MAX_LIFE).saturating_sub(MARGIN))
    }
}

/// The token that a client holds. Its lock is held while a token is fetched, so that many searches at once fetch
/// one.
#[derive(Default)]
pub(super) struct TokenCell(Mutex<Tokens>);

#[derive(Default)]
struct Tokens {
    fetched: u64,
    held: Option<Token>,
}

impl TokenCell {
    /// Runs `ask` with a token; once more with a fresh one when the first is refused, because a refused token was
    /// no search. `fetch` gets the value of the token that was refused, if one was.
    pub(super) fn with<T>(
        &self,
        clock: &dyn Clock,
        fetch: impl Fn(Option<&Secret>) -> Result<Fetched, UpstreamError>,
        ask: impl Fn(&Token) -> Result<T, UpstreamError>,
    ) -> Result<T, UpstreamError> {
        let token = self.get(clock, None, &fetch)?;
        match ask(&token) {
            Err(refusal) if refusal.kind == UpstreamErrorKind::Auth => {
                ask(&self.get(clock, Some(&token), &fetch)?)
            }
            answer => answer,
        }
    }

    /// Fetches a token unless a good one is held.
    pub(super) fn hold_one(
        &self,
        clock: &dyn Clock,
        fetch: impl Fn(Option<&Secret>) -> Result<Fetched, UpstreamError>,
    ) -> Result<(), UpstreamError> {
        self.get(clock, None, fetch).map(drop)
    }

    /// Fetches a fresh token, whatever is held, and keeps it.
    pub(super) fn renew(
        &self,
        clock: &dyn Clock,
        fetch: impl Fn(Option<&Secret>) -> Result<Fetched, UpstreamError>,
    ) -> Result<(), UpstreamError> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).held.clone();
        self.get(clock, held.as_ref(), &fetch).map(drop)
    }

    fn get(
        &self,
        clock: &dyn Clock,
        refused: Option<&Token>,
        fetch: impl Fn(Option<&Secret>) -> Result<Fetched, UpstreamError>,
    ) -> Result<Token, UpstreamError> {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.now();
        let is_refused = |held: &Token| refused.is_some_and(|refused| refused.generation == held.generation);
        if let Some(held) = tokens.held.as_ref().filter(|held| now < held.renew_at && !is_refused(held)) {
            return Ok(held.clone());
        }
        tokens.held = None;
        let fetched = fetch(refused.map(|token| &token.value)).map_err(no_search_was_made)?;
        tokens.fetched += 1;
        let renew_at = fetched.renew_at(now);
        let token = Token { value: fetched.value, generation: tokens.fetched, renew_at };
        tokens.held = Some(token.clone());
        Ok(token)
    }
}

/// Whatever went wrong over a token, no search was made, so none is paid for.
fn no_search_was_made(error: UpstreamError) -> UpstreamError {
    match error.kind {
        UpstreamErrorKind::Transient | UpstreamErrorKind::Unreadable => {
            UpstreamError { kind: UpstreamErrorKind::Unreachable, ..error }
        }
        _ => error,
    }
}

/// The tokens of one upstream in a file that only its owner may read. Several processes share it: renewing
/// takes the lock beside it, and the other processes then find the renewed tokens.
#[derive(Clone)]
pub struct TokenFile {
    path: PathBuf,
}

/// What a [`TokenFile`] holds.
#[derive(Clone)]
pub(super) struct StoredTokens {
    pub(super) access_token: Secret,
    pub(super) renew_at: Timestamp,
    pub(super) refresh_token: Option<Secret>,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Content {
    access_token: String,
    renew_at_ms: i64,
    refresh_token: Option<String>,
}

/// The right to renew, or a wait for it that took too long; ends when dropped.
pub(super) struct Renewal {
    _lock: File,
}

impl TokenFile {
    /// The file for `profile` in the home folder `home`; made when tokens are first stored.
    #[must_use]
    pub fn of_home(home: &Path, profile: &str) -> Self {
        Self { path: home.join("tokens").join(format!("{profile}.json")) }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no other process renews; for a minute at the most, since one that takes longer is suspended or hangs,
    /// and two renewals are better than none.
    pub(super) fn lock(&self) -> io::Result<Renewal> {
        self.lock_within(MAX_LOCK_WAIT)
    }

    fn lock_within(&self, max_wait: Duration) -> io::Result<Renewal> {
        let folder = self.folder();
        // The home folder is there already, except at a log-in before anything is stored.
        access::make_home(folder.parent().unwrap_or(folder))?;
        access::make_folder(folder)?;
        let lock_path = self.path.with_extension("lock");
        let lock = access::open(File::options().create(true).truncate(false).write(true), &lock_path)?;
        let start = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => {
                    self.remove_leftovers()?;
                    return Ok(Renewal { _lock: lock });
                }
                Err(TryLockError::WouldBlock) if start.elapsed() < max_wait => thread::sleep(LOCK_POLL),
                Err(TryLockError::WouldBlock) => return Ok(Renewal { _lock: lock }),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    fn folder(&self) -> &Path {
        folder_of(&self.path)
    }

    fn temporary_prefix(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        format!(".{name}-")
    }

    /// Removes the tokens that a killed process was storing. To be called with the lock held.
    fn remove_leftovers(&self) -> io::Result<()> {
        let prefix = self.temporary_prefix();
        for entry in fs::read_dir(self.folder())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// `None` when there is no file, or one that cannot be read: then the tokens are fetched anew.
    pub(super) fn load(&self) -> Option<StoredTokens> {
        let content: Content = serde_json::from_slice(&fs::read(&self.path).ok()?).ok()?;
        Some(StoredTokens {
            access_token: Secret::new(content.access_token),
            renew_at: Timestamp::from_unix_ms(content.renew_at_ms),
            refresh_token: content.refresh_token.map(Secret::new),
        })
    }

    /// Replaces the file as a whole.
    pub(super) fn store(
        &self,
        fetched: &Fetched,
        refresh_token: Option<&Secret>,
        now: Timestamp,
    ) -> io::Result<()> {
        let content = Content {
            access_token: fetched.value.expose().to_owned(),
            renew_at_ms: fetched.renew_at(now).unix_ms(),
            refresh_token: refresh_token.map(|token| token.expose().to_owned()),
        };
        let folder = self.folder();
        access::make_folder(folder)?;
        // A temporary file is readable for its owner only, and stays so under its new name.
        let mut file = tempfile::Builder::new().prefix(&self.temporary_prefix()).tempfile_in(folder)?;
        file.write_all(&serde_json::to_vec(&content)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFile").field("path", &self.path).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_never_ends_its_renewal_holds_up_no_other_for_ever() {
        let home = tempfile::tempdir().expect("a folder");
        let file = TokenFile::of_home(home.path(), "aop");
        let held = file.lock().expect("free");
        let late = file.lock_within(Duration::ZERO).expect("without the lock");
        drop((held, late));
        file.lock_within(Duration::ZERO).expect("free again");
    }
}
