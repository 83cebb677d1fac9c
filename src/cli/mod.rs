//! The command line.
//!
//! All of it prints through `output`, which lets nothing through that could take over a terminal.

// They panic where their reader has gone, and print what they are given: see `output`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod add;
mod advice;
mod calibrate;
mod check;
mod demo;
mod details;
mod doctor;
mod eval;
mod forget;
mod harvest;
mod history;
mod interrupt;
mod log;
mod login;
mod look;
mod manual;
mod mcp;
mod moving;
mod output;
mod picture;
mod question;
mod quota;
mod reembed;
mod sandbox;
mod scan;
mod scratch;
mod search;
mod serve;
mod settings;
mod sheet;
mod show;
mod similar;
mod store_goods;
mod told;
mod verdicts;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::builder::{OsStringValueParser, StyledStr, TypedValueParser as _};
use clap::error::ContextValue;
use clap::{Parser, Subcommand};
use output::{check_stdout, complain, is_broken_pipe, stdout};
use serde_json::Value;
use settings::{Common, Settings};

use crate::offer::Price;
use crate::printable::line;

const ABOUT: &str = "Have we seen this picture before, and what did 1688 say about it?";

const AFTER_HELP: &str = "\
Where settings come from: the command line, else the environment (the variables named above), else
the configuration file, else a default. The credentials never stand on the command line:
  TONGKUAN_APP_KEY, TONGKUAN_APP_SECRET     of your 1688 app (or of a sandbox)
  TONGKUAN_REFRESH_TOKEN                    for aop and linkplus, unless `tongkuan login` was run;
  TONGKUAN_ACCESS_TOKEN                     or a token that was got elsewhere, while it is good
  TONGKUAN_ONEBOUND_KEY, TONGKUAN_ONEBOUND_SECRET
  TONGKUAN_TMAPI_TOKEN
Without credentials there is no upstream: known pictures are answered, nothing is asked.

