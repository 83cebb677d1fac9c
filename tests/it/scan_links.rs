//! Links in a scanned folder: those that an earlier scan has made, and what becomes of them and of the files they lead to.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tongkuan::clock::Clock as _;
use tongkuan::scan::{self, Applied, Mode, Relation, Undone};

use crate::cli::Shell;
use crate::fakes::png;
use crate::scan::{Folder, apply, contents, groups, smaller, with_copies};

fn is_link(folder: &Folder, name: &str) -> bool {
    fs::symlink_metadata(folder.path(name)).unwrap().is_symlink()
}

/// What came of undoing each file.
fn undo(manifest: &Path) -> BTreeMap<String, Undone> {
    let mut outcomes = BTreeMap::new();
    scan::undo(manifest, &mut |action, outcome| {
        outcomes.insert(action.path.display().to_string(), outcome);
    })
    .unwrap();
    outcomes
}

#[test]
fn what_a_link_leads_to_stays_and_the_copy_that_came_later_goes() {
    for (mode, up_to) in [
        (Mode::Trash, Relation::SamePixels),
        (Mode::Hardlink, Relation::SameBytes),
        (Mode::Symlink, Relation::SameBytes),
    ] {
        let folder = with_copies();
        apply(&folder, Mode::Symlink, Relation::SameBytes);
        assert!(is_link(&folder, "c.png") && is_link(&folder, "sub/b.png"));
        // Older than the file that was kept, so worth more but for the links.
        folder.write_at("z.png", &png(1), 9000);
        // Manifests are named by the time.
        folder.bench.clock.sleep(Duration::from_secs(1));
        let (_, outcomes) = apply(&folder, mode, up_to);
        let gone: &[&str] = if mode == Mode::Trash { &["d.bmp", "z.png"] } else { &["z.png"] };
        assert_eq!(outcomes.keys().collect::<Vec<_>>(), gone, "{mode:?}");
        assert!(outcomes.values().all(|outcome| *outcome == Applied::Done), "{mode:?}: {outcomes:?}");
        assert!(!is_link(&folder, "a.png"), "{mode:?}");
        let left = contents(folder.root.path());
        for name in ["a.png", "c.png", "sub/b.png"] {
            assert_eq!(left[name], png(1), "{mode:?}: {name}");
        }
    }
}

#[test]
fn what_a_link_leads_to_stays_beside_a_better_copy() {
    let folder = Folder::new();
    folder.write_at("small.png", &smaller(1), 5000);
    folder.write("other.png", &smaller(1));
    apply(&folder, Mode::Symlink, Relation::SameBytes);
    assert!(is_link(&folder, "other.png"));
    folder.write("large.png", &png(1));
    let mut scan = folder.scan();
    let groups = groups(&mut scan);
    assert_eq!(groups.len(), 1, "{groups:?}");
    assert_eq!(groups[0].kept().unwrap().file.name, "large.png");
    assert!(scan::plan(&groups[0], Relation::ReEncoded).is_empty(), "{groups:?}");
    assert_eq!(
        (groups[0].extra_bytes(), scan.summary().extra_files),
        (0, 0),
        "neither of the others could go"
    );
}

#[test]
fn a_hard_link_becomes_a_file_of_its_own_although_the_kept_name_is_gone() {
    let folder = with_copies();
    let modified = |name: &str| fs::metadata(folder.path(name)).unwrap().modified().unwrap();
    let before = ["c.png", "sub/b.png"].map(modified);
    let (manifest, outcomes) = apply(&folder, Mode::Hardlink, Relation::SameBytes);
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
    fs::remove_file(folder.path("a.png")).unwrap();
    let outcomes = undo(&manifest);
    assert!(outcomes.len() == 2 && outcomes.values().all(|o| *o == Undone::Done), "{outcomes:?}");
    assert_eq!(["c.png", "sub/b.png"].map(modified), before);
    for name in ["c.png", "sub/b.png"] {
        assert_eq!(fs::metadata(folder.path(name)).unwrap().nlink(), 1, "{name} shares its content");
        assert_eq!(fs::read(folder.path(name)).unwrap(), png(1), "{name}");
    }
    let again = undo(&manifest);
    assert!(again.values().all(|outcome| *outcome == Undone::WasNotDone), "{again:?}");
}

#[test]
fn a_hard_link_that_was_written_to_is_left_as_it_is() {
    let folder = with_copies();
    let (manifest, _) = apply(&folder, Mode::Hardlink, Relation::SameBytes);
    fs::remove_file(folder.path("a.png")).unwrap();
    fs::write(folder.path("c.png"), b"changed").unwrap();
    let outcomes = undo(&manifest);
    let is_refused =
        |outcome: &Undone| matches!(outcome, Undone::Skipped(why) if why.contains("changed since"));
    assert!(outcomes.len() == 2 && outcomes.values().all(is_refused), "{outcomes:?}");
    assert_eq!(
        fs::read(folder.path("sub/b.png")).unwrap(),
        b"changed",
        "it was written to by its other name"
    );
}

