//! What a worker keeps of a store that can go away: the last of what hits needed, so that those go on meanwhile.
//!
//! Values in memory without I/O, bounded by their bytes. Searches that succeed put them in. Every search first hears from the
//! store what has changed ([`Pulse`]): what was removed is let go, and what people have said counts only as long as nobody has
//! said more. `away.rs` answers from it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Matched;
use crate::clock::Timestamp;
use crate::photo::Digest;
use crate::photo_id::PhotoId;
use crate::store::{Pulse, Said, StoredAnswer};
use crate::verdict::Match;

/// Memory for it. A sketch takes up to 8 kB and an answer of twenty offers some 60 kB, so there is room for about a thousand
/// answers, or for some hundreds with all that lies near their pictures.
const MAX_BYTES: usize = 64 << 20;

/// How long after the store was last heard hits are given from it. A picture that is forgotten by another worker is forgotten
/// here within that time, whatever the network does; an hour is as long as most outages take.
const MAX_BEHIND: Duration = Duration::from_hours(1);

/// People's words about more pairs are not kept: each search after a new one reads them all.
pub(super) const MAX_WORDS: u32 = 4096;

/// Answers that are kept of one photo: to so many different questions.
const MAX_QUESTIONS: usize = 16;

/// What an entry takes besides its content.
const ENTRY_BYTES: usize = 160;

/// A moment by the clock, which may be set back, and by a timer, which may stand still while the machine sleeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    timer: Instant,
}

impl Moment {
    pub(super) fn now(at: Timestamp) -> Self {
        Self { at, timer: Instant::now() }
    }

    /// How long before `later` it was, by whichever says more.
    fn until(self, later: Self) -> Duration {
        self.at.until(later.at).max(later.timer.saturating_duration_since(self.timer))
    }
}

/// What the store said last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// Before it was asked.
    pub(super) since: Moment,
    /// When it had answered.
    until: Instant,
    generation: u64,
    /// `None` from when something was said here until the store is heard again.
    pub(super) calibrations: Option<u64>,
    last_removal: i64,
}

/// What a search heard before it read anything: what it has read is kept unless something was let go since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    heard: Heard,
    epoch: u64,
}

impl Ticket {
    fn read(&self) -> Read {
        Read { since: self.heard.since, generation: self.heard.generation }
    }
}

/// When something was read: not before `since`, and `generation` was the store's then.
#[derive(Clone, Copy, Debug)]
struct Read {
    since: Moment,
    generation: u64,
}

impl Read {
    /// Until when it is known to have held: while nothing was stored anywhere, nothing has come in its place.
    fn as_of(&self, heard: &Heard) -> Timestamp {
        let since = if self.generation == heard.generation { heard.since } else { self.since };
        since.at.min(heard.since.at)
    }
}

/// An answer that was kept, and the time until which it is known to have been the newest.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeptAnswer {
    pub(super) matched: Matched,
    pub(super) stored: StoredAnswer,
    pub(super) as_of: Timestamp,
}

/// People's words about all pairs; `None` for too many.
type Words = Option<HashMap<(PhotoId, PhotoId), bool>>;

pub(super) struct Recent(Mutex<State>);

struct State {
    heard: Option<Heard>,
    /// When the index had last followed the store.
    indexed: Option<Moment>,
    /// Grows whenever something is let go for what has become of it.
    epoch: u64,
    /// With the number of calibrations that they are as of.
    words: Option<(u64, Words)>,
    kept: Kept,
}

impl Default for Recent {
    fn default() -> Self {
        Self::with_room_for(MAX_BYTES)
    }
}

