//! The judge: made manifests, the engine asked for real, and what is measured by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::{ImageFormat, Rgb, RgbImage};
use tongkuan::engine::{Outcome, SecondLook, Silent};
use tongkuan::eval::{
    EvalError, LabelProblem, LineProblem, Made, MakeOptions, Manifest, ManifestLine, Negative, Recolours,
    Role, Summary, evaluate, html, make,
};

use crate::fakes::{Bench, encoded, picture, png};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A dozen drawn pictures: a coloured thing on white.
    fn goods(&self) -> Vec<PathBuf> {
        (0..12)
            .map(|i| self.write(&format!("goods/{i:02}.png"), &encoded(&thing(i), ImageFormat::Png)))
            .collect()
    }

    fn made(&self, name: &str, options: MakeOptions) -> Made {
        let goods = self.path("goods");
        let mut pictures: Vec<_> = std::fs::read_dir(&goods)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "png"))
            .collect();
        pictures.sort();
        make(&goods, &pictures, &self.path(name), options, &Silent).unwrap()
    }
}

/// Coarse coloured blocks, each seed others, with white around them.
fn thing(seed: u32) -> RgbImage {
    let inner = picture(seed);
    RgbImage::from_fn(200, 160, |x, y| {
        let inside = (20..180).contains(&x) && (20..140).contains(&y);
        if inside { *inner.get_pixel(x - 20, y - 20) } else { Rgb([255; 3]) }
    })
}

fn lines(manifest: &Path) -> Vec<ManifestLine> {
    let text = std::fs::read_to_string(manifest).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every file below `folder` by its relative path.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for part in ["references", "queries"] {
        for entry in std::fs::read_dir(folder.join(part)).unwrap() {
            let path = entry.unwrap().path();
            all.insert(path.strip_prefix(folder).unwrap().to_path_buf(), std::fs::read(&path).unwrap());
        }
    }
    all.insert("manifest.ndjson".into(), std::fs::read(folder.join("manifest.ndjson")).unwrap());
    all
}

const SEED_7: MakeOptions = MakeOptions { seed: 7, limit: None, recolours: Recolours::Turned };

#[test]
fn a_manifest_made_twice_with_one_seed_is_byte_for_byte_the_same() {
    let folder = Folder::new();
    folder.goods();
    let seeded = |seed| MakeOptions { seed, limit: Some(4), recolours: Recolours::All };
    folder.made("one", seeded(7));
    folder.made("two", seeded(7));
    folder.made("three", seeded(8));
    assert!(contents(&folder.path("one")) == contents(&folder.path("two")));
    assert!(contents(&folder.path("one")) != contents(&folder.path("three")));
}

#[test]
fn half_of_the_pictures_are_stored_unchanged_and_every_picture_is_asked_for_under_every_edit() {
    let folder = Folder::new();
    let goods = folder.goods();
    let made = folder.made("out", SEED_7);
    // Six of them, and of each a poster, a chart or a small one on a ground.
    assert_eq!((made.references, made.unreadable.len()), (12, 0));
    let lines = lines(&made.manifest);
    let originals: Vec<_> = goods.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let of = |role| lines.iter().filter(move |line| line.role == role);
    let is_scene = |line: &&ManifestLine| line.path.contains('-');
    for line in of(Role::Reference).filter(|line| !is_scene(line)) {
        assert!(originals.contains(&std::fs::read(folder.path("out").join(&line.path)).unwrap()));
    }
    let plain: Vec<_> = of(Role::Query).filter(|line| line.negative.is_none()).collect();
    let edits: std::collections::BTreeSet<_> = plain.iter().filter_map(|line| line.edit.as_deref()).collect();
    assert_eq!(plain.len(), 12 * edits.len() + 6, "one more of each scene");
    assert!(edits.len() >= 12, "{edits:?}");
    let recoloured: Vec<_> =
        of(Role::Query).filter(|line| line.negative == Some(Negative::Recolour)).collect();
    assert!(!recoloured.is_empty() && recoloured.iter().all(|line| line.item.is_none()));
    let swapped: Vec<_> = of(Role::Query).filter(|line| line.negative == Some(Negative::Swap)).collect();
    assert_eq!(swapped.len(), 2 * 6);
    assert!(swapped.iter().all(|line| line.item.is_none() && line.made_of.is_some()));
    let count = |negative| of(Role::Query).filter(|line| line.negative == Some(negative)).count();
    assert_eq!(count(Negative::Print), 6);
    let scenes = [Negative::Small, Negative::Poster, Negative::Words].map(count);
    assert!(scenes.iter().all(|n| *n > 0) && scenes.iter().sum::<usize>() == 6, "{scenes:?}");
}

