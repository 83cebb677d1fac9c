//! What is asked: a picture, and what may be done to answer.

use std::time::Duration;

use super::Refine;
use crate::question::SearchParams;

/// What a search may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Answer locally when the picture is known, else ask the upstream and store what it says.
    #[default]
    Default,
    /// Never spend anything.
    LocalOnly,
    /// Ask in any case, and store what comes back.
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

/// One search.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// The picture's file.
    pub bytes: &'a [u8],
    /// For people, usually the file's name; stored with the photo.
    pub label: &'a str,
    /// Where the picture was got from, if that is a public web address: some upstreams take nothing else.
    pub source_url: Option<&'a str>,
    pub params: SearchParams,
    pub mode: Mode,
    /// A stored answer as old as this is fetched anew; it is served only when that fails. The upstream's own limits
    /// ([`CachePolicy`](super::CachePolicy)) hold beside it.
    pub max_age: Option<Duration>,
    /// Have the picture wait in the queue, under this priority (higher ones come first), when it cannot be asked
    /// about now.
    pub defer: Option<i32>,
    /// Ask about a picture in which nothing shows, too.
    pub force: bool,
    pub second_look: SecondLook,
    /// Which of the offers are wanted.
    pub refine: Refine,
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
            mode: Mode::Default,
            max_age: None,
            defer: None,
            force: false,
            second_look: SecondLook::Always,
            refine: Refine::default(),
        }
    }
}
