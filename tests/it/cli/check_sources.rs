//! `tongkuan check`: which source a row is from, shards and folders of them, and files of rows in Parquet.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;
use tongkuan::catalog::Catalog;

use super::input::tarred;
use super::{Shell, text};
use crate::fakes::png;

fn of(lines: &[Value], name: &str) -> Vec<String> {
    lines.iter().map(|line| line[name].as_str().unwrap_or("-").to_owned()).collect()
}

/// A Parquet file with columns of bytes: their values, and the level of each row. Without columns it has no rows.
fn parquet_of(path: &Path, schema: &str, columns: &[(&[&[u8]], &[i16])]) {
    let schema = Arc::new(parse_message_type(&format!("message m {{ {schema} }}")).unwrap());
    let mut writer =
        SerializedFileWriter::new(fs::File::create(path).unwrap(), schema, Arc::default()).unwrap();
    let mut group = (!columns.is_empty()).then(|| writer.next_row_group().unwrap());
    for (values, levels) in columns {
        let values: Vec<ByteArray> = values.iter().map(|value| ByteArray::from(value.to_vec())).collect();
        let mut column = group.as_mut().unwrap().next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(levels), None).unwrap();
        column.close().unwrap();
    }
    group.map(|group| group.close().unwrap());
    writer.close().unwrap();
}

#[test]
fn lines_and_complaints_tell_the_folder_or_archive_of_a_row() {
    let shell = Shell::alone().with_home();
    let damaged = &png(1)[..60];
    for folder in ["fa", "fb"] {
        shell.write(&format!("{folder}/1.png"), damaged);
        shell.write(&format!("{folder}.tar"), &tarred(&[("s/1.png", damaged), ("s/1.cls", b"7")]));
    }
    shell.write("l.csv", b"path,id\nno.png,A\n");
    let ran = shell.run(&["check", "fa", "fb", "fa.tar", "fb.tar", "l.csv", "no-such"]);
    assert_eq!(ran.status, 2, "{ran:?}");
    let lines = ran.lines();
    assert_eq!(of(&lines, "id"), ["1.png", "1.png", "s/1", "s/1", "A", "no-such"]);
    let places = ["fa/1.png", "fb/1.png", "fa.tar/s/1.png", "fb.tar/s/1.png", "l.csv:2", "no-such"];
    assert_eq!(of(&lines, "source"), places);
    for place in places {
        assert_eq!(ran.err.matches(&format!("{place}: ")).count(), 1, "{place}: {}", ran.err);
    }
}

#[test]
fn pictures_of_one_sample_have_ids_of_their_own_and_one_key() {
    let shell = Shell::alone();
    let (front, back) = (png(1), png(2));
    let shard = [
        ("0.front.png", &front[..]),
        ("0.back.PNG", &back),
        ("0.json", b"{\"sku\":\"S-0\"}"),
        ("1.png", &front),
        ("1.json", b"{"),
    ];
    shell.write("s.tar", &tarred(&shard));
    let lines = shell.run(&["check", "--add", "s.tar"]).lines();
    assert_eq!(of(&lines, "id"), ["0.front.png", "0.back.PNG", "1"]);
    assert_eq!(of(&lines, "key"), ["0", "0", "1"]);
    assert_eq!(of(&lines, "matched_label")[2], "0");
    let ran = shell.run(&["check", "--key", "sku", "s.tar"]);
    assert_eq!(of(&ran.lines(), "id"), ["0.front.png", "0.back.PNG", "1"]);
    assert_eq!(of(&ran.lines(), "key"), ["S-0", "S-0", "1"]);
    assert_eq!(of(&ran.lines(), "code"), ["-", "-", "sample_json"]);
    assert!(
        ran.err.contains("s.tar/1.png: 1.json, in which the key stands, is no JSON object"),
        "{}",
        ran.err
    );
    // As goods they are pictures of one.
    shell.write("goods.tar", &tarred(&shard[..3]));
    let added = shell.run(&["--json", "add", "goods.tar"]).lines();
    assert_eq!(of(&added, "id"), ["0", "0"]);
    // Lines of an earlier version, which called them as their sample.
    let told = r#"{"row":0,"id":"0","outcome":"new"}"#;
    shell.write("o.ndjson", format!("{told}\n{}\n", told.replacen('0', "1", 1)).as_bytes());
    let args = ["check", "--out", "o.ndjson", "--resume", "s.tar"];
    assert_eq!(shell.run(&args).status, 0);
    assert_eq!(fs::read_to_string(shell.path("o.ndjson")).unwrap().lines().count(), 3);
    shell.write("other.tar", &tarred(&[("7.front.png", &front[..]), ("7.back.png", &back), ("7.cls", b"1")]));
    let other = shell.run(&["check", "--out", "o.ndjson", "--resume", "other.tar"]);
    assert!(other.status == 2 && other.err.contains("name the same sources"), "{other:?}");
}

