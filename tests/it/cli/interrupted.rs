//! Ctrl-C.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use serde_json::Value;
use tongkuan::sandbox::{Fault, Faults};

use super::{Ran, Shell, text};

#[test]
fn ctrl_c_ends_a_drain_that_waits_for_its_turn_and_the_same_command_goes_on() {
    let shell = Shell::with_sandbox();
    let config = std::fs::read_to_string(shell.path("config.toml")).unwrap();
    let slow = shell.write("slow.toml", config.replace("ms = 0", "ms = 60000").as_bytes());
    for good in [3, 5] {
        let picture = shell.good(good, &format!("{good}.jpg"));
        shell.run(&["--daily-budget", "0", "search", "--defer", text(&picture)]);
    }
    let mut drain = shell
        .command(&["--config", text(&slow), "--json", "drain"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(drain.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    let asked: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((&asked["upstream_calls"], &asked["unanswered"]), (&1.into(), &Value::Null), "{asked}");
    // The second one has to wait for a minute.
    let sent = Command::new("kill").args(["-INT", &drain.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let (mut rest, mut said) = (String::new(), String::new());
    out.read_to_string(&mut rest).unwrap();
    drain.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(drain.wait().unwrap().code(), Some(130), "{said}");
    let end: Value = serde_json::from_str(&rest).unwrap();
    assert_eq!(
        (&end["drained"]["answered"], &end["drained"]["interrupted"]),
        (&1.into(), &"cancelled".into())
    );
    assert_eq!((&end["waiting"]["deferred"], &end["waiting"]["in_trouble"]), (&1.into(), &0.into()));
    assert!(said.contains("run the same command again"), "{said}");
    let again = shell.run(&["--json", "drain"]);
    let end = again.lines().pop().unwrap();
    assert_eq!(
        (again.status, &end["drained"]["answered"], &end["waiting"]["deferred"]),
        (0, &1.into(), &0.into())
    );
}

/// Runs a command whose first call takes a while, and interrupts it during that.
fn interrupted_in_a_call(shell: &Shell, args: &[&str]) -> Ran {
    shell.sandbox().inject(Faults::script([Fault::Slow { ms: 2000 }]));
    let mut child = shell.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while shell.sandbox().counters().faults_injected == 0 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ran = child.wait_with_output().unwrap();
    Ran {
        status: ran.status.code().expect("not killed"),
        out: String::from_utf8(ran.stdout).unwrap(),
        err: String::from_utf8(ran.stderr).unwrap(),
    }
}

#[test]
fn ctrl_c_during_a_search_loses_no_paid_answer_and_asks_nothing_more() {
    let shell = Shell::with_sandbox();
    let (a, b) = (shell.good(3, "a.jpg"), shell.good(90, "b.jpg"));
    let ran = interrupted_in_a_call(&shell, &["--json", "search", text(&a), text(&b)]);
    assert_eq!(ran.status, 130, "{ran:?}");
    assert!(ran.err.contains("Ctrl-C again ends it at once"), "{ran:?}");
    let answer = ran.json();
    assert_eq!((&answer["id"], &answer["upstream_calls"]), (&text(&a).into(), &1.into()), "{answer}");
    assert_eq!(shell.run(&["--offline", "search", text(&a)]).status, 0, "it is stored");
    assert_eq!(shell.sandbox().counters().searches_ok, 1);
}

#[test]
fn ctrl_c_ends_the_asking_of_a_check_and_what_was_not_asked_waits() {
    let shell = Shell::with_sandbox();
    let goods = [3, 90, 150].map(|good| shell.good(good, &format!("{good}.jpg")));
    let args = ["--json", "check", "--add", "--ask", text(&goods[0]), text(&goods[1]), text(&goods[2])];
    let ran = interrupted_in_a_call(&shell, &args);
    assert_eq!(ran.status, 130, "{ran:?}");
    let lines = ran.lines();
    assert!(!lines[0]["offers"].as_array().unwrap().is_empty(), "the call under way is waited for: {ran:?}");
    // Rows of later groups are not told of.
    for line in &lines[1..] {
        assert_eq!(line["unanswered"], "cancelled", "{ran:?}");
    }
    assert_eq!(shell.sandbox().counters().searches_ok, 1);
    let waiting = shell.run(&["quota", "--json"]).json()["waiting"].clone();
    assert_eq!(waiting["deferred"], lines.len() - 1, "{waiting}");
}

#[test]
fn pictures_that_are_stored_when_nobody_reads_any_more_wait_to_be_asked_about() {
    let shell = Shell::with_sandbox();
    let goods: Vec<_> = (0..6).map(|good| shell.good(3 + 20 * good, &format!("{good}.jpg"))).collect();
    let mut args = vec!["--json", "check", "--add", "--ask", "--unordered"];
    args.extend(goods.iter().map(|good| text(good)));
    let mut check = shell.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // As `| head -1` does.
    let mut out = BufReader::new(check.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    let mut said = String::new();
    check.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_ne!(check.wait().unwrap().code(), Some(0), "{said}");
    let stored = shell.run(&["--json", "stats"]).json()["counts"]["photos"].as_u64().unwrap();
    let waiting = shell.run(&["--json", "quota"]).json()["waiting"]["deferred"].as_u64().unwrap();
    assert_eq!(waiting + shell.sandbox().counters().searches_ok, stored, "{said}");
}
