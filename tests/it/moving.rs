//! A home goes somewhere else, and answers there as it did here.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use serde_json::Value;
use tongkuan::catalog::Catalog;
use tongkuan::catalog::moving::{self, MoveError};
use tongkuan::clock::Timestamp;
use tongkuan::engine::{Engine, Mode, PhotoRef, Sameness, TakenVerdict, VerdictLine};
use tongkuan::home::Home;
use tongkuan::photo_id::PhotoId;

use crate::cli::Shell;
use crate::fakes::{Bench, offer, png, query};

/// A home with own goods, answers of an upstream, a removed photo, and a person's word.
pub(crate) fn filled() -> Bench {
    let bench = Bench::new();
    let engine = bench.engine();
    for seed in 1..=5 {
        engine.add_own(&offer(&format!("A-{seed}")), &png(seed), "own.png").unwrap();
    }
    engine.search(&query(&png(10))).unwrap();
    engine.search(&query(&png(11))).unwrap();
    engine.forget(&[PhotoId(5)]).unwrap();
    engine.tell(PhotoRef::Photo(PhotoId(1)), PhotoRef::Photo(PhotoId(2)), Sameness::Same).unwrap();
    let file = PhotoRef::File { bytes: &png(20), label: "told.png" };
    engine.tell(file, PhotoRef::Photo(PhotoId(3)), Sameness::Different).unwrap();
    bench
}

/// What a home answers to pictures of all kinds.
pub(crate) fn answers(bench: &Bench, home: impl Into<Home>) -> Vec<Value> {
    let engine =
        Engine::builder(home).embedder(bench.embedder.clone()).clock(bench.clock.clone()).open().unwrap();
    // Known by their bytes, own and asked about, told of, and gone.
    let asked = [1, 3, 10, 11, 20, 5].into_iter().map(|seed| {
        let png = png(seed);
        let answer = engine.search(&query(&png).mode(Mode::LocalOnly)).unwrap();
        let mut value = serde_json::to_value(&answer).unwrap();
        value.as_object_mut().unwrap().remove("timings_ms");
        value
    });
    asked.collect()
}

fn exported(home: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let catalog = Catalog::open(home).unwrap();
    moving::export(&catalog, &mut bytes, Timestamp::from_unix_ms(0), &mut |_| {}).unwrap();
    bytes
}

fn imported(bytes: &[u8], home: &Path) -> Result<(), MoveError> {
    moving::import(Cursor::new(bytes), home, false, &mut |_| {}).map(|_| ())
}

#[test]
fn an_imported_home_answers_as_the_exported_one() {
    let bench = filled();
    let before = answers(&bench, bench.home.path());
    let bytes = exported(bench.home.path());
    let other = tempfile::tempdir().unwrap();
    imported(&bytes, &other.path().join("home")).unwrap();
    assert_eq!(answers(&bench, other.path().join("home")), before);
    // Exported again it is the same but for what the first opening has counted.
    let again = exported(&other.path().join("home"));
    let rows = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let kept = |line: &&str| {
            !["tongkuan_export", "\"meta\"", "\"end\""].iter().any(|other| line.contains(other))
        };
        text.lines().filter(kept).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rows(&again), rows(&bytes));
}

/// The home as Parquet files in `folder`.
fn in_parquet(home: &Path, folder: &Path) {
    let catalog = Catalog::open(home).unwrap();
    moving::export_parquet(&catalog, folder, Timestamp::from_unix_ms(0), &mut |_| {}).unwrap();
}

