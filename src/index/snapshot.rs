//! The index on disk.
//!
//! ```text
//! index/
//!   lock                   held shared while reading, exclusively while writing
//!   snapshot-<n>/          the greatest n counts; complete when it has this name
//!     header               magic, format, sum of the rest, the rest: `Header` in bincode
//!     state                tags (`Tags::write_to`), sums of codes and of vectors, graph (`Graph::write_to`)
//!     codes                a row a slot, see `codes`
//!     vectors              a row a slot: `f32`
//!   hashes                 see `hashes`
//!   snapshot-<n>.partial/  being written, or left by a crash
//! ```
//! All numbers are little-endian. Order of writing: files into `.partial`, each flushed to the disk, then the directory,
//! then renamed, then the parent flushed, then older ones removed.
//!
//! `header` and `state`, about 160 bytes a picture, are read and summed up before anything else. `codes` is only mapped,
//! `vectors` only opened; their sums are looked at when their rows are (`rows`).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bincode::{Decode, Encode};

use super::checksum::{Summed, checksum, file_sum};
use super::files::{create, create_summed, sync_dir};
use super::graph::{EF_CONSTRUCTION, Graph};
use super::links::LINKS;
use super::rows::{BLOCK_ROWS, Damage, LEAF_ROWS, Mapped, ReadAt, RowFile, RowView, leaf_sums, map_whole};
use super::tags::Tags;
use super::vector_store::{Extent, RowFiles, VectorStore};
use super::{IndexOptions, LoadError, SaveError, codes};
use crate::access;

const MAGIC: [u8; 8] = *b"TKINDEX\n";
/// Raised with every change of the files, of what their bytes mean, or of who is in which layer. 1 was `hnsw_rs`, 2 had
/// no vectors.
pub(super) const FORMAT: u32 = 3;
/// More than any header has, so that a damaged one cannot ask for much memory.
const HEADER_MAX_BYTES: usize = 1 << 16;
const STATE: &str = "state";
const CODES: &str = "codes";
const VECTORS: &str = "vectors";
pub(super) const HEADER: &str = "header";
const LOCK: &str = "lock";
pub(super) const PREFIX: &str = "snapshot-";
const PARTIAL: &str = ".partial";

/// What made the vectors: model, its digest, preprocessing version. Vectors under different fingerprints cannot
/// be compared.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IndexFingerprint(pub String);

