//! What all dialects share: goods, quota, uploads, faults.

use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tokio::sync::Semaphore;

use super::faults::{Fault, FaultInjector, Stage};
use super::gate::Gate;
use super::goods::Catalogue;
use super::options::SandboxOptions;
use super::search::Matcher;
use super::uploads::Uploads;
use crate::dialect::Refusal;

/// Requests worked on at the same time; others wait.
const MAX_CONCURRENT: usize = 64;

/// The answer to a call of the official gateway, and the fault that befalls it.
pub(super) type Answer = (Value, Option<Fault>);

/// What all dialects of one sandbox work on.
pub(super) struct Shared {
    pub(super) options: SandboxOptions,
    pub(super) base_url: String,
    pub(super) catalogue: Catalogue,
    pub(super) gate: Gate,
    pub(super) uploads: Uploads,
    pub(super) fault_injector: FaultInjector,
    slots: Semaphore,
    matcher: OnceLock<Arc<Matcher>>,
}

impl Shared {
    pub(super) fn new(options: SandboxOptions, base_url: String) -> Self {
        Self {
            base_url,
            catalogue: Catalogue::new(options.seed),
            gate: Gate::default(),
            uploads: Uploads::default(),
            fault_injector: FaultInjector::new(options.faults.clone()),
            slots: Semaphore::new(MAX_CONCURRENT),
            matcher: OnceLock::new(),
            options,
        }
    }

    /// The market's day, where it has days.
    pub(super) fn market_day(&self) -> Option<u64> {
        let day_ms = self.options.market_day_secs?.max(1).saturating_mul(1000);
        Some(u64::try_from(self.options.clock.now().unix_ms()).unwrap_or(0) / day_ms)
    }

    pub(super) fn matcher(&self) -> &Matcher {
        self.matcher.get_or_init(|| Matcher::of(&self.catalogue))
    }

    /// Takes one search from the quota, unless pace, quota or an injected fault is against it. A fault that comes back
    /// befalls the answer; [`Fault::ImageIdZero`] comes back unbilled, to be put into the dialect's words.
    pub(super) fn admit(&self, stage: Stage) -> Result<Option<Fault>, Refusal> {
        let fault = self.fault_injector.draw(stage);
        let refusal = fault.and_then(Fault::refusal);
        if refusal.is_none() && fault != Some(Fault::ImageIdZero) {
            self.gate.admit(&self.options).inspect_err(|_| {
                if let Some(fault) = fault {
                    self.fault_injector.put_back(fault);
                }
            })?;
        }
        if fault.is_some() {
            self.gate.count_fault();
        }
        if fault == Some(Fault::TokenEnds) {
            self.gate.expire_tokens();
        }
        refusal.map_or(Ok(fault), Err)
    }

    /// Whether the upload at hand "succeeds" without an id.
    pub(super) fn loses_upload(&self) -> bool {
        let lost = self.fault_injector.draw(Stage::Upload).is_some();
        if lost {
            self.gate.count_fault();
        }
        lost
    }

    /// A turn to work; bounds how much happens at once.
    pub(super) async fn slot(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.slots.acquire().await.ok()
    }
}
