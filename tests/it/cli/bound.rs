//! `same`, `not-same`, `calibrate`, `reembed`, `--max-false-hit` and `--explain`, with the real model.

use super::{Ran, Shell, text};
use crate::fakes::{png, query};

#[test]
fn what_people_say_is_remembered_explained_shown_and_forgotten() {
    let shell = Shell::alone();
    shell.write("goods/A-1.png", &png(1));
    let other = shell.write("b.png", query(&png(2)).bytes);
    assert_eq!(shell.run(&["add", "goods"]).status, 0);
    let told = shell.run(&["--json", "same", text(&other), "1"]).json();
    assert_eq!((&told["photos"][1], &told["same"], &told["stored"][0]), (&1.into(), &true.into(), &2.into()));
    let hit = shell.run(&["--json", "search", text(&other)]).json();
    assert_eq!((hit["rule"].as_str(), &hit["matched"]["photo_id"]), (Some("remembered"), &1.into()));
    let explain = &hit["explain"];
    assert_eq!((&explain["recognised"], &explain["photo_id"]), (&2.into(), &1.into()));
    for field in
        ["score", "confidence", "geometry", "colour_agreement", "threshold", "max_false_hit", "doubt"]
    {
        assert!(explain.get(field).is_some(), "{field} is missing in {explain}");
    }
    assert_eq!(explain["calibrated_on"], "shipped");
    let shown = shell.run(&["search", "--explain", text(&other)]);
    assert!(shown.out.contains("because: photo 1, by a person's word"), "{}", shown.out);
    assert!(shell.run(&["show", "1"]).out.contains("the same as photo 2"));
    assert_eq!(shell.run(&["same", "--forget", "2", "1"]).status, 0);
    assert_eq!(shell.run(&["search", text(&other)]).status, 1);
    let nothing = shell.run(&["not-same", "--forget", "2", "1"]);
    assert!(nothing.status == 2 && nothing.err.contains("nothing was said"), "{nothing:?}");
    let absent = shell.run(&["not-same", "7", "1"]);
    assert!(absent.status == 2 && absent.err.contains("no photo 7"), "{absent:?}");
}

/// The threshold of a command with these sources.
fn threshold(shell: &Shell, flag: Option<&str>, variable: Option<&str>) -> f64 {
    let mut command = shell.command(&["--json", "calibrate"]);
    if let Some(flag) = flag {
        command.args(["--max-false-hit", flag]);
    }
    if let Some(variable) = variable {
        command.env("TONGKUAN_MAX_FALSE_HIT", variable);
    }
    Ran::of(&mut command).json()["threshold"].as_f64().unwrap()
}

#[test]
fn the_bound_may_be_named_anywhere_and_a_stricter_one_sets_a_higher_threshold() {
    let shell = Shell::alone().with_home();
    let default = threshold(&shell, None, None);
    assert!((0.5..1.0).contains(&default), "{default}");
    assert!(threshold(&shell, Some("0.005"), Some("0.1")) > default);
    assert!(threshold(&shell, None, Some("0.1")) < default);
    shell.write("config.toml", b"max_false_hit = 0.005\n");
    assert!(threshold(&shell, None, None) > default);
    let refused = shell.run(&["stats", "--max-false-hit", "0.00001"]);
    assert!(refused.status == 2 && refused.err.contains("pairs"), "{refused:?}");
    shell.write("config.toml", b"max_false_hit = 3\n");
    let nonsense = shell.run(&["stats"]);
    assert!(nonsense.status == 2 && nonsense.err.contains("above 0, at most 1"), "{nonsense:?}");
}

#[test]
fn a_calibration_on_own_pictures_is_kept_until_it_is_reset_and_too_few_pictures_are_refused() {
    let shell = Shell::alone().with_home();
    for seed in 0..6 {
        shell.write(&format!("goods/{seed}.png"), &png(seed));
    }
    let refused = shell.run(&["calibrate", "goods"]);
    assert!(
        refused.status == 2 && refused.err.contains("6 pictures for it; at least"),
        "before any is looked at: {refused:?}"
    );
    assert!(refused.err.contains("Nothing was changed"), "{}", refused.err);
    let on = |shell: &Shell| shell.run(&["--json", "calibrate"]).json()["calibrated_on"].clone();
    assert_eq!(on(&shell), "shipped");
    let kept = shell.run(&["--json", "calibrate", "goods", "--max-false-hit", "0.6"]);
    assert_eq!(kept.status, 0, "{kept:?}");
    assert_eq!((&kept.json()["pictures"], &kept.json()["max_false_hit"]), (&6.into(), &0.6.into()));
    assert_eq!(on(&shell), "own");
    assert_eq!(shell.run(&["calibrate", "--reset"]).status, 0);
    assert_eq!(on(&shell), "shipped");
}

#[test]
fn reembed_says_what_it_needs_and_makes_missing_sketches() {
    let shell = Shell::alone();
    shell.write("goods/A-1.png", &png(1));
    assert_eq!(shell.run(&["add", "goods"]).status, 0);
    let what = shell.run(&["reembed"]);
    assert!(what.status == 2 && what.err.contains("--from DIR"), "{what:?}");
    let raw = rusqlite::Connection::open(shell.path("home/catalog.sqlite")).unwrap();
    raw.execute("DELETE FROM sketches", []).unwrap();
    drop(raw);
    let done = shell.run(&["--json", "reembed", "--from", "goods"]);
    assert_eq!(done.status, 0, "{done:?}");
    let last = done.lines().pop().unwrap();
    assert_eq!((&last["sketched"], &last["embedded"], &last["done"]), (&1.into(), &0.into(), &true.into()));
}
