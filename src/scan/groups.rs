//! From decisions to groups: who belongs together, and which one is worth keeping.

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

/// Files of so much less than another's bytes were compressed harder ...
const FEWER_BYTES: f32 = 0.6;
/// ... and those of so much less of its sharpness are blurrier: what compression adds in blocks and takes in detail is less.
const LESS_SHARP: f32 = 0.5;
/// Of far fewer bytes, sharpness is that of the blocks.
const FAR_FEWER_BYTES: f32 = 0.3;

/// Whether `a` is a worse copy than `b`, of as many pixels: one of the same format that was compressed harder, or a blurrier one. By
/// both, so that neither a blurred copy that was saved with care nor the blocks of a bad one pass for the better picture.
fn is_worse(a: &ScannedFile, b: &ScannedFile) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a comparison to a few parts in a hundred")]
    let bytes = a.stat.size as f32 / (b.stat.size as f32).max(1.0);
    let sharpness = a.sharpness.max(0.1) / b.sharpness.max(0.1);
    let compressed_harder = bytes < FEWER_BYTES && sharpness <= 1.0 / LESS_SHARP
        || bytes < FAR_FEWER_BYTES && sharpness <= 2.0 / LESS_SHARP;
    let blurrier = sharpness < LESS_SHARP && bytes <= 1.0 / FEWER_BYTES;
    is_same_format(a, b) && compressed_harder || blurrier
}

fn is_same_format(a: &ScannedFile, b: &ScannedFile) -> bool {
    let ending = |file: &ScannedFile| {
        let ending = file.path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if ending == "jpeg" { "jpg".to_owned() } else { ending }
    };
    ending(a) == ending(b)
}

/// Which of these files is worth keeping: no link, the most pixels, none that was edited (a stamp would make a picture sharper), none
/// that is a [worse](is_worse) copy, one that links lead to, the oldest, and then by name.
pub(super) fn most_worth<'m>(members: impl IntoIterator<Item = &'m Member>) -> Option<&'m Member> {
    let mut left: Vec<&Member> = members.into_iter().collect();
    let keep_if_any = |left: &mut Vec<&Member>, fits: &dyn Fn(&Member) -> bool| {
        if left.iter().any(|member| fits(member)) {
            left.retain(|member| fits(member));
        }
    };
    keep_if_any(&mut left, &|member| !member.file.is_link);
    let most_pixels = left.iter().map(|member| member.file.pixels()).max()?;
    keep_if_any(&mut left, &|member| member.file.pixels() == most_pixels);
    keep_if_any(&mut left, &|member| member.relation <= Relation::ReEncoded);
    let others = left.clone();
    keep_if_any(&mut left, &|member| !others.iter().any(|other| is_worse(&member.file, &other.file)));
    left.into_iter().min_by(|a, b| {
        let (one, other) = (&a.file, &b.file);
        b.is_linked_to
            .cmp(&a.is_linked_to)
            .then_with(|| one.stat.mtime_ns.cmp(&other.stat.mtime_ns))
            .then_with(|| one.name.cmp(&other.name))
    })
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
    let best = most_worth(&members).map(|best| best.file.path.clone());
    if let Some(best) = members.iter_mut().find(|member| Some(&member.file.path) == best.as_ref()) {
        best.keep = true;
    }
    Group { number, members }
}
