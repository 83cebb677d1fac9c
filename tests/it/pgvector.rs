//! Homes whose near pictures PostgreSQL finds with pgvector. `.ci/postgres` starts a server that has it; without one these tests say
//! that they were skipped, see `postgres_home.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use tongkuan::catalog::PhotoFilter;
use tongkuan::engine::{Engine, IndexMode, Mode, Originals, Outcome};
use tongkuan::index::PhotoSet;
use tongkuan::photo_id::PhotoId;
use tongkuan::store::{GraphState, NewPhoto, PhotoStore as _, VectorSearchStore as _};

use crate::check::{ADD, check_with, copy, items};
use crate::cli::{Ran, Shell, text};
use crate::fakes::{Bench, FakeEmbedder, png, query};
use crate::postgres_engine::check_copies_at_once;
use crate::postgres_home::PostgresHome;
use crate::store::{Made, fingerprint, store_photo};

/// A worker that searches with pgvector, and by its index from the third picture on.
fn searcher(bench: &Bench, home: &PostgresHome, folder: &str) -> Engine {
    bench.builder_on(home.worker(folder)).index(IndexMode::Pgvector).exact_max(2).open().unwrap()
}

/// A worker with an index of its own.
fn local(bench: &Bench, home: &PostgresHome) -> Engine {
    bench.builder_on(home.worker("local")).exact_max(2).open().unwrap()
}

fn graph(engine: &Engine) -> GraphState {
    engine.catalog().search_facts().unwrap().unwrap().graph
}

/// The photo that comes first for an edited copy of this picture.
fn best(engine: &Engine, seed: u32) -> i64 {
    let bytes = copy(seed, 55);
    engine.inspect(&query(&bytes).mode(Mode::LocalOnly)).unwrap().best.unwrap().photo_id.0
}

#[test]
fn pgvector_finds_what_the_index_of_a_process_finds_with_the_same_scores() {
    const STORED: u32 = 40;
    let Some(home) = PostgresHome::with_pgvector() else { return };
    let bench = Bench::new();
    let (one, other) = (local(&bench, &home), searcher(&bench, &home, "searcher"));
    check_with(&one, ADD, items(&(0..STORED).map(png).collect::<Vec<_>>()));
    other.settle_index().unwrap();
    assert_eq!(graph(&other), GraphState::Valid);
    assert_eq!((other.index_mode(), other.index_len().unwrap()), (IndexMode::Pgvector, 40));
    let among: PhotoSet = [3, 7, 20, 39].map(PhotoId).into_iter().collect();
    let own = PhotoFilter { kind: Some(tongkuan::catalog::PhotoKind::Query), ..PhotoFilter::default() };
    for seed in 0..STORED + 10 {
        let bytes = copy(seed, 70);
        let looked = [&one, &other].map(|engine| {
            let inspected = engine.inspect(&query(&bytes).mode(Mode::LocalOnly)).unwrap();
            let best = inspected.best.unwrap();
            (inspected.answer.verdict, best.photo_id, best.score)
        });
        assert_eq!(looked[0], looked[1], "picture {seed}");
        assert_eq!(looked[0].1 == PhotoId(i64::from(seed) + 1), seed < STORED, "picture {seed}");
        let near = [&one, &other].map(|engine| {
            let all = engine.similar(&bytes, 7, &PhotoFilter::default()).unwrap();
            (all, engine.similar(&bytes, 7, &own).unwrap())
        });
        assert_eq!(near[0], near[1], "picture {seed}");
        let embedding = one.stored_embedding(PhotoId(i64::from(seed % STORED) + 1)).unwrap().unwrap();
        let some = [&one, &other].map(|engine| engine.nearest_among(&embedding, 3, &among).unwrap());
        assert_eq!(some[0], some[1], "picture {seed}");
    }
    let audit = other.audit().unwrap();
    assert!(audit.is_sound() && audit.photos == 40, "{audit:?}");
    assert!(!other.folder().join("index").exists(), "nothing of the index is on this machine");
}

