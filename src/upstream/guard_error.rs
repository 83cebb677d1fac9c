//! Why may we not ask, or what came of it?

use std::time::Duration;

use serde::Serialize;

use super::{NO_ADDRESS, NOT_TAKEN};
use crate::cancel::Interrupted;
use crate::clock::Timestamp;
use crate::ledger::LedgerError;
use crate::upstream_error::{UpstreamError, UpstreamErrorKind};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum GuardError {
    #[error(
        "{profile}: today's budget is spent ({used} of {budget} calls); it begins anew at {resets_at}, or \
         raise daily_budget"
    )]
    BudgetSpent { profile: &'static str, used: u32, budget: u32, resets_at: Timestamp },
    /// `calls` search calls were made and (perhaps) billed without an answer.
    #[error("{error}")]
    Upstream { error: UpstreamError, calls: u32 },
    /// The call could not be booked, so it was not made; `calls` were made and (perhaps) billed before.
    #[error("{profile}: {}", not_booked(error, *calls))]
    Ledger { profile: &'static str, error: LedgerError, calls: u32 },
    #[error(
        "{profile}: this search would wait {} s for its turn, and {} s are allowed; ask again later, or \
         raise max_wait",
        wait.as_secs(), max_wait.as_secs()
    )]
    TooSlow { profile: &'static str, wait: Duration, max_wait: Duration },
    /// The breaker is open, for all processes: the upstream failed too often, or has said that nothing is left.
    #[error("{error}; it is not asked before {until}")]
    BreakerOpen { error: UpstreamError, until: Timestamp },
    /// The caller wants no answer any more; `calls` were made and (perhaps) billed before.
    #[error("{profile} was not asked{}: {reason}", paid_before(*calls))]
    Interrupted { profile: &'static str, reason: Interrupted, calls: u32 },
}

fn paid_before(calls: u32) -> String {
    match calls {
        0 => String::new(),
        1 => " again; 1 call paid".to_owned(),
        calls => format!(" again; {calls} calls paid"),
    }
}

fn not_booked(error: &LedgerError, calls: u32) -> String {
    let (cause, calls) = match error {
        LedgerError::Storage { message } => (message.clone(), calls),
        other => (other.to_string(), 0),
    };
    let paid = match calls {
        0 => "nothing was asked".to_owned(),
        1 => "nothing more was asked; 1 call paid".to_owned(),
        calls => format!("nothing more was asked; {calls} calls paid"),
    };
    format!("cannot store that a call is made, so {paid}: {cause}")
}

/// Why nothing was asked, or asked in vain, in a way that passes by itself or with a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WhyNot {
    /// The caller forbade it.
    Offline,
    /// No upstream is configured.
    NoUpstream,
    /// Nothing shows in the picture: whatever came back would answer other blanks.
    NothingToCompare,
    /// It shows several things one below the other, and would be sent too narrow; its parts are suggested.
    TooElongated,
    /// The budget of the day, which the user sets, is spent.
    BudgetSpent,
    /// The upstream says that nothing is left.
    QuotaSpent,
    /// The upstream failed too often just now.
    BreakerOpen,
    /// Too many wait for their turn.
    TooSlow,
    /// The caller's deadline left no time to ask.
    DeadlinePassed,
    /// The upstream was asked and failed.
    UpstreamFailed,
    /// The upstream answered in a way that cannot be read, now or a short while ago.
    Unreadable,
    /// The home folder cannot be written, so neither could the call be booked nor its answer be kept.
    CannotStore,
}

impl WhyNot {
    /// What lies in the picture, which is no better later: such a one is not asked about again.
    pub(crate) const OF_THE_PICTURE: [Self; 2] = [Self::NothingToCompare, Self::TooElongated];

    /// Whether it is one of these.
    pub(crate) fn is_of_the_picture(self) -> bool {
        Self::OF_THE_PICTURE.contains(&self)
    }
}

impl GuardError {
    /// Search calls made and (perhaps) billed before giving up.
    #[must_use]
    pub fn calls(&self) -> u32 {
        match self {
            Self::Upstream { calls, .. } | Self::Ledger { calls, .. } | Self::Interrupted { calls, .. } => {
                *calls
            }
            Self::BudgetSpent { .. } | Self::TooSlow { .. } | Self::BreakerOpen { .. } => 0,
        }
    }

    /// Why nothing came of it, if that passes; `None` for what only a person can mend, and for what lies in the
    /// picture or the parameters.
    #[must_use]
    pub fn why_not(&self) -> Option<WhyNot> {
        use UpstreamErrorKind::{Quota, Rate, Transient, Unreachable, Unreadable};
        match self {
            Self::BudgetSpent { .. } => Some(WhyNot::BudgetSpent),
            Self::TooSlow { .. } => Some(WhyNot::TooSlow),
            Self::BreakerOpen { error, .. } if error.kind == Quota => Some(WhyNot::QuotaSpent),
            Self::BreakerOpen { .. } => Some(WhyNot::BreakerOpen),
            Self::Upstream { error, .. } => match error.kind {
                Quota => Some(WhyNot::QuotaSpent),
                Rate | Transient | Unreachable => Some(WhyNot::UpstreamFailed),
                Unreadable => Some(WhyNot::Unreadable),
                _ => None,
            },
            Self::Ledger { .. } => Some(WhyNot::CannotStore),
            Self::Interrupted { reason: Interrupted::DeadlinePassed, .. } => Some(WhyNot::DeadlinePassed),
            Self::Interrupted { reason: Interrupted::Cancelled, .. } => None,
        }
    }

    /// When it is worth asking again, where that is known.
    #[must_use]
    pub fn retry_at(&self) -> Option<Timestamp> {
        match self {
            Self::BudgetSpent { resets_at, .. } => Some(*resets_at),
            Self::BreakerOpen { until, .. } => Some(*until),
            _ => None,
        }
    }

    /// Whether another upstream may be asked in this one's place: this one is not going to bill the search.
    #[must_use]
    pub fn leaves_room_for_another(&self) -> bool {
        match self {
            Self::Upstream { error, calls } => {
                use UpstreamErrorKind::{Quota, Unreachable, Unreadable};
                let is_elsewhere = [NO_ADDRESS, NOT_TAKEN].contains(&error.code.as_str())
                    || matches!(error.kind, Quota | Unreachable | Unreadable);
                *calls == 0 && is_elsewhere
            }
            Self::BudgetSpent { .. } | Self::BreakerOpen { .. } => true,
            Self::TooSlow { .. } | Self::Ledger { .. } | Self::Interrupted { .. } => false,
        }
    }

    /// As [`leaves_room_for_another`](Self::leaves_room_for_another), for the details of an offer: they need a permission of their
    /// own, which may be missing where searches are answered.
    #[must_use]
    pub fn leaves_details_to_another(&self) -> bool {
        use UpstreamErrorKind::{Acl, Unsupported};
        let is_not_for_us =
            matches!(self, Self::Upstream { error, calls: 0 } if matches!(error.kind, Acl | Unsupported));
        is_not_for_us || self.leaves_room_for_another()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_cannot_be_booked_says_what_was_paid_before() {
        let told = |calls| {
            let error = LedgerError::Storage { message: "disk full".to_owned() };
            GuardError::Ledger { profile: "aop", error, calls }.to_string()
        };
        assert_eq!(told(0), "aop: cannot store that a call is made, so nothing was asked: disk full");
        assert!(told(1).contains("nothing more was asked; 1 call paid: disk full"), "{}", told(1));
        assert!(told(3).contains("nothing more was asked; 3 calls paid: disk full"), "{}", told(3));
    }
}
