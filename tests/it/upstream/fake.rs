//! An upstream without a wire, and an account of calls without a disk.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tongkuan::clock::{Clock, Timestamp};
use tongkuan::offer::{Offer, OfferId, Price, Supplier};
use tongkuan::upstream::{
    Booking, Breaker, CallOutcome, Ledger, LedgerError, ProviderCount, QuotaDay, Reservation, SearchParams,
    UploadLimits, UploadPicture, Upstream, UpstreamError, UpstreamErrorKind, UpstreamPage,
};

use super::{conformance, yuan};

pub(crate) fn offers() -> Vec<Offer> {
    let offer = |id: &str, price: &str| Offer {
        price: Some(yuan(price)),
        min_order_quantity: Some(2),
        similarity: Some(90),
        image_url: Some(format!("https://img.example/{id}.jpg")),
        detail_url: Some(format!("https://shop.example/{id}")),
        supplier: Supplier {
            company_name: Some("Workshop".into()),
            credit_level: Some("5A".into()),
            ..Supplier::default()
        },
        ..Offer::new(OfferId::new(id).unwrap(), format!("offer {id}"))
    };
    vec![offer("11", "59.00"), offer("12", "7.50"), offer("13", "120"), offer("14", "7.50")]
}

/// The page of `offers()` that these wishes describe.
pub(crate) fn page_of(min: Option<Price>, max: Option<Price>, page: usize, size: usize) -> UpstreamPage {
    let within = |offer: &Offer| {
        min.is_none_or(|min| offer.price >= Some(min)) && max.is_none_or(|max| offer.price <= Some(max))
    };
    let found: Vec<Offer> = offers().into_iter().filter(within).collect();
    let total = Some(found.len() as u64);
    let offers = found.into_iter().skip((page - 1) * size).take(size).collect();
    UpstreamPage { offers, total, ..UpstreamPage::default() }
}

/// Knows `offers()` for every picture.
struct Shop;

impl Upstream for Shop {
    fn profile(&self) -> &'static str {
        "shop"
    }

    fn upload_limits(&self) -> UploadLimits {
        UploadLimits {
            max_bytes: 1_000_000,
            advised_min_side_px: 300,
            max_side_px: 1000,
            takes_region: false,
        }
    }

    fn search(&self, _: &UploadPicture, params: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        let turned = params.price_min.zip(params.price_max).is_some_and(|(min, max)| min > max);
        if params.page == 0 || !(1..=50).contains(&params.page_size) || turned {
            return Err(UpstreamError::new("shop", UpstreamErrorKind::Param, "params", "out of range"));
        }
        Ok(page_of(params.price_min, params.price_max, params.page as usize, params.page_size as usize))
    }

    fn check(&self) -> Result<(), UpstreamError> {
        Ok(())
    }
}

#[test]
fn the_fake_upstream_conforms() {
    conformance(&Shop);
}

/// Answers from a list, then with an empty page; notes when it was called.
pub(crate) struct Scripted {
    clock: Arc<dyn Clock>,
    answers: Mutex<VecDeque<Result<UpstreamPage, UpstreamError>>>,
    pub(crate) calls: Mutex<Vec<Timestamp>>,
    /// How often it was gone to for a token.
    pub(crate) tokens: AtomicU32,
}

impl Scripted {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        answers: impl IntoIterator<Item = Result<UpstreamPage, UpstreamError>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock,
            answers: Mutex::new(answers.into_iter().collect()),
            calls: Mutex::default(),
            tokens: AtomicU32::default(),
        })
    }
}

