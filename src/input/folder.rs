//! Which pictures are in this folder? Told by what files hold, not by how they are called.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::magic::archive_of;
use super::names::{is_called_picture, joined, name_text};
use crate::photo::{PhotoError, PhotoFormat};

/// Files of one folder; more are refused.
const MAX_FILES: usize = 20_000_000;

/// Folders and files that systems and programs leave among pictures.
const LEFT_BY_SYSTEMS: [&str; 10] = [
    "@Recycle",
    "__MACOSX",
    "@eaDir",
    "#recycle",
    "#snapshot",
    "$RECYCLE.BIN",
    "System Volume Information",
    "Thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
];
/// Of files that are not whole yet.
const UNFINISHED: [&str; 5] = [".part", ".crdownload", ".partial", ".download", ".tmp"];

/// Why a file of a folder or archive was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub enum Skipped {
    /// A picture in a format that is not decoded.
    Format(&'static str),
    /// It has no bytes.
    Empty,
    /// Its bytes are none of a picture.
    NotAPicture,
    /// An archive or a Parquet file: those in a folder are not opened.
    Archive(&'static str),
    /// Hidden, a thumbnail, a file that is not whole yet, or something that a system left.
    SystemFile,
    /// A link that leads nowhere, or back to a folder that is read anyway.
    Link,
    /// A pipe, socket or device.
    NotAFile,
    /// Of a zip: another file of the same name stands behind it, and is the one that is read.
    Replaced,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format(name) | Self::Archive(name) => name,
            Self::Empty => "empty",
            Self::NotAPicture => "not a picture",
            Self::SystemFile => "hidden or left by a system",
            Self::Link => "a link to nothing new",
            Self::NotAFile => "not a file",
            Self::Replaced => "followed by another of its name in the archive",
        })
    }
}

impl Skipped {
    /// What the first bytes of a file say against it.
    pub(super) fn of(error: &PhotoError) -> Self {
        match error {
            PhotoError::UnsupportedFormat { found } => Self::Format(found),
            PhotoError::Empty => Self::Empty,
            _ => Self::NotAPicture,
        }
    }
}

/// `7 skipped: 3 HEIC, 1 AVIF, 2 empty, 1 not a picture (convert HEIC, AVIF to JPEG or PNG first)`; `None` for nothing.
#[must_use]
pub fn skipped_text(skipped: &[(String, Skipped)]) -> Option<String> {
    let mut counts: BTreeMap<Skipped, usize> = BTreeMap::new();
    for (_, kind) in skipped {
        *counts.entry(*kind).or_default() += 1;
    }
    let parts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let formats: Vec<&str> = counts
        .keys()
        .filter_map(|kind| if let Skipped::Format(name) = kind { Some(*name) } else { None })
        .collect();
    let remedy = match formats[..] {
        [] => String::new(),
        _ => format!(" (convert {} to JPEG or PNG first)", formats.join(", ")),
    };
    (!parts.is_empty()).then(|| format!("{} skipped: {}{remedy}", skipped.len(), parts.join(", ")))
}

/// How many archives and Parquet files of `folder` were passed over, and how to name those that are called as the first one is,
/// such as `shards/*.tar`; `None` without any.
#[must_use]
pub fn passed_archives(folder: &str, skipped: &[(String, Skipped)]) -> Option<(usize, String)> {
    let mut archives = skipped.iter().filter(|(_, kind)| matches!(kind, Skipped::Archive(_)));
    let (first, _) = archives.next()?;
    let (within, name) = first.rsplit_once('/').map_or(("", first.as_str()), |(within, name)| (within, name));
    let name = name.rsplit_once('.').map_or_else(|| name.to_owned(), |(_, ending)| format!("*.{ending}"));
    Some((1 + archives.count(), joined(&joined(folder, within), &name)))
}

/// Of what was passed over, the files that are pictures by their names: they may be missed.
pub fn missed_pictures(skipped: &[(String, Skipped)]) -> impl Iterator<Item = &(String, Skipped)> {
    skipped.iter().filter(|(name, kind)| *kind != Skipped::SystemFile && is_called_picture(name))
}

/// Whether a file or folder of this name is passed over wherever it stands.
pub(super) fn is_left_by_system(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    name.starts_with('.')
        || name.starts_with("~$")
        || LEFT_BY_SYSTEMS.iter().any(|known| known.eq_ignore_ascii_case(name))
        || UNFINISHED.iter().any(|ending| lower.ends_with(ending))
}

/// What a folder holds; each part is sorted by path.
#[derive(Debug, Default)]
pub struct Folder {
    /// In the order of their names.
    pub pictures: Vec<FolderPicture>,
    /// Paths below the folder, with `/` on every system.
    pub skipped: Vec<(String, Skipped)>,
    /// Subfolders and files that could not be read, with their paths.
    pub unreadable: Vec<(String, io::Error)>,
    /// Folders that a link leads to, without links in their own paths.
    pub linked_folders: HashSet<PathBuf>,
}

