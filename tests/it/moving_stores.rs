//! Backups and exports go between homes in folders and in databases: a file is the same, whichever store it is of.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use serde_json::Value;
use tongkuan::catalog::moving::{MoveError, MoveOptions, MovedTable};
use tongkuan::clock::Timestamp;
use tongkuan::home::Home;
use tongkuan::store::{Paid, PaidAnswer};

use crate::cli::{Shell, text};
use crate::fakes::{offer, png};
use crate::move_home::{big_source, moved, source};
use crate::moving::{answers, backed_up, damaged, exported, filled, imported, in_parquet, restored};
use crate::postgres_home::PostgresHome;
use crate::store::{Made, NOW, answered, store_photo};

/// What is in all tables of a home.
fn tables(home: &Home) -> Vec<MovedTable> {
    let copy = tempfile::tempdir().unwrap();
    moved(home, &Home::from(copy.path().join("copy"))).unwrap().tables
}

/// The lines of an export, to be compared without filling the screen.
fn lines(bytes: &[u8]) -> BTreeMap<String, Vec<String>> {
    let mut tables = BTreeMap::<_, Vec<String>>::new();
    for line in String::from_utf8(bytes.to_vec()).unwrap().lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let table = value["table"].as_str().unwrap_or("header").to_owned();
        tables.entry(table).or_default().push(line.to_owned());
    }
    tables
}

/// Whether no file on its way into a database is left beside it.
fn is_tidy(home: &Home) -> bool {
    let mut names = home.folder().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    names.all(|name| !name.to_string_lossy().starts_with("arriving"))
}

#[test]
fn a_backup_goes_from_a_folder_into_a_database_and_back_and_every_table_is_the_same() {
    let Some(database) = PostgresHome::new() else { return };
    let (bench, place) = (source(), tempfile::tempdir().unwrap());
    let (folder, between) = (Home::from(bench.home.path()), database.worker("between"));
    let before = tables(&folder);
    let empty: Vec<_> = before.iter().filter(|table| table.rows == 0).map(|table| table.table).collect();
    assert!(empty.is_empty(), "the test has nothing in {empty:?}");
    let (there, back) = (place.path().join("there.sqlite"), place.path().join("back.sqlite"));
    let written = backed_up(folder.clone(), &there).unwrap();
    let (counts, replaced) = restored(&there, between.clone(), false).unwrap();
    assert_eq!((counts.photos, counts.offers, replaced), (written.photos, written.offers, None));
    assert_eq!(tables(&between), before);
    let again = backed_up(between.clone(), &back).unwrap();
    assert_eq!(
        (again.photos, again.own_goods, again.answers),
        (written.photos, written.own_goods, written.answers)
    );
    assert!(matches!(backed_up(between.clone(), &back), Err(MoveError::Exists { .. })));
    let returned = Home::from(place.path().join("home"));
    restored(&back, returned.clone(), false).unwrap();
    assert_eq!(tables(&returned), before);
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "nothing is left beside the files: {left:?}");
    assert!(is_tidy(&between), "nothing is left beside the database");
    let known = answers(&bench, bench.home.path());
    assert_eq!(answers(&bench, between.clone()), known);
    assert_eq!(answers(&bench, returned), known);
    // Numbers of photos that are gone are not given again.
    let next = bench.builder_on(between).open().unwrap().add_own(&offer("Z"), &png(99), "z.png").unwrap();
    assert!(next.photo_id.0 > 9, "{next:?}");
}

#[test]
fn an_export_is_the_same_byte_for_byte_whichever_store_it_is_of() {
    let Some(database) = PostgresHome::new() else { return };
    let (bench, place) = (source(), tempfile::tempdir().unwrap());
    let between = database.worker("between");
    let there = exported(bench.home.path());
    imported(&there, between.clone()).unwrap();
    let again = exported(between.clone());
    assert_eq!(lines(&again), lines(&there));
    let returned = place.path().join("home");
    imported(&again, returned.clone()).unwrap();
    assert_eq!(exported(returned.clone()), there);
    let known = answers(&bench, bench.home.path());
    assert_eq!(answers(&bench, between), known);
    assert_eq!(answers(&bench, returned), known);
}

