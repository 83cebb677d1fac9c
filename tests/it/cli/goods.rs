//! `add`: own goods from NDJSON and from a folder.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{Shell, text};
use crate::fakes::png;

/// The id of the first good that answers a search for this file.
fn found(shell: &Shell, picture: &str) -> Value {
    shell.run(&["--json", "search", text(&shell.path(picture))]).json()["offers"][0]["offer_id"].clone()
}

#[test]
fn every_file_of_a_folder_is_a_good_of_its_own_whatever_it_is_called() {
    let shell = Shell::alone();
    let names = ["马克杯.png", "双肩包.png", "A-red/1.png", "B-blue/1.png", "a_b.png", "a b.png", "a-b.PNG"];
    for (seed, name) in (0..).zip(names) {
        shell.write(&format!("mine/{name}"), &png(seed));
    }
    let ran = shell.run(&["--json", "add", text(&shell.path("mine"))]);
    assert!(ran.status == 0 && ran.err.contains("7 added, 0 already there"), "{ran:?}");
    let printed: BTreeSet<String> =
        ran.lines().iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(printed, names.map(str::to_owned).into());
    for name in ["马克杯.png", "双肩包.png", "A-red/1.png", "B-blue/1.png"] {
        assert_eq!(found(&shell, &format!("mine/{name}")), name);
    }
    assert_eq!(shell.run(&["--json", "stats"]).json()["counts"]["own_goods"], 7);
    // Another folder with a file of the same path: one good by its id, and told.
    shell.write("other/A-red/1.png", &png(50));
    let ran = shell.run(&["add", text(&shell.path("other"))]);
    assert!(ran.status == 0 && ran.err.contains("A-red/1.png: the good has 2 pictures by now"), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn a_path_that_is_no_id_as_it_is_gets_one_and_is_told() {
    use std::os::unix::ffi::OsStrExt;
    let shell = Shell::alone();
    let long = format!("{}/{}.png", "很长的文件夹名字".repeat(8), "很长的文件名字".repeat(8));
    for (seed, name) in
        (0..).zip([&b"\xb0\xd7.png"[..], b"\xff\xfe.png", b"\xff\xff.png", b"a\nb.png", long.as_bytes()])
    {
        let path = shell.path("mine").join(std::ffi::OsStr::from_bytes(name));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, png(seed)).unwrap();
    }
    let ran = shell.run(&["--json", "add", text(&shell.path("mine"))]);
    assert!(ran.status == 0 && ran.err.contains("5 added"), "{ran:?}");
    let ids: BTreeSet<String> =
        ran.lines().iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 5);
    assert!(ids.contains("白.png"), "a name in GBK is read: {ids:?}");
    assert_eq!(ran.err.matches("the path is no id as it is").count(), 2, "{}", ran.err);
    // The same ids the next time.
    let again = shell.run(&["--json", "add", text(&shell.path("mine"))]);
    assert!(again.err.contains("0 added, 5 already there"), "{again:?}");
    assert_eq!(shell.run(&["--json", "stats"]).json()["counts"]["own_goods"], 5);
}

#[test]
fn ids_are_taken_as_people_have_them_and_integers_digit_for_digit() {
    let shell = Shell::alone();
    let ids = [
        r#""A/12.3""#,
        r#""蓝色-01""#,
        r#""AB 102/红""#,
        "864704291266",
        "9007199254740993",
        "18446744073709551617",
    ];
    let row = |(seed, id): (u32, &str)| {
        shell.write(&format!("{seed}.png"), &png(seed));
        format!("{{\"path\":\"{seed}.png\",\"id\":{id},\"title\":\"杯子\"}}\n")
    };
    let rows: Vec<String> = (0..).zip(ids).map(row).collect();
    let list = shell.write("goods.ndjson", rows.concat().as_bytes());
    let ran = shell.run(&["--json", "add", text(&list)]);
    assert_eq!(ran.status, 0, "{ran:?}");
    for (seed, id) in (0..).zip(ids) {
        let id = id.trim_matches('"');
        assert_eq!(
            (ran.lines()[seed]["id"].as_str(), found(&shell, &format!("{seed}.png")).as_str()),
            (Some(id), Some(id))
        );
    }
    let shown = shell.run(&["find", "杯子"]);
    for id in ["A/12.3", "蓝色-01", "AB 102/红", "18446744073709551617"] {
        assert_eq!(shown.out.matches(id).count(), 1, "{}", shown.out);
    }
    let details = shell.run(&["--json", "details", "AB 102/红"]);
    assert_eq!((details.status, &details.json()["detail"]["offer"]["title"]), (0, &"杯子".into()));
}

