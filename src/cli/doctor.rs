//! `tongkuan doctor` and `setup`: is everything there that is needed?

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::output::stdout;
use super::settings::Settings;
use super::show::{self, Terminal};
use super::{FAILED, advice};
use crate::clock::{Clock as _, SystemClock};
use crate::embed::runtime::{self, Runtime, RuntimeLocation};
use crate::embed::{COMPARABLE_COSINE, Embedder as _, OnnxEmbedder, Provider};
use crate::engine::{Engine, IndexAudit, IndexMode, Progress};
use crate::printable::{field, line};
use crate::store::{Extent, GraphState, PaidWaiting, SearchFacts, ServerFacts};

/// Clocks that are further apart book calls for wrong times. What a question to the server takes is in it.
const CLOCKS_APART: Duration = Duration::from_secs(5);

/// So many damaged entries are named.
const NAMED: usize = 20;

/// Fetches ONNX Runtime if there is none, and loads it.
pub(super) fn setup(settings: &Settings) -> Result<ExitCode> {
    let terminal = Terminal::new();
    let location =
        runtime::ensure(&settings.runtime_folder, !settings.is_offline(), &|text| terminal.note(text))?;
    Runtime::load(&location)?;
    if settings.json {
        writeln!(stdout(), "{}", json!({"id": null, "onnx_runtime": location}))?;
    } else {
        writeln!(stdout(), "ONNX Runtime: {}", field(location.path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Looks at every part and says what is wrong and what to do.
#[derive(Args, Debug)]
pub(super) struct Doctor {
    /// Also search for every stored picture, with the index and with its graph alone
    #[arg(long)]
    audit: bool,
    /// Take away what cannot be read (`tongkuan reembed --from FOLDER` makes vectors and sketches anew from the originals),
    /// and make the index anew if the audit finds fault with it
    #[arg(long)]
    repair: bool,
}

impl Doctor {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        doctor(settings, |engine| vec![("entries", self.entries(engine)), ("index", self.index(engine))])
    }

    /// Whether every vector, sketch, offer and waiting picture can be read.
    fn entries(&self, engine: &Engine) -> Result<String> {
        let damage = engine.damage()?;
        let named: Vec<String> = damage.iter().take(NAMED).map(ToString::to_string).collect();
        let more = match damage.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        let lacking = match engine.lacking()? {
            (0, 0) => String::new(),
            (vectors, sketches) => format!(
                "; {vectors} photos have no vector and {sketches} no sketch: `tongkuan reembed --from FOLDER` makes them \
                 from the originals"
            ),
        };
        if damage.is_empty() {
            return Ok(format!("all can be read{lacking}"));
        }
        let list = named.join("; ");
        if !self.repair {
            bail!(
                "{} cannot be read: {list}{more}; `tongkuan doctor --repair` repairs, `tongkuan reembed --from FOLDER` makes \
                 vectors and sketches anew",
                damage.len()
            );
        }
        engine.repair(&damage)?;
        let (vectors, sketches) = engine.lacking()?;
        let entries: Vec<String> = damage.iter().take(NAMED).map(|damage| damage.entry.to_string()).collect();
        Ok(format!(
            "{} taken away that could not be read: {}{more}; by now {vectors} photos have no vector and {sketches} no \
             sketch: `tongkuan reembed --from FOLDER` makes them from the originals",
            damage.len(),
            entries.join(", ")
        ))
    }

    fn index(&self, engine: &Engine) -> Result<String> {
        if !self.audit {
            let photos = engine.index_len()?;
            return Ok(format!("{photos} photos; --audit searches for each"));
        }
        let mut audit = engine.audit()?;
        let mut repaired = "";
        if self.repair && (!audit.is_sound() || audit.lost_by_graph > 0) {
            engine.remake_index()?;
            audit = engine.audit()?;
            repaired = ", made anew";
        }
        let IndexAudit { photos, lost, lost_by_graph, surplus } = audit;
        let text = format!(
            "{photos} photos, {lost} not found ({lost_by_graph} by the graph alone), {surplus} too many{repaired}"
        );
        if audit.is_sound() { Ok(text) } else { bail!("{text}; run `tongkuan doctor --audit --repair`") }
    }
}

type Check = (&'static str, Result<String>);

fn doctor(settings: &Settings, home: impl Fn(&Engine) -> Vec<Check>) -> Result<ExitCode> {
    let mut checks: Vec<Check> = Vec::new();
    let config_file = settings.config_file.display();
    let configuration = if settings.config_file.exists() {
        config_file.to_string()
    } else {
        format!("none at {config_file}")
    };
    checks.push(("configuration", Ok(configuration)));
    checks.push(("ONNX Runtime", runtime_at(&settings.runtime_folder)));
    let mut least_cosine = None;
    let of_manifest = || settings.model().map(|model| model.fingerprint());
    let model = match (settings.provider != Provider::Cpu).then(|| on_provider(settings)) {
        None => of_manifest(),
        Some(Ok(embedder)) => {
            least_cosine = embedder.least_cosine();
            checks.push(("provider", Ok(compared(&embedder))));
            Ok(embedder.fingerprint())
        }
        Some(Err(error)) => {
            checks.push(("provider", Err(error)));
            of_manifest()
        }
    };
    checks.push(("model", model.map(|model| model.to_string()).map_err(Into::into)));
    match settings.existing_engine(false) {
        Err(_) if !settings.is_home_named && !settings.has_home()? => {
            let none = format!("none yet at {}: the first picture that is stored makes it", settings.home);
            checks.push(("catalogue", Ok(none)));
        }
        Err(error) => checks.push(("catalogue", Err(error))),
        Ok(engine) => {
            checks.push(("catalogue", sound(&engine)));
            checks.push(("paid answers", paid_answers(&engine)));
            if let Some(server) = engine.catalog().server().transpose() {
                checks.push((
                    "database",
                    server.map_err(Into::into).and_then(|server| database(&engine, &server)),
                ));
                checks.extend(pgvector(&engine).transpose().map(|told| ("pgvector", told)));
                checks.push(("ledger", ledger(&engine)));
            }
            checks.extend(shared_index(settings, &engine).map(|told| ("shared index", told)));
            checks.push(("calibration", promise(&engine)));
            checks.extend(home(&engine));
            if settings.is_offline() {
                checks.push(("upstream", Ok("not asked (--offline)".to_owned())));
            }
            let answers = if settings.is_offline() { Vec::new() } else { engine.check_upstreams() };
            if answers.is_empty() && !settings.is_offline() {
                checks.push(("upstream", Ok("none is configured".to_owned())));
            }
            for (profile, answer) in answers {
                checks.push(("upstream", answer.map(|()| format!("{profile} answers")).map_err(Into::into)));
            }
        }
    }
    let ok = checks.iter().all(|(_, result)| result.is_ok());
    for (name, result) in &checks {
        if settings.json {
            let code = result.as_ref().err().and_then(|error| advice::code_of(error.as_ref()));
            let (state, text) = match result {
                Ok(text) => ("ok", text.clone()),
                Err(error) => ("failed", advice::explained(error.as_ref())),
            };
            let mut line = json!({"id": name, "check": name, "state": state, "detail": text, "code": code});
            if *name == "provider" {
                line["provider"] = json!(settings.provider);
                line["least_cosine"] = json!(least_cosine);
            }
            writeln!(stdout(), "{line}")?;
        } else {
            match result {
                Ok(text) => writeln!(stdout(), "ok      {name:<14} {}", line(text))?,
                Err(error) => {
                    writeln!(stdout(), "FAILED  {name:<14} {}", line(advice::explained(error.as_ref())))?
                }
            }
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// What is to be known of the server of a home in a database, and how far this machine has followed what others store.
fn database(engine: &Engine, server: &ServerFacts) -> Result<String> {
    let (mine, theirs) = (SystemClock.now(), server.time);
    let apart = mine.until(theirs).max(theirs.until(mine));
    if apart > CLOCKS_APART {
        bail!(
            "its clock and this machine's are {} s apart: calls are paced and counted by the machines' clocks, so set both by \
             the same source",
            apart.as_secs()
        );
    }
    let (feed, index) = (engine.catalog().extent()?, engine.index_extent()?);
    let (used, most) = server.connections;
    let (live, dead) = server.rows;
    Ok(format!(
        "PostgreSQL {}, format {}, {}, {used} of {most} connections in use, {} waiting for locks, about {live} rows and {dead} \
         dead ones; the feed is at {}, this machine's index at {}",
        server.version,
        server.format,
        if server.is_encrypted { "over TLS" } else { "not encrypted" },
        server.waiting_for_locks,
        at(feed),
        at(index)
    ))
}

/// The vectors that the database searches by itself, where it is to do so or once was.
fn pgvector(engine: &Engine) -> Result<Option<String>> {
    let is_asked = engine.index_mode() == IndexMode::Pgvector;
    if is_asked {
        // What is missing is made, as for a search.
        engine.index_len()?;
    }
    let Some(facts) = engine.catalog().search_facts()? else { return Ok(None) };
    if !is_asked && facts.vectors == 0 {
        return Ok(None);
    }
    let SearchFacts { extension, vectors, stored, is_ready, graph, graph_bytes, .. } = facts;
    if is_asked && graph == GraphState::NotValid {
        bail!(
            "its index is not valid, and every search looks at all of {vectors} vectors: `tongkuan doctor --audit --repair` \
             makes it anew, which any command that stores pictures does as well"
        );
    }
    let graph = match graph {
        GraphState::Valid => format!("the index is valid, {} MB", graph_bytes / 1_000_000),
        GraphState::BeingBuilt => {
            "the index is being made, and every search looks at all meanwhile".to_owned()
        }
        GraphState::NotValid => "the index is not valid".to_owned(),
        _ => "no index, so every search looks at all".to_owned(),
    };
    let used = match (is_asked, is_ready) {
        (true, _) => "",
        (false, true) => "; this worker does not use it (--index pgvector)",
        (false, false) => "; this worker does not use it, and one that does copies the rest",
    };
    Ok(Some(format!("version {extension}, {vectors} of {stored} vectors are there, {graph}{used}")))
}

/// What is there of the index for other workers, where a folder for that is named.
fn shared_index(settings: &Settings, engine: &Engine) -> Option<Result<String>> {
    let named = settings.index_snapshots.as_ref()?.display();
    let told = || {
        let Some(shared) = engine.shared_index()? else {
            return Ok(format!(
                "{named} is not used: the home is in a folder, pgvector searches, or the server does not tell itself from others"
            ));
        };
        if let Some(problem) = shared.problem {
            bail!(
                "{named} cannot be read ({problem}): mount it and let this user read and write it, or leave \
                 index_snapshots away"
            );
        }
        Ok(match shared.newest {
            Some((pictures, extent)) => {
                format!("{pictures} pictures, up to {}, in {named}", at(extent))
            }
            None => format!("none yet in {named}: a worker that saves its index leaves it there"),
        })
    };
    Some(told())
}

/// A place of the feed.
fn at(extent: Extent) -> String {
    format!("photo {} and removal {}", extent.last_photo_id.map_or(0, |id| id.0), extent.last_removal)
}

/// What all workers have spent today.
fn ledger(engine: &Engine) -> Result<String> {
    let reports = engine.quota()?;
    if reports.is_empty() {
        return Ok("no upstream is configured".to_owned());
    }
    let told: Vec<String> = reports
        .iter()
        .map(|report| {
            format!(
                "{}: {} of {} calls booked today by all workers",
                report.profile, report.used, report.budget
            )
        })
        .collect();
    Ok(told.join("; "))
}

/// From where on pictures are the same, and what that promises.
fn promise(engine: &Engine) -> Result<String> {
    let point = engine.operating_point()?;
    let promised = show::promised(point.bounds, point.max_false_hit);
    Ok(format!("hits from confidence {:.4} on: {promised} ({})", point.confidence, engine.calibrated_on()))
}

/// Which runtime is loaded, and whether it would tell others about this machine if it were let.
fn runtime_at(folder: &Path) -> Result<String> {
    let loaded = Runtime::load(&runtime::locate(folder)?)?;
    let RuntimeLocation { path, origin } = loaded.location();
    let telemetry = match runtime::has_telemetry(path) {
        Ok(false) => "without telemetry".to_owned(),
        Ok(true) => "with telemetry, which is kept off (ORT_DISABLE_TELEMETRY)".to_owned(),
        Err(error) => format!("telemetry unknown: {error}"),
    };
    let version = loaded.version().unwrap_or("of an unknown version");
    Ok(format!("{version}, {telemetry}, {origin}: {}", path.display()))
}

/// The model on the provider that the settings name.
fn on_provider(settings: &Settings) -> Result<OnnxEmbedder> {
    let (model, location) = (settings.model()?, runtime::locate(&settings.runtime_folder)?);
    let runtime = Runtime::load(&location)?;
    Ok(OnnxEmbedder::with_provider(Arc::new(model), runtime, 1, settings.provider)?)
}

/// Whose vectors a provider gives.
fn compared(embedder: &OnnxEmbedder) -> String {
    let (provider, least) = (embedder.provider(), embedder.least_cosine().unwrap_or_default());
    let whose = if least >= 1.0 {
        "the CPU's bit for bit; it may have taken no part of the model"
    } else if least >= COMPARABLE_COSINE {
        "comparable with the CPU's, so homes are the same model's"
    } else {
        "not comparable with the CPU's, so homes are another model's, for which nothing is promised until `tongkuan calibrate`"
    };
    format!("{provider}: the least cosine with the CPU is {least:.5}: its vectors are {whose}")
}

/// Whether what is paid for can be kept, and what was paid for and is not stored yet.
fn paid_answers(engine: &Engine) -> Result<String> {
    let PaidWaiting { waiting, damaged } = engine.paid_waiting()?;
    if damaged > 0 {
        bail!(
            "{damaged} that were paid for cannot be read any more, and will be paid for again when they are asked for; what is left \
             of them is in paid.journal or paid.journal.damaged: delete the latter once you have looked at it"
        );
    }
    if engine.catalog().is_read_only() {
        bail!(
            "nothing can be stored, so nothing is asked: {} cannot be written",
            engine.catalog().location()
        );
    }
    Ok(match waiting {
        0 => "can be kept, and none waits to be stored".to_owned(),
        waiting => format!("can be kept; {waiting} wait to be stored, which the next search that asks does"),
    })
}

fn sound(engine: &Engine) -> Result<String> {
    let problems = engine.catalog().problems()?;
    if let Some(first) = problems.first() {
        bail!("damaged: {first}; restore {} from a backup", engine.catalog().location());
    }
    let older = match engine.catalog().seen_by_older_decoders()? {
        0 => String::new(),
        older => format!(
            "; {older} from before colour profiles were honoured (`tongkuan reembed --from FOLDER` looks at the originals again)"
        ),
    };
    Ok(format!("{} photos, sound{older}", engine.catalog().photo_count()?))
}
