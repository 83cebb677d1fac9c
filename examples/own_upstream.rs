//! An upstream of one's own: here a shop that knows one good. The engine asks it on a miss, within budget and pace, stores
//! what it says, and answers from there the next time.
//!
//! `cargo run --example own_upstream -- PICTURE`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use tongkuan::embed::{Embedder, runtime};
use tongkuan::engine::{Answer, CachePolicy, Engine, Query, RuntimeChoice};
use tongkuan::offer::{Offer, OfferId};
use tongkuan::upstream::{
    GuardPolicy, SearchParams, UploadLimits, UploadPicture, Upstream, UpstreamError, UpstreamErrorKind,
    UpstreamPage,
};

/// The name under which calls are counted and answers are stored.
const PROFILE: &str = "my_shop";

/// Answers every picture with its one good. A real one sends `picture.bytes` somewhere, once, and reads the answer.
#[derive(Debug)]
pub(crate) struct MyShop;

impl Upstream for MyShop {
    fn profile(&self) -> &'static str {
        PROFILE
    }

    /// Pictures are brought below these before they are sent.
    fn upload_limits(&self) -> UploadLimits {
        UploadLimits {
            max_bytes: 1_000_000,
            advised_min_side_px: 100,
            max_side_px: 1000,
            takes_region: false,
        }
    }

    fn search(&self, picture: &UploadPicture, params: &SearchParams) -> Result<UpstreamPage, UpstreamError> {
        if picture.bytes.is_empty() {
            // The kind says what follows: this picture is not asked about again for a while.
            return Err(UpstreamError::new(
                PROFILE,
                UpstreamErrorKind::Image,
                "empty",
                "there is no picture",
            ));
        }
        let id = OfferId::new("600000000001")
            .map_err(|error| UpstreamError::new(PROFILE, UpstreamErrorKind::Unreadable, "id", error))?;
        let offers = if params.page == 1 { vec![Offer::new(id, "a mug")] } else { Vec::new() };
        Ok(UpstreamPage { offers, total: Some(1), ..UpstreamPage::default() })
    }

    /// A call that is no search, for `tongkuan doctor`.
    fn check(&self) -> Result<(), UpstreamError> {
        Ok(())
    }
}

/// Searches twice for the same bytes: the first time the shop is asked, the second time it is not.
pub(crate) fn search_twice(
    home: &Path,
    picture: &[u8],
    embedder: Option<Arc<dyn Embedder>>,
) -> Result<[Answer; 2], Box<dyn Error>> {
    let shared = runtime::shared_folder().unwrap_or_else(|| home.join("runtime"));
    let choice = RuntimeChoice::new(shared).may_fetch(true);
    let builder = Engine::builder(home).runtime(choice);
    let builder = match embedder {
        Some(embedder) => builder.embedder(embedder),
        None => builder,
    };
    let policy = GuardPolicy::default().daily_budget(100);
    let engine = builder.upstream(Arc::new(MyShop), policy, CachePolicy::default()).open()?;
    Ok([engine.search(&Query::new(picture, "first"))?, engine.search(&Query::new(picture, "second"))?])
}

#[allow(dead_code, reason = "the tests call what is above")]
fn main() -> Result<(), Box<dyn Error>> {
    let Some(picture) = std::env::args_os().nth(1) else { return Err("give a picture".into()) };
    let home = std::env::temp_dir().join("tongkuan-example-upstream");
    for answer in search_twice(&home, &std::fs::read(picture)?, None)? {
        println!("{:?}: {} offers, {} calls", answer.verdict, answer.offers.len(), answer.upstream_calls);
    }
    Ok(())
}
