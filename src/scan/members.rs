//! A group and its files, and how they are told of.

use serde::Serialize;
use serde_json::{Value, json};

use super::Relation;
use super::state::ScannedFile;
use crate::photo::{Digest, Unseen};

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
    /// One picture of those of the group that it is a re-encoding of, by its pixels; its own where it is of none.
    pub whole: Digest,
    /// How many distinct pictures of the group are re-encodings of that one, itself among them.
    pub agreeing: u64,
    /// Whether no file of the group is sure to show all that it holds, so that [`plan`](super::plan) never lets it go.
    pub stays: bool,
}

/// Files that show the same picture, the medoid first.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// From 1, in the order of the medoids.
    pub number: u64,
    /// All of them, the medoid among them.
    pub members: Vec<Member>,
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
    unseen: Option<Unseen>,
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
            unseen: self.unseen,
        })
    }
}

impl Member {
    /// Whether it holds a copy that need not be kept: a link and another name of one file hold none, and what links lead to has
    /// to stay.
    #[must_use]
    pub fn could_go(&self) -> bool {
        let is_name_only = self.file.is_link || self.relation == Relation::SameFile;
        !(self.keep || self.stays || self.is_linked_to || is_name_only)
    }

    fn to_json(&self) -> Value {
        let mut value = self.file.to_json();
        value["role"] = json!(if self.keep { "keep" } else { "extra" });
        value["relation"] = json!(self.relation);
        value["confidence"] = json!(self.confidence);
        value["score"] = json!(self.score);
        value["could_go"] = json!(self.could_go());
        value
    }
}
