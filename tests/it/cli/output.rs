//! What programs read: an `id` on every line, and a status that tells when lines are missing.

use std::process::{Command, Stdio};

use serde_json::json;

use super::{Ran, Shell, text};
use crate::fakes::png;

#[test]
fn an_empty_path_is_an_error_of_its_own_line() {
    let shell = Shell::alone();
    let picture = shell.write("mine/a.png", &png(1));
    shell.run(&["add", "mine"]);
    let ran = shell.run(&["--json", "search", text(&picture), "", text(&picture)]);
    assert_eq!(ran.status, 2, "{ran:?}");
    let lines = ran.lines();
    assert_eq!((&lines[0]["verdict"], &lines[2]["verdict"]), (&json!("hit"), &json!("hit")), "{ran:?}");
    assert_eq!((&lines[1]["id"], lines.len()), (&json!(""), 3));
    assert!(lines[1]["error"].as_str().unwrap().contains("is empty"), "{ran:?}");
    let ran = shell.run(&["--json", "forget", "", "1"]);
    assert_eq!((ran.status, ran.lines()[1]["forgotten"].clone()), (2, json!(1)), "{ran:?}");
}

#[test]
fn every_line_of_json_has_its_id() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let picture = text(&picture);
    let bad = shell.write("bad.jpg", b"no picture");
    let own = shell.write("mine/own.png", &png(1));
    shell.write("mine/bad.png", b"no picture");
    let ids = |args: &[&str]| {
        let ran = shell.run(&[&["--json"], args].concat());
        let lines = ran.lines();
        assert!(!lines.is_empty(), "{args:?}: {ran:?}");
        lines
            .iter()
            .map(|line| line.get("id").unwrap_or_else(|| panic!("no id in {line} of {args:?}")).clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&["search", picture]), [picture]);
    assert_eq!(ids(&["search", text(&bad)]), [text(&bad)], "an error has one, too");
    assert_eq!(ids(&["search", picture, text(&bad), "absent.jpg"]), [picture, text(&bad), "absent.jpg"]);
    assert_eq!(ids(&["offers", picture]), [picture]);
    assert_eq!(ids(&["offers", text(&own)]), [text(&own)]);
    assert_eq!(ids(&["show", "1"]), [1]);
    assert_eq!(ids(&["similar", picture]), [picture]);
    assert_eq!(ids(&["add", "mine"]).len(), 2);
    assert_eq!(ids(&["--daily-budget", "0", "search", "--defer", text(&shell.good(9, "b.jpg"))]).len(), 1);
    assert_eq!(ids(&["drain"]), [json!("b.jpg"), json!(null)], "the last line is about all of them");
    let answer = shell.run(&["--json", "search", picture]).json();
    let offer = answer["offers"][0]["offer_id"].as_str().unwrap();
    assert_eq!(ids(&["details", offer]), [offer]);
    let title: String = answer["offers"][0]["title"].as_str().unwrap().chars().take(2).collect();
    assert!(ids(&["find", &title]).contains(&json!(offer)));
    ids(&["doctor"]);
    for args in [&["stats"][..], &["quota"], &["harvest", "--limit", "1"], &["setup"], &["calibrate"]] {
        assert_eq!(ids(args), [json!(null)], "it is about no one picture");
    }
    assert_eq!(ids(&["same", "1", text(&own)]), [json!(null)]);
    for wrong in ["x.jpg", "7777"] {
        let ran = shell.run(&["show", "--json", wrong]);
        let line = ran.json();
        assert_eq!((ran.status, line["id"].to_string().trim_matches('"')), (2, wrong), "{line}");
        assert!(ran.err.contains(line["error"].as_str().unwrap()), "{ran:?}");
    }
    ids(&["reembed", "--from", "mine"]);
    assert_eq!(ids(&["forget", "1", "77", text(&own)]), [json!("1"), json!("77"), json!(text(&own))]);
}

#[test]
fn an_error_in_json_has_its_code_and_the_words_of_the_command_line() {
    let shell = Shell::alone().with_home();
    let page = shell.write("page.jpg", b"<html></html>");
    let line = shell.run(&["--json", "search", text(&page)]).json();
    assert_eq!(line["code"], "not_a_picture");
    shell.write("goods.ndjson", b"{\"path\":\"page.jpg\",\"price\":\"1-2\"}\n");
    assert_eq!(shell.run(&["--json", "add", "goods.ndjson"]).json()["code"], "row_price");
    let ran = shell.run(&["same", "7", "8"]);
    assert!(ran.err.contains("there is no photo 7; `tongkuan search` names"), "{ran:?}");
    let own = shell.write("own.png", &png(1));
    let answered = shell.run(&["search", text(&own)]);
    assert!(answered.out.contains("`tongkuan --help` tells how to name one"), "{answered:?}");
}

