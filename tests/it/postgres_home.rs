//! A home in a real PostgreSQL, and what is asked of it beside the battery (`store.rs`). `.ci/postgres` starts a server and
//! tells its address; without one these tests say that they were skipped.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use tongkuan::catalog::{CatalogError, DatabaseTrouble};
use tongkuan::home::Home;
use tongkuan::photo_id::PhotoId;
use tongkuan::postgres::{PostgresAddress, PostgresStore};
use tongkuan::store::{
    CheckStore as _, NewPhoto, Patience, PhotoStore as _, SpendStore as _, StoredVector, Subject,
    ViewStore as _,
};
use tongkuan::upstream::{Booking, Ledger as _, LedgerError, QuotaDay};

use crate::store::{Made, NOW, fingerprint, store_photo};

/// A schema of its own on the test server, which goes with this.
pub(crate) struct PostgresHome {
    server: String,
    schema: String,
    /// Of its address, beside the schema and the folder.
    parameters: &'static str,
    folder: tempfile::TempDir,
}

impl PostgresHome {
    /// `None` where there is no server for tests.
    pub(crate) fn new() -> Option<Self> {
        let Ok(server) = std::env::var("TONGKUAN_TEST_POSTGRES") else {
            eprintln!(
                "skipped: TONGKUAN_TEST_POSTGRES names no PostgreSQL server (.ci/postgres COMMAND starts one)"
            );
            return None;
        };
        Some(Self::on(server))
    }

    /// On a server that has pgvector; `None` where there is none for tests.
    pub(crate) fn with_pgvector() -> Option<Self> {
        let Ok(server) = std::env::var("TONGKUAN_TEST_PGVECTOR") else {
            eprintln!(
                "skipped: TONGKUAN_TEST_PGVECTOR names no PostgreSQL server with pgvector (.ci/postgres COMMAND starts one)"
            );
            return None;
        };
        Some(Self::on(server))
    }

    /// On the server at this address.
    pub(crate) fn on(server: String) -> Self {
        static HOMES: AtomicU32 = AtomicU32::new(0);
        let number = HOMES.fetch_add(1, Ordering::Relaxed);
        let schema = format!("t{}_{number}", std::process::id());
        let home = Self { server, schema, parameters: "", folder: tempfile::tempdir().unwrap() };
        // Another process had the same number before.
        home.drop_schema();
        home
    }

    /// With its large tables in three partitions.
    pub(crate) fn partitioned(mut self) -> Self {
        self.parameters = "&partitions=3";
        self
    }

    fn address(&self) -> PostgresAddress {
        PostgresAddress::parse(&self.address_by(&self.server, "store")).unwrap()
    }

    /// The home's address as people write it, by another way to the server, with a folder of this name beside it.
    pub(crate) fn address_by(&self, server: &str, folder: &str) -> String {
        let sign = if server.contains('?') { '&' } else { '?' };
        let folder = self.folder.path().join(folder);
        format!("{server}{sign}schema={}{}&folder={}", self.schema, self.parameters, folder.display())
    }

    /// The home as a worker knows it that has this folder.
    pub(crate) fn worker(&self, folder: &str) -> Home {
        Home::parse(self.text(folder)).unwrap()
    }

    /// As [`worker`](Self::worker), as people write it.
    pub(crate) fn text(&self, folder: &str) -> String {
        self.address_by(&self.server, folder)
    }

    /// The folder of the server's socket.
    pub(crate) fn socket(&self) -> Option<std::path::PathBuf> {
        let part = |name| self.server.split_once(name).and_then(|(_, rest)| rest.split('&').next());
        Some(format!("/{}/.s.PGSQL.{}", part("host=/")?, part("port=").unwrap_or("5432")).into())
    }

