//! Where is a home in PostgreSQL, and with which password does one get in?
//!
//! A password is read from a file or from the environment. One in the address itself would be seen in lists of processes
//! and in shell histories, so it is refused.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postgres::Config;
use postgres::config::{ChannelBinding, Host};

use super::tls::{Protection, Tls, TlsParameters, only_its_owner_reads};
use crate::catalog::CatalogError;

/// The schema of a home whose address names none.
const DEFAULT_SCHEMA: &str = "tongkuan";

/// The longest name that PostgreSQL does not cut.
pub(super) const MAX_NAME: usize = 63;

/// A hundred million photos leave a million and a half in each of 64. Making them takes some eight locks each in one transaction,
/// of which a server has 6,400 by default (`max_locks_per_transaction`).
const MAX_PARTITIONS: u16 = 256;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// From when on a server that acknowledges nothing counts as gone.
const SILENT_FOR: Duration = Duration::from_secs(30);

/// Where a home in PostgreSQL is: server, database, schema, and who asks.
///
/// `postgres://USER@HOST:PORT/DATABASE?schema=NAME&password_file=PATH&folder=PATH`, with the other parameters that libpq knows, such as
/// `host=/run/postgresql`, `connect_timeout=5`, `sslmode=verify-full` and `sslrootcert=PATH`. Each home has a schema of its own (`tongkuan` when none is named), so one
/// database holds several; `folder` is where this machine keeps what is its own; `partitions=N` spreads vectors and sketches over so many tables when the home is made. The password comes from `password_file`, else from `PGPASSWORD`, else from the file that
/// `PGPASSFILE` names.
#[derive(Clone)]
pub struct PostgresAddress {
    config: Config,
    tls: Tls,
    schema: String,
    folder: Option<PathBuf>,
    partitions: Option<u16>,
    shown: String,
}

impl PostgresAddress {
    /// From an address, with the password that this process's environment leads to.
    ///
    /// # Errors
    /// [`CatalogError::DatabaseNotOpened`] when it cannot be read, holds a password, or leads to none.
    pub fn parse(address: &str) -> Result<Self, CatalogError> {
        Self::parse_with(address, &|name| std::env::var(name).ok())
    }

