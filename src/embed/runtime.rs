//! Where is ONNX Runtime? Finds the shared library, or fetches the pinned one, and loads it once per process.
//!
//! Looked for, in this order: the file that `ORT_DYLIB_PATH` names; beside the executable; in the runtime folder
//! of the data directory; in the system's library folders. Failing all, [`fetch`] takes it out of the pinned
//! `onnxruntime` wheel, which pip downloads.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;
use serde::Serialize;

use super::library;
use super::pins::{self, Pin};
use crate::photo::Digest;

pub use super::library::{disable_telemetry, has_telemetry};

/// The variable that names the shared library outright.
pub const DYLIB_VARIABLE: &str = "ORT_DYLIB_PATH";

/// How the shared library was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeOrigin {
    /// The program that uses this library names it.
    Caller,
    /// `ORT_DYLIB_PATH` names it.
    Environment,
    /// It lies beside the program.
    BesideExecutable,
    /// It was fetched into the data folder.
    DataDirectory,
    /// The system's linker finds it.
    System,
}

impl fmt::Display for RuntimeOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "named by the program",
            Self::Environment => "named by ORT_DYLIB_PATH",
            Self::BesideExecutable => "beside the executable",
            Self::DataDirectory => "fetched",
            Self::System => "of the system",
        })
    }
}

/// A shared library that looks like ONNX Runtime; not loaded yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuntimeLocation {
    /// The library's file.
    pub path: PathBuf,
    /// Which of the places it is.
    pub origin: RuntimeOrigin,
}

/// Why there is no ONNX Runtime.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what happened, docs/errors.md what to do")]
#[non_exhaustive]
pub enum RuntimeError {
    #[error(
        "ONNX Runtime was not found (ORT_DYLIB_PATH, beside the executable, {}, the system's libraries); \
         let it be fetched, or set ORT_DYLIB_PATH to libonnxruntime",
        folder.display()
    )]
    NotFound { folder: PathBuf },
    #[error("ORT_DYLIB_PATH names {}, which is not a file; correct or unset it", path.display())]
    VariableNamesNoFile { path: PathBuf },
    #[error("cannot load ONNX Runtime from {}: {reason}; set ORT_DYLIB_PATH to another one", path.display())]
    Load { path: PathBuf, reason: String },
    #[error(
        "no ONNX Runtime wheel is pinned for this platform ({platform}); install ONNX Runtime 1.17 or newer and \
         set ORT_DYLIB_PATH to its shared library"
    )]
    NoPin { platform: String },
    #[error(
        "pip could not be run ({tried}); install python3 with pip, or set ORT_DYLIB_PATH to libonnxruntime"
    )]
    NoPip { tried: String },
    #[error("pip could not download {requirement}: {detail}; check the network and try again")]
    Download { requirement: String, detail: String },
    #[error(
        "{what} has SHA-256 {found} instead of the pinned {expected}; it was thrown away: fetch it again"
    )]
    Digest { what: String, expected: String, found: String },
    #[error("the wheel does not hold {entry}: {detail}")]
    Wheel { entry: String, detail: String },
    #[error(
        "{} has telemetry, which would write outside of the home folder and send data about this machine; set \
         ORT_DISABLE_TELEMETRY=1 before the program starts, call `disable_telemetry` first in its main function, or take \
         the pinned ONNX Runtime {version}",
        path.display(),
        version = pins::VERSION
    )]
    Telemetry { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, r#source: io::Error },
}

/// ONNX Runtime, loaded. One per process, whichever library was loaded first.
#[derive(Clone)]
pub struct Runtime {
    loaded: &'static Loaded,
}

struct Loaded {
    environment: Environment,
    location: RuntimeLocation,
    version: Option<String>,
}

