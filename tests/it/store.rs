//! What the engine relies on in any store: one battery, which each of them has to pass.

use std::time::Duration;

use tongkuan::calibration::{CALIBRATION_FORMAT, Calibration, Sample};
use tongkuan::catalog::Catalog;
use tongkuan::clock::Timestamp;
use tongkuan::embed::{Embedding, Fingerprint};
use tongkuan::offer::OfferId;
use tongkuan::photo::{Digest, PhotoFormat};
use tongkuan::photo_id::PhotoId;
use tongkuan::store::{
    AnswerKey, GoodsPhoto, NewAnswer, NewGood, NewPhoto, NewWaiting, Paid, PaidAnswer, Patience, PhotoFilter,
    Recognised, Refill, Refusal, Store, StoredVector, Subject, ToldRecord, WaitReason,
};
use tongkuan::upstream::{
    Booking, CallOutcome, LedgerError, QuotaDay, SearchParams, UpstreamError, UpstreamErrorKind,
};

use crate::fakes::offer;

pub(crate) const NOW: Timestamp = Timestamp::from_unix_ms(1_795_485_600_000);
pub(crate) const LATER: Timestamp = Timestamp::from_unix_ms(1_795_485_601_000);

/// Opens one and the same store, each time as another process would.
pub(crate) type Open<'a> = &'a dyn Fn() -> Box<dyn Store>;

/// A store of another kind is added here.
pub(crate) fn on_every_store(check: impl Fn(Open<'_>)) {
    let home = tempfile::tempdir().unwrap();
    check(&|| Box::new(Catalog::open(home.path()).unwrap()));
    #[cfg(feature = "postgres")]
    if let Some(home) = crate::postgres_home::PostgresHome::new() {
        check(&|| Box::new(home.open()));
    }
    // One in partitions that searches with pgvector, too, so that its vectors follow whatever is stored.
    #[cfg(feature = "postgres")]
    if let Some(home) = crate::postgres_home::PostgresHome::with_pgvector() {
        use tongkuan::store::VectorSearchStore as _;
        let home = home.partitioned();
        home.open().prepare_search(3, 0, false, &|_, _, _| {}).unwrap();
        check(&|| Box::new(home.open()));
    }
}

/// A made-up photo: its digests and its vector follow from `seed`.
pub(crate) struct Made {
    pub(crate) bytes: Digest,
    pub(crate) pixels: Digest,
    pub(crate) embedding: Embedding,
}

impl Made {
    pub(crate) fn of(seed: u8) -> Self {
        let embedding = Embedding::new(vec![1.0, f32::from(seed), 0.5]).unwrap();
        Self { bytes: Digest::of(&[seed, 0]), pixels: Digest::of(&[seed, 1]), embedding }
    }

    pub(crate) fn photo(&self) -> NewPhoto<'_> {
        NewPhoto {
            label: "a.png",
            byte_digest: self.bytes,
            pixel_digest: self.pixels,
            width_px: 160,
            height_px: 120,
            format: PhotoFormat::Png,
            embedding: &self.embedding,
            sketch: &[1, 2, 3],
            added_at: NOW,
        }
    }
}

pub(crate) fn store_photo(store: &dyn Store, seed: u8) -> PhotoId {
    store.store_photo(&Made::of(seed).photo()).unwrap().photo_id
}

pub(crate) fn answered(offers: &[tongkuan::offer::Offer], fetched_at: Timestamp) -> NewAnswer<'_> {
    NewAnswer::Upstream { profile: "fake", params: "q", fetched_at, total: Some(9), regions: &[], offers }
}

pub(crate) const KEY: AnswerKey<'_> = AnswerKey { profiles: &["fake"], params: "q", without_own: false };

pub(crate) fn fingerprint(digest: &str) -> Fingerprint {
    Fingerprint { model: "fake".to_owned(), dimension: 3, digest: digest.to_owned() }
}

