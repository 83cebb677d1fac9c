#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tongkuan::sandbox::{Catalogue, View};
use tongkuan::verify::{SketchedCandidate, Probe, Sketch, measure};

/// A picture of the sandbox, and its sketch as it is written.
static DRAWN: LazyLock<(Probe, Vec<u8>)> = LazyLock::new(|| {
    let catalogue = Catalogue::new(1688);
    let probe = Probe::of(&catalogue.picture(&catalogue.goods()[7], View::Main)).expect("it has pixels");
    let written = probe.sketch().to_bytes();
    (probe, written)
});

/// The written sketch, in which three bytes of `changes` name a place, little-endian, and the byte that is to stand there.
fn changed(changes: &[u8]) -> Vec<u8> {
    let mut bytes = DRAWN.1.clone();
    for [low, high, byte] in changes.as_chunks().0 {
        let place = usize::from(u16::from_le_bytes([*low, *high])) % bytes.len();
        bytes[place] = *byte;
    }
    bytes
}

fn read(bytes: &[u8]) {
    let Ok(sketch) = Sketch::from_bytes(bytes) else { return };
    assert_eq!(sketch.to_bytes(), bytes, "what is read is what was written");
    // Twice: an equal sketch is a rival, too.
    let candidate = SketchedCandidate { sketch: &sketch, cosine: 0.9 };
    for evidence in measure(&DRAWN.0, &[candidate; 2]).into_iter().flatten() {
        assert!((0.0..=1.0).contains(&evidence.confidence()), "{evidence:?}");
    }
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    read(&changed(bytes));
});
