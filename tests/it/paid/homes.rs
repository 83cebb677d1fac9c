//! The real binary on homes that are full, locked, read-only or shared, against the sandbox. What needs the right to mount
//! or to become another user says so when it is left out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use image::imageops::FilterType;
use tongkuan::engine::{CachePolicy, Engine, RuntimeChoice};
use tongkuan::sandbox::{Fault, Faults};
use tongkuan::upstream::GuardPolicy;

use crate::cli::{Ran, Shell, text};
use crate::embedding::runtime_folder;
use crate::fakes::{FakeUpstream, query};

/// `command`, started by another one.
fn wrapped(wrapper: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(wrapper[0]);
    outer.args(&wrapper[1..]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer.current_dir(command.get_current_dir().unwrap()).stdin(std::process::Stdio::null());
    outer
}

/// Runs with files that cannot grow beyond `blocks` of 512 bytes: SQLite's log takes small changes then, but no answer.
fn run_limited(shell: &Shell, blocks: u32, args: &[&str]) -> Ran {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    Ran::of(&mut wrapped(&["sh", "-c", &script, "sh"], &shell.command(args)))
}

/// Enough for a call to be booked, and for the side journal.
const BLOCKS: u32 = 160;

fn searches(shell: &Shell) -> u32 {
    u32::try_from(shell.sandbox().counters().searches_ok).unwrap()
}

fn reasons(ran: &Ran) -> Vec<Option<String>> {
    let reason = |line: &serde_json::Value| line["unanswered"]["reason"].as_str().map(str::to_owned);
    ran.lines().iter().map(reason).collect()
}

#[test]
fn a_batch_on_a_full_disk_pays_one_call_and_the_next_run_stores_its_answer() {
    let shell = Shell::with_sandbox();
    let [known, a, b] = [(1, "known.jpg"), (2, "a.jpg"), (3, "b.jpg")].map(|(n, name)| shell.good(n, name));
    shell.run(&["search", text(&known)]);
    for round in 0..2 {
        let batch = ["search", "--json", text(&a), text(&b), text(&known)];
        let ran = run_limited(&shell, BLOCKS, &batch);
        let [first, second, third] = <[_; 3]>::try_from(ran.lines()).unwrap();
        assert!(!first["offers"].as_array().unwrap().is_empty(), "{ran:?}");
        assert_eq!(first["unstored"]["set_aside"].as_bool(), (round == 0).then_some(true), "{ran:?}");
        assert_eq!(first["verdict"] == "hit", round == 1, "{ran:?}");
        assert_eq!(second["unanswered"]["reason"], "cannot_store");
        assert_eq!((third["verdict"].as_str(), ran.status), (Some("hit"), 1));
        assert_eq!(searches(&shell), 2, "one for the known picture, one on the full disk");
    }
    let after = shell.run(&["search", "--json", text(&a), text(&b)]);
    let [first, second] = <[_; 2]>::try_from(after.lines()).unwrap();
    assert_eq!((first["verdict"].as_str(), first["matched"]["label"].as_str()), (Some("hit"), Some("a.jpg")));
    assert_eq!((second["upstream_calls"].as_u64(), searches(&shell)), (Some(1), 3));
}

#[test]
fn three_runs_of_drain_on_a_full_disk_pay_one_call() {
    let shell = Shell::with_sandbox();
    let [a, b] = [(2, "a.jpg"), (3, "b.jpg")].map(|(n, name)| shell.good(n, name));
    shell.run(&["search", "--defer", "--daily-budget", "0", text(&a), text(&b)]);
    for _ in 0..3 {
        let ran = run_limited(&shell, BLOCKS, &["drain", "--json"]);
        let report = ran.lines().pop().unwrap();
        assert_eq!(report["drained"]["stopped"]["reason"], "cannot_store", "{ran:?}");
    }
    assert_eq!(searches(&shell), 1);
    let ran = shell.run(&["drain"]);
    assert_eq!((ran.status, searches(&shell)), (0, 2), "{ran:?}");
}

#[test]
fn drain_says_of_each_picture_whether_it_was_not_asked_about_or_asked_about_in_vain() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(2, "a.jpg");
    shell.run(&["search", "--defer", "--daily-budget", "0", text(&picture)]);
    let broke = shell.run(&["drain", "--daily-budget", "0"]);
    assert!(broke.out.contains("a.jpg: not asked"), "{broke:?}");
    shell.sandbox().inject(Faults::new([], vec![(Fault::Html, 1.0)], 1).unwrap());
    let failed = shell.run(&["drain"]);
    assert!(failed.out.contains("a.jpg: asked in vain"), "{failed:?}");
    shell.sandbox().inject(Faults::default());
}

