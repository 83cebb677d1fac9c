use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: this is the first statement of the program, so no other thread runs.
    #[allow(unsafe_code, reason = "the environment is set before anything can read it")]
    unsafe {
        tongkuan::embed::runtime::disable_telemetry();
    }
    #[cfg(unix)]
    if standard_output::WAS_CLOSED.load(std::sync::atomic::Ordering::Relaxed) {
        tongkuan::cli::stdout_is_closed();
    }
    tongkuan::cli::run()
}

/// Before `main` the runtime of the language puts /dev/null in the place of a closed standard output, so `tongkuan stats >&-`
/// would lose its output and end well. What runs still earlier sees that it is closed.
#[cfg(unix)]
mod standard_output {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    pub(crate) static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

    extern "C" fn look() {
        // Without this folder (no /proc is mounted) nothing is known.
        if fs::metadata("/dev/fd").is_ok() && fs::symlink_metadata("/dev/fd/1").is_err() {
            WAS_CLOSED.store(true, Ordering::Relaxed);
        }
    }

    // SAFETY: the loader calls what stands in this section once, before `main` and with the C library ready; `look` takes no
    // argument that it would need, cannot panic, and touches nothing but the file system and an atomic.
    #[allow(unsafe_code, reason = "there is no safe way to run before the runtime")]
    #[used]
    #[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
    #[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".init_array"))]
    static LOOK: extern "C" fn() = look;
}
