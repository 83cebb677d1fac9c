//! A home in PostgreSQL whose server cannot be reached, lets nobody in, or goes away in the middle.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image::ImageFormat;
use tongkuan::clock::Clock as _;
use tongkuan::engine::{CachePolicy, Engine, EngineError, Mode, Outcome, PhotoRef, Query, Sameness, Source};
use tongkuan::home::Home;
use tongkuan::upstream::{GuardPolicy, SearchParams};
use tongkuan::verdict::Rule;

use crate::check::copy;
use crate::cli::Shell;
use crate::fakes::{Bench, encoded, offer, picture, png, query};
use crate::postgres_home::PostgresHome;

/// A server that asks for a password and takes none. Answers one connection after the other, for as long as this lives.
fn server_that_lets_nobody_in() -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let refusing = std::thread::spawn(move || {
        let mut passwords = Vec::new();
        let (mut stream, _) = listener.accept().unwrap();
        // Whether it can be encrypted: no.
        stream.read_exact(&mut [0; 8]).unwrap();
        stream.write_all(b"N").unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut rest = vec![0; u32::from_be_bytes(length) as usize - 4];
        stream.read_exact(&mut rest).unwrap();
        // The password, in clear.
        stream.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let mut password = vec![0; usize::from(head[4]) - 4];
        stream.read_exact(&mut password).unwrap();
        passwords.push(String::from_utf8_lossy(&password).trim_end_matches('\0').to_owned());
        let fields = b"SFATAL\0C28P01\0Mpassword authentication failed for user \"ann\"\0\0";
        let mut refusal = vec![b'E'];
        refusal.extend(u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
        refusal.extend(fields);
        stream.write_all(&refusal).unwrap();
        passwords
    });
    (port, refusing)
}

#[test]
fn a_wrong_password_is_a_typed_error_that_does_not_tell_it() {
    let (port, refusing) = server_that_lets_nobody_in();
    let shell = Shell::alone();
    let address = format!("postgres://ann@127.0.0.1:{port}/goods");
    let mut command = shell.command(&["--home", &address, "stats"]);
    let ran = crate::cli::Ran::of(command.env("PGPASSWORD", "s3cret"));
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("password authentication failed") && ran.err.contains("28P01"), "{ran:?}");
    assert!(!format!("{ran:?}").contains("s3cret"), "{ran:?}");
    assert_eq!(refusing.join().unwrap(), ["s3cret"], "it was sent");
}

#[test]
fn a_server_that_is_not_there_is_named_by_the_library_and_the_command_line() {
    let shell = Shell::alone();
    let folder = shell.folder.path().display();
    let address = format!("postgres://ann@/goods?host={folder}&folder={folder}/beside");
    let error = Engine::builder(Home::parse(&address).unwrap()).open().unwrap_err();
    assert!(matches!(error, EngineError::Catalog(_)), "{error:?}");
    assert_eq!(error.code(), "database_not_opened");
    let ran = shell.run(&["--home", &address, "stats"]);
    assert!(ran.status == 2 && ran.err.contains("schema=tongkuan"), "{ran:?}");
}

/// A way to the server that can be cut.
#[cfg(unix)]
struct Proxy {
    port: u16,
    state: Arc<Mutex<ProxyState>>,
}

#[cfg(unix)]
#[derive(Default)]
struct ProxyState {
    is_cut: bool,
    connections: Vec<TcpStream>,
}

#[cfg(unix)]
impl Proxy {
    fn to(socket: std::path::PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<ProxyState>>::default();
        let shared = Arc::clone(&state);
        // Ends with the process of the test.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let mut state = shared.lock().unwrap();
                if state.is_cut {
                    continue;
                }
                let server = std::os::unix::net::UnixStream::connect(&socket).unwrap();
                state.connections.push(client.try_clone().unwrap());
                let (mut from_client, mut to_server) =
                    (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (mut from_server, mut to_client) = (server, client);
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from_client, &mut to_server);
                    let _ = to_server.shutdown(std::net::Shutdown::Both);
                });
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from_server, &mut to_client);
                    let _ = to_client.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Self { port, state }
    }

    fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_cut = true;
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.state.lock().unwrap().is_cut = false;
    }
}

