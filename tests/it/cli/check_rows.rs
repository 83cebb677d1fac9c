//! `tongkuan check`: which rows there are, in which order, with which ids and keys.

use std::fs;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;

use super::input::tarred;
use super::{Shell, text};
use crate::fakes::png;

fn of(lines: &[Value], name: &str) -> Vec<String> {
    lines.iter().map(|line| line[name].as_str().unwrap_or("-").to_owned()).collect()
}

#[test]
fn prices_titles_and_categories_that_are_no_yuan_numbers_or_texts_do_not_matter() {
    let shell = Shell::alone();
    shell.write("a.png", &png(1));
    shell.write("us.csv", b"sku,image,price\nA1,a.png,USD 12.99\n");
    shell.write(
        "odd.ndjson",
        b"{\"path\":\"a.png\",\"id\":\"B1\",\"title\":{\"en\":\"x\"},\"category_ids\":[\"Shoes\"],\"price\":{\"amount\":3}}\n",
    );
    for (file, id) in [("us.csv", "A1"), ("odd.ndjson", "B1")] {
        let ran = shell.run(&["check", "--add", file]);
        assert_eq!(ran.status, 0, "{ran:?}");
        assert_eq!(of(&ran.lines(), "id"), [id]);
        // Where they are stored as goods, they do.
        assert_eq!(shell.run(&["add", file]).status, 2);
    }
}

#[test]
fn pictures_in_an_archive_come_in_its_order() {
    let shell = Shell::alone();
    let (one, two) = (png(1), png(2));
    shell.write("to.tar", &tarred(&[("z.png", &one), ("a.png", &one), ("m.png", &two)]));
    let lines = shell.run(&["check", "--add", "to.tar"]).lines();
    assert_eq!(of(&lines, "id"), ["z.png", "a.png", "m.png"]);
    assert_eq!(of(&lines, "outcome")[..2], ["new", "seen"]);
}

#[test]
fn a_row_that_cannot_be_used_keeps_the_id_and_the_key_that_it_gives() {
    let shell = Shell::alone();
    shell.write("a.png", &png(1));
    shell.write(
        "l.ndjson",
        b"{\"path\":\"\",\"id\":\"A\"}\n{\"id\":\"B\"}\n{\"path\":\"a.png\",\"id\":\"C\"}\n",
    );
    let lines = shell.run(&["check", "--add", "l.ndjson"]).lines();
    assert_eq!(of(&lines, "id"), ["A", "B", "C"]);
    assert_eq!(of(&lines, "key"), ["A", "B", "C"]);
    assert_eq!(of(&lines, "outcome"), ["error", "error", "new"]);
    // A sample whose description is broken.
    let picture = png(1);
    shell.write("s.tar", &tarred(&[("s5.png", &picture), ("s5.json", b"{broken")]));
    assert_eq!(of(&shell.run(&["check", "--key", "sku", "s.tar"]).lines(), "id"), ["s5"]);
}

#[test]
fn a_column_that_no_row_has_is_named() {
    let shell = Shell::alone().with_home();
    shell.write("a.png", &png(1));
    shell.write("l.ndjson", b"{\"path\":\"a.png\",\"k\":1}\n{\"path\":\"a.png\",\"k\":\"\"}\n");
    let ran = shell.run(&["check", "--column", "nosuch", "l.ndjson"]);
    let lines = ran.lines();
    assert_eq!(of(&lines, "code"), ["row_no_column"; 2]);
    assert!(ran.err.contains("no field is called \"nosuch\" (there are: k, path)"), "{}", ran.err);
    let ran = shell.run(&["check", "--key", "nosuch", "l.ndjson"]);
    assert!(ran.err.contains("no row has a column \"nosuch\""), "{}", ran.err);
    let ran = shell.run(&["check", "--key", "k", "l.ndjson"]);
    assert_eq!(of(&ran.lines(), "key"), ["1", "-"], "an empty one is none");
    assert!(!ran.err.contains("no row has"), "{}", ran.err);
}

