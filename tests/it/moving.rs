//! A home goes somewhere else, and answers there as it did here.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tongkuan::catalog::moving::{MANIFEST, MoveError, MoveOptions};
use tongkuan::catalog::{Catalog, Counts};
use tongkuan::clock::Timestamp;
use tongkuan::engine::{Engine, Mode, PhotoRef, Sameness, TakenVerdict, VerdictLine};
use tongkuan::home::Home;
use tongkuan::photo_id::PhotoId;

use crate::cli::{Shell, text};
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

pub(crate) fn exported(home: impl Into<Home>) -> Vec<u8> {
    let mut bytes = Vec::new();
    home.into().export(&mut bytes, Timestamp::from_unix_ms(0), &mut |_| {}).unwrap();
    bytes
}

pub(crate) fn imported(bytes: &[u8], home: impl Into<Home>) -> Result<(), MoveError> {
    home.into().import(Cursor::new(bytes), false, &mut |_, _, _| {}).map(|_| ())
}

pub(crate) fn backed_up(home: impl Into<Home>, file: &Path) -> Result<Counts, MoveError> {
    home.into().backup(file, false, &mut |_, _, _| {})
}

pub(crate) fn restored(
    file: &Path,
    home: impl Into<Home>,
    force: bool,
) -> Result<(Counts, Option<PathBuf>), MoveError> {
    home.into().restore(file, force, &mut |_, _, _| {})
}

#[test]
fn an_imported_home_answers_as_the_exported_one() {
    let bench = filled();
    let before = answers(&bench, bench.home.path());
    let bytes = exported(bench.home.path());
    let other = tempfile::tempdir().unwrap();
    imported(&bytes, other.path().join("home")).unwrap();
    assert_eq!(answers(&bench, other.path().join("home")), before);
    // Exported again it is the same but for what the first opening has counted.
    let again = exported(other.path().join("home"));
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
pub(crate) fn in_parquet(home: impl Into<Home>, folder: &Path) {
    home.into().export_parquet(folder, Timestamp::from_unix_ms(0), &mut |_| {}).unwrap();
}

#[test]
fn a_home_that_went_through_parquet_files_answers_as_before() {
    let bench = filled();
    let before = answers(&bench, bench.home.path());
    let other = tempfile::tempdir().unwrap();
    let (files, home) = (other.path().join("files"), other.path().join("home"));
    in_parquet(bench.home.path(), &files);
    let again = Home::from(bench.home.path()).export_parquet(&files, Timestamp::from_unix_ms(0), &mut |_| {});
    assert!(matches!(again, Err(MoveError::FolderExists { .. })), "nothing is written over");
    let (imported, _) = Home::from(home.clone()).import_parquet(&files, false, &mut |_, _, _| {}).unwrap();
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
            let path = files.join(MANIFEST);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("\"catalog_format\": ", "\"catalog_format\": 9")).unwrap();
        }),
        ("no manifest", |files| fs::remove_file(files.join(MANIFEST)).unwrap()),
    ];
    for (what, spoil) in cases {
        let other = tempfile::tempdir().unwrap();
        let (files, home) = (other.path().join("files"), other.path().join("home"));
        in_parquet(bench.home.path(), &files);
        spoil(&files);
        let refused = Home::from(home.clone()).import_parquet(&files, false, &mut |_, _, _| {});
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
fn numbers_of_photos_that_a_check_gives_for_one_run_are_not_imported() {
    let bench = Bench::new();
    bench.engine().add_own(&offer("A"), &png(1), "own.png").unwrap();
    let text = String::from_utf8(exported(bench.home.path())).unwrap();
    let line_of = |kind: &str| text.lines().position(|line| line.contains(kind)).unwrap();
    let photo = line_of("\"table\":\"photos\"");
    let too_high = (i64::MAX / 2 - 1).to_string();
    for (line, from, to) in [
        (photo, "\"photo_id\":1", too_high.as_str()),
        (photo, "\"photo_id\":1", "4611686018427387904"),
        (photo, "\"photo_id\":1", "4.7e18"),
        (photo, "\"photo_id\":1", "0"),
        (line_of("\"table\":\"embeddings\""), "\"photo_id\":1", "4611686018427387904"),
        (0, "\"photos\":1", too_high.as_str()),
    ] {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert!(lines[line].contains(from), "{}", lines[line]);
        let (field, _) = from.split_once(':').unwrap();
        lines[line] = lines[line].replacen(from, &format!("{field}:{to}"), 1);
        let other = tempfile::tempdir().unwrap();
        let refused = imported((lines.join("\n") + "\n").as_bytes(), other.path()).unwrap_err();
        let MoveError::Line { line: told, problem } = refused else { panic!("{refused:?}") };
        assert_eq!(told, line as u64 + 1);
        assert!(problem.contains("is no number of a photo"), "{problem}");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0, "{to}");
    }
}

