//! `tongkuan check`

mod complete;
mod output;
mod parquet;
mod progress;
mod rejudge;
mod rows;

use std::collections::{HashMap, HashSet};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::interrupt::{INTERRUPTED, stop_on_interrupt};
use super::output::{check_stdout, complain, complain_about, stdout};
use super::picture::Pictures;
use super::settings::Settings;
use super::{advice, show};
use crate::cancel::{Cancel, Interrupted};
use crate::doors::{CheckedLine, Columns};
use crate::engine::{
    Answer, BatchEnd, CheckListener, CheckOptions, CheckStats, Checked, Engine, EngineError, Mode, Query,
    SecondLook,
};
use crate::input::{Columns as InputColumns, Input, Wanted, skipped_text};
use crate::printable::field;
use crate::upstream::WhyNot;
use crate::verdict::Rule;
use crate::verify::Doubt;
use output::{LineFile, RowSet};
use parquet::Ended;
use progress::{Counts, Meter};
use rows::{Place, Rows};

const AFTER_HELP: &str = "\
A line a picture, in the order of the input, with these columns (--columns chooses):
  row              the place of the picture in the input, from 0
  id               the id that its list gives it, else its path or address as it is named
  key              your own key: that of --key, else an id that is given
  source           where the picture was named: the source, and the place in it, as list.csv:3,
                   folder/a.jpg or shards/7.tar/000017.jpg
  outcome          seen (it is the matched picture), review (the matched picture stands out), new,
                   error (the run goes on), or recheck (--rejudge)
  photo_id         the stored photo that stands for the picture from now on; null where none does
  added            whether that is a photo of its own (--add)
  matched_photo_id, matched_row, matched_label, matched_good
                   the picture that it is, or that stands out: the number of the photo, or the row
                   of an earlier picture of this run that is not stored; its name; your own good
  rule             how that was recognised: same_bytes, same_pixels, same_picture, or remembered
                   (somebody has said that the two are the same)
  score            cosine of the matched, else of the nearest picture, -1 to 1; 1 for the same
                   bytes or pixels, null where none is or a hash was enough
  confidence       how sure it is that the two are the same, 0 to 1; null without a sketch
  why              what speaks against the matched picture of a review
  rivals           where that is several_equal: the numbers of other photos that agree as well
  threshold        from which confidence on a picture is seen (score, where there is no sketch)
  max_false_hit    at most this share of new pictures passes that, with 95 % certainty
  compared_with    with how many pictures it was compared
  contest          what else has decided, for --rejudge
  error, code      why nothing came of it, in words and as docs/errors.md lists them
  offers           what an upstream has answered (--ask)
  unanswered       why it was not asked about, or in vain (--ask)
Threshold, max_false_hit and compared_with are null where bytes or pixels were equal.

Without --add nothing is stored: pictures are compared with the home and with the earlier ones of
the run, which takes some 2 kB of memory for each new one. With --add, what is new or to be
reviewed is stored as it is told of, in one step with finding that out: of copies that are checked
at the same time, by any number of processes on one home, exactly one is new. Pictures are told of
in groups, once their group is on disk. A group waits for others only while there are some, and no
longer than a fifth of a second: a program may wait for the answer to each line before it writes
the next one to `-`.

What is seen is not stored: checked again in a later run it is judged again, and where goods that
look alike were added since, it may be for review by then (several_equal) and be stored. Its bytes
are known from then on. A search remembers what it recognised; a check does not.

A run with --out FILE that was killed goes on with the same command and --resume: lines that are
there stay, none is missing or twice, and they are those of a run that was not killed. Without
--add it has to look at the new pictures again.

What stands in `unanswered` are the reasons and codes of docs/errors.md; `cancelled` after Ctrl-C,
which asks nothing more, waits for a call under way, and leaves the others to `tongkuan drain`.

Exit status: 0 all rows were answered, 1 some were not asked about in this run (--ask), or in
vain, 2 some were errors, or the run failed, 130 interrupted (what was told of is stored).";

