//! A folder in which workers share snapshots of the index. Those on a real PostgreSQL say that they were skipped where there is
//! none, see `postgres_home.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tongkuan::engine::{Engine, EngineBuilder, Progress};

use crate::check::{ADD, check_with, items};
use crate::fakes::{Bench, png};
use crate::index::walk;

/// What an engine has told, and which long work it did.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }

    fn step(&self, what: &str, _: usize, _: usize) {
        self.note(what);
    }
}

impl Heard {
    fn has(&self, what: &str) -> bool {
        self.0.lock().unwrap().iter().any(|told| told.contains(what))
    }
}

/// What an engine says that reads all vectors of the store.
const READS_ALL: &str = "reading the catalogue";

/// An engine with a graph, and what it tells.
fn opened(builder: EngineBuilder, shared: &Path) -> (Engine, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let engine = builder.exact_max(2).index_snapshots(shared).progress(heard.clone()).open().unwrap();
    (engine, heard)
}

fn add(engine: &Engine, pictures: std::ops::Range<u32>) {
    check_with(engine, ADD, items(&pictures.map(png).collect::<Vec<_>>()));
}

/// The snapshots that are shared.
fn snapshots(shared: &Path) -> Vec<PathBuf> {
    let headers = walk(shared).into_iter().filter(|path| path.ends_with("header"));
    headers.map(|header| header.parent().unwrap().to_owned()).collect()
}

#[test]
fn a_home_in_a_folder_shares_nothing_and_works_as_ever() {
    let bench = Bench::new();
    let shared = tempfile::tempdir().unwrap();
    let (engine, _) = opened(bench.builder(), shared.path());
    add(&engine, 0..6);
    engine.remake_index().unwrap();
    assert_eq!((engine.index_len().unwrap(), engine.shared_index().unwrap()), (6, None));
    assert_eq!(fs::read_dir(shared.path()).unwrap().count(), 0);
}

#[cfg(feature = "postgres")]
mod on_postgres {
    use std::sync::Barrier;

    use tongkuan::engine::CheckOutcome;
    use tongkuan::photo_id::PhotoId;
    use tongkuan::store::{Extent, PhotoStore as _, Refill, UpkeepStore as _};

    use super::*;
    use crate::check::{copy, outcomes};
    use crate::cli::{Ran, Shell, text};
    use crate::fakes::query;
    use crate::postgres_home::PostgresHome;
    use crate::store::{Made, fingerprint, store_photo};

    /// A home in a database, and a folder that its workers share.
    struct Scene {
        bench: Bench,
        home: PostgresHome,
        shared: tempfile::TempDir,
    }

    impl Scene {
        fn new() -> Option<Self> {
            let home = PostgresHome::new()?;
            Some(Self { bench: Bench::new(), home, shared: tempfile::tempdir().unwrap() })
        }

        /// The worker that has this folder.
        fn worker(&self, folder: &str) -> (Engine, Arc<Heard>) {
            opened(self.bench.builder_on(self.home.worker(folder)), self.shared.path())
        }

        /// A worker that has left an index of so many pictures.
        fn with_shared(pictures: u32) -> Option<(Self, Engine)> {
            let scene = Self::new()?;
            let (engine, heard) = scene.worker("first");
            add(&engine, 0..pictures);
            engine.remake_index().unwrap();
            assert!(heard.has("is shared in"), "{:?}", heard.0);
            assert_eq!(snapshots(scene.shared.path()).len(), 1);
            Some((scene, engine))
        }

        fn shared(&self) -> PathBuf {
            let all = snapshots(self.shared.path());
            assert_eq!(all.len(), 1, "{all:?}");
            all[0].clone()
        }
    }

    fn best(engine: &Engine, seed: u32) -> Option<i64> {
        engine.inspect(&query(&copy(seed, 70))).unwrap().best.map(|best| best.photo_id.0)
    }

    #[test]
    fn a_new_worker_takes_the_shared_index_and_follows_what_came_and_went_since() {
        let Some((scene, first)) = Scene::with_shared(12) else { return };
        let extent = Extent { last_photo_id: Some(PhotoId(12)), last_removal: 0 };
        assert_eq!(first.shared_index().unwrap().unwrap().newest, Some((12, extent)));
        add(&first, 12..13);
        first.forget(&[PhotoId(1)]).unwrap();

        let (new, heard) = scene.worker("new");
        assert_eq!(new.index_len().unwrap(), 12);
        assert!(heard.has("copying the index of 12 pictures") && !heard.has(READS_ALL), "{:?}", heard.0);
        assert_eq!((best(&new, 12), best(&new, 5)), (Some(13), Some(6)));
        assert_ne!(best(&new, 0), Some(1), "it is gone");
        assert!(new.audit().unwrap().is_sound());
        assert_eq!(new.index_extent().unwrap(), new.catalog().extent().unwrap());
        // What it has taken is its own from then on.
        drop(new);
        let (again, heard) = scene.worker("new");
        assert_eq!(again.index_len().unwrap(), 12);
        assert!(!heard.has("copying") && !heard.has(READS_ALL), "{:?}", heard.0);
        // Without the folder all vectors are read.
        let heard = Arc::new(Heard::default());
        let alone = scene.bench.builder_on(scene.home.worker("alone")).progress(heard.clone());
        assert_eq!(alone.open().unwrap().index_len().unwrap(), 12);
        assert!(heard.has(READS_ALL));
    }

