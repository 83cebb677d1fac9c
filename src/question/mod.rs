//! What is asked beside a picture? Values without I/O.

mod region;
mod vocabulary;

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

pub use region::{Region, RegionError};
pub use vocabulary::{LanguageCode, OfferFilter, Phrase, Sort, WordError};

use crate::offer::Price;

/// What to ask for beside the picture: the first page of any offers, and what setters change of that. Part of the identity
/// of a stored answer.
///
/// ```
/// use tongkuan::upstream::SearchParams;
///
/// let second_page = SearchParams::default().category_id(1031).page(2);
/// # let _ = second_page;
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SearchParams {
    /// Offers of this category alone.
    pub category_id: Option<u64>,
    /// Offers from this price on.
    pub price_min: Option<Price>,
    /// Offers up to this price.
    pub price_max: Option<Price>,
    /// The part of the picture that is meant, in pixels of the upright picture.
    #[serde(default)]
    pub region: Option<Region>,
    /// From 1 on.
    pub page: u32,
    /// Offers on a page, 1 to 50.
    pub page_size: u32,
    /// What the upstream is to look for in offers besides their likeness.
    #[serde(default)]
    pub keyword: Option<Phrase>,
    /// Have the upstream translate the keyword into Chinese.
    #[serde(default)]
    pub translate_keyword: bool,
    /// A text that says, with the picture, what is meant.
    #[serde(default)]
    pub auxiliary_text: Option<Phrase>,
    /// The title of the goods where the picture comes from.
    #[serde(default)]
    pub item_title: Option<Phrase>,
    /// The number of a collection at the upstream, to look among its offers alone.
    #[serde(default)]
    pub collection_id: Option<Phrase>,
    /// What all offers are to be.
    #[serde(default)]
    pub filters: BTreeSet<OfferFilter>,
    /// In which order the upstream puts them; by likeness without it.
    #[serde(default)]
    pub sort: Option<Sort>,
    /// Of translated titles; the configured one without it.
    #[serde(default)]
    pub language: Option<LanguageCode>,
}

/// What a question may hold of which not every upstream takes all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the fields of SearchParams say what each is")]
#[non_exhaustive]
pub enum Input {
    Category,
    Keyword,
    TranslateKeyword,
    AuxiliaryText,
    ItemTitle,
    Collection,
    Filter,
    Sort,
    Language,
}

impl Input {
    /// As doors name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Category => "category",
            Self::Keyword => "upstream keyword",
            Self::TranslateKeyword => "translated keyword",
            Self::AuxiliaryText => "auxiliary text",
            Self::ItemTitle => "item title",
            Self::Collection => "collection",
            Self::Filter => "filter",
            Self::Sort => "order",
            Self::Language => "language",
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Default for SearchParams {
    fn default() -> Self {
        Self {
            category_id: None,
            price_min: None,
            price_max: None,
            region: None,
            page: 1,
            page_size: 20,
            keyword: None,
            translate_keyword: false,
            auxiliary_text: None,
            item_title: None,
            collection_id: None,
            filters: BTreeSet::new(),
            sort: None,
            language: None,
        }
    }
}

impl SearchParams {
    /// Asks for offers of this category alone.
    #[must_use]
    pub fn category_id(self, category_id: impl Into<Option<u64>>) -> Self {
        Self { category_id: category_id.into(), ..self }
    }

    /// Asks for offers from this price on.
    #[must_use]
    pub fn price_min(self, price_min: impl Into<Option<Price>>) -> Self {
        Self { price_min: price_min.into(), ..self }
    }

    /// Asks for offers up to this price.
    #[must_use]
    pub fn price_max(self, price_max: impl Into<Option<Price>>) -> Self {
        Self { price_max: price_max.into(), ..self }
    }

    /// Asks about this part of the picture.
    #[must_use]
    pub fn region(self, region: impl Into<Option<Region>>) -> Self {
        Self { region: region.into(), ..self }
    }

    /// Asks for this page, from 1 on.
    #[must_use]
    pub fn page(self, page: u32) -> Self {
        Self { page, ..self }
    }

    /// Asks for so many offers on a page, 1 to 50.
    #[must_use]
    pub fn page_size(self, page_size: u32) -> Self {
        Self { page_size, ..self }
    }

    /// Asks for offers that the upstream finds by this text, too.
    #[must_use]
    pub fn keyword(self, keyword: impl Into<Option<Phrase>>) -> Self {
        Self { keyword: keyword.into(), ..self }
    }

    /// Whether the upstream is to translate the keyword.
    #[must_use]
    pub fn translate_keyword(self, translate_keyword: bool) -> Self {
        Self { translate_keyword, ..self }
    }

