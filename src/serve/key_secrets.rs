//! Who has which key? Only a digest of a key's secret is kept: it has 256 bits of chance, so no slow hash is needed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::keys::{KeyId, NewKey, StoredKey};
use super::store::{ServeStore, ServeStoreError};
use crate::photo::Digest;
use crate::quota_day::QuotaDay;
use crate::timestamp::Timestamp;
use crate::upstream::Secret;

/// What a key begins with, so that it is known for one where it was left lying about.
const PREFIX: &str = "tk_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;

impl ServeStore {
    /// Makes a key. It is shown this once, and cannot be had again.
    ///
    /// # Errors
    /// [`ServeStoreError::NameTaken`], and when the file cannot be written.
    pub fn make_key(&self, new: &NewKey, now: Timestamp) -> Result<(KeyId, Secret), ServeStoreError> {
        let id = KeyId(URL_SAFE_NO_PAD.encode(random::<ID_BYTES>()?).replace(['-', '_'], "0"));
        let secret = URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>()?);
        self.add_key(&id, Digest::of(secret.as_bytes()), new, now)?;
        let key = Secret::new(format!("{PREFIX}{id}_{secret}"));
        Ok((id, key))
    }

    /// All keys that were ever made, the oldest first.
    ///
    /// # Errors
    /// [`ServeStoreError`] when the file cannot be read.
    pub fn list_keys(&self, now: Timestamp) -> Result<Vec<StoredKey>, ServeStoreError> {
        self.keys(QuotaDay::of(now))
    }

    /// Ends a key, by its name or id, for every process at once.
    ///
    /// # Errors
    /// [`ServeStoreError::NoSuchKey`], and when the file cannot be written.
    pub fn revoke_key(&self, name: &str, now: Timestamp) -> Result<(), ServeStoreError> {
        self.revoke(name, now)
    }

    /// The key that this text is, if it is one. The time it takes tells nothing about the secret.
    pub(super) fn key_of(&self, text: &str) -> Result<Option<StoredKey>, ServeStoreError> {
        let parts = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
        let Some((id, secret)) = parts else { return Ok(None) };
        let given = Digest::of(secret.as_bytes());
        let Some((key, digest)) = self.key(id)? else { return Ok(None) };
        let same: bool = given.as_bytes().ct_eq(&digest).into();
        Ok(same.then_some(key))
    }
}

/// Chance from the system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], ServeStoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| ServeStoreError::Sqlite(format!("the system gives no random numbers: {error}")))?;
    Ok(bytes)
}

/// Whether two texts are the same, in a time that tells nothing but their lengths.
pub(super) fn is_same_secret(given: &str, known: &str) -> bool {
    given.as_bytes().ct_eq(known.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::super::keys::Rights;
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_485_600_000);

    #[test]
    fn a_key_is_known_until_it_is_revoked_and_nothing_that_is_nearly_one_ever_is() {
        let home = tempfile::tempdir().unwrap();
        let store = ServeStore::open(home.path()).unwrap();
        assert!(!store.has_keys().unwrap());
        let new = NewKey {
            name: "erp".to_owned(),
            rights: "read,spend".parse().unwrap(),
            daily_budget: Some(7),
            per_second: None,
        };
        let (id, key) = store.make_key(&new, NOW).unwrap();
        assert!(matches!(store.make_key(&new, NOW), Err(ServeStoreError::NameTaken { .. })));
        let text = key.expose().to_owned();
        let found = store.key_of(&text).unwrap().unwrap();
        assert_eq!(
            (found.key_id, found.rights.to_string().as_str(), found.daily_budget),
            (id, "read,spend", Some(7))
        );
        for wrong in
            ["", "tk_", "tk__", &text[..text.len() - 1], &format!("{text}A"), &text.replace("tk_", "")]
        {
            assert_eq!(store.key_of(wrong).unwrap(), None, "{wrong}");
        }
        store.revoke_key("erp", NOW).unwrap();
        assert_eq!(store.key_of(&text).unwrap(), None);
        // Nobody is let in without a key from now on, although none is left.
        assert!(store.has_keys().unwrap());
        assert!(matches!(store.revoke_key("other", NOW), Err(ServeStoreError::NoSuchKey { .. })));
    }

    #[test]
    fn a_secret_is_nowhere_in_the_file() {
        let home = tempfile::tempdir().unwrap();
        let store = ServeStore::open(home.path()).unwrap();
        let new = NewKey { name: "a".to_owned(), rights: Rights::ALL, daily_budget: None, per_second: None };
        let (_, key) = store.make_key(&new, NOW).unwrap();
        let secret = key.expose().splitn(3, '_').nth(2).unwrap().as_bytes().to_vec();
        let files = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path());
        let bytes: Vec<u8> = files.flat_map(|file| std::fs::read(file).unwrap()).collect();
        assert!(bytes.len() > 1000 && !bytes.windows(secret.len()).any(|window| window == secret));
    }
}
