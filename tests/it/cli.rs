//! The command line as people and pipelines use it: the real binary, in a home folder of its own.

mod bound;
mod check;
mod check_rows;
mod check_sources;
mod eval;
mod fetch;
mod goods;
mod input;
#[cfg(unix)]
mod interrupted;
mod local;
mod output;
mod printing;
mod search;
mod settings;
mod sheet;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tongkuan::catalog::Catalog;
use tongkuan::sandbox::{Sandbox, SandboxOptions, View};

use crate::embedding::runtime_folder;

/// A folder to work in, with the home folder `home` and the configuration file `config.toml` in it.
pub(crate) struct Shell {
    pub(crate) folder: TempDir,
    sandbox: Option<Sandbox>,
}

impl Shell {
    /// Without an upstream.
    pub(crate) fn alone() -> Self {
        let shell = Self { folder: tempfile::tempdir().unwrap(), sandbox: None };
        shell.write("config.toml", b"");
        shell
    }

    /// With a sandbox for an upstream, and no pause between calls.
    pub(crate) fn with_sandbox() -> Self {
        Self::with_sandbox_of(SandboxOptions::default())
    }

    /// As [`Shell::with_sandbox`], of these options.
    pub(crate) fn with_sandbox_of(options: SandboxOptions) -> Self {
        let options = SandboxOptions { min_interval_ms: 0, ..options };
        let shell = Self { sandbox: Some(Sandbox::start(options).unwrap()), ..Self::alone() };
        let base = shell.sandbox().base_url().to_owned();
        let profile = |name| {
            format!("[upstream.{name}]\nbase_url = {base:?}\napp_key = \"sandbox\"\nmin_interval_ms = 0\n")
        };
        let config = format!("upstreams = [\"article\"]\n{}{}", profile("article"), profile("aop"));
        shell.write("config.toml", config.as_bytes());
        shell
    }

    /// With a home in which nothing is stored.
    pub(crate) fn with_home(self) -> Self {
        drop(Catalog::open(&self.path("home")).unwrap());
        self
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        self.sandbox.as_ref().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The main picture of the sandbox's good `number`, as a file.
    pub(crate) fn good(&self, number: usize, name: &str) -> PathBuf {
        let catalogue = self.sandbox().catalogue();
        self.write(name, &catalogue.jpeg(&catalogue.goods()[number], View::Main))
    }

    /// The command with nothing of this process's own settings in its environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tongkuan"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TONGKUAN_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env("TONGKUAN_RUNTIME_DIR", runtime_folder())
            .env("TONGKUAN_HOME", self.path("home"))
            .env("TONGKUAN_CONFIG", self.path("config.toml"))
            .env("TONGKUAN_APP_SECRET", "sandbox-secret");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        Self {
            status: status.code().expect("not killed"),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Standard output as one JSON object a line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    pub(crate) fn json(&self) -> Value {
        let [value] =
            <[Value; 1]>::try_from(self.lines()).unwrap_or_else(|lines| panic!("{lines:?} {self:?}"));
        value
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
