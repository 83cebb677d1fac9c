//! An embedder of one's own in the place of the built-in model: here the colours of a grid, which needs no runtime. A neural
//! network of another kind goes into [`Embedder::embed`] in the same way.
//!
//! `cargo run --example own_embedder -- PICTURE OTHER`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use tongkuan::embed::{EmbedError, Embedder, Embedding, Fingerprint, Thresholds};
use tongkuan::engine::{Engine, Outcome, Query};
use tongkuan::offer::{Offer, OfferId};
use tongkuan::tensor::{Layout, ResizeFilter, ResizePolicy, Tensor, TensorSpec};

/// Cells of the grid on each side.
const CELLS: u16 = 12;

/// A picture is its colours, in a grid.
#[derive(Debug)]
pub(crate) struct Grid {
    input: TensorSpec,
}

impl Grid {
    pub(crate) fn new() -> Self {
        let side = CELLS.into();
        Self {
            input: TensorSpec {
                name: "grid".to_owned(),
                width_px: side,
                height_px: side,
                layout: Layout::Nchw,
                mean: [0.5; 3],
                std: [0.5; 3],
                resize: ResizePolicy::Squash,
                filter: ResizeFilter::Bilinear,
            },
        }
    }
}

impl Embedder for Grid {
    /// A home folder belongs to what is named here: another space needs another digest.
    fn fingerprint(&self) -> Fingerprint {
        let dimension = 3 * usize::from(CELLS) * usize::from(CELLS);
        Fingerprint { model: "grid of colours 1".to_owned(), dimension, digest: "grid-1".to_owned() }
    }

    fn input(&self) -> &TensorSpec {
        &self.input
    }

    /// Measured on pictures of yours (`tongkuan eval`); without a calibration no bound on false hits is promised.
    fn thresholds(&self) -> Thresholds {
        Thresholds { same_picture: 0.98, review: 0.9, max_false_hit: None }
    }

    fn embed(&self, tensor: &Tensor) -> Result<Embedding, EmbedError> {
        Ok(Embedding::new(tensor.as_array().iter().copied().collect())?)
    }
}

/// Whether a home that holds the first picture recognises the second one.
pub(crate) fn is_recognised(home: &Path, stored: &[u8], asked: &[u8]) -> Result<bool, Box<dyn Error>> {
    let engine = Engine::builder(home).embedder(Arc::new(Grid::new())).open()?;
    engine.add_own(&Offer::new(OfferId::new("A-1")?, "the stored one"), stored, "stored")?;
    Ok(engine.search(&Query::new(asked, "asked"))?.verdict == Outcome::Hit)
}

#[allow(dead_code, reason = "the tests call what is above")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(one), Some(other)) = (arguments.next(), arguments.next()) else {
        return Err("give two pictures".into());
    };
    let home = std::env::temp_dir().join("tongkuan-example-embedder");
    let same = is_recognised(&home, &std::fs::read(one)?, &std::fs::read(other)?)?;
    println!("{}", if same { "the same picture" } else { "not the same picture" });
    Ok(())
}
