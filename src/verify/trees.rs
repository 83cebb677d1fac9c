//! The fitted trees behind [`Evidence::confidence`]: data of `models/verifier/trees.json`, written by
//! `models/verifier.py fit`.

use std::fmt::Write as _;
use std::sync::LazyLock;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::evidence::Evidence;

/// The format that this code reads.
const FORMAT: u32 = 1;

const SHIPPED: &str = include_str!("../../models/verifier/trees.json");

/// A tree of depth 4: fifteen questions (measurement, threshold), the children of `i` at `2 i + 1` (not above the
/// threshold) and `2 i + 2`, and sixteen answers. A threshold that no measurement is above stands for a branch that ended
/// early.
pub(super) type Tree = ([(u8, f32); 15], [f32; 16]);

/// Boosted trees: their answers add up to the log-odds that two pictures are the same.
#[derive(Debug)]
pub(super) struct Trees {
    pub(super) all: Vec<Tree>,
    /// SHA-256 of the numbers, in hexadecimal.
    digest: String,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TreesFile {
    format: u32,
    /// The measurements by the numbers that the questions use.
    measurements: Vec<String>,
    trees: Vec<TreeFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TreeFile {
    /// `null` in the place of a threshold that nothing is above.
    questions: [(u8, Option<f32>); 15],
    answers: [f32; 16],
}

impl Trees {
    /// The trees that travel with the program.
    pub(super) fn shipped() -> &'static Self {
        static TREES: LazyLock<Trees> = LazyLock::new(|| {
            // Part of the program: `the_shipped_trees_are_read` fails before one with a broken file is released.
            Trees::parse(SHIPPED).unwrap_or_else(|problem| panic!("models/verifier/trees.json: {problem}"))
        });
        &TREES
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: TreesFile = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if file.format != FORMAT {
            return Err(format!("format {} instead of {FORMAT}", file.format));
        }
        if file.measurements != Evidence::NAMES {
            return Err("fitted on other measurements than this program takes".to_owned());
        }
        let tree = |TreeFile { questions, answers }| {
            let questions = questions.map(|(m, threshold)| (m, threshold.unwrap_or(f32::MAX)));
            (questions, answers)
        };
        let all: Vec<Tree> = file.trees.into_iter().map(tree).collect();
        let knows =
            |(questions, _): &Tree| questions.iter().all(|(m, _)| usize::from(*m) < Evidence::NAMES.len());
        if !all.iter().all(knows) {
            return Err("a question about a measurement that does not exist".to_owned());
        }
        Ok(Self { digest: digest(&all), all })
    }
}

/// Over the numbers, little-endian, not over the file's text: line ends and spaces do not matter.
fn digest(trees: &[Tree]) -> String {
    let mut hash = Sha256::new();
    for (questions, answers) in trees {
        for (measurement, threshold) in questions {
            hash.update([*measurement]);
            hash.update(threshold.to_le_bytes());
        }
        for answer in answers {
            hash.update(answer.to_le_bytes());
        }
    }
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Names the fitted trees, in hexadecimal: confidences of other trees are other numbers.
#[must_use]
pub fn weights_digest() -> &'static str {
    &Trees::shipped().digest
}

/// The answer of one tree to the measurements.
pub(super) fn answer(tree: &Tree, values: &[f32; Evidence::NAMES.len()]) -> f32 {
    let (questions, answers) = tree;
    let mut at = 0;
    while let Some((measurement, threshold)) = questions.get(at) {
        at = 2 * at + 1 + usize::from(values[usize::from(*measurement)] > *threshold);
    }
    answers[at - questions.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_trees_are_read() {
        let trees = Trees::parse(SHIPPED).expect("a sound file");
        assert!(!trees.all.is_empty());
        assert!(trees.all.iter().all(|(_, answers)| answers.iter().all(|a| a.is_finite())));
    }

    #[test]
    fn the_digest_does_not_depend_on_line_ends_or_spaces() {
        let digest_of = |text: &str| Trees::parse(text).expect("a sound file").digest;
        let shipped = digest_of(SHIPPED);
        assert_eq!(digest_of(&SHIPPED.replace('\n', "\r\n")), shipped);
        assert_eq!(digest_of(&SHIPPED.replace(' ', "")), shipped);
        let at = SHIPPED.find("\"answers\": [-0.").expect("a negative answer") + "\"answers\": [".len();
        let changed = format!("{}{}", &SHIPPED[..at], &SHIPPED[at + 1..]);
        assert_ne!(digest_of(&changed), shipped, "one answer without its sign");
    }

    #[test]
    fn trees_that_were_fitted_on_other_measurements_are_refused() {
        let renamed = SHIPPED.replacen("\"cosine\"", "\"sine\"", 1);
        assert!(Trees::parse(&renamed).is_err());
        assert!(Trees::parse(&SHIPPED.replacen("\"format\": 1", "\"format\": 2", 1)).is_err());
    }

    #[test]
    fn a_tree_is_read_from_the_root_to_a_leaf() {
        // In the order of levels: 8, then 4 and 12, then 2, 6, 10 and 14, then the odd numbers.
        let thresholds = [8u8, 4, 12, 2, 6, 10, 14, 1, 3, 5, 7, 9, 11, 13, 15];
        let leaves: [u8; 16] = std::array::from_fn(|leaf| leaf as u8);
        let tree: Tree = (thresholds.map(|t| (0, f32::from(t))), leaves.map(f32::from));
        let mut values = [0.0; Evidence::NAMES.len()];
        for leaf in leaves {
            values[0] = f32::from(leaf) + 0.5;
            assert!((answer(&tree, &values) - f32::from(leaf)).abs() < 1e-6);
        }
    }
}
