//! How sure is it? The judge's probability, and words for what stands against it.

use serde::{Deserialize, Serialize};

use super::content::{LEAST_CONTENT, SLIGHT_CONTENT};
use super::evidence::Evidence;

/// From this confidence on, a picture is taken for the same where no calibration says otherwise: 1 % of the other colours,
/// prints and words that models/judge/make_pairs.py made reach it (docs/benchmarks/pair-judge.md).
pub const SAME_PICTURE_CONFIDENCE: f32 = 0.815;

/// From this confidence on, a picture stands out.
pub const REVIEW_CONFIDENCE: f32 = 0.3;

/// From this probability on, a stored picture shows the same goods in another colour or with another print.
pub const OTHER_VARIANT_PROBABILITY: f32 = 0.5;

/// The shapes agree from this correlation of the brightness on, or from so many agreeing corners on: so do 99 % of real
/// families, and half of the few unlike pictures that the judge takes for variants do not (docs/benchmarks/pair-judge.md).
const SHAPES_AGREE_LIKENESS: f32 = 0.4;
pub(crate) const SHAPES_AGREE_INLIERS: f32 = 6.0;

/// Raised when another confidence follows from the same evidence: what was remembered of recognised files and decided about
/// scanned ones is then judged again. 2: a few words or small goods on another ground. 3: pictures in which nothing has changed.
pub(crate) const CONFIDENCE_RULES: u8 = 3;

/// Why a picture that stands out was not taken for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Doubt {
    /// Too little shows in what both pictures have in sight: a blank, one colour, a bare ground; or a few words or small goods,
    /// on another ground.
    NothingToCompare,
    /// The shapes agree; a colour, a print or the words do not: the same goods in another variant.
    OtherVariant,
    /// The shapes do not agree.
    ShapesDiffer,
    /// Several stored pictures that differ among themselves agree equally well.
    SeveralEqual,
    /// A person has said that it is not the same as another stored picture, which this one resembles as well.
    ToldApart,
    /// The stored picture has no sketch, so that only the embeddings speak, and not clearly enough.
    NoSketch,
    /// Nothing stands out, but all of it together falls short.
    Uncertain,
}

impl Doubt {
    #[cfg(any(feature = "scan", feature = "sheet"))]
    const ALL: [Self; 7] = [
        Self::NothingToCompare,
        Self::OtherVariant,
        Self::ShapesDiffer,
        Self::SeveralEqual,
        Self::ToldApart,
        Self::NoSketch,
        Self::Uncertain,
    ];

    /// As it is written in JSON.
    const fn code(self) -> &'static str {
        match self {
            Self::NothingToCompare => "nothing_to_compare",
            Self::OtherVariant => "other_variant",
            Self::ShapesDiffer => "shapes_differ",
            Self::SeveralEqual => "several_equal",
            Self::ToldApart => "told_apart",
            Self::NoSketch => "no_sketch",
            Self::Uncertain => "uncertain",
        }
    }

    /// The doubt of that code.
    #[cfg(any(feature = "scan", feature = "sheet"))]
    pub(crate) fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|doubt| doubt.code() == code)
    }

    /// What people are told on terminals, pages and sheets, in English and in Chinese.
    #[cfg(any(feature = "scan", feature = "sheet"))]
    pub(crate) const fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Self::NothingToCompare => ("next to nothing to compare", "几乎无可比较"),
            Self::OtherVariant => ("another colour or print", "不同颜色或图案"),
            Self::ShapesDiffer => ("the shapes do not agree", "形状不一致"),
            Self::SeveralEqual => ("several agree equally well", "多个同样相似"),
            Self::ToldApart => ("told apart by a person", "人工认定不同"),
            Self::NoSketch => ("stored without a sketch", "无草图"),
            Self::Uncertain => ("not sure enough", "不够确定"),
        }
    }
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl Evidence {
    /// How sure it is that the pictures are the same, 0..=1: the judge's probability, or what just stands out where there
    /// is nothing to compare.
    #[must_use]
    pub fn confidence(&self) -> f32 {
        if self.has_nothing_to_compare() { self.same.min(REVIEW_CONFIDENCE) } else { self.same }
    }

    /// The probability, 0..=1, that it is the same goods in another colour or with another print.
    #[must_use]
    pub fn other_variant(&self) -> f32 {
        let shapes_agree = self.likeness >= SHAPES_AGREE_LIKENESS || self.inliers >= SHAPES_AGREE_INLIERS;
        if self.has_nothing_to_compare() || !shapes_agree {
            0.0
        } else {
            self.other_colour + self.other_print
        }
    }

    fn has_nothing_to_compare(&self) -> bool {
        let ground_has_changed = self.ground_change > 1.0;
        self.content_both < if ground_has_changed { SLIGHT_CONTENT } else { LEAST_CONTENT }
    }

    /// What stands against the pictures being the same, most telling first.
    #[must_use]
    pub fn doubt(&self) -> Doubt {
        if self.has_nothing_to_compare() {
            Doubt::NothingToCompare
        } else if self.other_variant() >= OTHER_VARIANT_PROBABILITY {
            Doubt::OtherVariant
        } else if self.same < 0.5 {
            Doubt::ShapesDiffer
        } else {
            Doubt::Uncertain
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(feature = "scan", feature = "sheet"))]
    #[test]
    fn every_doubt_is_found_by_its_code_in_json_and_has_words_of_its_own() {
        let mut told = std::collections::HashSet::new();
        for doubt in Doubt::ALL {
            assert_eq!(serde_json::to_value(doubt).unwrap(), doubt.to_string());
            assert_eq!(Doubt::of_code(&doubt.to_string()), Some(doubt));
            let (english, chinese) = doubt.in_words();
            assert!(told.insert(english) && told.insert(chinese), "{doubt}");
        }
        assert_eq!(Doubt::of_code("same_bytes"), None);
    }

    #[test]
    fn where_nothing_shows_nothing_is_sure() {
        let sure = Evidence { same: 0.999, content_both: 0.2, ..Evidence::default() };
        assert!(sure.confidence() > 0.99);
        let bare = Evidence { content_both: 0.0, ..sure };
        assert_eq!((bare.confidence(), bare.doubt()), (REVIEW_CONFIDENCE, Doubt::NothingToCompare));
    }

    #[test]
    fn a_few_words_on_another_ground_are_nothing_to_tell_by() {
        let words = Evidence { same: 0.999, content_both: 0.03, ..Evidence::default() };
        assert!(words.confidence() > 0.99);
        let moved = Evidence { ground_change: 1.2, ..words };
        assert_eq!((moved.confidence(), moved.doubt()), (REVIEW_CONFIDENCE, Doubt::NothingToCompare));
        let goods = Evidence { content_both: 0.2, ..moved };
        assert!(goods.confidence() > 0.99);
    }

    #[test]
    fn another_colour_and_another_print_are_other_variants() {
        let evidence = Evidence { content_both: 0.2, likeness: 0.8, ..Evidence::default() };
        let colour = Evidence { other_colour: 0.9, same: 0.1, ..evidence };
        let print = Evidence { other_print: 0.4, other_colour: 0.3, same: 0.3, ..evidence };
        let goods = Evidence { other_goods: 0.9, other_colour: 0.1, ..evidence };
        assert_eq!(
            [colour, print, goods].map(|e| e.doubt()),
            [Doubt::OtherVariant, Doubt::OtherVariant, Doubt::ShapesDiffer]
        );
    }
}
