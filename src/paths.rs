//! In which folder does a file lie?

use std::path::Path;

/// The folder of `path`: that of this process for a bare name, whose parent is an empty path, which cannot be opened.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_lies_in_the_folder_of_this_process() {
        for (path, folder) in [("a.csv", "."), ("x/a.csv", "x"), ("/a.csv", "/"), ("./a.csv", "."), ("", ".")]
        {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder), "{path:?}");
        }
    }
}
