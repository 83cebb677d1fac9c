//! Why a search is refused, in no dialect's words.

/// Why a search is not let through, or came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    BadToken,
    NoPermission,
    TooFast,
    /// The same, said in HTTP 200.
    TooFastIn200,
    QuotaSpent,
    /// The picture is none that is taken.
    BadPicture,
    /// What is asked beside the picture cannot be asked of the upstream behind.
    #[cfg_attr(not(feature = "serve"), allow(dead_code, reason = "nothing is behind the sandbox"))]
    BadQuestion,
    /// It failed, and may not at another time.
    Failed,
}
