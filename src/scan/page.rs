//! One page to look at the groups: pictures side by side, what differs marked, and buttons for a person's word. It loads
//! nothing and sends nothing; every text in it that comes from outside is escaped, and no other script than its own may
//! run in it, whatever a file is called.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use image::imageops::{FilterType, resize};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::reading::read_again;
use super::state::ScannedFile;
use super::{Group, LookAlike, Relation, Scan, ScanError};
use crate::difference::pair_marks;
use crate::photo::{Digest, Photo, encode_jpeg};
use crate::plot::{escaped, histogram, in_page};
use crate::printable::field;
use crate::temporary::NewFile;
use crate::verify::{Doubt, Probe, SketchedCandidate, placed};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The longer side of a picture on the page.
const THUMBNAIL_PX: u32 = 240;
const THUMBNAIL_QUALITY: u8 = 78;
/// Pairs that are shown of one group, and lines of its table.
const PAIRS_OF_GROUP: usize = 8;
const LINES_OF_GROUP: usize = 40;
/// Values in a histogram; more tell no more.
const MOST_VALUES: usize = 200_000;
/// Pairs that are drawn at the same time.
const DRAWN_TOGETHER: usize = 32;

/// How large a page may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageOptions {
    /// At most so many distinct pictures are on it, and at most as many groups without one, of which all files show the same
    /// pixels. A picture takes some 12 kB.
    pub pictures: usize,
}

impl Default for PageOptions {
    fn default() -> Self {
        Self { pictures: 600 }
    }
}

/// A pair to be drawn.
struct Pair {
    one: ScannedFile,
    other: ScannedFile,
    /// A relation or a doubt.
    kind: String,
    confidence: Option<f32>,
    score: Option<f32>,
}

/// A pair as it is drawn: the thumbnails, their marks, the share that differs.
struct Drawn {
    one: Thumbnail,
    other: Thumbnail,
    marks: Option<([String; 2], f32)>,
}

struct Thumbnail {
    width: u32,
    height: u32,
    jpeg: Vec<u8>,
}

/// A card of the page: a group, or a pair that is none.
struct Card {
    group: Option<Group>,
    pairs: Vec<Pair>,
    /// Pairs that there was no room for.
    left_out: usize,
}

/// The distinct pictures on the page.
struct Shown {
    /// How many more may come.
    room: usize,
    pictures: HashSet<Digest>,
}

impl Shown {
    /// Whether there is room for a pair, which then is on the page.
    fn admits(&mut self, pair: &Pair) -> bool {
        let [one, other] = [pair.one.pixel_digest, pair.other.pixel_digest];
        let is_new = |digest: &Digest| !self.pictures.contains(digest);
        let new = usize::from(is_new(&one)) + usize::from(one != other && is_new(&other));
        let fits = new <= self.room;
        if fits {
            self.room -= new;
            self.pictures.extend([one, other]);
        }
        fits
    }
}

