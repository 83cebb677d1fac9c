//! Taking files of the same picture away, so that it can be undone.
//!
//! What is to be done is written into a manifest first, all of it, and made durable; then each action looks at both files
//! again, acts, and says what came of it. A manifest says nothing of what was done: undoing looks at the files. So neither
//! a crash between two actions nor one within leaves something that cannot be undone.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::members::{Group, Member};
use super::stat::Stat;
use super::worth::goes_for;
use super::{Relation, ScanError};
use crate::paths::folder_of;
use crate::photo::{Digest, PhotoLimits, read_bytes};
use crate::timestamp::Timestamp;

/// The folder of files that were taken away, in the scanned folder: moving a file within one file system is one step, and
/// a hidden folder is not scanned.
pub const TRASH_NAME: &str = ".tongkuan-trash";

/// The first field of a manifest's first line.
const FORMAT: u32 = 1;

/// How a file is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Moved to [`TRASH_NAME`].
    Trash,
    /// Replaced by another name of the kept file; of files with the same bytes only.
    Hardlink,
    /// Replaced by a relative link to the kept file; of files with the same bytes only.
    Symlink,
}

/// A file that is to be taken away, and why it may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Below the folder.
    pub path: PathBuf,
    /// The file that is kept, below the folder.
    pub kept: PathBuf,
    /// How the file is the same as the kept one, see [`Relation`](super::Relation).
    pub relation: String,
    /// Size of the file when it was scanned.
    pub bytes: i64,
    /// When it was changed last, in nanoseconds since 1970.
    pub mtime_ns: i64,
    byte_digest: String,
    kept_digest: String,
    /// Who owns the file and may use it; `None` where the system tells nothing, and in older manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access: Option<Access>,
}

/// Owner, group and permission bits of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Access {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Access {
    #[cfg(unix)]
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere the standard library tells nothing")]
    fn of(file: &fs::Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        Some(Self { uid: file.uid(), gid: file.gid(), mode: file.mode() & 0o7777 })
    }

    #[cfg(not(unix))]
    fn of(_: &fs::Metadata) -> Option<Self> {
        None
    }

    /// Gives them to a file that is not in its place yet. The owner stays who runs this where that may not be changed.
    #[cfg(unix)]
    fn give_to(self, path: &Path) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let is_owned = std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid)).is_ok();
        // The rights of its group are not for another one.
        let mode = if is_owned { self.mode } else { self.mode & 0o707 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    #[cfg(not(unix))]
    fn give_to(self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was done.
    Done,
    /// Nothing was changed, because of this.
    Skipped(String),
}

/// What came of undoing an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// It was undone.
    Done,
    /// It had not been done.
    WasNotDone,
    /// Nothing was changed, because of this.
    Skipped(String),
}

#[derive(Serialize, Deserialize)]
struct Header {
    tongkuan_scan_manifest: u32,
    folder: PathBuf,
    mode: Mode,
    /// Where moved files go, below the folder.
    trash: PathBuf,
    at: Timestamp,
}

/// What of a group may go where all that are as close as `up_to` count as copies of each other, and for which file. Files that
/// are closer than the rest are copies among themselves in any case. Where it is not sure that the other one shows all that a file
/// holds, or which of two is the edited one, neither goes. Links and the files that they lead to, other names of one file, and
/// names that are no Unicode are left alone.
#[must_use]
pub fn plan(group: &Group, up_to: Relation) -> Vec<Action> {
    let files: Vec<&Member> = group
        .members
        .iter()
        .filter(|member| !member.file.is_link && member.file.path.to_str().is_some())
        .collect();
    let going = goes_for(&files, up_to);
    let mut actions = Vec::new();
    for (extra, kept) in files.iter().zip(going) {
        let Some(kept) = kept.map(|place| files[place]) else { continue };
        if extra.file.stat.is_same_file(&kept.file.stat) {
            continue;
        }
        actions.push(Action {
            path: extra.file.path.clone(),
            kept: kept.file.path.clone(),
            relation: extra.relation.word().to_owned(),
            bytes: extra.file.stat.size,
            mtime_ns: extra.file.stat.mtime_ns,
            byte_digest: extra.file.byte_digest.to_string(),
            kept_digest: kept.file.byte_digest.to_string(),
            access: None,
        });
    }
    actions
}