    /// As [`parse`](Self::parse), with another environment.
    ///
    /// # Errors
    /// As for [`parse`](Self::parse).
    pub fn parse_with(
        address: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, CatalogError> {
        let fails = |location: &str, problem: String| CatalogError::DatabaseNotOpened {
            location: location.to_owned(),
            problem,
        };
        let unread = |problem: String| fails("of this address", problem);
        let (base, query) = address.split_once('?').unwrap_or((address, ""));
        if !base.starts_with("postgres://") && !base.starts_with("postgresql://") {
            return Err(unread("it does not begin with postgres://".to_owned()));
        }
        let (mut schema, mut password_file, mut folder) = (DEFAULT_SCHEMA.to_owned(), None, None);
        let mut partitions = None;
        let (mut tls, mut passed_on) = (TlsParameters::default(), Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
            match decoded {
                Some((name, value)) if name == "schema" => schema = value.into_owned(),
                Some((name, value)) if name == "password_file" => password_file = Some(value.into_owned()),
                Some((name, value)) if name == "folder" => folder = Some(PathBuf::from(value.into_owned())),
                Some((name, value)) if name == "partitions" => {
                    let number = value.parse().ok().filter(|number| (2..=MAX_PARTITIONS).contains(number));
                    partitions = Some(number.ok_or_else(|| {
                        unread(format!("partitions={value} is no number from 2 to {MAX_PARTITIONS}"))
                    })?);
                }
                Some((name, value)) => match tls.place(&name) {
                    Some(place) => *place = Some(value.into_owned()),
                    None => passed_on.push(pair),
                },
                None => {}
            }
        }
        if !is_plain_name(&schema) {
            return Err(unread(format!(
                "{schema:?} is no name for a schema here: use up to {MAX_NAME} of a-z, 0-9 and _, beginning with a letter, \
                 and not with pg_"
            )));
        }
        let names_channel_binding = passed_on.iter().any(|pair| pair.starts_with("channel_binding="));
        let mut config: Config = format!("{base}?{}", passed_on.join("&"))
            .parse()
            .map_err(|error: postgres::Error| unread(super::fault::problem(&error)))?;
        if config.get_password().is_some() {
            return Err(unread(
                "it holds a password, which others can see: leave it out, and name a file with password_file=PATH, or set \
                 PGPASSWORD or PGPASSFILE"
                    .to_owned(),
            ));
        }
        let mut tls = tls.settle().map_err(&unread)?;
        if is_socket(&config) {
            // The server encrypts none, whatever is asked for.
            tls = Tls::default();
        }
        let protection = tls.protection();
        config.ssl_mode(protection.ssl_mode());
        name_addresses(&mut config);
        name_connections(&mut config, &schema);
        config.tcp_user_timeout(SILENT_FOR);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        let shown = shown(&config, &schema);
        let password = password(&config, password_file.as_deref(), environment);
        if let Some(password) = password.map_err(|problem| fails(&shown, problem))? {
            if !is_on_this_machine(&config) {
                match protection {
                    Protection::Prefer => {
                        return Err(fails(
                            &shown,
                            "the password might go over a network unencrypted: add sslmode=verify-full (and sslrootcert=PATH \
                             for an authority of your own); sslmode=disable says that this network can be trusted"
                                .to_owned(),
                        ));
                    }
                    // A server that has not shown who it is gets a proof for this connection, and no password.
                    Protection::Require if !tls.verifies() && !names_channel_binding => {
                        config.channel_binding(ChannelBinding::Require);
                    }
                    _ => {}
                }
            }
            config.password(password);
        }
        Ok(Self { config, tls, schema, folder, partitions, shown })
    }

    /// Another home in the same database.
    pub(super) fn with_schema(&self, schema: String) -> Self {
        let mut config = self.config.clone();
        name_connections(&mut config, &schema);
        let shown = shown(&config, &schema);
        let (tls, folder) = (self.tls.clone(), self.folder.clone());
        Self { config, schema, shown, tls, folder, partitions: self.partitions }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// How connections are encrypted.
    pub(super) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// The home's schema.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Over how many tables, 2 to 256, vectors and sketches are spread in a home that is made by this address.
    #[must_use]
    pub fn partitions(&self) -> Option<u16> {
        self.partitions
    }

    /// The folder of this machine that the address names, for what is not kept in the database.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }
}

/// Without user and password.
impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresAddress").field(&self.shown).finish()
    }
}

/// Names that need no quotes, so that people can type them in psql.
fn is_plain_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= MAX_NAME
        && name.chars().all(fits)
        && !name.starts_with("pg_")
}

fn hosts(config: &Config) -> Vec<String> {
    let name = |host: &Host| match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    };
    let named: Vec<String> = config.get_hosts().iter().map(name).collect();
    if named.is_empty() { config.get_hostaddrs().iter().map(ToString::to_string).collect() } else { named }
}

/// Whether all ways to the server are sockets in the file system.
fn is_socket(config: &Config) -> bool {
    #[cfg(unix)]
    let is = |host: &Host| matches!(host, Host::Unix(_));
    #[cfg(not(unix))]
    let is = |_: &Host| false;
    !config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(is)
}

/// Those who look at the server's activity see whose connections these are.
fn name_connections(config: &mut Config, schema: &str) {
    config.application_name(&format!("tongkuan {schema}"));
}

/// Has addresses that have no names stand for their names, because a certificate is looked at for a name.
fn name_addresses(config: &mut Config) {
    if config.get_hosts().is_empty() {
        for address in config.get_hostaddrs().to_vec() {
            config.host(&address.to_string());
        }
    }
}

