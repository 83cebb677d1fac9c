//! Which words does the official search have for filters, orders and languages, and which texts does it take?

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why something is no part of a question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what is wrong and what to use")]
#[non_exhaustive]
pub enum WordError {
    #[error("there is no filter {given:?}: use {}", OfferFilter::WORDS.join(", "))]
    Filter { given: String },
    #[error("there is no order {given:?}: use {}", Sort::ALL.map(Sort::name).join(", "))]
    Sort { given: String },
    #[error("{given:?} is no language: use two or three letters, as in en, ru or ja")]
    Language { given: String },
    #[error("a text of a question has 1 to {max} characters on one line, and {given:?} has not", max = Phrase::MAX_CHARS)]
    Phrase { given: String },
}

/// The beginning of what was given, for an error.
fn begin(text: &str) -> String {
    text.chars().take(80).collect()
}

/// What all offers of an answer are to be, in the official search's own words: `shipIn24Hours`, `certifiedFactory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OfferFilter(&'static str);

impl OfferFilter {
    /// All that are documented.
    pub const WORDS: [&str; 25] = [
        "1688Selection",
        "certifiedFactory",
        "getRate24HLv1",
        "getRate24HLv2",
        "getRate24HLv3",
        "getRate48HLv1",
        "getRate48HLv2",
        "getRate48HLv3",
        "isOnePsale",
        "isOnePsaleFreePost",
        "isQqyx",
        "isSelect",
        "jxhy",
        "ksCiphertext",
        "new30",
        "new7",
        "noReason7DReturn",
        "qrr5",
        "shipIn24Hours",
        "shipIn48Hours",
        "shipInToday",
        "totalEpScoreLv1",
        "totalEpScoreLv2",
        "totalEpScoreLv3",
        "totalEpScoreLv4",
    ];

    /// One piece is sent to the buyer's own customer.
    pub const DROPSHIP: Self = Self("isOnePsale");

    /// It may be sent back within seven days without a reason.
    pub const NO_REASON_RETURN: Self = Self("noReason7DReturn");

    /// As the official search has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for OfferFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for OfferFilter {
    type Err = WordError;
    /// In any case of its letters: a typing mistake is refused, because it would cost a call.
    fn from_str(text: &str) -> Result<Self, WordError> {
        let known = Self::WORDS.into_iter().find(|word| word.eq_ignore_ascii_case(text.trim()));
        known.map(Self).ok_or_else(|| WordError::Filter { given: begin(text) })
    }
}

impl Serialize for OfferFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for OfferFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// In which order the upstream puts all that it finds, before it cuts that into pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// The cheapest first.
    PriceAsc,
    /// The dearest first.
    PriceDesc,
    /// The least sold of the last 30 days first.
    MonthSoldAsc,
    /// The most sold of the last 30 days first.
    MonthSoldDesc,
    /// The fewest buyers who come again first.
    RepurchaseRateAsc,
    /// The most buyers who come again first.
    RepurchaseRateDesc,
}

impl Sort {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::PriceAsc,
        Self::PriceDesc,
        Self::MonthSoldAsc,
        Self::MonthSoldDesc,
        Self::RepurchaseRateAsc,
        Self::RepurchaseRateDesc,
    ];

    /// As all doors take it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PriceAsc => "price_asc",
            Self::PriceDesc => "price_desc",
            Self::MonthSoldAsc => "month_sold_asc",
            Self::MonthSoldDesc => "month_sold_desc",
            Self::RepurchaseRateAsc => "repurchase_rate_asc",
            Self::RepurchaseRateDesc => "repurchase_rate_desc",
        }
    }

    /// The official search's word for the field, and for the direction.
    #[must_use]
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::PriceAsc => ("price", "asc"),
            Self::PriceDesc => ("price", "desc"),
            Self::MonthSoldAsc => ("monthSold", "asc"),
            Self::MonthSoldDesc => ("monthSold", "desc"),
            Self::RepurchaseRateAsc => ("rePurchaseRate", "asc"),
            Self::RepurchaseRateDesc => ("rePurchaseRate", "desc"),
        }
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sort {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        let known = Self::ALL.into_iter().find(|sort| sort.name() == text.trim());
        known.ok_or_else(|| WordError::Sort { given: begin(text) })
    }
}