#[cfg(unix)]
#[test]
fn files_are_named_as_they_are_named() {
    use std::os::unix::ffi::OsStrExt as _;
    let shell = Shell::alone().with_home();
    let names = [&b"a\\b.png"[..], b"a/b.png", b"\xff9.png", b"end "].map(std::ffi::OsStr::from_bytes);
    fs::create_dir(shell.path("a")).unwrap();
    let mut command = shell.command(&["check"]);
    for name in names {
        fs::write(shell.folder.path().join(name), png(1)).unwrap();
        command.arg(name);
    }
    let out = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(of(&lines, "id"), ["a\\b.png", "a/b.png", "\\xff9.png", "end "]);
}

#[test]
fn a_parquet_file_may_have_paths_where_it_has_no_bytes() {
    let shell = Shell::alone().with_home();
    shell.write("a.png", &png(1));
    let schema = "message m { OPTIONAL group image { OPTIONAL BYTE_ARRAY bytes; OPTIONAL BYTE_ARRAY path (STRING); } }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = fs::File::create(shell.path("in.parquet")).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (values, levels) in
        [(vec![ByteArray::from(png(2))], [2, 1, 1]), (vec![ByteArray::from("a.png")], [1, 2, 1])]
    {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let lines = shell.run(&["check", "in.parquet"]).lines();
    assert_eq!(of(&lines, "code"), ["-", "-", "row_empty_picture"], "{lines:?}");
    assert_eq!(of(&lines, "id")[1], "a.png");
}

#[test]
fn a_complete_parquet_file_is_not_taken_for_that_of_a_longer_list() {
    let shell = Shell::alone();
    shell.write("a.png", &png(1));
    shell.write("b.png", &png(2));
    shell.write("l.txt", b"a.png\n");
    let args = ["check", "--add", "--out", "o.parquet", "--resume", "l.txt"];
    assert_eq!(shell.run(&args).status, 0);
    let again = shell.run(&args);
    assert!(again.status == 0 && again.err.contains("is complete"), "{again:?}");
    shell.write("l.txt", b"a.png\nb.png\n");
    let longer = shell.run(&args);
    assert!(longer.status == 2 && longer.err.contains("complete with 1 rows, and there are 2"), "{longer:?}");
}

#[test]
fn an_address_has_a_code_when_nothing_may_be_fetched() {
    let shell = Shell::alone().with_home();
    shell.write("l.ndjson", b"{\"url\":\"http://127.0.0.1:9/a.jpg\"}\n");
    let ran = shell.run(&["check", "--offline", "l.ndjson"]);
    assert_eq!(of(&ran.lines(), "code"), ["offline"], "{ran:?}");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_replaced() {
    let shell = Shell::alone().with_home();
    shell.write("pa/a.png", &png(1));
    let pipe = shell.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for args in [
        &["export", "--force", text(&pipe)][..],
        &["backup", "--force", text(&pipe)],
        &["scan", "pa", "--html", text(&pipe)],
    ] {
        let ran = shell.run(args);
        assert!(ran.status == 2 && ran.err.contains("is a device, a pipe or a socket"), "{args:?}: {ran:?}");
        assert!(!fs::metadata(&pipe).unwrap().is_file());
    }
}

#[test]
fn two_exports_in_one_file_are_refused() {
    let shell = Shell::alone();
    shell.write("a.png", &png(1));
    assert_eq!(shell.run(&["add", "a.png"]).status, 0);
    assert_eq!(shell.run(&["export", "e.ndjson"]).status, 0);
    let export = fs::read(shell.path("e.ndjson")).unwrap();
    for (name, after, status) in [("two", &export[..], 2), ("odd", b"x", 2), ("ends", b"\n\n", 0)] {
        let (file, home) = (format!("{name}.ndjson"), format!("of-{name}"));
        shell.write(&file, &[&export, after].concat());
        let ran = shell.run(&["--home", &home, "import", &file]);
        assert_eq!(ran.status, status, "{name}: {ran:?}");
        assert!(status == 0 || ran.err.contains("something follows the end"), "{name}: {}", ran.err);
    }
}
