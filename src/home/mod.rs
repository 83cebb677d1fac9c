//! Where is kept what is known? In a folder of this machine, or in a schema of a PostgreSQL database that several machines
//! share.

mod moving;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::catalog::{Catalog, CatalogError, DamageNote};
#[cfg(feature = "postgres")]
use crate::postgres::{PostgresAddress, PostgresStore};
use crate::store::{self, Store};

/// The schemes of an address of a PostgreSQL database.
const DATABASE_SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// A home: a folder, or a schema of a PostgreSQL database.
///
/// Every path is a home in a folder (`Home::from`); [`Home::parse`] takes an address of a database as well.
#[derive(Clone, Debug)]
pub struct Home(Place);

#[derive(Clone, Debug)]
enum Place {
    Folder(PathBuf),
    #[cfg(feature = "postgres")]
    Database {
        address: Box<PostgresAddress>,
        folder: PathBuf,
    },
}

impl<P: Into<PathBuf>> From<P> for Home {
    fn from(folder: P) -> Self {
        Self(Place::Folder(folder.into()))
    }
}

impl Home {
    /// From what a person has written: an address that begins with `postgres://`, else the path of a folder.
    ///
    /// # Errors
    /// [`CatalogError::DatabaseNotOpened`] for an address that cannot be used, or where this build has no PostgreSQL.
    pub fn parse(text: impl Into<PathBuf>) -> Result<Self, CatalogError> {
        let text = text.into();
        match text.to_str().filter(|text| is_address(text)) {
            Some(address) => Self::in_database(address),
            None => Ok(Self(Place::Folder(text))),
        }
    }

    #[cfg(feature = "postgres")]
    fn in_database(address: &str) -> Result<Self, CatalogError> {
        let address = PostgresAddress::parse(address)?;
        let folder = match address.folder() {
            Some(folder) => folder.to_path_buf(),
            None => default_folder(&address)?,
        };
        Ok(Self(Place::Database { address: Box::new(address), folder }))
    }

    #[cfg(not(feature = "postgres"))]
    fn in_database(_: &str) -> Result<Self, CatalogError> {
        Err(CatalogError::DatabaseNotOpened {
            location: "of this address".to_owned(),
            problem: "this program was built without PostgreSQL".to_owned(),
        })
    }

    /// The folder of this machine: that of the home, or the one beside a database. There lie the index, what was paid for and
    /// cannot be stored, the tokens of upstreams and the keys of the service.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match &self.0 {
            Place::Folder(folder) => folder,
            #[cfg(feature = "postgres")]
            Place::Database { folder, .. } => folder,
        }
    }

    /// The folder, where the home is one, and nothing of it is in a database.
    #[must_use]
    pub fn as_folder(&self) -> Option<&Path> {
        match &self.0 {
            Place::Folder(folder) => Some(folder),
            #[cfg(feature = "postgres")]
            Place::Database { .. } => None,
        }
    }

    /// Whether something is stored there. A database is asked.
    ///
    /// # Errors
    /// [`CatalogError`] where the folder may not be looked into, or the database cannot be reached.
    pub fn is_there(&self) -> Result<bool, CatalogError> {
        match &self.0 {
            Place::Folder(folder) => {
                Catalog::is_in(folder).map_err(|source| CatalogError::Home { path: folder.clone(), source })
            }
            #[cfg(feature = "postgres")]
            Place::Database { address, .. } => PostgresStore::is_at(address),
        }
    }

    /// Opens what is stored there, making it when it is not there. `on_damage` hears of each entry that turns out to be
    /// damaged, once; `on_wait`, in a sentence, that another process is writing.
    ///
    /// # Errors
    /// [`CatalogError`] when it cannot be opened, or is newer than this program.
    pub fn open(
        &self,
        on_damage: impl Fn(DamageNote<'_>) + Send + Sync + 'static,
        on_wait: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Arc<dyn Store>, CatalogError> {
        match &self.0 {
            // Else a folder of this name would be made.
            Place::Folder(folder) if folder.to_str().is_some_and(is_address) => {
                Self::parse(folder.clone())?;
                Err(CatalogError::DatabaseNotOpened {
                    location: "of this address".to_owned(),
                    problem: "it was taken for the path of a folder: Home::parse reads addresses".to_owned(),
                })
            }
            Place::Folder(folder) => store::open(folder, on_damage, on_wait),
            #[cfg(feature = "postgres")]
            Place::Database { address, folder } => {
                let store = PostgresStore::open(address, folder)?;
                store.on_damage(on_damage);
                store.on_wait(on_wait);
                Ok(Arc::new(store))
            }
        }
    }
}

/// Never with a password.
impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Folder(folder) => folder.display().fmt(f),
            #[cfg(feature = "postgres")]
            Place::Database { address, .. } => address.fmt(f),
        }
    }
}