/// The files of a snapshot with their names, open to be copied, the header last.
pub(super) type Files = [(&'static str, File); 4];

/// What a snapshot is of.
#[derive(Debug, Encode, Decode)]
struct Header {
    fingerprint: IndexFingerprint,
    dimension: u64,
    links: u64,
    ef_construction: u64,
    slots: u64,
    /// Slots before this one are in the graph, or their equals are.
    indexed: u64,
    removed: u64,
    last_photo_id: i64,
    removals_seen: i64,
    state_bytes: u64,
    state_sum: u64,
    tag_bytes: u64,
}

impl Header {
    /// What is wanted, with nothing in it.
    fn of(options: &IndexOptions, fingerprint: &IndexFingerprint) -> Self {
        Self {
            fingerprint: fingerprint.clone(),
            dimension: options.dimension.get() as u64,
            links: LINKS as u64,
            ef_construction: EF_CONSTRUCTION as u64,
            slots: 0,
            indexed: 0,
            removed: 0,
            last_photo_id: 0,
            removals_seen: 0,
            state_bytes: 0,
            state_sum: 0,
            tag_bytes: 0,
        }
    }

    /// Whether a graph of `self` can serve where `wanted` is wanted.
    fn check(&self, wanted: &Self) -> Result<(), LoadError> {
        let differs = |what, found: String, wanted: String| {
            if found == wanted { Ok(()) } else { Err(LoadError::Differs { what, found, wanted }) }
        };
        differs("model or home", self.fingerprint.0.clone(), wanted.fingerprint.0.clone())?;
        differs("dimension", self.dimension.to_string(), wanted.dimension.to_string())?;
        differs("links per point", self.links.to_string(), wanted.links.to_string())?;
        differs("build ef_search", self.ef_construction.to_string(), wanted.ef_construction.to_string())
    }

    fn extent(&self) -> Option<Extent> {
        Some(Extent {
            slots: usize::try_from(self.slots).ok()?,
            removed: usize::try_from(self.removed).ok().filter(|_| self.removed <= self.slots)?,
            last_photo_id: self.last_photo_id,
            removals_seen: self.removals_seen,
        })
    }
}

/// What is to be written. The caller keeps linking out.
pub(super) struct Contents<'a> {
    pub(super) options: &'a IndexOptions,
    pub(super) fingerprint: &'a IndexFingerprint,
    pub(super) store: &'a VectorStore,
    pub(super) graph: &'a Graph,
    pub(super) indexed: usize,
    pub(super) damage: &'a Damage,
}

/// Writes a snapshot, and returns its codes and vectors (none if it has no picture).
pub(super) fn write(dir: &Path, contents: &Contents<'_>) -> Result<Option<RowFiles>, SaveError> {
    install(dir, |partial| {
        let files = write_files(partial, contents)
            .map_err(|source| SaveError::Io { path: partial.to_owned(), source })?;
        // All rows have been read by now.
        if contents.damage.load(Ordering::Acquire) { Err(SaveError::Damaged) } else { Ok(files) }
    })
}

/// Has `fill` make the files of a snapshot in the folder that it is told, which then takes the place of all that are there.
/// Where it fails they stay.
pub(super) fn install<T, E: From<SaveError>>(
    dir: &Path,
    fill: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| SaveError::Io { path, source }
    };
    access::make_folder(dir).map_err(at(dir))?;
    let lock_path = dir.join(LOCK);
    let lock = open_lock(dir).map_err(at(&lock_path))?;
    lock.lock().map_err(at(&lock_path))?;

    let (snapshots, partials) = entries(dir).map_err(at(dir))?;
    // The lock is held, so no writer is at work on these.
    for partial in partials {
        fs::remove_dir_all(&partial).map_err(at(&partial))?;
    }
    let number = snapshots.iter().map(|(number, _)| number + 1).max().unwrap_or(1);
    let name = dir.join(format!("{PREFIX}{number}"));
    let partial = dir.join(format!("{PREFIX}{number}{PARTIAL}"));
    access::make_folder(&partial).map_err(at(&partial))?;
    let filled = fill(&partial).inspect_err(|_| {
        // Else the next one does it.
        let _ = fs::remove_dir_all(&partial);
    })?;
    sync_dir(&partial).map_err(at(&partial))?;
    fs::rename(&partial, &name).map_err(at(&name))?;
    sync_dir(dir).map_err(at(dir))?;
    for (_, old) in snapshots {
        // Where a file that is in use cannot be removed, the next one who saves does it.
        let _ = fs::remove_dir_all(&old);
    }
    Ok(filled)
}

/// Removes all snapshots.
pub(super) fn discard(dir: &Path) -> Result<(), SaveError> {
    let io = |source| SaveError::Io { path: dir.to_owned(), source };
    if dir.is_dir() {
        let lock = open_lock(dir).map_err(io)?;
        lock.lock().map_err(io)?;
        let (snapshots, partials) = entries(dir).map_err(io)?;
        let mut all = snapshots.iter().map(|(_, path)| path).chain(&partials);
        all.try_for_each(fs::remove_dir_all).map_err(io)?;
        super::hashes::discard(dir).map_err(io)?;
    }
    Ok(())
}

fn write_files(folder: &Path, contents: &Contents<'_>) -> io::Result<Option<RowFiles>> {
    let mut state = Summed::new(create(&folder.join(STATE))?);
    let (view, extent) = contents.store.standstill(&mut state)?;
    let slots = extent.slots;
    let (codes, code_sums) = write_rows(&folder.join(CODES), view.codes().rows(), slots)?;
    let (vectors, vector_sums) = write_rows(&folder.join(VECTORS), view.vectors(), slots)?;
    for sum in code_sums.iter().chain(&vector_sums) {
        state.write_all(&sum.to_le_bytes())?;
    }
    contents.graph.write_to(contents.indexed, &mut state)?;
    let (state, state_sum) = state.finish()?;
    state.sync_all()?;
    let header = Header {
        slots: slots as u64,
        indexed: contents.indexed as u64,
        removed: extent.removed as u64,
        last_photo_id: extent.last_photo_id,
        removals_seen: extent.removals_seen,
        state_bytes: state.metadata()?.len(),
        state_sum,
        tag_bytes: Tags::bytes_of(slots) as u64,
        ..Header::of(contents.options, contents.fingerprint)
    };
    write_header(&folder.join(HEADER), &header)?;
    let damage = || Arc::clone(contents.damage);
    let codes = Mapped::open(codes, view.codes().rows().row_bytes(), slots, code_sums.into(), damage())?;
    let vectors = ReadAt::open(vectors, view.vectors().row_bytes(), slots, vector_sums.into(), damage())?;
    let files = codes.zip(vectors);
    Ok(files.map(|(codes, vectors)| RowFiles { codes: Arc::new(codes), vectors: Arc::new(vectors) }))
}

