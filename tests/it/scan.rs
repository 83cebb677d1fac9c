//! Groups of same pictures in a folder: what belongs together, what may go, and what stays known.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, crop_imm, resize};
use image::{ImageFormat, RgbImage};
use serde_json::Value;
use tongkuan::cancel::{Cancel, Interrupt};
use tongkuan::engine::{Engine, PhotoRef, Progress, Sameness, Silent};
use tongkuan::scan::{
    self, Action, Applied, Depth, Group, Manifest, Mode, PageOptions, Relation, Scan, ScanEnd, ScanError,
    Undone,
};

use crate::cli::{Shell, text};
use crate::fakes::{Bench, encoded, picture, png};

/// A folder with pictures, and a place for what is known of it.
pub(crate) struct Folder {
    pub(crate) root: tempfile::TempDir,
    pub(crate) bench: Bench,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), bench: Bench::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Long enough ago that the clock's tick is no reason to read it again.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        self.write_at(name, bytes, 1000)
    }

    pub(crate) fn write_at(&self, name: &str, bytes: &[u8], secs_ago: u64) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(secs_ago)).unwrap();
        path
    }

    fn engine(&self) -> Engine {
        self.bench.builder().without_graph().open().unwrap()
    }

    pub(crate) fn open(&self) -> Scan {
        Scan::open(self.root.path(), self.engine()).unwrap()
    }

    pub(crate) fn scan(&self) -> Scan {
        let mut scan = self.open();
        assert_eq!(scan.run(Depth::Grouped, &Interrupt::never(), &Silent).unwrap(), ScanEnd::Done);
        scan
    }
}

pub(crate) fn groups(scan: &mut Scan) -> Vec<Group> {
    let mut groups = Vec::new();
    scan.each_group(&mut |group| {
        groups.push(group.clone());
        Ok(())
    })
    .unwrap();
    groups
}

/// Names and relations of every group, sorted; the kept one is marked.
pub(crate) fn shape(scan: &mut Scan) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = groups(scan)
        .iter()
        .map(|group| {
            let mut names: Vec<String> = group
                .members
                .iter()
                .map(|m| format!("{}{} {}", if m.keep { "*" } else { "" }, m.file.name, m.relation))
                .collect();
            names.sort();
            names
        })
        .collect();
    all.sort();
    all
}

pub(crate) fn jpeg(picture: &RgbImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(picture).unwrap();
    bytes
}

/// The picture of a seed in half its size.
pub(crate) fn smaller(seed: u32) -> Vec<u8> {
    encoded(&resize(&picture(seed), 96, 72, FilterType::CatmullRom), ImageFormat::Png)
}

/// The picture of a seed with a mark on it.
fn stamped(seed: u32) -> Vec<u8> {
    let mut other = picture(seed);
    for (_, _, pixel) in
        other.enumerate_pixels_mut().filter(|(x, y, _)| (100..126).contains(x) && (20..34).contains(y))
    {
        pixel.0 = [250; 3];
    }
    jpeg(&other, 92)
}

/// With what a camera writes about a picture.
fn with_exif(jpeg: &[u8], mark: u8) -> Vec<u8> {
    [&jpeg[..2], &[0xFF, 0xE1, 0x04, 0x02], b"Exif\0\0", &[mark; 1018], &jpeg[2..]].concat()
}

#[test]
fn a_picture_with_what_its_camera_wrote_stays_and_a_bare_copy_of_it_goes() {
    let folder = Folder::new();
    let bare = jpeg(&picture(1), 90);
    folder.write_at("bare.jpg", &bare, 9000);
    folder.write("camera.jpg", &with_exif(&bare, 1));
    folder.write("other-camera.jpg", &with_exif(&bare, 2));
    let (_, outcomes) = apply(&folder, Mode::Trash, Relation::SamePixels);
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["bare.jpg"], "{outcomes:?}");
    assert!(folder.path("camera.jpg").exists() && folder.path("other-camera.jpg").exists());
}

