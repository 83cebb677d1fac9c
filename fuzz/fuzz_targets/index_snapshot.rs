#![no_main]

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tongkuan::embed::Embedding;
use tongkuan::index::{Index, IndexError, IndexFingerprint, IndexOptions, SaveError};
use tongkuan::photo_id::PhotoId;

const DIMENSION: usize = 16;
const PICTURES: i64 = 60;

fn options() -> IndexOptions {
    let options = IndexOptions::new(NonZeroUsize::new(DIMENSION).expect("not 0"));
    // All but the last ten are linked.
    IndexOptions { exact_max: 1, ..options }
}

fn fingerprint() -> IndexFingerprint {
    IndexFingerprint("fuzz".to_owned())
}

/// Every third has the vector of the one before.
fn embedding(number: i64) -> Embedding {
    let number = (number - i64::from(number % 3 == 0)) as f32;
    let values = (0..DIMENSION).map(|i| (number * (i as f32 + 1.3)).sin());
    Embedding::new(values.collect()).expect("a vector")
}

/// A snapshot's folder, the names of its files in it, and what they hold.
static SAVED: LazyLock<(TempDir, Vec<(PathBuf, Vec<u8>)>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Index::new(options());
    for number in 1..=PICTURES {
        if number == PICTURES - 10 {
            index.catch_up();
        }
        index.insert(PhotoId(number), &embedding(number)).expect("a new picture");
    }
    index.remove(&[PhotoId(7), PhotoId(8)], 2);
    index.save(folder.path(), &fingerprint()).expect("a snapshot");
    let mut files = Vec::new();
    for entry in fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("a file").path()) {
        if entry.is_dir() {
            for file in fs::read_dir(entry).expect("a folder").map(|entry| entry.expect("a file").path()) {
                files.push((file.clone(), fs::read(file).expect("a file")));
            }
        }
    }
    files.sort();
    (folder, files)
});

/// Puts the files there, changed: five bytes of `changes` name a file, a place in three bytes, little-endian, and
/// the byte that is to stand there; at the place of the last byte and beyond, the file is cut there.
fn lay_out(folder: &Path, files: &[(PathBuf, Vec<u8>)], changes: &[u8]) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()) {
        if entry.is_dir() {
            fs::remove_dir_all(entry).expect("not in use");
        }
    }
    let mut contents: Vec<Vec<u8>> = files.iter().map(|(_, bytes)| bytes.clone()).collect();
    for [file, place @ .., byte] in changes.as_chunks::<5>().0 {
        let content = &mut contents[usize::from(*file) % files.len()];
        let [low, middle, high] = *place;
        let place = u32::from_le_bytes([low, middle, high, 0]) as usize;
        match content.get_mut(place) {
            Some(at) => *at = *byte,
            None if *byte == 0 => content.truncate(place % (content.len() + 1)),
            None => {}
        }
    }
    for ((path, _), content) in files.iter().zip(contents) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("room");
        fs::write(path, content).expect("room");
    }
}

/// Damage may show at any time, and is all that may go wrong. With sums passed by, two slots can be of one picture.
fn unless_damaged<T>(result: Result<T, IndexError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(IndexError::Damaged | IndexError::Duplicate(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

fn use_it(index: &Index, folder: &Path) -> Option<()> {
    for number in [1, 3, 7, PICTURES] {
        let query = embedding(number);
        unless_damaged(index.search(&query, 5, 0.9))?;
        unless_damaged(index.search_exact(&query, 5))?;
        unless_damaged(index.search_graph_alone(&query, 5))?;
    }
    unless_damaged(index.samples(10))?;
    let _ = index.audit_graph();
    index.remove(&[PhotoId(3)], 3);
    // Its number may be taken by now.
    let _ = index.insert(PhotoId(PICTURES + 1), &embedding(PICTURES + 1));
    index.catch_up();
    let _ = index.audit_graph();
    let compacted = unless_damaged(index.compacted(&|_, _| {}))?;
    assert!(compacted.len() <= index.len(), "{} of {}", compacted.len(), index.len());
    match index.save(folder, &fingerprint()) {
        Ok(()) => {}
        Err(SaveError::Damaged) => return None,
        Err(error) => panic!("{error}"),
    }
    let again = Index::load(options(), folder, &fingerprint()).expect("what was just saved");
    assert_eq!(again.len(), index.len());
    Some(())
}

fuzz_target!(|changes: &[u8]| {
    let (folder, files) = &*SAVED;
    lay_out(folder.path(), files, changes);
    if let Ok(index) = Index::load(options(), folder.path(), &fingerprint()) {
        let _ = use_it(&index, folder.path());
    }
});
