//! Tall detail pictures show one product below the other: as a whole they would be sent so narrow that nothing is found.

use super::EngineError;
use super::search::Search;
use crate::question::Region;
use crate::upstream::{ELONGATED, UploadLimits};

impl Search<'_> {
    /// The parts of a picture that would better be asked about than all of it, and why; `None` for others.
    pub(super) fn elongated(&self) -> Result<Option<(Vec<Region>, String)>, EngineError> {
        let Some(upstream) = self.upstreams().next() else { return Ok(None) };
        if self.query.params.region.is_some() || self.query.whole {
            return Ok(None);
        }
        let (limits, size) = (upstream.guard.upload_limits(), self.picture.photo()?.as_image().dimensions());
        let parts = parts_of_elongated(size, &limits);
        let message = format!(
            "the picture is {} x {} pixels and would be sent {} wide, so nothing was asked: ask about a part of it, such as {}",
            size.0,
            size.1,
            sent_short_px(size, &limits),
            parts.first().map_or_else(String::new, ToString::to_string),
        );
        Ok((!parts.is_empty()).then_some((parts, message)))
    }
}

/// The shorter side of a picture when it is sent.
fn sent_short_px((width_px, height_px): (u32, u32), limits: &UploadLimits) -> u32 {
    let (short, long) = (width_px.min(height_px), width_px.max(height_px).max(1));
    let sent = u64::from(short) * u64::from(limits.max_side_px) / u64::from(long);
    u32::try_from(sent).unwrap_or(u32::MAX).min(short)
}

/// Equal parts of an elongated picture, about as long as wide, if as a whole it had to be made smaller than the upstream advises;
/// none of any other.
fn parts_of_elongated(size: (u32, u32), limits: &UploadLimits) -> Vec<Region> {
    let (short, long) = (size.0.min(size.1), size.0.max(size.1));
    let sent = sent_short_px(size, limits);
    if short == 0 || long / short < ELONGATED || sent == short || sent >= limits.advised_min_side_px {
        return Vec::new();
    }
    let parts = (long + short / 2) / short;
    let edge =
        |part: u32| u32::try_from(u64::from(long) * u64::from(part) / u64::from(parts)).unwrap_or(long);
    let part = |part: u32| {
        let (from, to) = (edge(part), edge(part + 1));
        if size.0 < size.1 { Region::new(0, from, short, to) } else { Region::new(from, 0, to, short) }
    };
    (0..parts).filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: UploadLimits =
        UploadLimits { max_bytes: 300_000, advised_min_side_px: 300, max_side_px: 1000, takes_region: true };

    #[test]
    fn a_tall_picture_is_cut_into_parts_that_cover_it() {
        let parts = parts_of_elongated((790, 5400), &LIMITS);
        assert_eq!(parts.len(), 7);
        assert_eq!(parts[0].edges_px(), [0, 0, 790, 771]);
        assert!(parts.windows(2).all(|pair| pair[0].edges_px()[3] == pair[1].edges_px()[1]), "{parts:?}");
        assert_eq!(parts[6].edges_px()[3], 5400);
        let wide = parts_of_elongated((4000, 1000), &LIMITS);
        assert_eq!(wide.iter().map(|part| part.edges_px()).collect::<Vec<_>>()[1], [1000, 0, 2000, 1000]);
    }

    #[test]
    fn what_is_sent_as_it_is_or_large_enough_stays_whole() {
        for size in [(800, 2300), (800, 800), (100, 900), (0, 0), (1000, 1)] {
            assert!(parts_of_elongated(size, &LIMITS).is_empty(), "{size:?}");
        }
        let tolerant = UploadLimits { advised_min_side_px: 1, ..LIMITS };
        assert!(parts_of_elongated((790, 5400), &tolerant).is_empty());
    }
}
