//! How does one get a manifest from a folder of pictures? Half of the goods become references; edits of all of them
//! become queries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::Deserialize;

use super::edits::{
    EDITS, Edit, Others, on_poster, printed, scaled_to, size_chart, small_on_ground, swapped,
};
use super::manifest::{LineProblem, ManifestLine, Negative, Role, rows};
use super::recolour::{Recolours, recoloured};
use super::{EvalError, for_each};
use crate::dice::Dice;
use crate::engine::Progress;
use crate::input::TABLE_PICTURE_NAMES;
use crate::photo::{Photo, PhotoError, PhotoLimits, encode_jpeg, read_bytes};

/// The file beside the pictures that says which of them show the same goods.
pub const LABELS: &str = "labels.ndjson";

/// Pictures are scaled to this long side, in pixels, before they are edited: shops show about that.
const MAX_SIDE_PX: u32 = 800;

/// JPEG quality of a picture that was only given another colour, or other goods.
const MADE_QUALITY: u8 = 88;

/// Edits of a picture in another colour: as many as in models/evaluate.py.
const RECOLOUR_EDITS: usize = 4;

/// Streams of dice, behind those of the edits.
const PRINT: usize = 100;
const SCENE: usize = 101;

/// What can be chosen about a collection.
#[derive(Clone, Copy, Debug)]
pub struct MakeOptions {
    /// The same pictures and seed give the same files, byte for byte, on the same machine.
    pub seed: u64,
    /// Use at most this many pictures, picked by the seed; families stay whole.
    pub limit: Option<usize>,
    /// Which recoloured pictures are made.
    pub recolours: Recolours,
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// The file that names all pictures.
    pub manifest: PathBuf,
    /// Pictures to be stored.
    pub references: usize,
    /// Pictures to be searched for.
    pub queries: usize,
    /// Pictures that could not be read.
    pub unreadable: Vec<UnreadablePicture>,
}

/// A picture of the folder that could not be read.
#[derive(Debug)]
pub struct UnreadablePicture {
    /// Where it is.
    pub path: PathBuf,
    /// Why not.
    pub error: PhotoError,
}

impl fmt::Display for UnreadablePicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            // They name the file themselves.
            PhotoError::FileTooLarge { .. } | PhotoError::NotAFile { .. } | PhotoError::Io { .. } => {}
            _ => write!(f, "{}: ", self.path.display())?,
        }
        self.error.fmt(f)
    }
}

/// The fields of a [`Label`] and the columns that mean them.
const LABEL_FIELDS: &[(&str, &[&str])] =
    &[("file", TABLE_PICTURE_NAMES), ("item", &["item"]), ("family", &["family"])];

/// A line of the label file.
#[derive(Debug, Deserialize)]
struct Label {
    /// Relative to the folder, with `/` between folders.
    file: String,
    item: String,
    /// Items of one family are variants of one another.
    family: Option<String>,
}

/// Why a label cannot be used. A wrong label makes every later number wrong, so nothing is made then.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum LabelProblem {
    #[error("{}; a line is like {{\"file\":\"a.jpg\",\"item\":\"A-red\",\"family\":\"A\"}}", without_example(.0))]
    Json(Box<LineProblem>),
    #[error("field {field:?} means nothing here; the fields are file, item and family")]
    Unknown { field: String },
    #[error("there is no picture {file:?} in the folder")]
    NoSuchPicture { file: String },
    #[error("the picture {file:?} was labelled before")]
    Twice { file: String },
    #[error("the item {item:?} is in the families {first:?} and {second:?}")]
    TwoFamilies { item: String, first: String, second: String },
}

/// What is wrong, without what a line of a manifest is like.
fn without_example(problem: &LineProblem) -> String {
    match problem {
        LineProblem::Json(error) => error.to_string(),
        other => other.to_string(),
    }
}

impl From<Box<LineProblem>> for LabelProblem {
    fn from(problem: Box<LineProblem>) -> Self {
        Self::Json(problem)
    }
}