#[test]
fn a_photo_is_found_by_its_bytes_and_its_pixels_and_stored_once() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let made = Made::of(1);
        let before = other.generation().unwrap();
        let stored = one.store_photo(&made.photo()).unwrap();
        assert!(stored.is_new);
        assert_ne!(other.generation().unwrap(), before, "another process sees that there is something new");
        assert_eq!(other.photo_by_bytes(made.bytes).unwrap(), Some(stored.photo_id));
        assert_eq!(other.photo_by_pixels(made.pixels).unwrap(), Some(stored.photo_id));
        assert_eq!(other.photo_by_bytes(made.pixels).unwrap(), None);
        let recoded = Made { bytes: Digest::of(b"another file"), ..Made::of(1) };
        let again = other.store_photo(&recoded.photo()).unwrap();
        assert_eq!((again.photo_id, again.is_new, one.photo_count().unwrap()), (stored.photo_id, false, 1));
        assert_eq!(one.photo_by_bytes(recoded.bytes).unwrap(), Some(stored.photo_id));
        assert_eq!(one.photo(stored.photo_id).unwrap().unwrap().label, "a.png");
        assert_eq!(one.embedding(stored.photo_id).unwrap(), StoredVector::Whole(made.embedding));
        let missing = PhotoId(stored.photo_id.0 + 1);
        let sketches = one.sketches(&[missing, stored.photo_id]).unwrap();
        assert_eq!(sketches, [None, Some(vec![1, 2, 3])], "in the order in which they were asked for");
        assert_eq!(one.photos(&PhotoFilter::default()).unwrap(), [stored.photo_id]);
    });
}

#[test]
fn what_a_file_was_taken_for_is_remembered_until_it_does_not_hold_any_more() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let ids: Vec<PhotoId> = (1..=4).map(|seed| store_photo(&*one, seed)).collect();
        let file = |name: &str| Digest::of(name.as_bytes());
        let as_photo = |name: &str, photo_id| Recognised {
            byte_digest: file(name),
            photo_id,
            score: 0.875,
            confidence: 0.96,
            max_false_hit: 0.01,
            verifier: "v".to_owned(),
            recognised_at: NOW,
        };
        let taken: Vec<Recognised> = [("a", ids[0]), ("b", ids[1]), ("c", ids[2]), ("d", ids[3])]
            .map(|(name, photo_id)| as_photo(name, photo_id))
            .into();
        one.remember_recognised(&taken).unwrap();
        one.remember_recognised(&[as_photo("nothing", PhotoId(999)), as_photo("d", ids[0])]).unwrap();
        assert_eq!(other.recognised(file("a")).unwrap().as_ref(), Some(&taken[0]));
        assert_eq!(other.recognised(file("d")).unwrap().map(|taken| taken.photo_id), Some(ids[0]));
        assert_eq!(other.recognised(file("nothing")).unwrap(), None, "there is no such photo");
        // The photo goes, and a person says that two are not the same.
        one.forget(&[ids[0]]).unwrap();
        one.tell((ids[2], ids[3]), true, None, NOW).unwrap();
        let known = |name| other.recognised(file(name)).unwrap().is_some();
        assert_eq!(["a", "b", "c", "d"].map(known), [false, true, true, false]);
        let apart = ToldRecord { photos: [ids[2], ids[3]], same: false, confidence: None, told_at: LATER };
        one.take_told(&[apart]).unwrap();
        assert_eq!(["b", "c"].map(known), [true, false]);
        one.tell((ids[1], ids[3]), false, None, NOW).unwrap();
        assert!(!known("b"));
        // Thresholds by another calibration.
        one.remember_recognised(&[as_photo("b", ids[1])]).unwrap();
        assert!(known("b"));
        one.keep_calibration(None).unwrap();
        assert!(!known("b"));
    });
}

