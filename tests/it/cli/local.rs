//! What stays on the machine, and where: nothing is sent with `--offline`, nothing is written outside of the home and
//! runtime folders, nobody else reads what is stored, and no home is made by mistake.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tongkuan::sandbox::SandboxOptions;

use super::{Ran, Shell, text};
use crate::embedding::runtime_folder;
use crate::fakes::png;

/// Every file and folder below `root`.
fn below(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| [vec![path.clone()], if path.is_dir() { below(&path) } else { vec![] }].concat())
        .collect()
}

/// The command with fresh folders for all that a program may write to beside what it is told to.
fn in_fresh_folders(shell: &Shell, args: &[&str]) -> (Command, Vec<PathBuf>) {
    let mut command = shell.command(args);
    command.env_clear();
    let mut folders = Vec::new();
    for name in ["HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "TMPDIR"] {
        let folder = shell.path(&format!("fresh/{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        command.env(name, &folder);
        folders.push(folder);
    }
    command.env("TONGKUAN_HOME", shell.path("home")).env("TONGKUAN_CONFIG", shell.path("config.toml"));
    command.env("TONGKUAN_RUNTIME_DIR", runtime_folder());
    (command, folders)
}

/// Searches for 5,000 paths, the first of which needs the model, and looks for what was written elsewhere.
fn search_for_5000_paths(runtime: Option<&Path>) {
    let shell = Shell::alone();
    let known = shell.write("a-folder-with-a-long-name/another-one/picture-of-a-good.png", &png(1));
    assert_eq!(shell.run(&["add", text(known.parent().unwrap())]).status, 0);
    let new = shell.write("new.png", &png(2));
    let args = [&["--offline", "--json", "search", text(&new)][..], &vec![text(&known); 4_999]].concat();
    let (mut command, fresh) = in_fresh_folders(&shell, &args);
    if let Some(runtime) = runtime {
        command.env("ORT_DYLIB_PATH", runtime);
    }
    let before: BTreeSet<PathBuf> = below(shell.folder.path()).into_iter().collect();
    let ran = Ran::of(&mut command);
    let lines = ran.lines();
    assert_eq!((ran.status, lines.len(), ran.err.as_str()), (1, 5_000, ""));
    assert_ne!(lines[0]["verdict"], "hit");
    assert!(!lines[0]["timings_ms"]["embed"].is_null(), "{}", lines[0]);
    assert!(lines[1..].iter().all(|line| line["verdict"] == "hit" && line["id"] == text(&known)));
    for folder in fresh {
        assert_eq!(below(&folder), Vec::<PathBuf>::new(), "in {}", folder.display());
    }
    let home = shell.path("home");
    let elsewhere: Vec<PathBuf> = below(shell.folder.path())
        .into_iter()
        .filter(|path| !before.contains(path) && !path.starts_with(&home))
        .collect();
    assert_eq!(elsewhere, Vec::<PathBuf>::new());
}

#[cfg(unix)]
#[test]
fn five_thousand_paths_are_answered_and_nothing_is_written_outside_of_the_home() {
    search_for_5000_paths(None);
}

/// ONNX Runtime 1.30.0, which has telemetry; `None` on other platforms and without a package index.
fn runtime_with_telemetry() -> Option<PathBuf> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return None;
    }
    let folder = runtime_folder().join("tests-onnxruntime-1.30.0");
    let library = folder.join("libonnxruntime.so");
    if !library.is_file() {
        let wheel = tempfile::tempdir().unwrap();
        let pip = "-m pip download onnxruntime==1.30.0 --no-deps --only-binary=:all: --quiet --no-cache-dir \
                   --implementation cp --python-version 3.12 --abi cp312 --platform manylinux_2_28_x86_64 --dest";
        let ran = Command::new("python3").args(pip.split_whitespace()).arg(wheel.path()).output();
        if !ran.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let file = below(wheel.path()).remove(0);
        let mut wheel = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
        let mut entry = wheel.by_name("onnxruntime/capi/libonnxruntime.so.1.30.0").unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        let mut part = tempfile::NamedTempFile::new_in(&folder).unwrap();
        std::io::copy(&mut entry, &mut part).unwrap();
        part.persist(&library).unwrap();
    }
    Some(library)
}