impl Runtime {
    /// Loads the library at `location`, or returns the one that this process loaded before. One with telemetry is
    /// loaded with its telemetry off: see [`disable_telemetry`].
    ///
    /// # Errors
    /// [`RuntimeError::Load`] when it is not an ONNX Runtime that this code can talk to, [`RuntimeError::Telemetry`]
    /// when its telemetry cannot be switched off.
    pub fn load(location: &RuntimeLocation) -> Result<Self, RuntimeError> {
        static LOADED: OnceLock<Loaded> = OnceLock::new();
        static LOADING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if LOADED.get().is_none() {
            let failed = |reason: String| RuntimeError::Load { path: location.path.clone(), reason };
            if !library::is_silenced(&location.path) {
                return Err(RuntimeError::Telemetry { path: location.path.clone() });
            }
            let environment = ort::init_from(&location.path)
                .map_err(|e| failed(e.to_string()))?
                .with_name("tongkuan")
                .with_telemetry(false)
                .build()
                .map_err(|e| failed(e.to_string()))?;
            let version = library::version(&location.path);
            let _ = LOADED.set(Loaded { environment, location: location.clone(), version });
        }
        let loaded = LOADED.get().ok_or(RuntimeError::NotFound { folder: location.path.clone() })?;
        Ok(Self { loaded })
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.loaded.environment
    }

    /// Where it was found.
    #[must_use]
    pub fn location(&self) -> &RuntimeLocation {
        &self.loaded.location
    }

    /// As the library tells it: `1.28.0`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.loaded.version.as_deref()
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("location", self.location()).finish_non_exhaustive()
    }
}

/// Names the path in an I/O error.
fn at(path: &Path) -> impl FnOnce(io::Error) -> RuntimeError {
    let path = path.to_path_buf();
    move |source| RuntimeError::Io { path, source }
}

/// The folder for a fetched ONNX Runtime that serves every home folder: `TONGKUAN_RUNTIME_DIR`, else `runtime` in
/// the platform's data folder; `None` where there is neither.
#[must_use]
pub fn shared_folder() -> Option<PathBuf> {
    let named = std::env::var_os("TONGKUAN_RUNTIME_DIR").map(PathBuf::from);
    named.or_else(|| Some(directories::ProjectDirs::from("", "", "tongkuan")?.data_dir().join("runtime")))
}

/// Finds the shared library without loading or fetching anything. `folder` is the runtime folder of the data
/// directory.
///
/// # Errors
/// [`RuntimeError::VariableNamesNoFile`] when `ORT_DYLIB_PATH` is set and wrong (it is never silently passed
/// over), [`RuntimeError::NotFound`] when there is none.
pub fn locate(folder: &Path) -> Result<RuntimeLocation, RuntimeError> {
    locate_in(&SearchPath {
        variable: std::env::var_os(DYLIB_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from),
        executable_folder: std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf)),
        runtime_folder: folder.to_path_buf(),
        system_folders: system_folders(),
    })
}

/// Where to look; an argument, so that tests need not change the process's environment.
#[derive(Debug)]
struct SearchPath {
    variable: Option<PathBuf>,
    executable_folder: Option<PathBuf>,
    runtime_folder: PathBuf,
    system_folders: Vec<PathBuf>,
}

fn locate_in(search: &SearchPath) -> Result<RuntimeLocation, RuntimeError> {
    if let Some(path) = &search.variable {
        if !path.is_file() {
            return Err(RuntimeError::VariableNamesNoFile { path: path.clone() });
        }
        // A path that is not absolute would be looked for beside the executable when it is loaded.
        let path = std::path::absolute(path).map_err(at(path))?;
        return Ok(RuntimeLocation { path, origin: RuntimeOrigin::Environment });
    }
    let beside = search.executable_folder.as_deref();
    if let Some(found) = beside.and_then(|folder| library_in(folder, RuntimeOrigin::BesideExecutable)) {
        return Ok(found);
    }
    if let Some(path) = pins::for_this_platform().and_then(|pin| fetched(&search.runtime_folder, pin)) {
        return Ok(RuntimeLocation { path, origin: RuntimeOrigin::DataDirectory });
    }
    let mut system = search.system_folders.iter();
    let found = system.find_map(|folder| library_in(folder, RuntimeOrigin::System));
    found.ok_or_else(|| RuntimeError::NotFound { folder: search.runtime_folder.clone() })
}

