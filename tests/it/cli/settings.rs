//! Where settings come from, and what is said when they are wrong.

use tongkuan::catalog::Catalog;

use super::{Ran, Shell, text};

/// The daily budget that a command with these sources runs under.
fn budget(shell: &Shell, flag: Option<&str>, variable: Option<&str>) -> u64 {
    let mut command = shell.command(&["--json", "quota"]);
    if let Some(flag) = flag {
        command.args(["--daily-budget", flag]);
    }
    if let Some(variable) = variable {
        command.env("TONGKUAN_DAILY_BUDGET", variable);
    }
    Ran::of(&mut command).json()["upstreams"][0]["budget"].as_u64().unwrap()
}

#[test]
fn flags_outrank_the_environment_which_outranks_the_file_which_outranks_the_default() {
    let shell = Shell::alone().with_home();
    shell.write("config.toml", b"[upstream.article]\napp_key = \"k\"\n");
    assert_eq!(budget(&shell, None, None), 500);
    shell.write("config.toml", b"[upstream.article]\napp_key = \"k\"\ndaily_budget = 7\n");
    assert_eq!(budget(&shell, None, None), 7);
    assert_eq!(budget(&shell, None, Some("8")), 8);
    assert_eq!(budget(&shell, Some("9"), Some("8")), 9);
}

#[test]
fn the_home_folder_follows_the_same_precedence() {
    let shell = Shell::alone().with_home();
    let home =
        |command: &mut std::process::Command| Ran::of(command).json()["home"].as_str().unwrap().to_owned();
    let (by_file, by_flag) = (shell.path("by-file"), shell.path("by-flag"));
    for home in [&by_file, &by_flag] {
        drop(Catalog::open(home).unwrap());
    }
    shell.write("config.toml", format!("home = {:?}\n", text(&by_file)).as_bytes());
    assert_eq!(home(&mut shell.command(&["--json", "stats"])), text(&shell.path("home")));
    assert_eq!(home(shell.command(&["--json", "stats"]).env_remove("TONGKUAN_HOME")), text(&by_file));
    assert_eq!(home(&mut shell.command(&["--json", "stats", "--home", text(&by_flag)])), text(&by_flag));
}

#[test]
fn a_wrong_configuration_is_named_with_its_fault() {
    let shell = Shell::alone();
    shell.write("config.toml", b"[upstream.article]\nbudget = 7\n");
    let unknown = shell.run(&["stats"]);
    assert!(unknown.status == 2 && unknown.err.contains("config.toml"), "{unknown:?}");
    assert!(unknown.err.contains("budget"), "{}", unknown.err);
    let absent = shell.run(&["stats", "--config", "no-such.toml"]);
    assert!(absent.status == 2 && absent.err.contains("no-such.toml"), "{absent:?}");
    shell.write("config.toml", b"[upstream.aop]\napp_key = \"k\"\n[upstream.article]\n");
    let no_order = shell.run(&["stats"]);
    assert!(no_order.status == 2 && no_order.err.contains("upstreams = [\"aop\""), "{no_order:?}");
    shell.write("config.toml", b"[upstream.aop]\napp_key = \"k\"\n");
    let mut no_secret = shell.command(&["stats"]);
    let no_secret = Ran::of(no_secret.env_remove("TONGKUAN_APP_SECRET"));
    assert!(no_secret.status == 2 && no_secret.err.contains("TONGKUAN_APP_SECRET"), "{no_secret:?}");
}

#[test]
fn a_secret_can_come_from_a_file() {
    let shell = Shell::with_sandbox().with_home();
    let secret = shell.write("secret", b"sandbox-secret\n");
    let config = format!(
        "[upstream.article]\nbase_url = {:?}\napp_key = \"sandbox\"\napp_secret_file = {:?}\n",
        shell.sandbox().base_url(),
        text(&secret)
    );
    shell.write("config.toml", config.as_bytes());
    let ran = Ran::of(shell.command(&["--json", "doctor"]).env_remove("TONGKUAN_APP_SECRET"));
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(
        ran.lines().iter().any(|line| line["check"] == "upstream" && line["detail"] == "article answers")
    );
}

