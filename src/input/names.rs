//! Names of files: as text, however they were packed, and whether they are those of pictures.

/// A file's name as text. Names that are no UTF-8 come out of archives that were packed on a Chinese Windows.
pub(super) fn name_text(name: &std::ffi::OsStr) -> String {
    match name.to_str() {
        Some(text) => text.to_owned(),
        None => bytes_text(name.as_encoded_bytes()),
    }
}

/// As [`name_text`], of the bytes that an archive has.
pub(super) fn bytes_text(name: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(name) {
        return text.to_owned();
    }
    let (text, damaged) = encoding_rs::GB18030.decode_without_bom_handling(name);
    if !damaged {
        return text.into_owned();
    }
    // Bytes that are no characters stay apart: names that differ are goods that differ.
    let mut shown = String::new();
    for chunk in name.utf8_chunks() {
        shown.push_str(chunk.valid());
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    shown
}

/// A name in an archive without what means nothing: `./a//b/../c.jpg` as `a/c.jpg`.
pub(super) fn plain(name: &str) -> String {
    let mut parts = Vec::new();
    for part in name.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A place below a folder or in an archive, for people.
pub(super) fn joined(folder: &str, place: &str) -> String {
    if place.is_empty() { folder.to_owned() } else { format!("{}/{place}", folder.trim_end_matches('/')) }
}

/// How the names of pictures end, those that cannot be read included.
pub(super) const PICTURE_ENDINGS: [&str; 15] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "avif", "heic", "heif", "tif", "tiff", "jxl",
    "svg",
];

/// What stands behind the last dot of a name, in small letters; empty without one.
pub(super) fn ending_of(name: &str) -> String {
    name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase()
}

/// Whether a file is a picture by its name, whatever it holds.
pub(super) fn is_called_picture(name: &str) -> bool {
    PICTURE_ENDINGS.contains(&ending_of(name).as_str())
}
