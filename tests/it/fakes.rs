//! Parts for tests: an embedder that counts, an upstream that counts, pictures that are drawn.

use std::io::Cursor;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use image::{ImageFormat, Rgb, RgbImage};
use tongkuan::clock::{ManualClock, Timestamp};
use tongkuan::embed::{EmbedError, Embedder, Embedding, Fingerprint, FirstLook, Thresholds};
use tongkuan::engine::{CachePolicy, Engine, EngineBuilder, Query};
use tongkuan::home::Home;
use tongkuan::offer::{Offer, OfferDetail, OfferId};
use tongkuan::tensor::{Layout, ResizeFilter, ResizePolicy, Tensor, TensorSpec};
use tongkuan::upstream::{
    GuardPolicy, SearchParams, UploadLimits, UploadPicture, Upstream, UpstreamError, UpstreamErrorKind,
    UpstreamPage,
};

/// Sees a picture as 8 x 8 x 3 numbers.
pub(crate) struct FakeEmbedder {
    pub(crate) spec: TensorSpec,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) inferences: AtomicU32,
    pub(crate) second_looks: AtomicU32,
    /// Whether the first look rules out that a picture holds others.
    pub(crate) rules_out_composites: AtomicBool,
}

impl FakeEmbedder {
    pub(crate) fn new() -> Self {
        let spec = TensorSpec {
            name: "pixels".to_owned(),
            width_px: 8,
            height_px: 8,
            layout: Layout::Nchw,
            mean: [0.5; 3],
            std: [0.5; 3],
            resize: ResizePolicy::Squash,
            filter: ResizeFilter::Bilinear,
        };
        let fingerprint =
            Fingerprint { model: "fake 1".to_owned(), dimension: 192, digest: "fake".to_owned() };
        Self {
            spec,
            fingerprint,
            inferences: AtomicU32::new(0),
            second_looks: AtomicU32::new(0),
            rules_out_composites: AtomicBool::new(false),
        }
    }
}

impl Embedder for FakeEmbedder {
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    fn input(&self) -> &TensorSpec {
        &self.spec
    }

    fn thresholds(&self) -> Thresholds {
        Thresholds { same_picture: 0.98, review: 0.9, max_false_hit: None }
    }

    fn embed(&self, tensor: &Tensor) -> Result<Embedding, EmbedError> {
        self.inferences.fetch_add(1, Ordering::SeqCst);
        Ok(Embedding::new(tensor.as_array().iter().copied().collect())?)
    }

    fn look(&self, tensor: &Tensor) -> Result<FirstLook, EmbedError> {
        let may_be_composite = !self.rules_out_composites.load(Ordering::SeqCst);
        Ok(FirstLook { embedding: self.embed(tensor)?, may_be_composite })
    }

    fn parts_input(&self) -> Option<TensorSpec> {
        Some(TensorSpec { width_px: 16, height_px: 16, ..self.spec.clone() })
    }

    fn embed_parts(&self, tensor: &Tensor) -> Result<Vec<Embedding>, EmbedError> {
        self.second_looks.fetch_add(1, Ordering::SeqCst);
        let starts = [0, 3, 5, 8];
        let parts = starts.iter().flat_map(|top| starts.iter().map(move |left| (*top, *left)));
        let part = |(top, left)| {
            let values = tensor.as_array().slice(ndarray::s![0, .., top..top + 8, left..left + 8]);
            Ok(Embedding::new(values.iter().copied().collect())?)
        };
        parts.map(part).collect()
    }
}

/// Answers every search with two offers, and counts. Can be told to fail, to find nothing, or to hang.
pub(crate) struct FakeUpstream {
    profile: &'static str,
    pub(crate) calls: AtomicU32,
    pub(crate) fails_with: Mutex<Option<UpstreamErrorKind>>,
    pub(crate) finds_nothing: AtomicBool,
    /// What it finds, in the place of two new offers each time.
    pub(crate) offers: Mutex<Option<Vec<Offer>>>,
    /// Whether it says how many offers there are over all pages.
    pub(crate) says_total: AtomicBool,
    /// Held by a test for as long as answers are to be held back.
    pub(crate) hanging: Mutex<()>,
}

impl FakeUpstream {
    pub(crate) fn named(profile: &'static str) -> Arc<Self> {
        Arc::new(Self {
            profile,
            calls: AtomicU32::default(),
            fails_with: Mutex::default(),
            finds_nothing: AtomicBool::default(),
            offers: Mutex::default(),
            says_total: AtomicBool::new(true),
            hanging: Mutex::default(),
        })
    }

    pub(crate) fn fail_with(&self, kind: impl Into<Option<UpstreamErrorKind>>) {
        *self.fails_with.lock().unwrap() = kind.into();
    }

    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Upstream for FakeUpstream {
    fn profile(&self) -> &'static str {
        self.profile
    }

    fn upload_limits(&self) -> UploadLimits {
        UploadLimits { max_bytes: 1_000_000, advised_min_side_px: 1, max_side_px: 1000, takes_region: false }
    }

