//! From decisions to groups: who belongs together, and which one is worth keeping.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::{Value, json};

use super::stat::Stat;
use super::state::{MemberRow, ScannedFile};
use super::{Relation, Scan, ScanError};
use crate::photo::Digest;

/// A file of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The file itself.
    pub file: ScannedFile,
    /// To the group's medoid.
    pub relation: Relation,
    /// How sure the judge is, 0..=1; `None` where nothing was judged.
    pub confidence: Option<f32>,
    /// Cosine of the embeddings, -1..=1.
    pub score: Option<f32>,
    /// Whether it is the one that is worth keeping.
    pub keep: bool,
    /// Whether a link of the group leads to it: without the file, the link would lead nowhere.
    pub is_linked_to: bool,
}

/// Files that show the same picture, the medoid first.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// From 1, in the order of the medoids.
    pub number: u64,
    /// All of them, the medoid among them.
    pub members: Vec<Member>,
}

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

impl Group {
    /// The file that is worth keeping.
    #[must_use]
    pub fn kept(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.keep)
    }

    /// What the files hold that could go, in bytes.
    #[must_use]
    pub fn extra_bytes(&self) -> u64 {
        let extra = self.members.iter().filter(|member| member.could_go());
        extra.map(|member| u64::try_from(member.file.stat.size).unwrap_or(0)).sum()
    }

    /// One line of JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let members: Vec<Value> = self.members.iter().map(Member::to_json).collect();
        let (number, extra_bytes) = (self.number, self.extra_bytes());
        json!({"id": null, "kind": "group", "group": number, "extra_bytes": extra_bytes, "members": members})
    }
}

#[derive(Serialize)]
struct FileJson<'a> {
    name: &'a str,
    width_px: u32,
    height_px: u32,
    bytes: i64,
    modified: String,
    sharpness: f32,
    is_link: bool,
    photo_id: i64,
    byte_digest: String,
    pixel_digest: String,
}

impl ScannedFile {
    /// As a line of the output.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!(FileJson {
            name: &self.name,
            width_px: self.width_px,
            height_px: self.height_px,
            bytes: self.stat.size,
            modified: self.modified().to_string(),
            sharpness: self.sharpness,
            is_link: self.is_link,
            photo_id: self.photo_id.0,
            byte_digest: self.byte_digest.to_string(),
            pixel_digest: self.pixel_digest.to_string(),
        })
    }
}

impl Member {
    /// Whether it holds a copy that is not kept: a link and another name of one file hold none, and what links lead to has to
    /// stay.
    #[must_use]
    pub fn could_go(&self) -> bool {
        !(self.keep || self.file.is_link || self.is_linked_to || self.relation == Relation::SameFile)
    }

    fn to_json(&self) -> Value {
        let mut value = self.file.to_json();
        value["role"] = json!(if self.keep { "keep" } else { "extra" });
        value["relation"] = json!(self.relation);
        value["confidence"] = json!(self.confidence);
        value["score"] = json!(self.score);
        value
    }
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

/// Sharpness in steps of about a third: what compression adds or takes is no reason to prefer a file.
fn steps(sharpness: f32) -> f32 {
    (sharpness.max(0.1).ln() * 3.5).round()
}

/// Which of two files is worth keeping: no link, the most pixels, none that was edited, the sharpest, one that links lead to,
/// the oldest, and then by name. A stamp would make a picture sharper.
pub(super) fn worth(a: &Member, b: &Member) -> Ordering {
    let (one, other) = (&a.file, &b.file);
    one.is_link
        .cmp(&other.is_link)
        .then_with(|| other.pixels().cmp(&one.pixels()))
        .then_with(|| (a.relation > Relation::ReEncoded).cmp(&(b.relation > Relation::ReEncoded)))
        .then_with(|| steps(other.sharpness).total_cmp(&steps(one.sharpness)))
        .then_with(|| b.is_linked_to.cmp(&a.is_linked_to))
        .then_with(|| one.stat.mtime_ns.cmp(&other.stat.mtime_ns))
        .then_with(|| one.name.cmp(&other.name))
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
    for row in rows {
        let MemberRow { file, relation, confidence, score, .. } = row;
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
            Relation::of_word(&relation).unwrap_or(Relation::Edited)
        };
        members.push(Member { file, relation, confidence, score, keep: false, is_linked_to: false });
    }
    let targets: Vec<Stat> = members.iter().filter(|m| m.file.is_link).map(|m| m.file.stat).collect();
    for member in members.iter_mut().filter(|member| !member.file.is_link) {
        member.is_linked_to = targets.iter().any(|target| member.file.stat.is_same_file(target));
    }
    let best = (0..members.len()).min_by(|a, b| worth(&members[*a], &members[*b]));
    if let Some(best) = best {
        members[best].keep = true;
    }
    Group { number, members }
}