#[test]
fn a_home_that_went_through_parquet_files_answers_as_before() {
    let bench = filled();
    let before = answers(&bench, bench.home.path());
    let other = tempfile::tempdir().unwrap();
    let (files, home) = (other.path().join("files"), other.path().join("home"));
    in_parquet(bench.home.path(), &files);
    assert!(
        matches!(
            moving::export_parquet(
                &Catalog::open(bench.home.path()).unwrap(),
                &files,
                Timestamp::from_unix_ms(0),
                &mut |_| {}
            ),
            Err(MoveError::Exists { .. })
        ),
        "nothing is written over"
    );
    let (imported, _) = moving::import_parquet(&files, &home, false, &mut |_| {}).unwrap();
    assert_eq!((imported.photos, imported.told), (7, 2));
    assert_eq!(answers(&bench, &home), before);
    let rows = |home: &Path| {
        let text = String::from_utf8(exported(home)).unwrap();
        let kept = |line: &&str| {
            !["tongkuan_export", "\"meta\"", "\"end\""].iter().any(|other| line.contains(other))
        };
        text.lines().filter(kept).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rows(&home), rows(bench.home.path()), "bit for bit");
}

#[test]
fn vectors_in_parquet_are_lists_of_numbers_that_others_read() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::{ListAccessor as _, RowAccessor as _};

    let bench = filled();
    let other = tempfile::tempdir().unwrap();
    let files = other.path().join("files");
    in_parquet(bench.home.path(), &files);
    let file = fs::File::open(files.join("embeddings.parquet")).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let engine = bench.engine();
    let mut rows = 0;
    for row in reader.get_row_iter(None).unwrap() {
        let row = row.unwrap();
        let stored = engine.stored_embedding(PhotoId(row.get_long(0).unwrap())).unwrap().unwrap();
        let list = row.get_list(1).unwrap();
        let numbers: Vec<f32> = (0..list.len()).map(|place| list.get_float(place).unwrap()).collect();
        assert_eq!(numbers, stored.as_slice());
        rows += 1;
    }
    assert_eq!(rows, 7);
}

/// Changes files of an export.
type Spoil = fn(&Path);

#[test]
fn parquet_files_that_were_changed_are_not_imported_and_nothing_is_left_of_them() {
    let bench = filled();
    let cases: [(&str, Spoil); 5] = [
        ("a byte", |files| {
            let path = files.join("photos.parquet");
            let mut bytes = fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("a missing file", |files| fs::remove_file(files.join("answers.parquet")).unwrap()),
        ("files in each other's place", |files| {
            fs::copy(files.join("embeddings.parquet"), files.join("sketches.parquet")).map(drop).unwrap();
        }),
        ("of a newer version", |files| {
            let path = files.join(moving::MANIFEST);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("\"catalog_format\": ", "\"catalog_format\": 9")).unwrap();
        }),
        ("no manifest", |files| fs::remove_file(files.join(moving::MANIFEST)).unwrap()),
    ];
    for (what, spoil) in cases {
        let other = tempfile::tempdir().unwrap();
        let (files, home) = (other.path().join("files"), other.path().join("home"));
        in_parquet(bench.home.path(), &files);
        spoil(&files);
        let refused = moving::import_parquet(&files, &home, false, &mut |_| {});
        assert!(refused.is_err(), "{what}");
        let left = fs::read_dir(&home).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{what}: {refused:?}");
    }
}

#[test]
fn numbers_of_removed_photos_are_not_given_again_after_an_import() {
    let bench = Bench::new();
    let engine = bench.engine();
    for seed in 1..=3 {
        engine.add_own(&offer(&format!("A-{seed}")), &png(seed), "own.png").unwrap();
    }
    engine.forget(&[PhotoId(3)]).unwrap();
    let other = tempfile::tempdir().unwrap();
    imported(&exported(bench.home.path()), other.path()).unwrap();
    let engine = Engine::builder(other.path()).embedder(bench.embedder.clone()).open().unwrap();
    assert_eq!(engine.add_own(&offer("B"), &png(9), "b.png").unwrap().photo_id, PhotoId(4));
}

#[test]
fn what_was_changed_or_cut_off_is_not_imported_and_nothing_is_left_of_it() {
    let bench = filled();
    let bytes = exported(bench.home.path());
    let text = String::from_utf8(bytes.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |line: usize| {
        let kept: Vec<&str> = lines.iter().enumerate().filter(|(n, _)| *n != line).map(|(_, l)| *l).collect();
        kept.join("\n") + "\n"
    };
    let vector = lines.iter().position(|line| line.contains("\"table\":\"embeddings\"")).unwrap();
    let spoilt = |n: usize, from: &str, to: &str| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        assert!(lines[n].contains(from), "{}", lines[n]);
        lines[n] = lines[n].replacen(from, to, 1);
        lines.join("\n") + "\n"
    };
    let label = lines.iter().position(|line| line.contains("own.png")).unwrap();
    let cases = [
        ("cut in a line", text[..text.len() / 2].to_owned()),
        ("without its end", without(lines.len() - 1)),
        ("without its beginning", without(0)),
        ("without a row", without(vector)),
        ("another label", spoilt(label, "own.png", "owN.png")),
        ("a vector that is another", spoilt(vector, "\"vector\":\"", "\"vector\":\"AAAA")),
        ("an unknown field", spoilt(label, "\"label\"", "\"lable\"")),
        ("an unknown kind", spoilt(vector, "embeddings", "embedings")),
        ("of a newer version", spoilt(0, "\"catalog_format\":", "\"catalog_format\":9")),
        ("nothing", String::new()),
    ];
    for (what, text) in cases {
        let other = tempfile::tempdir().unwrap();
        let refused = imported(text.as_bytes(), other.path());
        assert!(refused.is_err(), "{what}");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0, "{what}: {refused:?}");
    }
}

