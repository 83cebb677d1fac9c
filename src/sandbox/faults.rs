//! What goes wrong, if the sandbox is told to let it: the next searches by a script, or a seeded share of all.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use encoding_rs::GBK;
use serde::Deserialize;
use serde_json::Value;

use crate::dialect::Refusal;
use crate::dice::Dice;

/// A client gives up long before.
const MAX_SLOW_MS: u64 = 120_000;
/// How deep [`Fault::Deep`] nests; readers that count stop at 128.
const DEEP: usize = 1000;
/// What a row loses, as the dialects name price, title and supplier.
const LOST_FIELDS: [&str; 13] = [
    "price",
    "price_info",
    "priceInfo",
    "promotion_price",
    "oldPrice",
    "title",
    "title_origin",
    "subject",
    "subjectTrans",
    "supplierInfo",
    "companyName",
    "seller_nick",
    "shop_info",
];

/// What a title stands behind, in JSON.
const TITLES: [&str; 3] = ["\"title\":\"", "\"title_origin\":\"", "\"subject\":\""];
const LOGIN_PAGE: &str = "<!DOCTYPE html><html><head><title>登录</title></head><body>\
    <form action=\"/login\">请输入验证码 captcha</form></body></html>";

/// What befalls a search. The first four, and [`Fault::ImageIdZero`], are refusals that are not counted against the
/// quota; the others befall the answer to a search that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// `rate`: too fast, as the dialect says it.
    TooFast,
    /// `rate-200`: too fast, said in HTTP 200.
    TooFastIn200,
    /// `quota`: nothing is left.
    QuotaSpent,
    /// `token`: every token given out so far ends at this moment.
    TokenEnds,
    /// `slow:MS`: the answer comes later.
    Slow {
        /// By so many milliseconds, 1 to 120,000.
        ms: u64,
    },
    /// `cut`: the connection ends in the middle of the answer.
    Cut,
    /// `truncated`: half of the answer comes as if it were all.
    Truncated,
    /// `missing-fields`: rows without price, title and supplier.
    MissingFields,
    /// `image-id-0`: the upload succeeds and gives the id 0 or none; dialects without an upload refuse the picture in
    /// their own words.
    ImageIdZero,
    /// `other-success`: `success` comes as a string where it is a truth value, and the reverse.
    OtherSuccess,
    /// `hang`: nothing comes, until the client goes away.
    Hang,
    /// `html`: a page for people to log in comes in the place of the answer, as HTTP 200.
    Html,
    /// `empty`: HTTP 200 and nothing.
    Empty,
    /// `gbk`: the answer comes in GBK, and says so.
    Gbk,
    /// `gbk-undeclared`: the answer comes in GBK, and says that it is UTF-8.
    GbkUndeclared,
    /// `utf-16`: the answer comes in UTF-16 with a byte order mark.
    Utf16,
    /// `bom`: UTF-8 with a byte order mark.
    ByteOrderMark,
    /// `surrogate`: titles begin with half a surrogate pair.
    Surrogate,
    /// `bad-byte`: titles begin with a byte that is not UTF-8.
    BadByte,
    /// `deep`: an unknown field is nested a thousand deep.
    Deep,
    /// `jsonp`: the answer is wrapped into a call of a script's function.
    Jsonp,
    /// `trailing`: something follows the answer.
    Trailing,
}

const NAMED: [(&str, Fault); 21] = [
    ("rate", Fault::TooFast),
    ("rate-200", Fault::TooFastIn200),
    ("quota", Fault::QuotaSpent),
    ("token", Fault::TokenEnds),
    ("cut", Fault::Cut),
    ("truncated", Fault::Truncated),
    ("missing-fields", Fault::MissingFields),
    ("image-id-0", Fault::ImageIdZero),
    ("other-success", Fault::OtherSuccess),
    ("hang", Fault::Hang),
    ("html", Fault::Html),
    ("empty", Fault::Empty),
    ("gbk", Fault::Gbk),
    ("gbk-undeclared", Fault::GbkUndeclared),
    ("utf-16", Fault::Utf16),
    ("bom", Fault::ByteOrderMark),
    ("surrogate", Fault::Surrogate),
    ("bad-byte", Fault::BadByte),
    ("deep", Fault::Deep),
    ("jsonp", Fault::Jsonp),
    ("trailing", Fault::Trailing),
];