#[test]
fn the_feed_brings_all_additions_and_removals_by_rising_numbers() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        assert_eq!((other.extent().unwrap().last_photo_id, other.extent().unwrap().last_removal), (None, 0));
        let ids: Vec<PhotoId> = (1..=5).map(|seed| store_photo(&*one, seed)).collect();
        assert!(ids.is_sorted(), "{ids:?}");
        let (mut fed, mut after) = (Vec::new(), None);
        loop {
            let chunk = other.embeddings_after(after, 2).unwrap();
            let Some(last) = chunk.last else { break };
            after = Some(last);
            fed.extend(chunk.embeddings.iter().map(|(photo_id, _)| *photo_id));
        }
        assert_eq!((&fed, other.extent().unwrap().last_photo_id), (&ids, ids.last().copied()));
        assert_eq!(one.forget(&[ids[4], PhotoId(999), ids[1]]).unwrap().len(), 2);
        let removals = other.removals_after(0, 10).unwrap();
        let gone: Vec<PhotoId> = removals.iter().map(|(_, photo_id)| *photo_id).collect();
        assert!(gone.len() == 2 && gone.contains(&ids[1]) && gone.contains(&ids[4]), "{gone:?}");
        assert_eq!(other.extent().unwrap().last_removal, removals[1].0);
        assert!(other.removals_after(removals[1].0, 10).unwrap().is_empty());
        assert!(store_photo(&*one, 6) > ids[4], "a number is never given again");
        assert_eq!(one.photo_by_bytes(Made::of(2).bytes).unwrap(), None);
    });
}

#[test]
fn the_newest_answer_to_a_question_is_given_and_an_own_good_before_it() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let made = Made::of(1);
        let photo_id = one.store(&made.photo(), &answered(&[offer("1")], NOW)).unwrap().photo_id;
        assert!(one.store_answer(photo_id, &answered(&[offer("2"), offer("3")], LATER)).unwrap());
        let newest = other.answer(photo_id, &KEY).unwrap().unwrap();
        let ids: Vec<&str> = newest.offers.iter().map(|offer| offer.offer_id.as_str()).collect();
        assert_eq!((newest.fetched_at, newest.total, ids), (LATER, Some(9), vec!["2", "3"]));
        let other_question = AnswerKey { params: "p", ..KEY };
        assert!(other.answer(photo_id, &other_question).unwrap().is_none());
        let other_profile = AnswerKey { profiles: &["elsewhere"], ..KEY };
        assert!(other.answer(photo_id, &other_profile).unwrap().is_none());
        let own = offer("OWN-1");
        let good = NewGood { offer: &own, photo: GoodsPhoto::Stored(photo_id), added_at: NOW };
        assert!(one.store_all(&[good]).unwrap()[0].is_ok());
        assert!(other.answer(photo_id, &KEY).unwrap().unwrap().is_own());
        assert_eq!(other.own_good(&own.offer_id).unwrap().unwrap().offer_id, own.offer_id);
        assert_eq!(other.photos_of_own(&own.offer_id).unwrap(), [photo_id]);
    });
}

#[test]
fn a_good_whose_photo_is_gone_fails_alone_and_so_does_an_answer() {
    on_every_store(|open| {
        let store = open();
        let gone = store_photo(&*store, 1);
        store.forget(&[gone]).unwrap();
        assert!(!store.store_answer(gone, &answered(&[offer("1")], NOW)).unwrap());
        let (one, two, made) = (offer("A-1"), offer("A-2"), Made::of(2));
        let goods = [
            NewGood { offer: &one, photo: GoodsPhoto::Stored(gone), added_at: NOW },
            NewGood { offer: &two, photo: GoodsPhoto::New(made.photo()), added_at: NOW },
        ];
        let stored = store.store_all(&goods).unwrap();
        assert!(stored[0].is_err() && stored[1].is_ok(), "{stored:?}");
        assert!(store.own_good(&one.offer_id).unwrap().is_none());
        assert!(store.own_good(&two.offer_id).unwrap().is_some());
    });
}

