//! `tongkuan serve` and `keys` as they are run.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;

use super::{PATIENCE, json, problem};
use crate::cli::{Ran, Shell};
use crate::fakes::http;

/// A running `tongkuan serve`; killed when dropped.
struct Running {
    child: Child,
    base_url: String,
}

impl Running {
    fn start(shell: &Shell, args: &[&str]) -> Self {
        let all: Vec<&str> =
            ["serve", "--listen", "127.0.0.1:0", "--json"].iter().chain(args).copied().collect();
        let mut child = shell.command(&all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
        Self { child, base_url: told["base_url"].as_str().unwrap().to_owned() }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success()
        );
    }

    /// Its exit status and what it has logged.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut logged = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut logged).unwrap();
        (self.child.wait().unwrap().code(), logged)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_program_is_ready_by_a_real_inference_answers_logs_and_ends_on_a_signal() {
    let shell = Shell::with_sandbox();
    // Drawing all goods takes longer than a call may, where nothing is optimised.
    shell.sandbox().warm_up();
    let mut running = Running::start(&shell, &["--log-format", "json"]);
    let ready = || http().get(format!("{}/readyz", running.base_url)).send().unwrap();
    while ready().status() != 200 {
        std::thread::yield_now();
    }
    assert!(json(ready())["looked_at"].is_string());
    let picture = std::fs::read(shell.good(3, "a.jpg")).unwrap();
    let search = || {
        let request = http().post(format!("{}/v1/search", running.base_url)).header("x-request-id", "job-7");
        json(request.body(picture.clone()).timeout(PATIENCE).send().unwrap())
    };
    let (miss, hit) = (search(), search());
    assert_eq!((&miss["verdict"], &hit["verdict"]), (&"miss".into(), &"hit".into()));
    // The command line sees the same home at the same time.
    let mut told = shell.run(&["search", "--json", "--offline", "a.jpg"]).json();
    assert_eq!(told["offers"], hit["offers"]);
    told["id"] = Value::Null;
    running.signal("TERM");
    let (status, logged) = running.end();
    assert_eq!(status, Some(0), "{logged}");
    let lines: Vec<Value> = logged.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let answered =
        lines.iter().filter(|line| line["span"]["id"] == "job-7" && line["fields"]["status"] == 200);
    assert_eq!(answered.count(), 2, "{logged}");
    assert!(!logged.contains("sandbox-secret"));
}

#[test]
fn keys_are_made_shown_once_listed_and_revoked() {
    let shell = Shell::alone();
    let made = shell.run(&["keys", "add", "erp", "--rights", "read,spend", "--daily-budget", "7"]);
    assert_eq!(made.status, 0, "{made:?}");
    let key = made.out.trim().to_owned();
    assert!(key.starts_with("tk_") && key.len() > 50, "{key}");
    let listed = shell.run(&["keys", "list", "--json"]);
    assert!(!listed.out.contains(&key[12..]));
    let listed = listed.json();
    assert_eq!(
        (&listed["name"], &listed["rights"], &listed["daily_budget"]),
        (&"erp".into(), &"read,spend".into(), &7.into())
    );
    let lines = shell.run(&["keys", "export"]).out;
    assert!(!lines.contains(&key[20..]) && lines.contains("secret_sha256"), "{lines}");
    std::fs::write(shell.path("keys.ndjson"), lines).unwrap();
    let elsewhere = shell.run(&["keys", "import", "keys.ndjson", "--home", "elsewhere"]);
    assert_eq!((elsewhere.status, elsewhere.out.as_str()), (0, "1 keys added\n"), "{elsewhere:?}");
    assert_eq!(shell.run(&["keys", "list", "--json", "--home", "elsewhere"]).json(), listed);
    shell.write("photo.jpg", b"\xFF\xD8\xFF\xE0");
    let photo = shell.run(&["keys", "import", "photo.jpg", "--home", "elsewhere"]);
    assert!(photo.status == 2 && photo.err.contains("photo.jpg is no text: name a file that"), "{photo:?}");
    let running = Running::start(&shell, &[]);
    let stats =
        |key: &str| http().get(format!("{}/v1/stats", running.base_url)).bearer_auth(key).send().unwrap();
    json(stats(&key));
    assert_eq!(shell.run(&["keys", "revoke", "erp"]).status, 0);
    assert_eq!(problem(stats(&key)), (401, "key_unknown".to_owned()));
    let again: Ran = shell.run(&["keys", "add", "erp"]);
    assert_eq!(again.status, 2);
    assert!(again.err.contains("there is a key of the name"), "{again:?}");
}

#[test]
fn without_keys_other_machines_are_not_listened_to() {
    let shell = Shell::alone();
    let ran = shell.run(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("tongkuan keys add"), "{ran:?}");
}

#[test]
fn nothing_that_was_acknowledged_is_lost_when_the_process_is_killed() {
    let shell = Shell::alone();
    let mut acknowledged = Vec::new();
    for round in 0..2_u32 {
        let mut running = Running::start(&shell, &[]);
        for number in 0..6_u32 {
            let id = format!("{round}-{number}");
            let request = http().post(format!("{}/v1/pictures?id={id}", running.base_url));
            let added = json(request.body(crate::fakes::png(round * 10 + number + 1)).send().unwrap());
            acknowledged.push((id, added["photo_id"].clone()));
        }
        running.child.kill().unwrap();
        running.child.wait().unwrap();
    }
    let running = Running::start(&shell, &[]);
    for (id, photo_id) in acknowledged {
        let shown = json(http().get(format!("{}/v1/pictures/{photo_id}", running.base_url)).send().unwrap());
        assert_eq!(shown["own_goods"][0]["offer_id"], id.as_str());
    }
}