#[test]
fn parquet_files_go_from_a_folder_into_a_database_and_back() {
    let (Some(one), Some(other)) = (PostgresHome::new(), PostgresHome::new()) else { return };
    let (bench, place) = (source(), tempfile::tempdir().unwrap());
    let (files, again) = (place.path().join("files"), place.path().join("again"));
    let before = exported(bench.home.path());
    in_parquet(bench.home.path(), &files);
    let (imported, replaced) = one.worker("one").import_parquet(&files, false, &mut |_, _, _| {}).unwrap();
    assert_eq!((imported.photos, replaced), (8, None));
    assert_eq!(lines(&exported(one.worker("one"))), lines(&before));
    in_parquet(one.worker("one"), &again);
    other.worker("other").import_parquet(&again, false, &mut |_, _, _| {}).unwrap();
    assert_eq!(lines(&exported(other.worker("other"))), lines(&before));
}

/// Others store photos while a home is written to files.
fn is_of_one_moment(home: &Home) {
    let place = tempfile::tempdir().unwrap();
    let writer = home.open(|_| {}, |_| {}).unwrap();
    let before = writer.photo_count().unwrap();
    let mut seed = 100;
    let mut store_one = || {
        seed += 1;
        store_photo(writer.as_ref(), seed);
    };
    let mut bytes = Vec::new();
    let now = Timestamp::from_unix_ms(0);
    let written = home.export(&mut bytes, now, &mut |_| store_one()).unwrap();
    assert_eq!(written.photos, before);
    let lines = lines(&bytes);
    for table in ["photos", "embeddings"] {
        assert_eq!(lines[table].len() as u64, before, "{table}");
    }
    let now_there = writer.photo_count().unwrap();
    assert!(now_there > before + 10, "they were stored meanwhile");
    let in_files = home.export_parquet(&place.path().join("files"), now, &mut |_| store_one()).unwrap();
    assert_eq!(in_files.photos, now_there);
    let now_there = writer.photo_count().unwrap();
    let mut has_written = false;
    let counts = home.backup(&place.path().join("b.sqlite"), false, &mut |_, _, _| {
        if !has_written {
            store_one();
        }
        has_written = true;
    });
    assert_eq!(counts.unwrap().photos, now_there);
    assert_eq!(writer.photo_count().unwrap() > now_there, has_written);
}

#[test]
fn files_of_a_folder_that_others_write_to_are_of_one_moment() {
    let bench = filled();
    is_of_one_moment(&Home::from(bench.home.path()));
}

#[test]
fn files_of_a_database_that_others_write_to_are_of_one_moment() {
    let Some(database) = PostgresHome::new() else { return };
    let home = database.worker("used");
    imported(&exported(filled().home.path()), home.clone()).unwrap();
    is_of_one_moment(&home);
}

#[test]
fn an_import_into_a_database_that_was_stopped_goes_on_and_another_file_begins_anew() {
    let Some(database) = PostgresHome::new() else { return };
    let (one, other) = (exported(source().home.path()), exported(filled().home.path()));
    let home = database.worker("stopped");
    // Stops in the midst of the tables, and tells how much had come when it began, with the first page, and when it ended.
    let stopped = |bytes: &[u8]| {
        let (mut first, mut last) = (None, 0);
        let mut left = 30;
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            home.import(Cursor::new(bytes), false, &mut |what, done, _| {
                if what == "moving" {
                    first.get_or_insert(done);
                    last = done;
                    left -= 1;
                    if left == 0 {
                        resume_unwind(Box::new("stopped"));
                    }
                }
            })
        }));
        assert!(stopped.is_err() && !home.is_there().unwrap(), "half of a home is none");
        (first.unwrap(), last)
    };
    let (_, came) = stopped(&one);
    assert!(came > 20, "{came}");
    assert_eq!(stopped(&one).0, came, "it goes on behind what came");
    let (first, _) = stopped(&other);
    assert!(first < came, "another file begins anew: {first}");
    imported(&one, home.clone()).unwrap();
    assert_eq!(lines(&exported(home.clone())), lines(&one));
    assert_eq!(database.schemas(), [""], "nothing is left of the others");
}

#[test]
fn what_a_move_has_left_is_not_thrown_away_by_an_import() {
    let Some(database) = PostgresHome::new() else { return };
    let (bench, home) = (source(), database.worker("target"));
    let stopped = catch_unwind(AssertUnwindSafe(|| {
        Home::from(bench.home.path()).move_to(&home, MoveOptions::default(), &mut |_, _, _| {
            resume_unwind(Box::new("stopped"));
        })
    }));
    assert!(stopped.is_err());
    let refused = imported(&exported(bench.home.path()), home.clone());
    assert!(matches!(refused, Err(MoveError::Unfinished { .. })), "{refused:?}");
    moved(&Home::from(bench.home.path()), &home).unwrap();
}