    /// Says in words, too, what is meant.
    #[must_use]
    pub fn auxiliary_text(self, text: impl Into<Option<Phrase>>) -> Self {
        Self { auxiliary_text: text.into(), ..self }
    }

    /// Says what the goods are called where the picture comes from.
    #[must_use]
    pub fn item_title(self, title: impl Into<Option<Phrase>>) -> Self {
        Self { item_title: title.into(), ..self }
    }

    /// Asks for offers of this collection alone.
    #[must_use]
    pub fn collection_id(self, collection_id: impl Into<Option<Phrase>>) -> Self {
        Self { collection_id: collection_id.into(), ..self }
    }

    /// Asks for offers that are all of this.
    #[must_use]
    pub fn filters(self, filters: impl IntoIterator<Item = OfferFilter>) -> Self {
        Self { filters: filters.into_iter().collect(), ..self }
    }

    /// Asks for offers in this order.
    #[must_use]
    pub fn sort(self, sort: impl Into<Option<Sort>>) -> Self {
        Self { sort: sort.into(), ..self }
    }

    /// Asks for titles in this language.
    #[must_use]
    pub fn language(self, language: impl Into<Option<LanguageCode>>) -> Self {
        Self { language: language.into(), ..self }
    }

    /// What it holds of which not every upstream takes all.
    pub fn inputs(&self) -> impl Iterator<Item = Input> {
        let held = [
            (self.category_id.is_some(), Input::Category),
            (self.keyword.is_some(), Input::Keyword),
            (self.translate_keyword, Input::TranslateKeyword),
            (self.auxiliary_text.is_some(), Input::AuxiliaryText),
            (self.item_title.is_some(), Input::ItemTitle),
            (self.collection_id.is_some(), Input::Collection),
            (!self.filters.is_empty(), Input::Filter),
            (self.sort.is_some(), Input::Sort),
            (self.language.is_some(), Input::Language),
        ];
        held.into_iter().filter_map(|(is_held, input)| is_held.then_some(input))
    }

    /// The filters as the official search takes them, with commas between; `None` without any.
    #[must_use]
    pub fn filter_list(&self) -> Option<String> {
        let words: Vec<&str> = self.filters.iter().map(|filter| filter.word()).collect();
        (!words.is_empty()).then(|| words.join(","))
    }

    /// The canonical text of these parameters: equal exactly when the parameters ask for the same thing
    /// (`price_min` 5, 5.0 and 5.00 are one). Stored with every answer, so what is not asked leaves no trace in it: keys
    /// from before there was an input stay those of questions without it.
    #[must_use]
    pub fn key(&self) -> String {
        let price = |p: Option<Price>| p.map_or_else(String::new, |p| p.yuan().normalize().to_string());
        let mut key = format!(
            "category={};price={}..{};page={};size={}",
            self.category_id.map_or_else(String::new, |id| id.to_string()),
            price(self.price_min),
            price(self.price_max),
            self.page,
            self.page_size
        );
        let phrase = |phrase: &Option<Phrase>| phrase.as_ref().map(Phrase::in_key);
        let further = [
            self.region.map(|region| region.to_string()),
            phrase(&self.keyword),
            self.translate_keyword.then(|| "true".to_owned()),
            phrase(&self.auxiliary_text),
            phrase(&self.item_title),
            phrase(&self.collection_id),
            self.filter_list(),
            self.sort.map(|sort| sort.to_string()),
            self.language.map(|language| language.to_string()),
        ];
        for (name, value) in FURTHER.into_iter().zip(further) {
            if let Some(value) = value {
                // Writing to a string cannot fail.
                let _ = write!(key, ";{name}={value}");
            }
        }
        key
    }