/// Writes the page to `path`: at first beside it, so that a page that was there stays whole until this one is.
///
/// # Errors
/// [`ScanError`] when the page cannot be written, or the scan's home cannot be read.
pub fn write_page(scan: &mut Scan, path: &Path, options: PageOptions) -> Result<(), ScanError> {
    let failed = |reason| ScanError::Write { path: path.to_path_buf(), reason };
    let mut new = NewFile::new(path).map_err(failed)?;
    let (mut sure, mut near) = (Vec::new(), Vec::new());
    let mut note = |confidence: Option<f32>, score: Option<f32>| {
        if sure.len() < MOST_VALUES {
            sure.extend(confidence.map(f64::from));
            near.extend(score.map(f64::from));
        }
    };
    // Look-alikes, which need a person, have up to half of the page; groups of equal pictures alone come last.
    let look_alikes = usize::try_from(scan.summary.look_alikes).unwrap_or(usize::MAX);
    let reserved = look_alikes.saturating_mul(2).min(options.pictures / 2);
    let mut shown = Shown { room: options.pictures - reserved, pictures: HashSet::new() };
    let (mut cards, mut equal, mut hidden) = (Vec::new(), Vec::new(), 0_u64);
    scan.each_group(&mut |group| {
        group.members.iter().for_each(|member| note(member.confidence, member.score));
        let mut pairs = pairs_of(group);
        let of_group = pairs.len();
        if pairs.is_empty() && equal.len() < options.pictures {
            equal.push(Card { group: Some(group.clone()), pairs, left_out: 0 });
            return Ok(());
        }
        pairs.truncate(PAIRS_OF_GROUP);
        let fit = pairs.iter().take_while(|pair| shown.admits(pair)).count();
        pairs.truncate(fit);
        if pairs.is_empty() {
            hidden += 1;
        } else {
            let left_out = of_group - pairs.len();
            cards.push(Card { group: Some(group.clone()), pairs, left_out });
        }
        Ok(())
    })?;
    shown.room += reserved;
    scan.each_look_alike(&mut |pair| {
        note(pair.confidence.filter(|_| pair.why != "other_variant"), Some(pair.score));
        let pair = pair_of(pair);
        if shown.admits(&pair) {
            cards.push(Card { group: None, pairs: vec![pair], left_out: 0 });
        } else {
            hidden += 1;
        }
        Ok(())
    })?;
    cards.append(&mut equal);
    let threshold = f64::from(scan.engine.operating_point()?.confidence);
    let plots = [
        in_page(
            &histogram("Confidence · 置信度", &sure, (0.0, 1.0), 40, Some((threshold, "threshold · 阈值"))),
            "Confidence of the pairs",
        ),
        in_page(&histogram("Similarity · 相似度", &near, (0.0, 1.0), 40, None), "Similarity of the pairs"),
    ];
    let mut out = BufWriter::new(new.file());
    write_head(&mut out, scan, &plots, hidden).map_err(failed)?;
    let mut classes = Classes::default();
    for some in cards.chunks(DRAWN_TOGETHER) {
        let drawn: Vec<Vec<Option<Drawn>>> = some
            .iter()
            .map(|card| {
                let with_sketch: Vec<_> = card
                    .pairs
                    .iter()
                    .map(|pair| Ok((pair, scan.engine.stored_sketch(pair.one.photo_id)?)))
                    .collect::<Result<_, ScanError>>()?;
                let (folder, limits) = (scan.folder.as_path(), &scan.limits);
                Ok(with_sketch
                    .par_iter()
                    .map(|(pair, sketch)| draw(folder, limits, pair, sketch.as_ref()))
                    .collect())
            })
            .collect::<Result<_, ScanError>>()?;
        for (card, drawn) in some.iter().zip(drawn) {
            write_card(&mut out, card, &drawn, &mut classes).map_err(failed)?;
        }
    }
    writeln!(out, "</main><script>{SCRIPT}</script></body></html>").map_err(failed)?;
    out.flush().map_err(failed)?;
    drop(out);
    new.finish().map_err(failed)
}

/// The pairs of a group that are worth drawing: of pictures that are equal there is nothing to see.
fn pairs_of(group: &Group) -> Vec<Pair> {
    let Some(medoid) = group.members.first() else { return Vec::new() };
    let mut pairs: Vec<Pair> = Vec::new();
    for member in &group.members {
        let is_equal = member.file.pixel_digest == medoid.file.pixel_digest;
        let is_drawn = pairs.iter().any(|pair| pair.other.pixel_digest == member.file.pixel_digest);
        if !is_equal && !is_drawn && member.relation != Relation::SameFile {
            pairs.push(Pair {
                one: medoid.file.clone(),
                other: member.file.clone(),
                kind: member.relation.word().to_owned(),
                confidence: member.confidence,
                score: member.score,
            });
        }
    }
    // Those of which it was least sure first: they are worth a look.
    pairs.sort_by(|a, b| a.confidence.unwrap_or(0.0).total_cmp(&b.confidence.unwrap_or(0.0)));
    pairs
}

fn pair_of(pair: &LookAlike) -> Pair {
    let LookAlike { one, other, why, confidence, score } = pair.clone();
    Pair { one, other, kind: why, confidence, score: Some(score) }
}