#[test]
fn what_is_set_aside_is_found_at_once_and_stored_by_whoever_comes_next() {
    on_every_store(|open| {
        let store = open();
        let (made, offers) = (Made::of(1), [offer("1")]);
        store.keep_room_for_an_answer().unwrap();
        let paid = PaidAnswer::new(made.bytes, None, Some(&made.photo()), &answered(&offers, NOW)).unwrap();
        assert!(store.set_aside(Paid::Answer(paid)) && store.has_something_set_aside());
        let waiting = store.waiting_answer(made.bytes, "q", &["fake"]).unwrap();
        assert_eq!((waiting.fetched_at, waiting.offers.len()), (NOW, 1));
        assert!(store.waiting_answer(made.bytes, "q", &["elsewhere"]).is_none());
        let next = open();
        next.store_what_waits().unwrap();
        let photo_id = next.photo_by_bytes(made.bytes).unwrap().unwrap();
        assert_eq!(next.answer(photo_id, &KEY).unwrap().unwrap().offers.len(), 1);
        assert!(!next.has_something_set_aside());
    });
}

#[test]
fn a_refusal_is_remembered_for_its_time() {
    on_every_store(|open| {
        let (store, digest) = (open(), Made::of(1).bytes);
        let refusal = Refusal {
            profile: "fake".to_owned(),
            code: "no".to_owned(),
            message: "not this one".to_owned(),
            refused_at: NOW,
        };
        store.remember_refusal(digest, &refusal).unwrap();
        let between = |since, until| open().refusal(digest, "fake", since, until).unwrap().is_some();
        assert!(between(NOW.minus(Duration::from_secs(1)), LATER));
        assert!(!between(LATER, LATER.plus(Duration::from_secs(1))), "too long ago");
    });
}

#[test]
fn calls_are_booked_within_the_budget_by_all_processes_together() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let day = QuotaDay::of(NOW);
        let booking = Booking {
            profile: "fake",
            day,
            budget: 2,
            now: NOW,
            min_interval: Duration::from_secs(1),
            max_ahead: Duration::from_mins(2),
        };
        let first = one.reserve(&booking).unwrap();
        let second = other.reserve(&booking).unwrap();
        assert_eq!(first.start_at.until(second.start_at), Duration::from_secs(1));
        assert_eq!(one.reserve(&booking), Err(LedgerError::BudgetSpent { used: 2 }));
        assert_eq!(one.refuse_if_spent(&booking), Err(LedgerError::BudgetSpent { used: 2 }));
        assert_eq!(other.refuse_if_spent(&Booking { budget: 3, ..booking.clone() }), Ok(()));
        other.settle(second.id, CallOutcome::Refunded).unwrap();
        assert_eq!((one.calls_spent("fake", &day).unwrap(), one.calls_spent("b", &day).unwrap()), (1, 0));
        assert_eq!(one.call_starts("fake", &day).unwrap(), [first.start_at]);
        one.add_saved_calls(&day, 3).unwrap();
        assert_eq!(other.saved_calls(&day).unwrap(), (3, 3));
    });
}

#[test]
fn a_breaker_is_seen_by_all_processes_until_the_upstream_has_recovered() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let error = UpstreamError::new("fake", UpstreamErrorKind::Quota, "spent", "nothing is left");
        assert_eq!((one.note_failure("fake").unwrap(), other.note_failure("fake").unwrap()), (1, 2));
        one.trip("fake", LATER, &error).unwrap();
        let breaker = other.breaker("fake").unwrap().unwrap();
        assert_eq!((breaker.until, breaker.error.code.as_str()), (LATER, "spent"));
        other.recovered("fake").unwrap();
        assert!(one.breaker("fake").unwrap().is_none());
        assert_eq!(one.note_failure("fake").unwrap(), 1);
    });
}

