//! Encrypted connections to a real server, which `.ci/postgres` starts: whom they trust, and as whom they log in.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use tongkuan::catalog::CatalogError;
use tongkuan::postgres::{PostgresAddress, PostgresStore};
use tongkuan::store::PhotoStore as _;

use crate::cli::Shell;
use crate::postgres_home::PostgresHome;
use crate::store::store_photo;

/// What the server's other way takes: a port, certificates and a password.
struct Encrypted {
    home: PostgresHome,
    files: PathBuf,
}

impl Encrypted {
    /// `None` where there is no server for tests.
    fn new() -> Option<Self> {
        let home = PostgresHome::new()?;
        let Some(files) = std::env::var_os("TONGKUAN_TEST_POSTGRES_TLS") else {
            eprintln!("skipped: TONGKUAN_TEST_POSTGRES_TLS names no folder (.ci/postgres makes one)");
            return None;
        };
        Some(Self { home, files: files.into() })
    }

    fn file(&self, name: &str) -> String {
        self.files.join(name).display().to_string()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.files.join(name)).unwrap().trim().to_owned()
    }

    /// The home's address; the server is called `host`.
    fn address(&self, user: &str, host: &str, more: &str) -> String {
        let server =
            format!("postgres://{user}@{host}:{}/postgres?hostaddr=127.0.0.1{more}", self.read("port"));
        self.home.address_by(&server, "encrypted")
    }

    fn open(&self, address: &str) -> Result<PostgresStore, CatalogError> {
        let password = self.read("password");
        let password = |name: &str| (name == "PGPASSWORD").then(|| password.clone());
        let address = PostgresAddress::parse_with(address, &password)?;
        PostgresStore::open(&address, &self.files.join("../beside"))
    }

    /// By the certificate of ann.
    fn ann(&self, host: &str, more: &str) -> Result<PostgresStore, CatalogError> {
        let login = format!("{more}&sslcert={}&sslkey={}", self.file("ann.pem"), self.file("ann.key"));
        self.open(&self.address("ann", host, &login))
    }

    /// The home's address at the server that is given other certificates.
    fn certified(&self, more: &str) -> String {
        let port = self.read("certified-port");
        let server = format!("postgres://bob@db.test:{port}/postgres?hostaddr=127.0.0.1{more}");
        self.home.address_by(&server, "certified")
    }

    /// Gives that server another certificate.
    fn present(&self, certificate: &str) {
        let server = std::env::var("TONGKUAN_TEST_POSTGRES_CERTIFIED").unwrap();
        let connect = || Client::connect(&server, NoTls).unwrap();
        let path = self.file(certificate);
        let mut client = connect();
        client.batch_execute(&format!("ALTER SYSTEM SET ssl_cert_file = '{path}'")).unwrap();
        client.batch_execute("SELECT pg_reload_conf()").unwrap();
        // What a new connection is told, the next one is shown.
        let since = Instant::now();
        while connect().query_one("SHOW ssl_cert_file", &[]).unwrap().get::<_, String>(0) != path {
            assert!(since.elapsed() < Duration::from_secs(30), "{certificate} is not taken up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How the home's connections are encrypted: the protocol, and the subject of the client's certificate.
    fn seen(&self) -> Vec<(Option<String>, Option<String>)> {
        let rows = self.home.outside().query(
            "SELECT version, client_dn FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
             WHERE application_name = 'tongkuan ' || current_schema()",
            &[],
        );
        rows.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

#[test]
fn a_client_certificate_logs_in_at_a_server_that_is_verified() {
    let Some(server) = Encrypted::new() else { return };
    let roots = format!("&sslmode=verify-full&sslrootcert={}", server.file("authority.pem"));
    let store = server.ann("db.test", &roots).unwrap();
    store_photo(&store, 1);
    assert_eq!(store.photo_count().unwrap(), 1);
    let seen = server.seen();
    assert!(seen.len() >= 2, "one that writes, one that reads: {seen:?}");
    let ann = (Some("TLSv1.3".to_owned()), Some("/CN=ann".to_owned()));
    assert!(seen.iter().all(|connection| *connection == ann), "{seen:?}");
}

#[test]
fn a_server_of_another_authority_or_name_is_refused_before_anything_is_said() {
    let Some(server) = Encrypted::new() else { return };
    let mode = |mode: &str, roots: &str| format!("&sslmode={mode}&sslrootcert={}", server.file(roots));
    for other in
        [mode("verify-full", "other.pem"), mode("verify-ca", "other.pem"), mode("require", "other.pem")]
    {
        let error = server.ann("db.test", &other).unwrap_err();
        assert_eq!(error.code(), "database_not_trusted", "{error}");
        let said = error.to_string();
        assert!(said.contains("other.pem") && said.contains("sslrootcert"), "{said}");
    }
    let error = server.ann("db.test", "&sslmode=verify-full").unwrap_err();
    assert_eq!(error.code(), "database_not_trusted", "the system knows no such authority: {error}");
    let error = server.ann("other.test", &mode("verify-full", "authority.pem")).unwrap_err();
    assert_eq!(error.code(), "database_not_trusted", "{error}");
    assert!(error.to_string().contains("other.test") && error.to_string().contains("db.test"), "{error}");
    assert!(server.ann("other.test", &mode("verify-ca", "authority.pem")).is_ok(), "it asks for no name");
}

#[test]
fn what_is_wrong_with_a_certificate_is_told_and_what_to_do_about_it() {
    let Some(server) = Encrypted::new() else { return };
    let roots = server.file("authority.pem");
    let by = |mode: &str| server.certified(&format!("&sslmode={mode}&sslrootcert={roots}"));
    let wrong: [(&str, &[&str]); 4] = [
        ("expired.pem", &["has expired on 2020-02-01", "have it renewed"]),
        ("early.pem", &["not valid yet, but from 2048-01-01", "clock"]),
        ("elsewhere.pem", &["not for db.test (it holds elsewhere.test)", "verify-ca"]),
        ("foreign.pem", &["signed by no authority", "authority.pem", "sslrootcert=PATH"]),
    ];
    for (certificate, words) in wrong {
        server.present(certificate);
        for mode in ["verify-full", "verify-ca", "require"] {
            let error = server.open(&by(mode)).unwrap_err();
            if certificate == "elsewhere.pem" && mode != "verify-full" {
                assert_eq!(error.code(), "database_not_opened", "{mode} asks for no name: {error}");
                continue;
            }
            assert_eq!(error.code(), "database_not_trusted", "{certificate}, {mode}: {error}");
            let said = error.to_string();
            assert!(words.iter().all(|word| said.contains(word)), "{certificate}: {said}");
        }
        let ran = Shell::alone().run(&["--home", &by("verify-full"), "stats", "--json"]);
        assert!(ran.status == 2 && words.iter().all(|word| ran.err.contains(word)), "{ran:?}");
        // Without authorities none is looked at, and the server gets as far as asking who it is.
        let error = server.open(&server.certified("&sslmode=require")).unwrap_err();
        assert_eq!(error.code(), "database_not_opened", "{certificate}: {error}");
    }
    server.present("server.pem");
    let error = server.open(&by("verify-full")).unwrap_err();
    assert!(error.code() == "database_not_opened" && error.to_string().contains("bob"), "{error}");
}

#[test]
fn files_that_cannot_be_used_are_named_and_so_is_a_login_without_a_certificate() {
    let Some(server) = Encrypted::new() else { return };
    let roots = format!("&sslmode=verify-full&sslrootcert={}", server.file("authority.pem"));
    let error = server.open(&server.address("ann", "db.test", &roots)).unwrap_err();
    assert_eq!(error.code(), "database_not_opened");
    assert!(error.to_string().contains("certificate"), "{error}");
    for (parameter, file) in [("sslcert", "no-such.pem"), ("sslkey", "ann.pem"), ("sslkey", "other.key")] {
        let other = if parameter == "sslcert" { "sslkey" } else { "sslcert" };
        let fine = server.file(if other == "sslkey" { "ann.key" } else { "ann.pem" });
        let login = format!("{roots}&{parameter}={}&{other}={fine}", server.file(file));
        let error = server.open(&server.address("ann", "db.test", &login)).unwrap_err();
        assert_eq!(error.code(), "database_not_opened");
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[test]
fn a_password_proves_itself_for_the_connection_alone() {
    let Some(server) = Encrypted::new() else { return };
    let open = |more: &str| server.open(&server.address("bob", "db.test", more));
    let roots = format!("&sslrootcert={}", server.file("authority.pem"));
    for more in [&roots, "&sslmode=require&channel_binding=require", "&sslmode=require", "&sslmode=prefer"] {
        let store = open(more).unwrap();
        assert_eq!(store.photo_count().unwrap(), 0);
        assert!(server.seen().iter().all(|(protocol, _)| protocol.is_some()), "{more}");
    }
    let error = open("&sslmode=disable").unwrap_err();
    assert!(error.to_string().contains("28000"), "the server takes none that is not encrypted: {error}");
}

#[test]
fn the_program_says_what_is_wrong_with_a_certificate() {
    let Some(server) = Encrypted::new() else { return };
    let shell = Shell::alone();
    let address =
        server.address("bob", "wrong.test", &format!("&sslrootcert={}", server.file("authority.pem")));
    let ran = shell.run(&["--home", &address, "stats", "--json"]);
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.err.contains("wrong.test") && ran.err.contains("verify-ca"), "{ran:?}");
}