#[test]
fn a_hit_ends_when_it_is_printed_although_another_process_writes() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(1, "a.jpg");
    shell.run(&["search", text(&picture)]);
    let other = rusqlite::Connection::open(shell.path("home/catalog.sqlite")).unwrap();
    // Ten days old: served, and to be fetched anew.
    other.execute("UPDATE answers SET fetched_at_ms = fetched_at_ms - 864000000", []).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let start = Instant::now();
    let ran = shell.run(&["search", "--json", text(&picture)]);
    let took = start.elapsed();
    let answer = ran.json();
    assert_eq!((answer["verdict"].as_str(), answer["stale"].as_bool()), (Some("hit"), Some(true)), "{ran:?}");
    assert_eq!((ran.status, searches(&shell)), (0, 1));
    assert!(took < Duration::from_secs(15), "{took:?}");
}

/// Everything that only reads, and a search that may not store, in a home that cannot be written.
fn reads_all(shell: &Shell, run: &dyn Fn(&[&str]) -> Ran) {
    let before = searches(shell);
    let known = shell.path("known.jpg");
    let picture = image::open(&known).unwrap();
    let edited = shell.path("edited.jpg");
    picture.resize(300, 300, FilterType::Triangle).to_rgb8().save(&edited).unwrap();
    let new = shell.good(9, "new.jpg");
    for picture in [&known, &edited] {
        for args in [&["search", "--json", "--offline"][..], &["search", "--json"], &["offers", "--json"]] {
            let ran = run(&[args, &[text(picture)]].concat());
            assert_eq!(ran.json()["matched"]["label"], "known.jpg", "{args:?} {ran:?}");
            assert_eq!(ran.status, 0, "{args:?} {ran:?}");
        }
    }
    let title = run(&["show", "--json", "1"]).json()["answers"][0]["offers"][0]["title"].clone();
    let word: String = title.as_str().unwrap().chars().take(2).collect();
    for args in [&["stats"][..], &["find", &word], &["show", "1"], &["quota"], &["similar", text(&edited)]] {
        let ran = run(args);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{args:?} {ran:?}");
    }
    let unasked = run(&["search", "--json", text(&new)]);
    assert_eq!(reasons(&unasked), [Some("cannot_store".to_owned())], "{unasked:?}");
    assert_eq!((unasked.status, searches(shell)), (1, before));
}

/// A home in which one picture is known.
fn one_known() -> Shell {
    let shell = Shell::with_sandbox();
    let known = shell.good(1, "known.jpg");
    assert_eq!(shell.run(&["search", text(&known)]).status, 1);
    shell
}