#[test]
fn a_group_tells_how_each_file_is_the_same_and_which_is_worth_keeping() {
    let folder = Folder::new();
    folder.write("a.png", &png(1));
    folder.write_at("b/older.png", &png(1), 9000);
    folder.write("c.bmp", &encoded(&picture(1), ImageFormat::Bmp));
    folder.write("d.jpg", &jpeg(&picture(1), 85));
    folder.write("e.png", &smaller(1));
    folder.write("f.jpg", &jpeg(&crop_imm(&picture(1), 6, 4, 148, 111).to_image(), 92));
    folder.write("other.png", &png(2));
    folder.write("notes.txt", b"no picture");
    let mut scan = folder.scan();
    let found = shape(&mut scan);
    assert_eq!(found.len(), 1, "{found:?}");
    // The bitmap has the most bytes of those with the most pixels, so it stands for the group; of equal pixels, the oldest
    // file is worth keeping.
    assert_eq!(
        found[0],
        [
            "*b/older.png same_pixels",
            "a.png same_pixels",
            "c.bmp medoid",
            "d.jpg re_encoded",
            "e.png re_encoded",
            "f.jpg edited"
        ]
    );
    let summary = scan.summary();
    assert_eq!((summary.files, summary.groups, summary.extra_files, summary.failed), (7, 1, 5, 0));
}

#[test]
fn neither_the_order_of_the_files_nor_the_number_of_threads_changes_a_group() {
    let write = |folder: &Folder, turned: bool| {
        let mut files: Vec<(String, Vec<u8>)> = (0..6)
            .flat_map(|seed| {
                [
                    (format!("{seed}.png"), png(seed)),
                    (format!("{seed}.jpg"), jpeg(&picture(seed), 80)),
                    (format!("{seed}-small.png"), smaller(seed)),
                    (format!("{seed}-stamped.jpg"), stamped(seed)),
                ]
            })
            .collect();
        if turned {
            files.reverse();
        }
        for (name, bytes) in files {
            let path = folder.write(&name, &bytes);
            // Which one is kept depends on their times, too.
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
        }
    };
    let found = |threads: usize, turned: bool| {
        let folder = Folder::new();
        write(&folder, turned);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| shape(&mut folder.scan()))
    };
    let one = found(1, false);
    assert_eq!(one.len(), 6);
    assert_eq!(one, found(7, true));
}

#[test]
fn what_was_added_later_is_grouped_as_if_it_had_always_been_there() {
    let seeds = [1, 2, 3];
    let late = Folder::new();
    for seed in seeds {
        late.write(&format!("{seed}-small.png"), &smaller(seed));
    }
    drop(late.scan());
    for seed in seeds {
        late.write(&format!("{seed}.png"), &png(seed));
    }
    let early = Folder::new();
    for seed in seeds {
        early.write(&format!("{seed}.png"), &png(seed));
        early.write(&format!("{seed}-small.png"), &smaller(seed));
    }
    assert_eq!(shape(&mut late.scan()), shape(&mut early.scan()));
}