#[test]
fn a_turn_is_one_searchs_until_it_ends_and_covers_what_is_near() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let (asked, near) = (Made::of(100).embedding, Made::of(101).embedding);
        let turn = one.take_turn_from(None, Subject::New(&asked), "q", 0.9).unwrap().unwrap();
        let holder = other.take_turn_from(None, Subject::New(&near), "q", 0.9).unwrap().unwrap_err();
        assert!(other.take_turn_from(None, Subject::New(&near), "p", 0.9).unwrap().is_ok());
        assert!(
            other.take_turn_from(None, Subject::New(&near), "q", 1.0).unwrap().is_ok(),
            "not near enough"
        );
        let over = other.take_turn_from(Some(holder), Subject::New(&near), "q", 0.9).unwrap();
        assert!(over.is_ok(), "a holder that was given up is passed over");
        drop((turn, over));
        assert!(one.take_turn_from(None, Subject::New(&asked), "q", 0.9).unwrap().is_ok());
    });
}

#[test]
fn a_turn_covers_its_picture_whether_that_is_stored_before_or_after() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let (asked, unlike) = (Made::of(100), Made::of(0));
        let stored = one.store_photo(&asked.photo()).unwrap().photo_id;
        let take = |store: &'_ dyn Store, subject: Subject<'_>| {
            store.take_turn_from(None, subject, "q", 0.9).unwrap().is_ok()
        };
        // Begun while the picture was not stored; another process has stored it since.
        let turn = one.take_turn_from(None, Subject::New(&asked.embedding), "q", 0.9).unwrap().unwrap();
        assert!(!take(other.as_ref(), Subject::Stored(stored)));
        assert!(take(other.as_ref(), Subject::Stored(PhotoId(stored.0 + 1))), "no photo has that number");
        drop(turn);
        let turn = one.take_turn_from(None, Subject::Stored(stored), "q", 0.9).unwrap().unwrap();
        assert!(!take(other.as_ref(), Subject::New(&asked.embedding)));
        assert!(take(other.as_ref(), Subject::New(&unlike.embedding)));
        drop(turn);
        assert!(take(other.as_ref(), Subject::New(&asked.embedding)));
    });
}

#[test]
fn a_turn_at_an_offer_is_one_callers_and_in_nobody_elses_way() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let (cup, mug): (OfferId, OfferId) = ("7001".parse().unwrap(), "7002".parse().unwrap());
        let turn = one.take_turn_from(None, Subject::Offer(&cup), "", 1.0).unwrap().unwrap();
        assert!(other.take_turn_from(None, Subject::Offer(&cup), "", 1.0).unwrap().is_err());
        assert!(other.take_turn_from(None, Subject::Offer(&mug), "", 1.0).unwrap().is_ok());
        let picture = Made::of(100).embedding;
        assert!(other.take_turn_from(None, Subject::New(&picture), "", 1.0).unwrap().is_ok());
        drop(turn);
        assert!(other.take_turn_from(None, Subject::Offer(&cup), "", 1.0).unwrap().is_ok());
    });
}

#[test]
fn the_queue_gives_the_highest_priority_first_and_has_a_picture_once() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let params = SearchParams::default();
        let queue = |bytes: &[u8], priority| {
            let waiting = NewWaiting {
                reason: WaitReason::Deferred,
                priority,
                label: "a.png",
                byte_digest: Digest::of(bytes),
                bytes,
                source_url: None,
                params: &params,
                queued_at: NOW,
            };
            one.queue(&waiting).unwrap()
        };
        queue(b"low", 0);
        queue(b"high", 5);
        queue(b"low", 0);
        let first = other.next_waiting(None).unwrap().unwrap();
        assert_eq!((first.bytes.as_slice(), first.priority), (b"high".as_slice(), 5));
        other.note_trouble(first.queue_id, "no luck").unwrap();
        let second = one.next_waiting(Some((first.priority, first.queue_id))).unwrap().unwrap();
        assert_eq!(second.bytes, b"low");
        assert!(one.next_waiting(Some((second.priority, second.queue_id))).unwrap().is_none());
        let again = one.next_waiting(None).unwrap().unwrap();
        assert_eq!((again.attempts, again.trouble.as_deref()), (1, Some("no luck")));
        one.unqueue(again.queue_id).unwrap();
        assert_eq!(other.queue_counts().unwrap().deferred, 1);
    });
}