#[test]
fn a_folder_of_archives_alone_is_an_error_and_those_beside_pictures_are_told_of() {
    let shell = Shell::alone();
    let picture = png(1);
    for name in ["shards/train/0.tar", "shards/train/1.tar"] {
        shell.write(name, &tarred(&[("0.png", &picture)]));
    }
    for command in [&["check", "--add"][..], &["add"]] {
        let ran = shell.run(&[command, &["shards"]].concat());
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(
            ran.err.contains("(2) and no picture") && ran.err.contains("such as shards/train/*.tar"),
            "{}",
            ran.err
        );
    }
    assert_eq!(shell.run(&["--json", "check", "--add", "shards"]).json()["code"], "archives_in_folder");
    shell.write("a.png", &picture);
    let lines = shell.run(&["check", "--add", "a.png", "shards"]).lines();
    assert_eq!(of(&lines, "code"), ["-", "archives_in_folder"]);
    // Documents are no archives to a person.
    shell.write("docs/a.docx", b"PK\x03\x04");
    assert_eq!(shell.run(&["check", "docs"]).status, 0);
    shell.write("shards/a.png", &picture);
    shell.write("shards/list.parquet", b"PAR1\x15");
    let ran = shell.run(&["check", "shards"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.err.contains("shards: archives or Parquet files in it (3) are not opened"), "{}", ran.err);
    assert!(ran.err.contains("3 skipped: 1 Parquet, 2 tar"), "{}", ran.err);
}

#[test]
fn a_row_of_a_parquet_file_is_called_by_its_path_and_its_column() {
    let shell = Shell::alone();
    let (one, two) = (png(1), png(2));
    let image = "OPTIONAL group image { OPTIONAL BYTE_ARRAY bytes; OPTIONAL BYTE_ARRAY path (STRING); }";
    let columns: [(&[&[u8]], &[i16]); 2] = [(&[&one, &two], &[2, 2, 0]), (&[b"./x/1.png"], &[2, 1, 0])];
    parquet_of(&shell.path("in.parquet"), image, &columns);
    let ran = shell.run(&["check", "--add", "in.parquet"]);
    let lines = ran.lines();
    assert_eq!(of(&lines, "id"), ["x/1.png", "in.parquet:2", "in.parquet:3"]);
    assert_eq!(of(&lines, "source"), ["in.parquet:1", "in.parquet:2", "in.parquet:3"]);
    assert!(ran.err.contains("in.parquet:3: field \"image\" is empty"), "{}", ran.err);
    // A good needs a name that other files do not have.
    let added = shell.run(&["--json", "add", "in.parquet"]).lines();
    assert_eq!(of(&added, "id")[0], "in.parquet:1");
}

#[test]
fn a_parquet_file_whose_columns_are_not_known_says_which_there_are_and_how_to_name_one() {
    let shell = Shell::alone().with_home();
    let picture = png(1);
    let nested = "OPTIONAL group item { OPTIONAL group shot { OPTIONAL BYTE_ARRAY bytes; } }";
    let columns: [(&[&[u8]], &[i16]); 1] = [(&[&picture], &[3])];
    parquet_of(&shell.path("nested.parquet"), nested, &columns);
    let ran = shell.run(&["--json", "check", "nested.parquet"]);
    assert_eq!((ran.status, &ran.json()["code"]), (2, &"no_picture_column".into()), "{ran:?}");
    assert!(ran.err.contains("(there are: item.shot.bytes)") && ran.err.contains("--column"), "{}", ran.err);
    assert_eq!(shell.run(&["check", "--column", "item.shot.bytes", "nested.parquet"]).status, 0);
    let list = "OPTIONAL group images (LIST) { REPEATED group list { OPTIONAL group element {
        OPTIONAL BYTE_ARRAY bytes; OPTIONAL BYTE_ARRAY path; } } }";
    parquet_of(&shell.path("list.parquet"), list, &[]);
    let ran = shell.run(&["check", "list.parquet"]);
    assert!(ran.status == 2 && ran.err.contains("images [a list: not read"), "{ran:?}");
}