#[test]
fn a_home_with_numbers_of_photos_that_a_check_gives_for_one_run_is_neither_restored_nor_moved() {
    let bench = filled();
    let before = answers(&bench, bench.home.path());
    let entries = || fs::read_dir(bench.home.path()).unwrap().count();
    let entries_before = entries();
    for change in [
        "INSERT INTO photos (photo_id, kind, label, pixel_digest, width_px, height_px, format, added_at_ms)
         VALUES (4611686018427387904, 'own', 'a.png', randomblob(32), 1, 1, 'png', 0)",
        "INSERT INTO removals (photo_id) VALUES (2305843009213693952)",
        "INSERT INTO removals (photo_id) VALUES (0)",
        "UPDATE sqlite_sequence SET seq = 2305843009213693952 WHERE name = 'photos'",
    ] {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        fs::create_dir(&from).unwrap();
        let file = from.join("catalog.sqlite");
        backed_up(bench.home.path(), &file).unwrap();
        rusqlite::Connection::open(&file).unwrap().execute_batch(change).unwrap();
        let refused = restored(&file, bench.home.path(), true).unwrap_err();
        assert!(matches!(refused, MoveError::PhotoNumber { .. }), "{change}: {refused:?}");
        assert_eq!(refused.code(), "move_photo_number");
        assert!(refused.to_string().contains("is no number of a photo"), "{refused}");
        let target = Home::from(to.clone());
        let refused = Home::from(from).move_to(&target, MoveOptions::default(), &mut |_, _, _| {});
        assert!(matches!(refused, Err(MoveError::PhotoNumber { .. })), "{change}: {refused:?}");
        assert!(!to.exists(), "{change}");
    }
    assert_eq!(entries(), entries_before, "nothing was replaced");
    assert_eq!(answers(&bench, bench.home.path()), before);
}

#[test]
fn what_is_wrong_with_an_imported_file_is_told_with_its_name_and_line() {
    let shell = Shell::alone();
    shell.write("goods/a.png", &png(1));
    assert_eq!(shell.run(&["add", "goods"]).status, 0);
    shell.write("e.ndjson", b"{\"no\":\"export\"}\n");
    let ran = shell.run(&["import", "e.ndjson", "--home", "other"]);
    assert!(ran.status == 2 && ran.err.contains("e.ndjson: line 1 of what is imported"), "{ran:?}");
    shell.write("e.ndjson", b"");
    let ran = shell.run(&["import", "e.ndjson", "--home", "other"]);
    assert!(ran.status == 2 && ran.err.contains("e.ndjson: what is imported ends before"), "{ran:?}");
    shell.write("v.ndjson", b"{\"tongkuan_verdicts\":1}\nno json\n");
    let ran = shell.run(&["verdicts", "import", "v.ndjson"]);
    assert!(ran.status == 2 && ran.err.contains("v.ndjson, line 2: it is no JSON"), "{ran:?}");
}

#[test]
fn a_home_that_is_there_is_replaced_only_where_that_was_said_and_is_kept() {
    let (bench, other) = (filled(), filled());
    let bytes = exported(bench.home.path());
    assert!(matches!(imported(&bytes, other.home.path()), Err(MoveError::Exists { .. })));
    let (_, replaced) =
        Home::from(other.home.path()).import(Cursor::new(&bytes), true, &mut |_, _, _| {}).unwrap();
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
        let counts = backed_up(bench.home.path(), &file);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap();
        counts.unwrap()
    });
    assert!(counts.photos >= 7, "{counts:?}");
    let home = place.path().join("home");
    let (there, replaced) = restored(&file, home.clone(), false).unwrap();
    assert_eq!((there.photos, replaced), (counts.photos, None));
    #[cfg(unix)]
    for private in [&file, &home.join("catalog.sqlite")] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(answers(&bench, home.as_path())[..3], answers(&bench, bench.home.path())[..3]);
    assert!(matches!(backed_up(bench.home.path(), &file), Err(MoveError::Exists { .. })));
}

/// What may become of a backup.
pub(crate) fn damaged(whole: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    let mut torn = whole.to_vec();
    let middle = torn.len() / 2;
    torn[middle..].iter_mut().for_each(|byte| *byte ^= 0x55);
    [("torn", torn), ("cut", whole[..middle].to_vec()), ("none", b"no backup".to_vec())]
}

#[test]
fn a_damaged_backup_is_refused_and_the_home_stays() {
    let bench = filled();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.sqlite");
    backed_up(bench.home.path(), &file).unwrap();
    let before = answers(&bench, bench.home.path());
    let whole = fs::read(&file).unwrap();
    for (what, bytes) in damaged(&whole) {
        fs::write(&file, bytes).unwrap();
        let refused = restored(&file, bench.home.path(), true);
        assert!(refused.is_err(), "{what}");
        assert_eq!(answers(&bench, bench.home.path()), before, "{what}");
    }
    fs::write(&file, whole).unwrap();
    assert!(matches!(restored(&file, bench.home.path(), false), Err(MoveError::Exists { .. })));
}