/// Something mounted on a folder, until it is dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(args: &[&str], at: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(args).arg(at).output().is_ok_and(|out| out.status.success());
        if !mounted {
            eprintln!("LEFT OUT: nothing can be mounted here");
        }
        mounted.then(|| Self(at.to_path_buf()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_home_on_a_read_only_medium_answers_what_it_knows() {
    let shell = one_known();
    let home = shell.path("home");
    let Some(_mount) = Mount::new(&["--bind", text(&home)], &home) else { return };
    let read_only = Command::new("mount").args(["-o", "remount,ro,bind", text(&home)]).status().unwrap();
    assert!(read_only.success());
    assert!(std::fs::write(home.join("probe"), b"").is_err());
    reads_all(&shell, &|args| shell.run(args));
}

#[test]
fn a_home_whose_disk_is_full_answers_what_it_knows_and_asks_when_there_is_room_again() {
    let shell = Shell::with_sandbox();
    let home = shell.path("home");
    std::fs::create_dir(&home).unwrap();
    let Some(_mount) = Mount::new(&["-t", "tmpfs", "-o", "size=4m", "none"], &home) else { return };
    let known = shell.good(1, "known.jpg");
    shell.run(&["search", text(&known)]);
    let ballast = home.join("ballast");
    assert!(std::fs::write(&ballast, vec![1; 8 << 20]).is_err(), "the disk is full");
    reads_all(&shell, &|args| shell.run(args));
    std::fs::remove_file(ballast).unwrap();
    let asked = shell.run(&["search", "--json", text(&shell.path("new.jpg"))]).json();
    assert_eq!((asked["upstream_calls"].as_u64(), asked.get("unstored")), (Some(1), None));
}

/// Runs commands as a user without rights, who may read what is in the shell's folder; `None` where that cannot be done.
fn as_nobody(shell: &Shell) -> Option<impl Fn(&[&str]) -> Command> {
    let folder = shell.folder.path();
    let runtime = shell.path("runtime");
    let copied = Command::new("cp").arg("-r").arg(runtime_folder()).arg(&runtime).status();
    let opened = Command::new("chmod").args(["-R", "a+rX"]).arg(folder).status();
    let wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let can_start = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .args([env!("CARGO_BIN_EXE_tongkuan"), "--version"])
        .output()
        .is_ok_and(|out| out.status.success());
    if !can_start || !copied.is_ok_and(|s| s.success()) || !opened.is_ok_and(|s| s.success()) {
        eprintln!("LEFT OUT: this user cannot become another");
        return None;
    }
    Some(move |args: &[&str]| {
        let mut command = shell.command(args);
        command.env("TONGKUAN_RUNTIME_DIR", &runtime);
        wrapped(&wrapper, &command)
    })
}

#[test]
fn the_home_of_another_user_answers_what_it_knows() {
    let shell = one_known();
    let Some(as_nobody) = as_nobody(&shell) else { return };
    reads_all(&shell, &|args| Ran::of(&mut as_nobody(args)));
}

#[test]
fn two_users_of_one_home_pay_once() {
    let shell = one_known();
    let new = shell.good(9, "new.jpg");
    let Some(as_nobody) = as_nobody(&shell) else { return };
    let home = shell.path("home");
    let upstream = FakeUpstream::named("article");
    let policy = GuardPolicy::default().min_interval(Duration::ZERO);
    let engine = Engine::builder(&home)
        .runtime(RuntimeChoice::new(runtime_folder()).may_fetch(true))
        .upstream(upstream.clone(), policy, CachePolicy::default())
        .open()
        .unwrap();
    let processes = home.join("processes");
    let running = || std::fs::read_dir(&processes).map_or(0, Iterator::count);
    let bytes = std::fs::read(&new).unwrap();
    let hanging = upstream.hanging.lock().unwrap();
    let (mine, theirs) = std::thread::scope(|scope| {
        let mine = scope.spawn(|| engine.search(&query(&bytes)).unwrap());
        while upstream.calls() == 0 {
            std::thread::yield_now();
        }
        // Both users may write here, but the sign of this process is its own.
        for (mode, what) in [("a+rwX", &home), ("u=rw,go=", &processes.join("."))] {
            let files = format!("find {:?} -type f -exec chmod {mode} {{}} +", what.display());
            assert!(Command::new("sh").args(["-c", &files]).status().unwrap().success());
        }
        for folder in [&home, &processes] {
            assert!(Command::new("chmod").arg("a+rwx").arg(folder).status().unwrap().success());
        }
        let theirs = scope.spawn(|| Ran::of(&mut as_nobody(&["search", "--json", text(&new)])));
        while running() < 2 && !theirs.is_finished() {
            std::thread::yield_now();
        }
        drop(hanging);
        (mine.join().unwrap(), theirs.join().unwrap())
    });
    assert_eq!((mine.upstream_calls, mine.unstored), (1, None));
    assert_eq!(theirs.json()["verdict"], "hit", "{theirs:?}");
    assert_eq!((upstream.calls(), searches(&shell)), (1, 1));
}