#[test]
fn what_ends_a_command_stands_in_json_once_with_its_code() {
    let shell = Shell::alone().with_home();
    shell.write("goods/a.png", &png(1));
    shell.write("not-a-backup", b"nothing");
    let commands: [(&[&str], Option<&str>); 18] = [
        (&["same", "1", "99"], Some("no_such_photo")),
        (&["show", "99"], Some("no_such_photo")),
        (&["forget", "99"], Some("no_such_photo")),
        (&["details", "--offline", "--refresh", "600123"], None),
        (&["similar", "nosuch"], Some("io")),
        (&["changes", "nosuch"], Some("io")),
        (&["search", "nosuch"], Some("io")),
        (&["calibrate", "goods"], None),
        (&["eval", "nosuch"], None),
        (&["add", "nosuch"], None),
        (&["backup", "goods"], Some("move_exists")),
        (&["restore", "nosuch", "--force"], Some("move_io")),
        (&["import", "not-a-backup", "--force"], None),
        (&["stats", "--home", "nosuch"], Some("no_home")),
        (&["quota", "--home", "nosuch"], Some("no_home")),
        (&["scan", "nosuch"], Some("scan_folder")),
        (&["sheet", "nosuch", "--out", "x.csv"], None),
        (&["stats", "--config", "nosuch"], Some("config_not_read")),
    ];
    for (args, code) in commands {
        let ran = shell.run(&[&["--json"], args].concat());
        let line = ran.json();
        let text = line["error"].as_str().unwrap_or_else(|| panic!("{args:?}: {ran:?}"));
        assert!(ran.status == 2 && ran.err.contains(text), "{args:?}: {ran:?}");
        assert!(line.get("id").is_some() && line.get("code").is_some(), "{args:?}: {line}");
        if code.is_some() {
            assert_eq!(line["code"].as_str(), code, "{args:?}: {line}");
        }
        let plain = shell.run(args);
        assert!(plain.status == 2 && plain.out.is_empty(), "{args:?}: {plain:?}");
    }
}

/// Runs with standard output going to nobody.
fn without_reader(command: &mut Command) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_is_worth_finishing_is_finished_without_a_reader_and_the_status_says_that_lines_are_missing() {
    let shell = Shell::alone();
    for seed in 1..=5 {
        shell.write(&format!("mine/{seed}.png"), &png(seed));
    }
    let (status, err) = without_reader(&mut shell.command(&["--json", "add", "mine"]));
    assert_eq!(status, Some(2), "{err}");
    assert!(err.contains("5 added") && !err.contains("panicked"), "{err}");
    assert_eq!(shell.run(&["--json", "stats"]).json()["counts"]["own_photos"], 5);
    let (status, err) = without_reader(&mut shell.command(&["--json", "forget", "1", "2"]));
    assert_eq!(status, Some(2), "{err}");
    assert_eq!(shell.run(&["--json", "stats"]).json()["counts"]["own_photos"], 3);
}

#[test]
fn no_command_ends_well_when_its_output_was_lost() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let picture = text(&picture);
    shell.write("mine/own.png", &png(1));
    assert_eq!(shell.run(&["search", picture]).status, 1);
    let commands: &[&[&str]] = &[
        &["--help"],
        &["help", "search"],
        &["--version"],
        &["search", picture],
        &["search", "--explain", picture],
        &["offers", picture],
        &["show", "1"],
        &["similar", picture],
        &["stats"],
        &["quota"],
        &["drain"],
        &["harvest", "--limit", "1"],
        &["details", "1"],
        &["login", "--upstream", "aop", "--redirect-uri", "http://127.0.0.1:9/back"],
        &["setup"],
        &["sandbox", "--port", "0"],
        &["same", "1", picture],
        &["calibrate"],
        &["reembed", "--from", "mine"],
        &["eval", "--make", "mine", "--out", "made"],
        &["demo"],
        &["doctor"],
        &["forget", "1"],
    ];
    for args in commands {
        let is_text = args[0].starts_with("--") || args[0] == "help";
        let forms =
            if is_text { vec![args.to_vec()] } else { vec![args.to_vec(), [&["--json"], *args].concat()] };
        for args in forms {
            let (status, err) = without_reader(&mut shell.command(&args));
            assert!(status == Some(2) && !err.contains("panicked"), "{args:?}: {status:?} {err}");
            let _ = std::fs::remove_dir_all(shell.path("made"));
        }
    }
}

