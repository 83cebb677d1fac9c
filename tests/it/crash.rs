//! `kill -9` at any moment, again and again on one home folder, while pictures are stored, pictures are forgotten and
//! the index is saved. `TONGKUAN_CRASH_ROUNDS=200 cargo test --locked crash -- --nocapture` makes it long.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tongkuan::engine::Engine;

use crate::fakes::{Bench, mix, png, query};

const SEED: u64 = 20_261_125;
const HOME: &str = "TONGKUAN_TEST_CRASH_IN";
const FIRST: &str = "TONGKUAN_TEST_CRASH_FROM";

/// Says what it is going to do, does it, says that it is done, for ever; the index is saved all the while.
fn work(home: &Path, first: u32) {
    let bench = Bench::new();
    let engine = bench.graph_builder(home).open().unwrap();
    let ended = AtomicBool::new(false);
    let say = |what: &str, seed: u32| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{what} {seed}").is_ok() && out.flush().is_ok()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                engine.remake_index().unwrap();
                engine.settle_index().unwrap();
            }
        });
        for seed in first..first + 400 {
            let mut go_on = say("storing", seed);
            let answer = engine.search(&query(&png(seed))).unwrap();
            assert!(answer.unanswered.is_none(), "{answer:?}");
            go_on &= say("stored", seed);
            let old =
                first + u32::try_from(mix(u64::from(seed), SEED) % u64::from(seed - first + 1)).unwrap();
            if seed % 5 == 4
                && let Some(photo_id) = engine.photo_of(&png(old)).unwrap()
            {
                go_on &= say("forgetting", old);
                engine.forget(&[photo_id]).unwrap();
                go_on &= say("forgotten", old);
            }
            if !go_on {
                break;
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
}

/// Runs a child until it is killed after `lines` lines and `pause`; returns what it said, whole lines only.
fn killed_after(home: &Path, first: u32, lines: usize, pause: Duration) -> Vec<(String, u32)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::nothing_acknowledged_is_lost_and_nothing_comes_up_that_nobody_stored"])
        .arg("--nocapture")
        .env(HOME, home)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((what, seed)) = line.split_once(' ') else { continue };
        let Ok(seed) = seed.parse() else { continue };
        if !["storing", "stored", "forgetting", "forgotten"].contains(&what) {
            continue;
        }
        said.push((what.to_owned(), seed));
        if said.len() == lines {
            let start = Instant::now();
            while start.elapsed() < pause {
                std::hint::spin_loop();
            }
            // SIGKILL, in the middle of whatever it is doing.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(said.len() >= lines, "the child ended by itself: {said:?}");
    said
}

/// Brings `there` to what must be stored; what was under way may have happened or not, so the catalogue is asked.
fn take_note(said: &[(String, u32)], there: &mut BTreeSet<u32>, engine: &Engine) {
    for (what, seed) in said {
        match what.as_str() {
            "stored" => there.insert(*seed),
            "forgotten" => there.remove(seed),
            _ => false,
        };
    }
    if let Some((what, seed)) = said.last()
        && ["storing", "forgetting"].contains(&what.as_str())
    {
        if engine.photo_of(&png(*seed)).unwrap().is_some() {
            there.insert(*seed);
        } else {
            there.remove(seed);
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_comes_up_that_nobody_stored() {
    if let (Ok(home), Ok(first)) = (std::env::var(HOME), std::env::var(FIRST)) {
        return work(Path::new(&home), first.parse().unwrap());
    }
    let rounds: u64 = std::env::var("TONGKUAN_CRASH_ROUNDS").map_or(4, |n| n.parse().unwrap());
    let bench = Bench::new();
    let (mut there, mut first) = (BTreeSet::new(), 0);
    for round in 0..rounds {
        let lines = usize::try_from(mix(2 * round, SEED) % 40).unwrap() + 1;
        let pause = Duration::from_micros(mix(2 * round + 1, SEED) % 20_000);
        println!("round {round} of seed {SEED}: killed after {lines} lines and {pause:?}");
        let said = killed_after(bench.home.path(), first, lines, pause);
        first = said.iter().map(|(_, seed)| seed + 1).max().unwrap().max(first);
        let engine = bench.engine_with_graph();
        take_note(&said, &mut there, &engine);
        let audit = engine.audit().unwrap();
        let gone = || {
            there.iter().filter(|seed| engine.photo_of(&png(**seed)).unwrap().is_none()).collect::<Vec<_>>()
        };
        assert!(
            audit.is_sound() && audit.photos == there.len(),
            "{audit:?}, expected {}; gone: {:?}; said: {said:?}",
            there.len(),
            gone()
        );
        for (_, seed) in &said {
            let png = png(*seed);
            assert_eq!(engine.photo_of(&png).unwrap().is_some(), there.contains(seed), "picture {seed}");
            if there.contains(seed) {
                assert_eq!(engine.search(&query(&png)).unwrap().offers.len(), 2, "picture {seed}");
            }
        }
        assert!(engine.catalog().problems().unwrap().is_empty());
    }
    let engine = bench.engine_with_graph();
    for seed in 0..first {
        assert_eq!(engine.photo_of(&png(seed)).unwrap().is_some(), there.contains(&seed), "picture {seed}");
    }
    println!("{rounds} kills, {first} pictures stored, {} of them not forgotten, none lost", there.len());
    assert_eq!(bench.calls(), 0, "all that is stored is answered from here");
}