/// As it is displayed.
impl Serialize for Home {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn is_address(text: &str) -> bool {
    DATABASE_SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

/// The folder beside a database whose address names none: one for each home, among this user's data, because what was paid
/// for may wait in it.
#[cfg(feature = "postgres")]
fn default_folder(address: &PostgresAddress) -> Result<PathBuf, CatalogError> {
    let shown = address.to_string();
    let Some(folders) = directories::ProjectDirs::from("", "", "tongkuan") else {
        return Err(CatalogError::DatabaseNotOpened {
            location: shown,
            problem: "this system names no data folder for what lies beside a database: name one in the address, with \
                      folder=PATH"
                .to_owned(),
        });
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
    let name = shown.trim_start_matches(DATABASE_SCHEMES[0]).trim_start_matches('/');
    // Two addresses may be alike without their signs; the sum keeps them apart.
    let sum = crc32fast::hash(shown.as_bytes());
    let name: String =
        name.chars().take(MAX_FOLDER_NAME).map(plain).chain(format!("-{sum:08x}").chars()).collect();
    Ok(folders.data_dir().join("databases").join(name))
}

/// File systems take 255 bytes.
#[cfg(feature = "postgres")]
const MAX_FOLDER_NAME: usize = 120;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;

    #[test]
    fn a_path_is_a_folder() {
        let home = Home::parse("some/where").unwrap();
        assert_eq!(
            (home.as_folder(), home.folder()),
            (Some(Path::new("some/where")), Path::new("some/where"))
        );
        assert_eq!(serde_json::to_value(&home).unwrap(), "some/where");
        assert_eq!(Home::from("postgres").to_string(), "postgres");
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn an_address_is_a_database_with_a_folder_of_its_own() {
        let home = Home::parse("postgres://ann@db.example/goods?schema=shop&folder=/var/lib/shop").unwrap();
        assert_eq!((home.as_folder(), home.folder()), (None, Path::new("/var/lib/shop")));
        assert_eq!(home.to_string(), "postgres://db.example:5432/goods?schema=shop");
        let folder = |address: &str| Home::parse(address).map(|home| home.folder().to_path_buf()).unwrap();
        let one = folder("postgres://ann@db.example/goods");
        assert_eq!(one, folder("postgresql://bob@db.example:5432/goods?schema=tongkuan"));
        let name = one.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("db.example-5432-goods-schema-tongkuan-"), "{name}");
        for other in
            ["postgres://h/goods", "postgres://db.example/goods?schema=b", "postgres://db.example:1/goods"]
        {
            assert_ne!(one, folder(other));
        }
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn an_address_that_is_given_as_a_path_makes_no_folder() {
        let error = Home::from("postgres://h/d").open(|_| {}, |_| {}).err().unwrap();
        assert_eq!(error.code(), "database_not_opened");
        assert!(!Path::new("postgres:").exists());
        let error = Home::parse("postgres://ann:s3cret@h/d").unwrap_err();
        assert!(error.to_string().contains("PGPASSWORD") && !error.to_string().contains("s3cret"), "{error}");
    }
}