#[test]
fn an_import_and_a_restore_that_are_killed_at_any_moment_are_run_again_and_lose_nothing() {
    let (Some(imports), Some(restores)) = (PostgresHome::new(), PostgresHome::new()) else { return };
    let bench = big_source();
    let shell = Shell::alone();
    let bytes = exported(bench.home.path());
    shell.write("e.ndjson", &bytes);
    backed_up(bench.home.path(), &shell.path("b.sqlite")).unwrap();
    for (command, file, database) in [("import", "e.ndjson", &imports), ("restore", "b.sqlite", &restores)] {
        let address = database.text("killed");
        let args = [command, file, "--home", &address, "--json"];
        let home = database.worker("killed");
        for round in 1..40_u64 {
            let mut child = shell.command(&args).stdout(std::process::Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(25 * round));
            child.kill().unwrap();
            child.wait().unwrap();
            // It may have been killed when all was done, before it was said.
            if home.is_there().unwrap() {
                break;
            }
        }
        if !home.is_there().unwrap() {
            assert_eq!(shell.run(&args).status, 0, "{command}");
        }
        assert_eq!(lines(&exported(home)), lines(&bytes), "{command}");
        assert_eq!(database.schemas(), [""], "{command}");
    }
}

#[test]
fn a_damaged_file_is_refused_by_a_database_and_leaves_no_half_home() {
    let Some(database) = PostgresHome::new() else { return };
    let (bench, place) = (filled(), tempfile::tempdir().unwrap());
    let home = database.worker("damaged");
    let file = place.path().join("b.sqlite");
    backed_up(bench.home.path(), &file).unwrap();
    let (whole, text) = (fs::read(&file).unwrap(), exported(bench.home.path()));
    let refuse_all = |force: bool| {
        for (what, bytes) in damaged(&whole) {
            fs::write(&file, bytes).unwrap();
            let refused = restored(&file, home.clone(), force);
            assert!(matches!(refused, Err(MoveError::NotSound { .. })), "{what}: {refused:?}");
        }
        let middle = text.len() / 2;
        let mut torn = text.clone();
        torn[middle] ^= 1;
        for bytes in [&text[..middle], &torn[..], &b""[..]] {
            let refused = home.import(Cursor::new(bytes), force, &mut |_, _, _| {});
            assert!(refused.is_err());
        }
        assert!(is_tidy(&home), "nothing is left beside the database");
    };
    refuse_all(false);
    assert!(!home.is_there().unwrap() && database.schemas().is_empty());
    fs::write(&file, &whole).unwrap();
    restored(&file, home.clone(), false).unwrap();
    refuse_all(true);
    assert_eq!(database.schemas(), [""]);
    assert_eq!(lines(&exported(home)), lines(&text), "the home that was there stays");
}

#[test]
fn a_home_in_a_database_is_replaced_only_where_that_was_said_and_nobody_uses_it_and_is_kept() {
    let Some(database) = PostgresHome::new() else { return };
    let (old, new) = (filled(), source());
    let place = tempfile::tempdir().unwrap();
    let home = database.worker("replaced");
    imported(&exported(old.home.path()), home.clone()).unwrap();
    let file = place.path().join("b.sqlite");
    backed_up(new.home.path(), &file).unwrap();
    let before = tables(&home);
    let refused = restored(&file, home.clone(), false);
    assert!(
        matches!(&refused, Err(MoveError::Exists { path }) if text(path).contains("schema=")),
        "{refused:?}"
    );
    let others = home.open(|_| {}, |_| {}).unwrap();
    let refused = restored(&file, home.clone(), true);
    assert!(matches!(refused, Err(MoveError::InUse { .. })), "{refused:?}");
    assert_eq!(others.photo_count().unwrap(), 7);
    drop(others);
    let (_, replaced) = restored(&file, home.clone(), true).unwrap();
    let replaced = replaced.unwrap();
    assert!(text(&replaced).ends_with("_replaced_1"), "{replaced:?}");
    assert_eq!(database.schemas(), ["", "_replaced_1"]);
    assert_eq!(tables(&home), tables(&Home::from(new.home.path())));
    let kept = Home::parse(database.text("kept").replacen("&folder=", "_replaced_1&folder=", 1)).unwrap();
    assert_eq!(tables(&kept), before);
}