#[cfg(unix)]
fn far_worker(bench: &Bench, home: &PostgresHome, proxy: &Proxy, folder: &str) -> Engine {
    let server = format!("postgres://tongkuan@127.0.0.1:{}/postgres", proxy.port);
    let home = Home::parse(home.address_by(&server, folder)).unwrap();
    let policy = GuardPolicy::default().min_interval(Duration::ZERO);
    bench.builder_on(home).upstream(bench.upstream.clone(), policy, CachePolicy::default()).open().unwrap()
}

#[cfg(unix)]
fn proxied(home: &PostgresHome) -> Option<Proxy> {
    let socket = home.socket().filter(|socket| socket.exists());
    if socket.is_none() {
        eprintln!("skipped: the server has no socket that is known here");
    }
    socket.map(Proxy::to)
}

#[cfg(unix)]
#[test]
fn a_worker_whose_server_goes_away_says_so_and_goes_on_when_it_is_back() {
    let Some(home) = PostgresHome::new() else { return };
    let Some(proxy) = proxied(&home) else { return };
    let bench = Bench::new();
    let engine = far_worker(&bench, &home, &proxy, "far");
    assert_eq!(engine.search(&query(&png(1))).unwrap().verdict, Outcome::Miss);
    proxy.cut();
    let error = engine.search(&query(&png(2))).unwrap_err();
    assert_eq!(error.code(), "database_failed", "{error}");
    assert_eq!(bench.calls(), 1, "what cannot be booked is not asked");
    proxy.mend();
    assert_eq!(engine.search(&query(&png(1))).unwrap().verdict, Outcome::Hit);
    assert_eq!(engine.search(&query(&png(2))).unwrap().upstream_calls, 1);
}

#[cfg(unix)]
#[test]
fn an_answer_that_was_paid_for_while_the_server_went_away_is_given_and_stored_when_it_is_back() {
    let Some(home) = PostgresHome::new() else { return };
    let Some(proxy) = proxied(&home) else { return };
    let bench = Bench::new();
    let engine = far_worker(&bench, &home, &proxy, "far");
    let holding = bench.upstream.hanging.lock().unwrap();
    let answer = std::thread::scope(|scope| {
        let searching = scope.spawn(|| engine.search(&query(&png(1))));
        while bench.calls() == 0 {
            std::thread::yield_now();
        }
        proxy.cut();
        drop(holding);
        searching.join().unwrap().unwrap()
    });
    assert_eq!((answer.source, answer.upstream_calls, answer.offers.len()), (Source::Upstream, 1, 2));
    assert!(answer.unstored.unwrap().set_aside, "in the folder beside the database");
    // For this worker it is known.
    let waiting = engine.search(&query(&png(1))).unwrap();
    assert_eq!((waiting.verdict, waiting.upstream_calls), (Outcome::Hit, 0), "{waiting:?}");
    assert!(waiting.offers == answer.offers && waiting.as_of.is_some(), "{waiting:?}");
    drop(engine);
    proxy.mend();
    // Another process of this machine finds it, stores it, and all workers have it.
    let next = far_worker(&bench, &home, &proxy, "far");
    let again = next.search(&query(&png(1))).unwrap();
    assert_eq!((again.verdict, again.upstream_calls, &again.offers), (Outcome::Hit, 0, &answer.offers));
    let elsewhere = far_worker(&bench, &home, &proxy, "elsewhere");
    let there = elsewhere.search(&query(&png(1)).mode(Mode::LocalOnly)).unwrap();
    assert_eq!((there.verdict, &there.offers), (Outcome::Hit, &answer.offers));
    assert_eq!(next.quota().unwrap()[0].used, 1, "the booking has stayed");
}

/// That a search is what it was before anything was kept: an error, and no call.
#[cfg(unix)]
fn fails(engine: &Engine, query: &Query<'_>) {
    let error = engine.search(query).unwrap_err();
    assert_eq!(error.code(), "database_failed", "{error}");
}