#[test]
fn a_second_scan_opens_changed_files_only_and_says_the_same() {
    let folder = Folder::new();
    for seed in 0..10 {
        folder.write(&format!("{seed}.png"), &png(seed));
        folder.write(&format!("{seed}.jpg"), &jpeg(&picture(seed), 80));
    }
    let mut first = folder.scan();
    let before = shape(&mut first);
    assert_eq!((first.summary().read, first.summary().embedded), (20, 20));
    drop(first);
    let inferences = folder.bench.inferences();
    // What is not opened need not be a picture any more: the same size and time, other bytes.
    let path = folder.path("7.png");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let size = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    fs::write(&path, vec![0; size]).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let mut second = folder.scan();
    let summary = second.summary().clone();
    assert_eq!((summary.read, summary.unchanged, summary.judged, summary.failed), (0, 20, 0, 0));
    assert_eq!(shape(&mut second), before);
    drop(second);
    folder.write_at("8.png", &png(99), 500);
    folder.write_at("new.png", &png(9), 500);
    fs::remove_file(folder.path("3.jpg")).unwrap();
    let mut third = folder.scan();
    assert_eq!((third.summary().read, third.summary().unchanged), (2, 18));
    assert_eq!(folder.bench.inferences(), inferences + 1, "one picture is new");
    let after = shape(&mut third);
    assert!(after.iter().any(|group| group.iter().any(|name| name.contains("new.png"))), "{after:?}");
    let is_there = |name: &str| {
        let names = after.iter().flatten().filter_map(|shown| shown.trim_start_matches('*').split_once(' '));
        names.into_iter().any(|(shown, _)| shown == name)
    };
    assert!(is_there("9.jpg") && !is_there("3.jpg") && !is_there("8.png"), "{after:?}");
}

/// Raises a flag at a step.
pub(crate) struct StopAt<'s>(pub(crate) &'s Cancel, pub(crate) usize);

impl Progress for StopAt<'_> {
    fn note(&self, _: &str) {}

    fn step(&self, what: &str, done: usize, _: usize) {
        if what == "comparing" && done >= self.1 {
            self.0.cancel();
        }
    }
}

#[test]
fn an_interrupted_scan_goes_on_where_it_stopped() {
    let folder = Folder::new();
    // Blank ones take no judging.
    for side in 10..110 {
        let blank = RgbImage::from_pixel(side, 20, image::Rgb([255; 3]));
        folder.write(&format!("{side}.png"), &encoded(&blank, ImageFormat::Png));
    }
    let stop = Cancel::new();
    let mut scan = folder.open();
    assert_eq!(scan.run(Depth::Grouped, &stop.clone().into(), &StopAt(&stop, 64)).unwrap(), ScanEnd::Stopped);
    drop(scan);
    let done = folder.bench.inferences();
    assert!((1..100).contains(&done), "{done}");
    let scan = folder.scan();
    assert_eq!(folder.bench.inferences(), 100, "nothing was embedded twice");
    assert_eq!(scan.summary().read, 0);
}

#[test]
fn pictures_in_which_nothing_shows_are_grouped_by_their_pixels_alone() {
    let folder = Folder::new();
    for (name, side) in [("a.png", 90), ("b.png", 90), ("c.png", 120)] {
        let blank = RgbImage::from_pixel(side, side, image::Rgb([255; 3]));
        folder.write(name, &encoded(&blank, ImageFormat::Png));
    }
    assert_eq!(shape(&mut folder.scan()), [["*a.png medoid", "b.png same_bytes"]]);
}

#[test]
fn a_persons_word_outranks_the_judge() {
    let folder = Folder::new();
    let (a, b) = (png(1), jpeg(&picture(1), 80));
    let (c, d) = (png(2), png(3));
    for (name, bytes) in [("a.png", &a), ("b.jpg", &b), ("c.png", &c), ("d.png", &d)] {
        folder.write(name, bytes);
    }
    let mut scan = folder.scan();
    assert_eq!(shape(&mut scan).len(), 1);
    let file = |bytes| PhotoRef::File { bytes, label: "x" };
    scan.engine().tell(file(&a), file(&b), Sameness::Different).unwrap();
    scan.engine().tell(file(&c), file(&d), Sameness::Same).unwrap();
    drop(scan);
    let found = shape(&mut folder.scan());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].iter().any(|name| name.contains("told")), "{found:?}");
    assert!(found[0].iter().all(|name| !name.contains("a.png") && !name.contains("b.jpg")), "{found:?}");
}

