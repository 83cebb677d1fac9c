//! Completions for shells and man pages, both from the same source as `--help`.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, output};

const COMPLETIONS_HELP: &str = "\
Where a shell looks for them:
  bash         tongkuan completions bash > ~/.local/share/bash-completion/completions/tongkuan
  zsh          tongkuan completions zsh > \"${fpath[1]}/_tongkuan\"
  fish         tongkuan completions fish > ~/.config/fish/completions/tongkuan.fish
  PowerShell   tongkuan completions powershell >> $PROFILE";

#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub(super) struct Completions {
    /// The shell that is to complete commands and options
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "tongkuan", &mut script);
        output::check_stdout()?;
        std::io::stdout().lock().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
pub(super) struct Manual {
    /// The folder to write tongkuan.1 and a page for each command into; it is made where there is none
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Manual {
    pub(super) fn run(self) -> Result<ExitCode> {
        let folder = &self.folder;
        fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
            .with_context(|| format!("cannot write man pages into {}", folder.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
