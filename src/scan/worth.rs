//! Which file of a group is worth keeping, and which may go for it.

use std::collections::BTreeMap;

use super::Relation;
use super::members::Member;
use super::state::ScannedFile;
use crate::photo::Unseen;

/// Files of so much less than another's bytes were compressed harder ...
const FEWER_BYTES: f32 = 0.6;
/// ... and those of so much less of its sharpness are blurrier: what compression adds in blocks and takes in detail is less.
const LESS_SHARP: f32 = 0.5;
/// Of far fewer bytes, sharpness is that of the blocks.
const FAR_FEWER_BYTES: f32 = 0.3;

/// A larger picture may be a smaller one scaled up where its sharpness, times its area, is less than so much of that one's
/// (docs/benchmarks/scan.md).
const AS_SHARP: f32 = 1.0;
/// Distinct pictures that have to agree with each other as a whole, so that others are told to be the edited ones ...
const ENOUGH_AGREE: u64 = 3;
/// ... and how many times as many as agree with those.
const MORE_AGREE: u64 = 2;

/// Whether `a` is a worse copy than `b`, of as many pixels: one of the same format that was compressed harder, or a blurrier one. By
/// both, so that neither a blurred copy that was saved with care nor the blocks of a bad one pass for the better picture.
fn is_worse(a: &Member, b: &Member) -> bool {
    let (bytes, sharpness) = (bytes_ratio(&a.file, &b.file), sharpness_ratio(&a.file, &b.file));
    let compressed_harder = bytes < FEWER_BYTES && sharpness <= 1.0 / LESS_SHARP
        || bytes < FAR_FEWER_BYTES && sharpness <= 2.0 / LESS_SHARP;
    let blurrier = sharpness < LESS_SHARP && bytes <= 1.0 / FEWER_BYTES;
    is_same_format(&a.file, &b.file) && compressed_harder || blurrier
}

#[expect(clippy::cast_precision_loss, reason = "a comparison to a few parts in a hundred")]
fn bytes_ratio(a: &ScannedFile, b: &ScannedFile) -> f32 {
    a.stat.size as f32 / (b.stat.size as f32).max(1.0)
}

fn sharpness_ratio(a: &ScannedFile, b: &ScannedFile) -> f32 {
    a.sharpness.max(0.1) / b.sharpness.max(0.1)
}

#[expect(clippy::cast_precision_loss, reason = "a comparison to a few parts in a hundred")]
fn area_ratio(a: &ScannedFile, b: &ScannedFile) -> f32 {
    a.pixels() as f32 / (b.pixels() as f32).max(1.0)
}

fn is_same_format(a: &ScannedFile, b: &ScannedFile) -> bool {
    let ending = |file: &ScannedFile| {
        let ending = file.path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if ending == "jpeg" { "jpg".to_owned() } else { ending }
    };
    ending(a) == ending(b)
}

/// Whether `large` is a blown-up or blurred copy of what `small` shows more of. In squared steps, a picture that is scaled down
/// gains at most the fourth power of the scale in sharpness: where even that would leave it far behind, it shows less.
fn is_blown_up(large: &Member, small: &Member) -> bool {
    let (large, small) = (&large.file, &small.file);
    let area = area_ratio(large, small);
    area > 1.0
        && sharpness_ratio(large, small) * area * area < LESS_SHARP
        && bytes_ratio(large, small) <= 1.0 / FEWER_BYTES
}

/// Whether `kept`, which is worth more, is sure to show what `extra` does, of which it is a re-encoding. A larger picture is
/// where its own pixels are about as sharp: scaling a picture up leaves them softer by the scale at least.
fn shows_all_of(kept: &Member, extra: &Member) -> bool {
    let area = area_ratio(&kept.file, &extra.file);
    match () {
        () if area > 1.0 => sharpness_ratio(&kept.file, &extra.file) * area >= AS_SHARP,
        () if area < 1.0 => is_blown_up(extra, kept),
        () => true,
    }
}