#[test]
fn what_is_no_picture_and_what_cannot_be_read_is_told_and_stops_nothing() {
    let folder = Folder::new();
    folder.write("good.png", &png(1));
    folder.write("cut.png", &png(2)[..200]);
    folder.write("empty.png", b"");
    let scan = folder.scan();
    let troubles = scan.troubles().unwrap();
    assert_eq!(troubles.len(), 1);
    assert_eq!((troubles[0].name.as_str(), troubles[0].code.is_empty()), ("cut.png", false));
    assert_eq!((scan.summary().files, scan.summary().failed), (2, 1));
    assert!(scan.skipped().iter().any(|(name, _)| name == "empty.png"));
}

#[test]
fn nothing_is_written_into_the_folder_and_a_second_scan_at_once_is_refused() {
    let folder = Folder::new();
    folder.write("a.png", &png(1));
    let names = |root: &Path| {
        let mut names: Vec<_> = fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let scan = folder.scan();
    assert_eq!(names(folder.root.path()), ["a.png"]);
    let second = Scan::open(folder.root.path(), folder.engine());
    assert!(matches!(second, Err(ScanError::Busy { .. })));
    drop(scan);
    let other = tempfile::tempdir().unwrap();
    assert!(matches!(Scan::open(other.path(), folder.engine()), Err(ScanError::OtherFolder { .. })));
}

/// Three files of the same bytes, one of the same pixels, one re-encoded.
pub(crate) fn with_copies() -> Folder {
    let folder = Folder::new();
    folder.write_at("a.png", &png(1), 5000);
    folder.write("sub/b.png", &png(1));
    folder.write("c.png", &png(1));
    folder.write("d.bmp", &encoded(&picture(1), ImageFormat::Bmp));
    folder.write("e.jpg", &jpeg(&picture(1), 80));
    folder.write("alone.png", &png(2));
    folder
}

/// Plans and does it; returns the manifest and what came of each file.
pub(crate) fn apply(folder: &Folder, mode: Mode, up_to: Relation) -> (PathBuf, BTreeMap<String, Applied>) {
    let mut scan = folder.scan();
    let (home, root) = (folder.bench.home.path().to_path_buf(), scan.folder().to_path_buf());
    let mut manifest = Manifest::begin(&home, &root, mode, scan.engine().now()).unwrap();
    scan.each_group(&mut |group| scan::plan(group, up_to).iter().try_for_each(|action| manifest.add(action)))
        .unwrap();
    let manifest = manifest.end().unwrap().unwrap();
    let mut outcomes = BTreeMap::new();
    scan::apply(&manifest, &mut |action: &Action, outcome| {
        outcomes.insert(action.path.display().to_string(), outcome);
        true
    })
    .unwrap();
    (manifest, outcomes)
}

/// What every file below the folder holds, by name; hidden ones, too.
pub(crate) fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn read(root: &Path, folder: &Path, all: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(root, &path, all);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                all.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    read(root, root, &mut all);
    all
}

#[test]
fn files_go_to_the_trash_and_come_back_as_they_were() {
    let folder = with_copies();
    let before = contents(folder.root.path());
    let (manifest, outcomes) = apply(&folder, Mode::Trash, Relation::SamePixels);
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["c.png", "d.bmp", "sub/b.png"]);
    assert!(outcomes.values().all(|outcome| *outcome == Applied::Done), "{outcomes:?}");
    let left = contents(folder.root.path());
    let names: Vec<&String> = left.keys().filter(|name| !name.starts_with(scan::TRASH_NAME)).collect();
    assert_eq!(
        names,
        ["a.png", "alone.png", "e.jpg"],
        "the oldest of equal pixels stays, and what is only like it"
    );
    // The trash is not scanned.
    assert_eq!(folder.scan().summary().files, 3);
    let mut undone = Vec::new();
    scan::undo(&manifest, &mut |_, outcome| undone.push(outcome)).unwrap();
    assert_eq!(undone, [Undone::Done, Undone::Done, Undone::Done]);
    assert_eq!(contents(folder.root.path()), before);
    undone.clear();
    scan::undo(&manifest, &mut |_, outcome| undone.push(outcome)).unwrap();
    assert_eq!(undone, [Undone::WasNotDone, Undone::WasNotDone, Undone::WasNotDone]);
}