/// Say of many pictures whether each was seen before; with --add, remember those that were not.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Check {
    /// Folders, pictures or their addresses, zip or tar archives, webdataset shards, Parquet files, lists; - is standard input.
    ///
    /// A list is NDJSON with lines like {"path":"a.jpg","id":"A-1"}, a JSON array of such objects, a CSV or TSV with a
    /// header, or one path or address a line. Paths are relative to the list. In a webdataset shard, files that are called
    /// alike up to the first dot are one sample, whose name is its key, and its id where it has one picture. Archives in a
    /// folder are not opened: name them, as shards/*.tar. A Parquet file has a column of paths, of addresses, or of the
    /// pictures' bytes. Addresses are fetched, unless --offline
    #[arg(required_unless_present = "rejudge", value_name = "SOURCE", value_parser = super::any_path())]
    sources: Vec<PathBuf>,
    /// Store what is not seen, so that copies of it are seen from then on
    #[arg(long)]
    add: bool,
    /// Ask the upstream about what is new or to be reviewed, as a search does, within the day's budget; what may not be asked
    /// now waits for `tongkuan drain`
    #[arg(long, requires = "add")]
    ask: bool,
    /// The column with your own key: it is carried through, and names the picture when copies of it are seen later. Without
    /// it, ids that are given
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,
    /// The column with the pictures, their paths or addresses, where its name does not tell
    #[arg(long, value_name = "COLUMN")]
    column: Option<String>,
    /// Write the lines to this file: NDJSON, or Parquet if it is called *.parquet (there once it is complete). With --columns
    /// it needs row, id and outcome, unless it is Parquet
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Go on with the file of --out where a run was stopped or killed; without one, begin
    #[arg(long, requires = "out")]
    resume: bool,
    /// Only these columns of the lines, in this order
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    columns: Vec<String>,
    /// Say of the lines in this NDJSON file of an earlier check what they would be with --max-false-hit as it is now; no picture
    /// is read, and nothing is stored. The outcome is `recheck` where that rests on what was not looked at then
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sources", "add", "key", "column", "out", "unordered"])]
    rejudge: Option<PathBuf>,
    /// Lines as they are ready. Of copies in one run, that one is new which was ready first
    #[arg(long)]
    unordered: bool,
    /// Look for stored pictures inside of every picture that is not seen as a whole. Without it this is left out where the
    /// first look rules out a collage, a scene or a poster, which loses up to one in a hundred of those and takes half the
    /// time
    #[arg(long)]
    thorough: bool,
}

/// Where lines go.
enum Output {
    Lines,
    /// For people.
    Table,
    File(LineFile),
}