#[cfg(unix)]
#[test]
fn a_runtime_with_telemetry_is_kept_quiet_and_the_doctor_says_that_it_has_some() {
    let Some(library) = runtime_with_telemetry() else {
        eprintln!("passed over: no ONNX Runtime 1.30.0 for this platform could be had");
        return;
    };
    search_for_5000_paths(Some(&library));
    let shell = Shell::alone();
    let ran = Ran::of(shell.command(&["--offline", "doctor"]).env("ORT_DYLIB_PATH", &library));
    let line = ran.out.lines().find(|line| line.contains("ONNX Runtime")).unwrap();
    for told in ["1.30.0", "with telemetry, which is kept off", "named by ORT_DYLIB_PATH", text(&library)] {
        assert!(line.contains(told), "{told} is not in {line}");
    }
}

#[test]
fn the_doctor_says_which_runtime_runs_and_that_the_pinned_one_has_no_telemetry() {
    let shell = Shell::alone();
    let mut command = shell.command(&["--offline", "doctor"]);
    let ran = Ran::of(command.env_remove("ORT_DYLIB_PATH").env_remove("LD_LIBRARY_PATH"));
    let line = ran.out.lines().find(|line| line.contains("ONNX Runtime")).unwrap();
    // A machine with one among its system libraries runs that one only if none was fetched.
    assert!(line.contains("1.28.0, without telemetry, fetched: "), "{line}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_doctor_finds_nothing_wrong_where_nothing_was_stored_yet() {
    let shell = Shell::alone();
    let doctor = |named: bool| {
        let mut command = shell.command(&["--json", "--offline", "doctor"]);
        command.env("XDG_DATA_HOME", shell.path("data"));
        Ran::of(if named { &mut command } else { command.env_remove("TONGKUAN_HOME") })
    };
    let new = doctor(false);
    let catalogue = new.lines().into_iter().find(|line| line["check"] == "catalogue").unwrap();
    assert_eq!((new.status, catalogue["state"].as_str()), (0, Some("ok")), "{new:?}");
    assert!(catalogue["detail"].as_str().unwrap().starts_with("none yet at "), "{catalogue}");
    assert!(!shell.path("data").exists());
    // One that was named must be there.
    let named = doctor(true);
    assert!(named.status == 2 && named.out.contains("there is no home at"), "{named:?}");
}

#[cfg(unix)]
#[test]
fn whatever_this_program_starts_is_told_to_keep_telemetry_off() {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::alone();
    let told = shell.path("told");
    let script = shell.write(
        "python",
        format!("#!/bin/sh\necho \"$ORT_DISABLE_TELEMETRY\" > {}\n", text(&told)).as_bytes(),
    );
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = shell.command(&["setup"]);
    command.env_remove("ORT_DYLIB_PATH").env_remove("LD_LIBRARY_PATH").env("ORT_DISABLE_TELEMETRY", "0");
    command.env("TONGKUAN_RUNTIME_DIR", shell.path("runtime")).env("TONGKUAN_PYTHON", &script);
    if Ran::of(&mut command).status == 2 {
        assert_eq!(std::fs::read_to_string(told).unwrap(), "1\n");
    }
}

/// Arguments of every command that could want something from the network, and its exit status without one.
fn commands<'a>(
    picture: &'a str,
    other: &'a str,
    address: &'a str,
    offer: &'a str,
) -> Vec<(Vec<&'a str>, i32)> {
    vec![
        (vec!["search", picture], 0),
        (vec!["search", other], 1),
        (vec!["search", "--all", other], 1),
        (vec!["search", "--defer", other], 1),
        (vec!["search", "--max-age", "0", picture], 0),
        (vec!["search", "--harvest", picture], 2),
        (vec!["search", "--refresh", picture], 2),
        (vec!["search", "--bypass", picture], 2),
        (vec!["search", address], 2),
        (vec!["offers", picture], 0),
        (vec!["show", "1"], 0),
        (vec!["similar", picture], 0),
        (vec!["forget", "77"], 2),
        (vec!["details", offer], 1),
        (vec!["details", "--refresh", offer], 2),
        (vec!["stats"], 0),
        (vec!["quota"], 0),
        (vec!["drain"], 2),
        (vec!["harvest"], 2),
        (vec!["find", "nothing-has-this-title"], 1),
        (vec!["login", "--redirect-uri", "http://127.0.0.1:9/back"], 0),
        (vec!["login", "--redirect-uri", "http://127.0.0.1:9/back", "--code", "c"], 2),
        (vec!["setup"], 0),
        (vec!["demo"], 2),
        (vec!["same", "1", other], 0),
        (vec!["calibrate"], 0),
        (vec!["reembed", "--fetch"], 2),
        (vec!["doctor"], 0),
        (vec!["doctor", "--audit"], 0),
        (vec!["add", "mine"], 0),
    ]
}