#[test]
fn what_any_worker_adds_or_removes_is_found_or_gone_at_once_whether_it_searches_with_pgvector_or_not() {
    let Some(home) = PostgresHome::with_pgvector() else { return };
    let bench = Bench::new();
    let without = local(&bench, &home);
    check_with(&without, ADD, items(&[png(1), png(2), png(3)]));
    let (one, other) = (searcher(&bench, &home, "one"), searcher(&bench, &home, "other"));
    assert_eq!((best(&one, 2), best(&other, 3)), (2, 3), "what was there before is copied");
    check_with(&without, ADD, items(&[png(4)]));
    assert_eq!((best(&one, 4), one.index_len().unwrap()), (4, 4));
    check_with(&other, ADD, items(&[png(5)]));
    assert_eq!((best(&one, 5), best(&without, 5)), (5, 5));
    without.forget(&[PhotoId(4), PhotoId(1)]).unwrap();
    for engine in [&one, &other, &without] {
        let bytes = copy(4, 70);
        assert_ne!(engine.search(&query(&bytes).mode(Mode::LocalOnly)).unwrap().verdict, Outcome::Hit);
        assert_ne!(best(engine, 4), 4);
        assert_eq!(engine.index_len().unwrap(), 3);
        assert_eq!(engine.index_extent().unwrap(), engine.catalog().extent().unwrap());
        assert!(engine.audit().unwrap().is_sound());
    }
}

#[test]
fn of_edited_copies_that_workers_check_with_pgvector_at_the_same_time_one_is_new() {
    let Some(home) = PostgresHome::with_pgvector() else { return };
    let bench = Bench::new();
    check_copies_at_once(4, 3, |name| searcher(&bench, &home, name));
}

#[test]
fn the_index_comes_with_enough_pictures_and_again_where_making_it_was_cut_off_or_it_was_dropped() {
    let Some(home) = PostgresHome::with_pgvector() else { return };
    let bench = Bench::new();
    let engine = searcher(&bench, &home, "one");
    check_with(&engine, ADD, items(&[png(1), png(2)]));
    engine.settle_index().unwrap();
    assert_eq!(graph(&engine), GraphState::Missing, "two are looked at without");
    check_with(&engine, ADD, items(&[png(3), png(4), png(5)]));
    engine.settle_index().unwrap();
    assert_eq!(graph(&engine), GraphState::Valid);
    let mut outside = home.outside();
    outside
        .execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'search_vectors_hnsw'::regclass",
            &[],
        )
        .unwrap();
    assert_eq!((best(&engine, 4), graph(&engine)), (4, GraphState::NotValid));
    assert!(engine.catalog().problems().unwrap().is_empty(), "the home is sound all the same");
    engine.settle_index().unwrap();
    assert_eq!(graph(&engine), GraphState::Valid);
    outside.batch_execute("DROP INDEX search_vectors_hnsw").unwrap();
    assert_eq!(best(&engine, 5), 5);
    engine.settle_index().unwrap();
    assert_eq!((best(&engine, 5), graph(&engine)), (5, GraphState::Valid));
}

#[test]
fn vectors_that_are_made_anew_are_searched_when_all_are_there_and_not_before() {
    let Some(home) = PostgresHome::with_pgvector() else { return };
    let bench = Bench::new();
    let (one, other) = (searcher(&bench, &home, "one"), searcher(&bench, &home, "other"));
    check_with(&one, ADD, items(&(1..=6).map(png).collect::<Vec<_>>()));
    assert_eq!(best(&other, 6), 6);
    // As a worker leaves it that was killed while it copied.
    home.outside()
        .batch_execute("DELETE FROM search_vectors WHERE photo_id > 2; UPDATE search_state SET filled_to = 2, fill_end = 6")
        .unwrap();
    assert!(!one.catalog().search_facts().unwrap().unwrap().is_ready);
    assert_eq!((best(&other, 6), other.index_len().unwrap()), (6, 6), "it went on where that one ended");
    home.outside()
        .batch_execute(
            "DROP TRIGGER search_vectors_follow ON embeddings; DROP TABLE search_vectors, search_state",
        )
        .unwrap();
    assert_eq!(best(&other, 3), 3);
    check_with(&other, ADD, items(&[png(7)]));
    assert_eq!(best(&one, 7), 7);
    std::thread::scope(|scope| {
        let searching = scope.spawn(|| (0..12).map(|n| best(&other, 1 + n % 7)).collect::<Vec<_>>());
        let mut made = 0;
        while made < 2 {
            match one.remake_index() {
                Ok(()) => made += 1,
                // The other one may be making the index.
                Err(error) => assert_eq!(error.code(), "database_failed", "{error}"),
            }
        }
        let expected: Vec<i64> = (0..12).map(|n| 1 + n % 7).collect();
        assert_eq!(searching.join().unwrap(), expected);
    });
}