fn draw(
    folder: &Path,
    limits: &crate::photo::PhotoLimits,
    pair: &Pair,
    sketch: Option<&crate::verify::Sketch>,
) -> Option<Drawn> {
    let open = |file: &ScannedFile| {
        let bytes = read_again(folder, &file.path, file.byte_digest, limits)?;
        Some(Photo::decode(&bytes, limits).ok()?.into_image())
    };
    let (one, other) = (open(&pair.one)?, open(&pair.other)?);
    let way = sketch.and_then(|sketch| {
        let probe = Probe::of(&other).ok()?;
        Some(placed(&probe, &SketchedCandidate { sketch, cosine: pair.score.unwrap_or(1.0) })?.0)
    });
    let (one, other) = (scaled(&one), scaled(&other));
    let marks = way.and_then(|way| {
        let marks = pair_marks(&one, &other, &way)?;
        Some((marks.overlays.map(|png| STANDARD.encode(png)), marks.share))
    });
    Some(Drawn { one: thumbnail(&one), other: thumbnail(&other), marks })
}

fn scaled(picture: &RgbImage) -> RgbImage {
    let long = picture.width().max(picture.height());
    if long <= THUMBNAIL_PX {
        return picture.clone();
    }
    let side = |px: u32| (px * THUMBNAIL_PX / long).max(1);
    resize(picture, side(picture.width()), side(picture.height()), FilterType::Triangle)
}

fn thumbnail(picture: &RgbImage) -> Thumbnail {
    let encoded = encode_jpeg(picture, THUMBNAIL_QUALITY);
    debug_assert!(encoded.is_ok(), "it is small enough");
    let jpeg = encoded.unwrap_or_default();
    Thumbnail { width: picture.width(), height: picture.height(), jpeg }
}

/// Pictures that are on the page already, by their pixels: each is there once.
#[derive(Default)]
struct Classes(HashMap<Digest, usize>);

/// A text in both languages of the page.
fn both(en: &str, zh: &str) -> String {
    format!("<span lang=\"en\">{en}</span><span lang=\"zh\">{zh}</span>")
}

/// A relation or doubt for people.
fn words(kind: &str) -> String {
    let doubt = || Doubt::of_code(kind).unwrap_or(Doubt::Uncertain).in_words();
    in_both(Relation::of_word(kind).map_or_else(doubt, Relation::in_words))
}

fn in_both((en, zh): (&str, &str)) -> String {
    both(en, zh)
}

fn name_of(file: &ScannedFile) -> String {
    escaped(&field(&file.name).to_string())
}

fn write_head(out: &mut impl Write, scan: &Scan, plots: &[String; 2], hidden: u64) -> io::Result<()> {
    let digest = STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()));
    let folder = escaped(&field(scan.folder.display()).to_string());
    let page = Digest::of(scan.folder.as_os_str().as_encoded_bytes()).to_string();
    let summary = &scan.summary;
    write!(
        out,
        "<!doctype html><html lang=\"en\" data-lang=\"en\" data-marks=\"on\" data-page=\"{}\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
         script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>Tongkuan: {folder}</title>\
         <style>{STYLE}</style></head><body><h1>{}</h1><p class=\"soft name\">{folder} · {}</p><div class=\"tiles\">",
        &page[..16],
        both("Pictures that are the same", "相同的图片"),
        escaped(&scan.engine.now().to_string()),
    )?;
    let megabytes = |bytes: u64| format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000);
    for (value, en, zh) in [
        (summary.files.to_string(), "pictures", "图片"),
        (summary.groups.to_string(), "groups", "组"),
        (summary.extra_files.to_string(), "could go", "可移除"),
        (megabytes(summary.extra_bytes), "in them", "占用"),
        (summary.look_alikes.to_string(), "look-alikes", "相似待看"),
        (summary.failed.to_string(), "failed", "失败"),
    ] {
        write!(out, "<div class=\"tile\"><b>{value}</b>{}</div>", both(en, zh))?;
    }
    write!(out, "</div><div class=\"plots\">{}{}</div>", plots[0], plots[1])?;
    write_controls(out)?;
    if hidden > 0 {
        write!(
            out,
            "<p class=\"soft\">{}</p>",
            both(
                &format!(
                    "{hidden} more groups and pairs had no room on this page; they are in the other forms of output."
                ),
                &format!("另有 {hidden} 组未在此页显示；其他输出格式中包含全部内容。")
            )
        )?;
    }
    write!(out, "<main>")
}