impl Check {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let columns = Columns::of(&self.columns, self.ask).map_err(anyhow::Error::msg)?;
        if let Some(file) = &self.rejudge {
            return rejudge::run(settings, file, &self.columns);
        }
        if self.ask {
            settings.network("--ask")?;
        }
        if !self.add {
            settings.require_home()?;
        }
        if let Some(out) = &self.out {
            refuse_other_form(out)?;
        }
        let into_parquet = self.out.as_deref().filter(|out| ending_of(out) == "parquet");
        if let Some(out) = into_parquet.filter(|out| out.exists()) {
            if self.resume {
                let files = (out, &*with_ending(out, ".partial"));
                return complete::tell(settings, files, (&self.sources, &self.input_columns()), self.add);
            }
            bail!("{} is there already: name another file, or delete it", out.display());
        }
        if self.out.is_some()
            && into_parquet.is_none()
            && !["row", "id", "outcome"].iter().all(|name| columns.has(name))
        {
            bail!("--out needs the columns row, id and outcome: --resume tells by them what is done");
        }
        let input_columns = self.input_columns();
        let open =
            |source: &PathBuf| (source.display().to_string(), Input::open_with(source, &input_columns));
        let mut inputs: Vec<_> = self.sources.iter().map(open).collect();
        // A mistake in the only name is told before a model is loaded.
        if let Some((name, Err(problem))) =
            inputs.pop_if(|(_, input)| input.is_err() && self.sources.len() == 1)
        {
            return Err(anyhow::Error::from(problem).context(name));
        }
        let total: usize = inputs.iter().map(|(_, input)| input.as_ref().map_or(1, Input::len_hint)).sum();
        let total = u64::try_from(total).ok().filter(|total| *total > 0);
        let engine = settings.engine(true)?;
        let pictures = Arc::new(Pictures::new(settings)?);
        let stop = stop_on_interrupt()?;
        let work = into_parquet.map(|out| with_ending(out, ".partial"));
        let (output, earlier, run_id) = match work.as_deref().or(self.out.as_deref()) {
            Some(path) => {
                let (file, earlier) = LineFile::open(path, self.resume)?;
                let shown = || format!("cannot go on with {}", path.display());
                earlier.must_be_of(&engine, self.add).with_context(shown)?;
                let run_id =
                    if self.add { Some(engine.check_run(&file.full_path(), self.resume)?) } else { None };
                (Output::File(file), earlier, run_id)
            }
            None if settings.json || !std::io::stdout().is_terminal() => {
                check_stdout()?;
                (Output::Lines, output::Earlier::default(), None)
            }
            None => (Output::Table, output::Earlier::default(), None),
        };
        let mut kept: HashMap<u64, String> = HashMap::new();
        if let Some(run_id) = run_id {
            kept = engine.kept_check_lines(run_id)?.into_iter().collect();
            kept.retain(|row, _| !earlier.rows.contains(*row));
        }
        // Without --add the pictures that were new are compared with once more, in silence.
        let (skipped_rows, silent) = if self.add {
            (earlier.rows.clone(), RowSet::default())
        } else {
            (earlier.settled.clone(), earlier.rows.clone())
        };
        let key = self.key.clone();
        let rows = Rows::new(inputs, Arc::clone(&pictures), skipped_rows, kept, earlier.last, self.ask, key);
        let (skipped, problem) = (rows.skipped(), rows.problem());
        let stats = CheckStats::default();
        let is_terminal = matches!(output, Output::Table);
        let counts = Counts { earlier: earlier.rows.len(), ..Counts::default() };
        let mut printer = Printer {
            engine: &engine,
            asks: self.ask.then(|| Arc::clone(&pictures)),
            columns: if into_parquet.is_some() { None } else { Some(columns.clone()) },
            output,
            silent,
            counts,
            meter: Meter::new(&stats, total, is_terminal),
            stop: &stop,
            over: None,
            complained: HashSet::new(),
            failed: None,
        };
        let second_look = if self.thorough { SecondLook::Always } else { SecondLook::WhenLikely };
        let options = CheckOptions { add: self.add, unordered: self.unordered, second_look, run_id };
        let end = engine.check_all(rows, options, &stats, &stop.clone().into(), &mut printer);
        printer.meter.finish(&printer.counts);
        let counts = printer.counts;
        // Also where all rows were told of by then.
        let is_interrupted = printer.over == Some(Interrupted::Cancelled.code());
        let again = if self.out.is_some() { "; the same command with --resume goes on" } else { "" };
        if let Some(error) = printer.failed {
            return Err(error.context(format!("stopped: {counts}{again}")));
        }
        let end = end.with_context(|| format!("stopped: {counts}{again}"))?;
        if let Some(problem) = problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            return Err(problem.into());
        }
        let skipped = std::mem::take(&mut *skipped.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let skipped = skipped_text(&skipped).map_or(String::new(), |text| format!(", {text}"));
        if end == BatchEnd::Stopped {
            complain(format_args!("interrupted: {counts}{skipped}{again}"));
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let ended = Ended { errors: counts.errors + earlier.errors, waiting: counts.waiting };
        if let Some((target, lines)) = into_parquet.zip(work.as_deref()) {
            parquet::write(lines, target, &columns, ended)?;
        }
        if let Some(run_id) = run_id {
            engine.end_check_run(run_id)?;
        }
        // The last of all: as long as it is there, --resume looks for what is left.
        if let Some(lines) = work {
            std::fs::remove_file(lines)?;
        }
        if self.add {
            engine.settle_index()?;
        }
        if is_interrupted {
            complain(format_args!("interrupted: {counts}{skipped}"));
            return Ok(ExitCode::from(INTERRUPTED));
        }
        complain(format_args!("{counts}{skipped}"));
        Ok(ended.status())
    }

    fn input_columns(&self) -> InputColumns {
        InputColumns { picture: self.column.clone(), key: self.key.clone(), wanted: Wanted::PictureAlone }
    }
}

/// Endings of files that other programs would read as something else than lines of JSON.
const OTHER_FORMS: [&str; 10] = ["csv", "tsv", "xls", "xlsx", "ods", "html", "zip", "gz", "tgz", "zst"];

