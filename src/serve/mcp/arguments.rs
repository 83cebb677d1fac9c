//! What may a tool be given? Unknown arguments are refused: a mistyped one could cost a call.

use rmcp::schemars::JsonSchema;
use serde::Deserialize;

use crate::catalog::{GoodsFilter, PhotoFilter};
use crate::offer::Price;
use crate::question::Region;
use crate::serve::pictures::KindName;
use crate::serve::problem::Failure;
use crate::serve::search::SearchOptions;

/// Offers that are shown unless more are asked for: each takes room in an agent's memory.
pub(super) const DEFAULT_OFFERS: usize = 10;
pub(super) const MAX_OFFERS: usize = 100;
const DEFAULT_SIMILAR: usize = 10;
const MAX_SIMILAR: usize = 200;

/// A picture: exactly one of path, url and image.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct PictureArgument {
    /// A file of this machine, below one of the folders that the user has opened to this server; relative to the first of them.
    pub(super) path: Option<String>,
    /// Where the picture is to be fetched: a public http or https address.
    pub(super) url: Option<String>,
    /// The picture's file itself (JPEG, PNG, WebP, GIF or BMP) in base64.
    pub(super) image: Option<String>,
    /// What the picture is called; without it, its file's name.
    #[schemars(length(max = 256))]
    pub(super) label: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct SearchArguments {
    /// What to search for.
    pub(super) picture: PictureArgument,
    /// Ask 1688 if the picture is not known here. Costs one call of a limited quota. Without it nothing is ever spent.
    #[serde(default)]
    pub(super) spend: bool,
    /// With spend: ask 1688 even if the answer is known, because it may have changed. Costs one call.
    #[serde(default)]
    refresh: bool,
    /// Only offers of this category of 1688.
    category: Option<u64>,
    /// Only offers from this price on, in yuan, such as 12.50.
    #[schemars(regex(pattern = r"^[0-9]{1,9}(\.[0-9]{1,4})?$"))]
    price_min: Option<String>,
    /// Only offers up to this price, in yuan.
    #[schemars(regex(pattern = r"^[0-9]{1,9}(\.[0-9]{1,4})?$"))]
    price_max: Option<String>,
    /// Only offers with all of these words in their titles (Chinese, mostly); chosen among those that are there.
    keyword: Option<String>,
    /// Only offers that sell as few pieces as this.
    max_min_order: Option<u32>,
    /// Only this part of the picture, in pixels: left,top,right,bottom. Another part is another question.
    #[schemars(regex(pattern = r"^[0-9]{1,5},[0-9]{1,5},[0-9]{1,5},[0-9]{1,5}$"))]
    region: Option<String>,
    /// Which page of offers, from 1 on. Each page that is not known is another question.
    #[schemars(range(min = 1))]
    page: Option<u32>,
    /// Offers that are shown at the most, 1 to 100; by default 10. Costs nothing.
    #[schemars(range(min = 1, max = 100))]
    max_offers: Option<usize>,
}

impl SearchArguments {
    /// # Errors
    /// A refusal that names the argument.
    pub(super) fn options(&self) -> Result<SearchOptions, Failure> {
        if self.refresh && !self.spend {
            return Err(Failure::invalid("refresh asks 1688, so it needs spend as well"));
        }
        Ok(SearchOptions {
            local: !self.spend,
            refresh: self.refresh,
            category: self.category,
            price_min: price("price_min", self.price_min.as_deref())?,
            price_max: price("price_max", self.price_max.as_deref())?,
            keyword: self.keyword.clone(),
            max_min_order: self.max_min_order,
            region: self.region.as_deref().map(region).transpose()?,
            page: self.page,
            ..SearchOptions::default()
        })
    }

    /// # Errors
    /// As [`SearchArguments::options`].
    pub(super) fn max_offers(&self) -> Result<usize, Failure> {
        within("max_offers", self.max_offers.unwrap_or(DEFAULT_OFFERS), MAX_OFFERS)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct CheckArguments {
    /// What to look for.
    pub(super) picture: PictureArgument,
    /// Store the picture if it is not seen, so that copies of it are seen from then on. Only where the user has allowed it.
    #[serde(default)]
    pub(super) add: bool,
    /// The user's own key of the picture; it names the picture when copies of it are seen later.
    #[schemars(length(max = 256))]
    pub(super) key: Option<String>,
    /// Look for stored pictures inside of this one, too, as in a collage; slower.
    #[serde(default)]
    pub(super) thorough: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct SimilarArguments {
    /// What they are to look like.
    pub(super) picture: PictureArgument,
    /// Pictures at the most, 1 to 200; by default 10.
    #[schemars(range(min = 1, max = 200))]
    count: Option<usize>,
    /// Only pictures that were searched with (query), of the user's own goods (own), or of offers (offer).
    kind: Option<KindName>,
    /// Only pictures that stand for goods of this category.
    category: Option<u64>,
    /// Only pictures that stand for goods from this price on, in yuan.
    #[schemars(regex(pattern = r"^[0-9]{1,9}(\.[0-9]{1,4})?$"))]
    price_min: Option<String>,
    /// Only pictures that stand for goods up to this price, in yuan.
    #[schemars(regex(pattern = r"^[0-9]{1,9}(\.[0-9]{1,4})?$"))]
    price_max: Option<String>,
}

impl SimilarArguments {
    /// How many, and which.
    ///
    /// # Errors
    /// A refusal that names the argument.
    pub(super) fn filter(&self) -> Result<(usize, PhotoFilter), Failure> {
        let count = within("count", self.count.unwrap_or(DEFAULT_SIMILAR), MAX_SIMILAR)?;
        let goods = GoodsFilter {
            category_id: self.category,
            price_min: price("price_min", self.price_min.as_deref())?,
            price_max: price("price_max", self.price_max.as_deref())?,
        };
        if goods.price_min.zip(goods.price_max).is_some_and(|(min, max)| min > max) {
            return Err(Failure::invalid("price_min is above price_max"));
        }
        Ok((count, PhotoFilter { kind: self.kind.map(KindName::kind), goods, ..PhotoFilter::default() }))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct OfferArguments {
    /// The offer's id, as searches name it.
    pub(super) offer_id: String,
    /// Ask 1688 if the details are not known here. Costs one call of a limited quota.
    #[serde(default)]
    pub(super) spend: bool,
    /// With spend: ask even if they are known. Costs one call.
    #[serde(default)]
    pub(super) refresh: bool,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct QuotaArguments {}

fn price(name: &str, text: Option<&str>) -> Result<Option<Price>, Failure> {
    let parse = |text: &str| text.parse().map_err(|error| Failure::invalid(format!("{name}: {error}")));
    text.map(parse).transpose()
}

fn region(text: &str) -> Result<Region, Failure> {
    text.parse().map_err(|error: crate::question::RegionError| Failure::invalid(format!("region: {error}")))
}

fn within(name: &str, number: usize, most: usize) -> Result<usize, Failure> {
    if (1..=most).contains(&number) {
        return Ok(number);
    }
    Err(Failure::invalid(format!("{name} is from 1 to {most}")))
}