#[test]
fn of_forty_prices_for_one_good_the_last_one_counts() {
    let shell = Shell::alone();
    shell.write("a.png", &png(1));
    shell.write("b.png", &png(2));
    let row = |n: u32| {
        let picture = if n.is_multiple_of(2) { "a.png" } else { "b.png" };
        format!("{{\"path\":\"{picture}\",\"id\":\"A-1\",\"title\":\"row {n}\",\"price\":\"{n}\"}}\n")
    };
    let list = shell.write("prices.ndjson", (1..=40).map(row).collect::<Vec<_>>().concat().as_bytes());
    let ran = shell.run(&["--json", "add", text(&list)]);
    assert!(ran.status == 0 && ran.err.contains("2 added, 38 already there"), "{ran:?}");
    for picture in ["a.png", "b.png"] {
        let found = shell.run(&["--json", "search", text(&shell.path(picture))]).json();
        assert_eq!(
            (&found["offers"][0]["price"], &found["offers"][0]["title"]),
            (&"40".into(), &"row 40".into())
        );
        assert_eq!(found["offers"].as_array().unwrap().len(), 1);
    }
    let photo_id = ran.lines()[0]["photo_id"].to_string();
    let shown = shell.run(&["--json", "show", &photo_id]).json();
    assert_eq!(shown["own_goods"][0]["photo_ids"].as_array().unwrap().len(), 2);
    let shown = shell.run(&["show", &photo_id]);
    assert!(shown.out.contains("A-1 is also on photo"), "{}", shown.out);
}