#[test]
fn re_encoded_files_go_only_where_that_was_said_and_the_most_pixels_stay() {
    let folder = with_copies();
    folder.write("small.png", &smaller(1));
    folder.write("stamped.jpg", &stamped(1));
    let (_, outcomes) = apply(&folder, Mode::Trash, Relation::ReEncoded);
    assert!(outcomes.contains_key("small.png") && outcomes.contains_key("e.jpg"), "{outcomes:?}");
    assert!(!outcomes.contains_key("stamped.jpg"), "an edited one is not the same for this");
    assert!(!folder.path("small.png").exists() && folder.path("a.png").exists());
}

#[cfg(unix)]
#[test]
fn links_take_the_place_of_files_with_the_same_bytes_and_give_it_back() {
    for mode in [Mode::Hardlink, Mode::Symlink] {
        let folder = with_copies();
        let before = contents(folder.root.path());
        let time = |name| fs::metadata(folder.path(name)).unwrap().modified().unwrap();
        let was = time("sub/b.png");
        let (manifest, outcomes) = apply(&folder, mode, Relation::SameBytes);
        assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["c.png", "sub/b.png"]);
        assert!(outcomes.values().all(|outcome| *outcome == Applied::Done), "{mode:?}: {outcomes:?}");
        assert_eq!(contents(folder.root.path()), before, "every name shows what it showed");
        let is_link = fs::symlink_metadata(folder.path("sub/b.png")).unwrap().is_symlink();
        assert_eq!(is_link, mode == Mode::Symlink);
        // A second time there is nothing to be done.
        let mut scan = folder.scan();
        let again: usize = groups(&mut scan).iter().map(|g| scan::plan(g, Relation::SameBytes).len()).sum();
        assert_eq!(again, 0, "{mode:?}");
        drop(scan);
        let mut undone = Vec::new();
        scan::undo(&manifest, &mut |_, outcome| undone.push(outcome)).unwrap();
        assert_eq!(undone, [Undone::Done, Undone::Done]);
        assert_eq!(contents(folder.root.path()), before);
        assert_eq!(time("sub/b.png"), was);
        fs::write(folder.path("a.png"), b"changed").unwrap();
        assert_eq!(fs::read(folder.path("c.png")).unwrap(), png(1), "each has its own content again");
    }
}

#[test]
fn a_file_that_has_changed_and_a_last_copy_are_left_alone() {
    let folder = with_copies();
    let mut scan = folder.scan();
    let root = scan.folder().to_path_buf();
    let mut manifest =
        Manifest::begin(folder.bench.home.path(), &root, Mode::Trash, scan.engine().now()).unwrap();
    let all = groups(&mut scan);
    for action in scan::plan(&all[0], Relation::SamePixels) {
        manifest.add(&action).unwrap();
    }
    let manifest = manifest.end().unwrap().unwrap();
    // One of those that were to go, and the one that was to stay.
    let time = fs::metadata(folder.path("c.png")).unwrap().modified().unwrap();
    let mut bytes = png(1);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(folder.path("c.png"), bytes).unwrap();
    fs::File::options().write(true).open(folder.path("c.png")).unwrap().set_modified(time).unwrap();
    let mut outcomes = BTreeMap::new();
    fs::remove_file(folder.path("a.png")).unwrap();
    scan::apply(&manifest, &mut |action, outcome| {
        outcomes.insert(action.path.display().to_string(), outcome);
        true
    })
    .unwrap();
    assert_eq!(outcomes.len(), 3);
    assert!(outcomes.values().all(|outcome| matches!(outcome, Applied::Skipped(_))), "{outcomes:?}");
    assert!(matches!(&outcomes["c.png"], Applied::Skipped(why) if why.contains("changed")), "{outcomes:?}");
    for name in ["sub/b.png", "c.png", "d.bmp", "e.jpg"] {
        assert!(folder.path(name).exists(), "{name}");
    }
}