#[test]
fn a_damaged_vector_is_left_out_and_the_others_are_searched() {
    let Some(home) = PostgresHome::with_pgvector() else { return };
    let bench = Bench::new();
    let without = local(&bench, &home);
    check_with(&without, ADD, items(&(1..=5).map(png).collect::<Vec<_>>()));
    // The second is no number any more, the third a quarter as long, the fourth another one that only its sum gives away.
    home.outside()
        .batch_execute(
            "UPDATE embeddings SET vector = set_byte(set_byte(vector, 3, 127), 2, 192) WHERE photo_id = 2;
             UPDATE embeddings SET vector = substr(vector, 1, length(vector) / 4) WHERE photo_id = 3;
             UPDATE embeddings SET vector = set_bit(vector, 3, 1 - get_bit(vector, 3)) WHERE photo_id = 4",
        )
        .unwrap();
    let engine = searcher(&bench, &home, "searcher");
    let facts = engine.catalog().search_facts().unwrap();
    assert_eq!(facts.unwrap().vectors, 0, "nothing is made before it is needed");
    assert_eq!((best(&engine, 1), best(&engine, 5)), (1, 5));
    let facts = engine.catalog().search_facts().unwrap().unwrap();
    assert_eq!((facts.vectors, facts.stored, facts.is_ready), (3, 5, true));
    let near = engine.similar(&png(4), 9, &PhotoFilter::default()).unwrap();
    assert_eq!(near.iter().map(|near| near.photo_id.0).collect::<BTreeSet<_>>(), [1, 5].into());
}

#[test]
fn a_home_that_goes_over_to_another_model_is_searched_with_that_models_vectors() {
    let Some(home) = PostgresHome::with_pgvector() else { return };
    let bench = Bench::new();
    let engine = searcher(&bench, &home, "before");
    check_with(&engine, ADD, items(&(1..=5).map(png).collect::<Vec<_>>()));
    engine.settle_index().unwrap();
    assert_eq!((best(&engine, 5), graph(&engine)), (5, GraphState::Valid));
    let folder = tempfile::tempdir().unwrap();
    let files = (1..=5).map(|seed| {
        let path = folder.path().join(format!("{seed}.png"));
        std::fs::write(&path, png(seed)).unwrap();
        path
    });
    let next = || {
        let mut embedder = FakeEmbedder::new();
        embedder.fingerprint.digest = "other".into();
        Engine::builder(home.worker("next"))
            .embedder(Arc::new(embedder))
            .clock(bench.clock.clone())
            .index(IndexMode::Pgvector)
            .exact_max(2)
    };
    let originals = Originals { files: files.collect(), fetcher: None, leave_the_rest: false };
    let done = next().reembed(&originals, &|_| {}).unwrap();
    assert!(done.done && done.embedded == 5, "{done:?}");
    let refused = engine.similar(&png(1), 1, &PhotoFilter::default()).unwrap_err();
    assert_eq!(refused.code(), "model_changed");
    let after = next().open().unwrap();
    assert_eq!((best(&after, 5), after.index_len().unwrap()), (5, 5));
    assert_eq!(graph(&after), GraphState::Valid);
    assert!(after.audit().unwrap().is_sound());
}

#[test]
fn exact_answers_are_exact_where_half_precision_cannot_tell_the_pictures_apart() {
    let Some(home) = PostgresHome::with_pgvector() else { return };
    let store = home.open();
    store.claim_model(&fingerprint("fake")).unwrap();
    // From 40 on, neighbours score less than a thousandth apart.
    let made: Vec<Made> = (1..=255).map(Made::of).collect();
    let photos: Vec<NewPhoto<'_>> = made.iter().map(Made::photo).collect();
    let stored = store.store_photos(&photos).unwrap();
    store.prepare_search(3, 300, false, &|_, _, _| {}).unwrap();
    for seed in [0, 40, 100, 254] {
        let query = &made[seed].embedding;
        let mut scores: Vec<(PhotoId, f32)> = stored
            .iter()
            .zip(&made)
            .map(|(stored, made)| (stored.photo_id, query.cosine(&made.embedding)))
            .collect();
        scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for k in [1, 5, 20] {
            assert_eq!(store.nearest_exactly(query, k, None).unwrap().unwrap(), scores[..k], "{seed}, {k}");
            let odd: Vec<(PhotoId, f32)> = scores.iter().copied().filter(|(id, _)| id.0 % 2 == 1).collect();
            let among: Vec<PhotoId> = odd.iter().map(|(photo_id, _)| *photo_id).collect();
            let found = store.nearest_exactly(query, k, Some(&among)).unwrap().unwrap();
            assert_eq!(found, odd[..k], "{seed}, {k} among the odd ones");
        }
        assert_eq!(store.nearest_exactly(query, 5, Some(&[])).unwrap(), Some(Vec::new()));
        let all = store.nearest_exactly(query, 999, None).unwrap().unwrap();
        assert_eq!(all, scores);
    }
    assert_eq!(store.search_reach(None).unwrap().unwrap().came, 255);
    let last = store_photo(&store, 0);
    let reach = store.search_reach(Some(store.extent().unwrap())).unwrap().unwrap();
    assert_eq!(
        (reach.came, reach.went, reach.extent.last_photo_id, reach.has_graph),
        (0, 0, Some(last), false)
    );
    let before = reach.extent;
    store.forget(&[last, stored[0].photo_id]).unwrap();
    store_photo(&store, 0);
    let reach = store.search_reach(Some(before)).unwrap().unwrap();
    assert_eq!((reach.came, reach.went), (1, 2));
}