A configuration file:
  home = \"/srv/tongkuan\"
  max_false_hit = 0.01               # share of new pictures that may be answered falsely
  provider = \"cuda\"                # on a GPU, with the ONNX Runtime that ORT_DYLIB_PATH names
  index = \"pgvector\"               # a home in PostgreSQL searches itself: workers hold no index
  index_snapshots = \"/mnt/shared\"  # workers with an index of their own take it from one another
  harvest = true                     # fetch the offers' pictures after each search
  fetch_from = [\"http://10.0.0.7\"] # pictures may come from here, though it is no public address
  upstreams = [\"aop\", \"article\"]  # the next one takes over when one has nothing left
  [upstream.aop]
  app_key = \"1234567\"
  app_secret_file = \"/etc/tongkuan/app-secret\"
  daily_budget = 500
  min_interval_ms = 1050
  timeout_secs = 30
  soft_ttl_secs = 604800             # from then on served, and fetched anew afterwards
  hard_ttl_secs = 2592000            # from then on fetched anew before it is served
  empty_ttl_secs = 86400             # for answers without offers
  refused_ttl_secs = 604800          # for pictures that the upstream does not take
  unreadable_ttl_secs = 86400        # for answers that cannot be read
  [upstream.tmapi]
  weight_unit = \"kg\"               # or \"g\": in what tmapi and onebound weigh; they do not say

Besides there are `model`, and in a section base_url, access_token_file and refresh_token_file.

Exit status: 0 all pictures were hits (or the command did what it was asked), 1 a miss or a
review, 2 an error, also when standard output could not be written to (`tongkuan ... | head`),
130 interrupted.";

#[derive(Debug, Parser)]
#[command(name = "tongkuan", version, about = ABOUT, after_help = AFTER_HELP)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Search for one or more pictures: answer from the catalogue, ask the upstream only on a miss
    Search(search::Search),
    /// Index own goods: folders, archives, pictures, or lists of goods (NDJSON, JSON, CSV, TSV, paths)
    Add(add::Add),
    /// Say of many pictures whether each was seen before; with --add, remember those that were not
    Check(check::Check),
    /// Print the stored offers for a picture; never asks an upstream
    Offers(look::Offers),
    /// Print what is stored about a photo
    Show(look::Show),
    /// Print the stored pictures that look most like a picture; never asks an upstream
    Similar(similar::Similar),
    /// Remove photos and everything that is stored about them
    Forget(forget::Forget),
    /// Print everything about one offer: from the catalogue, else from the upstream
    Details(details::DetailsCommand),
    /// Print what an offer has cost over time, and how it sold, or draw it
    History(history::History),
    /// Print how the answer about a picture differs from the one before it
    Changes(history::Changes),
    /// Ask about chosen offers again and again, and print what has changed
    Watch(history::Watch),
    /// Print how much is stored, or draw it
    Stats(look::Stats),
    /// Print what may still be spent today, and what was saved
    Quota,
    /// Ask about the pictures that wait (search --defer), and fetch old answers anew
    Drain(quota::Drain),
    /// Fetch and index the pictures of the offers, so that they are hits the next time
    Harvest(harvest::Harvest),
    /// Print the stored offers with these words in their titles
    Find(harvest::Find),
    /// Get the official gateway's tokens, in two steps
    Login(login::Login),
    /// Fetch what is needed to run (ONNX Runtime), and nothing else
    Setup,
    /// Run the HTTP service, and the gateway in the upstreams' dialects
    Serve(serve::Serve),
    /// Be a tool for agents (Model Context Protocol) over standard input and output
    Mcp(mcp::Mcp),
    /// Make, list and end the keys of the service
    Keys(serve::Keys),
    /// Run a local stand-in for 1688, for development before API keys arrive
    Sandbox(sandbox::SandboxCommand),
    /// Show the whole thing at work, on rendered goods or on a folder of your own pictures
    Demo(demo::Demo),
    /// Group the pictures of a folder that are the same, and say which may go
    Scan(Box<scan::ScanCommand>),
    /// Make a sheet of offers from pictures: Excel, CSV, NDJSON or one HTML page
    Sheet(Box<sheet::SheetCommand>),
    /// Remember that two pictures are the same, whatever the scores say
    Same(told::Told),
    /// Remember that two pictures are not the same
    NotSame(told::Told),
    /// Carry what people said of pairs from one home to another
    Verdicts(verdicts::Verdicts),
    /// Write all of this home into one file
    Backup(moving::Backup),
    /// Put a backup in the place of this home's catalogue
    Restore(moving::Restore),
    /// Write all of this home as lines of JSON
    Export(moving::Export),
    /// Make this home of what `export` wrote
    Import(moving::Import),
    /// Move all of a home to where none is: a folder, or a database that several machines share
    Move(moving::Move),
    /// Set the threshold between hit and review on pictures like yours
    Calibrate(calibrate::Calibrate),
    /// Give this home folder to another model, or make the sketches that are missing
    Reembed(reembed::Reembed),
    /// Measure the answers on pictures whose right answers are known
    Eval(eval::Eval),
    /// Check this installation and this home folder
    Doctor(doctor::Doctor),
    /// Print what makes a shell complete commands and options
    Completions(manual::Completions),
    /// Write man pages
    Manual(manual::Manual),
}

impl Command {
    /// Whether standard output is for answers, and not for a protocol or what goes into a file.
    fn prints_answers(&self) -> bool {
        match self {
            Self::Mcp(_) | Self::Completions(_) | Self::Manual(_) => false,
            Self::Export(export) => !export.is_to_stdout(),
            Self::Verdicts(verdicts) => !verdicts.is_export(),
            _ => true,
        }
    }
}

/// Runs the command line of this process, and returns its exit status. What stopped a command stands on standard error.
#[must_use]
pub fn run() -> ExitCode {
    let (ended, tells_in_json) = match Cli::try_parse() {
        Ok(cli) => {
            let tells_in_json = cli.common.json && cli.command.prints_answers();
            (run_command(cli), tells_in_json)
        }
        // Help is one of these, too.
        Err(told) => (refuse(told), false),
    };
    ended.unwrap_or_else(|error| {
        // The reader of `tongkuan ... | head` knows that it went; the status tells others.
        if !is_broken_pipe(&error) {
            if tells_in_json {
                // Where it cannot be printed, it stands on standard error.
                let _ = writeln!(stdout(), "{}", advice::json_of(Value::Null, error.as_ref()));
            }
            complain(advice::explained(error.as_ref()));
        }
        ExitCode::from(FAILED)
    })
}

/// To be called before [`run`] where the process was started with its standard output closed: what cannot be printed is then
/// an error. The language's runtime hides it, as it puts /dev/null there.
pub fn stdout_is_closed() {
    output::stdout_is_closed();
}

fn run_command(cli: Cli) -> Result<ExitCode> {
    let Cli { common, command } = cli;
    // The service logs in its own form.
    if !matches!(command, Command::Serve(_) | Command::Mcp(_)) {
        log::start(common.log.as_deref())?;
    }
    let settings = Settings::resolve(&common)?;
    match command {
        Command::Search(search) => search.run(&settings),
        Command::Add(add) => add.run(&settings),
        Command::Check(check) => check.run(&settings),
        Command::Offers(offers) => offers.run(&settings),
        Command::Show(show) => show.run(&settings),
        Command::Similar(similar) => similar.run(&settings),
        Command::Forget(forget) => forget.run(&settings),
        Command::Details(details) => details.run(&settings),
        Command::History(history) => history.run(&settings),
        Command::Changes(changes) => changes.run(&settings),
        Command::Watch(watch) => watch.run(&settings),
        Command::Stats(stats) => stats.run(&settings),
        Command::Quota => quota::quota(&settings),
        Command::Drain(drain) => drain.run(&settings),
        Command::Harvest(harvest) => harvest.run(&settings),
        Command::Find(find) => find.run(&settings),
        Command::Login(login) => login.run(&settings),
        Command::Setup => doctor::setup(&settings),
        Command::Sandbox(sandbox) => sandbox.run(&settings),
        Command::Serve(serve) => serve.run(&settings, common.log.as_deref()),
        Command::Mcp(mcp) => mcp.run(&settings, common.log.as_deref()),
        Command::Keys(keys) => keys.run(&settings),
        Command::Demo(demo) => demo.run(settings),
        Command::Scan(scan) => scan.run(&settings),
        Command::Sheet(sheet) => sheet.run(&settings),
        Command::Same(told) => told.run(&settings, true),
        Command::NotSame(told) => told.run(&settings, false),
        Command::Verdicts(verdicts) => verdicts.run(&settings),
        Command::Backup(backup) => backup.run(&settings),
        Command::Restore(restore) => restore.run(&settings),
        Command::Export(export) => export.run(&settings),
        Command::Import(import) => import.run(&settings),
        Command::Move(moved) => moved.run(&settings),
        Command::Calibrate(calibrate) => calibrate.run(settings),
        Command::Reembed(reembed) => reembed.run(&settings),
        Command::Eval(eval) => eval.run(settings),
        Command::Doctor(doctor) => doctor.run(&settings),
        Command::Completions(completions) => completions.run(),
        Command::Manual(manual) => manual.run(),
    }
}

/// Says what is wrong with the arguments; also prints help and version. What it quotes of them is made safe to print.
fn refuse(mut error: clap::Error) -> Result<ExitCode> {
    let quoted: Vec<_> = error.context().map(|(kind, value)| (kind, plain(value))).collect();
    for (kind, value) in quoted {
        error.insert(kind, value);
    }
    if !error.use_stderr() {
        check_stdout()?;
    }
    error.print()?;
    Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(FAILED)))
}