fn ending_of(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

fn refuse_other_form(out: &Path) -> Result<()> {
    let ending = ending_of(out);
    if OTHER_FORMS.contains(&ending.as_str()) {
        bail!(
            "--out {}: .{ending} is not written; name a file .ndjson or .jsonl for a JSON object a line, or .parquet",
            out.display()
        );
    }
    Ok(())
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Prints what became of each row.
struct Printer<'a> {
    engine: &'a Engine,
    /// To read pictures that are asked about once more.
    asks: Option<Arc<Pictures>>,
    /// `None` for all, as they are read back.
    columns: Option<Columns>,
    output: Output,
    /// Rows that were told of before.
    silent: RowSet,
    counts: Counts,
    meter: Meter<'a>,
    stop: &'a Cancel,
    /// Why nothing is asked any more, as a code of docs/errors.md.
    over: Option<&'static str>,
    /// What was complained of once for all pictures.
    complained: HashSet<WhyNot>,
    /// Why lines could not be written, or asked about: nothing more is stored or told of then.
    failed: Option<anyhow::Error>,
}

impl Printer<'_> {
    /// Asks about a picture that was not seen, which is stored already. What cannot be asked now waits in the queue.
    ///
    /// # Errors
    /// When the home cannot be read or written at present, or only its queue, while lines go to a file: with --resume the row is
    /// asked about later.
    fn ask(&mut self, pictures: &Pictures, place: &Place, line: &mut CheckedLine) -> Result<()> {
        let asked = place.source.as_ref().context("its picture is gone").and_then(|source| {
            let picture = pictures.read(source)?;
            let source_url = picture.source_url.as_deref();
            let query = Query::new(&picture.bytes, &picture.label).source_url(source_url).defer(0);
            Ok(self.search(query)?)
        });
        match asked {
            Ok(Answer { unanswered: Some(unanswered), .. })
                if unanswered.queue_failed && matches!(self.output, Output::File(_)) =>
            {
                bail!("{}; it could not be put into the queue either", unanswered.message)
            }
            Ok(answer) => {
                line.set("offers", serde_json::to_value(&answer.offers).unwrap_or_default());
                let why = answer.unanswered.as_ref().map(|unanswered| unanswered.reason);
                match self.over.filter(|_| why == Some(WhyNot::Offline)) {
                    Some(over) => line.set("unanswered", over),
                    None => line.set("unanswered", serde_json::to_value(why).unwrap_or_default()),
                }
                self.counts.waiting += u64::from(why.is_some_and(|why| !why.is_of_the_picture()));
                for warning in &answer.warnings {
                    match &answer.unanswered {
                        // Budget, quota, a breaker that is open: said once.
                        Some(unanswered)
                            if unanswered.message == *warning
                                && unanswered.reason != WhyNot::UpstreamFailed
                                && !advice::is_of_one_picture(unanswered.reason) =>
                        {
                            if self.complained.insert(unanswered.reason) {
                                complain(warning);
                            }
                        }
                        _ => complain_about(&place.at, warning),
                    }
                }
            }
            Err(error)
                if matches!(self.output, Output::File(_)) && advice::is_home_failure(error.as_ref()) =>
            {
                return Err(error);
            }
            // The check itself has succeeded, and its line says so.
            Err(error) => {
                complain_about(&place.at, advice::explained(error.as_ref()));
                line.set("unanswered", advice::code_of(error.as_ref()));
            }
        }
        Ok(())
    }

    /// A picture that is stored by now although its line cannot be written any more: without a file of lines that a run could go on
    /// with, nothing but the queue would ever ask about it.
    fn leave_to_drain(&mut self, row: u64, place: &Place, outcome: Result<&Checked, &anyhow::Error>) {
        let Some(pictures) = self.asks.clone().filter(|_| !matches!(self.output, Output::File(_))) else {
            return;
        };
        let mut line = Self::line_of(place, row, outcome);
        if matches!(line.text("outcome"), Some("new" | "review"))
            && let Err(error) = self.ask(&pictures, place, &mut line)
        {
            complain_about(&place.at, advice::explained(error.as_ref()));
        }
    }

    fn fail(&mut self, error: anyhow::Error) {
        self.failed.get_or_insert(error);
        self.stop.cancel();
    }

    /// Asks while that may be done; else the picture is left to `tongkuan drain`.
    fn search(&mut self, query: Query<'_>) -> Result<Answer, EngineError> {
        if self.over.is_none() && self.stop.is_cancelled() {
            self.over = Some(Interrupted::Cancelled.code());
        }
        if self.over.is_none() {
            match self.engine.search(&query.clone().cancel(self.stop)) {
                Err(error) if error.is_interrupted() => self.over = Some(Interrupted::Cancelled.code()),
                Err(error) if advice::needs_a_person(&error) => {
                    complain(format_args!("nothing more is asked: {}", advice::explained(&error)));
                    self.over = Some(error.code());
                }
                result => return result,
            }
        }
        self.engine.search(&query.mode(Mode::LocalOnly))
    }

    fn write(&mut self, line: &CheckedLine) -> std::io::Result<()> {
        let text = match &self.columns {
            Some(columns) => line.to_json(columns),
            None => line.to_whole_json(),
        };
        match &mut self.output {
            Output::File(file) => file.write(&text),
            Output::Lines => writeln!(stdout(), "{text}"),
            Output::Table => {
                let mut out = stdout();
                write!(
                    out,
                    "{:7} {}",
                    line.text("outcome").unwrap_or_default(),
                    field(line.text("id").unwrap_or_default())
                )?;
                let named = line.text("matched_good").or(line.text("matched_label")).unwrap_or_default();
                match (line.get("matched_photo_id").as_i64(), line.get("matched_row").as_u64()) {
                    (Some(photo), _) => write!(out, "  photo {photo} ({})", field(named))?,
                    (_, Some(row)) => write!(out, "  row {row} ({})", field(named))?,
                    _ => {}
                }
                let why = line.text("why").and_then(Doubt::of_code).map(|doubt| doubt.in_words().0);
                let rule = serde_json::from_value::<Rule>(line.get("rule").clone()).ok().map(show::by);
                match why.or(line.text("error")).or(rule) {
                    Some(said) => writeln!(out, "  {}", field(said)),
                    None => writeln!(out),
                }
            }
        }
    }

    fn line_of(place: &Place, row: u64, outcome: Result<&Checked, &anyhow::Error>) -> CheckedLine {
        let mut line = CheckedLine::new(row, &place.id, place.key.as_deref()).found_at(Some(&place.at));
        match outcome {
            Ok(checked) => line.take_checked(checked),
            Err(error) => {
                line.take_error(&advice::explained(error.as_ref()), advice::code_of(error.as_ref()))
            }
        }
        line
    }
}

