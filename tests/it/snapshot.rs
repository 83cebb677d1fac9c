//! A saved index is used as it was written, or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use proptest::prelude::*;
use tongkuan::catalog::{Catalog, NewAnswer, NewPhoto};
use tongkuan::clock::Clock;
use tongkuan::embed::Embedding;
use tongkuan::engine::{Mode, Outcome, Progress};
use tongkuan::index::{Index, IndexError, IndexFingerprint, IndexOptions, LoadError};
use tongkuan::photo::{Digest, PhotoFormat};

use crate::fakes::{Bench, offer, png, query};
use crate::index::{filled, lost, noise, options, pictures, walk};

const PICTURES: u64 = 2100;

fn mine() -> IndexFingerprint {
    IndexFingerprint("mine".to_owned())
}

fn small() -> IndexOptions {
    IndexOptions { exact_max: 100, ..options() }
}

/// The files of a snapshot, each with its content.
fn files() -> &'static [(String, Vec<u8>)] {
    static FILES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let index = filled(small(), &pictures(PICTURES));
        index.remove(&[pictures(1)[0].0], 7);
        index.save(folder.path(), &mine()).unwrap();
        let read = |path: PathBuf| (path.file_name()?.to_str().map(str::to_owned)).zip(fs::read(&path).ok());
        let mut files: Vec<_> = walk(folder.path()).into_iter().filter_map(read).collect();
        files.retain(|(_, bytes)| !bytes.is_empty());
        files.sort();
        files
    })
}

/// A folder with that snapshot, in which `name` holds `bytes`.
fn with_changed(name: &str, bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = folder.path().join("snapshot-1");
    fs::create_dir(&snapshot).unwrap();
    for (file, whole) in files() {
        fs::write(snapshot.join(file), if file == name { bytes } else { whole }).unwrap();
    }
    folder
}

/// Whether the snapshot is refused when it is opened or when it is used.
fn is_refused(folder: &Path) -> bool {
    match Index::load(small(), folder, &mine()) {
        Err(LoadError::Damaged { .. } | LoadError::OtherFormat { .. }) => true,
        Err(other) => panic!("{other}"),
        Ok(index) => {
            // Damaged links and numbers would have been found by now; codes and vectors are looked at when they are
            // read, and then nothing panics and nothing is answered.
            let _ = index.audit_graph();
            let some = pictures(1);
            let _ = index.search(&some[0].1, 10, 0.9);
            let _ = index.search_graph_alone(&some[0].1, 10);
            index.search_exact(&some[0].1, usize::MAX) == Err(IndexError::Damaged)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_flipped_bit_and_any_cut_is_found_before_anything_is_answered(
        file in 0usize..4, at in any::<prop::sample::Index>(), bit in 0u32..8, cut in any::<bool>(),
    ) {
        let (name, whole) = &files()[file];
        let mut bytes = whole.clone();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        let folder = with_changed(name, &bytes);
        prop_assert!(is_refused(folder.path()), "{} at {}", name, at);
    }
}

#[test]
fn a_snapshot_without_one_of_its_files_or_with_more_in_it_is_refused() {
    for (name, whole) in files() {
        let folder = with_changed(name, &[]);
        assert!(is_refused(folder.path()), "{name} empty");
        fs::remove_file(folder.path().join("snapshot-1").join(name)).unwrap();
        assert!(is_refused(folder.path()), "{name} missing");
        let longer = [whole.as_slice(), &[0]].concat();
        assert!(is_refused(with_changed(name, &longer).path()), "{name} longer");
    }
}

#[test]
fn a_snapshot_of_a_machine_of_the_other_byte_order_is_refused() {
    for (name, whole) in files() {
        let mut swapped = whole.clone();
        swapped.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        assert!(is_refused(with_changed(name, &swapped).path()), "{name}");
    }
}

#[test]
fn a_whole_snapshot_answers_as_the_index_did_and_knows_what_was_removed() {
    let folder = with_changed("", &[]);
    let index = Index::load(small(), folder.path(), &mine()).unwrap();
    assert_eq!((index.len(), index.removed(), index.removals_seen()), (2099, 1, 7));
    assert_eq!(lost(&index, &pictures(PICTURES)[1..]), 0);
    let gone = &pictures(1)[0];
    assert!(index.search(&gone.1, 10, 0.9).unwrap().iter().all(|found| found.photo_id != gone.0));
}

#[test]
fn after_a_save_all_goes_on_from_the_files_while_others_insert_and_search() {
    let pictures = pictures(6000);
    let (first, rest) = pictures.split_at(3000);
    let index = filled(small(), first);
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| rest.iter().for_each(|(id, e)| index.insert(*id, e).unwrap()));
        scope.spawn(|| assert_eq!(lost(&index, first), 0));
        for _ in 0..3 {
            index.save(folder.path(), &mine()).unwrap();
            index.link_some();
        }
    });
    index.catch_up();
    index.save(folder.path(), &mine()).unwrap();
    let loaded = Index::load(small(), folder.path(), &mine()).unwrap();
    for index in [&index, &loaded] {
        assert_eq!((index.len(), index.unindexed(), lost(index, &pictures)), (6000, 0, 0));
    }
    assert_eq!(loaded.audit_graph(), index.audit_graph());
}

/// An engine whose index has a graph from the third picture on, with `pictures` stored and saved.
fn settled(bench: &Bench, pictures: u32) {
    let engine = bench.engine_with_graph();
    for seed in 0..pictures {
        engine.search(&query(&png(seed))).unwrap();
    }
    engine.remake_index().unwrap();
}