#[test]
fn offline_no_command_makes_a_connection_wherever_the_option_stands() {
    let mut shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let other = shell.good(9, "b.jpg");
    shell.write("mine/own.png", &png(1));
    let answer = shell.run(&["--json", "search", text(&picture)]).json();
    let offer = answer["offers"][0]["offer_id"].as_str().unwrap().to_owned();
    let waits = shell.run(&["--json", "--daily-budget", "0", "search", "--defer", text(&other)]).json();
    assert_eq!(waits["unanswered"]["queued"], true, "{waits}");
    // From here on a listener is where the upstream, and the pictures of its offers, have been.
    let address = shell.sandbox().base_url().to_owned();
    drop(shell.sandbox.take());
    // A process that another test is just starting has a copy of the sandbox's socket until its program runs.
    let until = Instant::now() + Duration::from_secs(20);
    let listener = loop {
        match TcpListener::bind(address.strip_prefix("http://").unwrap()) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::yield_now();
            }
            bound => break bound.unwrap(),
        }
    };
    listener.set_nonblocking(true).unwrap();
    let config = std::fs::read_to_string(shell.path("config.toml")).unwrap();
    let config = format!("harvest = true\nfetch_from = [{address:?}]\n{config}");
    shell.write("config.toml", config.as_bytes());
    let picture_address = format!("{address}/a.jpg");
    for (args, status) in commands(text(&picture), text(&other), &picture_address, &offer) {
        let upstream: &[&str] = if args[0] == "login" { &["--upstream", "aop"] } else { &[] };
        let args = [upstream, &args].concat();
        let ran = [
            shell.run(&[&["--offline"], &args[..]].concat()),
            shell.run(&[&args[..], &["--offline"]].concat()),
            Ran::of(shell.command(&args).env("TONGKUAN_OFFLINE", "1")),
        ];
        for ran in ran {
            assert_eq!(ran.status, status, "{args:?}: {ran:?}");
            let connected = listener.accept().map(|(_, peer)| peer).map_err(|error| error.kind());
            assert_eq!(connected, Err(ErrorKind::WouldBlock), "{args:?} made a connection: {ran:?}");
        }
    }
    // The listener is where connections would have come to.
    drop(shell.command(&["--json", "doctor"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(
        |mut doctor| {
            listener.set_nonblocking(false).unwrap();
            drop(listener.accept().unwrap());
            drop(listener);
            doctor.wait().unwrap()
        },
    ));
}

#[test]
fn offline_the_sandbox_does_not_listen() {
    let shell = Shell::alone();
    for args in [["--offline", "sandbox", "--port", "0"], ["sandbox", "--port", "0", "--offline"]] {
        let mut running = shell.command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // A sandbox says its address and goes on.
        let mut said = String::new();
        let out = running.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut said).unwrap();
        if !said.is_empty() {
            running.kill().unwrap();
        }
        assert_eq!((said.as_str(), running.wait().unwrap().code()), ("", Some(2)), "{args:?}");
    }
}

