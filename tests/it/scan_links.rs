//! Links in a scanned folder: those that an earlier scan has made, and what becomes of them and of the files they lead to.

use std::fs;
use std::time::Duration;

use tongkuan::clock::Clock as _;
use tongkuan::scan::{self, Applied, Mode, Relation};

use crate::cli::Shell;
use crate::fakes::png;
use crate::scan::{Folder, apply, contents, groups, smaller, with_copies};

fn is_link(folder: &Folder, name: &str) -> bool {
    fs::symlink_metadata(folder.path(name)).unwrap().is_symlink()
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