#[test]
fn a_complete_parquet_file_ends_as_its_run_did_and_is_that_of_its_sources_alone() {
    let shell = Shell::alone();
    shell.write("a.png", &png(1));
    shell.write("b.png", &png(2));
    let list = b"{\"path\":\"a.png\",\"id\":\"A\"}\n{\"path\":\"gone.png\",\"id\":\"G\"}\n{\"path\":\"b.png\",\"id\":\"B\"}\n";
    shell.write("l.ndjson", list);
    for columns in ["row,id,outcome", "id", "row,key", "score"] {
        let args = ["check", "--columns", columns, "--add", "--out", "o.parquet", "--resume", "l.ndjson"];
        assert_eq!(shell.run(&args).status, 2, "{columns}");
        let again = shell.run(&args);
        assert!(
            again.status == 2 && again.err.contains("complete: 3 rows, 1 failed"),
            "{columns}: {again:?}"
        );
        let mut others: Vec<&[u8]> = list.split_inclusive(|byte| *byte == b'\n').collect();
        others.swap(0, 2);
        shell.write("l.ndjson", &others.concat());
        let other = shell.run(&args);
        if columns.contains("id") {
            let why = "row 0 is B, and was A in the run that is to be resumed: name the same sources";
            assert!(other.status == 2 && other.err.contains(why), "{columns}: {other:?}");
        }
        shell.write("l.ndjson", list);
        fs::remove_file(shell.path("o.parquet")).unwrap();
    }
    shell.write("l.ndjson", &list[..list.iter().position(|byte| *byte == b'\n').unwrap()]);
    let fine = ["check", "--out", "fine.parquet", "--resume", "l.ndjson"];
    assert_eq!((shell.run(&fine).status, shell.run(&fine).status), (0, 0));
}

#[test]
fn what_a_run_left_that_was_killed_when_its_parquet_file_was_there_is_taken_away() {
    let shell = Shell::alone();
    shell.write("a.png", &png(1));
    let lines = shell.run(&["check", "--add", "a.png"]).out;
    let args = ["check", "--add", "--out", "o.parquet", "--resume", "a.png"];
    assert_eq!(shell.run(&args).status, 0);
    let partial = shell.write("o.parquet.partial", lines.as_bytes());
    let name = partial.canonicalize().unwrap();
    let runs = || {
        let catalog = rusqlite::Connection::open(shell.path("home/catalog.sqlite")).unwrap();
        catalog.query_row("SELECT count(*) FROM check_runs", [], |row| row.get::<_, u64>(0)).unwrap()
    };
    let catalog = Catalog::open(&shell.path("home")).unwrap();
    catalog.check_run(text(&name), false, tongkuan::timestamp::Timestamp::from_unix_ms(0)).unwrap();
    drop(catalog);
    assert_eq!(runs(), 1);
    assert_eq!(shell.run(&args).status, 0);
    assert!(!partial.exists());
    assert_eq!(runs(), 0);
    // Lines of a run that has not come to its end stay.
    shell.write("o.parquet.partial", lines.repeat(2).replacen("\"row\":0", "\"row\":1", 1).as_bytes());
    assert_eq!(shell.run(&args).status, 0);
    assert!(partial.exists());
}

#[test]
fn a_complete_parquet_file_exits_1_where_rows_were_not_asked_about() {
    let shell = Shell::with_sandbox();
    let goods = [shell.good(0, "0.jpg"), shell.good(1, "1.jpg")];
    let args = ["check", "--add", "--ask", "--daily-budget", "1", "--out", "o.parquet", "--resume"];
    let args = [&args[..], &[text(&goods[0]), text(&goods[1])]].concat();
    assert_eq!(shell.run(&args).status, 1);
    let again = shell.run(&args);
    assert!(again.status == 1 && again.err.contains("0 failed, 1 wait for"), "{again:?}");
}