#[test]
fn a_limit_takes_so_many_pictures_and_no_more() {
    let folder = Folder::new();
    folder.goods();
    let made = folder.made("out", MakeOptions { seed: 1, limit: Some(4), recolours: Recolours::Turned });
    let items: std::collections::BTreeSet<_> =
        lines(&made.manifest).into_iter().filter_map(|l| l.item).collect();
    let (charts, items): (Vec<_>, Vec<_>) = items.iter().partition(|item| item.ends_with("-words"));
    assert_eq!((made.references, items.len()), (4, 4), "{charts:?} are shown by no picture of the folder");
}

/// A disc on white in one of eight colours, apart by 45 degrees of hue.
fn disc(colour: usize) -> (RgbImage, [u8; 3]) {
    let high = [[220, 40, 40], [220, 175, 40], [130, 220, 40], [40, 220, 85]];
    let low = [[40, 220, 220], [40, 85, 220], [130, 40, 220], [220, 40, 175]];
    let tint = if colour < 4 { high[colour] } else { low[colour - 4] };
    let is_inside = |x: u32, y: u32| x.abs_diff(60).pow(2) + y.abs_diff(60).pow(2) < 1600;
    (RgbImage::from_fn(120, 120, |x, y| Rgb(if is_inside(x, y) { tint } else { [255; 3] })), tint)
}

#[test]
fn no_picture_is_given_the_colour_of_a_stored_variant_of_it() {
    let folder = Folder::new();
    let mut labels = String::new();
    for colour in 0..8 {
        folder.write(&format!("goods/{colour}.png"), &encoded(&disc(colour).0, ImageFormat::Png));
        let label = format!("{{\"file\":\"{colour}.png\",\"item\":\"disc-{colour}\",\"family\":\"disc\"}}\n");
        labels.push_str(&label);
    }
    folder.write("goods/labels.ndjson", labels.as_bytes());
    let mut checked = 0;
    for seed in 1..=2 {
        let name = format!("out{seed}");
        let made = folder.made(&name, MakeOptions { seed, limit: None, recolours: Recolours::Turned });
        let lines = lines(&made.manifest);
        let tint =
            |item: &str| item.strip_prefix("disc-").and_then(|n| n.parse().ok()).map(|n: usize| disc(n).1);
        let references = lines.iter().filter(|line| line.role == Role::Reference);
        let stored: Vec<_> = references.filter_map(|line| tint(line.item.as_deref()?)).collect();
        assert!(stored.len() >= 4, "{stored:?}");
        for line in lines.iter().filter(|line| line.path.ends_with("-recolour.jpg")) {
            let picture = image::open(folder.path(&name).join(&line.path)).unwrap().to_rgb8();
            let Rgb(new) = *picture.get_pixel(60, 60);
            for old in &stored {
                let apart = new.iter().zip(old).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(apart >= Some(30), "{}: {new:?} is stored: {old:?}", line.path);
                checked += 1;
            }
        }
    }
    assert!(checked > 8, "{checked}");
}

#[test]
fn items_of_one_family_are_variants_of_one_another() {
    let folder = Folder::new();
    folder.goods();
    let labels = r#"{"file":"00.png","item":"cup-red","family":"cup"}
{"file":"01.png","item":"cup-red","family":"cup"}
{"file":"02.png","item":"cup-blue","family":"cup"}
"#;
    folder.write("goods/labels.ndjson", labels.as_bytes());
    let lines = lines(&folder.made("out", SEED_7).manifest);
    let cups: Vec<_> =
        lines.iter().filter(|line| matches!(line.item.as_deref(), Some("cup-red" | "cup-blue"))).collect();
    let stored: std::collections::BTreeSet<_> =
        cups.iter().filter(|line| line.role == Role::Reference).map(|line| line.item.as_deref()).collect();
    assert_eq!(stored.len(), 1, "one of the two colours is stored");
    for line in cups.iter().filter(|line| line.role == Role::Query) {
        let expected = (!stored.contains(&line.item.as_deref())).then_some(Negative::Variant);
        assert_eq!(line.negative, expected, "{line:?}");
    }
}