#[cfg(unix)]
#[test]
fn hits_go_on_while_the_server_is_away_and_say_as_of_when_and_nothing_else_does() {
    let Some(home) = PostgresHome::new() else { return };
    let Some(proxy) = proxied(&home) else { return };
    let bench = Bench::new();
    let engine = far_worker(&bench, &home, &proxy, "far");
    let paid = engine.search(&query(&png(1))).unwrap();
    engine.search(&query(&png(2))).unwrap();
    let (same_pixels, seen, other) = (encoded(&picture(1), ImageFormat::Bmp), copy(1, 80), copy(1, 90));
    for known in [&same_pixels, &seen] {
        assert_eq!(engine.search(&query(known)).unwrap().verdict, Outcome::Hit);
    }
    proxy.cut();
    let as_of = bench.clock.now();
    bench.clock.sleep(Duration::from_mins(59));
    for (bytes, rule) in [
        (&png(1), Rule::SameBytes),
        (&same_pixels, Rule::SamePixels),
        (&seen, Rule::SamePicture),
        // Never seen before: by the index, the sketches and the words that are kept.
        (&other, Rule::SamePicture),
    ] {
        for answer in
            [engine.search(&query(bytes)).unwrap(), engine.search_known(&query(bytes)).unwrap().unwrap()]
        {
            assert_eq!((answer.verdict, answer.source), (Outcome::Hit, Source::Local), "{rule}: {answer:?}");
            assert_eq!((answer.rule(), answer.as_of), (Some(rule), Some(as_of)), "{answer:?}");
            assert_eq!((&answer.offers, answer.total_offers), (&paid.offers, paid.total_offers));
            assert_eq!(answer.matched.as_ref().unwrap().label, "a.jpg");
            assert!(answer.warnings[0].contains("away"), "{answer:?}");
            let json = serde_json::to_value(&answer).unwrap();
            assert_eq!(json["as_of"], as_of.to_string(), "{json}");
        }
    }
    let known = png(1);
    fails(&engine, &query(&png(3)));
    fails(&engine, &query(&known).mode(Mode::Refresh));
    fails(&engine, &query(&known).mode(Mode::Bypass));
    fails(&engine, &query(&known).params(SearchParams::default().page(2)));
    assert!(engine.recognise(&known).is_err() && engine.photo_of(&known).is_err());
    let added = engine.add_own(&offer("A-1"), &png(4), "own.png");
    assert_eq!(added.unwrap_err().code(), "database_failed");
    assert_eq!(bench.calls(), 2, "nothing is asked");
    proxy.mend();
    let back = engine.search(&query(&known)).unwrap();
    assert_eq!((back.verdict, back.as_of, back.warnings.len()), (Outcome::Hit, None, 0));
    assert!(serde_json::to_value(&back).unwrap().get("as_of").is_none());
    assert_eq!(engine.quota().unwrap()[0].used, 2, "and nothing was booked");
    assert_eq!(engine.catalog().queue_counts().unwrap().stale, 0);
}

#[cfg(unix)]
#[test]
fn an_hour_after_the_server_was_last_heard_and_beyond_an_answers_age_hits_end_as_well() {
    let Some(home) = PostgresHome::new() else { return };
    let Some(proxy) = proxied(&home) else { return };
    let bench = Bench::new();
    let engine = far_worker(&bench, &home, &proxy, "far");
    engine.search(&query(&png(1))).unwrap();
    proxy.cut();
    bench.clock.sleep(Duration::from_hours(1));
    let (known, too_old) = (png(1), Duration::from_hours(1));
    fails(&engine, &query(&known).max_age(too_old));
    // Where nothing may be asked, an old answer is the best there is, as ever.
    let old = engine.search(&query(&known).max_age(too_old).mode(Mode::LocalOnly)).unwrap();
    assert_eq!((old.verdict, old.stale), (Outcome::Hit, true));
    assert_eq!(engine.search(&query(&known)).unwrap().verdict, Outcome::Hit);
    bench.clock.sleep(Duration::from_millis(1));
    fails(&engine, &query(&known));
    fails(&engine, &query(&known).mode(Mode::LocalOnly));
    proxy.mend();
    assert_eq!(engine.search(&query(&known)).unwrap().verdict, Outcome::Hit);
}