    pub(crate) fn open(&self) -> PostgresStore {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<PostgresStore, CatalogError> {
        PostgresStore::open(&self.address(), self.folder.path())
    }

    /// Someone who looks at the tables from outside.
    pub(crate) fn outside(&self) -> Client {
        let mut client = Client::connect(&self.server, NoTls).unwrap();
        client.batch_execute(&format!("SET search_path TO {}", self.schema)).unwrap();
        client
    }

    /// Its name on the server.
    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The schemas that have to do with this home, by what stands behind its name.
    pub(crate) fn schemas(&self) -> Vec<String> {
        let found = self.outside().query(
            "SELECT substr(nspname, length($1) + 1) FROM pg_namespace
             WHERE nspname = $1 OR nspname LIKE $1 || '\\_%' ORDER BY 1",
            &[&self.schema],
        );
        found.unwrap().iter().map(|row| row.get(0)).collect()
    }

    fn drop_schema(&self) {
        let mut client = Client::connect(&self.server, NoTls).unwrap();
        let schema = &self.schema;
        let drop = format!(
            "SET client_min_messages = warning;
             DROP SCHEMA IF EXISTS {schema}, {schema}_arriving, {schema}_replaced_1 CASCADE"
        );
        client.batch_execute(&drop).unwrap();
    }
}

impl Drop for PostgresHome {
    fn drop(&mut self) {
        self.drop_schema();
    }
}

/// Ends all connections to the home, as a server does that is started anew.
fn end_connections(home: &PostgresHome) {
    let ended = home.outside().query(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = $1",
        &[&format!("tongkuan {}", home.schema)],
    );
    assert!(!ended.unwrap().is_empty(), "there was something to end");
}

#[test]
fn many_that_open_a_home_at_once_make_one_schema() {
    let Some(home) = PostgresHome::new() else { return };
    std::thread::scope(|scope| {
        let opening: Vec<_> = (0..6).map(|_| scope.spawn(|| home.try_open().map(drop))).collect();
        for opened in opening {
            opened.join().unwrap().unwrap();
        }
    });
    let rows = home.outside().query("SELECT version FROM format", &[]).unwrap();
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>(), [3]);
}

#[test]
fn a_home_that_is_made_with_partitions_spreads_vectors_and_sketches_over_them() {
    for home in [PostgresHome::new(), PostgresHome::with_pgvector()].into_iter().flatten() {
        let home = home.partitioned();
        let store = home.open();
        let photo_ids: Vec<_> = (1..=40).map(|seed| store_photo(&store, seed)).collect();
        for table in ["embeddings", "sketches"] {
            let sql = format!(
                "SELECT t.tableoid::regclass::text, count(*), bool_and(attstorage = 'e') FROM {table} AS t, pg_attribute
                 WHERE attrelid = t.tableoid AND attname IN ('vector', 'sketch') GROUP BY 1"
            );
            let parts = home.outside().query(&sql, &[]).unwrap();
            assert_eq!(parts.iter().map(|part| part.get::<_, i64>(1)).sum::<i64>(), 40);
            assert_eq!(parts.len(), 3, "each has some");
            assert!(parts.iter().all(|part| part.get(2)), "none is packed");
        }
        // They are read in the order of their numbers, whichever part they are in.
        let chunk = store.embeddings_after(None, 100).unwrap();
        assert_eq!(chunk.embeddings.iter().map(|(photo_id, _)| *photo_id).collect::<Vec<_>>(), photo_ids);
        store.forget(&photo_ids[7..8]).unwrap();
        assert_eq!(store.embeddings_after(None, 100).unwrap().embeddings.len(), 39);
    }
}

#[test]
fn a_home_that_is_there_keeps_the_partitions_that_it_was_made_with() {
    let (Some(whole), Some(other)) = (PostgresHome::new(), PostgresHome::new()) else { return };
    drop(whole.open());
    let error = whole.partitioned().try_open().unwrap_err().to_string();
    assert!(error.contains("without partitions") && error.contains("partitions=3"), "{error}");
    let mut in_three = other.partitioned();
    drop(in_three.open());
    in_three.parameters = "&partitions=4";
    let error = in_three.try_open().unwrap_err().to_string();
    assert!(error.contains("with partitions=3") && error.contains("--restart"), "{error}");
    in_three.parameters = "";
    in_three.open();
}

