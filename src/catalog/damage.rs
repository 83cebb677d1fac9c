//! What cannot be read of what is stored: one bad entry never stops the rest.
//!
//! A read that comes upon such an entry goes on without it and tells the listener, once for each entry.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::Serialize;

use super::{Catalog, OWN_PROFILE};
use crate::photo_id::PhotoId;

/// So many entries are named one by one; a listener is told once that there are more.
const MAX_TOLD: usize = 20;

/// An entry of the catalogue that can be damaged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Entry {
    /// A photo's vector.
    Vector(PhotoId),
    /// Gathered for the next model.
    NextVector(PhotoId),
    /// A photo's sketch.
    Sketch(PhotoId),
    /// The text of an offer.
    Offer {
        /// Who told of it.
        profile: String,
        /// Its id at that profile.
        offer_id: String,
    },
    /// Details of an offer.
    Details {
        /// Who told of it.
        profile: String,
        /// Its id at that profile.
        offer_id: String,
    },
    /// A picture of the queue.
    Waiting {
        /// Its number in the queue.
        queue_id: i64,
    },
    /// What was asked for with an answer.
    Params {
        /// The answer's number.
        answer_id: i64,
    },
    /// The home's own calibration.
    Calibration,
    /// The name of the model that the home belongs to.
    Model,
}

/// An entry that cannot be read, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// What cannot be read.
    pub entry: Entry,
    /// Why it cannot be read.
    pub problem: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vector(id) => write!(f, "the vector of photo {id}"),
            Self::NextVector(id) => write!(f, "the next model's vector of photo {id}"),
            Self::Sketch(id) => write!(f, "the sketch of photo {id}"),
            Self::Offer { profile, offer_id } if profile == OWN_PROFILE => {
                write!(f, "the own good {offer_id}")
            }
            Self::Offer { profile, offer_id } => write!(f, "the offer {offer_id} of {profile}"),
            Self::Details { profile, offer_id } => {
                write!(f, "the details of the offer {offer_id} of {profile}")
            }
            Self::Waiting { queue_id } => write!(f, "entry {queue_id} of the queue"),
            Self::Params { answer_id } => write!(f, "what answer {answer_id} was asked for with"),
            Self::Calibration => write!(f, "the calibration of this home"),
            Self::Model => write!(f, "the name of the model of this home"),
        }
    }
}

impl Entry {
    /// What is done without it, and what mends it: a repair is [`Catalog::repair`].
    fn consequence(&self) -> &'static str {
        match self {
            Self::Vector(_) => {
                "the photo is left out of the index and known by its bytes and pixels only; a repair takes the vector away, \
                 embedding the original anew makes another"
            }
            Self::NextVector(_) => "it is not used, and is made again",
            Self::Sketch(_) => {
                "the photo is judged by its vector alone; a repair takes the sketch away, the original makes another"
            }
            Self::Offer { profile, .. } if profile == OWN_PROFILE => {
                "only its id is known; add the good again, or have a repair keep the id alone"
            }
            Self::Offer { .. } => {
                "only its id is known; another answer that names it renews it, a repair keeps the id"
            }
            Self::Details { .. } => "they count as unknown; a repair takes them away",
            Self::Waiting { .. } => "it is passed over; a repair takes it away",
            Self::Params { .. } => {
                "no search finds the answer; a repair takes it away, and the next search asks anew"
            }
            Self::Calibration => {
                "the shipped one takes its place; calibrate again, or have a repair take it away"
            }
            Self::Model => {
                "the vectors have the dimension of this program's model, whose name was written in its place; if it was \
                 another model, embed the originals anew"
            }
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be read ({}): {}", self.entry, self.problem, self.entry.consequence())
    }
}

type Listener = Box<dyn Fn(DamageNote<'_>) + Send + Sync>;

/// What a listener hears of damage.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum DamageNote<'a> {
    /// One entry.
    Entry(&'a Damage),
    /// So many were told of that it is enough: a scan counts them.
    More,
}

impl fmt::Display for DamageNote<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(damage) => damage.fmt(f),
            Self::More => f.write_str("more entries cannot be read"),
        }
    }
}

/// What was found damaged while something else was read.
#[derive(Default)]
pub(crate) struct DamageLog {
    listener: OnceLock<Listener>,
    told: Mutex<HashSet<Entry>>,
}

impl DamageLog {
    /// Only the first listener counts.
    pub(crate) fn listen(&self, listener: impl Fn(DamageNote<'_>) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    /// Tells the listener, unless it has heard of this entry.
    pub(crate) fn note(&self, entry: Entry, problem: impl fmt::Display) {
        let Some(listener) = self.listener.get() else { return };
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() > MAX_TOLD || !told.insert(entry.clone()) {
                return;
            }
            if told.len() > MAX_TOLD {
                return listener(DamageNote::More);
            }
        }
        listener(DamageNote::Entry(&Damage { entry, problem: problem.to_string() }));
    }
}

impl Catalog {
    /// Has `listener` told of each entry that turns out to be damaged, once. Only the first call counts.
    pub fn on_damage(&self, listener: impl Fn(DamageNote<'_>) + Send + Sync + 'static) {
        self.damage.listen(listener);
    }
}
