//! What do these bytes look like? Told by content; a file's name is never asked.

use super::{PhotoError, PhotoFormat};

/// How far into a text its markup may begin and still be recognised, in bytes.
pub(super) const TEXT_WINDOW: usize = 1024;

/// Sizes of the header that follows a BMP's 14-byte file header: "BM" alone would also match text.
const BMP_HEADER_SIZES: [u8; 7] = [12, 40, 52, 56, 64, 108, 124];

/// Picture formats that are not decoded, by the brand at byte 8 of an ISO media file.
const ISO_PICTURES: [(&[u8; 4], &str); 8] = [
    (b"avif", "AVIF"),
    (b"avis", "AVIF"),
    (b"heic", "HEIC"),
    (b"heix", "HEIC"),
    (b"hevc", "HEIC"),
    (b"mif1", "HEIF"),
    (b"msf1", "HEIF"),
    (b"crx ", "Canon raw"),
];

/// Picture formats that are not decoded, by their first bytes.
const OTHER_PICTURES: [(&[u8], &str); 10] = [
    (b"II*\0", "TIFF or camera raw"),
    (b"MM\0*", "TIFF or camera raw"),
    (b"II+\0", "BigTIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"8BPS", "PSD"),
    (b"qoif", "QOI"),
    (b"\0\0\x01\0", "ICO"),
    (b"II\xbc\x01", "JPEG XR"),
];

/// Things that are no picture, by their first bytes.
const OTHER_THINGS: [(&[u8], &str); 9] = [
    (b"%PDF-", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\0", "a program"),
];

/// The format of `bytes`.
///
/// # Errors
/// [`PhotoError::Empty`], [`PhotoError::UnsupportedFormat`] for a picture format that is not decoded,
/// [`PhotoError::NotAPicture`] for anything else; both say what was found.
pub(super) fn format_of(bytes: &[u8]) -> Result<PhotoFormat, PhotoError> {
    if bytes.is_empty() {
        return Err(PhotoError::Empty);
    }
    if let Some(format) = decodable(bytes) {
        return Ok(format);
    }
    if let Some(found) = other_picture(bytes) {
        return Err(PhotoError::UnsupportedFormat { found });
    }
    Err(PhotoError::NotAPicture { found: other_thing(bytes) })
}

fn decodable(bytes: &[u8]) -> Option<PhotoFormat> {
    if bytes.starts_with(b"\xff\xd8") && matches!(bytes.get(2), None | Some(0xff)) {
        Some(PhotoFormat::Jpeg)
    } else if bytes.starts_with(b"\x89PNG") {
        Some(PhotoFormat::Png)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some(PhotoFormat::WebP)
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Some(PhotoFormat::Gif)
    } else if bytes.starts_with(b"BM")
        && matches!(bytes.get(14..18), Some([size, 0, 0, 0]) if BMP_HEADER_SIZES.contains(size))
    {
        Some(PhotoFormat::Bmp)
    } else {
        None
    }
}

fn other_picture(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8) == Some(b"ftyp") {
        let brand = bytes.get(8..12)?;
        return ISO_PICTURES.iter().find(|(known, _)| known.as_slice() == brand).map(|&(_, name)| name);
    }
    let by_magic = OTHER_PICTURES.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|&(_, name)| name);
    by_magic.or_else(|| markup(bytes)?.contains("<svg").then_some("SVG"))
}

fn other_thing(bytes: &[u8]) -> &'static str {
    if let Some(&(_, name)) = OTHER_THINGS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return name;
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return "a video";
    }
    if bytes.iter().all(|&byte| byte == 0) {
        return "nothing but zero bytes";
    }
    if let Some(markup) = markup(bytes) {
        let html = ["<!doctype html", "<html", "<head", "<body", "<script"];
        return if html.iter().any(|tag| markup.contains(tag)) { "an HTML page" } else { "an XML document" };
    }
    match text(bytes) {
        Some(text) if text.starts_with("data:") => "a data: URL",
        Some(text) if text.starts_with("http://") || text.starts_with("https://") => "a web address",
        Some(text) if text.starts_with(['{', '[']) => "JSON",
        Some(_) => "text",
        None => "data of an unknown kind",
    }
}

/// The beginning of `bytes` in lower case, when it is markup.
fn markup(bytes: &[u8]) -> Option<String> {
    text(bytes).filter(|text| text.starts_with('<')).map(str::to_ascii_lowercase)
}

/// The beginning of `bytes`, without a byte order mark and white space, when it is UTF-8 text.
fn text(bytes: &[u8]) -> Option<&str> {
    let window = &bytes[..bytes.len().min(TEXT_WINDOW)];
    let text = match std::str::from_utf8(window) {
        Ok(text) => text,
        // The window may cut a character in half; anything else that is not UTF-8 is not text.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&window[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let printable = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}');
    (!text.is_empty() && text.chars().all(printable))
        .then(|| text.trim_start_matches('\u{feff}').trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> (&'static str, &'static str) {
        match format_of(bytes) {
            Err(PhotoError::UnsupportedFormat { found }) => ("picture", found),
            Err(PhotoError::NotAPicture { found }) => ("other", found),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pictures_that_are_not_decoded_are_named() {
        assert_eq!(found(b"\0\0\0\x20ftypavif\0\0\0\0"), ("picture", "AVIF"));
        assert_eq!(found(b"\0\0\0\x20ftypheic\0\0\0\0"), ("picture", "HEIC"));
        assert_eq!(found(b"II*\0\x08\0\0\0"), ("picture", "TIFF or camera raw"));
        assert_eq!(found(b"<?xml version='1.0'?>\n<svg xmlns='x'/>"), ("picture", "SVG"));
    }

    #[test]
    fn things_that_are_no_picture_are_named() {
        assert_eq!(found(b"\xef\xbb\xbf\n<!DOCTYPE HTML><title>404</title>"), ("other", "an HTML page"));
        assert_eq!(found(b"%PDF-1.7"), ("other", "a PDF document"));
        assert_eq!(found(b"\0\0\0\x20ftypisom"), ("other", "a video"));
        assert_eq!(found(b"{\"error\":404}"), ("other", "JSON"));
        assert_eq!(found(b"BMW is not a bitmap, whatever it begins with"), ("other", "text"));
        assert_eq!(found("同款".as_bytes()), ("other", "text"));
        assert_eq!(found(b"data:image/png;base64,iVBORw0KGgo="), ("other", "a data: URL"));
        assert_eq!(found(&[0; 64]), ("other", "nothing but zero bytes"));
        assert_eq!(found(b"\x01\x02\xfe\xff"), ("other", "data of an unknown kind"));
    }

    #[test]
    fn text_cut_inside_a_character_is_still_text() {
        let long = "字".repeat(TEXT_WINDOW);
        assert_eq!(found(long.as_bytes()), ("other", "text"));
    }
}