/// Writes the first `slots` rows, and returns their sums.
fn write_rows(path: &Path, rows: &RowView<impl RowFile>, slots: usize) -> io::Result<(File, Vec<u64>)> {
    let mut file = create(path)?;
    let mut buffer = Vec::new();
    let mut sums = Vec::with_capacity(slots.div_ceil(LEAF_ROWS));
    for block in 0..slots.div_ceil(BLOCK_ROWS) {
        let first = block * BLOCK_ROWS;
        let bytes = rows.read_rows(block, 0..(slots - first).min(BLOCK_ROWS), &mut buffer);
        sums.extend(leaf_sums(bytes, rows.row_bytes(), first));
        file.write_all(bytes)?;
    }
    file.sync_all()?;
    Ok((file, sums))
}

/// What was read of a snapshot.
pub(super) struct Read {
    pub(super) store: VectorStore,
    pub(super) graph: Graph,
    pub(super) indexed: usize,
}

/// Reads the newest snapshot. Nothing is used that is not as it was written; what is wrong with codes and vectors is
/// noted in `damage` when they are looked at.
pub(super) fn read(
    dir: &Path,
    options: &IndexOptions,
    fingerprint: &IndexFingerprint,
    damage: &Damage,
) -> Result<Read, LoadError> {
    let (_lock, newest) = newest(dir)?;
    read_one(&newest, options, fingerprint, damage)
}

/// The newest snapshot, and what keeps it from being removed.
fn newest(dir: &Path) -> Result<(File, PathBuf), LoadError> {
    if !dir.is_dir() {
        return Err(LoadError::Missing);
    }
    let lock_path = dir.join(LOCK);
    // Keeps the files from being removed before they are open.
    let lock = open_lock(dir).map_err(|source| LoadError::Io { path: lock_path.clone(), source })?;
    remove_partials(dir, &lock);
    lock.lock_shared().map_err(|source| LoadError::Io { path: lock_path, source })?;

    let (snapshots, _) = entries(dir).map_err(|source| LoadError::Io { path: dir.to_owned(), source })?;
    let (_, newest) = snapshots.into_iter().max().ok_or(LoadError::Missing)?;
    Ok((lock, newest))
}

/// What the snapshot in the folder `snapshot` is of, if it can serve where this is wanted.
pub(super) fn look(
    snapshot: &Path,
    options: &IndexOptions,
    fingerprint: &IndexFingerprint,
) -> Result<Extent, LoadError> {
    let path = snapshot.join(HEADER);
    let header = read_header(&path)?;
    header.check(&Header::of(options, fingerprint))?;
    header.extent().ok_or(LoadError::Damaged { path })
}

/// The newest snapshot's extent and its files, the header last, open to be copied whoever removes them meanwhile.
pub(super) fn open_newest(
    dir: &Path,
    options: &IndexOptions,
    fingerprint: &IndexFingerprint,
) -> Result<(Extent, Files), LoadError> {
    let (_lock, newest) = newest(dir)?;
    let extent = look(&newest, options, fingerprint)?;
    Ok((extent, open_files(&newest)?))
}

/// The files of a snapshot, the header last.
pub(super) fn open_files(snapshot: &Path) -> Result<Files, LoadError> {
    let open = |name| {
        let path = snapshot.join(name);
        File::open(&path).map(|file| (name, file)).map_err(|source| unreadable(&path, source))
    };
    Ok([open(STATE)?, open(CODES)?, open(VECTORS)?, open(HEADER)?])
}