fn write_controls(out: &mut impl Write) -> io::Result<()> {
    write!(out, "<div class=\"bar\"><label>{} <select id=\"kind\">", both("Show", "显示"))?;
    for (value, text) in [
        ("all", "all · 全部"),
        ("open", "undecided · 未判定"),
        ("said", "decided · 已判定"),
        ("edited", "edited · 经过编辑"),
        ("re_encoded", "re-encoded · 重新压缩"),
        ("other_variant", "other colour or print · 不同颜色或图案"),
        ("uncertain", "not sure · 不够确定"),
    ] {
        write!(out, "<option value=\"{value}\">{text}</option>")?;
    }
    write!(
        out,
        "</select></label><label>{} <input id=\"text\" type=\"search\" autocomplete=\"off\"></label>\
         <button id=\"marks\" type=\"button\">{} <kbd>m</kbd></button>\
         <button id=\"write\" type=\"button\">{} (<span id=\"count\">0</span>) <kbd>w</kbd></button>\
         <button id=\"lang\" type=\"button\">中文/EN <kbd>l</kbd></button>\
         <button id=\"theme\" type=\"button\">◐ <kbd>t</kbd></button></div><p class=\"soft\">{}</p>",
        both("Name", "文件名"),
        both("Marks", "标记"),
        both("Save verdicts", "保存判定"),
        both(
            "<kbd>j</kbd>/<kbd>k</kbd> next and previous pair, <kbd>s</kbd> same, <kbd>d</kbd> not the same, <kbd>u</kbd> \
             undecided, <kbd>/</kbd> search. Red is what differs, hatched what only one of the two shows. The saved file is read \
             by <code>tongkuan verdicts import --scan DIR verdicts.ndjson</code>; the next scan keeps to it.",
            "<kbd>j</kbd>/<kbd>k</kbd> 下一对/上一对，<kbd>s</kbd> 相同，<kbd>d</kbd> 不同，<kbd>u</kbd> 撤销，<kbd>/</kbd> 搜索。\
             红色为差异之处，斜纹为仅一方可见的部分。保存的文件用 <code>tongkuan verdicts import --scan DIR verdicts.ndjson</code> \
             导入，下次扫描将遵从判定。"
        )
    )
}

fn write_card(
    out: &mut impl Write,
    card: &Card,
    drawn: &[Option<Drawn>],
    classes: &mut Classes,
) -> io::Result<()> {
    let mut names = String::new();
    for pair in &card.pairs {
        let _ = write!(names, "{} {} ", name_of(&pair.one), name_of(&pair.other));
    }
    for member in card.group.iter().flat_map(|group| group.members.iter().take(LINES_OF_GROUP)) {
        let _ = write!(names, "{} ", name_of(&member.file));
    }
    // Before the card: a picture is a class of the style, so that it is there once however often it is shown.
    let mut styles = String::new();
    for (pair, drawn) in card.pairs.iter().zip(drawn) {
        let Some(drawn) = drawn else { continue };
        for (file, thumbnail) in [(&pair.one, &drawn.one), (&pair.other, &drawn.other)] {
            let next = classes.0.len();
            if let std::collections::hash_map::Entry::Vacant(vacant) = classes.0.entry(file.pixel_digest) {
                vacant.insert(next);
                let (width, height) = (thumbnail.width, thumbnail.height);
                let long = width.max(height);
                let _ = write!(
                    styles,
                    ".t{next}{{background-image:url(data:image/jpeg;base64,{});width:{}%;height:{}%}}",
                    STANDARD.encode(&thumbnail.jpeg),
                    width * 100 / long,
                    height * 100 / long
                );
            }
        }
    }
    write!(out, "<style>{styles}</style><section class=\"card\" data-names=\"{names}\">")?;
    if let Some(group) = &card.group {
        write_group(out, group)?;
    }
    write!(out, "<div class=\"pairs\">")?;
    for (pair, drawn) in card.pairs.iter().zip(drawn) {
        write_pair(out, pair, drawn.as_ref(), classes)?;
    }
    write!(out, "</div>")?;
    if card.left_out > 0 {
        let text = both(
            &format!("{} more of this group are not drawn.", card.left_out),
            &format!("本组另有 {} 张未绘出。", card.left_out),
        );
        write!(out, "<p class=\"soft\">{text}</p>")?;
    }
    write!(out, "</section>")
}

