//! The graph on disk.
//!
//! ```text
//! index/
//!   lock                   held shared while reading, exclusively while writing
//!   snapshot-<n>/          the greatest n counts; complete when it has this name
//!     header               magic, format, SHA-256 of the rest, the rest: `Header` in bincode
//!     graph                see `Graph::to_bytes`
//!   snapshot-<n>.partial/  being written, or left by a crash
//! ```
//! Order of writing: files into `.partial`, each flushed to the disk, then the directory, then renamed, then the
//! parent flushed, then older ones removed. Not a byte of a graph is believed before its checksum is right.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bincode::{Decode, Encode};
use sha2::{Digest, Sha256};

use super::graph::{EF_CONSTRUCTION, Graph};
use super::links::LINKS;
use super::{IndexOptions, LoadError, SaveError};
use crate::photo_id::PhotoId;

const MAGIC: [u8; 8] = *b"TKINDEX\n";
/// Raised with every change of the header, of what the graph's bytes mean, or of who is in which layer. 1 was
/// `hnsw_rs`.
const FORMAT: u32 = 2;
const GRAPH: &str = "graph";
const HEADER: &str = "header";
const LOCK: &str = "lock";
const PREFIX: &str = "snapshot-";
const PARTIAL: &str = ".partial";

type Sha = [u8; 32];

/// What made the vectors: model, its digest, preprocessing version. Vectors under different fingerprints cannot
/// be compared.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IndexFingerprint(pub String);

/// What a snapshot is of.
#[derive(Debug, Encode, Decode)]
pub(super) struct Contents {
    fingerprint: IndexFingerprint,
    dimension: u64,
    links: u64,
    ef_construction: u64,
    /// Pictures that are in the graph or have an equal there, in the order of their slots.
    ids: Vec<i64>,
    /// `Shelf::sum` of their vectors.
    vectors: u64,
}

impl Contents {
    pub(super) fn of(
        options: &IndexOptions,
        fingerprint: &IndexFingerprint,
        ids: Vec<PhotoId>,
        vectors: u64,
    ) -> Self {
        Self {
            fingerprint: fingerprint.clone(),
            dimension: options.dimension.get() as u64,
            links: LINKS as u64,
            ef_construction: EF_CONSTRUCTION as u64,
            ids: ids.into_iter().map(|id| id.0).collect(),
            vectors,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = PhotoId> {
        self.ids.iter().map(|&id| PhotoId(id))
    }

    pub(super) fn vectors(&self) -> u64 {
        self.vectors
    }

    /// Whether a graph of `self` can serve where `wanted` is wanted.
    fn check(&self, wanted: &Self) -> Result<(), LoadError> {
        let differs = |what, found: String, wanted: String| {
            if found == wanted { Ok(()) } else { Err(LoadError::Differs { what, found, wanted }) }
        };
        differs("model", self.fingerprint.0.clone(), wanted.fingerprint.0.clone())?;
        differs("dimension", self.dimension.to_string(), wanted.dimension.to_string())?;
        differs("links per point", self.links.to_string(), wanted.links.to_string())?;
        differs("build breadth", self.ef_construction.to_string(), wanted.ef_construction.to_string())
    }
}

#[derive(Encode, Decode)]
struct Header<C> {
    contents: C,
    graph: Sha,
}

/// Writes a snapshot.
pub(super) fn write(dir: &Path, contents: &Contents, graph: &[u8]) -> Result<(), SaveError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| SaveError::Io { path, source }
    };
    fs::create_dir_all(dir).map_err(at(dir))?;
    let lock_path = dir.join(LOCK);
    let lock = open_lock(dir).map_err(at(&lock_path))?;
    lock.lock().map_err(at(&lock_path))?;

    let (snapshots, partials) = entries(dir).map_err(at(dir))?;
    // We hold the lock, so nobody is writing these.
    for partial in partials {
        fs::remove_dir_all(&partial).map_err(at(&partial))?;
    }
    let number = snapshots.iter().map(|(number, _)| number + 1).max().unwrap_or(1);
    let name = dir.join(format!("{PREFIX}{number}"));
    let partial = dir.join(format!("{PREFIX}{number}{PARTIAL}"));
    fs::create_dir(&partial).map_err(at(&partial))?;

    let graph_path = partial.join(GRAPH);
    write_file(&graph_path, &[graph]).map_err(at(&graph_path))?;
    let header_path = partial.join(HEADER);
    let header = Header { contents, graph: Sha256::digest(graph).into() };
    write_header(&header_path, &header).map_err(at(&header_path))?;
    sync_dir(&partial).map_err(at(&partial))?;
    fs::rename(&partial, &name).map_err(at(&name))?;
    sync_dir(dir).map_err(at(dir))?;
    for (_, old) in snapshots {
        fs::remove_dir_all(&old).map_err(at(&old))?;
    }
    Ok(())
}

/// Reads the newest snapshot. Nothing is used that is not as it was written.
pub(super) fn read(
    dir: &Path,
    options: &IndexOptions,
    fingerprint: &IndexFingerprint,
) -> Result<(Contents, Graph), LoadError> {
    if !dir.is_dir() {
        return Err(LoadError::Missing);
    }
    let lock_path = dir.join(LOCK);
    // So that nobody removes the files before they are read.
    let lock = open_lock(dir).map_err(|source| LoadError::Io { path: lock_path.clone(), source })?;
    lock.lock_shared().map_err(|source| LoadError::Io { path: lock_path, source })?;

    let (snapshots, _) = entries(dir).map_err(|source| LoadError::Io { path: dir.to_owned(), source })?;
    let (_, newest) = snapshots.into_iter().max().ok_or(LoadError::Missing)?;
    let header = read_header(&newest.join(HEADER))?;
    let contents = header.contents;
    contents.check(&Contents::of(options, fingerprint, Vec::new(), 0))?;
    let path = newest.join(GRAPH);
    let bytes = fs::read(&path).map_err(|source| unreadable(&path, source))?;
    let whole = Sha::from(Sha256::digest(&bytes)) == header.graph;
    let graph = if whole { Graph::from_bytes(&bytes, contents.len()) } else { None };
    graph.map(|graph| (contents, graph)).ok_or(LoadError::Damaged { path })
}

fn write_header(path: &Path, header: &Header<&Contents>) -> io::Result<()> {
    let body = bincode::encode_to_vec(header, bincode::config::standard()).map_err(io::Error::other)?;
    write_file(path, &[&MAGIC, &FORMAT.to_le_bytes(), &Sha256::digest(&body), &body])
}

fn write_file(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()
}

fn read_header(path: &Path) -> Result<Header<Contents>, LoadError> {
    let damaged = || LoadError::Damaged { path: path.to_owned() };
    let bytes = fs::read(path).map_err(|source| unreadable(path, source))?;
    let rest = bytes.strip_prefix(&MAGIC).ok_or_else(damaged)?;
    let (format, rest) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
    let format = u32::from_le_bytes(*format);
    if format != FORMAT {
        return Err(LoadError::OtherFormat { found: format, known: FORMAT });
    }
    let (sum, body) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
    if Sha256::digest(body).as_slice() != sum {
        return Err(damaged());
    }
    let (header, read): (Header<Contents>, usize) =
        bincode::decode_from_slice(body, bincode::config::standard()).map_err(|_| damaged())?;
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
    File::options().create(true).truncate(false).write(true).open(dir.join(LOCK))
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

/// Makes new names in `dir` last. Only Unix can open a directory for that; elsewhere the rename itself must do.
fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