#[test]
fn the_help_says_where_settings_come_from_and_what_the_exit_status_means() {
    let shell = Shell::alone();
    let help = shell.run(&["--help"]).out;
    for taught in ["the command line, else the environment", "TONGKUAN_APP_SECRET", "Exit status", "sandbox"]
    {
        assert!(help.contains(taught), "{taught} is not in the help");
    }
    assert_eq!(shell.run(&["search"]).status, 2);
    assert_eq!(shell.run(&["no-such-command"]).status, 2);
}

#[test]
fn what_is_done_beside_an_answer_is_logged_where_it_is_asked_for_and_without_secrets() {
    let shell = Shell::with_sandbox();
    let picture = shell.good(3, "a.jpg");
    let search = |options: &[&str], variable: &str| {
        let mut command = shell.command(&[options, &["search", "--refresh", text(&picture)]].concat());
        Ran::of(command.env("RUST_LOG", variable))
    };
    let logged = "an upstream has answered";
    assert!(!search(&[], "").err.contains(logged));
    for ran in [
        search(&["--log", "debug"], ""),
        search(&[], "tongkuan::upstream=debug"),
        search(&["--log", "tongkuan=trace"], "off"),
    ] {
        assert!(ran.err.contains(logged) && ran.err.contains("status=200"), "{ran:?}");
        assert!(!ran.err.contains("sandbox-secret") && !ran.err.contains('?'), "{ran:?}");
    }
    let off = search(&["--log", "off"], "debug");
    assert!(!off.err.contains(logged), "the command line goes before the environment");
    let wrong = search(&["--log", "verbose"], "");
    assert!(wrong.status == 2 && wrong.err.contains("--log is \"verbose\": use off, error"), "{wrong:?}");
    let foreign = search(&[], "tongkuan=loud");
    assert!(foreign.status != 2 && foreign.err.contains("RUST_LOG"), "{foreign:?}");
}

#[test]
fn the_configuration_file_of_the_help_is_one() {
    let shell = Shell::alone();
    let help = shell.run(&["--help"]).out;
    let (_, after) = help.split_once("A configuration file:\n").unwrap();
    let (file, _) = after.split_once("\n\n").unwrap();
    let secret = shell.write("app-secret", b"secret");
    let file = file.replace("/etc/tongkuan/app-secret", text(&secret)).replace("index = \"pgvector\"", "#");
    shell.write("help.toml", file.as_bytes());
    let ran = shell.run(&["--config", "help.toml", "--json", "quota"]);
    // aop is there; article is named as well, and has no credentials here.
    assert!(ran.status == 2 && ran.err.contains("the upstream article is named"), "{ran:?}");
}

#[test]
fn half_of_the_credentials_is_told_of() {
    let shell = Shell::alone().with_home();
    let mut command = shell.command(&["stats"]);
    let ran = Ran::of(command.env("TONGKUAN_APP_KEY", "1234567").env_remove("TONGKUAN_APP_SECRET"));
    assert!(ran.status == 0 && ran.err.contains("TONGKUAN_APP_SECRET is not"), "{ran:?}");
}

#[test]
fn the_doctor_says_that_there_is_no_configuration_file() {
    let shell = Shell::alone();
    let mut command = shell.command(&["doctor"]);
    let ran = Ran::of(
        command.env_remove("TONGKUAN_CONFIG").env("HOME", shell.path("")).env_remove("XDG_CONFIG_HOME"),
    );
    assert!(ran.out.contains("none at "), "{ran:?}");
}

#[test]
fn at_most_nothing_is_not_asked_for() {
    let shell = Shell::alone();
    for args in [
        &["similar", "a.png", "-k", "0"][..],
        &["similar", "a.png", "--newer-than", "0"],
        &["find", "cup", "--limit", "0"],
        &["harvest", "--limit", "0"],
        &["drain", "--limit", "0"],
        &["search", "a.png", "--max-min-order", "0"],
        &["calibrate", "goods", "--limit", "0"],
        &["eval", "--make", "goods", "--out", "set", "--limit", "0"],
    ] {
        let ran = shell.run(args);
        assert!(ran.status == 2 && ran.err.contains("invalid value '0'"), "{args:?} {ran:?}");
    }
}