#[test]
fn homes_in_one_database_know_nothing_of_each_other() {
    let (Some(one), Some(other)) = (PostgresHome::new(), PostgresHome::new()) else { return };
    let (one, other) = (one.open(), other.open());
    store_photo(&one, 1);
    assert_eq!((one.photo_count().unwrap(), other.photo_count().unwrap()), (1, 0));
    assert_ne!(one.location(), other.location());
    assert!(one.location().starts_with("postgres://"), "{}", one.location());
}

#[test]
fn a_home_of_a_later_version_is_refused_and_left_as_it_is() {
    let Some(home) = PostgresHome::new() else { return };
    drop(home.open());
    home.outside().execute("UPDATE format SET version = 99", &[]).unwrap();
    let error = home.try_open().unwrap_err();
    assert!(matches!(error, CatalogError::TooNew { found: 99, known: 3 }), "{error}");
    let row = home.outside().query_one("SELECT version FROM format", &[]).unwrap();
    assert_eq!(row.get::<_, i64>(0), 99);
}

#[test]
fn a_server_that_cannot_be_reached_is_named_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str| (name == "PGPASSWORD").then(|| "s3cret".to_owned());
    let address = format!("postgres://ann@/d?host={}", folder.path().display());
    let address = PostgresAddress::parse_with(&address, &secret).unwrap();
    let error = PostgresStore::open(&address, folder.path()).unwrap_err();
    assert_eq!(error.code(), "database_not_opened");
    let said = format!("{error} {error:?} {address:?}");
    assert!(said.contains("schema=tongkuan") && !said.contains("s3cret"), "{said}");
}

#[test]
fn the_feed_has_no_gap_that_is_filled_later_however_many_write() {
    const WRITERS: u8 = 4;
    const EACH: u8 = 15;
    let Some(home) = PostgresHome::new() else { return };
    let follower = home.open();
    let mut fed = Vec::new();
    let mut after = None;
    let mut follow = |fed: &mut Vec<PhotoId>| {
        let chunk = follower.embeddings_after(after, 1000).unwrap();
        fed.extend(chunk.embeddings.iter().map(|(photo_id, _)| *photo_id));
        after = chunk.last.or(after);
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = home.open();
                scope.spawn(move || {
                    for seed in 0..EACH {
                        store_photo(&store, writer * EACH + seed);
                    }
                })
            })
            .collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            follow(&mut fed);
        }
    });
    follow(&mut fed);
    assert_eq!(fed.len(), usize::from(WRITERS * EACH), "one that follows by numbers has missed none");
    assert!(fed.is_sorted());
}

#[test]
fn many_workers_book_exactly_what_the_budget_holds_at_its_pace() {
    let Some(home) = PostgresHome::new() else { return };
    let day = QuotaDay::of(NOW);
    let booking = Booking {
        profile: "fake",
        day,
        budget: 10,
        now: NOW,
        min_interval: Duration::from_secs(1),
        max_ahead: Duration::from_mins(2),
    };
    let booked: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let (store, booking) = (home.open(), booking.clone());
                scope.spawn(move || (0..5).map(|_| store.reserve(&booking)).collect::<Vec<_>>())
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let spent = LedgerError::BudgetSpent { used: 10 };
    assert!(
        booked.iter().all(|result| result.as_ref().err().is_none_or(|error| *error == spent)),
        "{booked:?}"
    );
    let mut starts: Vec<_> = booked.iter().flatten().map(|reservation| reservation.start_at).collect();
    starts.sort();
    let paced: Vec<_> = (0..10).map(|second| NOW.plus(Duration::from_secs(second))).collect();
    assert_eq!(starts, paced);
    assert_eq!(home.open().call_starts("fake", &day).unwrap(), paced);
}