#[test]
fn a_home_that_is_there_is_replaced_only_where_that_was_said_and_is_kept() {
    let (bench, other) = (filled(), filled());
    let bytes = exported(bench.home.path());
    assert!(matches!(imported(&bytes, other.home.path()), Err(MoveError::Exists { .. })));
    let (_, replaced) = moving::import(Cursor::new(&bytes), other.home.path(), true, &mut |_| {}).unwrap();
    assert!(replaced.unwrap().exists());
    assert_eq!(answers(&bench, other.home.path()), answers(&bench, bench.home.path()));
}

#[test]
fn a_backup_of_a_home_in_use_is_a_whole_home_and_comes_back() {
    let bench = filled();
    let engine = bench.engine();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.sqlite");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let counts = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut seed = 1000;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                engine.add_own(&offer(&format!("W-{seed}")), &png(seed), "w.png").unwrap();
                seed += 1;
            }
        });
        let catalog = Catalog::open(bench.home.path()).unwrap();
        let counts = moving::backup(&catalog, &file, false);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap();
        counts.unwrap()
    });
    assert!(counts.photos >= 7, "{counts:?}");
    let home = place.path().join("home");
    let (restored, replaced) = moving::restore(&file, &home, false).unwrap();
    assert_eq!((restored.photos, replaced), (counts.photos, None));
    assert_eq!(answers(&bench, &home)[..3], answers(&bench, bench.home.path())[..3]);
    let catalog = Catalog::open(bench.home.path()).unwrap();
    assert!(matches!(moving::backup(&catalog, &file, false), Err(MoveError::Exists { .. })));
}

#[test]
fn a_damaged_backup_is_refused_and_the_home_stays() {
    let bench = filled();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.sqlite");
    moving::backup(&Catalog::open(bench.home.path()).unwrap(), &file, false).unwrap();
    let before = answers(&bench, bench.home.path());
    let whole = fs::read(&file).unwrap();
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle..].iter_mut().for_each(|byte| *byte ^= 0x55);
    for (what, bytes) in
        [("torn", torn), ("cut", whole[..whole.len() / 2].to_vec()), ("none", b"no backup".to_vec())]
    {
        fs::write(&file, bytes).unwrap();
        let refused = moving::restore(&file, bench.home.path(), true);
        assert!(refused.is_err(), "{what}");
        assert_eq!(answers(&bench, bench.home.path()), before, "{what}");
    }
    fs::write(&file, whole).unwrap();
    assert!(matches!(moving::restore(&file, bench.home.path(), false), Err(MoveError::Exists { .. })));
}