#[cfg(unix)]
#[test]
fn what_was_forgotten_anywhere_is_not_answered_while_the_server_is_away() {
    let Some(home) = PostgresHome::new() else { return };
    let Some(proxy) = proxied(&home) else { return };
    let bench = Bench::new();
    let (engine, elsewhere) =
        (far_worker(&bench, &home, &proxy, "far"), far_worker(&bench, &home, &proxy, "elsewhere"));
    for seed in 1..=3 {
        engine.search(&query(&png(seed))).unwrap();
        assert_eq!(engine.search(&query(&png(seed))).unwrap().verdict, Outcome::Hit);
    }
    let there = elsewhere.photo_of(&png(1)).unwrap().unwrap();
    elsewhere.forget(&[there]).unwrap();
    // Any search hears of it.
    engine.search(&query(&png(2))).unwrap();
    let here = engine.photo_of(&png(3)).unwrap().unwrap();
    engine.forget(&[here]).unwrap();
    proxy.cut();
    fails(&engine, &query(&png(1)));
    fails(&engine, &query(&png(3)));
    assert_eq!(engine.search(&query(&png(2))).unwrap().verdict, Outcome::Hit);
}

#[cfg(unix)]
#[test]
fn after_a_persons_word_only_what_does_not_rest_on_it_is_answered_while_the_server_is_away() {
    let Some(home) = PostgresHome::new() else { return };
    let Some(proxy) = proxied(&home) else { return };
    let bench = Bench::new();
    let (engine, elsewhere) =
        (far_worker(&bench, &home, &proxy, "far"), far_worker(&bench, &home, &proxy, "elsewhere"));
    engine.search(&query(&png(1))).unwrap();
    engine.search(&query(&png(2))).unwrap();
    let (seen, other) = (copy(1, 80), copy(1, 90));
    assert_eq!(engine.search(&query(&seen)).unwrap().verdict, Outcome::Hit);
    let [one, two] = [1, 2].map(|seed| elsewhere.photo_of(&png(seed)).unwrap().unwrap());
    elsewhere.tell(PhotoRef::Photo(one), PhotoRef::Photo(two), Sameness::Different).unwrap();
    assert_eq!(engine.search(&query(&png(1))).unwrap().verdict, Outcome::Hit);
    proxy.cut();
    fails(&engine, &query(&seen));
    fails(&engine, &query(&other));
    assert_eq!(engine.search(&query(&png(1))).unwrap().rule(), Some(Rule::SameBytes));
    proxy.mend();
    // The next that is recognised by sight reads all words anew.
    assert_eq!(engine.search(&query(&seen)).unwrap().verdict, Outcome::Hit);
    proxy.cut();
    let answer = engine.search(&query(&other)).unwrap();
    assert_eq!((answer.verdict, answer.rule()), (Outcome::Hit, Some(Rule::SamePicture)));
    assert!(answer.as_of.is_some());
}

#[cfg(unix)]
#[test]
fn what_was_stored_when_the_server_went_away_is_asked_about_by_the_run_that_resumes() {
    const PICTURES: usize = 5;
    let Some(home) = PostgresHome::new() else { return };
    let Some(proxy) = proxied(&home) else { return };
    let shell = Shell::with_sandbox();
    let config = std::fs::read_to_string(shell.path("config.toml")).unwrap();
    // Time to cut the way between two calls.
    let paced = config.replace("min_interval_ms = 0", "min_interval_ms = 500");
    shell.write("config.toml", paced.as_bytes());
    for number in 0..PICTURES {
        shell.good(number, &format!("pictures/{number}.jpg"));
    }
    let address = home.address_by(&format!("postgres://tongkuan@127.0.0.1:{}/postgres", proxy.port), "far");
    let args =
        ["--home", &address, "check", "--add", "--ask", "--out", "told.ndjson", "--resume", "pictures"];
    let asked = || shell.sandbox().counters().searches_ok;
    let mut child = shell.command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while asked() == 0 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    proxy.cut();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(asked() < PICTURES as u64, "the server was away");
    proxy.mend();
    let ran = shell.run(&args);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(asked(), PICTURES as u64, "each is asked about, and none twice");
    let told = std::fs::read_to_string(shell.path("told.ndjson")).unwrap();
    let told: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), PICTURES);
    assert!(told.iter().all(|line| line["added"] == true && line["unanswered"].is_null()), "{told:?}");
}