fn library_in(folder: &Path, origin: RuntimeOrigin) -> Option<RuntimeLocation> {
    let path = folder.join(pins::LIBRARY_NAME);
    path.is_file().then_some(RuntimeLocation { path, origin })
}

fn system_folders() -> Vec<PathBuf> {
    let listed = std::env::var_os("LD_LIBRARY_PATH").map(|v| std::env::split_paths(&v).collect::<Vec<_>>());
    let usual = [
        "/usr/local/lib",
        "/usr/lib",
        "/usr/lib64",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/opt/homebrew/lib",
    ];
    listed
        .unwrap_or_default()
        .into_iter()
        .filter(|p| p.is_absolute())
        .chain(usual.map(PathBuf::from))
        .collect()
}

/// The fetched library's place. It only ever appears there by a rename of a checked file, so its presence with
/// the pinned size means that it is whole.
fn fetched(folder: &Path, pin: &Pin) -> Option<PathBuf> {
    let path = fetched_path(folder, pin);
    let whole = fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() == pin.library_bytes);
    whole.then_some(path)
}

fn fetched_path(folder: &Path, pin: &Pin) -> PathBuf {
    folder.join(format!("onnxruntime-{}-{}", pins::VERSION, pin.platform)).join(pins::LIBRARY_NAME)
}

/// Downloads the pinned wheel with pip into `folder`, checks it, and takes the shared library out of it. Says
/// what it does through `say`. Instant when the library is there already; safe to run in several processes.
///
/// # Errors
/// [`RuntimeError`] naming the step that failed; whatever was half done is removed.
pub fn fetch(folder: &Path, say: &dyn Fn(&str)) -> Result<RuntimeLocation, RuntimeError> {
    let pin =
        pins::for_this_platform().ok_or_else(|| RuntimeError::NoPin { platform: pins::this_platform() })?;
    fs::create_dir_all(folder).map_err(at(folder))?;
    let lock_path = folder.join("fetch.lock");
    let lock = File::create(&lock_path).map_err(at(&lock_path))?;
    // Another process may be fetching; when it has finished there is nothing left to do.
    lock.lock().map_err(at(&lock_path))?;
    let path = fetched_path(folder, pin);
    let location = RuntimeLocation { path: path.clone(), origin: RuntimeOrigin::DataDirectory };
    if fetched(folder, pin).is_some() {
        return Ok(location);
    }
    remove_workspaces(folder).map_err(at(folder))?;
    let workspace =
        tempfile::Builder::new().prefix(WORKSPACE_PREFIX).tempdir_in(folder).map_err(at(folder))?;
    say(&format!(
        "fetching ONNX Runtime {} ({} MB, once) with pip into {}",
        pins::VERSION,
        pin.wheel_bytes / 1_000_000,
        folder.display()
    ));
    let wheel = download(pin, workspace.path())?;
    check(&wheel, "the downloaded wheel", pin.wheel_sha256)?;
    let library = unpack(&wheel, pin, workspace.path())?;
    check(&library, "the library in the wheel", pin.library_sha256)?;
    let target = path.parent().unwrap_or(folder);
    fs::create_dir_all(target).map_err(at(target))?;
    fs::rename(&library, &path).map_err(at(&path))?;
    #[cfg(unix)]
    File::open(target).and_then(|dir| dir.sync_all()).map_err(at(target))?;
    say(&format!("ONNX Runtime {} is ready", pins::VERSION));
    Ok(location)
}

/// Of the folder that a wheel is downloaded and unpacked in.
const WORKSPACE_PREFIX: &str = "fetch-";