#[test]
fn a_wrong_label_names_its_line_and_nothing_is_made() {
    let folder = Folder::new();
    let goods = folder.goods();
    let problem = |labels: &str| {
        folder.write("goods/labels.ndjson", labels.as_bytes());
        match make(&folder.path("goods"), &goods, &folder.path("out"), SEED_7, &Silent) {
            Err(EvalError::Label { line, problem, .. }) => (line, problem),
            other => panic!("{other:?}"),
        }
    };
    let good = r#"{"file":"00.png","item":"A","family":"F"}"#;
    assert!(matches!(problem(&format!("{good}\nnonsense")), (2, LabelProblem::Json(_))));
    let (_, lacking) = problem(r#"{"file":"00.png"}"#);
    let told = lacking.to_string();
    assert!(told.contains("missing field `item`") && !told.contains("role"), "{told}");
    assert!(matches!(problem(&format!("{good}\n\n{good}")), (3, LabelProblem::Twice { .. })));
    let lost = r#"{"file":"no.png","item":"B"}"#;
    assert!(matches!(problem(lost), (1, LabelProblem::NoSuchPicture { .. })));
    let moved = r#"{"file":"01.png","item":"A","family":"G"}"#;
    assert!(matches!(problem(&format!("{good}\n{moved}")), (2, LabelProblem::TwoFamilies { .. })));
    assert!(!folder.path("out").exists());
}

#[test]
fn a_folder_with_something_in_it_is_never_written_to() {
    let folder = Folder::new();
    let goods = folder.goods();
    let kept = folder.write("out/mine.txt", b"mine");
    let refused = make(&folder.path("goods"), &goods, &folder.path("out"), SEED_7, &Silent);
    assert!(matches!(refused, Err(EvalError::NotEmpty { .. })), "{refused:?}");
    assert_eq!(std::fs::read_dir(folder.path("out")).unwrap().count(), 1);
    assert!(kept.exists());
}

#[test]
fn the_engine_is_asked_for_real_and_every_answer_is_counted_once() {
    let folder = Folder::new();
    for (name, seed) in [("a1", 1), ("a2", 2), ("b", 3), ("stranger", 14)] {
        folder.write(&format!("{name}.png"), &png(seed));
    }
    let half = image::imageops::resize(&picture(2), 80, 60, image::imageops::FilterType::Triangle);
    folder.write("a2-half.png", &encoded(&half, ImageFormat::Png));
    let text = r#"{"path":"a1.png","role":"reference","item":"A"}
{"path":"a2.png","role":"reference","item":"A"}
{"path":"b.png","role":"reference","item":"B"}
{"path":"a1.png","role":"query","item":"A","edit":"none"}
{"path":"a2-half.png","role":"query","item":"A","edit":"half"}
{"path":"b.png","role":"query","item":"A","edit":"none"}
{"path":"stranger.png","role":"query","item":null}
{"path":"b.png","role":"query","item":"C","negative":"variant"}
"#;
    let manifest = folder.write("manifest.ndjson", text.as_bytes());
    let bench = Bench::new();
    let engine = bench.engine();
    let evaluation =
        evaluate(&engine, Manifest::read(&manifest).unwrap(), SecondLook::Always, &Silent).unwrap();
    let outcomes: Vec<_> =
        evaluation.queries.iter().map(|asked| (asked.judged.outcome, asked.judged.right)).collect();
    let (hit, miss) = (Outcome::Hit, Outcome::Miss);
    assert_eq!(outcomes, [(hit, true), (hit, true), (hit, false), (miss, false), (hit, false)]);
    let summary = Summary::of(&evaluation, Some(0.5));
    assert_eq!((summary.references, summary.all.seen, summary.all.unseen), (3, 3, 2));
    let third = |n: f64| Some(n / 3.0);
    assert_eq!((summary.all.hit_rate, summary.all.wrong_item_rate), (third(2.0), third(1.0)));
    assert_eq!(
        (summary.all.false_hit_rate, summary.by_negative["variant"].false_hit_rate),
        (Some(0.5), Some(1.0))
    );
    assert_eq!(summary.by_edit["half"].hit_rate, Some(1.0));
    assert_eq!(summary.all.at_cutoffs.len(), 3, "1 %, 0.1 % and the one asked for");
    // The three equal files tie at 1 (one of them right), then come the half picture (right) and the stranger.
    let by_hand = (1.0 / 3.0 + 2.0 / 4.0) / 3.0;
    assert!((summary.all.micro_ap.unwrap() - by_hand).abs() < 1e-9, "{:?}", summary.all.micro_ap);
    assert!(evaluation.queries[3].judged.confidence < 0.9);
    assert!(evaluation.queries[3].best.is_some(), "a miss, too, says what came first");
    assert_eq!(bench.calls(), 0, "an upstream was asked");
    assert!(summary.bad_lines.is_empty());

    let page = html(&evaluation, &summary);
    assert!(page.contains("<svg") && page.matches("data:image/jpeg;base64,").count() >= 4);
    assert!(!page.contains("http"), "the page is to be whole without a network");
}

#[test]
fn an_edited_collection_goes_through_from_end_to_end() {
    let folder = Folder::new();
    folder.goods();
    let made = folder.made("out", SEED_7);
    let bench = Bench::new();
    let evaluation =
        evaluate(&bench.engine(), Manifest::read(&made.manifest).unwrap(), SecondLook::Always, &Silent)
            .unwrap();
    let summary = Summary::of(&evaluation, None);
    assert_eq!((summary.references, summary.queries), (made.references, made.queries));
    assert!(summary.bad_lines.is_empty(), "{:?}", summary.bad_lines);
    assert_eq!(summary.by_edit["jpeg"].acc_at_1, Some(1.0), "not even a saved copy is found again");
    assert_eq!(summary.all.seen, 6 * 12 + 6);
    let stages: Vec<_> = summary.stages.iter().map(|time| time.stage).collect();
    assert_eq!(stages, ["decode", "tensor", "embed", "index", "verdict", "catalog", "total"]);
}

#[test]
fn bad_lines_and_unreadable_pictures_are_named_and_the_others_count() {
    let folder = Folder::new();
    folder.write("a.png", &png(1));
    folder.write("broken.png", b"no picture");
    let text = r#"{"path":"a.png","role":"reference","item":"A"}
{"path":"a.png","role":"query","item":"A"}
{"path":"a.png","role":"reference"}
{"path":"broken.png","role":"query","item":"A"}
{"path":"a.png","role":"query","item":"A","negative":"recolour"}
{"path":"a.png","role":"query","item":"A"}
{"path":"a.png","role":"query","item":"A"}
{"path":"a.png","role":"query","item":"A"}
{"path":"a.png","role":"judge","item":"A"}
"#;
    let manifest = folder.write("manifest.ndjson", text.as_bytes());
    let evaluation =
        evaluate(&Bench::new().engine(), Manifest::read(&manifest).unwrap(), SecondLook::Always, &Silent)
            .unwrap();
    assert_eq!(evaluation.queries.len(), 4);
    let bad: Vec<_> = evaluation.bad_lines.iter().map(|bad| bad.line).collect();
    assert_eq!(bad, [3, 4, 5, 9]);
    assert!(matches!(evaluation.bad_lines[0].problem, LineProblem::NoItem));
    assert!(matches!(evaluation.bad_lines[1].problem, LineProblem::Engine(_)));
    assert!(evaluation.bad_lines[1].to_string().contains("line 4 (broken.png)"));
    assert!(matches!(evaluation.bad_lines[2].problem, LineProblem::NegativeStored { .. }));
    assert!(evaluation.bad_lines[3].to_string().contains("judge"), "{}", evaluation.bad_lines[3]);
}

#[test]
fn a_manifest_of_mostly_bad_lines_is_an_error_that_names_the_first() {
    let folder = Folder::new();
    folder.write("a.png", &png(1));
    let text = r#"{"path":"a.png","role":"reference","item":"A"}
{"path":"a.png","role":"query","item":"A"}
{"path":"no-such.png","role":"query","item":"A"}
{"path":"no-such.png","role":"reference","item":"B"}
nonsense
"#;
    let manifest = folder.write("manifest.ndjson", text.as_bytes());
    let error =
        evaluate(&Bench::new().engine(), Manifest::read(&manifest).unwrap(), SecondLook::Always, &Silent)
            .unwrap_err();
    let EvalError::MostlyBad { bad, lines, first } = error else { panic!("{error}") };
    assert_eq!((bad, lines, first.line), (3, 5, 3));
    assert!(first.to_string().contains("no-such.png"), "{first}");
}

#[test]
fn without_references_or_without_queries_there_is_nothing_to_judge() {
    let folder = Folder::new();
    folder.write("a.png", &png(1));
    for role in ["reference", "query"] {
        let line = format!("{{\"path\":\"a.png\",\"role\":\"{role}\",\"item\":\"A\"}}\n");
        let manifest = folder.write("manifest.ndjson", line.as_bytes());
        let error =
            evaluate(&Bench::new().engine(), Manifest::read(&manifest).unwrap(), SecondLook::Always, &Silent)
                .unwrap_err();
        assert!(
            matches!(error, EvalError::Nothing(missing) if format!("{missing:?}").to_lowercase() != role)
        );
    }
}