/// A manifest that is being written.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    file: BufWriter<File>,
    folder: PathBuf,
    actions: u64,
}

impl Manifest {
    /// Begins a manifest in `home` of what is to be done in `folder`.
    ///
    /// # Errors
    /// [`ScanError::Write`].
    pub fn begin(home: &Path, folder: &Path, mode: Mode, at: Timestamp) -> Result<Self, ScanError> {
        let stamp = at.unix_ms();
        let path = home.join(format!("undo-{stamp}.ndjson"));
        let written = || {
            let mut options = File::options();
            let file = crate::access::open(options.write(true).create_new(true), &path)?;
            let mut file = BufWriter::new(file);
            let trash = Path::new(TRASH_NAME).join(stamp.to_string());
            let header =
                Header { tongkuan_scan_manifest: FORMAT, folder: folder.to_path_buf(), mode, trash, at };
            writeln!(file, "{}", serde_json::to_string(&header)?)?;
            Ok(file)
        };
        let file = written().map_err(|reason| ScanError::Write { path: path.clone(), reason })?;
        Ok(Self { path, file, folder: folder.to_path_buf(), actions: 0 })
    }

    /// # Errors
    /// [`ScanError::Write`].
    pub fn add(&mut self, action: &Action) -> Result<(), ScanError> {
        let found = self.folder.join(&action.path).symlink_metadata().ok();
        let action = Action { access: found.as_ref().and_then(Access::of), ..action.clone() };
        let line = serde_json::to_string(&action).map_err(io::Error::from);
        let written = line.and_then(|line| writeln!(self.file, "{line}"));
        self.actions += 1;
        written.map_err(|reason| ScanError::Write { path: self.path.clone(), reason })
    }

    /// Makes it durable. Returns where it is, or `None`, and takes it away, where there is nothing to be done.
    ///
    /// # Errors
    /// [`ScanError::Write`].
    pub fn end(mut self) -> Result<Option<PathBuf>, ScanError> {
        let ended = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        ended.map_err(|reason| ScanError::Write { path: self.path.clone(), reason })?;
        if self.actions == 0 {
            let _ = fs::remove_file(&self.path);
            return Ok(None);
        }
        Ok(Some(self.path))
    }
}

/// Does what a manifest says. `each` hears of every action, and ends the work with `false`.
///
/// # Errors
/// [`ScanError::Manifest`] when it cannot be read, [`ScanError::Write`] when the trash cannot be made.
pub fn apply(manifest: &Path, each: &mut dyn FnMut(&Action, Applied) -> bool) -> Result<(), ScanError> {
    let (header, actions) = read(manifest)?;
    let trash = header.folder.join(&header.trash);
    if header.mode == Mode::Trash {
        fs::create_dir_all(&trash).map_err(|reason| ScanError::Write { path: trash.clone(), reason })?;
    }
    let mut verified = None;
    for action in actions {
        let action = action?;
        let done = act(&header, &trash, &action, &mut verified);
        let outcome = done.map_or_else(Applied::Skipped, |()| Applied::Done);
        if !each(&action, outcome) {
            break;
        }
    }
    Ok(())
}

/// The kept file that was verified last, and what it was then.
type Verified = Option<(PathBuf, Stat)>;