#[test]
fn tables_of_others_are_never_replaced() {
    let Some(database) = PostgresHome::new() else { return };
    let home = database.worker("others");
    let outside = &mut database.outside();
    outside
        .batch_execute(&format!("CREATE SCHEMA {0}; CREATE TABLE {0}.theirs ()", database.schema()))
        .unwrap();
    let bytes = exported(filled().home.path());
    for force in [false, true] {
        let refused = home.import(Cursor::new(&bytes), force, &mut |_, _, _| {});
        assert!(matches!(refused, Err(MoveError::TargetUsed { .. })), "{refused:?}");
    }
    assert_eq!(database.schemas(), [""]);
}

#[test]
fn what_was_paid_for_and_waits_beside_a_database_is_part_of_its_backup() {
    let Some(database) = PostgresHome::new() else { return };
    let place = tempfile::tempdir().unwrap();
    let home = database.worker("waits");
    imported(&exported(filled().home.path()), home.clone()).unwrap();
    let before = backed_up(home.clone(), &place.path().join("before.sqlite")).unwrap();
    let store = home.open(|_| {}, |_| {}).unwrap();
    let (made, offers) = (Made::of(77), [offer("9")]);
    let paid = PaidAnswer::new(made.bytes, None, Some(&made.photo()), &answered(&offers, NOW)).unwrap();
    assert!(store.set_aside(Paid::Answer(paid)));
    drop(store);
    let after = backed_up(home, &place.path().join("after.sqlite")).unwrap();
    assert_eq!(after.answers, before.answers + 1);
}

#[test]
fn the_commands_say_the_same_of_a_database_as_of_a_folder() {
    let Some(database) = PostgresHome::new() else { return };
    let shell = Shell::alone();
    let address = database.text("commands");
    shell.write("goods/a.png", &png(1));
    shell.write("goods/b.png", &png(2));
    assert_eq!(shell.run(&["add", "goods"]).status, 0);
    assert_eq!(shell.run(&["backup", "b.sqlite"]).status, 0);
    let ran = shell.run(&["restore", "b.sqlite", "--home", &address, "--json"]);
    assert_eq!(
        (ran.json()["counts"]["own_goods"].as_u64(), ran.json()["replaced"].is_null()),
        (Some(2), true),
        "{ran:?}"
    );
    let in_folder = shell.run(&["export", "-"]);
    let in_database = shell.run(&["export", "-", "--home", &address]);
    assert_eq!(in_database.err, in_folder.err);
    let rows = |out: &str| out.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let without_end = |out: &str| rows(out).into_iter().rev().skip(1).collect::<Vec<_>>();
    assert_eq!(without_end(&in_database.out), without_end(&in_folder.out));
    let ran = shell.run(&["backup", "again.sqlite", "--home", &address, "--json"]);
    assert_eq!((ran.status, ran.json()["counts"]["photos"].as_u64()), (0, Some(2)), "{ran:?}");
    let ran = shell.run(&["backup", "again.sqlite", "--home", &address]);
    assert!(ran.status == 2 && ran.err.contains("--force"), "{ran:?}");
    let ran = shell.run(&["export", "files", "--parquet", "--home", &address]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let ran = shell.run(&["import", "files", "--home", &address]);
    assert!(ran.status == 2 && ran.err.contains("--force"), "{ran:?}");
    let ran = shell.run(&["import", "files", "--home", &address, "--force", "--json"]);
    assert_eq!(ran.json()["imported"]["photos"], 2, "{ran:?}");
    assert!(ran.json()["replaced"].as_str().unwrap().ends_with("_replaced_1"), "{ran:?}");
    let ran = shell.run(&["search", "--offline", "--json", "--home", &address, "goods/a.png"]);
    assert_eq!((ran.status, ran.json()["verdict"].as_str()), (0, Some("hit")), "{ran:?}");
    let nowhere = database.text("nowhere").replacen("&folder=", "x&folder=", 1);
    let ran = shell.run(&["backup", "n.sqlite", "--home", &nowhere]);
    assert!(ran.status == 2 && ran.err.contains("there is no home at"), "{ran:?}");
    assert!(!shell.path("n.sqlite").exists());
}
