//! Which cryptography do HTTPS connections use?

use std::sync::Once;

/// The HTTP client brings no cryptography of its own and panics without a provider. To be called before a client is
/// built, as often as one likes.
pub(crate) fn install_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error means that the program around this library has installed one: that one is used.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