/// Why a text names no fault, or faults cannot be injected together.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum FaultError {
    #[error(
        "there is no fault {0:?}: use slow:MS (1 to {MAX_SLOW_MS}) or one of {names}", names = names()
    )]
    Unknown(String),
    #[error("{0:?} is no share: use 0 to 1, as in cut=0.01")]
    Share(String),
    #[error("the shares of all faults come to {0}, and 1 is all there is")]
    TooMany(f64),
}

fn names() -> String {
    NAMED.map(|(name, _)| name).join(", ")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow { ms } => write!(f, "slow:{ms}"),
            named => f.write_str(NAMED.iter().find(|(_, fault)| fault == named).map_or("", |(name, _)| name)),
        }
    }
}

impl FromStr for Fault {
    type Err = FaultError;
    fn from_str(text: &str) -> Result<Self, FaultError> {
        let slow = || {
            let ms = text.strip_prefix("slow:")?.parse().ok()?;
            (1..=MAX_SLOW_MS).contains(&ms).then_some(Self::Slow { ms })
        };
        let named = NAMED.iter().find(|(name, _)| *name == text).map(|(_, fault)| *fault);
        named.or_else(slow).ok_or_else(|| FaultError::Unknown(text.chars().take(40).collect()))
    }
}

/// Which faults are injected from now on. As JSON:
/// `{"script":["rate","slow:500"],"shares":{"cut":0.01},"seed":7}`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Faults {
    script: VecDeque<Fault>,
    shares: Vec<(Fault, f64)>,
    seed: u64,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    script: Vec<String>,
    shares: BTreeMap<String, f64>,
    seed: u64,
}

impl TryFrom<Written> for Faults {
    type Error = FaultError;
    fn try_from(written: Written) -> Result<Self, FaultError> {
        let script = written.script.iter().map(|name| name.parse()).collect::<Result<Vec<_>, _>>()?;
        let shares = written.shares.iter().map(|(name, share)| Ok((name.parse()?, *share)));
        Self::new(script, shares.collect::<Result<_, FaultError>>()?, written.seed)
    }
}

impl Faults {
    /// The next searches get the faults of `script` in this order; later ones each of `shares` by chance, the same for
    /// the same `seed` and order of requests.
    ///
    /// # Errors
    /// [`FaultError`] for a share outside 0 to 1, or shares that come to more than 1.
    pub fn new(
        script: impl IntoIterator<Item = Fault>,
        shares: Vec<(Fault, f64)>,
        seed: u64,
    ) -> Result<Self, FaultError> {
        if let Some((fault, share)) = shares.iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            return Err(FaultError::Share(format!("{fault}={share}")));
        }
        let all: f64 = shares.iter().map(|(_, share)| share).sum();
        // A little more than 1 by rounding is 1.
        if all > 1.0 + 1e-9 {
            return Err(FaultError::TooMany(all));
        }
        Ok(Self { script: script.into_iter().collect(), shares, seed })
    }

    /// The next searches get these faults, and none after them.
    #[must_use]
    pub fn script(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self { script: faults.into_iter().collect(), ..Self::default() }
    }

    /// From texts such as `rate` (befalls the next search, after those named before it) and `cut=0.01` (befalls that
    /// share of all).
    ///
    /// # Errors
    /// [`FaultError`] when a text is neither, or as for [`new`](Self::new).
    pub fn parse(texts: &[String], seed: u64) -> Result<Self, FaultError> {
        let (mut script, mut shares) = (Vec::new(), Vec::new());
        for text in texts {
            match text.split_once('=') {
                None => script.push(text.parse()?),
                Some((name, share)) => {
                    let share = share.parse().map_err(|_| FaultError::Share(text.clone()))?;
                    shares.push((name.parse()?, share));
                }
            }
        }
        Self::new(script, shares, seed)
    }
}

