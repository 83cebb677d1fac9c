//! Is this archive a shard of samples, as webdataset writes them? There, files that are called alike up to the first dot
//! of their last part are one sample: `000017.jpg`, `000017.json`, `000017.cls`.

use std::collections::{HashMap, HashSet};

use super::archive::Member;
use super::fields::Fields;
use super::good::Row;
use super::names::{PICTURE_ENDINGS, plain};
use super::source::PictureSource;
use super::{Columns, InputError, MAX_ROW_BYTES, ReadProblem, RowProblem};

/// Endings of what is said of a picture beside it. A table (`csv`) beside a picture of its name is rather a list.
const SIDES: [&str; 6] = ["json", "txt", "cls", "caption", "id", "text"];

/// What is said of the pictures of an archive beside them.
#[derive(Debug, Default)]
pub(super) struct Samples {
    is_shard: bool,
    /// The files `.json`, by their samples; those alone are read, and only for a key.
    json: HashMap<String, Member>,
    columns: Columns,
}

/// The sample's name and the rest: `a/17.seg.png` is of the sample `a/17`.
fn sample_of(name: &str) -> (String, String) {
    let name = plain(name);
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[start..].find('.') {
        Some(dot) => (name[..start + dot].to_owned(), name[start + dot + 1..].to_ascii_lowercase()),
        None => (name, String::new()),
    }
}

fn is_picture(ending: &str) -> bool {
    let last = ending.rsplit('.').next().unwrap_or_default();
    PICTURE_ENDINGS.contains(&last)
}

fn fields_of(json: &Member) -> Result<Fields, InputError> {
    let wrong = |problem| RowProblem::SampleJson { name: json.name().to_owned(), problem };
    let bytes = match json.read(MAX_ROW_BYTES as u64) {
        Err(ReadProblem::TooLarge { limit_bytes, .. }) => {
            return Err(wrong(format!("more than {limit_bytes} bytes")).into());
        }
        read => read?,
    };
    Fields::from_json(String::from_utf8_lossy(&bytes).trim()).map_err(|problem| match problem {
        RowProblem::Json { problem } => wrong(problem).into(),
        _ => wrong("bytes that are no characters".to_owned()).into(),
    })
}

impl Samples {
    /// Takes what belongs to a picture out of `members`.
    pub(super) fn of(members: Vec<Member>, columns: &Columns) -> (Vec<Member>, Self) {
        let named: Vec<(String, String)> = members.iter().map(|member| sample_of(member.name())).collect();
        let with_picture: HashSet<&str> = named
            .iter()
            .filter(|(_, ending)| is_picture(ending))
            .map(|(sample, _)| sample.as_str())
            .collect();
        let is_side = |(sample, ending): &(String, String)| {
            SIDES.contains(&ending.as_str()) && with_picture.contains(sample.as_str())
        };
        let mut samples = Self { columns: columns.clone(), ..Self::default() };
        let mut pictures = Vec::with_capacity(members.len());
        for (member, name) in members.into_iter().zip(&named) {
            if is_side(name) {
                samples.is_shard = true;
                if name.1 == "json" {
                    samples.json.insert(name.0.clone(), member);
                }
            } else {
                pictures.push(member);
            }
        }
        (pictures, samples)
    }

    /// The sample's name, where the archive is a shard.
    pub(super) fn id_of(&self, name: &str) -> Option<String> {
        self.is_shard.then(|| sample_of(name).0)
    }

    pub(super) fn row(&self, member: Member) -> Result<Row, InputError> {
        let name = plain(member.name());
        let picture = PictureSource::Member(member);
        if !self.is_shard {
            return Ok(Row::of_picture(picture, name));
        }
        let (sample, _) = sample_of(&name);
        let mut key = None;
        if let (Some(column), Some(json)) = (&self.columns.key, self.json.get(&sample)) {
            key = fields_of(json)?.column(column);
        }
        Ok(Row { key, is_id_given: true, ..Row::of_picture(picture, sample) })
    }
}