fn plain(value: &ContextValue) -> ContextValue {
    match value {
        ContextValue::String(text) => ContextValue::String(line(text).to_string()),
        ContextValue::Strings(texts) => {
            ContextValue::Strings(texts.iter().map(|text| line(text).to_string()).collect())
        }
        // The display of such a text is without its style.
        ContextValue::StyledStr(text) => ContextValue::StyledStr(plain_styled(text)),
        ContextValue::StyledStrs(texts) => ContextValue::StyledStrs(texts.iter().map(plain_styled).collect()),
        other => other.clone(),
    }
}

fn plain_styled(text: &StyledStr) -> StyledStr {
    let (written, safe) = (text.to_string(), line(text).to_string());
    if written == safe { text.clone() } else { safe.into() }
}

/// As a picture is named: an empty name is an error of its own line, not of the whole command.
fn any_path() -> impl clap::builder::TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

fn check_prices(min: Option<Price>, max: Option<Price>) -> Result<()> {
    if min.zip(max).is_some_and(|(min, max)| min > max) {
        bail!("--price-min is above --price-max");
    }
    Ok(())
}

/// Exit status of a command that found what it was asked for, or not.
fn found(all: bool) -> ExitCode {
    if all { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// Exit status of a command that failed, and of a batch in which something did.
const FAILED: u8 = 2;
