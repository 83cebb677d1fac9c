//! Is this archive a shard of samples, as webdataset writes them? There, files that are called alike up to the first dot
//! of their last part are one sample: `000017.jpg`, `000017.json`, `000017.cls`.

use std::collections::{HashMap, HashSet};

use super::archive::Member;
use super::fields::Fields;
use super::good::{Row, Wanted};
use super::names::{PICTURE_ENDINGS, plain};
use super::source::PictureSource;
use super::{Columns, InputError, Item, MAX_ROW_BYTES, ReadProblem, RowProblem};

/// Endings of what is said of a picture beside it. A table (`csv`) beside a picture of its name is rather a list.
const SIDES: [&str; 6] = ["json", "txt", "cls", "caption", "id", "text"];

/// What is said of the pictures of an archive beside them.
#[derive(Debug, Default)]
pub(super) struct Samples {
    is_shard: bool,
    /// Samples with several pictures, where an id is to name one of them. The sample is the key then.
    several: HashSet<String>,
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
        let (mut with_picture, mut several) = (HashMap::new(), HashSet::new());
        for (sample, ending) in named.iter().filter(|(_, ending)| is_picture(ending)) {
            let first = *with_picture.entry(sample.as_str()).or_insert(ending);
            if first != ending && columns.wanted == Wanted::PictureAlone {
                several.insert(sample.clone());
            }
        }
        let is_side = |(sample, ending): &(String, String)| {
            SIDES.contains(&ending.as_str()) && with_picture.contains_key(sample.as_str())
        };
        let mut samples = Self { several, columns: columns.clone(), ..Self::default() };
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

    pub(super) fn item(&self, member: Member) -> Item {
        let (place, name) = (member.name().to_owned(), plain(member.name()));
        if !self.is_shard {
            return Item::without_key(place, Ok(Row::of_picture(PictureSource::Member(member), name)));
        }
        let (sample, _) = sample_of(&name);
        let is_one_of_several = self.several.contains(&sample);
        let key = self.key(&sample);
        let known = key.as_ref().ok().cloned().flatten();
        let known = known.or_else(|| is_one_of_several.then(|| sample.clone()));
        let id = if is_one_of_several { name } else { sample };
        let plain = Row::of_picture(PictureSource::Member(member), id.clone());
        let row = key.map(|_| Row { key: known.clone(), is_id_given: true, ..plain });
        Item { place, id: Some(id), key: known, row }
    }

    /// What stands in the column of the key, if one was named.
    fn key(&self, sample: &str) -> Result<Option<String>, InputError> {
        match (&self.columns.key, self.json.get(sample)) {
            (Some(column), Some(json)) => Ok(fields_of(json)?.column(column)),
            _ => Ok(None),
        }
    }
}
