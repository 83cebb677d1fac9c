//! Checking pictures by the batch: what was seen before, what is new, in one step.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::{ImageFormat, RgbImage};
use tongkuan::cancel::{Cancel, Interrupt};
use tongkuan::engine::{
    BatchEnd, CheckItem, CheckListener, CheckOptions, CheckOutcome, CheckStats, Checked, Engine, EngineError,
    SecondLook,
};
use tongkuan::offer::OfferId;
use tongkuan::verdict::Rule;

use crate::fakes::{Bench, encoded, mix, offer, picture, png};

pub(crate) type Read = Box<dyn FnOnce() -> Result<Vec<u8>, EngineError> + Send>;
pub(crate) type Task = (u64, String, Result<CheckItem<Read>, EngineError>);
pub(crate) type Told = Vec<(u64, String, Result<Checked, EngineError>)>;

pub(crate) fn item(row: u64, label: &str, bytes: Vec<u8>) -> Task {
    let read: Read = Box::new(move || Ok(bytes));
    (row, label.to_owned(), Ok(CheckItem { label: label.to_owned(), read }))
}

pub(crate) fn items(pictures: &[Vec<u8>]) -> Vec<Task> {
    (0..).zip(pictures).map(|(row, bytes)| item(row, &format!("{row}.jpg"), bytes.clone())).collect()
}

/// Collects what was told, and where each group ends.
#[derive(Default)]
struct Ear {
    told: Told,
    ends: Vec<usize>,
}

impl CheckListener<String, EngineError> for Ear {
    fn line(&self, row: u64, place: &String, outcome: Result<&Checked, &EngineError>) -> Option<String> {
        Some(format!("{row} {place} {:?}", outcome.map(|checked| checked.outcome)))
    }

    fn told(&mut self, row: u64, place: String, outcome: Result<Checked, EngineError>) {
        self.told.push((row, place, outcome));
    }

    fn group_told(&mut self) {
        self.ends.push(self.told.len());
    }
}

pub(crate) const ADD: CheckOptions =
    CheckOptions { add: true, unordered: false, second_look: SecondLook::Always, run_id: None };

pub(crate) fn check_with(
    engine: &Engine,
    options: CheckOptions,
    tasks: impl IntoIterator<Item = Task, IntoIter: Send + 'static>,
) -> Told {
    let mut ear = Ear::default();
    let end = engine.check_all(tasks, options, &CheckStats::default(), &Interrupt::never(), &mut ear);
    assert_eq!(end.unwrap(), BatchEnd::Done);
    ear.told
}