    /// Whether `text` is the [`key`](Self::key) of any parameters.
    #[must_use]
    pub fn is_key(text: &str) -> bool {
        let number = |text: &str| text.parse::<u64>().is_ok();
        let price = |text: &str| text.is_empty() || text.parse::<Price>().is_ok();
        let mut fields = text.split(';').map(|field| field.split_once('='));
        let mut next = |wanted: &str, is_one: &dyn Fn(&str) -> bool| matches!(fields.next(), Some(Some((name, value))) if name == wanted && is_one(value));
        let is_range = |text: &str| text.split_once("..").is_some_and(|(min, max)| price(min) && price(max));
        next("category", &|text| text.is_empty() || number(text))
            && next("price", &is_range)
            && next("page", &number)
            && next("size", &number)
            && {
                // Each at most once, in their order.
                let mut left = FURTHER.as_slice();
                fields.all(|field| {
                    let Some((name, value)) = field else { return false };
                    let Some(place) = left.iter().position(|known| *known == name) else { return false };
                    left = &left[place + 1..];
                    is_value(name, value)
                })
            }
    }
}

/// What stands in a key only where it is asked, in its order there.
const FURTHER: [&str; 9] = [
    "region",
    "keyword",
    "translate",
    "auxiliary_text",
    "item_title",
    "collection",
    "filter",
    "sort",
    "language",
];

fn is_value(name: &str, text: &str) -> bool {
    match name {
        "region" => text.parse::<Region>().is_ok(),
        "translate" => text == "true",
        "filter" => text.split(',').all(|word| word.parse::<OfferFilter>().is_ok()),
        "sort" => text.parse::<Sort>().is_ok(),
        "language" => text.parse::<LanguageCode>().is_ok(),
        _ => Phrase::of_key(text).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(text: &str) -> Phrase {
        text.parse().unwrap()
    }

    /// With everything that can be asked.
    fn all_of_it() -> SearchParams {
        SearchParams::default()
            .category_id(1031)
            .price_min("5.50".parse::<Price>().ok())
            .region("0,0,9,9".parse::<Region>().ok())
            .keyword(phrase("马克杯;=%"))
            .translate_keyword(true)
            .auxiliary_text(phrase("a mug"))
            .item_title(phrase("Mug"))
            .collection_id(phrase("77"))
            .filters(["shipIn24Hours", "certifiedFactory"].map(|word| word.parse().unwrap()))
            .sort(Sort::PriceAsc)
            .language("en".parse::<LanguageCode>().ok())
    }

    #[test]
    fn the_keys_of_questions_without_a_new_input_are_those_of_earlier_versions() {
        let plain = SearchParams::default();
        assert_eq!(plain.key(), "category=;price=..;page=1;size=20");
        let older = plain.category_id(7).price_max("60.0".parse::<Price>().ok()).page(2);
        assert_eq!(older.key(), "category=7;price=..60;page=2;size=20");
        let part = older.region("1,2,3,4".parse::<Region>().ok());
        assert_eq!(part.key(), "category=7;price=..60;page=2;size=20;region=1,2,3,4");
    }

    #[test]
    fn every_input_makes_another_key_that_is_known_as_one() {
        let all = all_of_it();
        let key = "category=1031;price=5.5..;page=1;size=20;region=0,0,9,9;keyword=马克杯%3B%3D%25;translate=true;\
                   auxiliary_text=a mug;item_title=Mug;collection=77;filter=certifiedFactory,shipIn24Hours;\
                   sort=price_asc;language=en";
        assert_eq!(all.key(), key);
        assert!(SearchParams::is_key(key));
        let without = [
            SearchParams { keyword: None, ..all.clone() },
            SearchParams { translate_keyword: false, ..all.clone() },
            SearchParams { auxiliary_text: None, ..all.clone() },
            SearchParams { item_title: None, ..all.clone() },
            SearchParams { collection_id: None, ..all.clone() },
            SearchParams { filters: BTreeSet::new(), ..all.clone() },
            SearchParams { sort: None, ..all.clone() },
            SearchParams { language: None, ..all.clone() },
        ];
        for params in without {
            assert!(params.key() != key && SearchParams::is_key(&params.key()), "{}", params.key());
            assert_eq!(params.inputs().count(), 8, "{}", params.key());
        }
        assert_eq!((all.inputs().count(), SearchParams::default().inputs().count()), (9, 0));
    }

    #[test]
    fn what_was_changed_in_a_key_is_seen() {
        let plain = SearchParams::default().key();
        for end in [
            ";sort=cheap",
            ";filter=",
            ";filter=shipIn24Hours,no",
            ";translate=yes",
            ";language=e",
            ";keyword=",
            ";keyword=%3x%",
            ";sort=price_asc;keyword=a",
            ";sort=price_asc;sort=price_asc",
            ";colour=red",
            ";",
        ] {
            assert!(!SearchParams::is_key(&format!("{plain}{end}")), "{end}");
        }
    }

    #[test]
    fn a_question_that_waits_since_an_earlier_version_is_read() {
        let older = r#"{"category_id":7,"price_min":"5.5","price_max":null,"page":2,"page_size":20}"#;
        let read: SearchParams = serde_json::from_str(older).unwrap();
        assert_eq!(
            read,
            SearchParams::default().category_id(7).price_min("5.5".parse::<Price>().ok()).page(2)
        );
        let all = all_of_it();
        let written = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<SearchParams>(&written).unwrap(), all);
    }
}
