//! Which kind of archive begins with these bytes?

use super::names::ending_of;

/// Whether a tar begins with these bytes.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// What kind of archive, or a Parquet file, the file `name` is. Many programs keep their documents in a zip, and compress what is no
/// archive.
pub(super) fn archive_of(head: &[u8], name: &str) -> Option<&'static str> {
    let ending = ending_of(name);
    let is_tar_in_gzip = || match ending.as_str() {
        "tgz" => true,
        "gz" => ending_of(&name[..name.len() - ".gz".len()]) == "tar",
        _ => false,
    };
    match head {
        [b'P', b'A', b'R', b'1', ..] => Some("Parquet"),
        [b'P', b'K', 3 | 5, 4 | 6, ..] if ending == "zip" => Some("zip"),
        [0x1F, 0x8B, ..] if is_tar_in_gzip() => Some("compressed tar"),
        _ if is_tar(head) => Some("tar"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_told_by_their_bytes_and_documents_apart_by_their_names() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (head, name, kind) in [
            (&tar[..], "a", Some("tar")),
            (b"PAR1\x15", "a.bin", Some("Parquet")),
            (b"PK\x03\x04", "A.ZIP", Some("zip")),
            (b"PK\x03\x04", "a.docx", None),
            (b"\x1F\x8B\x08", "a.Tar.GZ", Some("compressed tar")),
            (b"\x1F\x8B\x08", "a.tgz", Some("compressed tar")),
            (b"\x1F\x8B\x08", "a.csv.gz", None),
            (b"text", "a.tar", None),
        ] {
            assert_eq!(archive_of(head, name), kind, "{name}");
        }
    }
}
