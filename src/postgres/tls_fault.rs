//! What is wrong with an encrypted connection, and what to do about it.

use std::path::PathBuf;

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use crate::timestamp::Timestamp;

/// Why a connection is not encrypted as was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum TlsFault {
    #[error("the {what} file {}: {problem}", path.display())]
    File { what: &'static str, path: PathBuf, problem: String },
    #[error(
        "this machine's system tells no authorities ({problem}): name a file of them with sslrootcert=PATH"
    )]
    SystemRoots { problem: String },
    #[error(
        "the server's certificate is signed by no authority that {trusting} names: name the file of its authority with \
         sslrootcert=PATH"
    )]
    UnknownAuthority { trusting: String },
    #[error(
        "the server's certificate is not for {name}{}: use a host name that it holds, or sslmode=verify-ca, which asks for none",
        holds(presented)
    )]
    OtherName { name: String, presented: Vec<String> },
    #[error(
        "the server's certificate has expired{}: have it renewed, or set this machine's clock if that is wrong",
        on(" on ", .0.as_ref())
    )]
    Expired(Option<Timestamp>),
    #[error(
        "the server's certificate is not valid yet{}: set the clock that is wrong, this machine's or that of the machine which \
         made it, or wait",
        on(", but from ", .0.as_ref())
    )]
    NotYetValid(Option<Timestamp>),
    #[error("the server's certificate cannot be trusted ({0}): have one made for this server")]
    BadCertificate(String),
    #[error("there can be no encrypted connection: {0}")]
    Other(String),
}

/// The names of a certificate, as the end of a clause. Each comes with its kind around it: `DnsName("db.example")`.
fn holds(presented: &[String]) -> String {
    let inside = |name: &String| {
        let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        inside.map_or(name.as_str(), |inside| inside.trim_matches('"')).to_owned()
    };
    let names: Vec<String> = presented.iter().map(inside).collect();
    if names.is_empty() { String::new() } else { format!(" (it holds {})", names.join(", ")) }
}

/// A moment in the midst of a sentence.
fn on(before: &str, moment: Option<&Timestamp>) -> String {
    moment.map_or(String::new(), |moment| format!("{before}{moment}"))
}

fn timestamp(moment: UnixTime) -> Option<Timestamp> {
    Some(Timestamp::from_unix_ms(i64::try_from(moment.as_secs()).ok()?.checked_mul(1000)?))
}

impl TlsFault {
    /// Whether the server is not, or may not be, the one that was meant.
    pub(super) fn is_distrust(&self) -> bool {
        matches!(
            self,
            Self::UnknownAuthority { .. }
                | Self::OtherName { .. }
                | Self::Expired(_)
                | Self::NotYetValid(_)
                | Self::BadCertificate(_)
        )
    }

    pub(super) fn of(error: &rustls::Error, name: &str, trusting: &str) -> Self {
        let rustls::Error::InvalidCertificate(error) = error else { return Self::Other(error.to_string()) };
        match error {
            CertificateError::UnknownIssuer => Self::UnknownAuthority { trusting: trusting.to_owned() },
            CertificateError::NotValidForName => Self::OtherName { name: name.to_owned(), presented: vec![] },
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::OtherName { name: name.to_owned(), presented: presented.clone() }
            }
            CertificateError::Expired => Self::Expired(None),
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired(timestamp(*not_after)),
            CertificateError::NotValidYet => Self::NotYetValid(None),
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid(timestamp(*not_before))
            }
            other => Self::BadCertificate(other.to_string()),
        }
    }
}