/// As [`read`], the snapshot in the folder `newest`.
pub(super) fn read_one(
    newest: &Path,
    options: &IndexOptions,
    fingerprint: &IndexFingerprint,
    damage: &Damage,
) -> Result<Read, LoadError> {
    let header = read_header(&newest.join(HEADER))?;
    header.check(&Header::of(options, fingerprint))?;
    let damaged = |path: &Path| LoadError::Damaged { path: path.to_owned() };
    let path = newest.join(STATE);
    let file = File::open(&path).map_err(|source| unreadable(&path, source))?;
    let length = file.metadata().map_err(|source| unreadable(&path, source))?.len();
    if length != header.state_bytes || length == 0 {
        return Err(damaged(&path));
    }
    let state = map_whole(&file).map_err(|source| unreadable(&path, source))?;
    if file_sum(&state) != header.state_sum {
        return Err(damaged(&path));
    }
    let parts = Parts::of(&header, &state).ok_or_else(|| damaged(&path))?;
    let dimension = options.dimension.get();
    let slots = parts.extent.slots;
    let files = if slots == 0 {
        None
    } else {
        let codes = open_rows(&newest.join(CODES), codes::stride(dimension), slots, parts.code_sums, damage)?;
        let vectors = open_rows(&newest.join(VECTORS), 4 * dimension, slots, parts.vector_sums, damage)?;
        Some(RowFiles { codes, vectors })
    };
    let store = VectorStore::read(dimension, parts.extent, parts.tags, files.as_ref());
    let store = store.map_err(|_| LoadError::NoMemory)?.ok_or_else(|| damaged(&path))?;
    let graph = Graph::from_bytes(parts.graph, parts.indexed).ok_or_else(|| damaged(&path))?;
    Ok(Read { store, graph, indexed: parts.indexed })
}

/// Removes what killed processes were writing. Where that cannot be done (another process reads or writes, or only reading is
/// allowed) the next one does it.
fn remove_partials(dir: &Path, lock: &File) {
    let partials = || entries(dir).map_or_else(|_| Vec::new(), |(_, partials)| partials);
    if partials().is_empty() || lock.try_lock().is_err() {
        return;
    }
    for partial in partials() {
        let _ = fs::remove_dir_all(partial);
    }
    let _ = lock.unlock();
}

fn open_rows<F: RowFile>(
    path: &Path,
    row_bytes: usize,
    slots: usize,
    sums: &[u8],
    damage: &Damage,
) -> Result<Arc<F>, LoadError> {
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    let sums = sums.as_chunks::<8>().0.iter().map(|sum| u64::from_le_bytes(*sum)).collect();
    F::open(file, row_bytes, slots, sums, Arc::clone(damage))
        .map_err(|source| unreadable(path, source))?
        .map(Arc::new)
        .ok_or_else(|| LoadError::Damaged { path: path.to_owned() })
}

/// What stands in `state`.
struct Parts<'a> {
    extent: Extent,
    indexed: usize,
    tags: &'a [u8],
    code_sums: &'a [u8],
    vector_sums: &'a [u8],
    graph: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(header: &Header, state: &'a [u8]) -> Option<Self> {
        // A slot takes more than a byte here, so that nothing below overflows.
        let extent = header.extent().filter(|extent| extent.slots <= state.len())?;
        let indexed = usize::try_from(header.indexed).ok().filter(|indexed| *indexed <= extent.slots)?;
        let (tags, rest) = state.split_at_checked(usize::try_from(header.tag_bytes).ok()?)?;
        let sum_bytes = 8 * extent.slots.div_ceil(LEAF_ROWS);
        let (code_sums, rest) = rest.split_at_checked(sum_bytes)?;
        let (vector_sums, graph) = rest.split_at_checked(sum_bytes)?;
        Some(Self { extent, indexed, tags, code_sums, vector_sums, graph })
    }
}

fn header_config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<HEADER_MAX_BYTES>()
}

fn write_header(path: &Path, header: &Header) -> io::Result<()> {
    let body = bincode::encode_to_vec(header, header_config()).map_err(io::Error::other)?;
    create_summed(path, &MAGIC, FORMAT, &body)
}

fn read_header(path: &Path) -> Result<Header, LoadError> {
    let damaged = || LoadError::Damaged { path: path.to_owned() };
    let bytes = fs::read(path).map_err(|source| unreadable(path, source))?;
    let rest = bytes.strip_prefix(&MAGIC).ok_or_else(damaged)?;
    let (format, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let format = u32::from_le_bytes(*format);
    if format != FORMAT {
        return Err(LoadError::OtherFormat { found: format, known: FORMAT });
    }
    let (sum, body) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    if checksum(body, 0) != u64::from_le_bytes(*sum) {
        return Err(damaged());
    }
    let (header, read): (Header, usize) =
        bincode::decode_from_slice(body, header_config()).map_err(|_| damaged())?;
    if read == body.len() { Ok(header) } else { Err(damaged()) }
}

/// A file that belongs to a snapshot and is not there is damage, not trouble with the disk.
fn unreadable(path: &Path, source: io::Error) -> LoadError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        LoadError::Damaged { path }
    } else {
        LoadError::Io { path, source }
    }
}

