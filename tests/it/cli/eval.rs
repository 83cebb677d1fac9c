//! `eval`: made and judged through the command line, with the real model.

use image::ImageFormat;

use super::{Shell, text};
use crate::fakes::{encoded, picture, png};

#[test]
fn a_folder_becomes_a_manifest_and_the_manifest_a_report() {
    let shell = Shell::alone();
    for seed in 0..4 {
        shell.write(&format!("goods/{seed}.png"), &encoded(&picture(seed), ImageFormat::Png));
    }
    let made =
        shell.run(&["--json", "eval", "--make", text(&shell.path("goods")), "--out", "set", "--seed", "3"]);
    assert_eq!(made.status, 0, "{made:?}");
    // Two of the pictures, and of each a poster, a chart or a small one on a ground.
    assert_eq!((&made.json()["references"], &made.json()["seed"]), (&4.into(), &3.into()));

    let judged = shell.run(&["--json", "eval", "set/manifest.ndjson", "--html", "report.html"]);
    assert_eq!(judged.status, 0, "{judged:?}");
    let judged = judged.json();
    assert_eq!((&judged["references"], &judged["queries"]), (&4.into(), &made.json()["queries"]));
    assert_eq!(judged["by_edit"]["jpeg"]["acc_at_1"], 1.0);
    for key in ["hit_rate", "wrong_item_rate", "false_hit_rate", "review_rate", "acc_at_1", "micro_ap"] {
        let rate = judged[key].as_f64().unwrap_or(-1.0);
        assert!((0.0..=1.0).contains(&rate), "{key}: {}", judged[key]);
    }
    assert_eq!(judged["at_cutoffs"].as_array().map(Vec::len), Some(2));
    assert!(shell.path("report.html").is_file());
    assert!(!shell.path("home").exists(), "the user's own home was touched");

    let table = shell.run(&["eval", "set/manifest.ndjson"]);
    assert!(table.out.contains("hit rate") && table.out.contains("recolour"), "{}", table.out);
}

#[test]
fn a_picture_that_cannot_be_read_is_named_and_told_by_the_exit_status_of_each_command() {
    let shell = Shell::alone();
    for seed in 0..4 {
        shell.write(&format!("goods/{seed}.png"), &encoded(&picture(seed), ImageFormat::Png));
    }
    let cut = encoded(&picture(9), ImageFormat::Png);
    shell.write("goods/cut.png", &cut[..cut.len() / 2]);
    shell.write("goods/labels.ndjson", b"{\"file\":\"1.png\",\"item\":\"A\"}\n");
    let made = shell.run(&["eval", "--make", "goods", "--out", "set"]);
    assert!(made.status == 2 && made.err.contains("goods/cut.png: the png "), "{made:?}");
    assert!(!made.err.contains("skipped"), "labels are no picture that is missing: {made:?}");
    let line = "{\"path\":\"../goods/cut.png\",\"role\":\"query\",\"item\":null}\n";
    let manifest = std::fs::read_to_string(shell.path("set/manifest.ndjson")).unwrap() + line;
    shell.write("set/manifest.ndjson", manifest.as_bytes());
    let judged = shell.run(&["eval", "set/manifest.ndjson"]);
    assert!(judged.status == 2 && judged.err.contains("cut.png"), "{judged:?}");
    assert!(judged.out.contains("hit rate"), "{judged:?}");
    let calibrated = shell.run(&["calibrate", "--max-false-hit", "0.9", "goods"]);
    assert!(calibrated.status == 2 && calibrated.err.contains("goods/cut.png: the png "), "{calibrated:?}");
    assert!(calibrated.out.contains("hits from confidence"), "{calibrated:?}");
}

#[cfg(unix)]
#[test]
fn a_home_in_which_nothing_can_be_kept_is_refused_before_it_is_calibrated() {
    use std::os::unix::fs::PermissionsExt as _;
    let shell = Shell::alone().with_home();
    let lock = |mode| {
        let catalogue = shell.path("home/catalog.sqlite");
        std::fs::set_permissions(catalogue, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::set_permissions(shell.path("home"), std::fs::Permissions::from_mode(mode | 0o100)).unwrap();
    };
    lock(0o400);
    // The superuser may write all the same.
    let refuses = std::fs::File::create(shell.path("home/probe")).is_err();
    if refuses {
        for args in [&["calibrate", "no-such-folder"][..], &["calibrate", "--reset"]] {
            let ran = shell.run(args);
            assert!(ran.status == 2 && ran.err.contains("no calibration can be kept in"), "{args:?} {ran:?}");
        }
    }
    lock(0o600);
}

#[test]
fn more_false_hits_than_allowed_are_told_by_the_exit_status() {
    let shell = Shell::alone();
    shell.write("a.png", &png(1));
    // The same picture under another name: it is answered, and must not be.
    let lines = "{\"path\":\"a.png\",\"role\":\"reference\",\"item\":\"A\"}\n\
                 {\"path\":\"a.png\",\"role\":\"query\",\"item\":null}\n";
    shell.write("m.ndjson", lines.as_bytes());
    assert_eq!(shell.run(&["eval", "m.ndjson", "--max-false-hit", "0.5"]).status, 1);
    assert_eq!(shell.run(&["eval", "m.ndjson", "--max-false-hit", "1"]).status, 0);
    let none = shell.run(&["eval", "m.ndjson", "--max-false-hit", "0"]);
    assert!(none.status == 2 && none.err.contains("above 0, at most 1"), "{none:?}");
    let nonsense = shell.run(&["eval", "m.ndjson", "--max-false-hit", "7"]);
    assert!(nonsense.status == 2 && nonsense.err.contains("above 0, at most 1"), "{nonsense:?}");
}