impl Folder {
    /// The files, in the same order.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.pictures.iter().map(|picture| picture.path.clone()).collect()
    }
}

/// A picture in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderPicture {
    /// Its path below the folder, with `/` on every system.
    pub name: String,
    /// The file.
    pub path: PathBuf,
}

impl Folder {
    /// Looks at the first bytes of every file below `root`. Links to files are followed; a link to a folder is, too,
    /// unless that folder or one that it lies in is read anyway, so no file comes twice and no loop is without end.
    ///
    /// # Errors
    /// Only when `root` itself cannot be read, or holds too many files.
    pub fn read(root: &Path) -> io::Result<Self> {
        Self::read_unless(root, &|_| false)
    }

    /// As [`Folder::read`], but the files that are `known` are not opened: they are pictures, whatever they hold.
    ///
    /// # Errors
    /// As [`Folder::read`].
    pub fn read_unless(root: &Path, known: &(dyn Fn(&FolderPicture) -> bool + Sync)) -> io::Result<Self> {
        let mut walk = Walk::default();
        let home = fs::canonicalize(root)?;
        walk.seen.insert(home.clone());
        walk.read(root, "", &mut Vec::new())?;
        // Linked folders come last, so what lies within `root` is named by its place there.
        let mut next = 0;
        while let Some((path, name)) = walk.linked.get(next).cloned() {
            next += 1;
            let target = fs::canonicalize(&path);
            walk.found.linked_folders.extend(target.as_ref().ok().cloned());
            match target {
                Ok(target) if !home.starts_with(&target) && walk.seen.insert(target.clone()) => {
                    let outcome = walk.read(&path, &format!("{name}/"), &mut Vec::new());
                    outcome.unwrap_or_else(|error| walk.found.unreadable.push((name, error)));
                }
                Ok(_) => walk.found.skipped.push((name, Skipped::Link)),
                Err(error) => walk.found.unreadable.push((name, error)),
            }
        }
        let Walk { mut found, files, .. } = walk;
        let look_at = |file: &FolderPicture| if known(file) { Ok(None) } else { look(&file.path) };
        let looked: Vec<_> = files.into_par_iter().map(|file| (look_at(&file), file)).collect();
        for (outcome, file) in looked {
            match outcome {
                Ok(None) => found.pictures.push(file),
                Ok(Some(kind)) => found.skipped.push((file.name, kind)),
                Err(error) => found.unreadable.push((file.name, error)),
            }
        }
        found.pictures.sort();
        found.skipped.sort();
        found.unreadable.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }
}

#[derive(Default)]
struct Walk {
    found: Folder,
    files: Vec<FolderPicture>,
    /// Links to folders.
    linked: Vec<(PathBuf, String)>,
    /// Folders that were read, without links in their paths.
    seen: HashSet<PathBuf>,
}

impl Walk {
    /// Reads `folder` and what lies in it; only its own failure is an error.
    fn read(&mut self, folder: &Path, name: &str, open: &mut Vec<(PathBuf, String)>) -> io::Result<()> {
        self.read_one(folder, name, open)?;
        while let Some((path, name)) = open.pop() {
            // A linked folder's own folders may lie where others were read.
            match fs::canonicalize(&path) {
                Ok(target) if !self.seen.insert(target.clone()) => {
                    self.found.skipped.push((name, Skipped::Link))
                }
                Ok(_) => {
                    let outcome = self.read_one(&path, &format!("{name}/"), open);
                    outcome.unwrap_or_else(|error| self.found.unreadable.push((name, error)));
                }
                Err(error) => self.found.unreadable.push((name, error)),
            }
        }
        Ok(())
    }

    fn read_one(&mut self, folder: &Path, front: &str, open: &mut Vec<(PathBuf, String)>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, own) = (entry.path(), name_text(&entry.file_name()));
            let name = format!("{front}{own}");
            if is_left_by_system(&own) {
                self.found.skipped.push((name, Skipped::SystemFile));
                continue;
            }
            let kind = entry.file_type()?;
            let target = if kind.is_symlink() {
                // It leads nowhere, or in a circle.
                let Ok(metadata) = fs::metadata(&path) else {
                    self.found.skipped.push((name, Skipped::Link));
                    continue;
                };
                metadata.file_type()
            } else {
                kind
            };
            match (target.is_dir(), kind.is_symlink()) {
                (true, true) => self.linked.push((path, name)),
                (true, false) => open.push((path, name)),
                (false, _) if target.is_file() => self.files.push(FolderPicture { name, path }),
                (false, _) => self.found.skipped.push((name, Skipped::NotAFile)),
            }
            if self.files.len() > MAX_FILES {
                return Err(io::Error::other(format!(
                    "it holds more than {MAX_FILES} files: name its subfolders"
                )));
            }
        }
        Ok(())
    }
}

