//! What do all doors take and say alike? Command line, service and bindings: pictures at addresses, and the JSON of what is
//! stored and of what was checked.

mod check_line;
mod shown;

pub use check_line::CheckedLine;
#[cfg(feature = "cli")]
pub(crate) use check_line::{COLUMNS, Columns, Kind, Told, real, text_of};
pub use shown::{photo, quota, stats};

use crate::fetch::FetchError;
use crate::offer::canonical_image_url;
use crate::photo::PhotoFormat;

/// Fetches the full-size picture where `address` names a thumbnail or another format of one at Alibaba, and what
/// `address` itself names if that is not there. Returns the address that it came from.
///
/// # Errors
/// Those of `fetch` for `address` itself.
pub fn fetch_largest(
    address: &str,
    fetch: impl Fn(&str) -> Result<Vec<u8>, FetchError>,
) -> Result<(Vec<u8>, String), FetchError> {
    let bare = address.split('#').next().unwrap_or(address);
    if let Some(canonical) = canonical_image_url(address).filter(|canonical| canonical != bare)
        && let Ok(bytes) = fetch(&canonical)
        && PhotoFormat::sniff(&bytes).is_ok()
    {
        return Ok((bytes, canonical));
    }
    Ok((fetch(address)?, address.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const GIF: &[u8] = b"GIF89a";
    const FULL: &str = "https://cbu01.alicdn.com/img/ibank/O1CN01abc_!!123-0-cib.jpg";

    /// A fetch from `there`, and what was asked for.
    #[allow(clippy::type_complexity, reason = "both halves are compared at once")]
    fn fetched(
        address: &str,
        there: &[(&str, &[u8])],
    ) -> (Result<(Vec<u8>, String), FetchError>, Vec<String>) {
        let asked = RefCell::new(Vec::new());
        let result = fetch_largest(address, |address| {
            asked.borrow_mut().push(address.to_owned());
            let found = there.iter().find(|(known, _)| *known == address);
            let missing = FetchError::Status { url: address.to_owned(), status: 404 };
            found.map(|(_, bytes)| bytes.to_vec()).ok_or(missing)
        });
        (result, asked.into_inner())
    }

    #[test]
    fn a_thumbnail_at_alibaba_is_fetched_in_full_size_with_one_request() {
        for end in ["_.avif", "_.webp", "_350x350.jpg", "_Q75.jpg_.webp", "?__r__=1"] {
            let (result, asked) = fetched(&format!("{FULL}{end}"), &[(FULL, GIF)]);
            assert_eq!(result, Ok((GIF.to_vec(), FULL.to_owned())), "{end}");
            assert_eq!(asked, [FULL], "{end}");
        }
        let sized = FULL.replace("-cib.jpg", "-cib.310x310.jpg");
        assert_eq!(fetched(&sized, &[(FULL, GIF)]).0, Ok((GIF.to_vec(), FULL.to_owned())));
    }

    #[test]
    fn the_given_address_is_taken_where_the_full_size_is_not_there_or_no_picture() {
        let thumbnail = format!("{FULL}_350x350.jpg");
        let (result, asked) = fetched(&thumbnail, &[(&thumbnail, GIF)]);
        assert_eq!(result, Ok((GIF.to_vec(), thumbnail.clone())));
        assert_eq!(asked, [FULL, &thumbnail]);
        let (result, _) = fetched(&thumbnail, &[(&thumbnail, GIF), (FULL, b"<html>")]);
        assert_eq!(result, Ok((GIF.to_vec(), thumbnail)));
    }

    #[test]
    fn elsewhere_nothing_is_taken_off() {
        let address = "https://shop.example/a.jpg_350x350.jpg?id=7#top";
        let (result, asked) = fetched(address, &[]);
        assert!(matches!(result, Err(FetchError::Status { status: 404, .. })));
        assert_eq!(asked, [address]);
    }
}