#[test]
fn the_variable_for_offline_takes_what_people_write() {
    let shell = Shell::alone();
    shell.write("mine/own.png", &png(1));
    assert_eq!(shell.run(&["add", "mine"]).status, 0);
    let harvest = |value: &str| Ran::of(shell.command(&["harvest"]).env("TONGKUAN_OFFLINE", value));
    for on in ["1", "true", "TRUE", "yes", "on", " 1 "] {
        let ran = harvest(on);
        assert!(ran.status == 2 && ran.err.contains("TONGKUAN_OFFLINE"), "{on:?}: {ran:?}");
    }
    for off in ["0", "false", "no", "off", "Off", ""] {
        assert_eq!(harvest(off).status, 0, "{off:?}");
    }
    let typed_wrong = harvest("ture");
    assert!(typed_wrong.status == 2 && typed_wrong.err.contains("use 1, true"), "{typed_wrong:?}");
}

#[test]
fn a_home_that_is_not_there_is_an_error_for_whoever_only_reads_and_is_not_made() {
    let shell = Shell::alone();
    let picture = shell.write("a.png", &png(1));
    let picture = text(&picture);
    let reading: &[&[&str]] = &[
        &["--offline", "search", picture],
        &["offers", picture],
        &["show", "1"],
        &["similar", picture],
        &["forget", "1"],
        &["--offline", "details", "1"],
        &["stats"],
        &["quota"],
        &["drain"],
        &["harvest"],
        &["find", "cup"],
        &["same", "1", picture],
        &["not-same", "1", "2"],
        &["same", picture, picture, "--forget"],
        &["calibrate"],
        &["calibrate", "--reset"],
        &["reembed", "--from", "."],
        &["doctor"],
        &["doctor", "--audit", "--repair"],
    ];
    // A folder that is there but is no home is as wrong.
    let (absent, empty) = (shell.path("hmoe"), shell.path("empty"));
    std::fs::create_dir(&empty).unwrap();
    for args in reading {
        for home in [&absent, &empty] {
            let ran = shell.run(&[args, &["--home", text(home)][..]].concat());
            let told = format!("there is no home at {}", home.display());
            assert!(
                ran.status == 2 && format!("{}{}", ran.out, ran.err).contains(&told),
                "{args:?}: {ran:?}"
            );
        }
        assert!(!absent.exists() && below(&empty).is_empty(), "{args:?} has made a home");
    }
    // Whoever stores makes one.
    assert_eq!(shell.run(&["--home", text(&absent), "search", picture]).status, 1);
    assert_eq!(shell.run(&["--home", text(&absent), "stats"]).status, 0);
}

#[test]
fn a_command_that_fails_before_it_stores_anything_makes_no_home() {
    let shell = Shell::with_sandbox();
    let page = shell.write("page.jpg", b"<html></html>");
    let too_few = shell.write("few/a.png", &png(1));
    let absent = shell.path("hmoe");
    let at = ["--home", text(&absent)];
    for args in [
        &["search", "nope.jpg"][..],
        &["--json", "search", "nope.jpg", text(&page), ""],
        &["calibrate", text(too_few.parent().unwrap())],
        &["calibrate", "no-such-folder"],
    ] {
        let ran = shell.run(&[&at, args].concat());
        assert!(ran.status == 2 && !ran.err.is_empty() && !absent.exists(), "{args:?}: {ran:?}");
    }
    let ran = shell.run(&[&at, &["--json", "search", "nope.jpg", text(&page)][..]].concat());
    assert_eq!(
        ran.lines().iter().map(|line| line["id"].clone()).collect::<Vec<_>>(),
        ["nope.jpg", text(&page)]
    );
    // One that is there is enough, wherever it stands, and from standard input it is read once.
    let good = shell.good(3, "a.jpg");
    let mut command = shell.command(&[&at, &["--json", "search", "nope.jpg", "-"][..]].concat());
    let ran = Ran::of(command.stdin(std::fs::File::open(&good).unwrap()));
    assert_eq!((ran.status, ran.lines()[1]["upstream_calls"].clone()), (2, 1.into()), "{ran:?}");
    assert!(absent.exists());
}