/// A picture of the folder and what it is used for.
#[derive(Clone)]
struct Source {
    path: PathBuf,
    /// Names its files, and seeds its edits.
    number: usize,
    item: String,
    /// Items of one family are variants of one another.
    family: usize,
    stored: bool,
    /// Not stored itself, but another of its family is.
    is_variant: bool,
}

/// Makes a manifest and its pictures in the folder `out`, which must be empty or not exist, from `pictures` below
/// `folder`. Edits are those of models/edits.py and more; a stored picture in another colour, one that no stored
/// variant of it has, is a query that must not be answered, nor one with another print or other goods in its middle,
/// nor what has its ground, its poster or its layout. Without `labels.ndjson` in `folder`, or for a picture that it
/// does not name, a picture is an item of its own.
///
/// # Errors
/// [`EvalError`] when a label is wrong, most pictures cannot be read, or files cannot be written.
pub fn make(
    folder: &Path,
    pictures: &[PathBuf],
    out: &Path,
    options: MakeOptions,
    progress: &dyn Progress,
) -> Result<Made, EvalError> {
    if fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(EvalError::NotEmpty { path: out.to_path_buf() });
    }
    let families = families(folder, pictures)?;
    let sources = share_out(families, options);
    if sources.len() < 2 {
        return Err(EvalError::TooFewPictures { path: folder.to_path_buf() });
    }
    for part in ["references", "queries"] {
        let part = out.join(part);
        fs::create_dir_all(&part).map_err(|source| EvalError::Write { path: part.clone(), source })?;
    }
    let others = Unseen(sources.iter().filter(|s| !s.stored && !s.is_variant).cloned().collect());
    let mut stored_of = HashMap::<usize, Vec<Source>>::new();
    for source in sources.iter().filter(|source| source.stored) {
        stored_of.entry(source.family).or_default().push(source.clone());
    }
    let workshop = Workshop { out, options, others: &others, stored_of: &stored_of };
    let work = |source: Source| workshop.make(&source);
    let (mut lines, mut unreadable) = (Vec::new(), Vec::new());
    let total = sources.len();
    for result in for_each(sources, "making", progress, work) {
        match result {
            Ok(made) => lines.extend(made),
            Err(Failure::Picture(error)) => unreadable.push(error),
            Err(Failure::Write(error)) => return Err(error),
        }
    }
    if let (true, Some(first)) = (unreadable.len() * 2 > total, unreadable.first()) {
        let first = first.to_string();
        return Err(EvalError::MostlyUnreadable { bad: unreadable.len(), pictures: total, first });
    }
    lines.sort_by_key(|line| line.role == Role::Query);
    // Last: where there is a manifest, its pictures are complete.
    let manifest = out.join("manifest.ndjson");
    let text: String = lines
        .iter()
        .filter_map(|line| serde_json::to_string(line).ok())
        .fold(String::new(), |text, line| text + &line + "\n");
    fs::write(&manifest, text).map_err(|source| EvalError::Write { path: manifest.clone(), source })?;
    let references = lines.iter().filter(|line| line.role == Role::Reference).count();
    Ok(Made { manifest, references, queries: lines.len() - references, unreadable })
}

/// The most that [`make`] makes of some pictures: those of which colours cannot be changed give less.
pub(super) struct MostQueries {
    /// Pictures to be stored.
    pub(super) stored: u64,
    /// Queries that no stored picture is like.
    pub(super) unseen: usize,
    /// Queries that must not be answered with the stored pictures they are like.
    pub(super) look_alikes: usize,
}

/// Counts without looking at a picture.
pub(super) fn most_queries(
    folder: &Path,
    pictures: &[PathBuf],
    options: MakeOptions,
) -> Result<MostQueries, EvalError> {
    let sources = share_out(families(folder, pictures)?, options);
    let stored = sources.iter().filter(|source| source.stored).count();
    let variants = sources.iter().filter(|source| source.is_variant).count();
    // Another colour, other goods twice, another print, another scene.
    let of_each = (1 + RECOLOUR_EDITS) + 2 + 1 + 1;
    Ok(MostQueries {
        // Each is stored once more as a scene.
        stored: 2 * stored as u64,
        unseen: (sources.len() - stored - variants) * EDITS.len(),
        look_alikes: stored * of_each + variants * EDITS.len(),
    })
}

