//! Files that were recognised by sight: known by their bytes from then on, as long as that holds.

use tongkuan::engine::{Outcome, PhotoRef, Sameness};
use tongkuan::verdict::Rule;

use crate::bound::{calibration, keep};
use crate::fakes::{Bench, png, query};
use crate::told::copy;

#[test]
fn a_file_that_was_recognised_by_sight_is_neither_decoded_nor_judged_again() {
    let bench = Bench::new();
    let engine = bench.engine();
    engine.search(&query(&png(1))).unwrap();
    let first = engine.search(&query(&copy(1))).unwrap();
    assert_eq!((first.verdict, first.rule()), (Outcome::Hit, Some(Rule::SamePicture)));
    // What was recognised is on disk when the engine is closed.
    drop(engine);
    let inferences = bench.inferences();
    let second = bench.engine().search(&query(&copy(1))).unwrap();
    assert_eq!((second.verdict, second.rule()), (first.verdict, first.rule()));
    assert_eq!(second.matched, first.matched);
    assert_eq!((second.score(), second.confidence()), (first.score(), first.confidence()));
    assert_eq!((second.timings_ms.decode, bench.inferences()), (None, inferences));
    assert_eq!(bench.calls(), 1);
}

#[test]
fn what_is_recognised_goes_with_the_photo_and_with_a_word_against_it() {
    let bench = Bench::new();
    let engine = bench.engine();
    let own = |seed| engine.search(&query(&png(seed))).unwrap().verdict;
    assert_eq!((own(1), own(2)), (Outcome::Miss, Outcome::Miss));
    for seed in [1, 2] {
        assert_eq!(engine.search(&query(&copy(seed))).unwrap().verdict, Outcome::Hit);
    }
    drop(engine);
    let engine = bench.engine();
    let photo = |seed| engine.photo_of(&png(seed)).unwrap().unwrap();
    let (one, other) = (photo(1), photo(2));
    engine.forget(&[one]).unwrap();
    assert_eq!(engine.search(&query(&copy(1))).unwrap().verdict, Outcome::Miss);
    let new = engine.photo_of(&copy(1)).unwrap().unwrap();
    engine.tell(PhotoRef::Photo(new), PhotoRef::Photo(other), Sameness::Different).unwrap();
    let inferences = bench.inferences();
    assert_eq!(engine.search(&query(&copy(2))).unwrap().verdict, Outcome::Hit);
    assert_eq!(bench.inferences(), inferences + 1, "judged again");
}

#[test]
fn a_stricter_bound_judges_again_what_was_recognised_for_a_weaker_one() {
    let bench = Bench::new();
    keep(&bench, &calibration(5000, 0));
    let engine = |bound| bench.builder().max_false_hit(bound).open().unwrap();
    let judged = |bound| {
        let inferences = bench.inferences();
        assert_eq!(engine(bound).search(&query(&copy(1))).unwrap().verdict, Outcome::Hit);
        bench.inferences() - inferences
    };
    engine(0.01).add_own(&crate::fakes::offer("A-1"), &png(1), "a.png").unwrap();
    assert_eq!((judged(0.01), judged(0.01), judged(0.02)), (1, 0, 0));
    assert_eq!((judged(0.005), judged(0.005), judged(0.01)), (1, 0, 0));
}