#[test]
fn a_lease_that_is_not_renewed_ends_and_its_holder_cannot_end_the_next_one() {
    let Some(home) = PostgresHome::new() else { return };
    let (late, next) = (home.open(), home.open());
    let asked = Made::of(1).embedding;
    let lost = late.take_turn_from(None, Subject::New(&asked), "q", 0.9).unwrap().unwrap();
    assert!(next.take_turn_from(None, Subject::New(&asked), "q", 0.9).unwrap().is_err());
    let mut outside = home.outside();
    let lasts =
        outside.query_one("SELECT extract(epoch FROM expires_at - now())::float8 FROM asking", &[]).unwrap();
    assert!((30.0..=61.0).contains(&lasts.get::<_, f64>(0)));
    outside.execute("UPDATE asking SET expires_at = now() - interval '1 second'", &[]).unwrap();
    let held = next.take_turn_from(None, Subject::New(&asked), "q", 0.9).unwrap();
    assert!(held.is_ok(), "its time is over");
    drop(lost);
    assert!(
        late.take_turn_from(None, Subject::New(&asked), "q", 0.9).unwrap().is_err(),
        "the late one has ended nothing but its own"
    );
}

#[test]
fn reading_and_writing_go_on_after_the_server_has_ended_all_connections() {
    let Some(home) = PostgresHome::new() else { return };
    let store = home.open();
    store_photo(&store, 1);
    assert_eq!(store.photo_count().unwrap(), 1);
    end_connections(&home);
    assert_eq!(store.photo_count().unwrap(), 1);
    store_photo(&store, 2);
    assert_eq!(store.photo_count().unwrap(), 2);
}

#[test]
fn a_group_whose_connection_is_cut_leaves_nothing_behind_and_holds_nobody_up() {
    let Some(home) = PostgresHome::new() else { return };
    let (one, other) = (home.open(), home.open());
    let added = one.add_checked(&mut |group| {
        group.add(&Made::of(1).photo())?;
        end_connections(&home);
        group.add(&Made::of(3).photo())?;
        Ok(true)
    });
    assert!(matches!(added, Err(CatalogError::Database { trouble: DatabaseTrouble::Away, .. })), "{added:?}");
    assert_eq!(other.photo_count().unwrap(), 0);
    store_photo(&other, 2);
    assert_eq!(one.photo_count().unwrap(), 1);
}

#[test]
fn a_write_that_others_hold_up_ends_with_the_threads_patience_and_says_what_it_waited_for() {
    let Some(home) = PostgresHome::new() else { return };
    let (one, other) = (home.open(), home.open());
    one.add_checked(&mut |_| {
        let _patience = Patience::limited_to(Duration::from_millis(200));
        let since = Instant::now();
        let error = other.store_photo(&Made::of(2).photo()).unwrap_err();
        assert!(error.is_about_writing(), "{error}");
        assert_eq!(error.code(), "database_failed");
        assert!(since.elapsed() >= Duration::from_millis(200));
        // The account is another lock: what is paid for is booked meanwhile.
        other.add_saved_calls(&QuotaDay::of(NOW), 1).unwrap();
        Ok(false)
    })
    .unwrap();
}

#[test]
fn texts_that_the_database_cannot_hold_are_kept_without_what_it_cannot() {
    let Some(home) = PostgresHome::new() else { return };
    let store = home.open();
    let made = Made::of(1);
    let photo = NewPhoto { label: "a\0b.png", ..made.photo() };
    let photo_id = store.store_photo(&photo).unwrap().photo_id;
    assert_eq!(store.photo(photo_id).unwrap().unwrap().label, "a\u{FFFD}b.png");
}

#[test]
fn a_flipped_bit_in_a_vector_is_found_and_told() {
    let Some(home) = PostgresHome::new() else { return };
    let store = home.open();
    store.claim_model(&fingerprint("fake")).unwrap();
    let photo_id = store_photo(&store, 1);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    store.on_damage(move |note| heard.lock().unwrap().push(note.to_string()));
    home.outside()
        .execute("UPDATE embeddings SET vector = set_bit(vector, 3, 1 - get_bit(vector, 3))", &[])
        .unwrap();
    let read = store.embedding(photo_id).unwrap();
    assert_eq!(read, StoredVector::Damaged);
    assert_eq!(told.lock().unwrap().len(), 1, "{told:?}");
}