#[test]
fn a_home_that_another_uses_is_not_replaced() {
    let bench = filled();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.sqlite");
    let open = Catalog::open(bench.home.path()).unwrap();
    moving::backup(&open, &file, false).unwrap();
    let refused = moving::restore(&file, bench.home.path(), true);
    assert!(matches!(refused, Err(MoveError::InUse { .. })), "{refused:?}");
    drop(open);
    let (_, replaced) = moving::restore(&file, bench.home.path(), true).unwrap();
    assert!(replaced.unwrap().exists());
}

#[test]
fn verdicts_go_to_another_home_by_digests_and_the_later_word_stays() {
    let bench = filled();
    let engine = bench.engine();
    let mut lines: Vec<VerdictLine> = Vec::new();
    engine
        .each_verdict(&mut |line| {
            lines.push(line);
            true
        })
        .unwrap();
    assert_eq!(lines.len(), 2);
    let other = Bench::new();
    let there = other.engine();
    // Other numbers for the same pictures, and one of them is missing.
    for seed in [20, 3, 2] {
        there.add_own(&offer(&format!("B-{seed}")), &png(seed), "b.png").unwrap();
    }
    let taken = there.take_verdicts(&lines).unwrap();
    assert!(matches!(taken[0], TakenVerdict::Unknown { side: 0 }), "{taken:?}");
    assert_eq!(taken[1], TakenVerdict::Noted { photos: [PhotoId(2), PhotoId(1)] }, "{taken:?}");
    let told = there.catalog().told_of(PhotoId(1)).unwrap();
    assert_eq!((told[0].other, told[0].same), (PhotoId(2), false));
    assert!(matches!(there.take_verdicts(&lines).unwrap()[1], TakenVerdict::Older { .. }));
    let later =
        VerdictLine { same: true, told_at: Some(Timestamp::from_unix_ms(i64::MAX / 2)), ..lines[1].clone() };
    assert!(matches!(there.take_verdicts(&[later]).unwrap()[0], TakenVerdict::Noted { .. }));
    assert!(there.catalog().told_of(PhotoId(1)).unwrap()[0].same);
}

#[test]
fn the_commands_move_a_home_and_say_what_is_in_it() {
    let shell = Shell::alone();
    shell.write("goods/a.png", &png(1));
    shell.write("goods/b.png", &png(2));
    assert_eq!(shell.run(&["add", "goods"]).status, 0);
    let ran = shell.run(&["backup", "b.sqlite", "--json"]);
    assert_eq!((ran.status, ran.json()["counts"]["photos"].as_u64()), (0, Some(2)), "{ran:?}");
    assert_eq!(shell.run(&["backup", "b.sqlite"]).status, 2, "it is there already");
    let ran = shell.run(&["restore", "b.sqlite", "--home", "other", "--json"]);
    assert_eq!(ran.json()["counts"]["own_goods"], 2, "{ran:?}");
    let ran = shell.run(&["export", "e.ndjson"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let ran = shell.run(&["import", "e.ndjson", "--home", "third", "--json"]);
    assert_eq!(ran.json()["imported"]["photos"], 2, "{ran:?}");
    for home in ["other", "third"] {
        let ran = shell.run(&["search", "--offline", "--json", "--home", home, "goods/a.png"]);
        assert_eq!((ran.status, ran.json()["verdict"].as_str()), (0, Some("hit")), "{ran:?}");
    }
    let ran = shell.run(&["import", "e.ndjson", "--home", "third"]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("--force"), "{ran:?}");
    let ran = shell.run(&["stats", "--plot", "plot.svg"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let svg = fs::read_to_string(shell.path("plot.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.matches("<rect").count() > 2, "{svg}");
}