/// Whether nothing that is said to the server leaves this machine.
fn is_on_this_machine(config: &Config) -> bool {
    let is_near = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    };
    // Where addresses are given, names are not looked up.
    match config.get_hostaddrs() {
        [] => config.get_hosts().iter().all(is_near),
        addresses => addresses.iter().all(std::net::IpAddr::is_loopback),
    }
}

fn port(config: &Config) -> u16 {
    config.get_ports().first().copied().unwrap_or(5432)
}

fn shown(config: &Config, schema: &str) -> String {
    let hosts = hosts(config).join(",");
    let database = config.get_dbname().unwrap_or_default();
    if hosts.starts_with('/') {
        return format!("postgres:///{database}?host={hosts}&port={}&schema={schema}", port(config));
    }
    format!("postgres://{hosts}:{}/{database}?schema={schema}", port(config))
}

fn password(
    config: &Config,
    file: Option<&str>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, String> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("the password file {path} cannot be read: {error}"))?;
        return Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    if let Some(password) = environment("PGPASSWORD").filter(|password| !password.is_empty()) {
        return Ok(Some(password));
    }
    let Some(path) = environment("PGPASSFILE").filter(|path| !path.is_empty()) else { return Ok(None) };
    only_its_owner_reads(Path::new(&path))
        .map_err(|problem| format!("the file {path} of PGPASSFILE: {problem}"))?;
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("the file {path} of PGPASSFILE cannot be read: {error}"))?;
    let user = config.get_user().map(str::to_owned).or_else(|| environment("USER")).unwrap_or_default();
    let host = hosts(config).into_iter().next().unwrap_or_default();
    let host = if host.starts_with('/') { "localhost".to_owned() } else { host };
    let database = config.get_dbname().unwrap_or(&user);
    Ok(in_password_file(&text, [&host, &port(config).to_string(), database, &user]))
}

/// The password of the first line of a libpq password file (`host:port:database:user:password`) that fits.
fn in_password_file(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [front @ .., password] = fields.as_slice() else { return None };
        let fits = front.len() == wanted.len()
            && front.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        fits.then(|| password.clone())
    })
}