/// Removes the workspaces of processes that were killed. To be called with the lock held: no other process fetches meanwhile.
fn remove_workspaces(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(WORKSPACE_PREFIX) && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn download(pin: &Pin, into: &Path) -> Result<PathBuf, RuntimeError> {
    let requirement = format!("onnxruntime=={}", pins::VERSION);
    let mut tried = Vec::new();
    for python in pythons() {
        // The wheel for one fixed Python version, whatever Python is installed: only the library in it is wanted.
        let run = Command::new(&python)
            .args(["-m", "pip", "download", &requirement, "--no-deps", "--only-binary=:all:", "--no-input"])
            .args(["--disable-pip-version-check", "--quiet", "--no-cache-dir", "--implementation", "cp"])
            .args(["--python-version", pins::PYTHON_VERSION, "--abi", pins::PYTHON_ABI])
            .args(["--platform", pin.platform, "--dest"])
            .arg(into)
            // Whatever pip unpacks or is killed over lies in the workspace, too.
            .env("TMPDIR", into)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .output();
        match run {
            Ok(output) if output.status.success() => return wheel_in(into, pin),
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                if !errors.contains("No module named pip") {
                    return Err(RuntimeError::Download { requirement, detail: last_line(&errors) });
                }
                tried.push(format!("{}: no pip", python.to_string_lossy()));
            }
            Err(e) => tried.push(format!("{}: {e}", python.to_string_lossy())),
        }
    }
    Err(RuntimeError::NoPip { tried: tried.join(", ") })
}

fn pythons() -> Vec<std::ffi::OsString> {
    match std::env::var_os("TONGKUAN_PYTHON") {
        Some(named) => vec![named],
        None => vec!["python3".into(), "python".into()],
    }
}

fn last_line(text: &str) -> String {
    text.lines()
        .rev()
        .find(|l| !l.trim().is_empty())
        .unwrap_or("no message")
        .trim()
        .chars()
        .take(300)
        .collect()
}

fn wheel_in(folder: &Path, pin: &Pin) -> Result<PathBuf, RuntimeError> {
    let path = folder.join(pin.wheel);
    if path.is_file() {
        return Ok(path);
    }
    Err(RuntimeError::Wheel { entry: pin.wheel.to_owned(), detail: "pip stored another file".to_owned() })
}

fn check(path: &Path, what: &str, expected: &str) -> Result<(), RuntimeError> {
    let found = Digest::of(&fs::read(path).map_err(at(path))?).to_string();
    if found == expected {
        return Ok(());
    }
    Err(RuntimeError::Digest { what: what.to_owned(), expected: expected.to_owned(), found })
}

fn unpack(wheel: &Path, pin: &Pin, into: &Path) -> Result<PathBuf, RuntimeError> {
    let broken = |e: zip::result::ZipError| RuntimeError::Wheel {
        entry: pin.library_in_wheel.to_owned(),
        detail: e.to_string(),
    };
    let mut archive = zip::ZipArchive::new(File::open(wheel).map_err(at(wheel))?).map_err(broken)?;
    let entry = archive.by_name(pin.library_in_wheel).map_err(broken)?;
    let path = into.join(pins::LIBRARY_NAME);
    let mut file = File::create(&path).map_err(at(&path))?;
    // Bounded by the pinned size: an archive never writes more than it is known to hold.
    io::copy(&mut entry.take(pin.library_bytes + 1), &mut file).map_err(at(&path))?;
    file.flush().and_then(|()| file.sync_all()).map_err(at(&path))?;
    Ok(path)
}

/// [`locate`], and [`fetch`] when there is none and `may_fetch`.
///
/// # Errors
/// Those of the two.
pub fn ensure(folder: &Path, may_fetch: bool, say: &dyn Fn(&str)) -> Result<RuntimeLocation, RuntimeError> {
    match locate(folder) {
        Err(RuntimeError::NotFound { .. }) if may_fetch => fetch(folder, say),
        found => found,
    }
}
