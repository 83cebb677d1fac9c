//! `tongkuan check --rejudge`: another threshold for what was measured.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::super::output::{complain, stdout};
use super::super::settings::Settings;
use crate::doors::{CheckedLine, Columns, real, text_of};
use crate::engine::Engine;
use crate::verdict::{Contest, Rejudged};
use crate::verify::Doubt;

/// What a line is judged by. Where one of them is left away, null would be taken for what was measured.
const NEEDED: [&str; 6] = ["outcome", "rule", "confidence", "why", "compared_with", "contest"];

/// Prints the lines of `file` as they are by the threshold of now: the columns that are `named`, else those that a run prints.
pub(super) fn run(settings: &Settings, file: &Path, named: &[String]) -> Result<ExitCode> {
    let columns = |asks| Columns::of(named, asks || !named.is_empty()).map_err(anyhow::Error::msg);
    let (of_check, of_asking) = (columns(false)?, columns(true)?);
    settings.require_home()?;
    let engine = settings.engine(false)?;
    let shown = file.display();
    let lines = File::open(file).with_context(|| format!("cannot read {shown}"))?;
    let (mut rows, mut changed, mut unknown) = (0_u64, 0_u64, 0_u64);
    for (number, line) in (1..).zip(BufReader::new(lines).lines()) {
        let wrong = || format!("{shown}:{number} is no line of `tongkuan check` with all columns");
        let line = match line {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                bail!("{}: it is no text; name the NDJSON file of an earlier check", wrong())
            }
            line => line.with_context(|| format!("cannot read {shown}"))?,
        };
        let mut line = CheckedLine::from_json(&line).with_context(wrong)?;
        if let Some(missing) = NEEDED.iter().find(|name| !line.has(name)) {
            bail!("{}: it lacks {missing}", wrong());
        }
        let before = line.text("outcome").with_context(wrong)?.to_owned();
        rejudge(&engine, &mut line).with_context(wrong)?;
        rows += 1;
        match line.text("outcome") {
            Some("recheck") => unknown += 1,
            after => changed += u64::from(after != Some(before.as_str())),
        }
        let columns = if line.has("unanswered") { &of_asking } else { &of_check };
        writeln!(stdout(), "{}", line.to_json(columns))?;
    }
    complain(format_args!("{rows} rows, {changed} changed, {unknown} to be checked again"));
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::cast_possible_truncation, reason = "it was written as an f32")]
fn narrow(value: &Value) -> Option<f32> {
    value.as_f64().map(|value| value as f32)
}

fn rejudge(engine: &Engine, line: &mut CheckedLine) -> Result<()> {
    // Equal bytes and pixels, errors, and what no threshold could make a hit.
    let Some(pictures) = line.get("compared_with").as_u64() else { return Ok(()) };
    let point = engine.operating_point_among(pictures)?;
    let was_hit = line.text("outcome") == Some("seen");
    let is_by_sketch = !line.get("confidence").is_null() || line.get("rule").is_null();
    if is_by_sketch {
        line.set("threshold", real(Some(point.confidence)));
        line.set("max_false_hit", point.max_false_hit);
    }
    let contest = match line.get("contest") {
        Value::Null if is_by_sketch => return Ok(()),
        Value::Null => None,
        contest => Some(serde_json::from_value::<Contest>(contest.clone()).context("the contest is none")?),
    };
    let was_told_apart = line.text("why") == Some("told_apart");
    let rejudged = match (contest, narrow(line.get("confidence"))) {
        (Some(contest), Some(confidence)) => {
            contest.rejudged(point.confidence, confidence, was_hit, was_told_apart)
        }
        // By nearness alone.
        _ => Rejudged::Unknown,
    };
    match rejudged {
        Rejudged::Hit => {
            line.set("outcome", "seen");
            line.set("why", Value::Null);
        }
        Rejudged::Review(doubt) => {
            line.set("outcome", "review");
            line.set("why", text_of(doubt));
        }
        Rejudged::Unknown => line.set("outcome", "recheck"),
    }
    if rejudged != Rejudged::Review(Some(Doubt::SeveralEqual)) {
        line.set("rivals", Value::Null);
    }
    Ok(())
}
