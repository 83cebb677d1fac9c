//! `tongkuan check`: shards and folders of them.

use serde_json::Value;

use super::Shell;
use super::input::tarred;
use crate::fakes::png;

fn of(lines: &[Value], name: &str) -> Vec<String> {
    lines.iter().map(|line| line[name].as_str().unwrap_or("-").to_owned()).collect()
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
fn a_damaged_description_of_a_sample_is_named() {
    let shell = Shell::alone().with_home();
    shell.write("s.tar", &tarred(&[("1.png", &png(1)), ("1.json", b"{")]));
    let ran = shell.run(&["check", "--key", "sku", "s.tar"]);
    assert_eq!(of(&ran.lines(), "code"), ["sample_json"]);
    assert!(ran.err.contains("1.json, in which the key stands, is no JSON object"), "{}", ran.err);
}
