//! What do all HTTP clients of this crate share?

use std::error::Error as _;
use std::sync::Once;

pub(crate) const USER_AGENT: &str = concat!("tongkuan/", env!("CARGO_PKG_VERSION"));

/// The HTTP client brings no cryptography of its own and panics without a provider. To be called before a client is
/// built, as often as one likes.
pub(crate) fn install_tls_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error means that the program around this library has installed one: that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The cause at the bottom, which never holds the address: that is only in the outermost text. At most 200 characters.
pub(crate) fn innermost(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else { return "no further cause".to_owned() };
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string().chars().take(200).collect()
}
