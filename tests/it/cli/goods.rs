//! `add`: own goods from NDJSON and from a folder.

use super::{Shell, text};
use crate::fakes::png;

#[test]
fn bad_lines_are_named_and_the_good_ones_are_stored() {
    let shell = Shell::alone();
    shell.write("pictures/a.png", &png(1));
    shell.write("pictures/b.png", &png(2));
    shell.write("pictures/bad.png", b"no picture");
    let lines = r#"{"path":"a.png","id":"A-1","title":"杯子","price":"59.00"}
{"path":"bad.png","id":"B-1"}
not json at all

{"path":"no-such.png","id":"C-1"}
{"path":"b.png","id":"D\u0007"}
{"path":"b.png","id":"E-1","price":"red"}
{"path":"b.png","id":"F-1"}
"#;
    let list = shell.write("pictures/goods.ndjson", lines.as_bytes());
    let ran = shell.run(&["--json", "add", text(&list)]);
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("2 added, 0 already there, 5 failed"), "{}", ran.err);
    for named in ["B-1", "goods.ndjson:3", "no-such.png", "goods.ndjson:7", "price"] {
        assert!(ran.err.contains(named), "{named} is not named in {}", ran.err);
    }
    assert_eq!(ran.lines().len(), 7);
    let again = shell.run(&["add", text(&list)]);
    assert!(again.err.contains("0 added, 2 already there, 5 failed"), "{}", again.err);

    let found = shell.run(&["--json", "search", text(&shell.path("pictures/a.png"))]);
    assert_eq!(found.status, 0, "{found:?}");
    let found = found.json();
    assert_eq!((&found["matched"]["kind"], &found["offers"][0]["offer_id"]), (&"own".into(), &"A-1".into()));
    assert_eq!(
        (&found["offers"][0]["title"], &found["offers"][0]["price"]),
        (&"杯子".into(), &"59.00".into())
    );
}

#[test]
fn a_folder_is_added_with_its_subfolders_and_nothing_that_is_no_picture() {
    let shell = Shell::alone();
    shell.write("mine/one.png", &png(1));
    shell.write("mine/deeper/two.PNG", &png(2));
    shell.write("mine/notes.txt", b"no picture");
    let ran = shell.run(&["add", text(&shell.path("mine"))]);
    assert_eq!((ran.status, ran.out.as_str()), (0, ""), "{ran:?}");
    assert!(
        ran.err.contains("2 added, 0 already there, 0 failed, 1 skipped: 1 not a picture"),
        "{}",
        ran.err
    );
    let shown = shell.run(&["--json", "offers", text(&shell.path("mine/deeper/two.PNG"))]).json();
    assert_eq!(shown["answers"][0]["offers"][0]["offer_id"], "deeper/two.PNG");
}

#[test]
fn a_list_that_is_not_there_is_named() {
    let shell = Shell::alone();
    let ran = shell.run(&["add", "no-such.ndjson"]);
    assert!(ran.status == 2 && ran.err.contains("no-such.ndjson"), "{ran:?}");
}

#[test]
fn the_doctor_finds_a_sound_home_sound_and_a_damaged_one_damaged() {
    let shell = Shell::alone();
    shell.write("mine/one.png", &png(1));
    shell.run(&["add", text(&shell.path("mine"))]);
    let sound = shell.run(&["--json", "doctor"]);
    assert_eq!(sound.status, 0, "{sound:?}");
    assert!(sound.lines().iter().all(|line| line["state"] == "ok"), "{sound:?}");
    assert!(sound.out.contains("1 photos; --audit"), "{}", sound.out);
    shell.write("home/catalog.sqlite", b"this was a catalogue once");
    for name in ["home/catalog.sqlite-wal", "home/catalog.sqlite-shm"] {
        let _ = std::fs::remove_file(shell.path(name));
    }
    let damaged = shell.run(&["doctor"]);
    assert_eq!(damaged.status, 2, "{damaged:?}");
    assert!(
        damaged.out.contains("FAILED  catalogue") && damaged.out.contains("catalog.sqlite"),
        "{damaged:?}"
    );
}

#[test]
fn what_is_forgotten_by_number_or_by_file_is_gone_and_the_audit_finds_the_rest() {
    let shell = Shell::alone();
    for seed in 1..=3 {
        shell.write(&format!("mine/{seed}.png"), &png(seed));
    }
    shell.run(&["add", text(&shell.path("mine"))]);
    let second = shell.path("mine/2.png");
    let similar = shell.run(&["--json", "similar", text(&second), "--kind", "own", "-k", "2"]);
    let similar = &similar.json()["similar"];
    assert_eq!(similar.as_array().unwrap().len(), 2);
    assert_eq!((&similar[0]["label"], &similar[0]["similarity"]), (&"2.png".into(), &100.into()));
    assert_eq!(shell.run(&["similar", text(&second), "--kind", "query"]).status, 1);

    let number = |place: usize| similar[place]["photo_id"].as_i64().unwrap();
    let (other, own) = (number(1), number(0));
    let ran = shell.run(&["--json", "forget", &other.to_string(), text(&second), "77", "no-such.png"]);
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("no photo 77") && ran.err.contains("no-such.png"), "{}", ran.err);
    assert_eq!(ran.lines(), [serde_json::json!({"forgotten": other}), serde_json::json!({"forgotten": own})]);
    assert_eq!(shell.run(&["--offline", "search", text(&second)]).status, 1);
    let old = shell.run(&["forget", "--older-than", "0"]);
    assert_eq!((old.status, old.out.as_str()), (0, ""), "own goods stay: {old:?}");

    let audited = shell.run(&["--json", "--offline", "doctor", "--audit", "--repair"]);
    let index = audited.lines().into_iter().find(|check| check["check"] == "index").unwrap();
    assert_eq!(index["detail"], "1 photos, 0 not found (0 by the graph alone), 0 too many");
}