#[test]
fn sameness_goes_on_through_others_but_not_to_one_that_was_told_apart() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let ids: Vec<PhotoId> = (1..=3).map(|seed| store_photo(&*one, seed)).collect();
        let [a, b, c] = ids[..] else { unreachable!() };
        let before = other.calibrations().unwrap();
        one.tell((b, a), true, None, NOW).unwrap();
        one.tell((b, c), true, Some(0.7), NOW).unwrap();
        assert_eq!(other.same_as(a).unwrap(), [b, c]);
        one.tell((a, c), false, Some(0.9), LATER).unwrap();
        assert_eq!(other.same_as(a).unwrap(), [b]);
        let said = other.said_of(&ids).unwrap();
        assert_eq!((said.of(a, b), said.of(c, a), said.of(a, a)), (Some(true), Some(false), None));
        assert_eq!(other.told_apart_confidences().unwrap(), [0.9]);
        assert_ne!(other.calibrations().unwrap(), before, "a threshold has to be computed anew");
        assert!(other.forget_told((a, c)).unwrap() && !one.forget_told((a, c)).unwrap());
        assert!(one.said_of(&ids).unwrap().of(a, c).is_none());
    });
}

#[test]
fn the_homes_own_calibration_is_kept_until_it_is_taken_back() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let sample = || Sample { queries: 8, pictures: 8, confidences: Vec::new(), made_of: Vec::new() };
        let calibration = Calibration {
            format: CALIBRATION_FORMAT,
            model: "fake".to_owned(),
            verifier: "v".to_owned(),
            max_false_hit: 0.5,
            stored: 4,
            unseen: sample(),
            look_alikes: sample(),
        };
        one.keep_calibration(Some(&calibration)).unwrap();
        assert_eq!(other.calibration().unwrap().map(|kept| kept.stored), Some(4));
        other.keep_calibration(None).unwrap();
        assert!(one.calibration().unwrap().is_none());
    });
}

#[test]
fn the_pictures_of_offers_wait_until_they_are_fetched() {
    on_every_store(|open| {
        let store = open();
        let url = "https://img.example/1.jpg".to_owned();
        let pictured = tongkuan::offer::Offer { image_url: Some(url.clone()), ..offer("1") };
        store.store(&Made::of(1).photo(), &answered(&[pictured], NOW)).unwrap();
        let waiting = store.waiting_images(0, 10).unwrap();
        assert_eq!(waiting.len(), 1, "{waiting:?}");
        let stored = store.store_image(waiting[0].image_id, &Made::of(2).photo()).unwrap();
        assert!(stored.is_new && store.waiting_images(0, 10).unwrap().is_empty());
        assert_eq!(store.photo_by_url(&waiting[0].url).unwrap(), Some(stored.photo_id));
    });
}

#[test]
fn a_store_goes_over_to_another_model_when_all_vectors_are_gathered() {
    on_every_store(|open| {
        let (old, next) = (fingerprint("old"), fingerprint("next"));
        let store = open();
        store.claim_model(&old).unwrap();
        let (one, two) = (store_photo(&*store, 1), store_photo(&*store, 2));
        open().claim_model(&next).unwrap_err();
        let gathering = open();
        gathering.gather_for(&next).unwrap();
        let new = Embedding::new(vec![0.0, 1.0, 0.0]).unwrap();
        let fill = |photo_id, seed| {
            let refill = Refill { vector: Some(&new), sketch: None, pixel_digest: Made::of(seed).pixels };
            gathering.fill(photo_id, &next, &refill).unwrap();
        };
        fill(one, 1);
        assert_eq!(gathering.lacking(&next).unwrap().0, 1);
        assert!(!gathering.go_over_to(&next, false).unwrap(), "one is missing");
        assert_eq!(open().embedding(one).unwrap(), StoredVector::Whole(Made::of(1).embedding));
        fill(two, 2);
        assert!(gathering.go_over_to(&next, false).unwrap());
        let after = open();
        after.claim_model(&next).unwrap();
        assert_eq!(after.embedding(two).unwrap(), StoredVector::Whole(new.clone()));
        assert!(store.store_photo(&Made::of(3).photo()).is_err(), "vectors of two models never meet");
    });
}