impl Upstream for Scripted {
    fn profile(&self) -> &'static str {
        "scripted"
    }

    fn upload_limits(&self) -> UploadLimits {
        Shop.upload_limits()
    }

    fn search(&self, _: &UploadPicture, _: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        self.calls.lock().unwrap().push(self.clock.now());
        self.answers.lock().unwrap().pop_front().unwrap_or_else(|| Ok(UpstreamPage::default()))
    }

    fn make_ready(&self) -> Result<(), UpstreamError> {
        self.tokens.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn check(&self) -> Result<(), UpstreamError> {
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Booked {
    pub(crate) day: QuotaDay,
    pub(crate) start_at: Timestamp,
    pub(crate) outcome: Option<CallOutcome>,
}

/// Does what the trait says, in memory. `broken` makes settling fail.
#[derive(Default)]
pub(crate) struct MemoryLedger {
    pub(crate) booked: Mutex<Vec<Booked>>,
    pub(crate) broken: bool,
    pub(crate) troubles: Mutex<HashMap<String, (u32, Option<Breaker>)>>,
}

impl MemoryLedger {
    /// Bookings that are not refunded.
    pub(crate) fn spent(&self) -> usize {
        self.booked.lock().unwrap().iter().filter(|b| b.outcome != Some(CallOutcome::Refunded)).count()
    }
}

impl Ledger for MemoryLedger {
    fn refuse_if_spent(&self, booking: &Booking) -> Result<(), LedgerError> {
        let booked = self.booked.lock().unwrap();
        let counts = |b: &&Booked| b.day == booking.day && b.outcome != Some(CallOutcome::Refunded);
        let used = u32::try_from(booked.iter().filter(counts).count()).unwrap();
        if used >= booking.budget { Err(LedgerError::BudgetSpent { used }) } else { Ok(()) }
    }

    fn reserve(&self, booking: &Booking) -> Result<Reservation, LedgerError> {
        let mut booked = self.booked.lock().unwrap();
        let counts = |b: &&Booked| b.day == booking.day && b.outcome != Some(CallOutcome::Refunded);
        let used = u32::try_from(booked.iter().filter(counts).count()).unwrap();
        if used >= booking.budget {
            return Err(LedgerError::BudgetSpent { used });
        }
        let next = booked.iter().map(|b| b.start_at.plus(booking.min_interval)).max();
        let start_at = next.map_or(booking.now, |next| next.max(booking.now));
        booked.push(Booked { day: booking.day, start_at, outcome: None });
        Ok(Reservation { id: i64::try_from(booked.len()).unwrap() - 1, start_at })
    }

    fn settle(&self, reservation: i64, outcome: CallOutcome) -> Result<(), LedgerError> {
        if self.broken {
            return Err(LedgerError::Storage { message: "the disk is full; make room".into() });
        }
        self.booked.lock().unwrap()[usize::try_from(reservation).unwrap()].outcome = Some(outcome);
        Ok(())
    }

    fn breaker(&self, profile: &'static str) -> Result<Option<Breaker>, LedgerError> {
        Ok(self.troubles.lock().unwrap().get(profile).and_then(|(_, breaker)| breaker.clone()))
    }

    fn trip(&self, profile: &str, until: Timestamp, error: &UpstreamError) -> Result<(), LedgerError> {
        let breaker = Breaker { until, error: error.clone() };
        self.troubles.lock().unwrap().entry(profile.to_owned()).or_default().1 = Some(breaker);
        Ok(())
    }

    fn note_failure(&self, profile: &str) -> Result<u32, LedgerError> {
        let mut troubles = self.troubles.lock().unwrap();
        let (failures, _) = troubles.entry(profile.to_owned()).or_default();
        *failures += 1;
        Ok(*failures)
    }

    fn recovered(&self, profile: &str) -> Result<(), LedgerError> {
        self.troubles.lock().unwrap().remove(profile);
        Ok(())
    }

    fn reconcile(&self, _: &str, _: QuotaDay, _: ProviderCount) -> Result<(), LedgerError> {
        Ok(())
    }
}

pub(crate) fn failure(kind: UpstreamErrorKind) -> UpstreamError {
    UpstreamError::new("scripted", kind, "1", "it failed")
}

pub(crate) fn failure_with_pause(kind: UpstreamErrorKind, seconds: u64) -> UpstreamError {
    UpstreamError { retry_after: Some(Duration::from_secs(seconds)), ..failure(kind) }
}
