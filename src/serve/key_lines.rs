//! How do keys come into another home? As lines of JSON without their secrets: who has a key keeps using it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::keys::{KeyId, Rights, StoredKey};
use super::store::{ServeStore, ServeStoreError};
use crate::quota_day::QuotaDay;
use crate::timestamp::Timestamp;

/// Of the lines' format.
const VERSION: u32 = 1;
const DIGEST_BYTES: usize = 32;

/// A line: a key, and what it has spent on one day.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeyLine {
    tongkuan_key: u32,
    id: String,
    name: String,
    /// In hexadecimal digits.
    secret_sha256: String,
    rights: String,
    daily_budget: Option<u32>,
    per_second: Option<f64>,
    created_at: Timestamp,
    revoked_at: Option<Timestamp>,
    day: String,
    calls: u32,
}

impl ServeStore {
    /// All keys, the revoked ones too, with the digests of their secrets and what each has spent today: a line of JSON each.
    ///
    /// # Errors
    /// [`ServeStoreError`] when the file cannot be read.
    pub fn export_keys(&self, now: Timestamp) -> Result<Vec<String>, ServeStoreError> {
        let day = QuotaDay::of(now);
        let line = |(key, digest): (StoredKey, [u8; DIGEST_BYTES])| {
            let line = KeyLine {
                tongkuan_key: VERSION,
                id: key.key_id.0,
                name: key.name,
                secret_sha256: hex_of(&digest),
                rights: key.rights.to_string(),
                daily_budget: key.daily_budget,
                per_second: key.per_second,
                created_at: key.created_at,
                revoked_at: key.revoked_at,
                day: day.to_string(),
                calls: key.calls_today,
            };
            serde_json::to_string(&line).unwrap_or_default()
        };
        Ok(self.keys_with_digests(day)?.into_iter().map(line).collect())
    }

    /// Takes the keys of [`ServeStore::export_keys`]: all of them, or none. A key that is there already stays as it is, and is not
    /// counted.
    ///
    /// # Errors
    /// [`ServeStoreError::KeyLine`] for a line that is none; [`ServeStoreError::NameTaken`] where another key has a key's name; and
    /// when the file cannot be written.
    pub fn import_keys(&self, text: &str) -> Result<usize, ServeStoreError> {
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let rows: Vec<_> = lines.map(|(number, line)| read(number, line)).collect::<Result<_, _>>()?;
        self.insert_keys(&rows)
    }
}

fn read(number: u64, line: &str) -> Result<(StoredKey, [u8; DIGEST_BYTES], String), ServeStoreError> {
    let bad = |problem: String| ServeStoreError::KeyLine { line: number, problem };
    let line: KeyLine = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
    if line.tongkuan_key != VERSION {
        return Err(bad(format!("it is of the format {}, and {VERSION} is read", line.tongkuan_key)));
    }
    let digest = digest_of(&line.secret_sha256);
    let digest = digest.ok_or_else(|| bad("secret_sha256 is not 64 hexadecimal digits".to_owned()))?;
    let is_plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    // The id is looked up by what stands in a key between two underscores.
    if !line.id.bytes().all(|b| b.is_ascii_alphanumeric()) || !is_plain(&line.id) || !is_plain(&line.name) {
        return Err(bad("id or name is none".to_owned()));
    }
    let key = StoredKey {
        key_id: KeyId(line.id),
        name: line.name,
        rights: line.rights.parse::<Rights>().map_err(|error| bad(error.to_string()))?,
        daily_budget: line.daily_budget,
        per_second: line.per_second,
        created_at: line.created_at,
        revoked_at: line.revoked_at,
        calls_today: line.calls,
    };
    Ok((key, digest, line.day))
}

fn hex_of(digest: &[u8; DIGEST_BYTES]) -> String {
    digest.iter().fold(String::with_capacity(2 * DIGEST_BYTES), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn digest_of(text: &str) -> Option<[u8; DIGEST_BYTES]> {
    let mut digest = [0; DIGEST_BYTES];
    let is_right = text.len() == 2 * DIGEST_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit());
    for (place, byte) in digest.iter_mut().enumerate().filter(|_| is_right) {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    is_right.then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::super::keys::NewKey;
    use super::*;

    fn store() -> (tempfile::TempDir, ServeStore) {
        let home = tempfile::tempdir().unwrap();
        let store = ServeStore::open(home.path()).unwrap();
        (home, store)
    }

    #[test]
    fn a_key_works_in_another_home_with_what_it_has_spent_and_a_revoked_one_stays_revoked() {
        let now = Timestamp::from_unix_ms(1_795_485_600_000);
        let day = QuotaDay::of(now);
        let ((_, from), (_, to)) = (store(), store());
        let new = |name: &str| NewKey {
            name: name.to_owned(),
            rights: "read,spend".parse().unwrap(),
            daily_budget: Some(5),
            per_second: Some(0.5),
        };
        let (key_id, key) = from.make_key(&new("erp"), now).unwrap();
        let (_, gone) = from.make_key(&new("gone"), now).unwrap();
        from.revoke_key("gone", now).unwrap();
        from.book(&key_id, day, 3, 5).unwrap();
        let lines = from.export_keys(now).unwrap().join("\n");
        assert!(!lines.contains(&key.expose()[20..]));
        assert_eq!(to.import_keys(&lines).unwrap(), 2);
        assert_eq!(to.import_keys(&lines).unwrap(), 0, "they are there");
        assert_eq!(to.list_keys(now).unwrap(), from.list_keys(now).unwrap());
        assert!(to.key_of(key.expose()).unwrap().is_some() && to.key_of(gone.expose()).unwrap().is_none());
        assert_eq!(to.book(&key_id, day, 5, 5).unwrap(), 2);
    }

    #[test]
    fn keys_are_taken_all_or_none() {
        let now = Timestamp::from_unix_ms(0);
        let ((_, from), (_, to)) = (store(), store());
        let new = |name: &str| NewKey {
            name: name.to_owned(),
            rights: Rights::ALL,
            daily_budget: None,
            per_second: None,
        };
        from.make_key(&new("a"), now).unwrap();
        from.make_key(&new("b"), now).unwrap();
        to.make_key(&new("b"), now).unwrap();
        let lines = from.export_keys(now).unwrap().join("\n");
        assert!(matches!(to.import_keys(&lines), Err(ServeStoreError::NameTaken { name }) if name == "b"));
        for wrong in
            ["{}".to_owned(), "x".to_owned(), lines.replace("read,write", "all"), lines.replace(":1,", ":2,")]
        {
            let text = format!("{}\n{wrong}", lines.lines().next().unwrap());
            assert!(
                matches!(to.import_keys(&text), Err(ServeStoreError::KeyLine { line: 2.., .. })),
                "{wrong}"
            );
        }
        assert_eq!(to.list_keys(now).unwrap().len(), 1);
    }
}