/// Whether `extra` may go for `kept`, of those that are as close as `level`.
fn may_go(extra: &Member, kept: &Member, level: Relation) -> bool {
    let has_same_pixels = extra.file.pixel_digest == kept.file.pixel_digest;
    let is_of_still = kept.file.unseen != Some(Unseen::Animation);
    match () {
        () if extra.is_linked_to => false,
        () if level == Relation::SameBytes => true,
        () if extra.file.unseen.is_some() => false,
        () if has_same_pixels => true,
        // The frames of an animation may have fewer colours than a still picture.
        () if !is_of_still => false,
        () if extra.whole == kept.whole
            || extra.relation == Relation::Told
            || kept.relation == Relation::Told =>
        {
            shows_all_of(kept, extra)
        }
        // A larger one may be what the others were cut from, in several sizes.
        () if extra.file.pixels() > kept.file.pixels() => false,
        () => kept.agreeing >= ENOUGH_AGREE && kept.agreeing >= MORE_AGREE * extra.agreeing,
    }
}

/// For each of these files of a group the place of the one that it may go for, where all that are as close as `up_to` count as
/// copies. What files that are closer go for is settled before: the rest is between those that are left.
pub(super) fn goes_for(files: &[&Member], up_to: Relation) -> Vec<Option<usize>> {
    let mut goes: Vec<Option<usize>> = vec![None; files.len()];
    let levels =
        [Relation::SameBytes, Relation::SamePixels, Relation::ReEncoded, Relation::Edited, Relation::Told];
    for level in levels.into_iter().filter(|level| *level <= up_to.max(Relation::SameBytes)) {
        let class_of = |file: &Member| match level {
            Relation::SameBytes => Some(file.file.byte_digest),
            Relation::SamePixels => Some(file.file.pixel_digest),
            Relation::ReEncoded => Some(file.whole),
            Relation::Edited if file.relation == Relation::Told => Some(file.whole),
            _ => None,
        };
        let mut classes: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (place, file) in files.iter().enumerate().filter(|(place, _)| goes[*place].is_none()) {
            classes.entry(class_of(file)).or_default().push(place);
        }
        for class in classes.into_values() {
            let Some(kept) = most_worth(class.iter().map(|place| (*place, files[*place]))) else { continue };
            for place in class.into_iter().filter(|place| *place != kept) {
                if may_go(files[place], files[kept], level) {
                    goes[place] = Some(kept);
                }
            }
        }
    }
    // The one that it goes for may go for another one.
    let last = |mut place: usize| {
        while let Some(next) = goes[place] {
            place = next;
        }
        place
    };
    (0..files.len()).map(|place| Some(last(place)).filter(|kept| *kept != place)).collect()
}

/// The place of the one that is worth keeping: no link, what most pictures of the group agree with as a whole, none that was
/// [blown up](is_blown_up), the most pixels, one that holds more than its pixels show, none that is a [worse](is_worse) copy, one
/// that links lead to, the oldest, and then by name.
pub(super) fn most_worth<'m>(files: impl IntoIterator<Item = (usize, &'m Member)>) -> Option<usize> {
    let mut left: Vec<(usize, &Member)> = files.into_iter().collect();
    let keep_if_any = |left: &mut Vec<(usize, &Member)>, fits: &dyn Fn(&Member) -> bool| {
        if left.iter().any(|(_, member)| fits(member)) {
            left.retain(|(_, member)| fits(member));
        }
    };
    keep_if_any(&mut left, &|member| !member.file.is_link);
    let most_agree = left.iter().map(|(_, member)| member.agreeing).max()?;
    keep_if_any(&mut left, &|member| member.agreeing == most_agree);
    let others = left.clone();
    let is_none_better =
        |member: &Member, is_better: fn(&Member, &Member) -> bool, others: &[(usize, &Member)]| {
            !others.iter().any(|(_, other)| other.whole == member.whole && is_better(member, other))
        };
    keep_if_any(&mut left, &|member| is_none_better(member, is_blown_up, &others));
    let most_pixels = left.iter().map(|(_, member)| member.file.pixels()).max()?;
    keep_if_any(&mut left, &|member| member.file.pixels() == most_pixels);
    keep_if_any(&mut left, &|member| member.file.unseen.is_some());
    let others = left.clone();
    keep_if_any(&mut left, &|member| is_none_better(member, is_worse, &others));
    let best = left.into_iter().min_by(|(_, a), (_, b)| {
        let (one, other) = (&a.file, &b.file);
        b.is_linked_to
            .cmp(&a.is_linked_to)
            .then_with(|| one.stat.mtime_ns.cmp(&other.stat.mtime_ns))
            .then_with(|| one.name.cmp(&other.name))
    });
    best.map(|(place, _)| place)
}