#[test]
fn a_manifest_that_leads_out_of_its_folder_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let manifest = place.path().join("undo.ndjson");
    let header = format!(
        "{{\"tongkuan_scan_manifest\":1,\"folder\":{:?},\"mode\":\"trash\",\"trash\":\"t\",\"at\":\"2026-11-24T00:00:00Z\"}}",
        place.path()
    );
    let action = |path: &str| {
        format!(
            "{{\"path\":{path:?},\"kept\":\"k\",\"relation\":\"same_bytes\",\"bytes\":1,\"mtime_ns\":1,\
             \"byte_digest\":\"a\",\"kept_digest\":\"b\"}}"
        )
    };
    for path in ["../x", "/etc/x", "a/../../x"] {
        fs::write(&manifest, format!("{header}\n{}\n", action(path))).unwrap();
        let refused = scan::undo(&manifest, &mut |_, _| panic!("nothing is undone"));
        assert!(matches!(refused, Err(ScanError::Manifest { .. })), "{path}");
    }
}

#[test]
fn a_hostile_file_name_is_inert_on_the_page_and_the_page_loads_nothing() {
    let folder = Folder::new();
    let hostile = "x\"><script>alert(1)<:script>&'.png";
    folder.write(hostile, &png(1));
    folder.write("</style><img src=x onerror=alert(1)>.jpg".replace('/', ":").as_str(), &stamped(1));
    folder.write("b.png", &png(1));
    let mut scan = folder.scan();
    let page = folder.bench.home.path().join("page.html");
    scan::write_page(&mut scan, &page, PageOptions::default()).unwrap();
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("x&quot;&gt;&lt;script&gt;alert(1)"), "the name is there, as text");
    // One script, the page's own, which alone is allowed to run.
    assert_eq!(html.matches("<script").count(), 1);
    assert!(!html.contains("<img src=x"));
    assert!(html.contains("default-src 'none'") && html.contains("script-src 'sha256-"));
    for outside in ["http:", "https:", "src=\"/", "@import", "<link", "<iframe"] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.contains("data:image/jpeg;base64,") && html.contains("data:image/png;base64,"));
    assert!(html.contains("lang=\"zh\"") && html.contains("prefers-color-scheme"));
}

#[test]
fn a_page_keeps_to_its_number_of_pictures_and_says_what_it_left_out() {
    let folder = Folder::new();
    for seed in 0..7 {
        folder.write(&format!("{seed}.png"), &png(seed));
        folder.write(&format!("{seed}.jpg"), &stamped(seed));
    }
    let mut scan = folder.scan();
    let page = folder.bench.home.path().join("page.html");
    scan::write_page(&mut scan, &page, PageOptions { pictures: 6 }).unwrap();
    let html = fs::read_to_string(&page).unwrap();
    assert_eq!(html.matches("<article").count(), 3);
    // Drawn pictures may resemble others, which makes pairs beside the groups.
    let before = html.split(" more groups and pairs had no room").next().unwrap();
    let left_out: usize = before.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    assert!(left_out >= 4, "{left_out}");
}