/// Where a fault may strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The upload before a search.
    Upload,
    /// A search after an upload.
    Search,
    /// A search that has no upload before it.
    OnlySearch,
}

impl Stage {
    fn takes(self, fault: Fault) -> bool {
        match self {
            Self::Upload => fault == Fault::ImageIdZero,
            Self::Search => fault != Fault::ImageIdZero,
            Self::OnlySearch => true,
        }
    }
}

/// The faults to come.
#[derive(Debug)]
pub(super) struct FaultInjector(Mutex<(Faults, Dice)>);

impl FaultInjector {
    pub(super) fn new(faults: Faults) -> Self {
        let dice = Dice::of(&[faults.seed]);
        Self(Mutex::new((faults, dice)))
    }

    pub(super) fn replace(&self, faults: Faults) {
        let dice = Dice::of(&[faults.seed]);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (faults, dice);
    }

    /// What befalls the request at hand. The script goes before chance, and waits for a request that its next fault
    /// can strike.
    pub(super) fn draw(&self, stage: Stage) -> Option<Fault> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (faults, dice) = &mut *guard;
        if let Some(&next) = faults.script.front() {
            if stage.takes(next) {
                faults.script.pop_front();
                return Some(next);
            }
            return None;
        }
        if faults.shares.is_empty() {
            return None;
        }
        // 53 bits: every step of an f64 below 1.
        let mut rest = (dice.next() >> 11) as f64 / (1_u64 << 53) as f64;
        for &(fault, share) in &faults.shares {
            if rest < share {
                return Some(fault).filter(|fault| stage.takes(*fault));
            }
            rest -= share;
        }
        None
    }

    /// A fault that could not strike after all strikes the next one.
    pub(super) fn put_back(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.script.push_front(fault);
    }
}

impl Fault {
    /// How the gate refuses a search that this befalls.
    pub(super) fn refusal(self) -> Option<Refusal> {
        match self {
            Self::TooFast => Some(Refusal::TooFast),
            Self::TooFastIn200 => Some(Refusal::TooFastIn200),
            Self::QuotaSpent => Some(Refusal::QuotaSpent),
            Self::TokenEnds => Some(Refusal::BadToken),
            _ => None,
        }
    }
}

