//! Which files are in this zip or tar? Read one by one, where they are; nothing is unpacked to disk but a tar that is
//! compressed.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use zip::ZipArchive;

use super::magic::is_tar;
use super::names::{bytes_text, plain};
use super::{FileProblem, ReadProblem, folder};
use crate::photo::PhotoFormat;

/// Files in one archive; more are refused.
const MAX_MEMBERS: usize = 1_000_000;
/// A tar is made of blocks of so many bytes.
const BLOCK_BYTES: usize = 512;
/// What a compressed tar may unpack to whatever its size, and how many times its size beyond that, in bytes: pictures
/// hardly shrink.
const MAX_UNPACKED_BYTES: u64 = 1 << 30;
const MAX_UNPACKED_RATIO: u64 = 20;

/// A zip or tar.
pub(super) struct Archive {
    /// In the order of the archive.
    names: Vec<String>,
    /// What is no file: links that lead nowhere, pipes and the like.
    passed_over: Vec<(String, folder::Skipped)>,
    /// Whether it ends before its time, so that files may be missing.
    pub(super) is_cut: bool,
    content: Content,
}

enum Content {
    /// By the place in `names`: that in the zip.
    Zip(Mutex<ZipArchive<BufReader<File>>>, Vec<usize>),
    /// By the place in `names`: first byte and size.
    Tar(Mutex<File>, Vec<(u64, u64)>),
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("members", &self.names.len()).finish_non_exhaustive()
    }
}

/// A file in an archive.
#[derive(Clone, Debug)]
pub struct Member {
    archive: Arc<Archive>,
    place: usize,
}

impl Archive {
    pub(super) fn zip(file: File) -> Result<Self, FileProblem> {
        let damaged = |error: zip::result::ZipError| FileProblem::Archive { problem: error.to_string() };
        let directory = file.try_clone()?;
        let mut zip = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
        if zip.len() > MAX_MEMBERS {
            return Err(FileProblem::TooManyMembers { limit: MAX_MEMBERS });
        }
        let (mut names, mut places) = (Vec::new(), Vec::new());
        for place in 0..zip.len() {
            let entry = zip.by_index_raw(place).map_err(damaged)?;
            if entry.encrypted() {
                return Err(FileProblem::Encrypted);
            }
            if !entry.is_dir() {
                names.push(bytes_text(entry.name_raw()).replace('\\', "/"));
                places.push(place);
            }
        }
        if let Some(what) = office(&names) {
            return Err(what);
        }
        let passed_over = replaced(&directory, zip.central_directory_start(), zip.len())?;
        Ok(Self { names, passed_over, is_cut: false, content: Content::Zip(Mutex::new(zip), places) })
    }

