//! Why a search is refused, in no dialect's words.

/// Why a search is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    BadToken,
    NoPermission,
    TooFast,
    /// The same, said in HTTP 200.
    TooFastIn200,
    QuotaSpent,
}
