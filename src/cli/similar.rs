//! `tongkuan similar`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::output::stdout;
use super::picture::{self, Pictures};
use super::settings::Settings;
use crate::catalog::{GoodsFilter, PhotoFilter, PhotoKind};
use crate::clock::{Clock, SystemClock};
use crate::offer::Price;
use crate::printable::{field, line};

/// Which stored pictures look most like this one? No verdict, no upstream: for a look of one's own.
#[derive(Args, Debug)]
pub(super) struct Similar {
    /// A picture, its address, or - for standard input
    #[arg(value_name = picture::VALUE_NAME)]
    picture: PathBuf,
    /// Pictures printed at the most
    #[arg(short = 'k', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Only pictures of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Only pictures stored in the last so many days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    newer_than: Option<u32>,
    /// Only pictures stored longer ago
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u32>,
    /// Only pictures that this upstream has answered
    #[arg(long, value_name = "PROFILE")]
    answered_by: Option<String>,
    /// Only pictures of a good of this category, or with which such an offer was found. The prices are of the same good
    #[arg(long, value_name = "CATEGORY_ID")]
    category: Option<u64>,
    /// Only pictures of a good from this price on, in yuan, or with which such an offer was found
    #[arg(long, value_name = "PRICE")]
    price_min: Option<Price>,
    /// Only pictures of a good up to this price
    #[arg(long, value_name = "PRICE")]
    price_max: Option<Price>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// It was searched with, or stored by `check --add`
    Query,
    /// Of an own good
    Own,
    /// Of an offer, and not searched with
    Offer,
}

impl Similar {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        super::check_prices(self.price_min, self.price_max)?;
        let engine = settings.existing_engine(true)?;
        let bytes = Pictures::new(settings)?.open(&self.picture)?.bytes;
        let ago = |days: u32| SystemClock.now().minus(Duration::from_hours(24) * days);
        let filter = PhotoFilter {
            kind: self.kind.map(|kind| match kind {
                Kind::Query => PhotoKind::Query,
                Kind::Own => PhotoKind::Own,
                Kind::Offer => PhotoKind::Offer,
            }),
            added_since: self.newer_than.map(ago),
            added_before: self.older_than.map(ago),
            profile: self.answered_by.clone(),
            goods: GoodsFilter {
                category_id: self.category,
                price_min: self.price_min,
                price_max: self.price_max,
            },
        };
        let similar = engine
            .similar(&bytes, self.count as usize, &filter)
            .with_context(|| line(self.picture.display()).to_string())?;
        let mut out = stdout();
        if settings.json {
            writeln!(out, "{}", json!({"id": self.picture.display().to_string(), "similar": similar}))?;
        } else {
            for it in &similar {
                writeln!(out, "{:>3}  photo {:<8} {}", it.similarity, it.photo_id.0, field(&it.label))?;
            }
        }
        Ok(super::found(!similar.is_empty()))
    }
}
