//! Scans of folders in which nothing has changed.

use std::fs;
use std::sync::Mutex;

use image::{ImageFormat, RgbImage};
use tongkuan::cancel::{Cancel, Interrupt};
use tongkuan::engine::{PhotoRef, Progress, Sameness, Silent};
use tongkuan::scan::{Depth, ScanEnd};

use crate::fakes::{encoded, picture, png};
use crate::scan::{Folder, StopAt, jpeg, shape};

/// What steps of comparing were told, as done and of how many.
#[derive(Default)]
struct Compared(Mutex<Vec<(usize, usize)>>);

impl Progress for Compared {
    fn note(&self, _: &str) {}

    fn step(&self, what: &str, done: usize, of: usize) {
        if what == "comparing" {
            self.0.lock().unwrap().push((done, of));
        }
    }
}

/// How many steps comparing took in another scan, and what was found.
fn scanned_again(folder: &Folder) -> (usize, Vec<Vec<String>>) {
    let (mut scan, compared) = (folder.open(), Compared::default());
    assert_eq!(scan.run(Depth::Grouped, &Interrupt::never(), &compared).unwrap(), ScanEnd::Done);
    let steps = compared.0.into_inner().unwrap();
    assert_eq!(steps.last().map(|(done, of)| done == of), Some(true));
    (steps.len(), shape(&mut scan))
}

#[test]
fn where_nothing_has_changed_nothing_is_compared() {
    let folder = Folder::new();
    for seed in 0..40 {
        folder.write(&format!("{seed}.png"), &png(seed));
        folder.write(&format!("{seed}.jpg"), &jpeg(&picture(seed), 80));
    }
    let before = shape(&mut folder.scan());
    // More than one chunk: a step for each, or one for all.
    assert_eq!(scanned_again(&folder), (1, before.clone()));
    assert_eq!(scanned_again(&folder), (1, before.clone()), "taken over from one that took over");
    // A scan that only takes pictures in leaves what was decided.
    let mut taking_in = folder.open();
    assert_eq!(taking_in.run(Depth::Stored, &Interrupt::never(), &Silent).unwrap(), ScanEnd::Done);
    drop(taking_in);
    assert_eq!(scanned_again(&folder), (1, before.clone()));
    // A word, a file more and a file less each have all compared once.
    let scan = folder.open();
    let file = |bytes| PhotoRef::File { bytes, label: "x" };
    let (one, other) = (png(3), jpeg(&picture(3), 80));
    scan.engine().tell(file(&one), file(&other), Sameness::Different).unwrap();
    drop(scan);
    let (steps, after) = scanned_again(&folder);
    assert_eq!((steps, after.len()), (2, before.len() - 1), "{after:?}");
    assert_eq!(scanned_again(&folder), (1, after.clone()));
    folder.write("new.png", &png(99));
    assert_eq!(scanned_again(&folder).0, 2);
    fs::remove_file(folder.path("new.png")).unwrap();
    assert_eq!(scanned_again(&folder), (2, after.clone()));
    assert_eq!(scanned_again(&folder), (1, after.clone()));
    // The same bytes by another name join without being compared.
    folder.write("3b.png", &png(3));
    let (steps, joined) = scanned_again(&folder);
    assert_eq!((steps, joined.len()), (1, after.len() + 1), "{joined:?}");
}

#[test]
fn a_scan_that_was_stopped_leaves_nothing_to_be_taken_over() {
    let folder = Folder::new();
    for side in 10..110 {
        let blank = RgbImage::from_pixel(side, 20, image::Rgb([255; 3]));
        folder.write(&format!("{side}.png"), &encoded(&blank, ImageFormat::Png));
    }
    let before = shape(&mut folder.scan());
    folder.write("new.png", &png(1));
    let stop = Cancel::new();
    let mut scan = folder.open();
    assert_eq!(scan.run(Depth::Grouped, &stop.clone().into(), &StopAt(&stop, 64)).unwrap(), ScanEnd::Stopped);
    drop(scan);
    fs::remove_file(folder.path("new.png")).unwrap();
    assert_eq!(scanned_again(&folder), (2, before));
}