    fn search(&self, _: &UploadPicture, _: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        let n = self.calls.fetch_add(1, Ordering::SeqCst);
        drop(self.hanging.lock().unwrap());
        if let Some(kind) = *self.fails_with.lock().unwrap() {
            return Err(UpstreamError::new(self.profile, kind, "fake", "the fake was told to fail"));
        }
        if self.finds_nothing.load(Ordering::SeqCst) {
            return Ok(UpstreamPage { total: Some(0), ..UpstreamPage::default() });
        }
        let told = self.offers.lock().unwrap().clone();
        let offers = told.unwrap_or_else(|| vec![offer(&format!("{n}1")), offer(&format!("{n}2"))]);
        let total = self.says_total.load(Ordering::SeqCst).then_some(2);
        Ok(UpstreamPage { offers, total, ..UpstreamPage::default() })
    }

    fn check(&self) -> Result<(), UpstreamError> {
        Ok(())
    }
}

/// Tells details of every offer, once the test lets it: while it holds `hanging`, they hang.
#[derive(Default)]
pub(crate) struct Telling {
    asked: Mutex<Vec<OfferId>>,
    pub(crate) hanging: Mutex<()>,
}

impl Telling {
    /// Which offers were asked about, in their order.
    pub(crate) fn asked(&self) -> Vec<OfferId> {
        self.asked.lock().unwrap().clone()
    }
}

impl Upstream for Telling {
    fn profile(&self) -> &'static str {
        "telling"
    }

    fn upload_limits(&self) -> UploadLimits {
        UploadLimits { max_bytes: 1_000_000, advised_min_side_px: 1, max_side_px: 1000, takes_region: false }
    }

    fn search(&self, _: &UploadPicture, _: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        Ok(UpstreamPage::default())
    }

    fn gives_details(&self) -> bool {
        true
    }

    fn details(&self, offer_id: &OfferId) -> Result<OfferDetail, UpstreamError> {
        self.asked.lock().unwrap().push(offer_id.clone());
        drop(self.hanging.lock().unwrap());
        Ok(OfferDetail::new(Offer::new(offer_id.clone(), "cup")))
    }

    fn check(&self) -> Result<(), UpstreamError> {
        Ok(())
    }
}

pub(crate) fn offer(id: &str) -> Offer {
    Offer {
        price: Some("59.00".parse().unwrap()),
        min_order_quantity: Some(2),
        ..Offer::new(OfferId::new(id).unwrap(), format!("offer {id}"))
    }
}

/// An engine on fakes, and the fakes to look at.
pub(crate) struct Bench {
    pub(crate) home: tempfile::TempDir,
    pub(crate) embedder: Arc<FakeEmbedder>,
    pub(crate) upstream: Arc<FakeUpstream>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            embedder: Arc::new(FakeEmbedder::new()),
            upstream: FakeUpstream::named("fake"),
            // 2026-11-24 10:00 in China.
            clock: Arc::new(ManualClock::at(Timestamp::from_unix_ms(1_795_485_600_000))),
        }
    }

    pub(crate) fn builder(&self) -> EngineBuilder {
        self.builder_on(self.home.path())
    }

    pub(crate) fn builder_on(&self, home: impl Into<Home>) -> EngineBuilder {
        Engine::builder(home).embedder(self.embedder.clone()).clock(self.clock.clone())
    }

    pub(crate) fn engine(&self) -> Engine {
        self.builder()
            .upstream(self.upstream.clone(), GuardPolicy::default(), CachePolicy::default())
            .open()
            .unwrap()
    }

    /// One whose index has a graph from the third picture on.
    pub(crate) fn engine_with_graph(&self) -> Engine {
        self.graph_builder(self.home.path()).open().unwrap()
    }

    /// The same, on another home folder, with neither an end to its budget nor a pause between calls.
    pub(crate) fn graph_builder(&self, home: &std::path::Path) -> EngineBuilder {
        let policy = GuardPolicy::default().daily_budget(u32::MAX).min_interval(std::time::Duration::ZERO);
        Engine::builder(home).embedder(self.embedder.clone()).clock(self.clock.clone()).exact_max(2).upstream(
            self.upstream.clone(),
            policy,
            CachePolicy::default(),
        )
    }

    pub(crate) fn calls(&self) -> u32 {
        self.upstream.calls()
    }

    pub(crate) fn second_looks(&self) -> u32 {
        self.embedder.second_looks.load(Ordering::SeqCst)
    }

    pub(crate) fn inferences(&self) -> u32 {
        self.embedder.inferences.load(Ordering::SeqCst)
    }
}

pub(crate) fn query(bytes: &[u8]) -> Query<'_> {
    Query::new(bytes, "a.jpg")
}

/// Repeatable numbers without a pattern: the last step of `SplitMix64`.
pub(crate) fn mix(n: u64, seed: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A picture that no other seed's is like: coarse coloured blocks.
pub(crate) fn picture(seed: u32) -> RgbImage {
    RgbImage::from_fn(160, 120, |x, y| {
        let [r, g, b, ..] = mix(u64::from(seed) << 32 | u64::from(y / 15 * 8 + x / 20), 0).to_le_bytes();
        Rgb([r, g, b])
    })
}

pub(crate) fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(crate) fn png(seed: u32) -> Vec<u8> {
    encoded(&picture(seed), ImageFormat::Png)
}

/// A plain HTTP client that follows no redirect.
pub(crate) fn http() -> reqwest::blocking::Client {
    // The HTTP client brings no cryptography of its own; another test of the process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redirect = reqwest::redirect::Policy::none();
    reqwest::blocking::Client::builder().redirect(redirect).no_proxy().build().unwrap()
}
