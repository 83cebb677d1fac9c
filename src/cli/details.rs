//! `tongkuan details`

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::look::fail;
use super::output::stdout;
use super::settings::Settings;
use super::{found, show};
use crate::engine::Mode;
use crate::offer::{Attribute, OfferDetail, OfferId};
use crate::printable::{field, line};

/// Asked once (which costs one call, as a search does), then known until the upstream's hard limit for answers. Exit
/// status: 0 details were printed, 1 nothing is known and nothing could be asked, 2 an error.
#[derive(Args, Debug)]
pub(super) struct DetailsCommand {
    /// As `search` prints it
    offer_id: OfferId,
    /// Ask the upstream even if the details are known, and store what it says
    #[arg(long)]
    refresh: bool,
}

impl DetailsCommand {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        if self.refresh {
            settings.network("--refresh")?;
        }
        let offline = settings.is_offline();
        let engine = if offline { settings.existing_engine(false)? } else { settings.engine(false)? };
        let mode = match (offline, self.refresh) {
            (true, _) => Mode::LocalOnly,
            (false, true) => Mode::Refresh,
            (false, false) => Mode::Default,
        };
        let details = match engine.details(&self.offer_id, mode) {
            Ok(details) => details,
            Err(error) => return fail(settings, &json!(self.offer_id), error.into()),
        };
        let mut out = stdout();
        if settings.json {
            let mut value = serde_json::to_value(&details)?;
            value["id"] = json!(self.offer_id);
            writeln!(out, "{value}")?;
            return Ok(found(details.detail.is_some()));
        }
        match &details.detail {
            Some(detail) => print(&mut out, detail)?,
            None => writeln!(out, "{}: nothing is known", field(&self.offer_id))?,
        }
        if let (true, Some(fetched_at)) = (details.stale, details.fetched_at) {
            writeln!(out, "  old: fetched {fetched_at}")?;
        }
        for warning in &details.warnings {
            writeln!(out, "  note: {}", line(warning))?;
        }
        show::advice_for(&mut out, details.unanswered.as_ref())?;
        Ok(found(details.detail.is_some()))
    }
}

fn print(out: &mut impl Write, detail: &OfferDetail) -> std::io::Result<()> {
    show::offers(out, std::slice::from_ref(&detail.offer))?;
    for Attribute { name, value } in &detail.attributes {
        writeln!(out, "      {}: {}", field(name), field(value))?;
    }
    for step in &detail.price_ladder {
        writeln!(out, "      from {:>6} pieces {:>9}", step.from_quantity, format!("¥{}", step.price))?;
    }
    if let Some(pieces) = detail.stock() {
        writeln!(out, "      on sale: {pieces} pieces")?;
    }
    if let Some(grams) = detail.weight_grams {
        writeln!(out, "      weight: {grams} g a piece")?;
    }
    if let Some(place) = &detail.ships_from {
        writeln!(out, "      sent from: {}", field(place))?;
    }
    match (detail.is_postage_free, detail.freight) {
        (Some(true), _) => writeln!(out, "      freight: paid by the seller")?,
        (_, Some(sum)) => writeln!(out, "      freight: ¥{sum}")?,
        (_, None) => {}
    }
    for sku in &detail.skus {
        let price = sku.price.map(|price| format!("¥{price}")).unwrap_or_default();
        let stock = sku.stock.map(|pieces| format!("{pieces} pieces")).unwrap_or_default();
        writeln!(out, "      {:<20} {price:>9}  {stock}", field(sku.name()))?;
    }
    for url in &detail.image_urls {
        writeln!(out, "      {}", field(url))?;
    }
    Ok(())
}