/// The fields of a line, in which a backslash takes away the meaning of a colon and of another backslash.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => field.extend(chars.next()),
            ':' => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;

    fn parse(address: &str) -> Result<PostgresAddress, CatalogError> {
        PostgresAddress::parse_with(address, &|_| None)
    }

    #[test]
    fn a_home_has_a_schema_of_its_own_in_the_database() {
        let address = parse("postgres://ann@db.example:5433/goods?schema=shop_2&connect_timeout=3").unwrap();
        assert_eq!(address.schema(), "shop_2");
        assert_eq!(address.to_string(), "postgres://db.example:5433/goods?schema=shop_2");
        assert_eq!(address.config().get_user(), Some("ann"));
        assert_eq!(address.config().get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(parse("postgresql://h/d").unwrap().schema(), DEFAULT_SCHEMA);
        let socket = parse("postgres:///goods?host=/run/pg").unwrap();
        assert_eq!(socket.to_string(), "postgres:///goods?host=/run/pg&port=5432&schema=tongkuan");
    }

    #[test]
    fn a_schema_that_would_need_quotes_and_an_unknown_parameter_are_refused() {
        for wrong in ["schema=", "schema=a%22b", "schema=pg_x", "schema=Shop", "schema=1a", "no_such=1"] {
            assert!(parse(&format!("postgres://h/d?{wrong}")).is_err(), "{wrong}");
        }
        for wrong in ["partitions=", "partitions=1", "partitions=257", "partitions=-4", "partitions=many"] {
            assert!(parse(&format!("postgres://h/d?{wrong}")).is_err(), "{wrong}");
        }
        assert_eq!(parse("postgres://h/d?partitions=64").unwrap().partitions(), Some(64));
        assert_eq!(parse("postgres://h/d").unwrap().partitions(), None);
        assert!(parse("mysql://h/d").is_err());
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_repeated() {
        for address in ["postgres://ann:s3cret@h/d", "postgres://ann@h/d?password=s3cret"] {
            let error = parse(address).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
            assert!(error.to_string().contains("PGPASSWORD"), "{error}");
        }
    }

    #[test]
    fn a_password_leaves_this_machine_only_where_that_is_asked_for() {
        let secret = |name: &str| (name == "PGPASSWORD").then(|| "s3cret".to_owned());
        let parse = |address: &str| PostgresAddress::parse_with(address, &secret);
        let far = ["db.example/d", "10.0.0.7/d", "localhost,db.example/d", "localhost/d?hostaddr=10.0.0.7"];
        for address in far.map(|address| format!("postgres://ann@{address}")) {
            let error = parse(&address).unwrap_err().to_string();
            assert!(error.contains("sslmode=disable") && !error.contains("s3cret"), "{error}");
            let sign = if address.contains('?') { '&' } else { '?' };
            assert!(parse(&format!("{address}{sign}sslmode=prefer")).is_err());
            for said in ["sslmode=disable", "sslmode=require", "sslmode=verify-full", "sslrootcert=ca.pem"] {
                assert!(parse(&format!("{address}{sign}{said}")).is_ok(), "{said}");
            }
        }
        for near in ["localhost/d", "127.0.0.1/d", "[::1]/d", "/d?host=/run/postgresql"] {
            assert!(parse(&format!("postgres://ann@{near}")).is_ok(), "{near}");
        }
    }

    #[test]
    fn a_server_that_does_not_show_who_it_is_gets_no_password_but_a_proof() {
        let secret = |name: &str| (name == "PGPASSWORD").then(|| "s3cret".to_owned());
        let binding = |query: &str| {
            let address = format!("postgres://ann@db.example/d?{query}");
            PostgresAddress::parse_with(&address, &secret).unwrap().config().get_channel_binding()
        };
        assert_eq!(binding("sslmode=require"), ChannelBinding::Require);
        for other in ["sslmode=require&channel_binding=prefer", "sslmode=verify-full", "sslmode=disable"] {
            assert_eq!(binding(other), ChannelBinding::Prefer, "{other}");
        }
    }

    #[test]
    fn a_password_comes_from_its_file_or_the_environment_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "from file\n").unwrap();
        let passes = folder.path().join("pgpass");
        std::fs::write(&passes, "# ours\nelsewhere:*:*:*:no\nh:5432:d:ann:with\\: colon\n").unwrap();
        let environment = |name: &str| match name {
            "PGPASSFILE" => Some(passes.display().to_string()),
            _ => None,
        };
        let password = |address: &PostgresAddress| {
            assert!(!format!("{address:?} {address}").contains("colon"));
            address.config().get_password().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let by_file = format!("postgres://ann@h/d?sslmode=disable&password_file={}", file.display());
        let address = PostgresAddress::parse_with(&by_file, &environment).unwrap();
        assert_eq!(password(&address).as_deref(), Some("from file"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let set =
                |mode| std::fs::set_permissions(&passes, std::fs::Permissions::from_mode(mode)).unwrap();
            set(0o644);
            assert!(
                PostgresAddress::parse_with("postgres://ann@h/d?sslmode=disable", &environment).is_err(),
                "all can read it"
            );
            set(0o600);
        }
        let address =
            PostgresAddress::parse_with("postgres://ann@h/d?sslmode=disable", &environment).unwrap();
        assert_eq!(password(&address).as_deref(), Some("with: colon"));
        let address = PostgresAddress::parse_with("postgres://bob@h/d", &environment).unwrap();
        assert_eq!(password(&address), None);
        let by_variable = |name: &str| (name == "PGPASSWORD").then(|| "from variable".to_owned());
        let address =
            PostgresAddress::parse_with("postgres://bob@h/d?sslmode=disable", &by_variable).unwrap();
        assert_eq!(password(&address).as_deref(), Some("from variable"));
    }
}