impl Recent {
    fn with_room_for(bytes: usize) -> Self {
        let kept = Kept { half: bytes / 2, ..Kept::default() };
        Self(Mutex::new(State { heard: None, indexed: None, epoch: 0, words: None, kept }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to which removal it was heard what has gone; `None` where nothing was heard yet.
    pub(super) fn removals_seen(&self) -> Option<i64> {
        self.state().heard.map(|heard| heard.last_removal)
    }

    /// Takes note of what the store says, which was asked at `since`. `removed`: the photos that went after a removal.
    pub(super) fn hear(&self, since: Moment, pulse: &Pulse, (after, removed): (i64, &[PhotoId])) -> Ticket {
        let mut state = self.state();
        let new = Heard {
            since,
            until: Instant::now(),
            generation: pulse.generation,
            calibrations: Some(pulse.calibrations),
            last_removal: pulse.last_removal,
        };
        state.let_go(removed);
        match state.heard {
            // Another search was faster, and has heard more.
            Some(old)
                if old.until > since.timer && (old.generation, old.since.at) > (new.generation, since.at) => {
            }
            // The database was put back from a copy, where numbers may mean other photos; or another search was the first to hear, and
            // removals between the two were not read.
            Some(old)
                if old.generation > new.generation
                    || old.last_removal > new.last_removal
                    || old.last_removal < after =>
            {
                let half = state.kept.half;
                state.kept = Kept { half, ..Kept::default() };
                state.epoch += 1;
                state.heard = Some(new);
            }
            _ => state.heard = Some(new),
        }
        Ticket { heard: state.heard.unwrap_or(new), epoch: state.epoch }
    }

    /// Takes note that the index had all that the store had at `moment`.
    pub(super) fn followed(&self, moment: Moment) {
        let mut state = self.state();
        if state.indexed.is_none_or(|last| last.at <= moment.at) {
            state.indexed = Some(moment);
        }
    }

    /// Lets go of photos that this process has removed, or whose answers it has replaced.
    pub(super) fn let_go(&self, photo_ids: &[PhotoId]) {
        self.state().let_go(photo_ids);
    }

    /// For when something was said of two pictures here: what was kept of it is not used any more.
    pub(super) fn let_words_go(&self) {
        if let Some(heard) = &mut self.state().heard {
            heard.calibrations = None;
        }
    }

    /// Keeps what a file's bytes are, or were taken for: that holds only as long as people say no more.
    pub(super) fn keep_bytes(&self, ticket: &Ticket, digest: Digest, found: Match, is_by_sight: bool) {
        let found = Box::new(found);
        let value = match ticket.heard.calibrations {
            _ if !is_by_sight => Value::Same(found),
            Some(calibrations) => Value::Seen(found, calibrations, ticket.read()),
            None => return,
        };
        self.state().kept.put(Key::Bytes(digest), value);
    }

    pub(super) fn keep_pixels(&self, digest: Digest, photo_id: PhotoId) {
        self.state().kept.put(Key::Pixels(digest), Value::Photo(photo_id));
    }

    /// Keeps sketches, which never change.
    pub(super) fn keep_sketches(&self, photo_ids: &[PhotoId], sketches: &[Option<Vec<u8>>]) {
        let mut state = self.state();
        if state.heard.is_none() {
            // A store that does not go away.
            return;
        }
        for (photo_id, sketch) in photo_ids.iter().zip(sketches) {
            let key = Key::Sketch(*photo_id);
            if let (Some(sketch), None) = (sketch, state.kept.get(&key)) {
                state.kept.put(key, Value::Sketch(sketch.clone()));
            }
        }
    }

    /// Whether people's words are to be read again.
    pub(super) fn lacks_words(&self, ticket: &Ticket) -> bool {
        self.state().words.as_ref().map(|(calibrations, _)| *calibrations) != ticket.heard.calibrations
    }

    /// Keeps people's words about all pairs; `None` for too many.
    pub(super) fn keep_words(&self, ticket: &Ticket, words: Words) {
        self.state().words = ticket.heard.calibrations.map(|calibrations| (calibrations, words));
    }

    /// Keeps the newest answer of the photo `matched` to `question`, which was read after the ticket was given.
    pub(super) fn keep_answer(
        &self,
        ticket: &Ticket,
        question: &str,
        matched: &Matched,
        stored: &StoredAnswer,
    ) {
        let key = Key::Answers(matched.photo_id);
        let read = ticket.read();
        let mut state = self.state();
        if state.epoch != ticket.epoch {
            return;
        }
        let mut answers = match state.kept.take(&key) {
            Some(Value::Answers(answers)) => answers,
            _ => Vec::new(),
        };
        let place = answers.iter().position(|kept| kept.question == question);
        let mut answer = match place.map(|place| answers.remove(place)) {
            // Nothing has been stored meanwhile, so it is the same.
            Some(same) if same.read.generation == read.generation => same,
            _ => OldAnswer {
                question: question.to_owned(),
                matched: matched.clone(),
                bytes: memory_of(stored),
                stored: stored.clone(),
                read,
            },
        };
        answer.read = read;
        if answers.len() >= MAX_QUESTIONS {
            answers.remove(0);
        }
        answers.push(answer);
        state.kept.put(key, Value::Answers(answers));
    }

    /// What was heard last, and when the index had followed; `None` where that is too long ago.
    pub(super) fn heard(&self, now: Moment) -> Option<(Heard, Option<Moment>)> {
        let state = self.state();
        let heard = state.heard.filter(|heard| heard.since.until(now) <= MAX_BEHIND)?;
        Some((heard, state.indexed))
    }

    /// What a file with these bytes is, and until when that is known to have held.
    pub(super) fn by_bytes(&self, digest: Digest, heard: &Heard) -> Option<(Match, Timestamp)> {
        match self.state().kept.get(&Key::Bytes(digest))? {
            Value::Same(found) => Some((**found, heard.since.at)),
            // The file may have been stored as a photo of its own since.
            Value::Seen(found, calibrations, read) => {
                (heard.calibrations == Some(*calibrations)).then_some((**found, read.as_of(heard)))
            }
            _ => None,
        }
    }

    /// The photo with these pixels.
    pub(super) fn by_pixels(&self, digest: Digest) -> Option<PhotoId> {
        match self.state().kept.get(&Key::Pixels(digest))? {
            Value::Photo(photo_id) => Some(*photo_id),
            _ => None,
        }
    }

    /// The sketches of all of these, or none.
    pub(super) fn sketches(&self, photo_ids: &[PhotoId]) -> Option<Vec<Option<Vec<u8>>>> {
        let mut state = self.state();
        let sketch = |photo_id: &PhotoId| match state.kept.get(&Key::Sketch(*photo_id))? {
            Value::Sketch(sketch) => Some(Some(sketch.clone())),
            _ => None,
        };
        photo_ids.iter().map(sketch).collect()
    }

    /// What was said of pairs of these, if all words are kept.
    pub(super) fn said_of(&self, photo_ids: &[PhotoId], heard: &Heard) -> Option<Said> {
        let state = self.state();
        let (calibrations, words) = state.words.as_ref()?;
        if heard.calibrations != Some(*calibrations) {
            return None;
        }
        let is_meant = |(a, b): &(PhotoId, PhotoId)| photo_ids.contains(a) && photo_ids.contains(b);
        let said = words.as_ref()?.iter().filter(|(pair, _)| is_meant(pair));
        Some(Said(said.map(|(pair, same)| (*pair, *same)).collect()))
    }

    /// The newest answer of a photo to a question, as far as it is known here.
    pub(super) fn answer(&self, photo_id: PhotoId, question: &str, heard: &Heard) -> Option<KeptAnswer> {
        let mut state = self.state();
        let Value::Answers(answers) = state.kept.get(&Key::Answers(photo_id))? else { return None };
        let kept = answers.iter().find(|kept| kept.question == question)?;
        let as_of = kept.read.as_of(heard);
        Some(KeptAnswer { matched: kept.matched.clone(), stored: kept.stored.clone(), as_of })
    }
}

impl State {
    fn let_go(&mut self, photo_ids: &[PhotoId]) {
        if photo_ids.is_empty() {
            return;
        }
        // Digests may stay: they lead to a photo of which nothing is kept, and numbers are never given again.
        for photo_id in photo_ids {
            self.kept.take(&Key::Answers(*photo_id));
            self.kept.take(&Key::Sketch(*photo_id));
        }
        self.epoch += 1;
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Key {
    Bytes(Digest),
    Pixels(Digest),
    Sketch(PhotoId),
    Answers(PhotoId),
}

enum Value {
    Same(Box<Match>),
    /// By sight, with the number of calibrations then.
    Seen(Box<Match>, u64, Read),
    Photo(PhotoId),
    Sketch(Vec<u8>),
    Answers(Vec<OldAnswer>),
}

struct OldAnswer {
    question: String,
    matched: Matched,
    stored: StoredAnswer,
    bytes: usize,
    read: Read,
}

/// About what it takes in memory: twice its JSON.
fn memory_of(stored: &StoredAnswer) -> usize {
    2 * serde_json::to_string(stored).map_or(0, |json| json.len())
}

impl Value {
    fn bytes(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::Same(_) | Self::Seen(..) => std::mem::size_of::<Match>(),
                Self::Photo(_) => 0,
                Self::Sketch(sketch) => sketch.len(),
                Self::Answers(answers) => {
                    answers.iter().map(|kept| ENTRY_BYTES + kept.bytes + kept.question.len()).sum()
                }
            }
    }
}

/// Entries of two ages: what is used moves among the young ones, and when those fill their half, the old ones go.
#[derive(Default)]
struct Kept {
    young: HashMap<Key, Value>,
    old: HashMap<Key, Value>,
    young_bytes: usize,
    /// Bytes for each of the two.
    half: usize,
}

impl Kept {
    fn get(&mut self, key: &Key) -> Option<&Value> {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.put(key, value);
        }
        self.young.get(key)
    }

    fn put(&mut self, key: Key, value: Value) {
        self.take(&key);
        let bytes = value.bytes();
        if bytes > self.half {
            return;
        }
        if self.young_bytes + bytes > self.half {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(key, value);
    }

    fn take(&mut self, key: &Key) -> Option<Value> {
        let Some(value) = self.young.remove(key) else { return self.old.remove(key) };
        self.young_bytes -= value.bytes();
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::{Offer, OfferId};
    use crate::store::PhotoKind;
    use crate::verdict::Rule;

    const QUESTION: &str = "what is like it?";

    fn at(secs: i64) -> Moment {
        Moment::now(Timestamp::from_unix_ms(secs * 1000))
    }

    fn pulse(generation: u64, calibrations: u64, last_removal: i64) -> Pulse {
        Pulse { generation, calibrations, last_removal }
    }

    fn photo(id: i64) -> Matched {
        Matched { photo_id: PhotoId(id), kind: PhotoKind::Query, label: "a.jpg".to_owned() }
    }

    fn answer(id: &str) -> StoredAnswer {
        StoredAnswer {
            profile: "fake".to_owned(),
            params: String::new(),
            fetched_at: Timestamp::from_unix_ms(0),
            total: None,
            regions: Vec::new(),
            offers: vec![Offer::new(OfferId::new(id).unwrap(), "a cup")],
        }
    }

    fn kept(recent: &Recent, id: i64, now: i64) -> Option<KeptAnswer> {
        let (heard, _) = recent.heard(at(now))?;
        recent.answer(PhotoId(id), QUESTION, &heard)
    }

    #[test]
    fn a_removed_photo_is_let_go_and_what_was_read_before_is_not_kept() {
        let recent = Recent::default();
        let ticket = recent.hear(at(0), &pulse(1, 0, 0), (0, &[]));
        recent.keep_answer(&ticket, QUESTION, &photo(1), &answer("1"));
        assert_eq!(kept(&recent, 1, 1).unwrap().stored, answer("1"));
        recent.hear(at(2), &pulse(2, 0, 1), (0, &[PhotoId(1)]));
        assert_eq!(kept(&recent, 1, 3), None);
        // A slower search that had read it before.
        recent.keep_answer(&ticket, QUESTION, &photo(1), &answer("1"));
        assert_eq!(kept(&recent, 1, 3), None);
        assert_eq!(recent.removals_seen(), Some(1));
    }

    #[test]
    fn nothing_is_given_an_hour_after_the_store_was_heard_whichever_clock_says_so() {
        let recent = Recent::default();
        let ticket = recent.hear(at(0), &pulse(1, 0, 0), (0, &[]));
        recent.keep_answer(&ticket, QUESTION, &photo(1), &answer("1"));
        assert!(kept(&recent, 1, 3600).is_some());
        assert_eq!(kept(&recent, 1, 3601), None);
        let later = Moment { timer: Instant::now() + MAX_BEHIND + Duration::from_secs(1), ..at(-5) };
        assert!(recent.heard(later).is_none(), "the clock was set back");
        recent.hear(at(4000), &pulse(1, 0, 0), (0, &[]));
        assert!(kept(&recent, 1, 4001).is_some(), "it has been heard again");
    }

    #[test]
    fn an_answer_is_as_of_when_it_was_read_or_as_of_the_last_word_that_nothing_was_stored() {
        let recent = Recent::default();
        let ticket = recent.hear(at(10), &pulse(1, 0, 0), (0, &[]));
        recent.keep_answer(&ticket, QUESTION, &photo(1), &answer("1"));
        recent.hear(at(20), &pulse(1, 0, 0), (0, &[]));
        assert_eq!(kept(&recent, 1, 21).unwrap().as_of, Timestamp::from_unix_ms(20_000));
        let ticket = recent.hear(at(30), &pulse(2, 0, 0), (0, &[]));
        assert_eq!(kept(&recent, 1, 31).unwrap().as_of, Timestamp::from_unix_ms(10_000));
        recent.keep_answer(&ticket, QUESTION, &photo(1), &answer("2"));
        let newer = kept(&recent, 1, 31).unwrap();
        assert_eq!((newer.stored, newer.as_of), (answer("2"), Timestamp::from_unix_ms(30_000)));
    }

    #[test]
    fn what_was_seen_and_what_was_said_holds_until_more_is_said() {
        let recent = Recent::default();
        let ticket = recent.hear(at(0), &pulse(1, 7, 0), (0, &[]));
        let (seen, same) = (Digest::of(b"seen"), Digest::of(b"same"));
        let pair = (PhotoId(1), PhotoId(2));
        recent.keep_bytes(&ticket, seen, Match::equal(PhotoId(1), Rule::SamePicture), true);
        recent.keep_bytes(&ticket, same, Match::equal(PhotoId(1), Rule::SameBytes), false);
        assert!(recent.lacks_words(&ticket));
        recent.keep_words(&ticket, Some(HashMap::from([(pair, false)])));
        assert!(!recent.lacks_words(&ticket));
        let known = |now| {
            let (heard, _) = recent.heard(at(now)).unwrap();
            let said = recent.said_of(&[pair.0, pair.1, PhotoId(3)], &heard);
            let is_known = |digest| recent.by_bytes(digest, &heard).is_some();
            let said = said.map(|said| (said.of(pair.1, pair.0), said.of(pair.0, PhotoId(3))));
            (is_known(seen), is_known(same), said)
        };
        assert_eq!(known(1), (true, true, Some((Some(false), None))));
        recent.let_words_go();
        assert_eq!(known(1), (false, true, None), "something was said here");
        recent.hear(at(2), &pulse(1, 7, 0), (0, &[]));
        assert_eq!(known(2), (true, true, Some((Some(false), None))));
        recent.hear(at(3), &pulse(2, 8, 0), (0, &[]));
        assert_eq!(known(3), (false, true, None), "something was said elsewhere");
    }

    #[test]
    fn all_sketches_are_kept_or_none_is_given() {
        let recent = Recent::default();
        let ids = [PhotoId(1), PhotoId(2)];
        recent.keep_sketches(&ids, &[Some(vec![1]), Some(vec![2])]);
        assert_eq!(recent.sketches(&ids), None, "this store does not go away");
        recent.hear(at(0), &pulse(1, 0, 0), (0, &[]));
        recent.keep_sketches(&ids, &[Some(vec![1]), None]);
        assert_eq!(recent.sketches(&ids[..1]), Some(vec![Some(vec![1])]));
        assert_eq!(recent.sketches(&ids), None);
    }

    #[test]
    fn it_never_takes_more_than_its_bytes_and_keeps_what_is_used() {
        let recent = Recent::with_room_for(20_000);
        recent.hear(at(0), &pulse(1, 0, 0), (0, &[]));
        let used = [PhotoId(0)];
        recent.keep_sketches(&used, &[Some(vec![0; 1000])]);
        for id in 1..100 {
            recent.keep_sketches(&[PhotoId(id)], &[Some(vec![0; 1000])]);
            assert!(recent.sketches(&used).is_some(), "after {id}");
            let state = recent.state();
            let bytes: usize =
                state.kept.young.values().chain(state.kept.old.values()).map(Value::bytes).sum();
            assert!(bytes <= 20_000, "{bytes}");
        }
        assert_eq!(recent.sketches(&[PhotoId(1)]), None);
        recent.keep_sketches(&[PhotoId(200)], &[Some(vec![0; 30_000])]);
        assert_eq!(recent.sketches(&[PhotoId(200)]), None, "one that has no room");
    }

    #[test]
    fn a_database_that_was_put_back_from_a_copy_has_other_photos_under_the_same_numbers() {
        let (recent, before) = (Recent::default(), at(0));
        let ticket = recent.hear(at(0), &pulse(9, 0, 3), (0, &[]));
        recent.keep_answer(&ticket, QUESTION, &photo(1), &answer("1"));
        // Asked before the other was answered: that is no way back.
        recent.hear(before, &pulse(8, 0, 3), (0, &[]));
        assert!(kept(&recent, 1, 1).is_some());
        recent.hear(at(2), &pulse(5, 0, 3), (0, &[]));
        assert_eq!(kept(&recent, 1, 3), None);
        let ticket = recent.hear(at(3), &pulse(6, 0, 3), (3, &[]));
        recent.keep_answer(&ticket, QUESTION, &photo(1), &answer("1"));
        recent.hear(at(4), &pulse(7, 0, 5), (5, &[]));
        assert_eq!(kept(&recent, 1, 5), None, "it may be one of two that nobody has read about");
    }
}