/// The pictures of each item of each family; everything sorted.
type Families = BTreeMap<String, BTreeMap<String, Vec<PathBuf>>>;

fn families(folder: &Path, pictures: &[PathBuf]) -> Result<Families, EvalError> {
    let path = folder.join(LABELS);
    let mut labels: HashMap<String, (String, String)> = HashMap::new();
    let mut family_of: HashMap<String, String> = HashMap::new();
    let names: HashMap<String, &PathBuf> = pictures.iter().map(|p| (name_in(folder, p), p)).collect();
    let mut unknown = BTreeSet::new();
    let labelled = if path.exists() { rows::<Label>(&path, LABEL_FIELDS, &mut unknown)? } else { Vec::new() };
    for (line, parsed) in labelled {
        let wrong = |problem| EvalError::Label { path: path.clone(), line, problem };
        let Label { file, item, family } = parsed.map_err(|e| wrong(Box::new(e).into()))?;
        // A mistyped "family" would make variants of one good look like goods of their own.
        if let Some(field) = unknown.first().cloned() {
            return Err(wrong(LabelProblem::Unknown { field }));
        }
        let family = family.unwrap_or_else(|| item.clone());
        let first = family_of.entry(item.clone()).or_insert_with(|| family.clone());
        if *first != family {
            let first = first.clone();
            return Err(wrong(LabelProblem::TwoFamilies { item, first, second: family }));
        }
        if !names.contains_key(&file) {
            return Err(wrong(LabelProblem::NoSuchPicture { file }));
        }
        if labels.insert(file.clone(), (item, family)).is_some() {
            return Err(wrong(LabelProblem::Twice { file }));
        }
    }
    let mut families = Families::new();
    for picture in pictures {
        let name = name_in(folder, picture);
        let (item, family) = labels.remove(&name).unwrap_or_else(|| (name.clone(), name));
        families.entry(family).or_default().entry(item).or_default().push(picture.clone());
    }
    Ok(families)
}

/// The path below the folder, with `/` between folders on every system.
fn name_in(folder: &Path, picture: &Path) -> String {
    let parts = picture.strip_prefix(folder).unwrap_or(picture).iter();
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Picks families by lot. Of those with one item every second is stored; of the others half of the items, at least
/// one.
fn share_out(families: Families, options: MakeOptions) -> Vec<Source> {
    let mut dice = Dice::of(&[options.seed, 0]);
    let mut order: Vec<_> = families.into_values().collect();
    dice.shuffle(&mut order);
    let mut left = options.limit.unwrap_or(usize::MAX);
    let mut sources = Vec::new();
    let mut singles = 0_usize;
    for (number_of_family, family) in order.into_iter().enumerate() {
        let size: usize = family.values().map(Vec::len).sum();
        if size > left {
            continue;
        }
        left -= size;
        let mut items: Vec<_> = family.into_iter().collect();
        dice.shuffle(&mut items);
        let many = items.len() > 1;
        let stored_items = if many { items.len().div_ceil(2) } else { (singles + 1) % 2 };
        singles += usize::from(!many);
        for (i, (item, pictures)) in items.into_iter().enumerate() {
            let stored = i < stored_items;
            for path in pictures {
                let (number, is_variant) = (sources.len(), many && !stored);
                sources.push(Source {
                    path,
                    number,
                    item: item.clone(),
                    family: number_of_family,
                    stored,
                    is_variant,
                });
            }
        }
    }
    sources
}

/// Pictures that are not stored, nor any of their family.
struct Unseen(Vec<Source>);

impl Others for Unseen {
    fn another(&self, dice: &mut Dice) -> RgbImage {
        let chosen = self.0.get(dice.below(self.0.len()));
        let read = chosen.and_then(|source| read(&source.path).ok());
        // A grey square where there is none that can be read.
        read.map_or_else(|| RgbImage::from_pixel(64, 64, image::Rgb([200; 3])), |(_, picture)| picture)
    }
}

fn read(path: &Path) -> Result<(Vec<u8>, RgbImage), PhotoError> {
    let bytes = read_bytes(path, &PhotoLimits::default())?;
    let picture = Photo::decode(&bytes, &PhotoLimits::default())?.into_image();
    let large = picture.width().max(picture.height()) > MAX_SIDE_PX;
    let picture = if large { scaled_to(&picture, MAX_SIDE_PX) } else { picture };
    Ok((bytes, picture))
}

enum Failure {
    Picture(UnreadablePicture),
    Write(EvalError),
}

struct Workshop<'a> {
    out: &'a Path,
    options: MakeOptions,
    others: &'a Unseen,
    /// What is stored of each family.
    stored_of: &'a HashMap<usize, Vec<Source>>,
}