fn write_group(out: &mut impl Write, group: &Group) -> io::Result<()> {
    write!(out, "<h2>{} {}</h2><table class=\"files\">", both("Group", "组"), group.number)?;
    for member in group.members.iter().take(LINES_OF_GROUP) {
        let file = &member.file;
        write!(
            out,
            "<tr><td class=\"name\">{}</td><td>{}{}</td><td class=\"num\">{}×{}</td><td class=\"num\">{} kB</td>\
             <td class=\"num\">{}</td></tr>",
            name_of(file),
            if member.keep {
                format!("<span class=\"keep\">{}</span> · ", both("keep", "保留"))
            } else {
                String::new()
            },
            [in_both(member.relation.in_words())]
                .into_iter()
                .chain(file.unseen.map(|unseen| in_both(unseen.in_words())))
                .collect::<Vec<_>>()
                .join(" · "),
            file.width_px,
            file.height_px,
            file.stat.size / 1000,
            escaped(&file.modified().to_string()),
        )?;
    }
    write!(out, "</table>")?;
    let more = group.members.len().saturating_sub(LINES_OF_GROUP);
    if more > 0 {
        let text = both(&format!("and {more} more files"), &format!("另有 {more} 个文件"));
        write!(out, "<p class=\"soft\">{text}</p>")?;
    }
    Ok(())
}

fn write_pair(out: &mut impl Write, pair: &Pair, drawn: Option<&Drawn>, classes: &Classes) -> io::Result<()> {
    write!(
        out,
        "<article class=\"pair\" tabindex=\"0\" data-kind=\"{}\" data-one=\"{}\" data-other=\"{}\" data-one-pixels=\"{}\" \
         data-other-pixels=\"{}\" data-one-name=\"{}\" data-other-name=\"{}\"><div class=\"two\">",
        escaped(&pair.kind),
        pair.one.byte_digest,
        pair.other.byte_digest,
        pair.one.pixel_digest,
        pair.other.pixel_digest,
        name_of(&pair.one),
        name_of(&pair.other)
    )?;
    for (side, file) in [&pair.one, &pair.other].into_iter().enumerate() {
        write!(out, "<figure><div class=\"box\">")?;
        match (classes.0.get(&file.pixel_digest), drawn) {
            (Some(class), Some(drawn)) => {
                write!(out, "<div class=\"in t{class}\" role=\"img\" aria-label=\"{}\">", name_of(file))?;
                if let Some((overlays, _)) = &drawn.marks {
                    write!(out, "<img alt=\"\" src=\"data:image/png;base64,{}\">", overlays[side])?;
                }
                write!(out, "</div>")?;
            }
            _ => write!(out, "<span class=\"soft\">{}</span>", both("gone or changed", "已移除或更改"))?,
        }
        write!(
            out,
            "</div><figcaption>{}<br><span class=\"soft\">{}×{}</span></figcaption></figure>",
            name_of(file),
            file.width_px,
            file.height_px
        )?;
    }
    write!(
        out,
        "</div><p class=\"word\"><span class=\"chip {}\">{}</span>",
        escaped(&pair.kind),
        words(&pair.kind)
    )?;
    if let Some(sure) = pair.confidence {
        write!(out, "{} {sure:.3} · ", both("confidence", "置信度"))?;
    }
    if let Some(score) = pair.score {
        write!(out, "{} {score:.3}", both("similarity", "相似度"))?;
    }
    if let Some((_, share)) = drawn.and_then(|drawn| drawn.marks.as_ref()) {
        write!(out, " · {} {:.1} %", both("differs in", "差异"), share * 100.0)?;
    }
    write!(
        out,
        "</p><div class=\"say\"><button type=\"button\" class=\"yes\" aria-pressed=\"false\">{}</button>\
         <button type=\"button\" class=\"no\" aria-pressed=\"false\">{}</button></div></article>",
        both("same", "相同"),
        both("not the same", "不同")
    )
}