fn act(header: &Header, trash: &Path, action: &Action, verified: &mut Verified) -> Result<(), String> {
    let (path, kept) = (header.folder.join(&action.path), header.folder.join(&action.kept));
    let (stat, access) = regular(&path)?;
    if (stat.size, stat.mtime_ns) != (action.bytes, action.mtime_ns)
        || digest_of(&path)? != action.byte_digest
    {
        return Err("it has changed since the scan".to_owned());
    }
    // Behind a link, a relative one would lead elsewhere, and the file may be there under other names.
    if [&path, &kept]
        .into_iter()
        .any(|file| folder_of(file).canonicalize().ok().as_deref() != Some(folder_of(file)))
    {
        return Err("it, or the kept file, lies behind a link to a folder".to_owned());
    }
    let (kept_stat, kept_access) =
        regular(&kept).map_err(|problem| format!("the kept {}: {problem}", action.kept.display()))?;
    if stat.is_same_file(&kept_stat) {
        return Err("it is the kept file by another name".to_owned());
    }
    if verified.as_ref() != Some(&(kept.clone(), kept_stat)) {
        if digest_of(&kept)? != action.kept_digest {
            return Err(format!("the kept {} has changed since the scan", action.kept.display()));
        }
        *verified = Some((kept.clone(), kept_stat));
    }
    let failed = |error: io::Error| error.to_string();
    match header.mode {
        Mode::Trash => {
            let to = trash.join(&action.path);
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder).map_err(failed)?;
            }
            if to.symlink_metadata().is_ok() {
                return Err("the trash has a file of this name already".to_owned());
            }
            fs::rename(&path, to).map_err(failed)
        }
        Mode::Hardlink | Mode::Symlink if action.byte_digest != action.kept_digest => {
            Err("a link would show the kept file, which has other bytes".to_owned())
        }
        Mode::Hardlink | Mode::Symlink if access != kept_access => Err(format!(
            "its owner or permissions are not those of the kept {}, which a link would give it",
            action.kept.display()
        )),
        Mode::Hardlink => replace(&path, |to| fs::hard_link(&kept, to)).map_err(failed),
        Mode::Symlink => {
            replace(&path, |to| symlink(&relative(&action.path, &action.kept), to)).map_err(failed)
        }
    }
}

/// Undoes what a manifest says, as far as it was done. `each` hears of every action.
///
/// # Errors
/// [`ScanError::Manifest`] when it cannot be read, [`ScanError::Folder`] when its folder is not there.
pub fn undo(manifest: &Path, each: &mut dyn FnMut(&Action, Undone)) -> Result<(), ScanError> {
    let (header, actions) = read(manifest)?;
    // Where it was moved there is nothing to be said of its files one by one.
    if let Err(reason) = fs::read_dir(&header.folder) {
        return Err(ScanError::Folder { path: header.folder, reason });
    }
    for action in actions {
        let action = action?;
        let undone = match header.mode {
            Mode::Trash => restore(&header, &action),
            Mode::Hardlink | Mode::Symlink => unlink(&header, &action),
        };
        each(&action, undone.unwrap_or_else(Undone::Skipped));
    }
    if header.mode == Mode::Trash {
        remove_empty(&header.folder.join(&header.trash));
        let _ = fs::remove_dir(header.folder.join(TRASH_NAME));
    }
    Ok(())
}

fn restore(header: &Header, action: &Action) -> Result<Undone, String> {
    let (to, from) = (header.folder.join(&action.path), header.folder.join(&header.trash).join(&action.path));
    let is_there = to.symlink_metadata().is_ok();
    if from.symlink_metadata().is_err() {
        return if is_there {
            Ok(Undone::WasNotDone)
        } else {
            let (folder, trash) = (header.folder.display(), header.trash.display());
            Err(format!("it is neither in its place in {folder} nor in {trash} there"))
        };
    }
    if is_there {
        return Err("there is a file in its place by now".to_owned());
    }
    let failed = |error: io::Error| error.to_string();
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // A link fails where a file has come meanwhile, which a move would replace.
    match fs::hard_link(&from, &to) {
        Ok(()) => fs::remove_file(&from).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err("there is a file in its place by now".to_owned());
        }
        Err(_) => fs::rename(&from, &to).map_err(failed)?,
    }
    Ok(Undone::Done)
}

