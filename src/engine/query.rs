//! What is asked: a picture, and what may be done to answer.

use std::time::{Duration, Instant};

use super::Refine;
use crate::cancel::{Cancel, Interrupt};
use crate::question::SearchParams;

/// What a search may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Answer locally when the picture is known, else ask the upstream and store what it says.
    #[default]
    Default,
    /// Never spend anything.
    LocalOnly,
    /// Ask in any case, and store what comes back; where nothing does, the stored answer is served.
    Refresh,
    /// Ask in any case, and store nothing.
    Bypass,
}

/// Whether a picture that is no hit as a whole is looked at again, in parts: a collage or a scene is none of the pictures in
/// it as a whole. The second look takes three times as long as the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SecondLook {
    /// Nothing is paid for before.
    #[default]
    Always,
    /// Only if the first look does not rule out that there is more than one picture in it, which costs less than one hit
    /// in a hundred of collages and scenes (docs/benchmarks/second-look.md).
    WhenLikely,
}

/// One search: what [`Query::new`] asks, and what its setters change of that.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tongkuan::{Mode, Query};
///
/// let query = Query::new(b"...", "mug.jpg")
///     .mode(Mode::Refresh)
///     .deadline(Instant::now() + Duration::from_secs(20));
/// # let _ = query;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Query<'a> {
    /// The picture's file.
    pub bytes: &'a [u8],
    /// For people, usually the file's name; stored with the photo.
    pub label: &'a str,
    /// Where the picture was got from, if that is a public web address: some upstreams take nothing else.
    pub source_url: Option<&'a str>,
    /// What is asked beside the picture.
    pub params: SearchParams,
    /// The profile of the one upstream that may answer, by what it has said before or by asking it; `None`: the first
    /// configured one that can.
    pub upstream: Option<&'a str>,
    /// Own goods are no answer: what an upstream says is wanted, also about a picture of one's own. So where `upstream` is named.
    pub without_own: bool,
    /// What the search may use.
    pub mode: Mode,
    /// A stored answer as old as this is fetched anew; it is served only when that fails. The upstream's own limits
    /// ([`CachePolicy`](super::CachePolicy)) hold beside it.
    pub max_age: Option<Duration>,
    /// Have the picture wait in the queue, under this priority (higher ones come first), when it cannot be asked
    /// about now.
    pub defer: Option<i32>,
    /// Ask about a picture in which nothing shows, and about an elongated one as a whole, too.
    pub force: bool,
    /// Ask about an elongated picture as a whole, too.
    pub whole: bool,
    /// Whether parts of it are always looked at where the whole is no hit.
    pub second_look: SecondLook,
    /// Which of the offers are wanted.
    pub refine: Refine,
    /// What ends the caller's patience: see [`Query::deadline`] and [`Query::cancel`].
    pub interrupt: Interrupt,
}

impl<'a> Query<'a> {
    /// The plain question: what is like this picture?
    #[must_use]
    pub fn new(bytes: &'a [u8], label: &'a str) -> Self {
        Self {
            bytes,
            label,
            source_url: None,
            params: SearchParams::default(),
            upstream: None,
            without_own: false,
            mode: Mode::Default,
            max_age: None,
            defer: None,
            force: false,
            whole: false,
            second_look: SecondLook::Always,
            refine: Refine::default(),
            interrupt: Interrupt::never(),
        }
    }

    /// What the search may use.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// What is asked beside the picture: category, prices, page, region.
    #[must_use]
    pub fn params(self, params: SearchParams) -> Self {
        Self { params, ..self }
    }

    /// Whose answer is wanted; see the field.
    #[must_use]
    pub fn upstream(self, profile: impl Into<Option<&'a str>>) -> Self {
        Self { upstream: profile.into(), ..self }
    }

    /// Whether own goods are no answer; see the field.
    #[must_use]
    pub fn without_own(self, without_own: bool) -> Self {
        Self { without_own, ..self }
    }

    /// Where the picture was got from; see the field.
    #[must_use]
    pub fn source_url(self, url: impl Into<Option<&'a str>>) -> Self {
        Self { source_url: url.into(), ..self }
    }

    /// How old a stored answer may be; see the field.
    #[must_use]
    pub fn max_age(self, max_age: impl Into<Option<Duration>>) -> Self {
        Self { max_age: max_age.into(), ..self }
    }

    /// Has the picture wait in the queue when it cannot be asked about now; see the field.
    #[must_use]
    pub fn defer(self, priority: impl Into<Option<i32>>) -> Self {
        Self { defer: priority.into(), ..self }
    }

    /// Whether a picture in which nothing shows, and an elongated one as a whole, are asked about, too.
    #[must_use]
    pub fn force(self, force: bool) -> Self {
        Self { force, ..self }
    }

    /// Whether an elongated picture is asked about as a whole, too.
    #[must_use]
    pub fn whole(self, whole: bool) -> Self {
        Self { whole, ..self }
    }

    /// Whether parts of it are always looked at where the whole is no hit.
    #[must_use]
    pub fn second_look(self, second_look: SecondLook) -> Self {
        Self { second_look, ..self }
    }

    /// Which of the offers are wanted.
    #[must_use]
    pub fn refine(self, refine: Refine) -> Self {
        Self { refine, ..self }
    }

    /// From `at` on nothing is waited for and nothing is asked; a wait that would last longer is not begun. What is known by
    /// then is the answer, and [`Answer::unanswered`](super::Answer::unanswered) says why no more
    /// ([`WhyNot::DeadlinePassed`](crate::upstream::WhyNot::DeadlinePassed)); where even that was not looked up, the search
    /// fails with [`EngineError::Interrupted`](super::EngineError::Interrupted). A call that is under way then is waited for, as
    /// long as its upstream's time-out allows: it is paid for, so its answer is stored and returned. Work of this machine
    /// (decoding, the model, making the index anew) is not cut off in the middle.
    #[must_use]
    pub fn deadline(self, at: Instant) -> Self {
        Self { interrupt: self.interrupt.deadline(at), ..self }
    }

    /// Once `token` is cancelled, the search fails with [`EngineError::Interrupted`](super::EngineError::Interrupted) (or, where
    /// an attempt to ask has failed before, the same inside of [`EngineError::Upstream`](super::EngineError::Upstream), with what
    /// was paid) at the next step or within some 25 ms of any wait, with the exceptions of [`Query::deadline`].
    #[must_use]
    pub fn cancel(self, token: &Cancel) -> Self {
        Self { interrupt: self.interrupt.cancel(token.clone()), ..self }
    }
}