fn open_lock(dir: &Path) -> io::Result<File> {
    access::open(File::options().create(true).truncate(false).write(true), &dir.join(LOCK))
}

/// Snapshots with their numbers, and what unfinished writing left.
#[expect(clippy::type_complexity, reason = "a pair of lists, taken apart at once")]
fn entries(dir: &Path) -> io::Result<(Vec<(u64, PathBuf)>, Vec<PathBuf>)> {
    let (mut snapshots, mut partials) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(rest) = path.file_name().and_then(|name| name.to_str()).and_then(|n| n.strip_prefix(PREFIX))
        else {
            continue;
        };
        if rest.ends_with(PARTIAL) {
            partials.push(path);
        } else if let Ok(number) = rest.parse() {
            snapshots.push((number, path));
        }
    }
    Ok((snapshots, partials))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn read_with(change: impl FnOnce(&mut Header)) -> Result<Read, LoadError> {
        let folder = tempfile::tempdir().unwrap();
        let options = IndexOptions::new(NonZeroUsize::new(2).unwrap());
        let fingerprint = IndexFingerprint("a model".to_owned());
        let (store, damage) = (VectorStore::new(2), Damage::default());
        store.push(crate::photo_id::PhotoId(1), &[0.6, 0.8]).unwrap();
        let contents = Contents {
            options: &options,
            fingerprint: &fingerprint,
            store: &store,
            graph: &Graph::new(),
            indexed: 0,
            damage: &damage,
        };
        write(folder.path(), &contents).unwrap();
        let path = folder.path().join("snapshot-1").join(HEADER);
        let mut header = read_header(&path).unwrap();
        change(&mut header);
        fs::remove_file(&path).unwrap();
        write_header(&path, &header).unwrap();
        read(folder.path(), &options, &fingerprint, &damage)
    }

    #[test]
    fn sizes_that_nothing_can_have_are_damage_even_where_all_sums_are_right() {
        assert!(read_with(|_| {}).is_ok());
        for size in [2, u64::MAX / 16, u64::MAX / 8 + 2, u64::MAX] {
            let changes: [fn(&mut Header, u64); 5] = [
                |header, size| header.slots = size,
                |header, size| header.indexed = size,
                |header, size| header.removed = size,
                |header, size| header.tag_bytes = size,
                |header, size| header.state_bytes = size,
            ];
            for change in changes {
                let read = read_with(|header| change(header, size));
                assert!(matches!(read, Err(LoadError::Damaged { .. })), "{size}");
            }
        }
    }

    #[test]
    fn what_a_killed_writer_left_is_removed_by_the_next_reader_but_not_while_another_process_writes() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("index");
        fs::create_dir_all(dir.join("snapshot-3.partial")).unwrap();
        let options = IndexOptions::new(NonZeroUsize::new(2).unwrap());
        let left = || dir.join("snapshot-3.partial").exists();
        let read = || read(&dir, &options, &IndexFingerprint("a model".to_owned()), &Damage::default());
        let reader = open_lock(&dir).unwrap();
        reader.lock_shared().unwrap();
        assert!(matches!(read(), Err(LoadError::Missing)) && left());
        reader.unlock().unwrap();
        assert!(matches!(read(), Err(LoadError::Missing)) && !left());
        fs::create_dir(dir.join("snapshot-4.partial")).unwrap();
        discard(&dir).unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "the lock");
    }

    #[test]
    fn a_header_with_a_name_longer_than_any_memory_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(HEADER);
        let body = bincode::encode_to_vec(1_u64 << 63, bincode::config::standard()).unwrap();
        let parts = [&MAGIC[..], &FORMAT.to_le_bytes(), &checksum(&body, 0).to_le_bytes(), &body];
        fs::write(&path, parts.concat()).unwrap();
        assert!(matches!(read_header(&path), Err(LoadError::Damaged { .. })));
    }
}