/// Gives a file that is a link to the kept one its own content again.
fn unlink(header: &Header, action: &Action) -> Result<Undone, String> {
    let (path, kept) = (header.folder.join(&action.path), header.folder.join(&action.kept));
    let found = path.symlink_metadata().map_err(|error| error.to_string())?;
    let kept_stat = regular(&kept).map(|(stat, _)| stat);
    let from = if header.mode == Mode::Symlink {
        if !found.is_symlink() {
            return Ok(Undone::WasNotDone);
        }
        let kept_stat = kept_stat.map_err(|problem| {
            format!(
                "it is a link to {}, which cannot be read ({problem}): put that back",
                action.kept.display()
            )
        })?;
        if !fs::metadata(&path).is_ok_and(|to| Stat::of(&to).is_same_file(&kept_stat)) {
            return Err(format!("it is a link that does not lead to {}", action.kept.display()));
        }
        &kept
    } else {
        let kept_stat = kept_stat.ok();
        if !found.is_file() {
            return Ok(Undone::WasNotDone);
        }
        if !is_hard_link(&found, kept_stat, action) {
            return if kept_stat.is_some() {
                beside_kept(&found, &kept, action)
            } else {
                Ok(Undone::WasNotDone)
            };
        }
        // The content is as much this name's as the kept one's, which may be gone.
        &path
    };
    if digest_of(from)? != action.byte_digest {
        return Err(if header.mode == Mode::Symlink {
            format!("it is a link to {}, which {ANOTHER_BY_NOW}", action.kept.display())
        } else {
            "the file has been changed since, under this name or another, so its content is lost".to_owned()
        });
    }
    // A hard link shows what may be done with it by now: rights that were taken away since do not come back.
    let now = if header.mode == Mode::Hardlink { Access::of(&found) } else { action.access };
    let mode = action.access.zip(now).map(|(was, now)| was.mode & now.mode);
    let access = action.access.zip(mode).map(|(was, mode)| Access { mode, ..was });
    replace(&path, |to| {
        // Made anew, for a copy would be as read-only as the original.
        let mut file = File::create_new(to)?;
        io::copy(&mut File::open(from)?, &mut file)?;
        let since = Duration::from_nanos(u64::try_from(action.mtime_ns).unwrap_or(0));
        file.set_modified(UNIX_EPOCH + since)?;
        file.sync_all()?;
        match access {
            Some(access) => access.give_to(to),
            None => fs::set_permissions(to, fs::metadata(from)?.permissions()),
        }
    })
    .map_err(|error| error.to_string())?;
    Ok(Undone::Done)
}

/// What is said of a kept name under which something else lies.
const ANOTHER_BY_NOW: &str =
    "is another file by now, or has been changed: put the kept one back, and undo again";

/// Of a file that is not the one with the kept name: it was never linked to that, or the name is another file's by now.
fn beside_kept(found: &fs::Metadata, kept: &Path, action: &Action) -> Result<Undone, String> {
    // A link has the kept file's time, which a copy may have had as well.
    let is_its_own = is_as_scanned(found, action) && !has_other_names(found);
    if is_its_own || digest_of(kept).is_ok_and(|digest| digest == action.kept_digest) {
        return Ok(Undone::WasNotDone);
    }
    Err(format!("the kept {} {ANOTHER_BY_NOW}", action.kept.display()))
}

/// Whether a file may share its content with the kept one, or did so until the kept name went. A file of its own is as it was
/// when it was scanned.
fn is_hard_link(found: &fs::Metadata, kept: Option<Stat>, action: &Action) -> bool {
    match kept {
        Some(kept) => Stat::of(found).is_same_file(&kept),
        None => has_other_names(found) || !is_as_scanned(found, action),
    }
}

fn is_as_scanned(found: &fs::Metadata, action: &Action) -> bool {
    let stat = Stat::of(found);
    (stat.size, stat.mtime_ns) == (action.bytes, action.mtime_ns)
}

#[cfg(unix)]
fn has_other_names(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    found.nlink() > 1
}

