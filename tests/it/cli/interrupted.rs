//! Ctrl-C.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Shell, text};

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