impl Workshop<'_> {
    /// Writes everything that is made of one picture. What it becomes depends on the seed and its number only, not on
    /// the timing of threads.
    fn make(&self, source: &Source) -> Result<Vec<ManifestLine>, Failure> {
        let Source { number, stored, .. } = *source;
        let unreadable = |error| UnreadablePicture { path: source.path.clone(), error };
        let (bytes, picture) = read(&source.path).map_err(|error| Failure::Picture(unreadable(error)))?;
        let query = |path: String, edit: Option<&Edit>, item, negative| ManifestLine {
            path,
            role: Role::Query,
            item,
            edit: edit.map(|edit| edit.name.to_owned()),
            negative,
            made_of: Some(format!("{number:05}")),
        };
        let mut lines = Vec::new();
        if stored {
            let ending = source.path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
            let path = format!("references/{number:05}.{ending}");
            self.write(&path, &bytes)?;
            let item = Some(source.item.clone());
            lines.push(ManifestLine {
                path,
                role: Role::Reference,
                item,
                edit: None,
                negative: None,
                made_of: None,
            });
        }
        let negative = source.is_variant.then_some(Negative::Variant);
        for (stream, edit) in EDITS.iter().enumerate() {
            let path = format!("queries/{number:05}-{}.jpg", edit.name);
            self.write(&path, &self.edited(&picture, edit, number, stream))?;
            lines.push(query(path, Some(edit), Some(source.item.clone()), negative));
        }
        let mut dice = self.dice(number, EDITS.len());
        let other = || recoloured(&picture, self.options.recolours, &mut dice, &self.stored_variants(source));
        if let Some(other) = stored.then(other).flatten() {
            // Once as it is, then under some of the edits.
            let path = format!("queries/{number:05}-recolour.jpg");
            self.write(&path, &jpeg(&other, MADE_QUALITY))?;
            lines.push(query(path, None, None, Some(Negative::Recolour)));
            let mut streams: Vec<usize> = (0..EDITS.len()).collect();
            dice.shuffle(&mut streams);
            for &stream in &streams[..RECOLOUR_EDITS] {
                let edit = &EDITS[stream];
                let path = format!("queries/{number:05}-recolour-{}.jpg", edit.name);
                self.write(&path, &self.edited(&other, edit, number, EDITS.len() + 1 + stream))?;
                lines.push(query(path, Some(edit), None, Some(Negative::Recolour)));
            }
        }
        if stored {
            // Once as it is, then under one of the edits.
            let mut dice = self.dice(number, 2 * EDITS.len() + 1);
            let other = swapped(&picture, &mut dice, self.others);
            let path = format!("queries/{number:05}-swap.jpg");
            self.write(&path, &jpeg(&other, MADE_QUALITY))?;
            lines.push(query(path, None, None, Some(Negative::Swap)));
            let edit = &EDITS[dice.below(EDITS.len())];
            let path = format!("queries/{number:05}-swap-{}.jpg", edit.name);
            self.write(&path, &self.edited(&other, edit, number, 2 * EDITS.len() + 2))?;
            lines.push(query(path, Some(edit), None, Some(Negative::Swap)));
            let other = printed(&picture, &mut self.dice(number, PRINT), self.others);
            let path = format!("queries/{number:05}-print.jpg");
            self.write(&path, &jpeg(&other, MADE_QUALITY))?;
            lines.push(query(path, None, None, Some(Negative::Print)));
            self.make_scene(source, &picture, &mut lines)?;
        }
        Ok(lines)
    }

    /// The stored pictures of the family that show it in other colours.
    fn stored_variants(&self, source: &Source) -> Vec<RgbImage> {
        let family = self.stored_of.get(&source.family).into_iter().flatten();
        let variants = family.filter(|other| other.item != source.item);
        // What cannot be read is told when its own turn comes.
        variants.filter_map(|other| read(&other.path).ok()).map(|(_, picture)| picture).collect()
    }

    /// Of a stored picture, by turns: a small one on a plain ground, a poster, a size chart. Each becomes a reference with
    /// an edit of it as a query, and a query that has all of it but the goods or the words.
    fn make_scene(
        &self,
        source: &Source,
        picture: &RgbImage,
        lines: &mut Vec<ManifestLine>,
    ) -> Result<(), Failure> {
        let number = source.number;
        let other = self.others.another(&mut self.dice(number, SCENE));
        let dice = || self.dice(number, SCENE + 1);
        let (negative, stored, asked) = match number % 3 {
            0 => {
                (Negative::Small, small_on_ground(picture, &mut dice()), small_on_ground(&other, &mut dice()))
            }
            1 => (
                Negative::Poster,
                on_poster(picture, &mut dice(), self.others),
                on_poster(&other, &mut dice(), self.others),
            ),
            _ => {
                let chart = |words| size_chart(&mut dice(), &mut self.dice(number, words));
                (Negative::Words, chart(SCENE + 2), chart(SCENE + 3))
            }
        };
        // A chart is a thing of its own; the others show the goods.
        let is_chart = negative == Negative::Words;
        let item = if is_chart { format!("{}-{negative}", source.item) } else { source.item.clone() };
        let made_of = Some(format!("{number:05}"));
        let path = format!("references/{number:05}-{negative}.jpg");
        self.write(&path, &jpeg(&stored, MADE_QUALITY))?;
        let line = ManifestLine {
            path,
            role: Role::Reference,
            item: Some(item.clone()),
            edit: None,
            negative: None,
            made_of: None,
        };
        lines.push(line.clone());
        let mut dice = self.dice(number, SCENE + 4);
        let stream = dice.below(EDITS.len());
        let edit = &EDITS[stream];
        let path = format!("queries/{number:05}-{negative}-{}.jpg", edit.name);
        self.write(&path, &self.edited(&stored, edit, number, SCENE + 5))?;
        let query = ManifestLine { role: Role::Query, made_of, ..line };
        lines.push(ManifestLine { path, edit: Some(edit.name.to_owned()), ..query.clone() });
        let path = format!("queries/{number:05}-other-{negative}.jpg");
        self.write(&path, &jpeg(&asked, MADE_QUALITY))?;
        lines.push(ManifestLine { path, item: None, negative: Some(negative), ..query });
        Ok(())
    }

    /// The encoded result. Every edit of every picture has a stream of dice of its own.
    fn edited(&self, picture: &RgbImage, edit: &Edit, number: usize, stream: usize) -> Vec<u8> {
        let mut dice = self.dice(number, stream);
        let edited = edit.apply(picture, &mut dice, self.others);
        jpeg(&edited, edit.quality(&mut dice))
    }

    fn dice(&self, number: usize, stream: usize) -> Dice {
        Dice::of(&[self.options.seed, 1, number as u64, stream as u64])
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.out.join(path);
        fs::write(&path, bytes).map_err(|source| Failure::Write(EvalError::Write { path, source }))
    }
}

/// Encodes `picture`, which is small enough.
pub(super) fn jpeg(picture: &RgbImage, quality: u8) -> Vec<u8> {
    let encoded = encode_jpeg(picture, quality);
    debug_assert!(encoded.is_ok(), "{encoded:?}");
    encoded.unwrap_or_default()
}
