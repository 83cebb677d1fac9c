//! Every stored picture finds itself, whatever the graph loses.

use std::num::NonZeroUsize;

use proptest::prelude::*;
use tongkuan::embed::Embedding;
use tongkuan::index::{Candidate, Index, IndexError, IndexFingerprint, IndexOptions, LoadError};
use tongkuan::photo_id::PhotoId;

pub(crate) const DIMENSION: usize = 32;

/// Repeatable noise in -1..1 (SplitMix64).
pub(crate) fn noise(seed: u64) -> impl Iterator<Item = f32> {
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
pub(crate) fn pictures(count: u64) -> Vec<(PhotoId, Embedding)> {
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
pub(crate) fn options() -> IndexOptions {
    IndexOptions { exact_max: 4096, ..IndexOptions::new(NonZeroUsize::new(DIMENSION).unwrap()) }
}

pub(crate) fn filled(options: IndexOptions, pictures: &[(PhotoId, Embedding)]) -> Index {
    let index = Index::new(options);
    index.insert_many(pictures.iter().map(|(id, embedding)| (*id, embedding))).unwrap();
    index.catch_up();
    index
}

pub(crate) fn lost(index: &Index, pictures: &[(PhotoId, Embedding)]) -> usize {
    let finds_itself = |embedding: &Embedding| {
        let found = index.search(embedding, 1, 0.9).unwrap();
        found.best().is_some_and(|best| best.score >= 1.0 - 1e-6)
    };
    pictures.iter().filter(|(_, embedding)| !finds_itself(embedding)).count()
}

/// What was saved, with those of `pictures` that were not.
fn reopened(
    options: IndexOptions,
    folder: &std::path::Path,
    mine: &IndexFingerprint,
    pictures: &[(PhotoId, Embedding)],
) -> Index {
    let index = Index::load(options, folder, mine).unwrap();
    for (photo_id, embedding) in pictures {
        let inserted = index.insert(*photo_id, embedding);
        assert!(matches!(inserted, Ok(()) | Err(IndexError::Duplicate(_))), "{inserted:?}");
    }
    index
}

/// The best `k` by comparing every pair, in the order and with the scores that an exact search promises.
pub(crate) fn brute_force(pictures: &[(PhotoId, Embedding)], query: &Embedding, k: usize) -> Vec<Candidate> {
    let score = |(id, e): &(PhotoId, Embedding)| Candidate { photo_id: *id, score: e.cosine(query) };
    let mut all: Vec<Candidate> = pictures.iter().map(score).collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.photo_id.cmp(&b.photo_id)));
    all.truncate(k);
    all
}

/// Orders and shapes that are hard on graphs. Every vector of a kind is distinct.
fn hostile(kind: &str, count: u16) -> Vec<(PhotoId, Embedding)> {
    let picture = |i: u16| {
        let (own, turn) = (u64::from(i), f32::from(i) / f32::from(count) * std::f32::consts::TAU);
        let mut vector: Vec<f32> = noise(1).take(DIMENSION).collect();
        match kind {
            // So tight that many have the same codes.
            "almost one point" => vector.iter_mut().zip(noise(own + 9)).for_each(|(v, n)| *v += 1e-4 * n),
            // One number differs, by steps of a few rounding errors.
            "one number differs" => vector[0] = f32::from(i) * 1e-5,
            "round a circle" => vector = [vec![turn.cos(), turn.sin()], vec![0.0; DIMENSION - 2]].concat(),
            // A far-off cluster comes last, when everything else is linked.
            "two far clusters, one after the other" => {
                let away = if i < count / 2 { 1.0 } else { -1.0 };
                vector.iter_mut().zip(noise(own + 9)).for_each(|(v, n)| *v = away * *v + 0.05 * n);
            }
            // Each new one is nearer to a goal than all before.
            "ever nearer" => {
                vector
                    .iter_mut()
                    .zip(noise(own + 9))
                    .for_each(|(v, n)| *v += n * (1.0 - f32::from(i) / f32::from(count)));
            }
            _ => panic!("no kind {kind}"),
        }
        (PhotoId(i64::from(i) + 1), Embedding::new(vector).unwrap())
    };
    (0..count).map(picture).collect()
}

const HOSTILE: [&str; 5] = [
    "almost one point",
    "one number differs",
    "round a circle",
    "two far clusters, one after the other",
    "ever nearer",
];

#[test]
fn nobody_is_left_without_a_way_in_whatever_comes_in_which_order() {
    for kind in HOSTILE {
        let forwards = hostile(kind, 2000);
        let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
        for (order, pictures) in [("forwards", forwards), ("backwards", backwards)] {
            let index = filled(IndexOptions { exact_max: 10, ..options() }, &pictures);
            let audit = index.audit_graph();
            assert_eq!((audit.indexed, audit.without_way_in), (2000, 0), "{kind}, {order}: {audit:?}");
            assert_eq!(audit.unreachable, 0, "{kind}, {order}: {audit:?}");
            assert_eq!(lost(&index, &pictures), 0, "{kind}, {order}");
        }
    }
}

#[test]
fn an_exact_search_gives_what_comparing_every_pair_gives_bit_for_bit() {
    for kind in HOSTILE {
        let pictures = hostile(kind, 1500);
        let index = filled(options(), &pictures);
        for (query, k) in [(0, 1), (700, 10), (1499, 40), (3, 2000)] {
            let query = &pictures[query].1;
            let found = index.search_exact(query, k).unwrap();
            assert_eq!(found.as_slice(), brute_force(&pictures, query, k), "{kind}, {k}");
        }
    }
}