/// What speaks against the file at `path`.
fn look(path: &Path) -> io::Result<Option<Skipped>> {
    let mut head = Vec::with_capacity(PhotoFormat::SNIFF_BYTES);
    File::open(path)?.take(PhotoFormat::SNIFF_BYTES as u64).read_to_end(&mut head)?;
    let Err(error) = PhotoFormat::sniff(&head) else { return Ok(None) };
    let name = path.to_string_lossy();
    Ok(Some(archive_of(&head, &name).map_or_else(|| Skipped::of(&error), Skipped::Archive)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIF: &[u8] = b"GIF89a";

    fn write(root: &Path, name: &str, bytes: &[u8]) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn names(folder: &Folder) -> Vec<&str> {
        folder.pictures.iter().map(|picture| picture.name.as_str()).collect()
    }

    #[test]
    fn files_are_told_by_what_they_hold() {
        let root = tempfile::tempdir().unwrap();
        for name in ["noext", "a.jpg_Q75.jpg_", "b.webp_tmp", "马克杯.JPG", "deep/er/c.txt"] {
            write(root.path(), name, GIF);
        }
        write(root.path(), "phone.HEIC", b"\0\0\0\x20ftypheic\0\0\0\0");
        write(root.path(), "empty.jpg", b"");
        write(root.path(), "page.jpg", b"<html>404</html>");
        let folder = Folder::read(root.path()).unwrap();
        assert_eq!(names(&folder), ["a.jpg_Q75.jpg_", "b.webp_tmp", "deep/er/c.txt", "noext", "马克杯.JPG"]);
        assert_eq!(
            skipped_text(&folder.skipped).unwrap(),
            "3 skipped: 1 HEIC, 1 empty, 1 not a picture (convert HEIC to JPEG or PNG first)"
        );
        assert!(folder.unreadable.is_empty());
    }

    #[test]
    fn what_systems_leave_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let junk = [
            "._a.jpg",
            ".thumbnails/a.png",
            ".git/a.png",
            "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
            "__MACOSX/._a.jpg",
            "half.jpg.part",
            "~$a.jpg",
            "thumbs.DB",
            ".DS_Store",
        ];
        for name in junk {
            write(root.path(), name, GIF);
        }
        write(root.path(), "a.jpg", GIF);
        let folder = Folder::read(root.path()).unwrap();
        assert_eq!(names(&folder), ["a.jpg"]);
        assert!(folder.skipped.iter().all(|(_, kind)| *kind == Skipped::SystemFile));
        assert_eq!(folder.skipped.len(), junk.len());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once_and_loops_are_not() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let (mine, elsewhere) = (root.path().join("mine"), root.path().join("elsewhere"));
        write(&mine, "real/a.gif", GIF);
        write(&elsewhere, "b.gif", GIF);
        symlink(elsewhere.join("b.gif"), mine.join("linked.gif")).unwrap();
        symlink(&elsewhere, mine.join("0 linked")).unwrap();
        symlink(&elsewhere, mine.join("1 again")).unwrap();
        symlink(mine.join("real"), mine.join("0 within")).unwrap();
        symlink(&mine, elsewhere.join("back")).unwrap();
        symlink(root.path(), mine.join("above")).unwrap();
        symlink("nowhere", mine.join("dangling")).unwrap();
        symlink("circle", mine.join("circle")).unwrap();
        let folder = Folder::read(&mine).unwrap();
        let linked =
            if names(&folder).contains(&"0 linked/b.gif") { "0 linked/b.gif" } else { "1 again/b.gif" };
        assert_eq!(names(&folder), [linked, "linked.gif", "real/a.gif"]);
        assert!(folder.skipped.iter().all(|(_, kind)| *kind == Skipped::Link), "{:?}", folder.skipped);
        assert!(folder.unreadable.is_empty(), "{:?}", folder.unreadable);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_may_not_be_read_stops_no_other() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "closed/a.gif", GIF);
        write(root.path(), "open/b.gif", GIF);
        let closed = root.path().join("closed");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        // The superuser reads everything.
        let is_closed = fs::read_dir(&closed).is_err();
        let folder = Folder::read(root.path()).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(names(&folder).contains(&"open/b.gif"));
        let unreadable: Vec<&str> = folder.unreadable.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(unreadable, if is_closed { vec!["closed"] } else { Vec::new() });
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
        assert_eq!(Folder::read(root.path()).unwrap().skipped, [("socket".to_owned(), Skipped::NotAFile)]);
    }
}
