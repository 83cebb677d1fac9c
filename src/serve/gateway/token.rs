//! Access tokens that need no table: a moment and a name, under a seal of this home. They outlive a restart.

use std::fmt::Write as _;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::super::auth::Caller;
use super::super::key_secrets::random;
use super::super::state::App;
use crate::timestamp::Timestamp;

/// As the platform's tokens live.
pub(super) const TTL: Duration = Duration::from_hours(10);
const PREFIX: &str = "tkt.";

fn seal(secret: &[u8], text: &str) -> String {
    // HMAC takes a key of any length, so there is no error to report.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A token for `caller`.
pub(super) fn issue(app: &App, caller: &Caller) -> String {
    let ends = app.clock.now().plus(TTL).unix_ms();
    let chance = u64::from_be_bytes(random::<8>().unwrap_or_default());
    let text = format!("{PREFIX}{ends}.{}.{chance:x}", caller.scope());
    let seal = seal(&app.token_secret, &text);
    format!("{text}.{seal}")
}

/// Whose token it is: the key's id, or `owner`. `None` for one that has ended, or was not issued here.
pub(super) fn holder<'t>(secret: &[u8], token: &'t str, now: Timestamp) -> Option<&'t str> {
    let (text, given) = token.rsplit_once('.')?;
    let same: bool = seal(secret, text).as_bytes().ct_eq(given.as_bytes()).into();
    let mut parts = text.strip_prefix(PREFIX)?.split('.');
    let ends: i64 = parts.next()?.parse().ok()?;
    let scope = parts.next()?;
    (same && now.unix_ms() < ends).then_some(scope)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_until_it_ends_and_no_other_is_taken_for_one() {
        let secret = b"0123456789";
        let text = "tkt.1000.owner.7";
        let token = format!("{text}.{}", seal(secret, text));
        let at = Timestamp::from_unix_ms;
        assert_eq!(holder(secret, &token, at(999)), Some("owner"));
        assert_eq!(holder(secret, &token, at(1000)), None);
        assert_eq!(holder(b"other", &token, at(0)), None);
        for wrong in [
            "",
            "tkt",
            &token.replace("1000", "9000"),
            &token.replace("owner", "other"),
            &token[..token.len() - 1],
        ] {
            assert_eq!(holder(secret, wrong, at(0)), None, "{wrong}");
        }
    }
}
