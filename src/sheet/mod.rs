//! A buyer's sheet: for each picture the best offers that are known, as a workbook, a table of text, lines of JSON or a page.

mod columns;
mod page;
mod replacing;
mod table;
mod words;
mod workbook;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::offer::{Offer, OfferDetail, OfferId, Price, PriceStep, Sku};
use crate::photo_id::PhotoId;
use crate::temporary::NewFile;
use crate::timestamp::Timestamp;
use crate::verify::Doubt;

pub use replacing::may_replace;
#[cfg(feature = "cli")]
pub(crate) use table::harmless;
pub(crate) use words::words_of;

/// What is known of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// It was known before, and so are its offers.
    Hit,
    /// It was asked about in this run.
    Asked,
    /// A stored picture stands out, but it is not certain that it shows the same.
    Review,
    /// The stored picture that stands out shows the same goods in another colour, print or wording.
    OtherVariant,
    /// It is known that there are no offers.
    Nothing,
    /// It was not asked about yet; `why` says for what it waits.
    Waiting,
    /// It cannot be used.
    Error,
}

impl Status {
    fn text(self, language: Language) -> &'static str {
        let (english, chinese) = match self {
            Self::Hit => ("hit", "已知"),
            Self::Asked => ("asked", "已查询"),
            Self::Review => ("review", "待确认"),
            Self::OtherVariant => ("other variant", "同款异色"),
            Self::Nothing => ("nothing", "无结果"),
            Self::Waiting => ("waiting", "等待中"),
            Self::Error => ("error", "错误"),
        };
        language.of(english, chinese)
    }
}

/// The stored picture that a picture was recognised as, or that stands out.
#[derive(Clone, Debug, Serialize)]
pub struct SheetMatch {
    /// The stored photo.
    pub photo_id: PhotoId,
    /// For people, usually the file's name.
    pub label: String,
    /// How sure it is that both are the same, 0 to 1; `None` for pictures without a sketch.
    pub confidence: Option<f32>,
    /// What speaks against it.
    pub why: Option<Doubt>,
    /// A small JPEG of it.
    #[serde(skip)]
    pub thumbnail: Option<Vec<u8>>,
}

/// One offer for a picture.
#[derive(Clone, Debug, Serialize)]
pub struct SheetOffer {
    /// As the upstream told it.
    #[serde(flatten)]
    pub offer: Offer,
    /// What its page tells beyond that; `None` where nothing of it is stored.
    pub details: Option<SheetDetails>,
    /// What one of the wanted pieces costs, by the ladder where there is one.
    pub unit_price: Option<Price>,
    /// The first offer of this picture's that has the same picture of the goods, where they were compared and there is one.
    pub same_picture_as: Option<OfferId>,
    /// A small JPEG of its picture.
    #[serde(skip)]
    pub thumbnail: Option<Vec<u8>>,
}

/// What the page of an offer tells beyond a row of a search.
#[derive(Clone, Debug, Serialize)]
pub struct SheetDetails {
    /// The smallest order first.
    pub price_ladder: Vec<PriceStep>,
    /// Of one packed piece.
    pub weight_grams: Option<u32>,
    /// A province and a town.
    pub ships_from: Option<String>,
    /// Whether the seller pays the freight within China.
    pub is_postage_free: Option<bool>,
    /// What it costs otherwise, where the page names a sum.
    pub freight: Option<Price>,
    /// Pieces on sale, of all variants together.
    pub stock: Option<u64>,
    /// What can be ordered.
    pub variants: Vec<Sku>,
}

impl From<OfferDetail> for SheetDetails {
    fn from(detail: OfferDetail) -> Self {
        let stock = detail.stock();
        let OfferDetail { price_ladder, weight_grams, ships_from, is_postage_free, freight, skus, .. } =
            detail;
        Self { price_ladder, weight_grams, ships_from, is_postage_free, freight, stock, variants: skus }
    }
}

impl SheetOffer {
    /// An offer, and what is stored of its page.
    #[must_use]
    pub fn new(offer: Offer, detail: Option<OfferDetail>, quantity: Option<u32>) -> Self {
        let unit_price = offer.unit_price(ordered(quantity, &offer));
        let mut row = Self { unit_price, offer, details: None, same_picture_as: None, thumbnail: None };
        row.take_detail(detail, quantity);
        row
    }

    /// `quantity`: pieces that are wanted; without it, the smallest order.
    pub fn take_detail(&mut self, detail: Option<OfferDetail>, quantity: Option<u32>) {
        let Some(detail) = detail else { return };
        // The newest answer's price holds where there is no ladder: details may be older.
        if !detail.price_ladder.is_empty() {
            self.unit_price = detail.unit_price(ordered(quantity, &self.offer));
        }
        self.details = Some(detail.into());
    }

