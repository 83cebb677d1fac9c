//! What commands that ask an upstream send beside the picture.

use anyhow::Result;
use clap::Args;

use crate::engine::{Breadth, MAX_PAGES};
use crate::offer::Price;
use crate::upstream::{LanguageCode, OfferFilter, Phrase, SearchParams, Sort};

#[derive(Args, Debug)]
#[command(
    next_help_heading = "What the upstream is asked for (part of the question: other words are another call)"
)]
pub(super) struct QuestionArgs {
    /// Only offers of this category
    #[arg(long, value_name = "ID")]
    category: Option<u64>,
    /// Only offers from this price on, in yuan
    #[arg(long, value_name = "YUAN")]
    price_min: Option<Price>,
    /// Only offers up to this price, in yuan
    #[arg(long, value_name = "YUAN")]
    price_max: Option<Price>,
    /// Only offers that are all of this, in the official search's words [aop; tmapi: isOnePsale]
    ///
    /// Once for each word, or with commas between. Often used: shipInToday, shipIn24Hours, shipIn48Hours (sent in time),
    /// isOnePsale (dropshipping), isOnePsaleFreePost, certifiedFactory, noReason7DReturn, new7 and new30 (new of so many
    /// days), 1688Selection. A word that is none is refused with a list of all, before anything is spent.
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    filter: Vec<OfferFilter>,
    /// In which order the upstream puts all it finds, before it cuts pages [aop; onebound, tmapi: not all]
    ///
    /// price_asc, price_desc, month_sold_asc, month_sold_desc, repurchase_rate_asc or repurchase_rate_desc. Without it,
    /// the most alike come first.
    #[arg(long, value_name = "ORDER")]
    sort: Option<Sort>,
    /// Have the upstream look for this text, too [aop, linkplus]
    ///
    /// --keyword chooses among the offers that come, for nothing; this is part of the question, and may bring other offers.
    #[arg(long, value_name = "TEXT")]
    upstream_keyword: Option<Phrase>,
    /// The upstream keyword is not in Chinese: have it translated [aop]
    #[arg(long, requires = "upstream_keyword")]
    translate_keyword: bool,
    /// Say in words, too, what is meant in the picture [aop]
    #[arg(long, value_name = "TEXT")]
    auxiliary_text: Option<Phrase>,
    /// What the goods are called where the picture comes from [aop]
    #[arg(long, value_name = "TEXT")]
    item_title: Option<Phrase>,
    /// Only offers of this collection of the upstream's [aop]
    #[arg(long, value_name = "ID")]
    collection: Option<Phrase>,
    /// In which language titles are translated, such as en, ru or ja [aop]
    #[arg(long, value_name = "CODE")]
    language: Option<LanguageCode>,
}

/// Where else to ask than at the first page of the first upstream.
#[derive(Args, Debug)]
pub(super) struct BreadthArgs {
    /// So many pages of offers; each page that is not known costs a call
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_PAGES)))]
    pages: u32,
    /// Ask every configured upstream, not the first one that can answer; an offer that several have comes once
    #[arg(long)]
    all_upstreams: bool,
    /// Ask also about each part of the picture in which the upstream sees goods, as far as it says so [aop]; a call for each
    #[arg(long)]
    suggested_regions: bool,
}

impl BreadthArgs {
    pub(super) fn breadth(&self) -> Breadth {
        Breadth::default()
            .pages(self.pages)
            .all_upstreams(self.all_upstreams)
            .suggested_regions(self.suggested_regions)
    }
}

impl QuestionArgs {
    /// # Errors
    /// What does not go together.
    pub(super) fn params(&self) -> Result<SearchParams> {
        super::check_prices(self.price_min, self.price_max)?;
        Ok(SearchParams::default()
            .category_id(self.category)
            .price_min(self.price_min)
            .price_max(self.price_max)
            .filters(self.filter.iter().copied())
            .sort(self.sort)
            .keyword(self.upstream_keyword.clone())
            .translate_keyword(self.translate_keyword)
            .auxiliary_text(self.auxiliary_text.clone())
            .item_title(self.item_title.clone())
            .collection_id(self.collection.clone())
            .language(self.language))
    }
}