#[test]
fn the_graph_alone_finds_nearly_all_of_the_ten_nearest() {
    let pictures = pictures(10_000);
    let index = filled(options(), &pictures);
    let (mut found, mut wanted) = (0, 0);
    for seed in 0..100 {
        let near = pictures[usize::try_from(seed).unwrap() * 97].1.as_slice().iter().zip(noise(seed + 77));
        let query = Embedding::new(near.map(|(v, n)| v + 0.02 * n).collect()).unwrap();
        let nearest = brute_force(&pictures, &query, 10);
        let by_graph = index.search_graph_alone(&query, 10).unwrap();
        wanted += nearest.len();
        found += nearest.iter().filter(|near| by_graph.iter().any(|it| it == *near)).count();
    }
    assert!(found * 100 >= wanted * 99, "{found} of {wanted}");
}

#[test]
fn linking_by_several_threads_loses_no_way_in() {
    let pictures = pictures(6000);
    let threads = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    let index = threads.install(|| filled(IndexOptions { exact_max: 10, ..options() }, &pictures));
    let audit = index.audit_graph();
    // Every fiftieth vector is another's, which stands for both.
    assert_eq!((audit.indexed, audit.without_way_in, audit.unreachable), (5880, 0, 0), "{audit:?}");
    assert_eq!(lost(&index, &pictures), 0);
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
    let loaded = Index::load(options(), folder.path(), &fingerprint).unwrap();
    assert_eq!((loaded.len(), loaded.unindexed()), (20_000, 0));
    assert_eq!(loaded.audit_graph(), index.audit_graph());
    assert_eq!(lost(&loaded, &pictures), 0);
}

#[test]
fn a_damaged_or_foreign_snapshot_is_refused_and_never_trusted() {
    let pictures = pictures(500);
    let options = IndexOptions { exact_max: 100, ..options() };
    let index = filled(options, &pictures);
    let mine = IndexFingerprint("mine".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let missing = Index::load(options, folder.path(), &mine).unwrap_err();
    assert!(matches!(missing, LoadError::Missing), "{missing}");
    index.save(folder.path(), &mine).unwrap();
    let other = IndexFingerprint("other".to_owned());
    assert!(matches!(Index::load(options, folder.path(), &other).unwrap_err(), LoadError::Differs { .. }));
    let mut files = Vec::new();
    for entry in walk(folder.path()) {
        if std::fs::metadata(&entry).unwrap().len() > 0 {
            files.push(entry);
        }
    }
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        let whole = std::fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [&whole[..whole.len() / 2], &flipped] {
            std::fs::write(&file, damaged).unwrap();
            let used = Index::load(options, folder.path(), &mine);
            // What is mapped is looked at when it is read.
            let refused = used.is_err_and(|error| matches!(error, LoadError::Damaged { .. }))
                || Index::load(options, folder.path(), &mine)
                    .is_ok_and(|index| index.search_exact(&pictures[0].1, 500) == Err(IndexError::Damaged));
            assert!(refused, "{}", file.display());
        }
        std::fs::write(&file, whole).unwrap();
    }
    assert_eq!(lost(&Index::load(options, folder.path(), &mine).unwrap(), &pictures), 0);
}

#[test]
fn a_snapshot_of_another_format_is_refused_by_its_number() {
    let pictures = pictures(100);
    let mine = IndexFingerprint("mine".to_owned());
    let folder = tempfile::tempdir().unwrap();
    filled(options(), &pictures).save(folder.path(), &mine).unwrap();
    let header = walk(folder.path()).into_iter().find(|path| path.ends_with("header")).unwrap();
    let mut bytes = std::fs::read(&header).unwrap();
    // The format of the first version, whose graph was that of another library.
    bytes[8] = 1;
    std::fs::write(&header, bytes).unwrap();
    let refused = Index::load(options(), folder.path(), &mine).unwrap_err();
    assert!(matches!(refused, LoadError::OtherFormat { found: 1, known: 3 }), "{refused}");
}

pub(crate) fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
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
        prop_assert_eq!(found.as_slice(), brute_force(&pictures, &query, k));
    }

    #[test]
    fn what_was_not_saved_is_linked_after_a_restart(saved in 1u64..300, later in 0u64..300, threads in 1usize..4) {
        let pictures = pictures(saved + later);
        let (old, _) = pictures.split_at(usize::try_from(saved).unwrap());
        let options = IndexOptions { exact_max: 0, ..options() };
        let folder = tempfile::tempdir().unwrap();
        let mine = IndexFingerprint("mine".to_owned());
        filled(options, old).save(folder.path(), &mine).unwrap();
        // The catalogue may hand them out in another order than they came.
        let shuffled: Vec<_> = pictures.iter().rev().cloned().collect();
        let index = reopened(options, folder.path(), &mine, &shuffled);
        prop_assert_eq!(index.unindexed() as u64, later);
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| index.catch_up());
        let audit = index.audit_graph();
        prop_assert_eq!((audit.without_way_in, audit.unreachable), (usize::from(audit.indexed == 1), 0));
        prop_assert_eq!(lost(&index, &pictures), 0);
    }
}
