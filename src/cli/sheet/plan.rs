//! What a sheet will cost, said before anything is asked.

use std::collections::HashSet;
use std::io::Write as _;

use anyhow::Result;
use serde_json::json;

use super::stored::StoredDetails;
use super::{Looked, SheetCommand, Unlooked};
use crate::cli::output::{complain, stdout};
use crate::cli::settings::Settings;
use crate::engine::Engine;
use crate::photo::Digest;

/// What a run will cost.
pub(super) struct Plan {
    pictures: usize,
    known: usize,
    unusable: usize,
    /// Pictures to ask about; equal files count once.
    open: usize,
    /// Offers whose details are to be asked for, at the most.
    details: usize,
    /// Calls for all of that, if none has to be repeated.
    calls: u32,
    /// Calls that may be made.
    pub(super) most: u32,
    /// What the budgets of the day leave, over all upstreams.
    left_today: u32,
    /// Why there are not more calls.
    pub(super) limit: &'static str,
}

impl Plan {
    pub(super) fn of(
        command: &SheetCommand,
        engine: &Engine,
        stored: &mut StoredDetails<'_>,
        settings: &Settings,
        looked: &[Looked],
    ) -> Result<Self> {
        let open: HashSet<Digest> = looked.iter().filter(|l| l.is_open()).filter_map(|l| l.digest).collect();
        let reports = engine.quota()?;
        let left_today = reports.iter().fold(0_u32, |sum, report| sum.saturating_add(report.left));
        let breadth = command.breadth.breadth();
        let upstreams = if breadth.all_upstreams { reports.len() } else { 1 };
        let details = if command.details {
            let top = usize::from(command.top);
            details_lacking(top, stored, looked)? + open.len() * top
        } else {
            0
        };
        // Parts that an upstream will suggest cannot be counted ahead.
        let wanted = if breadth.suggested_regions && !open.is_empty() {
            u32::MAX
        } else {
            let searches = open.len() * upstreams * breadth.pages as usize;
            u32::try_from(searches + details).unwrap_or(u32::MAX)
        };
        let max_calls = command.max_calls;
        // What is left is told offline, too; it is not spent.
        let most = if settings.is_offline() { 0 } else { max_calls.unwrap_or(u32::MAX).min(left_today) };
        Ok(Self {
            pictures: looked.len(),
            known: looked.iter().filter(|l| l.known.is_ok() && !l.is_open()).count(),
            unusable: looked.iter().filter(|l| matches!(l.known, Err(Unlooked::Failed(_)))).count(),
            open: open.len(),
            details,
            calls: wanted.min(most),
            most,
            left_today,
            limit: if max_calls.is_some_and(|most| most < left_today) { "max_calls" } else { "budget_spent" },
        })
    }

    pub(super) fn tell(&self, settings: &Settings) -> Result<()> {
        let Self { pictures, known, unusable, open, details, calls, left_today, .. } = self;
        if settings.json {
            let plan = json!({
                "pictures": pictures, "known": known, "unusable": unusable, "open": open, "details": details,
                "calls": calls, "left_today": left_today,
            });
            writeln!(stdout(), "{}", json!({"id": null, "plan": plan}))?;
        }
        let details =
            if *details == 0 { String::new() } else { format!(", up to {details} offers to ask details of") };
        complain(format_args!(
            "{pictures} pictures: {known} known, {unusable} cannot be used, {open} to ask about{details}, for which {calls} calls \
             are planned at the most ({left_today} left today)"
        ));
        Ok(())
    }
}

/// Offers of known pictures whose details are not stored; each offer once.
fn details_lacking(top: usize, stored: &mut StoredDetails<'_>, looked: &[Looked]) -> Result<usize> {
    let mut lacking = HashSet::new();
    let known =
        looked.iter().filter(|looked| !looked.is_open()).filter_map(|looked| looked.known.as_ref().ok());
    for offer in known.flat_map(|answer| answer.offers.iter().take(top)) {
        if stored.of(&offer.offer_id)?.is_none() {
            lacking.insert(&offer.offer_id);
        }
    }
    Ok(lacking.len())
}