    /// What its page tells, else what the search told.
    fn price_ladder(&self) -> &[PriceStep] {
        let told = self.details.as_ref().map(|details| details.price_ladder.as_slice());
        told.filter(|steps| !steps.is_empty()).unwrap_or(&self.offer.price_ladder)
    }

    fn weight_grams(&self) -> Option<u32> {
        self.details.as_ref().and_then(|details| details.weight_grams).or(self.offer.weight_grams)
    }

    fn is_postage_free(&self) -> Option<bool> {
        self.details.as_ref().and_then(|details| details.is_postage_free).or(self.offer.is_postage_free)
    }

    fn stock(&self) -> Option<u64> {
        self.details.as_ref().and_then(|details| details.stock).or(self.offer.stock)
    }
}

/// Pieces for which prices are reckoned.
fn ordered(wanted: Option<u32>, offer: &Offer) -> u32 {
    wanted.or(offer.min_order_quantity).unwrap_or(1)
}

/// One picture and what is known of it.
#[derive(Clone, Debug, Serialize)]
pub struct SheetPicture {
    /// The picture's name or address, or where its row stands.
    pub id: String,
    /// The user's own key.
    pub key: Option<String>,
    /// What is known of it.
    pub status: Status,
    /// Why it waits or cannot be used.
    pub why: Option<String>,
    /// The stored picture that it was recognised as, or that stands out.
    pub matched: Option<SheetMatch>,
    /// When the upstream was asked, or the own goods were stored.
    pub asked_at: Option<Timestamp>,
    /// Calls that it cost in this run, those for details of its offers included.
    pub upstream_calls: u32,
    /// The best ones, in the upstream's order.
    pub offers: Vec<SheetOffer>,
    /// A small JPEG of it.
    #[serde(skip)]
    pub thumbnail: Option<Vec<u8>>,
}

/// In which language columns are headed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Simplified Chinese.
    Chinese,
}

impl Language {
    fn of(self, english: &'static str, chinese: &'static str) -> &'static str {
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }
}

/// What the user reckons with. In a workbook these are cells to change, from which landed cost and margin follow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumptions {
    /// Yuan for one unit of the user's own currency, more than 0.
    pub yuan_per_unit: f64,
    /// Yuan for a kilogram.
    pub freight_per_kg: f64,
    /// Of one piece of which no weight is known, in kilograms.
    pub weight_kg: f64,
    /// Share of the price that an agent takes, 0 to 1.
    pub fee_share: f64,
}

impl Default for Assumptions {
    /// No freight and no fee, in yuan: landed cost is the price until the user says otherwise.
    fn default() -> Self {
        Self { yuan_per_unit: 1.0, freight_per_kg: 0.0, weight_kg: 0.0, fee_share: 0.0 }
    }
}

impl Assumptions {
    /// What a piece of this price costs at the user's door, in the user's currency. `weight_grams`: its own, if known.
    #[must_use]
    pub fn landed_cost(&self, price_yuan: f64, weight_grams: Option<u32>) -> f64 {
        let weight_kg = weight_grams.map_or(self.weight_kg, |grams| f64::from(grams) / 1000.0);
        (price_yuan * (1.0 + self.fee_share) + weight_kg * self.freight_per_kg) / self.yuan_per_unit
    }
}

/// How a sheet is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Excel's, with pictures: `.xlsx`.
    Workbook,
    /// Text with commas: `.csv`.
    Table,
    /// A picture a line as JSON: `.ndjson`.
    Lines,
    /// One page without links to other files: `.html`.
    Page,
}

impl Form {
    /// By the ending of a file's name.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "xlsx" => Some(Self::Workbook),
            "csv" => Some(Self::Table),
            "ndjson" | "jsonl" => Some(Self::Lines),
            "html" | "htm" => Some(Self::Page),
            _ => None,
        }
    }
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// In the order of the input.
    pub pictures: Vec<SheetPicture>,
    /// Of the columns' heads.
    pub language: Language,
    /// What landed costs follow from.
    pub assumptions: Assumptions,
    /// Small JPEGs of variants, by their addresses.
    pub variant_pictures: HashMap<String, Vec<u8>>,
}

/// Why a sheet was not written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum SheetError {
    #[error("cannot write the sheet {} ({reason}): close it where it is open, or name another file", path.display())]
    Write { path: PathBuf, reason: io::Error },
    #[error(
        "the sheet has more than {max_rows} rows, which no workbook can: write .csv, or divide the pictures"
    )]
    TooManyRows { max_rows: u32 },
    #[error("the workbook cannot be made ({reason}): write .csv instead")]
    Workbook { reason: String },
}