    /// A tar, and those behind it, as `cat a.tar b.tar` writes them. One that is cut off is read as far as it goes.
    pub(super) fn tar(file: File) -> Result<Self, FileProblem> {
        let (mut names, mut places) = (Vec::new(), Vec::new());
        let (mut links, mut passed_over) = (Vec::new(), Vec::new());
        let (mut next, mut is_cut) = (Some(0), false);
        let (mut number, mut numbers) = (0_usize, Vec::new());
        while let Some(start) = next {
            let mut reader = BufReader::new(&file);
            reader.seek(SeekFrom::Start(start))?;
            let mut tar = tar::Archive::new(Tar { reader, start, end_is_met: false });
            let mut damage = None;
            for entry in tar.entries_with_seek().map_err(broken)? {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(error) => {
                        damage = Some(error);
                        break;
                    }
                };
                let (name, kind) = (bytes_text(&entry.path_bytes()), entry.header().entry_type());
                number += 1;
                if kind.is_file() {
                    names.push(name);
                    numbers.push(number);
                    places.push((start.saturating_add(entry.raw_file_position()), entry.size()));
                } else if let (true, Some(target)) =
                    (kind.is_hard_link() || kind.is_symlink(), entry.link_name_bytes())
                {
                    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                    let folder = if kind.is_symlink() { folder } else { "" };
                    links.push((plain(&format!("{folder}/{}", bytes_text(&target))), name, number));
                } else if !kind.is_dir()
                    && !kind.is_pax_global_extensions()
                    && !kind.is_pax_local_extensions()
                {
                    passed_over.push((name, folder::Skipped::NotAFile));
                }
                if names.len() > MAX_MEMBERS {
                    return Err(FileProblem::TooManyMembers { limit: MAX_MEMBERS });
                }
            }
            let mut read = tar.into_inner();
            is_cut = read.end_is_met;
            if let Some(error) = damage.filter(|_| !is_cut || names.is_empty()) {
                return Err(broken(error));
            }
            next = if is_cut { None } else { next_tar(&mut read.reader)? };
        }
        // A link to a file of the archive is that file once more; others lead out of it.
        let known: HashMap<String, usize> =
            names.iter().enumerate().map(|(place, name)| (plain(name), place)).collect();
        for (target, name, number) in links {
            match known.get(&target) {
                Some(place) => {
                    names.push(name);
                    places.push(places[*place]);
                    numbers.push(number);
                }
                None => passed_over.push((name, folder::Skipped::Link)),
            }
        }
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by_key(|place| numbers[*place]);
        let places = order.iter().map(|place| places[*place]).collect();
        let names = order.into_iter().map(|place| std::mem::take(&mut names[place])).collect();
        Ok(Self { names, passed_over, is_cut, content: Content::Tar(Mutex::new(file), places) })
    }

    /// A compressed tar of `packed_bytes`, which is unpacked to a temporary file: `head`, then what `rest` gives.
    pub(super) fn tar_gz(head: Vec<u8>, rest: impl Read, packed_bytes: u64) -> Result<Self, FileProblem> {
        let limit = MAX_UNPACKED_BYTES.saturating_add(packed_bytes.saturating_mul(MAX_UNPACKED_RATIO));
        Self::tar(spooled(Cursor::new(head).chain(UntilCut(rest)), limit)?)
    }

    /// Its files but those that a system left, in its order.
    pub(super) fn members(self: &Arc<Self>) -> (Vec<Member>, Vec<(String, folder::Skipped)>) {
        let (mut members, mut skipped) = (Vec::new(), self.passed_over.clone());
        for (place, name) in self.names.iter().enumerate() {
            if name.split('/').any(|part| part != "." && part != ".." && folder::is_left_by_system(part)) {
                skipped.push((name.clone(), folder::Skipped::SystemFile));
            } else {
                members.push(Member { archive: Arc::clone(self), place });
            }
        }
        skipped.sort();
        (members, skipped)
    }

    /// Its files by their names without `./`.
    pub(super) fn by_name(self: &Arc<Self>) -> HashMap<String, Member> {
        let member = |place| Member { archive: Arc::clone(self), place };
        self.names.iter().enumerate().map(|(place, name)| (plain(name), member(place))).collect()
    }

    fn open<T>(&self, place: usize, read: impl FnOnce(&mut dyn Read) -> io::Result<T>) -> io::Result<T> {
        match &self.content {
            Content::Zip(zip, places) => {
                let mut zip = zip.lock().unwrap_or_else(PoisonError::into_inner);
                let mut entry = zip.by_index(places[place]).map_err(io::Error::other)?;
                read(&mut entry)
            }
            Content::Tar(file, places) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let (start, size) = places[place];
                file.seek(SeekFrom::Start(start))?;
                read(&mut (&mut *file).take(size))
            }
        }
    }
}

/// A tar from `start` of what `reader` reads. Notes whether the end of the file was met: a tar ends with two blocks of zeros, at the
/// first of which its reader stops; some programs write no more than that one.
struct Tar<R> {
    reader: R,
    start: u64,
    end_is_met: bool,
}

impl<R: Read> Read for Tar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.end_is_met |= read == 0;
        Ok(read)
    }
}

/// Places are those from the tar's start, as its reader counts them; that seeks from where it is alone.
impl<R: Seek> Seek for Tar<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        Ok(self.reader.seek(to)?.saturating_sub(self.start))
    }
}

/// Where another tar begins behind the zeros of an end mark, be it cut off within its first header; `None` at the end, or where
/// something else follows.
fn next_tar(reader: &mut (impl Read + Seek)) -> io::Result<Option<u64>> {
    loop {
        let start = reader.stream_position()?;
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        reader.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        if block.is_empty() || block.iter().any(|byte| *byte != 0) {
            return Ok(is_tar(&block).then_some(start));
        }
    }
}

/// What was compressed, as far as it goes: the tar in it tells whether it is whole.
pub(super) struct UntilCut<R>(pub(super) R);

impl<R: Read> Read for UntilCut<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }
}

