use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: this is the first statement of the program, so no other thread runs.
    #[allow(unsafe_code, reason = "the environment is set before anything can read it")]
    unsafe {
        tongkuan::embed::runtime::disable_telemetry();
    }
    tongkuan::cli::run()
}