impl Sheet {
    /// Writes it to `path`: beside it first, so that there is either the whole new sheet or the one before.
    ///
    /// # Errors
    /// [`SheetError`].
    pub fn write(&self, path: &Path, form: Form) -> Result<(), SheetError> {
        let failed = |reason| SheetError::Write { path: path.to_path_buf(), reason };
        let mut new = NewFile::new(path).map_err(failed)?;
        match form {
            Form::Workbook => io::Write::write_all(new.file(), &workbook::bytes(self)?).map_err(failed)?,
            Form::Table => table::write(self, new.file()).map_err(failed)?,
            Form::Lines => self.write_lines(new.file()).map_err(failed)?,
            Form::Page => io::Write::write_all(new.file(), page::html(self).as_bytes()).map_err(failed)?,
        }
        new.finish().map_err(failed)
    }

    fn write_lines(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let mut out = io::BufWriter::new(out);
        for picture in &self.pictures {
            serde_json::to_writer(&mut out, picture)?;
            io::Write::write_all(&mut out, b"\n")?;
        }
        io::Write::flush(&mut out)
    }

    /// One for each offer, and one for each picture without offers.
    fn rows(&self) -> impl Iterator<Item = SheetRow<'_>> {
        self.pictures
            .iter()
            .flat_map(|picture| (0..picture.offers.len().max(1)).map(move |rank| SheetRow { picture, rank }))
    }
}

/// A picture with one of its offers.
#[derive(Clone, Copy)]
struct SheetRow<'a> {
    picture: &'a SheetPicture,
    /// From 0 on.
    rank: usize,
}

impl<'a> SheetRow<'a> {
    fn offer(&self) -> Option<&'a SheetOffer> {
        self.picture.offers.get(self.rank)
    }

    fn details(&self) -> Option<&'a SheetDetails> {
        self.offer()?.details.as_ref()
    }

    fn weight_grams(&self) -> Option<u32> {
        self.offer()?.weight_grams()
    }

    /// The offer's page: as it was told, else as the platform names it. The user's own goods have none.
    fn link(&self) -> Option<String> {
        let offer = &self.offer()?.offer;
        let numbered = |id: &OfferId| {
            let text = id.as_str();
            (text.len() >= 9 && text.bytes().all(|b| b.is_ascii_digit())).then(|| id.page_url())
        };
        let told =
            offer.detail_url.clone().filter(|url| url.starts_with("https://") || url.starts_with("http://"));
        told.or_else(|| numbered(&offer.offer_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(id: &str, price: Option<&str>) -> SheetOffer {
        let mut offer = Offer::new(OfferId::new(id).unwrap(), "=1+1 陶瓷马克杯");
        offer.price = price.map(|price| price.parse().unwrap());
        SheetOffer::new(offer, None, None)
    }

    pub(super) fn sheet() -> Sheet {
        let picture = |id: &str, status, offers| SheetPicture {
            id: id.to_owned(),
            key: Some("A-1".to_owned()),
            status,
            why: None,
            matched: None,
            asked_at: None,
            upstream_calls: 0,
            offers,
            thumbnail: None,
        };
        let offers = vec![offer("864704291266", Some("12.50")), offer("B", None)];
        Sheet {
            pictures: vec![picture("a.jpg", Status::Hit, offers), picture("b.jpg", Status::Waiting, vec![])],
            ..Sheet::default()
        }
    }

    #[test]
    fn each_offer_has_a_row_and_so_has_a_picture_without_offers() {
        let sheet = sheet();
        let rows: Vec<(&str, usize)> = sheet.rows().map(|row| (row.picture.id.as_str(), row.rank)).collect();
        assert_eq!(rows, [("a.jpg", 0), ("a.jpg", 1), ("b.jpg", 0)]);
        let links: Vec<Option<String>> = sheet.rows().map(|row| row.link()).collect();
        assert_eq!(links[0].as_deref(), Some("https://detail.1688.com/offer/864704291266.html"));
        assert_eq!(links[1..], [None, None]);
    }

    #[test]
    fn landed_cost_follows_from_what_the_user_reckons_with() {
        let assumed =
            Assumptions { yuan_per_unit: 7.0, freight_per_kg: 40.0, weight_kg: 0.5, fee_share: 0.05 };
        assert!((assumed.landed_cost(10.0, None) - (10.0 * 1.05 + 20.0) / 7.0).abs() < 1e-12);
        assert!((assumed.landed_cost(10.0, Some(250)) - (10.0 * 1.05 + 10.0) / 7.0).abs() < 1e-12);
        assert!((Assumptions::default().landed_cost(10.0, None) - 10.0).abs() < 1e-12);
    }

    #[test]
    fn a_sheet_that_cannot_be_written_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("goods.csv");
        sheet().write(&path, Form::Table).unwrap();
        let before = std::fs::read(&path).unwrap();
        let missing = folder.path().join("no/such/goods.csv");
        assert!(matches!(sheet().write(&missing, Form::Table), Err(SheetError::Write { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half written is left");
    }

    #[test]
    fn lines_are_one_picture_each() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("goods.ndjson");
        sheet().write(&path, Form::of(&path).unwrap()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["offers"][0]["price"]), (2, &"12.50".into()));
        assert_eq!(lines[1]["status"], "waiting");
    }
}