/// `add` of a folder of so many pictures, under way.
fn adding(shell: &Shell, pictures: u32) -> Child {
    for seed in 0..pictures {
        shell.write(&format!("mine/{seed:04}.png"), &png(seed));
    }
    let mut command = shell.command(&["--json", "add", text(&shell.path("mine"))]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The ids in the lines that a process has printed by its end; after the first one `act` is called.
fn printed(child: &mut Child, act: impl FnOnce(&mut Child)) -> Vec<String> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut all = vec![lines.next().unwrap().unwrap()];
    act(child);
    all.extend(lines.map(Result::unwrap));
    // A line that was cut off by the kill acknowledges nothing.
    let whole = all.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    whole.map(|line| line["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_add_has_printed_outlives_kill_9_and_the_next_run_goes_on() {
    let shell = Shell::alone();
    let mut child = adding(&shell, 300);
    let printed = printed(&mut child, |child| child.kill().unwrap());
    child.wait().unwrap();
    assert!((1..300).contains(&printed.len()), "{}", printed.len());
    for id in printed.iter().take(3).chain(printed.last()) {
        let ran = shell.run(&["--json", "--offline", "search", text(&shell.path("mine").join(id))]).json();
        assert_eq!((&ran["verdict"], &ran["rule"]), (&"hit".into(), &"same_bytes".into()), "{id}");
    }
    let stored = shell.run(&["--json", "stats"]).json()["counts"]["own_goods"].as_u64().unwrap();
    assert!(stored >= printed.len() as u64, "{stored} of {}", printed.len());
    let again = shell.run(&["add", text(&shell.path("mine"))]);
    let counts = format!("{} added, {stored} already there, 0 failed", 300 - stored);
    assert!(again.status == 0 && again.err.contains(&counts), "{again:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_add_cleanly_and_says_how_to_go_on() {
    let shell = Shell::alone();
    let mut child = adding(&shell, 300);
    let printed = printed(&mut child, |child| {
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    });
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted") && said.contains("run the same command again"), "{said}");
    assert!((1..300).contains(&printed.len()), "{}", printed.len());
    let stored = shell.run(&["--json", "stats"]).json()["counts"]["own_goods"].as_u64().unwrap();
    assert_eq!(stored, printed.len() as u64, "what was printed is stored, and nothing else");
}

#[test]
fn the_doctor_names_a_damaged_vector_and_repair_and_reembed_mend_it() {
    let shell = Shell::alone();
    for seed in 1..=3 {
        shell.write(&format!("mine/{seed}.png"), &png(seed));
    }
    shell.run(&["add", text(&shell.path("mine"))]);
    let raw = rusqlite::Connection::open(shell.path("home/catalog.sqlite")).unwrap();
    raw.execute("UPDATE embeddings SET vector = substr(vector, 2) WHERE photo_id = 2", []).unwrap();
    let searched = shell.run(&["--json", "--offline", "search", text(&shell.write("new.png", &png(9)))]);
    assert_eq!((searched.status, &searched.json()["upstream_calls"]), (1, &0.into()), "{searched:?}");
    assert!(searched.err.contains("photo 2") && searched.err.contains("doctor --repair"), "{}", searched.err);
    let sick = shell.run(&["--offline", "doctor"]);
    assert!(
        sick.status == 2 && sick.out.contains("FAILED  entries") && sick.out.contains("photo 2"),
        "{sick:?}"
    );
    let repaired = shell.run(&["--offline", "doctor", "--repair"]);
    assert!(repaired.status == 0 && repaired.out.contains("1 photos have no vector"), "{repaired:?}");
    let made = shell.run(&["--json", "reembed", "--from", text(&shell.path("mine"))]);
    assert_eq!((made.status, &made.lines().last().unwrap()["embedded"]), (0, &1.into()), "{made:?}");
    let sound = shell.run(&["--offline", "doctor", "--audit"]);
    assert!(sound.status == 0 && sound.out.contains("3 photos, 0 not found"), "{sound:?}");
}

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
    let good = &shown["answers"][0]["offers"][0];
    assert_eq!((&good["offer_id"], &good["title"]), (&"deeper/two.PNG".into(), &"two".into()));
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
fn the_doctor_finds_what_was_paid_for_and_cannot_be_read() {
    let shell = Shell::with_sandbox();
    assert_eq!(shell.run(&["search", text(&shell.good(3, "a.jpg"))]).status, 1);
    let told = |ran: crate::cli::Ran| {
        let lines = ran.lines();
        let of_answers = lines.iter().find(|line| line["check"] == "paid answers").cloned();
        (ran.status, of_answers.map(|line| line["state"].clone()))
    };
    assert_eq!(told(shell.run(&["--json", "doctor"])), (0, Some("ok".into())));
    // A record of one byte that does not match its checksum, as docs/formats.md has it.
    let journal = [b"TKPAID1\n".as_slice(), &1u32.to_le_bytes(), &[0; 8], b"x", &[0; 4096]].concat();
    shell.write("home/paid.journal", &journal);
    assert_eq!(told(shell.run(&["--json", "doctor"])), (2, Some("failed".into())));
    assert_eq!(shell.run(&["search", text(&shell.good(90, "b.jpg"))]).status, 1);
    assert_eq!(told(shell.run(&["--json", "doctor"])), (2, Some("failed".into())));
    std::fs::remove_file(shell.path("home/paid.journal.damaged")).unwrap();
    assert_eq!(told(shell.run(&["--json", "doctor"])), (0, Some("ok".into())));
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
    let lines = ran.lines();
    let first = serde_json::json!({"id": other.to_string(), "forgotten": other});
    assert_eq!((&lines[0], &lines[1]["forgotten"], lines.len()), (&first, &own.into(), 4), "{lines:?}");
    assert_eq!(shell.run(&["--offline", "search", text(&second)]).status, 1);
    let old = shell.run(&["forget", "--older-than", "0"]);
    assert_eq!((old.status, old.out.as_str()), (0, ""), "own goods stay: {old:?}");

    let audited = shell.run(&["--json", "--offline", "doctor", "--audit", "--repair"]);
    let index = audited.lines().into_iter().find(|check| check["check"] == "index").unwrap();
    assert_eq!(index["detail"], "1 photos, 0 not found (0 by the graph alone), 0 too many");
}