    #[test]
    fn a_worker_that_was_away_follows_the_feed_and_takes_the_shared_index_when_it_is_far_behind() {
        let Some((scene, first)) = Scene::with_shared(20) else { return };
        let away = |folder| {
            let (engine, heard) = scene.worker(folder);
            assert_eq!(engine.index_len().unwrap(), first.index_len().unwrap());
            heard
        };
        assert!(away("one").has("copying"));
        add(&first, 20..21);
        first.remake_index().unwrap();
        let heard = away("one");
        assert!(!heard.has("copying") && !heard.has(READS_ALL), "one in twenty: {:?}", heard.0);
        add(&first, 21..25);
        first.remake_index().unwrap();
        let heard = away("one");
        assert!(heard.has("copying the index of 25 pictures") && !heard.has(READS_ALL), "{:?}", heard.0);
        assert_eq!(snapshots(scene.shared.path()).len(), 1, "older ones are gone");
    }

    #[test]
    fn a_damaged_one_is_passed_over_with_a_note_and_the_next_takes_its_place() {
        for file in ["header", "state", "codes", "vectors"] {
            let Some((scene, _)) = Scene::with_shared(6) else { return };
            let path = scene.shared().join(file);
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&path, bytes).unwrap();
            let (new, heard) = scene.worker("new");
            assert_eq!((new.index_len().unwrap(), best(&new, 3)), (6, Some(4)), "{file}");
            assert!(heard.has("is passed over") && heard.has(READS_ALL), "{file}: {:?}", heard.0);
            new.remake_index().unwrap();
            let (last, heard) = scene.worker("last");
            assert_eq!((last.index_len().unwrap(), best(&last, 3)), (6, Some(4)), "{file}");
            assert!(heard.has("copying") && !heard.has(READS_ALL), "{file}: {:?}", heard.0);
            assert!(!path.exists(), "{file}");
        }
    }

    #[test]
    fn another_homes_is_refused_wherever_it_lies() {
        let (Some((one, _)), Some((other, first))) = (Scene::with_shared(6), Scene::with_shared(4)) else {
            return;
        };
        let (foreign, place) = (one.shared(), other.shared());
        fs::remove_dir_all(&place).unwrap();
        fs::create_dir(&place).unwrap();
        for file in walk(&foreign) {
            fs::copy(&file, place.join(file.file_name().unwrap())).unwrap();
        }
        let (new, heard) = other.worker("new");
        assert_eq!(new.index_len().unwrap(), 4);
        assert!(heard.has("differs in model or home") && heard.has(READS_ALL), "{:?}", heard.0);
        assert_eq!(first.shared_index().unwrap().unwrap().newest, None);
        // Two homes in one folder are none of each other's business.
        let (beside, _) = opened(other.bench.builder_on(other.home.worker("beside")), one.shared.path());
        beside.remake_index().unwrap();
        assert_eq!(snapshots(one.shared.path()).len(), 2);
        assert!(foreign.exists());
    }

    #[test]
    fn workers_that_publish_at_the_same_time_leave_one_whole_index() {
        const WORKERS: usize = 3;
        let Some(scene) = Scene::new() else { return };
        add(&scene.worker("first").0, 0..8);
        let barrier = Barrier::new(WORKERS);
        std::thread::scope(|scope| {
            for number in 0..WORKERS {
                let (scene, barrier) = (&scene, &barrier);
                scope.spawn(move || {
                    let (engine, _) = scene.worker(&format!("w{number}"));
                    barrier.wait();
                    engine.remake_index().unwrap();
                });
            }
        });
        scene.shared();
        let (new, heard) = scene.worker("new");
        assert_eq!((new.index_len().unwrap(), best(&new, 3).is_some()), (8, true));
        assert!(heard.has("copying") && !heard.has(READS_ALL), "{:?}", heard.0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_of_and_nothing_fails() {
        let Some(scene) = Scene::new() else { return };
        let missing = scene.shared.path().join("missing");
        let (engine, heard) = opened(scene.bench.builder_on(scene.home.worker("one")), &missing);
        assert_eq!(
            outcomes(&check_with(&engine, ADD, items(&[png(1), png(2), png(3)]))),
            [CheckOutcome::New; 3]
        );
        engine.remake_index().unwrap();
        assert!(
            heard.has("no index is taken from") && heard.has("the index is not shared in"),
            "{:?}",
            heard.0
        );
        assert!(engine.shared_index().unwrap().unwrap().problem.is_some());
        assert!(!missing.exists(), "it may be a mount that is missing");
    }

    #[test]
    fn vectors_that_become_others_are_told_from_those_before_and_new_photos_change_nothing() {
        let (Some(home), Some(elsewhere)) = (PostgresHome::new(), PostgresHome::new()) else { return };
        let (one, other) = (home.open(), home.open());
        one.claim_model(&fingerprint("a")).unwrap();
        let photo_id = store_photo(&one, 1);
        let before = one.lineage().unwrap().unwrap();
        assert_eq!(other.lineage().unwrap().as_ref(), Some(&before), "the same for every worker");
        store_photo(&other, 2);
        other.forget(&[photo_id]).unwrap();
        let photo_id = store_photo(&one, 3);
        assert_eq!(one.lineage().unwrap().as_ref(), Some(&before), "the feed tells of those");
        let made = Made::of(3);
        let refill = Refill { vector: Some(&made.embedding), sketch: None, pixel_digest: made.pixels };
        other.fill(photo_id, &fingerprint("a"), &refill).unwrap();
        let after = one.lineage().unwrap().unwrap();
        assert_eq!(after.home, before.home);
        assert_ne!(after.vectors, before.vectors);
        let there = elsewhere.open().lineage().unwrap().unwrap();
        assert!(there.home != after.home && there.vectors != after.vectors, "{there:?} {after:?}");
    }

    #[test]
    fn an_index_from_before_vectors_were_made_anew_is_not_taken_and_not_published() {
        let Some((scene, first)) = Scene::with_shared(6) else { return };
        let old = scene.shared();
        // As filling in a vector does.
        scene.home.outside().execute("DELETE FROM meta WHERE key = 'vectors'", &[]).unwrap();
        let (new, heard) = scene.worker("new");
        assert_eq!(new.index_len().unwrap(), 6);
        assert!(heard.has("is passed over") && heard.has(READS_ALL), "{:?}", heard.0);
        // One whose index is from before keeps it for itself, although there is a new one to save.
        add(&first, 6..12);
        let gone: Vec<_> = (1..6).map(PhotoId).collect();
        assert_eq!(first.forget(&gone).unwrap().photo_ids, gone);
        first.settle_index().unwrap();
        assert_eq!(scene.shared(), old);
        new.remake_index().unwrap();
        assert!(!old.exists());
        assert_eq!(new.shared_index().unwrap().unwrap().newest.unwrap().0, 7);
    }

    #[test]
    fn doctor_tells_what_is_shared_and_the_folder_may_be_named_by_option_or_variable() {
        let Some(scene) = Scene::new() else { return };
        let (shell, address) = (Shell::with_sandbox(), scene.home.text("cli"));
        let (there, missing) = (scene.shared.path(), scene.shared.path().join("missing"));
        shell.good(5, "own/5.jpg");
        assert_eq!(shell.run(&["--home", &address, "add", "own"]).status, 0);
        let line = |ran: Ran| {
            let line = ran.lines().into_iter().find(|line| line["check"] == "shared index");
            let line = line.unwrap_or_else(|| panic!("{ran:?}"));
            (line["state"].as_str().unwrap().to_owned(), line["detail"].as_str().unwrap().to_owned())
        };
        let doctor = ["--home", &address, "--json", "doctor"];
        let by_option =
            |folder: &Path| line(shell.run(&[&doctor[..], &["--index-snapshots", text(folder)]].concat()));
        let by_variable =
            || line(Ran::of(shell.command(&doctor).env("TONGKUAN_INDEX_SNAPSHOTS", text(there))));
        for (state, detail) in [by_option(there), by_variable()] {
            assert!(state == "ok" && detail.contains("none yet"), "{detail}");
        }
        let (state, detail) = by_option(&missing);
        assert!(state == "failed" && detail.contains("mount it"), "{detail}");
        let in_folder = text(&shell.path("folder")).to_owned();
        assert_eq!(shell.run(&["--home", &in_folder, "add", "own"]).status, 0);
        let told = shell.run(&["--home", &in_folder, "--json", "doctor", "--index-snapshots", text(there)]);
        assert!(line(told).1.contains("is not used"));
    }
}