impl CheckListener<Place, anyhow::Error> for Printer<'_> {
    fn line(&self, row: u64, place: &Place, outcome: Result<&Checked, &anyhow::Error>) -> Option<String> {
        match &place.kept {
            Some(kept) => Some(kept.clone()),
            None => outcome.is_ok().then(|| Self::line_of(place, row, outcome).to_whole_json()),
        }
    }

    fn told(&mut self, row: u64, place: Place, outcome: Result<Checked>) {
        if self.silent.contains(row) {
            return;
        }
        if self.failed.is_some() {
            return self.leave_to_drain(row, &place, outcome.as_ref());
        }
        let kept = place.kept.as_deref().and_then(CheckedLine::from_json);
        let is_kept = kept.is_some();
        let mut line = kept.unwrap_or_else(|| Self::line_of(&place, row, outcome.as_ref()));
        let counted = match line.text("outcome") {
            Some("seen") => &mut self.counts.seen,
            Some("review") => &mut self.counts.review,
            Some("new") => &mut self.counts.new,
            _ => &mut self.counts.errors,
        };
        *counted += 1;
        if let (Err(error), false) = (&outcome, is_kept) {
            complain_about(&place.at, advice::explained(error.as_ref()));
        }
        if let Some(pictures) = self.asks.clone()
            && matches!(line.text("outcome"), Some("new" | "review"))
            && let Err(error) = self.ask(&pictures, &place, &mut line)
        {
            return self.fail(error);
        }
        if let Err(error) = self.write(&line) {
            return self.fail(error.into());
        }
        self.meter.tick(&self.counts);
    }

    fn group_told(&mut self) {
        if let Output::File(file) = &mut self.output
            && let Err(error) = file.sync()
        {
            self.fail(error.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AFTER_HELP;
    use crate::doors::COLUMNS;

    #[test]
    fn the_help_tells_what_every_column_means() {
        let (columns, _) = AFTER_HELP.split_once("\n\n").unwrap();
        let names = columns.lines().filter_map(|line| line.strip_prefix("  "));
        let names = names.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split("  ").next());
        let told: Vec<&str> = names.flat_map(|names| names.split(", ")).collect();
        assert_eq!(told, COLUMNS.map(|(name, _)| name));
    }
}