#[test]
fn a_write_waits_for_others_within_the_threads_patience() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let _patience = Patience::limited_to(Duration::from_secs(5));
        std::thread::scope(|scope| {
            for (store, seeds) in [(&one, 1..20), (&other, 20..40)] {
                scope.spawn(move || seeds.for_each(|seed| assert!(store_photo(&**store, seed) > PhotoId(0))));
            }
        });
        assert_eq!(one.photo_count().unwrap(), 39);
    });
}

#[test]
fn a_checked_group_is_stored_with_its_lines_or_not_at_all() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let run_id = one.check_run("out.ndjson", false, NOW).unwrap();
        let seen_from_outside =
            |store: &dyn Store| (store.photo_count().unwrap(), store.kept_lines(run_id).unwrap().len());
        let add = |store: &dyn Store, seeds: &[u8], rows: &[u64], goes_through: bool| {
            store.add_checked(&mut |group| {
                let before = group.extent()?;
                for seed in seeds {
                    assert!(group.add(&Made::of(*seed).photo())?.is_new);
                }
                let lines: Vec<(u64, String)> =
                    rows.iter().map(|row| (*row, format!("line {row}"))).collect();
                group.keep_lines(run_id, &lines)?;
                // Others see the group when it is through, and not before.
                assert_eq!(other.extent()?, before);
                Ok(goes_through)
            })
        };
        assert!(!add(&*one, &[1, 2], &[0, 1], false).unwrap());
        assert_eq!(seen_from_outside(&*other), (0, 0), "nothing of it is there");
        let before = other.generation().unwrap();
        assert!(add(&*one, &[1, 2], &[0, 1], true).unwrap());
        assert_eq!(seen_from_outside(&*other), (2, 2));
        assert_ne!(other.generation().unwrap(), before);
        // The lines of the next group take the place of those before, which are written by then.
        assert!(add(&*other, &[3], &[2], true).unwrap());
        assert_eq!(one.kept_lines(run_id).unwrap(), [(2, "line 2".to_owned())]);
        assert_eq!(other.check_run("out.ndjson", true, NOW).unwrap(), run_id, "it goes on");
        let anew = other.check_run("out.ndjson", false, LATER).unwrap();
        assert!(
            anew > run_id
                && one.kept_lines(anew).unwrap().is_empty()
                && one.kept_lines(run_id).unwrap().is_empty()
        );
        one.end_check_run(anew).unwrap();
        assert!(
            one.check_run("out.ndjson", true, LATER).unwrap() > anew,
            "one that has ended does not go on"
        );
    });
}

#[test]
fn nobody_adds_or_removes_while_a_checked_group_is_decided() {
    on_every_store(|open| {
        let (one, other) = (open(), open());
        let first = store_photo(&*one, 1);
        one.add_checked(&mut |group| {
            let _patience = Patience::limited_to(Duration::from_millis(5));
            assert!(other.store_photo(&Made::of(2).photo()).is_err());
            assert_eq!(other.photo_by_bytes(Made::of(1).bytes)?, Some(first), "reading waits for nobody");
            group.add(&Made::of(3).photo())?;
            Ok(true)
        })
        .unwrap();
        assert_eq!(other.photo_count().unwrap(), 2);
        assert_eq!(store_photo(&*other, 2), PhotoId(first.0 + 2));
    });
}