#[test]
fn an_engine_opens_what_was_saved_and_follows_the_catalogue_from_there() {
    let bench = Bench::new();
    settled(&bench, 20);
    let other = bench.engine();
    other.search(&query(&png(20))).unwrap();
    let gone = other.photo_of(&png(3)).unwrap().unwrap();
    other.forget(&[gone]).unwrap();
    let audit = bench.engine_with_graph().audit().unwrap();
    assert!(audit.is_sound() && audit.photos == 20, "{audit:?}");
}

/// So many that whole blocks of rows are mapped; straight into the catalogue, because drawing them would take long.
fn store_many(bench: &Bench, pictures: u64) {
    let engine = bench.engine();
    for i in 0..pictures {
        let embedding = Embedding::new(noise(i).take(192).collect()).unwrap();
        let digest = Digest::of(&i.to_le_bytes());
        let photo = NewPhoto {
            label: "a.png",
            byte_digest: digest,
            pixel_digest: digest,
            width_px: 160,
            height_px: 120,
            format: PhotoFormat::Png,
            embedding: &embedding,
            sketch: &[],
            added_at: bench.clock.now(),
        };
        let answer = NewAnswer::Own { added_at: bench.clock.now(), offer: &offer("A-1") };
        Catalog::open(engine.folder()).unwrap().store(&photo, &answer).unwrap();
    }
}

#[test]
fn an_engine_makes_a_damaged_index_anew_even_when_the_damage_shows_in_the_middle_of_a_search() {
    let bench = Bench::new();
    store_many(&bench, 1100);
    for name in ["header", "state", "codes", "vectors"] {
        bench.engine_with_graph().remake_index().unwrap();
        let file =
            walk(&bench.home.path().join("index")).into_iter().find(|path| path.ends_with(name)).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        bytes.iter_mut().skip(20).step_by(1000).for_each(|byte| *byte ^= 4);
        fs::write(&file, bytes).unwrap();
        let engine = bench.engine_with_graph();
        let png = png(1);
        let local = query(&png).mode(Mode::LocalOnly);
        assert_eq!(engine.search(&local).unwrap().verdict, Outcome::Miss, "{name}");
        let audit = engine.audit().unwrap();
        assert!(audit.is_sound() && audit.photos == 1100, "{name}: {audit:?}");
    }
}

/// Remembers how far linking was, and copies `folder` when it is past 1000 pictures for the first time: what somebody
/// leaves who is killed there.
struct Watched {
    folder: PathBuf,
    copy: PathBuf,
    linked: Mutex<Vec<usize>>,
}

impl Watched {
    fn new(folder: &Path, copy: &Path) -> Arc<Self> {
        Arc::new(Self { folder: folder.to_owned(), copy: copy.to_owned(), linked: Mutex::default() })
    }
}

impl Progress for Watched {
    fn note(&self, _: &str) {}

    fn step(&self, what: &str, done: usize, _: usize) {
        if what == "linking" {
            self.linked.lock().unwrap().push(done);
            if done > 1000 && !self.copy.exists() {
                for file in walk(&self.folder) {
                    let to = self.copy.join(file.strip_prefix(&self.folder).unwrap());
                    fs::create_dir_all(to.parent().unwrap()).unwrap();
                    fs::copy(file, to).unwrap();
                }
            }
        }
    }
}

#[test]
fn whoever_is_killed_while_an_index_is_linked_goes_on_from_what_was_linked() {
    let bench = Bench::new();
    store_many(&bench, 3100);
    let (index, copy) = (bench.home.path().join("index"), bench.home.path().join("copy"));
    let watched = Watched::new(&index, &copy);
    let engine = bench.graph_builder(bench.home.path()).progress(watched.clone()).open().unwrap();
    engine.remake_index().unwrap();
    assert_eq!(watched.linked.lock().unwrap().first(), Some(&512));
    drop(engine);
    fs::remove_dir_all(&index).unwrap();
    fs::rename(&copy, &index).unwrap();

    let watched = Watched::new(&index, &copy);
    let engine = bench.graph_builder(bench.home.path()).progress(watched.clone()).open().unwrap();
    engine.settle_index().unwrap();
    let linked = watched.linked.lock().unwrap();
    assert!(linked.iter().all(|done| *done > 1000) && linked.last() == Some(&3100), "{linked:?}");
    let audit = engine.audit().unwrap();
    assert!(audit.is_sound() && audit.photos == 3100, "{audit:?}");
}

#[test]
fn a_catalogue_that_was_put_back_from_a_copy_has_its_index_made_anew() {
    let bench = Bench::new();
    settled(&bench, 10);
    drop(bench.engine());
    let copy = bench.home.path().join("copy.sqlite");
    rusqlite::Connection::open(bench.home.path().join("catalog.sqlite"))
        .unwrap()
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    settled(&bench, 15);
    for entry in fs::read_dir(bench.home.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("catalog.sqlite") {
            fs::remove_file(path).unwrap();
        }
    }
    fs::rename(copy, bench.home.path().join("catalog.sqlite")).unwrap();
    // Numbers 11 to 15 are given again, to other pictures.
    let engine = bench.engine();
    for seed in 100..106 {
        engine.search(&query(&png(seed))).unwrap();
    }
    let audit = bench.engine_with_graph().audit().unwrap();
    assert!(audit.is_sound() && audit.photos == 16, "{audit:?}");
}
