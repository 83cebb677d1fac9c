//! What does the shared library of ONNX Runtime carry, and how is it kept quiet?
//!
//! From 1.29.0 on the published libraries for Linux and macOS carry opt-out telemetry: as soon as an environment is
//! made (so before its switch can be reached) it writes a device id and an upload queue under the user's cache folder
//! and a log into the temporary folder, and reads the machine id and the command line, on long ones of which it
//! overflows the stack. With [`VARIABLE`] set none of this happens, so such a library is not loaded without it.

#![allow(unsafe_code, reason = "the process's environment, and one call into the loaded library")]

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Keeps the telemetry of ONNX Runtime off. The libraries that have telemetry have this name in them, and no others.
pub(super) const VARIABLE: &str = "ORT_DISABLE_TELEMETRY";

/// What the libraries take for yes; measured on 1.30.0 (`0`, `false` and the empty text are no).
const YES: [&str; 4] = ["1", "true", "yes", "on"];

const CHUNK_BYTES: usize = 1 << 20;

/// Keeps the telemetry of whichever ONNX Runtime is loaded later off, for this process and its children, whatever
/// the environment says. The first statement of `main` is the place for it. Without it a runtime with telemetry (see
/// [`has_telemetry`]) is refused wherever other threads run and `ORT_DISABLE_TELEMETRY` is not set.
///
/// # Safety
/// No other thread may run: on Unix a foreign one may be reading the environment, which the C library does not guard.
pub unsafe fn disable_telemetry() {
    // SAFETY: the caller vouches for it that this is the only thread.
    unsafe { std::env::set_var(VARIABLE, "1") }
}

/// [`disable_telemetry`] if this process is seen to have one thread only (or the platform allows it anyhow).
pub(crate) fn disable_telemetry_if_alone() {
    if !is_off(std::env::var_os(VARIABLE).as_deref()) && may_set_variables() {
        // SAFETY: this is the only thread (and only it could start another one), or this is Windows, where the
        // environment may be changed at any time.
        unsafe { std::env::set_var(VARIABLE, "1") }
    }
}

fn may_set_variables() -> bool {
    let is_only_thread = || std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    cfg!(windows) || cfg!(target_os = "linux") && is_only_thread()
}

fn is_off(value: Option<&OsStr>) -> bool {
    let value = value.and_then(OsStr::to_str).unwrap_or_default();
    YES.iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

/// Sees to it that the library at `path` sends and writes nothing of its own once it is loaded, and says whether that is so.
pub(super) fn is_silenced(path: &Path) -> bool {
    disable_telemetry_if_alone();
    // A file that cannot be read is told of by the loader, in the system's words.
    is_off(std::env::var_os(VARIABLE).as_deref()) || !has_telemetry(path).unwrap_or(false)
}

/// Whether the shared library at `path` has the telemetry that `ORT_DISABLE_TELEMETRY` switches off.
///
/// # Errors
/// When the file cannot be read.
pub fn has_telemetry(path: &Path) -> io::Result<bool> {
    let marker = VARIABLE.as_bytes();
    let mut file = File::open(path)?;
    let mut window = Vec::with_capacity(CHUNK_BYTES + marker.len());
    loop {
        if file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut window)? == 0 {
            return Ok(false);
        }
        if window.windows(marker.len()).any(|bytes| bytes == marker) {
            return Ok(true);
        }
        // The name may lie across two chunks.
        window.drain(..window.len().saturating_sub(marker.len() - 1));
    }
}

/// The version that the library at `path`, which must be loaded already, calls its own: `1.28.0`.
pub(super) fn version(path: &Path) -> Option<String> {
    // SAFETY: the library is loaded, so its initialisers have run and do not run again. `OrtGetApiBase` has had this
    // signature in every release; it returns a static table, or null, and `GetVersionString` a static C string.
    unsafe {
        let library = libloading::Library::new(path).ok()?;
        let base: libloading::Symbol<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase> =
            library.get(b"OrtGetApiBase").ok()?;
        let version = (base().as_ref()?.GetVersionString)();
        if version.is_null() {
            return None;
        }
        Some(CStr::from_ptr(version).to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library_with(before: usize, content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes = [&vec![b'O'; before][..], content, b"\0and more"].concat();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn a_library_with_telemetry_is_known_by_the_name_of_its_switch_wherever_that_lies() {
        for before in
            [0, 7, CHUNK_BYTES - 21, CHUNK_BYTES - 20, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES - 5]
        {
            assert!(has_telemetry(library_with(before, VARIABLE.as_bytes()).path()).unwrap(), "{before}");
            assert!(
                !has_telemetry(library_with(before, b"ORT_DISABLE_TELEMETR").path()).unwrap(),
                "{before}"
            );
        }
        assert!(!has_telemetry(tempfile::NamedTempFile::new().unwrap().path()).unwrap());
        assert!(has_telemetry(Path::new("no/such/library")).is_err());
    }

    #[test]
    fn a_library_with_telemetry_is_refused_where_the_variable_cannot_be_set() {
        // Tests run beside others, in several threads.
        let told = is_off(std::env::var_os(VARIABLE).as_deref());
        let silenced = is_silenced(library_with(3, VARIABLE.as_bytes()).path());
        assert_eq!(!silenced, !told && !may_set_variables());
        assert!(is_silenced(library_with(3, b"quiet").path()));
    }

    #[test]
    fn only_what_the_library_itself_takes_for_yes_switches_it_off() {
        for (value, off) in [
            ("1", true),
            ("TRUE", true),
            ("on", true),
            ("yes", true),
            ("0", false),
            ("false", false),
            ("", false),
        ] {
            assert_eq!(is_off(Some(OsStr::new(value))), off, "{value:?}");
        }
        assert!(!is_off(None));
    }
}
