//! Which files may an agent name? Those below the folders that its user has opened, wherever links lead.

use std::collections::VecDeque;
use std::path::{Component, Path, PathBuf};

use super::super::problem::Failure;
use super::super::request_error::RequestError;
use crate::photo::{PhotoError, PhotoLimits, read_bytes};

/// Of links in one path that are followed, as systems have it.
const MAX_LINKS: usize = 40;

/// Folders, without links in their paths.
#[derive(Debug)]
pub(super) struct Roots(Vec<PathBuf>);

impl Roots {
    /// # Errors
    /// The folder that is not there, and why.
    pub(super) fn new(folders: &[PathBuf]) -> Result<Self, (PathBuf, std::io::Error)> {
        let real = |folder: &PathBuf| {
            let real = folder.canonicalize().map_err(|error| (folder.clone(), error))?;
            if real.is_dir() {
                return Ok(real);
            }
            Err((folder.clone(), std::io::Error::from(std::io::ErrorKind::NotADirectory)))
        };
        folders.iter().map(real).collect::<Result<_, _>>().map(Self)
    }

    /// The picture's file at `path`, which may be relative to one of the folders.
    ///
    /// # Errors
    /// [`RequestError::PathOutside`] where it is not below a folder, links followed, whether there is such a file or not; else
    /// what reading it came to.
    pub(super) fn read(&self, path: &str, limits: &PhotoLimits) -> Result<Vec<u8>, Failure> {
        let real = self.real(path)?;
        // Between this look and the reading only somebody who writes into the folders could put a link there.
        Ok(read_bytes(&real, limits).map_err(crate::engine::EngineError::from)?)
    }

    fn real(&self, path: &str) -> Result<PathBuf, Failure> {
        let named = Path::new(path);
        let outside =
            || Failure::Request(RequestError::PathOutside { path: path.chars().take(200).collect() });
        if path.contains('\0') || named.components().any(|part| part == Component::ParentDir) {
            return Err(outside());
        }
        let mut missing = None;
        for root in &self.0 {
            // A path that is not relative stays as it is.
            let path = root.join(named);
            match path.canonicalize() {
                Ok(real) if self.hold(&real) => return Ok(real),
                // Of a place outside it is not told whether there is something.
                Err(source) if self.is_missing_within(&path) => {
                    missing.get_or_insert(PhotoError::Io { path, source });
                }
                _ => return Err(outside()),
            }
        }
        Err(missing.map_or_else(outside, |error| Failure::Engine(error.into())))
    }

    fn hold(&self, real: &Path) -> bool {
        self.0.iter().any(|root| real.starts_with(root))
    }

    /// Whether `path`, which leads to nothing, ends below one of the folders. Links are followed by hand, and nothing outside is
    /// looked at: the answer is the same whatever is there.
    fn is_missing_within(&self, path: &Path) -> bool {
        let folder = path.ancestors().skip(1).find_map(|folder| Some((folder, folder.canonicalize().ok()?)));
        let Some((folder, mut real)) = folder.filter(|(_, real)| self.hold(real)) else { return false };
        let Ok(rest) = path.strip_prefix(folder) else { return false };
        let mut steps: VecDeque<PathBuf> = rest.components().map(|step| step.as_os_str().into()).collect();
        let mut links = 0;
        while let Some(step) = steps.pop_front() {
            match step.components().next() {
                Some(Component::Normal(name)) => real.push(name),
                Some(Component::ParentDir) => {
                    real.pop();
                    continue;
                }
                Some(Component::RootDir | Component::Prefix(_)) => {
                    real.push(&step);
                    continue;
                }
                Some(Component::CurDir) | None => continue,
            }
            // On the way back from above a folder only its own parents are passed.
            if !self.hold(&real) && !self.0.iter().any(|root| root.starts_with(&real)) {
                return false;
            }
            let Ok(target) = real.read_link() else { continue };
            links += 1;
            if links > MAX_LINKS {
                break;
            }
            real.pop();
            for step in target.components().rev() {
                steps.push_front(step.as_os_str().into());
            }
        }
        self.hold(&real)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(roots: &Roots, path: &str) -> &'static str {
        roots.read(path, &PhotoLimits::default()).map_or_else(|failure| failure.code(), |_| "read")
    }

