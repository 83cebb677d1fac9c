//! Every stored picture finds itself, whatever the graph loses.

use std::num::NonZeroUsize;

use proptest::prelude::*;
use tongkuan::embed::Embedding;
use tongkuan::index::{Index, IndexFingerprint, IndexOptions, LoadError};
use tongkuan::photo_id::PhotoId;

const DIMENSION: usize = 32;

/// Repeatable noise in -1..1 (SplitMix64).
fn noise(seed: u64) -> impl Iterator<Item = f32> {
    (1u64..).map(move |i| {
        let mut z =
            seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(i.wrapping_mul(0xD1B5_4A32_D192_ED03));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bits = u16::try_from((z >> 48) & 0xFFFF).unwrap();
        f32::from(bits) / 32768.0 - 1.0
    })
}

/// Pictures in tight clusters, with an exact duplicate now and then: what graphs find hardest.
fn pictures(count: u64) -> Vec<(PhotoId, Embedding)> {
    (0..count)
        .map(|i| {
            let own = if i % 50 == 7 { i - 1 } else { i };
            let values = noise(i / 40).zip(noise(own + 1_000_000)).take(DIMENSION);
            let vector = values.map(|(centre, own)| centre + 0.15 * own).collect();
            (PhotoId(i64::try_from(i).unwrap() + 1), Embedding::new(vector).unwrap())
        })
        .collect()
}

/// With a graph from 4097 pictures on, so that the tests meet one.
fn options() -> IndexOptions {
    IndexOptions { exact_max: 4096, ..IndexOptions::new(NonZeroUsize::new(DIMENSION).unwrap()) }
}

fn filled(options: IndexOptions, pictures: &[(PhotoId, Embedding)]) -> Index {
    let index = Index::new(options);
    index.insert_many(pictures.iter().map(|(id, embedding)| (*id, embedding))).unwrap();
    index.catch_up();
    index
}

fn lost(index: &Index, pictures: &[(PhotoId, Embedding)]) -> usize {
    let finds_itself = |embedding: &Embedding| {
        let found = index.search(embedding, 1, 0.9).unwrap();
        found.best().is_some_and(|best| best.score >= 1.0 - 1e-6)
    };
    pictures.iter().filter(|(_, embedding)| !finds_itself(embedding)).count()
}

#[test]
fn one_two_three_and_none() {
    for count in 0..=3 {
        let pictures = pictures(count);
        let index = filled(options(), &pictures);
        assert_eq!(lost(&index, &pictures), 0, "{count} pictures");
        let query = Embedding::new(vec![1.0; DIMENSION]).unwrap();
        assert_eq!(index.search(&query, 10, 0.9).unwrap().len() as u64, count);
    }
}

#[test]
fn twenty_thousand_pictures_find_themselves_before_and_after_a_restart() {
    let pictures = pictures(20_000);
    let index = filled(options(), &pictures);
    assert_eq!(lost(&index, &pictures), 0);
    let folder = tempfile::tempdir().unwrap();
    let fingerprint = IndexFingerprint("test".to_owned());
    index.save(folder.path(), &fingerprint).unwrap();
    let loaded = Index::load(options(), folder.path(), &fingerprint, &pictures).unwrap();
    assert_eq!((loaded.len(), loaded.unlinked()), (20_000, 0));
    assert_eq!(lost(&loaded, &pictures), 0);
}

#[test]
fn whatever_the_graph_loses_is_found_all_the_same() {
    let pictures = pictures(3000);
    for graph_loses in [(|id| id.0 % 3 == 0) as fn(PhotoId) -> bool, |_| true] {
        let options = IndexOptions { exact_max: 100, graph_loses, ..options() };
        assert_eq!(lost(&filled(options, &pictures), &pictures), 0);
    }
}

#[test]
fn a_miss_is_never_declared_on_the_graphs_word() {
    let pictures = pictures(2000);
    let index = filled(IndexOptions { exact_max: 100, graph_loses: |_| true, ..options() }, &pictures);
    // Near a stored picture, but equal to none: only the scan can find it.
    let near: Vec<f32> = pictures[500].1.as_slice().iter().zip(noise(5)).map(|(v, n)| v + 0.01 * n).collect();
    let near = Embedding::new(near).unwrap();
    let found = index.search(&near, 5, 0.9).unwrap();
    assert_eq!(found.as_slice(), index.search_exact(&near, 5).unwrap().as_slice());
}

#[test]
fn a_damaged_or_foreign_snapshot_is_refused_and_never_trusted() {
    let pictures = pictures(500);
    let options = IndexOptions { exact_max: 100, ..options() };
    let index = filled(options, &pictures);
    let mine = IndexFingerprint("mine".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let missing = Index::load(options, folder.path(), &mine, &pictures).unwrap_err();
    assert!(matches!(missing, LoadError::Missing), "{missing}");
    index.save(folder.path(), &mine).unwrap();
    let other = IndexFingerprint("other".to_owned());
    assert!(matches!(
        Index::load(options, folder.path(), &other, &pictures).unwrap_err(),
        LoadError::Differs { .. }
    ));
    assert!(Index::load(options, folder.path(), &mine, &pictures[..100]).is_err());
    let mut files = Vec::new();
    for entry in walk(folder.path()) {
        if std::fs::metadata(&entry).unwrap().len() > 0 {
            files.push(entry);
        }
    }
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        let whole = std::fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [&whole[..whole.len() / 2], &flipped] {
            std::fs::write(&file, damaged).unwrap();
            assert!(Index::load(options, folder.path(), &mine, &pictures).is_err(), "{}", file.display());
        }
        std::fs::write(&file, whole).unwrap();
    }
    Index::load(options, folder.path(), &mine, &pictures).unwrap();
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn searches_run_while_others_insert() {
    let pictures = pictures(3000);
    let index = Index::new(IndexOptions { exact_max: 200, ..options() });
    let (first, rest) = pictures.split_at(1000);
    index.insert_many(first.iter().map(|(id, e)| (*id, e))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| rest.iter().for_each(|(id, e)| index.insert(*id, e).unwrap()));
        scope.spawn(|| assert_eq!(lost(&index, first), 0));
    });
    assert_eq!((index.len(), lost(&index, &pictures)), (3000, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn candidates_are_sorted_without_duplicates_and_exact_when_nothing_is_sure(
        count in 1u64..400, seed in any::<u64>(), k in 1usize..30,
    ) {
        let pictures = pictures(count);
        let index = filled(IndexOptions { exact_max: 50, ..options() }, &pictures);
        let query = Embedding::new(noise(seed).take(DIMENSION).collect()).unwrap();
        let found = index.search(&query, k, f32::INFINITY).unwrap();
        let mut expected: Vec<(f32, PhotoId)> = pictures.iter().map(|(id, e)| (e.cosine(&query), *id)).collect();
        expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        prop_assert_eq!(found.len(), k.min(pictures.len()));
        for (candidate, (score, _)) in found.iter().zip(&expected) {
            prop_assert!((candidate.score - score).abs() < 1e-5);
        }
        let mut ids: Vec<PhotoId> = found.iter().map(|c| c.photo_id).collect();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), found.len());
    }
}