#[test]
fn where_pgvector_cannot_search_the_error_says_why_and_no_home_is_made() {
    let bench = Bench::new();
    let folder = bench.home.path().join("not-there-yet");
    let error = bench.builder_on(&folder).index(IndexMode::Pgvector).open().unwrap_err();
    assert_eq!(error.code(), "pgvector_unavailable");
    assert!(error.to_string().contains("folder") && !folder.exists(), "{error}");
    let shell = Shell::alone().with_home();
    let by_variable = Ran::of(shell.command(&["--json", "doctor"]).env("TONGKUAN_INDEX", "pgvector"));
    assert!(by_variable.status == 2 && by_variable.out.contains("pgvector_unavailable"), "{by_variable:?}");
    let odd = Ran::of(shell.command(&["stats"]).env("TONGKUAN_INDEX", "odd"));
    assert!(odd.status == 2 && odd.err.contains("local or pgvector"), "{odd:?}");
    // Debian's server, which has no such extension in its database.
    let Some(home) = PostgresHome::new() else { return };
    let error = bench.builder_on(home.worker("w")).index(IndexMode::Pgvector).open().unwrap_err();
    assert_eq!(error.code(), "pgvector_unavailable");
    assert!(error.to_string().contains("CREATE EXTENSION vector"), "{error}");
}

#[test]
fn the_command_line_searches_with_pgvector_by_option_variable_and_file_and_doctor_tells_of_it() {
    let Some(home) = PostgresHome::with_pgvector() else { return };
    let shell = Shell::with_sandbox();
    let address = home.text("cli");
    for number in 3..6 {
        shell.good(number, &format!("own/{number}.jpg"));
    }
    let run = |args: &[&str]| {
        let ran = Ran::of(
            shell
                .command(&[&["--home", &address, "--json"], args].concat())
                .env("TONGKUAN_INDEX", "pgvector"),
        );
        assert!(ran.status < 2 && !ran.err.contains("panicked"), "{args:?}: {ran:?}");
        ran
    };
    let told = |ran: &Ran| {
        let line = ran.lines().into_iter().find(|line| line["check"] == "pgvector");
        line.map(|line| line["detail"].as_str().unwrap().to_owned())
    };
    assert_eq!(run(&["add", "own"]).lines().len(), 3);
    let known = shell.good(4, "again.jpg");
    assert_eq!(run(&["search", text(&known)]).json()["verdict"], "hit");
    let similar = run(&["similar", text(&known)]);
    assert!(similar.out.contains("photo_id"), "{similar:?}");
    let doctor = run(&["doctor", "--audit"]);
    let line = told(&doctor).unwrap();
    assert!(line.contains("3 of 3 vectors are there, no index") && line.contains("version 0."), "{line}");
    let without = shell.run(&["--home", &address, "--json", "doctor", "--index", "local"]);
    assert!(told(&without).unwrap().contains("does not use it"), "{without:?}");
    let mut config = std::fs::read_to_string(shell.path("config.toml")).unwrap();
    config.insert_str(0, "index = \"pgvector\"\n");
    shell.write("config.toml", config.as_bytes());
    let by_file = shell.run(&["--home", &address, "--json", "doctor"]);
    assert!(!told(&by_file).unwrap().contains("does not use it"), "{by_file:?}");
    let checked = shell.run(&["--home", &address, "--json", "check", text(&known)]).json();
    assert_eq!(checked["outcome"], "seen", "{checked}");
}