#[cfg(unix)]
#[test]
fn standard_output_that_was_closed_before_the_program_began_is_an_error() {
    let shell = Shell::alone().with_home();
    let run = |redirection: &str, args: &str| {
        let program = env!("CARGO_BIN_EXE_tongkuan");
        let command = shell.command(&[]);
        let script = format!("exec {program} {args} {redirection}");
        let mut sh = Command::new("sh");
        sh.args(["-c", &script])
            .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .current_dir(shell.folder.path());
        Ran::of(&mut sh)
    };
    for args in ["stats", "stats --json", "quota", "doctor", "--help", "--version"] {
        let ran = run(">&-", args);
        assert!(ran.status == 2 && ran.err.contains("standard output is closed"), "{args}: {ran:?}");
        let told = run("> /dev/null 2>&1", args);
        assert_eq!(told.status, 0, "{args}: a program may well want nothing to be printed");
    }
    // As Python's subprocess.DEVNULL is opened.
    assert_eq!(run("1<>/dev/null", "stats").status, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_a_full_disk_does_not_take_is_an_error_that_says_so() {
    let shell = Shell::alone();
    shell.write("mine/own.png", &png(1));
    for args in [&["--json", "add", "mine"][..], &["stats"], &["--json", "doctor"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = shell.command(args).stdout(full).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains("No space left"), "{args:?}: {err}");
    }
}

#[test]
fn nothing_is_lost_where_complaints_have_no_reader() {
    let shell = Shell::alone();
    for seed in 1..=3 {
        shell.write(&format!("mine/{seed}.png"), &png(seed));
    }
    shell.write("mine/0-bad.png", b"no picture");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = shell.command(&["--json", "add", "mine"]).stderr(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "what is no picture is passed over");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 4);
    assert_eq!(shell.run(&["--json", "stats"]).json()["counts"]["own_photos"], 3);
    let _ = Ran::of(&mut shell.command(&["stats"]));
}

#[test]
fn nothing_is_written_over_a_picture_or_a_catalogue() {
    let shell = Shell::alone().with_home();
    let picture = shell.write("pictures/a.png", &png(1));
    assert_eq!(shell.run(&["add", text(&picture)]).status, 0);
    let (catalogue, before) = (shell.path("home/catalog.sqlite"), std::fs::read(&picture).unwrap());
    for target in [text(&catalogue), text(&picture)] {
        for args in [
            &["stats", "--plot", target][..],
            &["export", "--force", target],
            &["scan", "--csv", target, "pictures"],
            &["scan", "--html", target, "pictures"],
            &["eval", "m.ndjson", "--html", target],
            &["demo", "--html", target],
        ] {
            let ran = shell.run(args);
            assert!(ran.status == 2 && ran.err.contains("is not written over"), "{args:?} {ran:?}");
        }
    }
    let goods = shell.write("goods.csv", b"sku,path\n1,a.png\n");
    for args in [
        &["stats", "--plot", text(&goods)][..],
        &["scan", "--csv", text(&goods), "pictures"],
        &["scan", "--html", text(&goods), "pictures"],
        &["demo", "--html", text(&goods)],
    ] {
        let ran = shell.run(args);
        assert!(ran.status == 2 && ran.err.contains("no earlier report"), "{args:?} {ran:?}");
    }
    assert!(std::fs::read(&goods).unwrap().starts_with(b"sku"));
    for _ in 0..2 {
        let ran = shell.run(&["scan", "--csv", "groups.csv", "--html", "groups.html", "pictures"]);
        assert_eq!(ran.status, 0, "an earlier report is replaced: {ran:?}");
    }
    let manifest =
        shell.write("m.ndjson", b"{\"path\":\"pictures/a.png\",\"role\":\"query\",\"item\":null}\n");
    let ran = shell.run(&["eval", "m.ndjson", "--html", "./m.ndjson"]);
    assert!(ran.status == 2 && ran.err.contains("is the manifest, which is not written over"), "{ran:?}");
    assert!(std::fs::read(&manifest).unwrap().starts_with(b"{\"path\""));
    let ran = shell.run(&["backup", "--force", text(&catalogue)]);
    assert!(ran.status == 2 && ran.err.contains("own catalogue"), "{ran:?}");
    assert_eq!(std::fs::read(&picture).unwrap(), before);
    assert_eq!(shell.run(&["search", "--offline", text(&picture)]).status, 0);
}