#[test]
fn a_configuration_file_that_is_not_there_is_named_with_the_remedy() {
    let shell = Shell::alone().with_home();
    for args in [&["--config", "no-such.toml", "stats"][..], &["stats", "--config", "no-such.toml"]] {
        let ran = shell.run(args);
        let told = "cannot read the configuration file no-such.toml (";
        assert!(
            ran.status == 2
                && ran.err.contains(told)
                && ran.err.contains("correct --config or TONGKUAN_CONFIG"),
            "{ran:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn what_is_stored_can_be_read_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let home = shell.path("home");
    let redirect = ["--upstream", "aop", "login", "--redirect-uri", "http://127.0.0.1:9/back", "--code"];
    // It fails, but not before the place for the tokens is made.
    assert_eq!(shell.run(&[&redirect[..], &["wrong"]].concat()).status, 2);
    assert_eq!(shell.run(&["search", text(&picture)]).status, 1);
    let mut refreshed = shell.command(&["--upstream", "aop", "search", "--refresh", text(&picture)]);
    let refreshed = Ran::of(refreshed.env("TONGKUAN_REFRESH_TOKEN", SandboxOptions::default().refresh_token));
    assert_eq!(refreshed.status, 1, "{refreshed:?}");
    // While it is open there are journals, too.
    let open = tongkuan::catalog::Catalog::open(&home).unwrap();
    open.keep_calibration(None).unwrap();
    let everything = [vec![home.clone()], below(&home)].concat();
    let names: Vec<String> =
        everything.iter().map(|path| path.strip_prefix(&home).unwrap().display().to_string()).collect();
    for expected in ["catalog.sqlite", "catalog.sqlite-wal", "processes", "tokens", "tokens/aop.json"] {
        assert!(names.iter().any(|name| name == expected), "{expected} is not among {names:?}");
    }
    for path in everything {
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        let right = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, right, "{}: {mode:o}", path.display());
    }
}

/// A search is killed while it asks; the next process of any kind removes what it has left.
#[cfg(unix)]
#[test]
fn what_a_killed_search_leaves_is_removed_by_whoever_comes_next() {
    let shell = Shell::alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "[upstream.article]\nbase_url = \"http://{}\"\napp_key = \"k\"\n",
        listener.local_addr().unwrap()
    );
    shell.write("config.toml", config.as_bytes());
    let picture = shell.write("a.png", &png(1));
    let mut search = shell.command(&["search", text(&picture)]);
    let mut search = search.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // It asks for a token, and its turn is taken.
    let connection = listener.accept().unwrap();
    search.kill().unwrap();
    search.wait().unwrap();
    drop(connection);
    let left = || std::fs::read_dir(shell.path("home/processes")).unwrap().count();
    let rows = || {
        let catalog = rusqlite::Connection::open(shell.path("home/catalog.sqlite")).unwrap();
        catalog.query_row("SELECT count(*) FROM asking", [], |row| row.get::<_, u32>(0)).unwrap()
    };
    assert_eq!((left(), rows()), (1, 1));
    assert_eq!(shell.run(&["stats"]).status, 0);
    assert_eq!((left(), rows()), (0, 0));
}

#[cfg(unix)]
#[test]
fn what_a_killed_setup_leaves_is_removed_by_the_next_one() {
    use std::os::unix::fs::PermissionsExt;
    let shell = Shell::alone();
    let folder = shell.path("runtime");
    let run = |script: &str| {
        let script = shell.write("python", script.as_bytes());
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = shell.command(&["setup"]);
        command.env_remove("ORT_DYLIB_PATH").env_remove("LD_LIBRARY_PATH");
        command.env("TONGKUAN_RUNTIME_DIR", &folder).env("TONGKUAN_PYTHON", &script);
        command.output().unwrap().status.code()
    };
    let left = || below(&folder).iter().filter(|path| path.file_name().unwrap() != "fetch.lock").count();
    match run("#!/bin/sh\nfor last; do :; done\necho half > \"$last/half\"\nkill -9 $PPID\n") {
        // One of the system was found.
        Some(0) => return,
        status => assert_eq!(status, None, "it was killed"),
    }
    assert_eq!(left(), 2, "a workspace with half a wheel");
    assert_eq!(run("#!/bin/sh\nexit 1\n"), Some(2));
    assert_eq!(left(), 0);
}