#[test]
fn a_backup_is_written_over_another_one_and_over_nothing_else() {
    let (bench, other) = (filled(), filled());
    let place = tempfile::tempdir().unwrap();
    let again = |to: &Path| Home::from(bench.home.path()).backup(to, true, &mut |_, _, _| {});
    let file = place.path().join("backup.sqlite");
    assert!(again(&file).is_ok() && again(&file).is_ok());
    let precious = [
        other.home.path().join("catalog.sqlite"),
        bench.home.path().join("catalog.sqlite"),
        place.path().join("own.csv"),
        place.path().join("a.png"),
    ];
    fs::write(&precious[2], "sku,path\n").unwrap();
    fs::write(&precious[3], png(1)).unwrap();
    let before = precious.each_ref().map(|path| fs::read(path).unwrap());
    for path in &precious {
        assert!(matches!(again(path), Err(MoveError::NoBackup { .. })), "{path:?}");
    }
    assert_eq!(precious.each_ref().map(|path| fs::read(path).unwrap()), before);
}

#[test]
fn a_home_with_an_entry_that_cannot_be_read_is_neither_backed_up_nor_exported() {
    let bench = filled();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.sqlite");
    backed_up(bench.home.path(), &file).unwrap();
    let good = fs::read(&file).unwrap();
    let catalog = rusqlite::Connection::open(bench.home.path().join("catalog.sqlite")).unwrap();
    catalog
        .execute("UPDATE embeddings SET vector = zeroblob(length(vector)) WHERE photo_id = 1", [])
        .unwrap();
    drop(catalog);
    let home = Home::from(bench.home.path());
    let refused = home.backup(&file, true, &mut |_, _, _| {}).unwrap_err();
    assert!(
        matches!(refused, MoveError::Damaged { count: 1, .. }) && refused.to_string().contains("photo 1"),
        "{refused}"
    );
    assert_eq!(fs::read(&file).unwrap(), good, "the one before stays");
    let mut out = Vec::new();
    let refused = home.export(&mut out, bench.engine().now(), &mut |_| {}).unwrap_err();
    assert!(matches!(refused, MoveError::Damaged { .. }) && out.is_empty(), "{refused}");
}

#[test]
fn calls_that_were_made_since_the_backup_count_on_after_it_is_restored() {
    let shell = Shell::with_sandbox();
    let (a, b) = (shell.good(3, "a.jpg"), shell.good(90, "b.jpg"));
    let used = || shell.run(&["--json", "quota"]).json()["upstreams"][0]["used"].clone();
    assert_eq!(shell.run(&["search", text(&a)]).status, 1);
    assert_eq!(shell.run(&["backup", "b.sqlite"]).status, 0);
    assert_eq!(shell.run(&["search", text(&b)]).status, 1);
    let before = used();
    let ran = shell.run(&["restore", "b.sqlite", "--force"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!((used(), before), (2.into(), 2.into()));
    // And no call counts twice.
    assert_eq!(shell.run(&["restore", "b.sqlite", "--force"]).status, 0);
    assert_eq!(used(), 2);
}

#[test]
fn a_home_that_another_uses_is_not_replaced() {
    let bench = filled();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("backup.sqlite");
    let open = Catalog::open(bench.home.path()).unwrap();
    backed_up(bench.home.path(), &file).unwrap();
    let refused = restored(&file, bench.home.path(), true);
    assert!(matches!(refused, Err(MoveError::InUse { .. })), "{refused:?}");
    drop(open);
    let (_, replaced) = restored(&file, bench.home.path(), true).unwrap();
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
    let at = |told_at: i64, same: bool| VerdictLine {
        same,
        told_at: Some(Timestamp::from_unix_ms(told_at)),
        ..lines[1].clone()
    };
    let told = lines[1].told_at.unwrap().unix_ms();
    assert!(matches!(there.take_verdicts(&[at(told + 1, true)]).unwrap()[0], TakenVerdict::Noted { .. }));
    assert!(there.catalog().told_of(PhotoId(1)).unwrap()[0].same);
    // By a clock that is wrong: it counts as said now, and can be corrected.
    assert!(there.take_verdicts(&[at(i64::MAX / 2, false)]).is_ok());
    let told = there.catalog().told_of(PhotoId(1)).unwrap()[0].told_at.unix_ms();
    assert!(told < there.now().unix_ms() + 60_000, "{told}");
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

#[test]
fn what_killed_commands_have_left_goes_with_the_next_one() {
    let shell = Shell::alone().with_home();
    shell.write("home/arriving-aB3xYz/lock", b"");
    shell.write("home/arriving-aB3xYz/catalog.sqlite", b"half");
    shell.write("out/.tongkuan-new-aB3xYz/lock", b"");
    shell.write("out/.tongkuan-new-aB3xYz/catalog.sqlite", b"half");
    shell.write("out/.tongkuan-new-bC4xYz", b"half of an export");
    shell.write("out/.tongkuan-trash/1/a.jpg", b"a user's picture");
    assert_eq!(shell.run(&["backup", "out/b.sqlite"]).status, 0);
    assert_eq!(shell.run(&["restore", "--force", "out/b.sqlite"]).status, 0);
    let names = |folder: &str| {
        let entries = fs::read_dir(shell.path(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names("out"), [".tongkuan-trash", "b.sqlite"]);
    assert!(!names("home").iter().any(|name| name.starts_with("arriving-")), "{:?}", names("home"));
}
