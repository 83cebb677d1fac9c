//! From decisions to groups: who belongs together, and which one is worth keeping.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::members::{Group, Member};
use super::stat::Stat;
use super::state::{MemberRow, ScannedFile};
use super::worth::{goes_for, most_worth};
use super::{Relation, Scan, ScanError};
use crate::photo::Digest;

/// Two groups, each by a file of its medoid, that the judge did not take for the same picture, but that are worth a look.
#[derive(Clone, Debug, PartialEq)]
pub struct LookAlike {
    /// The one that was judged first.
    pub one: ScannedFile,
    /// The file that looks like it.
    pub other: ScannedFile,
    /// A word of [`crate::verify::Doubt`]: `other_variant` for the same goods in another colour or print.
    pub why: String,
    /// How sure that is, 0..=1: that it is another variant, or that it is the same picture.
    pub confidence: Option<f32>,
    /// Cosine of the embeddings, -1..=1.
    pub score: f32,
}

impl LookAlike {
    /// As a part of a line of the output.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (one, other) = (self.one.to_json(), self.other.to_json());
        let Self { why, confidence, score, .. } = self;
        json!({
            "id": null, "kind": "look_alike", "why": why, "confidence": confidence, "score": score,
            "one": one, "other": other,
        })
    }
}

impl Scan {
    /// Hears of every group of more than one file, in the order of their medoids, and counts them. One group is in memory
    /// at a time.
    ///
    /// # Errors
    /// [`ScanError::State`], and what `each` returns.
    pub fn each_group(
        &mut self,
        each: &mut dyn FnMut(&Group) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        let (mut groups, mut extra_files, mut extra_bytes) = (0, 0, 0);
        let mut rows: Vec<MemberRow> = Vec::new();
        let mut end = |rows: Vec<MemberRow>| {
            if rows.len() < 2 {
                return Ok(());
            }
            groups += 1;
            let group = group_of(groups, rows);
            extra_files += group.members.iter().filter(|member| member.could_go()).count() as u64;
            extra_bytes += group.extra_bytes();
            each(&group)
        };
        self.state.each_member(|row| {
            if rows.first().is_some_and(|first| first.medoid != row.medoid) {
                end(std::mem::take(&mut rows))?;
            }
            rows.push(row);
            Ok(())
        })?;
        end(rows)?;
        (self.summary.groups, self.summary.extra_files, self.summary.extra_bytes) =
            (groups, extra_files, extra_bytes);
        let mut look_alikes = 0;
        self.state.each_near(|_, _| {
            look_alikes += 1;
            Ok(())
        })?;
        self.summary.look_alikes = look_alikes;
        Ok(())
    }

    /// Hears of every pair that is worth a look, the surest first.
    ///
    /// # Errors
    /// [`ScanError::State`], and what `each` returns.
    pub fn each_look_alike(
        &self,
        each: &mut dyn FnMut(&LookAlike) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        self.state.each_near(|other, near| {
            let files = (self.state.file_of_pixels(near.medoid)?, self.state.file_of_pixels(other)?);
            let (Some(one), Some(other)) = files else { return Ok(()) };
            let (why, confidence, score) = (near.why, near.confidence, near.score);
            each(&LookAlike { one, other, why, confidence, score })
        })
    }
}

fn group_of(number: u64, rows: Vec<MemberRow>) -> Group {
    let medoid: Option<(Digest, Digest)> =
        rows.first().map(|row| (row.file.byte_digest, row.file.pixel_digest));
    let mut members: Vec<Member> = Vec::with_capacity(rows.len());
    let mut agreeing: BTreeMap<Digest, BTreeSet<Digest>> = BTreeMap::new();
    for row in rows {
        let MemberRow { file, medoid: stands, relation, whole, confidence, score } = row;
        let decided = Relation::of_word(&relation).unwrap_or(Relation::Edited);
        let whole = if decided < Relation::Edited { stands } else { whole.unwrap_or(file.pixel_digest) };
        agreeing.entry(whole).or_default().insert(file.pixel_digest);
        let (bytes, pixels) = medoid.unwrap_or((file.byte_digest, file.pixel_digest));
        let relation = if members.is_empty() {
            Relation::Medoid
        } else if members.iter().any(|member| member.file.stat.is_same_file(&file.stat)) {
            Relation::SameFile
        } else if file.byte_digest == bytes {
            Relation::SameBytes
        } else if file.pixel_digest == pixels {
            Relation::SamePixels
        } else {
            decided
        };
        let (keep, is_linked_to, agreeing, stays) = (false, false, 1, true);
        members.push(Member {
            file,
            relation,
            confidence,
            score,
            keep,
            is_linked_to,
            whole,
            agreeing,
            stays,
        });
    }
    let targets: Vec<Stat> = members.iter().filter(|m| m.file.is_link).map(|m| m.file.stat).collect();
    for member in &mut members {
        member.agreeing = agreeing.get(&member.whole).map_or(1, |pictures| pictures.len() as u64);
        member.is_linked_to =
            !member.file.is_link && targets.iter().any(|target| member.file.stat.is_same_file(target));
    }
    if let Some(best) = most_worth(members.iter().enumerate()) {
        members[best].keep = true;
    }
    let files: Vec<usize> = (0..members.len()).filter(|place| !members[*place].file.is_link).collect();
    let going = goes_for(&files.iter().map(|place| &members[*place]).collect::<Vec<_>>(), Relation::Told);
    for (place, kept) in files.into_iter().zip(going) {
        members[place].stays = kept.is_none();
    }
    Group { number, members }
}