#[test]
fn the_command_prints_groups_as_people_and_as_programs_want_them() {
    let shell = Shell::alone();
    let write = |name: &str, bytes: &[u8]| shell.write(&format!("pictures/{name}"), bytes);
    write("a.png", &png(1));
    write("b.jpg", &jpeg(&picture(1), 85));
    write("c.png", &png(2));
    let ran = shell.run(&["scan", "pictures"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.out.contains("group 1: 2 files") && ran.out.contains("re-encoded"), "{ran:?}");
    let ran = shell.run(&["scan", "pictures", "--json", "--csv", "groups.csv", "--html", "page.html"]);
    let lines = ran.lines();
    let kinds: Vec<&str> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["group", "summary"]);
    assert!(lines.iter().all(|line| line.get("id") == Some(&Value::Null)), "it is about no one picture");
    assert_eq!(lines[1]["unchanged"].as_u64().unwrap() + lines[1]["read"].as_u64().unwrap(), 3);
    assert_eq!(lines[0]["members"].as_array().unwrap().len(), 2);
    assert_eq!(fs::read_to_string(shell.path("groups.csv")).unwrap().lines().count(), 3);
    assert!(fs::read_to_string(shell.path("page.html")).unwrap().contains("<article"));
    assert!(!shell.path("home/catalog.sqlite").exists(), "the user's own home is not made by a scan");
    // Nothing goes without --yes.
    let ran = shell.run(&["scan", "pictures", "--apply", "trash", "--up-to", "re-encoded"]);
    assert!(
        ran.out.contains("would move to the trash: b.jpg (stands for the group, keeping a.png)"),
        "{ran:?}"
    );
    assert!(shell.path("pictures/b.jpg").exists());
    let ran =
        shell.run(&["scan", "pictures", "--apply", "trash", "--up-to", "re-encoded", "--yes", "--json"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(!shell.path("pictures/b.jpg").exists());
    let manifest = ran.lines().into_iter().find(|line| line["kind"] == "manifest").unwrap();
    let applied = ran.lines().into_iter().find(|line| line["kind"] == "applied").unwrap();
    assert_eq!((&applied["id"], &manifest["id"]), (&Value::from("b.jpg"), &Value::Null), "{ran:?}");
    let ran = shell.run(&["scan", "--undo", manifest["path"].as_str().unwrap()]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(shell.path("pictures/b.jpg").exists());
}

#[test]
fn the_command_says_which_pictures_are_there_already() {
    let shell = Shell::alone();
    shell.write("new/a.jpg", &jpeg(&picture(1), 85));
    shell.write("new/b.png", &png(7));
    shell.write("old/x.png", &png(1));
    let of = |lines: &[Value], id: &str| lines.iter().find(|line| line["id"] == id).cloned().unwrap();
    let ran = shell.run(&["scan", "new", "--against", "old", "--json"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let lines = ran.lines();
    assert_eq!(of(&lines, "a.jpg")["verdict"], "seen");
    assert_eq!(of(&lines, "a.jpg")["matched"]["name"], "x.png");
    assert_ne!(of(&lines, "b.png")["verdict"], "seen", "it may resemble the other");
    let ran = shell.run(&["add", "old"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let ran = shell.run(&["scan", "new", "--against", "home", "--json"]);
    assert_eq!(of(&ran.lines(), "a.jpg")["verdict"], "seen", "{ran:?}");
}

#[test]
fn what_the_page_saves_is_imported_and_kept_to() {
    let shell = Shell::alone();
    shell.write("pictures/a.png", &png(1));
    shell.write("pictures/b.jpg", &jpeg(&picture(1), 85));
    let ran = shell.run(&["scan", "pictures", "--json"]);
    let group = &ran.lines()[0];
    // As page.js writes it.
    let side = |member: usize| {
        let file = &group["members"][member];
        serde_json::json!({"byte_digest": file["byte_digest"], "pixel_digest": file["pixel_digest"], "label": file["name"]})
    };
    let verdict = serde_json::json!({"same": false, "one": side(0), "other": side(1)});
    let file = shell.write("verdicts.ndjson", format!("{{\"tongkuan_verdicts\":1}}\n{verdict}\n").as_bytes());
    let ran = shell.run(&["verdicts", "--scan", "pictures", "import", text(&file)]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let ran = shell.run(&["scan", "pictures", "--json"]);
    assert_eq!(ran.lines().iter().filter(|line| line["kind"] == "group").count(), 0, "{ran:?}");
    let ran = shell.run(&["verdicts", "--scan", "pictures", "export"]);
    assert_eq!(ran.lines()[1]["same"], false);
}