pub(crate) fn outcomes(told: &Told) -> Vec<CheckOutcome> {
    told.iter().map(|(_, _, outcome)| outcome.as_ref().unwrap().outcome).collect()
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// The picture of `seed` as other bytes: re-encoded with this quality.
pub(crate) fn copy(seed: u32, quality: u8) -> Vec<u8> {
    jpeg(&picture(seed), quality)
}

fn jpeg(picture: &RgbImage, quality: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(picture).unwrap();
    bytes.into_inner()
}

use CheckOutcome::{New, Seen};

#[test]
fn a_new_picture_is_added_and_its_copies_are_seen_then_also_those_of_the_same_batch() {
    let bench = Bench::new();
    let engine = bench.engine();
    let first = check_with(&engine, ADD, items(&[png(1), copy(1, 80), png(1), png(2), copy(2, 60)]));
    assert_eq!(outcomes(&first), [New, Seen, Seen, New, Seen]);
    let checked: Vec<&Checked> = first.iter().map(|(_, _, outcome)| outcome.as_ref().unwrap()).collect();
    assert!(checked[0].added && checked[3].added && !checked[1].added);
    assert_eq!(checked.iter().map(|c| c.photo_id.unwrap().0).collect::<Vec<_>>(), [1, 1, 1, 2, 2]);
    assert_eq!(checked[1].matched.as_ref().unwrap().label, "0.jpg");
    assert_eq!((checked[1].rule, checked[2].rule), (Some(Rule::SamePicture), Some(Rule::SameBytes)));
    let again = check_with(&engine, ADD, items(&[png(2), copy(1, 70), png(3)]));
    assert_eq!(outcomes(&again), [Seen, Seen, New]);
    assert_eq!(engine.catalog().counts().unwrap().photos, 3);
    assert_eq!(bench.calls(), 0, "checking asks nobody");
}

#[test]
fn second_looks_that_the_first_rules_out_are_spared_unless_they_are_asked_for() {
    let bench = Bench::new();
    let engine = bench.engine();
    let likely = CheckOptions { second_look: SecondLook::WhenLikely, ..ADD };
    check_with(&engine, likely, items(&[png(1)]));
    bench.embedder.rules_out_composites.store(true, Ordering::SeqCst);
    assert_eq!(outcomes(&check_with(&engine, likely, items(&[png(2)]))), [New]);
    assert_eq!(bench.second_looks(), 0);
    assert_eq!(outcomes(&check_with(&engine, ADD, items(&[png(3)]))), [New]);
    assert_eq!(bench.second_looks(), 1);
    bench.embedder.rules_out_composites.store(false, Ordering::SeqCst);
    assert_eq!(outcomes(&check_with(&engine, likely, items(&[png(5)]))), [New]);
    assert_eq!(bench.second_looks(), 2);
}

#[test]
fn without_add_nothing_is_stored_and_copies_in_one_run_are_seen_all_the_same() {
    let bench = Bench::new();
    let engine = bench.engine();
    check_with(&engine, ADD, items(&[png(1)]));
    let pictures = [copy(1, 80), png(2), copy(2, 80), png(2), png(3)];
    for _ in 0..2 {
        let told = check_with(&engine, CheckOptions::default(), items(&pictures));
        assert_eq!(outcomes(&told), [Seen, New, Seen, Seen, New]);
        let matched = |place: usize| told[place].2.as_ref().unwrap().matched.clone().unwrap();
        assert_eq!((matched(0).photo_id.map(|id| id.0), matched(0).row), (Some(1), None));
        assert_eq!(
            (matched(2).photo_id, matched(2).row, matched(2).label.as_str()),
            (None, Some(1), "1.jpg")
        );
        assert_eq!(matched(3).row, Some(1));
        assert!(told.iter().all(|(_, _, outcome)| !outcome.as_ref().unwrap().added));
    }
    assert_eq!(engine.catalog().counts().unwrap().photos, 1);
}

#[test]
fn a_good_that_was_added_is_named_by_its_id() {
    let bench = Bench::new();
    let engine = bench.engine();
    engine.add_own(&offer("A-1"), &png(1), "a.png").unwrap();
    let told = check_with(&engine, ADD, items(&[copy(1, 80)]));
    let matched = told[0].2.as_ref().unwrap().matched.clone().unwrap();
    assert_eq!((matched.good, matched.label.as_str()), (Some(OfferId::new("A-1").unwrap()), "a.png"));
}

#[test]
fn an_input_that_cannot_be_read_is_an_error_of_its_row_alone() {
    let bench = Bench::new();
    let engine = bench.engine();
    let mut tasks = items(&[png(1), b"no picture".to_vec(), Vec::new(), png(2), png(1)[..60].to_vec()]);
    tasks.push((5, "gone".to_owned(), Err(EngineError::NoUpstream)));
    let told = check_with(&engine, ADD, tasks);
    let codes: Vec<Option<&str>> =
        told.iter().map(|(_, _, outcome)| outcome.as_ref().err().map(EngineError::code)).collect();
    assert_eq!(
        codes,
        [None, Some("not_a_picture"), Some("empty"), None, Some("truncated"), Some("no_upstream")]
    );
    assert_eq!(told.iter().map(|(row, ..)| *row).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

/// Copies, look-alikes and new ones in an order without a pattern.
fn shuffled(seed: u64, rows: u64) -> Vec<Vec<u8>> {
    (0..rows)
        .map(|row| {
            let of = u32::try_from(mix(row, seed) % (rows / 3)).unwrap();
            match mix(row, seed + 1) % 4 {
                0 => png(of),
                1 => copy(of, 90),
                2 => copy(of, 50),
                // In part another picture: what it is like depends on what is there.
                _ => {
                    let (mut both, other) = (picture(of), picture(of + 1));
                    image::imageops::replace(
                        &mut both,
                        &image::imageops::crop_imm(&other, 0, 0, 80, 120).to_image(),
                        0,
                        0,
                    );
                    jpeg(&both, 90)
                }
            }
        })
        .collect()
}

/// Checks the same pictures with 1, 2 and 8 threads, and one by one.
fn one_result_whatever_the_threads(seed: u64) {
    let pictures = shuffled(seed, 60);
    for options in [ADD, CheckOptions::default()] {
        // Each row a run of its own.
        let one_by_one = options.add.then(|| {
            let bench = Bench::new();
            let engine = bench.engine();
            let run = |task: Task| check_with(&engine, options, [task]).remove(0);
            items(&pictures).into_iter().map(run).collect::<Told>()
        });
        let runs: Vec<Told> = [1, 2, 8]
            .map(|threads| {
                let bench = Bench::new();
                let engine = bench.engine();
                on_threads(threads, || check_with(&engine, options, items(&pictures)))
            })
            .into();
        let texts = |told: &Told| told.iter().map(|told| format!("{told:?}")).collect::<Vec<_>>();
        let wanted = texts(one_by_one.as_ref().unwrap_or(&runs[0]));
        for run in &runs {
            for (found, wanted) in texts(run).iter().zip(&wanted) {
                assert_eq!(found, wanted, "seed {seed}");
            }
        }
        let kinds: BTreeSet<String> = outcomes(&runs[0]).iter().map(|o| format!("{o:?}")).collect();
        assert!(kinds.len() >= 2, "{kinds:?}");
    }
}

#[test]
fn the_result_is_that_of_one_after_the_other_whatever_the_threads() {
    one_result_whatever_the_threads(3);
}

#[test]
#[ignore = "soak: .ci/release runs it"]
fn the_result_is_that_of_one_after_the_other_for_other_pictures_too() {
    one_result_whatever_the_threads(20_261_127);
}

#[test]
fn of_copies_that_race_over_engines_on_one_home_exactly_one_is_new() {
    let bench = Bench::new();
    let pictures: Vec<u32> = (0..40).collect();
    let engines: Vec<Engine> = (0..8).map(|_| bench.engine()).collect();
    // A drawn picture may resemble another one, and be one to review: it is added all the same.
    let added = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (number, engine) in (0_u8..).zip(&engines) {
            let (added, pictures) = (&added, &pictures);
            scope.spawn(move || {
                let copies: Vec<Vec<u8>> = pictures.iter().map(|seed| copy(*seed, 60 + 4 * number)).collect();
                let told = check_with(engine, ADD, items(&copies));
                let of = told.iter().filter(|(_, _, outcome)| outcome.as_ref().unwrap().added);
                added.fetch_add(of.count(), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(added.into_inner(), pictures.len());
    assert_eq!(engines[0].catalog().counts().unwrap().photos, 40);
}

/// Counts the rows that it hears of, and stops the run at the three thousandth.
struct Counter<'a>(&'a AtomicUsize, &'a Cancel);

impl CheckListener<String, EngineError> for Counter<'_> {
    fn line(&self, _: u64, _: &String, _: Result<&Checked, &EngineError>) -> Option<String> {
        None
    }
    fn told(&mut self, _: u64, _: String, _: Result<Checked, EngineError>) {
        if self.0.fetch_add(1, Ordering::SeqCst) >= 3000 {
            self.1.cancel();
        }
    }
}

#[test]
fn an_endless_input_is_read_no_faster_than_it_is_told_of() {
    let bench = Bench::new();
    let engine = bench.engine();
    let (read, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let most = Arc::new(AtomicUsize::new(0));
    let tasks = {
        let (read, told, most) = (Arc::clone(&read), Arc::clone(&told), Arc::clone(&most));
        (0..).map(move |row: u64| {
            let ahead = read.fetch_add(1, Ordering::SeqCst) + 1 - told.load(Ordering::SeqCst);
            most.fetch_max(ahead, Ordering::SeqCst);
            item(row, "x", png(u32::try_from(row % 7).unwrap()))
        })
    };
    let stop = Cancel::new();
    let end = engine.check_all(
        tasks,
        ADD,
        &CheckStats::default(),
        &stop.clone().into(),
        &mut Counter(&told, &stop),
    );
    assert_eq!(end.unwrap(), BatchEnd::Stopped);
    let most = most.load(Ordering::SeqCst);
    assert!((2..=258).contains(&most), "{most} rows were under way");
}

/// Stops the run at the first row, and counts what was added.
struct Stopping<'a>(&'a Cancel, usize);

impl CheckListener<String, EngineError> for Stopping<'_> {
    fn line(&self, _: u64, _: &String, _: Result<&Checked, &EngineError>) -> Option<String> {
        None
    }
    fn told(&mut self, _: u64, _: String, outcome: Result<Checked, EngineError>) {
        self.1 += usize::from(outcome.unwrap().added);
        self.0.cancel();
    }
}

#[test]
fn when_it_is_stopped_what_was_not_told_of_is_not_stored() {
    let bench = Bench::new();
    let engine = bench.engine();
    let stop = Cancel::new();
    let mut listener = Stopping(&stop, 0);
    let pictures: Vec<Vec<u8>> = (0..400).map(png).collect();
    let end = engine
        .check_all(items(&pictures), ADD, &CheckStats::default(), &stop.clone().into(), &mut listener)
        .unwrap();
    assert_eq!(end, BatchEnd::Stopped);
    let stored = engine.catalog().counts().unwrap().photos;
    assert!(listener.1 > 0 && stored == listener.1 as u64 && stored < 400, "{stored}, {}", listener.1);
}

#[test]
fn the_lines_of_the_last_group_are_kept_with_it_until_the_run_ends() {
    let bench = Bench::new();
    let engine = bench.engine();
    let run_id = engine.check_run("out.ndjson", false).unwrap();
    let mut ear = Ear::default();
    let options = CheckOptions { run_id: Some(run_id), ..ADD };
    let tasks = items(&[png(1), png(1), png(2)]);
    engine.check_all(tasks, options, &CheckStats::default(), &Interrupt::never(), &mut ear).unwrap();
    assert_eq!(engine.check_run("out.ndjson", true).unwrap(), run_id);
    let kept = engine.kept_check_lines(run_id).unwrap();
    let wanted = ["0 0.jpg Ok(New)", "1 1.jpg Ok(Seen)", "2 2.jpg Ok(New)"];
    // On a slow machine there may be several.
    let last_group = ear.ends.iter().rev().nth(1).map_or(&wanted[..], |end| &wanted[*end..]);
    assert_eq!(kept.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>(), last_group);
    engine.end_check_run(run_id).unwrap();
    assert!(engine.kept_check_lines(run_id).unwrap().is_empty());
    let next = engine.check_run("out.ndjson", true).unwrap();
    assert_ne!(next, run_id, "a run that has ended is not resumed");
}

#[test]
fn a_picture_in_which_nothing_shows_is_no_reason_to_call_another_one_seen() {
    let bench = Bench::new();
    let engine = bench.engine();
    let blank = |format| encoded(&RgbImage::from_pixel(64, 64, image::Rgb([250; 3])), format);
    let told = check_with(
        &engine,
        ADD,
        items(&[blank(ImageFormat::Png), blank(ImageFormat::Bmp), blank(ImageFormat::Png)]),
    );
    assert_eq!(outcomes(&told), [New, CheckOutcome::Review, Seen]);
    assert!(!told[1].2.as_ref().unwrap().added, "its pixels are stored");
}

#[test]
fn a_re_encoded_or_mirrored_copy_is_seen_without_running_the_model() {
    let bench = Bench::new();
    let engine = bench.engine();
    // As in photographs, low frequencies outweigh high ones: in hard-edged tiles all count alike, and noise turns many bits.
    let soft = [1, 2].map(|seed| image::imageops::blur(&picture(seed), 4.0));
    check_with(&engine, ADD, items(&soft.each_ref().map(|picture| encoded(picture, ImageFormat::Png))));
    let inferences = bench.inferences();
    let small = image::imageops::resize(&soft[1], 100, 75, image::imageops::FilterType::Triangle);
    let mirrored = image::imageops::flip_horizontal(&soft[0]);
    let told = check_with(&engine, ADD, items(&[jpeg(&soft[0], 60), jpeg(&small, 80), jpeg(&mirrored, 90)]));
    assert_eq!(outcomes(&told), [Seen, Seen, Seen]);
    assert_eq!(bench.inferences(), inferences);
    for ((_, _, outcome), photo) in told.iter().zip([1, 2, 1]) {
        let checked = outcome.as_ref().unwrap();
        assert_eq!((checked.photo_id.unwrap().0, checked.rule), (photo, Some(Rule::SamePicture)));
        assert_eq!(checked.score, None, "no embedding was made");
        assert!(checked.confidence >= checked.threshold, "by the threshold that holds for all: {checked:?}");
    }
}

#[test]
fn what_only_a_hash_proposes_is_judged_by_the_model_where_the_verifier_is_not_sure() {
    let bench = Bench::new();
    let engine = bench.engine();
    check_with(&engine, ADD, items(&[png(1)]));
    let inferences = bench.inferences();
    // The same light and dark in other colours: a near hash, and another picture.
    let mut recoloured = picture(1);
    recoloured.pixels_mut().for_each(|pixel| pixel.0.rotate_right(1));
    let grey = |picture: &RgbImage| image::imageops::grayscale(picture);
    let lighter = image::imageops::brighten(&grey(&picture(1)), 8);
    let other = RgbImage::from_fn(lighter.width(), lighter.height(), |x, y| {
        let v = lighter[(x, y)].0[0];
        image::Rgb([v, v / 2, 255 - v / 2])
    });
    let told = check_with(&engine, ADD, items(&[jpeg(&other, 90), jpeg(&recoloured, 90)]));
    assert!(outcomes(&told).iter().all(|outcome| *outcome != Seen), "{told:?}");
    assert!(bench.inferences() >= inferences + 2);
}

#[test]
fn a_picture_that_was_forgotten_is_proposed_no_more_also_in_a_run_that_began_before() {
    let bench = Bench::new();
    let engine = bench.engine();
    let other = bench.engine();
    check_with(&engine, ADD, items(&[png(1), png(2)]));
    // On one thread the first row is through when the second one is read.
    let read: Read = Box::new(move || {
        other.forget(&[tongkuan::photo_id::PhotoId(1)])?;
        Ok(copy(1, 70))
    });
    let second = (1, "b".to_owned(), Ok(CheckItem { label: "b".to_owned(), read }));
    let told = on_threads(1, || check_with(&engine, ADD, [item(0, "a", copy(2, 70)), second]));
    assert_eq!(outcomes(&told), [Seen, New]);
    assert_eq!(outcomes(&check_with(&engine, ADD, items(&[copy(1, 50)]))), [Seen]);
}
