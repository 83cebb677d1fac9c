use std::process::ExitCode;

fn main() -> ExitCode {
    match tongkuan::cli::run() {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            tongkuan::cli::print_error(&error);
            ExitCode::from(2)
        }
    }
}

/// `tongkuan ... | head` ends the output early; that is nobody's mistake.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