/// The answer `body`, or what the fault leaves of it.
pub(super) async fn deliver(fault: Option<Fault>, mut body: Value) -> Response {
    match fault {
        Some(Fault::Slow { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(Fault::Hang) => tokio::time::sleep(Duration::from_millis(5 * MAX_SLOW_MS)).await,
        Some(Fault::MissingFields) => each_object(&mut body, &|object| {
            object.retain(|name, _| !LOST_FIELDS.contains(&name.as_str()));
        }),
        Some(Fault::OtherSuccess) => each_object(&mut body, &|object| {
            if let Some(success) = object.get_mut("success") {
                *success = match &*success {
                    Value::Bool(flag) => flag.to_string().into(),
                    other => (other == "true").into(),
                };
            }
        }),
        _ => {}
    }
    if let Some((kind, bytes)) = fault.and_then(|fault| untidy(fault, &body.to_string())) {
        return ([(header::CONTENT_TYPE, kind)], bytes).into_response();
    }
    if !matches!(fault, Some(Fault::Cut | Fault::Truncated)) {
        return axum::Json(body).into_response();
    }
    let whole = body.to_string().into_bytes();
    let half = whole[..whole.len() / 2].to_vec();
    let json = (header::CONTENT_TYPE, "application/json".to_owned());
    if fault == Some(Fault::Truncated) {
        return ([json], half).into_response();
    }
    // A stream has no length of its own, so the one that is announced is believed until the stream ends too early.
    let stream = Body::from_stream(Body::from(half).into_data_stream());
    ([json, (header::CONTENT_LENGTH, whole.len().to_string())], stream).into_response()
}

/// What some servers make of the answer `json`, and what they say it is.
fn untidy(fault: Fault, json: &str) -> Option<(&'static str, Vec<u8>)> {
    const JSON: &str = "application/json";
    let titles_begin_with = |junk: &[u8]| {
        let mut bytes = Vec::with_capacity(json.len());
        let mut rest = json;
        while let Some(at) = TITLES.iter().filter_map(|name| Some(rest.find(name)? + name.len())).min() {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            bytes.extend_from_slice(junk);
            rest = &rest[at..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        bytes
    };
    Some(match fault {
        Fault::Html => ("text/html; charset=utf-8", LOGIN_PAGE.into()),
        Fault::Empty => (JSON, Vec::new()),
        Fault::Gbk => ("application/json; charset=GBK", GBK.encode(json).0.into_owned()),
        Fault::GbkUndeclared => ("application/json; charset=utf-8", GBK.encode(json).0.into_owned()),
        Fault::Utf16 => {
            (JSON, "\u{feff}".encode_utf16().chain(json.encode_utf16()).flat_map(u16::to_le_bytes).collect())
        }
        Fault::ByteOrderMark => (JSON, format!("\u{feff}{json}").into()),
        Fault::Surrogate => (JSON, titles_begin_with(b"\\ud83d")),
        Fault::BadByte => (JSON, titles_begin_with(b"\xff")),
        Fault::Deep => {
            let deep = format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP));
            (JSON, json.replacen('{', &format!("{{\"trace\":{deep},"), 1).into())
        }
        Fault::Jsonp => ("application/javascript", format!("callback({json});").into()),
        Fault::Trailing => (JSON, format!("{json}\n<!-- gw-11 -->").into()),
        _ => return None,
    })
}

fn each_object(value: &mut Value, change: &dyn Fn(&mut serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            change(object);
            object.values_mut().for_each(|value| each_object(value, change));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| each_object(value, change)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_as_it_is_written() {
        for fault in NAMED.iter().map(|(_, fault)| *fault).chain([Fault::Slow { ms: 1500 }]) {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        for text in ["", "slow", "slow:0", "slow:120001", "slow:-1", "Rate", "cut=0.5"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_checked_before_anything_goes_wrong() {
        let parse =
            |texts: &[&str]| Faults::parse(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), 1);
        assert!(parse(&["rate=0.5", "cut=0.5", "slow:10"]).is_ok());
        assert_eq!(parse(&["rate=0.6", "cut=0.6"]), Err(FaultError::TooMany(1.2)));
        for bad in ["cut=", "cut=-0.1", "cut=1.5", "cut=NaN"] {
            assert!(matches!(parse(&[bad]), Err(FaultError::Share(_))), "{bad}");
        }
    }

    #[test]
    fn a_share_comes_true_and_the_same_seed_gives_the_same_faults() {
        let draw = |seed| {
            let faults =
                Faults::new([], vec![(Fault::Cut, 0.1), (Fault::TooFast, 0.2)], seed).expect("small");
            let injector = FaultInjector::new(faults);
            (0..10_000).map(|_| injector.draw(Stage::Search)).collect::<Vec<_>>()
        };
        let drawn = draw(7);
        let share = |fault| drawn.iter().filter(|drawn| **drawn == Some(fault)).count();
        assert!((900..1100).contains(&share(Fault::Cut)), "{}", share(Fault::Cut));
        assert!((1850..2150).contains(&share(Fault::TooFast)), "{}", share(Fault::TooFast));
        assert_eq!(draw(7), drawn);
        assert_ne!(draw(8), drawn);
    }

    #[test]
    fn the_script_waits_for_a_request_that_its_fault_can_strike() {
        let injector = FaultInjector::new(Faults::script([Fault::ImageIdZero, Fault::Cut]));
        assert_eq!(injector.draw(Stage::Search), None);
        assert_eq!(injector.draw(Stage::Upload), Some(Fault::ImageIdZero));
        assert_eq!(injector.draw(Stage::Upload), None);
        assert_eq!(injector.draw(Stage::Search), Some(Fault::Cut));
        assert_eq!(injector.draw(Stage::OnlySearch), None);
    }
}