/// In which language titles are translated: the code that the official search calls `country`. Lower-case letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LanguageCode([u8; 3]);

impl LanguageCode {
    /// As it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().take_while(|letter| **letter != 0).count();
        // Letters of ASCII, by the constructor.
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }
}

impl fmt::Display for LanguageCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LanguageCode {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        let code = text.trim().as_bytes();
        if !(2..=3).contains(&code.len()) || !code.iter().all(u8::is_ascii_alphabetic) {
            return Err(WordError::Language { given: begin(text) });
        }
        let mut letters = [0; 3];
        for (letter, given) in letters.iter_mut().zip(code) {
            *letter = given.to_ascii_lowercase();
        }
        Ok(Self(letters))
    }
}

impl TryFrom<String> for LanguageCode {
    type Error = WordError;
    fn try_from(text: String) -> Result<Self, WordError> {
        text.parse()
    }
}

impl From<LanguageCode> for String {
    fn from(language: LanguageCode) -> Self {
        language.as_str().to_owned()
    }
}

/// A text that is part of a question: 1 to 200 characters on one line, without blanks at its ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Phrase(String);

impl Phrase {
    /// Ours: no limit is documented.
    pub const MAX_CHARS: usize = 200;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it stands in a key, where `;` and `=` divide.
    pub(super) fn in_key(&self) -> String {
        self.0.replace('%', "%25").replace(';', "%3B").replace('=', "%3D")
    }

    /// Reads what [`Phrase::in_key`] has written.
    pub(super) fn of_key(text: &str) -> Option<Self> {
        let phrase: Self = text.replace("%3B", ";").replace("%3D", "=").replace("%25", "%").parse().ok()?;
        (phrase.in_key() == text).then_some(phrase)
    }
}

impl fmt::Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Phrase {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        let phrase = text.trim();
        let is_one = !phrase.is_empty()
            && phrase.chars().count() <= Self::MAX_CHARS
            && !phrase.chars().any(char::is_control);
        if is_one { Ok(Self(phrase.to_owned())) } else { Err(WordError::Phrase { given: begin(text) }) }
    }
}

impl TryFrom<String> for Phrase {
    type Error = WordError;
    fn try_from(text: String) -> Result<Self, WordError> {
        text.parse()
    }
}

impl From<Phrase> for String {
    fn from(phrase: Phrase) -> Self {
        phrase.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_read_as_they_are_written_and_others_are_refused() {
        for word in OfferFilter::WORDS {
            assert_eq!(word.parse::<OfferFilter>().map(OfferFilter::word), Ok(word));
        }
        assert_eq!("SHIPIN24HOURS".parse::<OfferFilter>().map(OfferFilter::word), Ok("shipIn24Hours"));
        for sort in Sort::ALL {
            assert_eq!(sort.name().parse(), Ok(sort));
            assert_eq!(serde_json::to_value(sort).unwrap(), sort.name());
        }
        assert_eq!("EN".parse::<LanguageCode>().unwrap().as_str(), "en");
        let errors = [
            "shipIn24Hour".parse::<OfferFilter>().unwrap_err().to_string(),
            "price".parse::<Sort>().unwrap_err().to_string(),
            "english".parse::<LanguageCode>().unwrap_err().to_string(),
            "a\nb".parse::<Phrase>().unwrap_err().to_string(),
        ];
        for (error, told) in errors.iter().zip(["shipIn24Hours", "price_asc", "en, ru", "200"]) {
            assert!(error.contains(told), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_phrase_in_a_key_divides_nothing_and_is_read_as_it_was(text in "[a%;=杯 23BD]{1,12}") {
            let Ok(phrase) = text.parse::<Phrase>() else { return Ok(()) };
            let written = phrase.in_key();
            prop_assert!(!written.contains([';', '=']));
            prop_assert_eq!(Phrase::of_key(&written), Some(phrase));
        }
    }
}