#[test]
fn a_link_whose_kept_file_is_gone_is_told_of_and_the_others_are_undone() {
    let folder = with_copies();
    folder.write("alone too.png", &png(2));
    let (manifest, _) = apply(&folder, Mode::Symlink, Relation::SameBytes);
    let moved = folder.bench.home.path().join("moved.png");
    fs::rename(folder.path("a.png"), &moved).unwrap();
    let outcomes = undo(&manifest);
    let done: Vec<&String> =
        outcomes.iter().filter(|(_, outcome)| **outcome == Undone::Done).map(|(name, _)| name).collect();
    assert_eq!(done.len(), 1, "{outcomes:?}");
    assert!(done[0].starts_with("alone") && !is_link(&folder, done[0]), "{outcomes:?}");
    for name in ["c.png", "sub/b.png"] {
        let why = "it is a link to a.png, which cannot be read";
        assert!(matches!(&outcomes[name], Undone::Skipped(told) if told.starts_with(why)), "{outcomes:?}");
    }
    fs::rename(&moved, folder.path("a.png")).unwrap();
    let outcomes = undo(&manifest);
    assert!(["c.png", "sub/b.png"].iter().all(|name| outcomes[*name] == Undone::Done), "{outcomes:?}");
    assert_eq!(fs::read(folder.path("c.png")).unwrap(), png(1));
}

#[test]
fn a_link_whose_kept_name_is_another_file_by_now_is_refused_and_nothing_is_written_over() {
    for (mode, is_as_old) in [(Mode::Hardlink, false), (Mode::Hardlink, true), (Mode::Symlink, false)] {
        let folder = with_copies();
        // As `cp -p` leaves them.
        for name in ["a.png", "c.png", "sub/b.png"].iter().filter(|_| is_as_old) {
            let file = fs::File::options().write(true).open(folder.path(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
        }
        let (manifest, _) = apply(&folder, mode, Relation::SameBytes);
        fs::remove_file(folder.path("a.png")).unwrap();
        folder.write("a.png", &png(7));
        let before = contents(folder.root.path());
        let outcomes = undo(&manifest);
        let is_refused = |outcome: &Undone| {
            matches!(outcome, Undone::Skipped(why) if why.contains("a.png is another file by now")
                || why.contains("a.png, which is another file by now"))
        };
        assert!(
            outcomes.len() == 2 && outcomes.values().all(is_refused),
            "{mode:?}, {is_as_old}: {outcomes:?}"
        );
        assert_eq!(contents(folder.root.path()), before, "{mode:?}, {is_as_old}");
        let names = fs::metadata(folder.path("sub/b.png")).unwrap().nlink();
        assert!(is_link(&folder, "c.png") || names == 2, "{mode:?}, {is_as_old}: still a link");
    }
}

#[test]
fn links_are_told_of_where_copies_are_taken_away() {
    let shell = Shell::alone();
    shell.write("pictures/a.png", &png(1));
    std::os::unix::fs::symlink("a.png", shell.path("pictures/b.png")).unwrap();
    let ran = shell.run(&["scan", "pictures", "--apply", "trash", "--yes"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.out.contains(", a link)") && ran.out.contains(", a link leads to it)"), "{ran:?}");
    assert!(ran.err.contains("1 links are left alone") && ran.err.contains("nothing to be done"), "{ran:?}");
    assert_eq!(fs::read(shell.path("pictures/b.png")).unwrap(), png(1));
}

#[test]
fn a_folder_that_a_link_leads_to_is_left_alone_under_every_name() {
    for mode in [Mode::Symlink, Mode::Trash] {
        let folder = Folder::new();
        for name in ["v1/x.png", "v2/x.png", "v2/again.png", "kept.png"] {
            folder.write(name, &png(1));
        }
        // Hidden, so that what lies in it is scanned behind the link alone.
        folder.write(".store/a/b/y.png", &png(1));
        std::os::unix::fs::symlink("v2", folder.path("current")).unwrap();
        std::os::unix::fs::symlink(".store/a/b", folder.path("linked")).unwrap();
        let (_, outcomes) = apply(&folder, mode, Relation::SameBytes);
        assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["kept.png"], "{mode:?}");
        assert!(outcomes.values().all(|outcome| *outcome == Applied::Done), "{mode:?}: {outcomes:?}");
        for name in ["v2/x.png", "v2/again.png", "current/x.png", ".store/a/b/y.png", "linked/y.png"] {
            assert_eq!(fs::read(folder.path(name)).unwrap(), png(1), "{mode:?} {name}");
            assert!(!is_link(&folder, name), "{mode:?} {name}");
        }
    }
}