/// It may have some: the standard library does not tell.
#[cfg(not(unix))]
fn has_other_names(_: &fs::Metadata) -> bool {
    true
}

/// What a file is that is no link, and who may use it.
fn regular(path: &Path) -> Result<(Stat, Option<Access>), String> {
    let found = path.symlink_metadata().map_err(|error| error.to_string())?;
    if found.is_file() {
        Ok((Stat::of(&found), Access::of(&found)))
    } else {
        Err("it is no plain file any more".to_owned())
    }
}

fn digest_of(path: &Path) -> Result<String, String> {
    let bytes = read_bytes(path, &PhotoLimits::default()).map_err(|error| error.to_string())?;
    Ok(Digest::of(&bytes).to_string())
}

/// Puts what `make` makes under a new name in the place of `path`, in one step.
fn replace(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let place = tempfile::Builder::new().prefix(".tongkuan-").tempdir_in(folder_of(path))?;
    let made = place.path().join("new");
    make(&made)?;
    fs::rename(&made, path)
}

#[cfg(unix)]
fn symlink(to: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::other("this system has no such links: use hard links or the trash"))
}

/// The way from the folder of `from` to `to`, both below one folder.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let (from, mut to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count().min(from.len() - 1);
    let up = from.len() - 1 - shared;
    to.drain(..shared);
    std::iter::repeat_n(Component::ParentDir, up).chain(to).collect()
}

fn remove_empty(folder: &Path) {
    let inner = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_empty(&entry.path());
    }
    // Fails where something is left in it.
    let _ = fs::remove_dir(folder);
}

type Actions = Box<dyn Iterator<Item = Result<Action, ScanError>>>;

/// Header and actions of a manifest, whose paths all lie below its folder.
fn read(path: &Path) -> Result<(Header, Actions), ScanError> {
    let bad = {
        let path = path.to_path_buf();
        move |reason: String| ScanError::Manifest { path: path.clone(), reason }
    };
    let mut lines = BufReader::new(File::open(path).map_err(|error| bad(error.to_string()))?).lines();
    let first = lines.next().transpose().map_err(|error| bad(error.to_string()))?.unwrap_or_default();
    let header: Header = serde_json::from_str(&first).map_err(|error| bad(error.to_string()))?;
    if header.tongkuan_scan_manifest != FORMAT {
        return Err(bad(format!("its format is {}, not {FORMAT}", header.tongkuan_scan_manifest)));
    }
    if !is_below(&header.trash) || !header.folder.is_absolute() {
        return Err(bad("its folder is not a whole path".to_owned()));
    }
    let actions = lines.enumerate().map(move |(number, line)| {
        let action = line
            .map_err(|error| error.to_string())
            .and_then(|line| serde_json::from_str::<Action>(&line).map_err(|error| error.to_string()));
        let action = action.and_then(|action| {
            if is_below(&action.path) && is_below(&action.kept) {
                Ok(action)
            } else {
                Err("a path leads out of the folder".to_owned())
            }
        });
        action.map_err(|problem| bad(format!("line {}: {problem}", number + 2)))
    });
    Ok((header, Box::new(actions)))
}

fn is_below(path: &Path) -> bool {
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_link_leads_from_the_file_s_folder_to_the_kept_one() {
        for (from, to, way) in [
            ("a.jpg", "b.jpg", "b.jpg"),
            ("x/a.jpg", "b.jpg", "../b.jpg"),
            ("a.jpg", "x/b.jpg", "x/b.jpg"),
            ("x/y/a.jpg", "x/z/b.jpg", "../z/b.jpg"),
        ] {
            assert_eq!(relative(Path::new(from), Path::new(to)), Path::new(way), "{from} {to}");
        }
    }

    #[test]
    fn a_path_out_of_the_folder_is_refused() {
        for (path, fine) in
            [("a/b.jpg", true), ("../b.jpg", false), ("/b.jpg", false), ("a/../../b", false), ("", false)]
        {
            assert_eq!(is_below(Path::new(path)), fine, "{path}");
        }
    }
}