/// The files of a zip that another one of the same name follows: the reader of zips knows `known` names, each once. `start`
/// is where the entries of its directory begin.
fn replaced(zip: &File, start: u64, known: usize) -> io::Result<Vec<(String, folder::Skipped)>> {
    const ENTRY: [u8; 4] = *b"PK\x01\x02";
    let mut reader = BufReader::new(zip);
    reader.seek(SeekFrom::Start(start))?;
    let mut counts: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut fixed = [0; 46];
    // Whatever stands behind the last entry is none, and a damaged one has been refused before.
    while reader.read_exact(&mut fixed).is_ok() && fixed[..4] == ENTRY {
        let length = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
        let mut name = vec![0; length(28).into()];
        reader.read_exact(&mut name)?;
        reader.seek_relative(i64::from(length(30)) + i64::from(length(32)))?;
        *counts.entry(name).or_default() += 1;
    }
    if counts.values().sum::<usize>() == known {
        return Ok(Vec::new());
    }
    let twice = counts.into_iter().filter(|(name, count)| *count > 1 && !name.ends_with(b"/"));
    let entry = |(name, count): (Vec<u8>, usize)| {
        std::iter::repeat_n((bytes_text(&name).replace('\\', "/"), folder::Skipped::Replaced), count - 1)
    };
    Ok(twice.flat_map(entry).collect())
}

/// Documents that are zip files.
fn office(names: &[String]) -> Option<FileProblem> {
    let has = |start: &str| names.iter().any(|name| name.starts_with(start));
    let is_one = has("[Content_Types].xml") || has("content.xml") || has("Index/");
    match () {
        () if has("xl/") || is_one && has("Index/Tables") => Some(FileProblem::Spreadsheet),
        () if has("word/") || has("ppt/") || is_one => Some(FileProblem::Found {
            found: "an office document",
            remedy: "save its table as CSV, or its pictures into a folder",
        }),
        () => None,
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn broken(error: io::Error) -> FileProblem {
    FileProblem::Archive { problem: error.to_string() }
}

/// What `reader` gives, in a temporary file without a name.
pub(super) fn spooled(reader: impl Read, limit_bytes: u64) -> Result<File, FileProblem> {
    let mut file = tempfile::tempfile()?;
    let copied = io::copy(&mut reader.take(limit_bytes.saturating_add(1)), &mut file).map_err(broken)?;
    if copied > limit_bytes {
        return Err(FileProblem::UnpacksTooLarge { limit_bytes });
    }
    file.flush()?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

impl Member {
    /// Its path in the archive, with `/` between folders.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.archive.names[self.place]
    }

    /// Its first bytes say this against it.
    pub(super) fn look(&self) -> Result<Option<folder::Skipped>, ReadProblem> {
        let head = self.head(PhotoFormat::SNIFF_BYTES)?;
        Ok(PhotoFormat::sniff(&head).err().map(|error| folder::Skipped::of(&error)))
    }

    fn head(&self, bytes: usize) -> Result<Vec<u8>, ReadProblem> {
        let mut head = Vec::new();
        let read = |reader: &mut dyn Read| reader.take(bytes as u64).read_to_end(&mut head);
        self.archive.open(self.place, read).map_err(|error| self.problem(error))?;
        Ok(head)
    }

    /// All of it.
    pub(super) fn read(&self, max_bytes: u64) -> Result<Vec<u8>, ReadProblem> {
        let mut bytes = Vec::new();
        let read = |reader: &mut dyn Read| reader.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes);
        self.archive.open(self.place, read).map_err(|error| self.problem(error))?;
        if bytes.len() as u64 > max_bytes {
            return Err(ReadProblem::TooLarge { name: self.name().to_owned(), limit_bytes: max_bytes });
        }
        Ok(bytes)
    }

    fn problem(&self, error: io::Error) -> ReadProblem {
        ReadProblem::Member { name: self.name().to_owned(), error }
    }

    /// A copy of it in a temporary file, which can be read in pieces.
    pub(super) fn spool(&self, limit_bytes: u64) -> Result<File, FileProblem> {
        let mut file = None;
        let read = |reader: &mut dyn Read| {
            file = Some(spooled(reader, limit_bytes));
            Ok(())
        };
        self.archive.open(self.place, read).map_err(broken)?;
        file.unwrap_or_else(|| Err(FileProblem::Archive { problem: "nothing was read".to_owned() }))
    }
}