    #[test]
    fn only_what_is_below_an_opened_folder_is_read_and_nothing_is_told_of_the_rest() {
        let place = tempfile::tempdir().unwrap();
        let (open, other) = (place.path().join("open"), place.path().join("other"));
        for folder in [&open, &other] {
            std::fs::create_dir_all(folder.join("in")).unwrap();
            std::fs::write(folder.join("in/a.jpg"), "picture").unwrap();
        }
        let roots = Roots::new(std::slice::from_ref(&open)).unwrap();
        let absolute = |folder: &Path, name: &str| folder.join(name).to_str().unwrap().to_owned();
        assert_eq!(code(&roots, "in/a.jpg"), "read");
        assert_eq!(code(&roots, &absolute(&open, "in/a.jpg")), "read");
        assert_eq!(code(&roots, "in/none.jpg"), "io");
        assert_eq!(code(&roots, "in"), "not_a_file");
        for outside in [
            "../other/in/a.jpg",
            "in/../../other/in/a.jpg",
            "/etc/hostname",
            "/no/such/place",
            "in/../in/a.jpg",
            "a\0b",
        ] {
            assert_eq!(code(&roots, outside), "path_outside", "{outside:?}");
        }
        for name in ["in/a.jpg", "in/none.jpg", "none/none.jpg"] {
            assert_eq!(code(&roots, &absolute(&other, name)), "path_outside", "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_an_opened_folder_leads_nowhere_and_one_within_it_does() {
        use std::os::unix::fs::symlink;
        let place = tempfile::tempdir().unwrap();
        let (open, other) = (place.path().join("open"), place.path().join("other"));
        for folder in [&open, &other] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("a.jpg"), "picture").unwrap();
        }
        symlink(other.join("a.jpg"), open.join("out.jpg")).unwrap();
        symlink(&other, open.join("folder")).unwrap();
        symlink(open.join("a.jpg"), open.join("within.jpg")).unwrap();
        let roots = Roots::new(std::slice::from_ref(&open)).unwrap();
        for outside in ["out.jpg", "folder/a.jpg", "folder/none.jpg"] {
            assert_eq!(code(&roots, outside), "path_outside", "{outside}");
        }
        assert_eq!(code(&roots, "within.jpg"), "read");
        let both = Roots::new(&[open.clone(), other]).unwrap();
        assert_eq!(code(&both, "folder/a.jpg"), "read");

        // What leads out tells nothing of what is there, and what leads to nothing within is missing.
        for (name, target) in [
            ("gone", "/no/such/place/a.jpg"),
            ("beside", "../other/none.jpg"),
            ("back", "../none/../open/none.jpg"),
            ("there", "../other/../open/none.jpg"),
            ("twice", "gone"),
            ("deep", "gone/none.jpg"),
            ("above", ".."),
            ("nothing", "none.jpg"),
            ("own", "../open/none.jpg"),
            ("round", "round"),
        ] {
            symlink(target, open.join(name)).unwrap();
        }
        symlink(open.join("none.jpg"), open.join("whole")).unwrap();
        for outside in ["gone", "gone/a.jpg", "beside", "back", "there", "twice", "deep", "above/x"] {
            assert_eq!(code(&roots, outside), "path_outside", "{outside}");
        }
        for within in ["nothing", "nothing/a.jpg", "own", "round", "whole", "above/open/none.jpg"] {
            assert_eq!(code(&roots, within), "io", "{within}");
        }
        // Nor where another folder has nothing of that name.
        let third = place.path().join("third");
        std::fs::create_dir(&third).unwrap();
        for folders in [[open.clone(), third.clone()], [third, open]] {
            let two = Roots::new(&folders).unwrap();
            for outside in ["out.jpg", "gone", "beside"] {
                assert_eq!(code(&two, outside), "path_outside", "{outside}");
            }
        }
    }
}
