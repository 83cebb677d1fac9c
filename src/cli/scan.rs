//! `tongkuan scan`

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::FAILED;
use super::interrupt::{INTERRUPTED, until_interrupt};
use super::output::{complain, complain_about, refuse_other, refuse_replacing, report, stdout};
use super::settings::Settings;
use crate::cancel::Interrupt;
use crate::engine::Engine;
use crate::input::skipped_text;
use crate::paths::folder_of;
use crate::printable::field;
use crate::scan::{
    self, Action, Applied, Depth, Group, Manifest, Member, PageOptions, Relation, Scan, ScanEnd, ScanError,
    Undone,
};
use crate::sheet::harmless;
use crate::temporary::NewFile;
use crate::verify::Doubt;

mod against;
mod progress;

use progress::ScanProgress;

/// Which pictures of a folder are the same: by bytes, by pixels, and by sight.
///
/// A picture joins a group if the judge takes it for the picture that stands for the group (the one with the most
/// pixels), by the threshold that searches use; other colours and prints are kept apart and shown. Nothing is changed in the
/// folder unless --apply and --yes say so. What is known is kept in HOME/scans: the next scan opens changed files only,
/// and an interrupted one goes on where it stopped.
#[derive(Args, Debug)]
pub(super) struct ScanCommand {
    /// The folder
    #[arg(value_name = "DIR", required_unless_present = "undo")]
    folder: Option<PathBuf>,
    /// Say which pictures of DIR are there already: in another folder, or in this home (the word `home`)
    #[arg(long, value_name = "DIR|home", conflicts_with_all = ["csv", "html", "apply", "undo"])]
    against: Option<PathBuf>,
    /// Write the groups as a table, a line a file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a page to look at: pictures side by side, with what differs marked
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// At most so many pictures on the page
    #[arg(long, value_name = "N", default_value_t = 600)]
    html_pictures: usize,
    /// Take all but one file of each group away: prints what would be done, unless --yes is there
    #[arg(long, value_name = "HOW")]
    apply: Option<ApplyMode>,
    /// How close to its group's picture a file must be to be taken away
    #[arg(long, value_name = "RELATION", default_value = "same-pixels", requires = "apply")]
    up_to: UpTo,
    /// Do it
    #[arg(long, requires = "apply")]
    yes: bool,
    /// Undo what an earlier --apply has done, by the list that it named
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["folder", "csv", "html", "apply"])]
    undo: Option<PathBuf>,
    /// Where to keep what is known of this folder (default: a folder of its own in HOME/scans)
    #[arg(long, value_name = "DIR")]
    scan_home: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ApplyMode {
    /// Move to .tongkuan-trash in the folder
    Trash,
    /// Replace by another name of the kept file; same bytes only
    Hardlink,
    /// Replace by a link to the kept file; same bytes only
    Symlink,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UpTo {
    SameBytes,
    SamePixels,
    /// The whole picture, compressed anew or in another size, where what is kept shows more for sure
    ReEncoded,
    /// Also what was cut, framed or stamped, where three pictures agree on the one that was not, and what a person said is the same
    Edited,
}

impl ScanCommand {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        if let Some(manifest) = &self.undo {
            return undo(settings, manifest);
        }
        let Some(folder) = &self.folder else { bail!("name a folder") };
        if let (Some(csv), Some(html)) = (&self.csv, &self.html)
            && place_of(csv) == place_of(html)
        {
            bail!(
                "--csv and --html both name {}, where only one can be: name two files",
                field(html.display())
            );
        }
        self.csv.as_deref().map_or(Ok(()), |path| refuse_other(path, report::GROUPS_CSV))?;
        self.html.as_deref().map_or(Ok(()), |path| refuse_replacing(path, report::HTML))?;
        let interrupt = until_interrupt()?;
        if let Some(against) = &self.against {
            return against::run(self, settings, folder, against, &interrupt);
        }
        let mut scan = self.open(settings, folder)?;
        if run_scan(&mut scan, Depth::Grouped, &interrupt)? == ScanEnd::Stopped {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let failed = report_troubles(settings, &scan)?;
        if settings.json {
            scan.each_group(&mut |group| print(&group.to_json()))?;
            scan.each_look_alike(&mut |pair| print(&pair.to_json()))?;
        } else {
            scan.each_group(&mut |group| show(group).map_err(output_error))?;
            scan.each_look_alike(&mut |pair| {
                let confidence = pair.confidence.map_or(String::new(), |sure| format!(" ({sure:.2})"));
                writeln!(
                    stdout(),
                    "look-alikes, {}{confidence}: {} and {}",
                    words_of(&pair.why),
                    field(&pair.one.name),
                    field(&pair.other.name)
                )
                .map_err(output_error)
            })?;
        }
        if let Some(path) = &self.csv {
            write_csv(&mut scan, path)?;
        }
        if let Some(path) = &self.html {
            scan::write_page(&mut scan, path, PageOptions { pictures: self.html_pictures })?;
        }
        self.finish(settings, &mut scan, &interrupt, failed)
    }

    fn finish(
        &self,
        settings: &Settings,
        scan: &mut Scan,
        interrupt: &Interrupt,
        failed: bool,
    ) -> Result<ExitCode> {
        let summary = scan.summary().clone();
        if settings.json {
            let mut value = serde_json::to_value(&summary)?;
            (value["kind"], value["id"]) = (json!("summary"), json!(null));
            value["home"] = json!(scan.engine().home());
            writeln!(stdout(), "{value}")?;
        } else {
            complain(format_args!(
                "{} files, {} of them unchanged; {} groups, {} files of {} could go; {} pairs to look at; {} failed",
                summary.files,
                summary.unchanged,
                summary.groups,
                summary.extra_files,
                bytes_text(summary.extra_bytes),
                summary.look_alikes,
                summary.failed
            ));
        }
        if let Some(mode) = self.apply {
            let skipped = self.apply(settings, scan, mode, interrupt)?;
            return Ok(ExitCode::from(if failed || skipped { FAILED } else { 0 }));
        }
        Ok(ExitCode::from(if failed { FAILED } else { 0 }))
    }

    fn open(&self, settings: &Settings, folder: &Path) -> Result<Scan> {
        let home = match &self.scan_home {
            Some(home) => home.clone(),
            None => Scan::home_of(&settings.home.folder().join("scans"), folder)?,
        };
        Ok(Scan::open(folder, scan_engine(settings, &home)?)?)
    }

    /// Plans, and with `--yes` acts. Returns whether something was skipped.
    fn apply(
        &self,
        settings: &Settings,
        scan: &mut Scan,
        mode: ApplyMode,
        interrupt: &Interrupt,
    ) -> Result<bool> {
        let mode = match mode {
            ApplyMode::Trash => scan::Mode::Trash,
            ApplyMode::Hardlink => scan::Mode::Hardlink,
            ApplyMode::Symlink => scan::Mode::Symlink,
        };
        let up_to = match (mode, self.up_to) {
            (scan::Mode::Trash, UpTo::SamePixels) => Relation::SamePixels,
            (scan::Mode::Trash, UpTo::ReEncoded) => Relation::ReEncoded,
            (scan::Mode::Trash, UpTo::Edited) => Relation::Told,
            // A link shows the kept file, so that has to be the same one.
            _ => Relation::SameBytes,
        };
        let (home, folder) = (scan.engine().folder().to_path_buf(), scan.folder().to_path_buf());
        let mut manifest =
            if self.yes { Some(Manifest::begin(&home, &folder, mode, scan.engine().now())?) } else { None };
        let (mut files, mut bytes, mut links, mut unnamed) = (0_u64, 0_i64, 0, 0_u64);
        let (mut unseen, mut unsure) = (0_u64, 0_u64);
        scan.each_group(&mut |group| {
            unnamed +=
                group.members.iter().filter(|member| member.file.path.to_str().is_none()).count() as u64;
            links += group.members.iter().filter(|member| member.file.is_link).count();
            let left_alone = left_alone(group, up_to);
            (unseen, unsure) = (unseen + left_alone.0, unsure + left_alone.1);
            for action in scan::plan(group, up_to) {
                (files, bytes) = (files + 1, bytes + action.bytes);
                match &mut manifest {
                    Some(manifest) => manifest.add(&action)?,
                    None if settings.json => print(&line_of("would", &action, json!({})))?,
                    None => writeln!(
                        stdout(),
                        "would {} {} ({}, keeping {})",
                        verb(mode),
                        field(action.path.display()),
                        words_of(&action.relation),
                        field(action.kept.display())
                    )
                    .map_err(output_error)?,
                }
            }
            Ok(())
        })?;
        if links > 0 {
            complain(format_args!("{links} links are left alone, and so are the files that they lead to"));
        }
        if unseen > 0 {
            complain(format_args!(
                "{unseen} files are left alone because they hold more than is compared (frames, transparency, more than 8 \
                 bits, what a camera wrote): those go for files with the same bytes only"
            ));
        }
        if unsure > 0 {
            complain(format_args!(
                "{unsure} files are left alone because it is not sure that what is kept shows more, or which of the two was \
                 edited: look at them with --html"
            ));
        }
        if unnamed > 0 {
            complain(format_args!("{unnamed} files whose names are no Unicode are left alone: rename them"));
        }
        let of = format!("{files} files, {}", bytes_text(u64::try_from(bytes).unwrap_or(0)));
        let Some(manifest) = manifest else {
            complain(format_args!("{of}: nothing was changed; the same command with --yes does it"));
            return Ok(false);
        };
        let Some(manifest) = manifest.end()? else {
            complain("nothing to be done");
            return Ok(false);
        };
        let (mut done, mut skipped) = (0_u64, 0_u64);
        let mut broken = None;
        scan::apply(&manifest, &mut |action, outcome| {
            match &outcome {
                Applied::Done => done += 1,
                Applied::Skipped(why) => {
                    skipped += 1;
                    complain_about(action.path.display(), why);
                }
            }
            if settings.json {
                let why = if let Applied::Skipped(why) = &outcome { Some(why) } else { None };
                let line = line_of("applied", action, json!({"done": why.is_none(), "why": why}));
                broken = broken.take().or(writeln!(stdout(), "{line}").err());
            }
            interrupt.check().is_ok()
        })?;
        if settings.json {
            let line =
                json!({"id": null, "kind": "manifest", "path": manifest, "done": done, "skipped": skipped});
            writeln!(stdout(), "{line}")?;
        }
        complain(format_args!(
            "{done} of {of} done, {skipped} skipped; `tongkuan scan --undo {}` undoes it",
            manifest.display()
        ));
        if let Some(error) = broken {
            return Err(error.into());
        }
        // What is left is left for another run.
        if done + skipped < files {
            interrupt.check()?;
        }
        Ok(skipped > 0)
    }
}

/// How many files stay although they are as close as `up_to`: those that hold more than is compared, and those of which it is
/// not sure.
fn left_alone(group: &Group, up_to: Relation) -> (u64, u64) {
    let Some(kept) = group.kept() else { return (0, 0) };
    let is_as_close = |member: &Member| {
        member.file.pixel_digest == kept.file.pixel_digest && up_to >= Relation::SamePixels
            || member.whole == kept.whole && up_to >= Relation::ReEncoded
            || up_to >= Relation::Edited
    };
    let stays = |member: &&Member| {
        member.stays && !member.keep && !member.is_linked_to && !member.file.is_link && is_as_close(member)
    };
    let (mut unseen, mut unsure) = (0, 0);
    for member in group.members.iter().filter(stays) {
        *if member.file.unseen.is_some() { &mut unseen } else { &mut unsure } += 1;
    }
    (unseen, unsure)
}

/// Where a file is or will be, whatever its path is called.
fn place_of(path: &Path) -> PathBuf {
    let folder = || Some(folder_of(path).canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(folder).unwrap_or_else(|| path.to_path_buf())
}

/// An engine for a scan's home: by itself, with the user's model and threshold.
fn scan_engine(settings: &Settings, home: &Path) -> Result<Engine> {
    let mut builder = settings.builder_on(home, true)?.without_graph();
    if let Some(share) = settings.max_false_hit {
        builder = builder.max_false_hit(share);
    }
    Ok(builder.open()?)
}

fn run_scan(scan: &mut Scan, depth: Depth, interrupt: &Interrupt) -> Result<ScanEnd> {
    let end = scan.run(depth, interrupt, &ScanProgress::new())?;
    if end == ScanEnd::Stopped {
        complain("interrupted; what was done is kept, and the same command goes on from there");
    }
    if let Some(text) = skipped_text(scan.skipped()) {
        complain(text);
    }
    Ok(end)
}

/// Says which files failed; returns whether any did.
fn report_troubles(settings: &Settings, scan: &Scan) -> Result<bool> {
    let troubles = scan.troubles()?;
    for trouble in &troubles {
        complain_about(&trouble.name, &trouble.error);
        if settings.json {
            let mut value = serde_json::to_value(trouble)?;
            (value["kind"], value["id"]) = (json!("error"), json!(trouble.name));
            writeln!(stdout(), "{value}")?;
        }
    }
    Ok(!troubles.is_empty())
}

fn undo(settings: &Settings, manifest: &Path) -> Result<ExitCode> {
    let (mut done, mut skipped) = (0_u64, 0_u64);
    let mut broken = None;
    scan::undo(manifest, &mut |action, outcome| {
        let (word, why) = match outcome {
            Undone::Done => ("undone", None),
            Undone::WasNotDone => ("was_not_done", None),
            Undone::Skipped(why) => ("skipped", Some(why)),
        };
        done += u64::from(word == "undone");
        if let Some(why) = &why {
            skipped += 1;
            complain_about(action.path.display(), why);
        }
        if settings.json {
            let line = line_of(word, action, json!({"why": why}));
            broken = broken.take().or(writeln!(stdout(), "{line}").err());
        }
    })?;
    complain(format_args!("{done} undone, {skipped} skipped"));
    match broken {
        Some(error) => Err(error.into()),
        None => Ok(ExitCode::from(if skipped > 0 { FAILED } else { 0 })),
    }
}

/// A line of JSON about one file, with more of it.
fn line_of(kind: &str, action: &Action, mut line: Value) -> Value {
    line["id"] = json!(action.path.display().to_string());
    line["kind"] = json!(kind);
    line["action"] = json!(action);
    line
}

fn verb(mode: scan::Mode) -> &'static str {
    match mode {
        scan::Mode::Trash => "move to the trash:",
        scan::Mode::Hardlink => "replace by a hard link:",
        scan::Mode::Symlink => "replace by a link:",
    }
}

/// Errors of standard output come as they are, through the scan that was interrupted by them.
fn output_error(reason: io::Error) -> ScanError {
    ScanError::Write { path: PathBuf::from("standard output"), reason }
}

fn print(line: &Value) -> Result<(), ScanError> {
    writeln!(stdout(), "{line}").map_err(output_error)
}

fn show(group: &Group) -> io::Result<()> {
    let mut out = stdout();
    writeln!(
        out,
        "group {}: {} files, {} could go",
        group.number,
        group.members.len(),
        bytes_text(group.extra_bytes())
    )?;
    for member in &group.members {
        let file = &member.file;
        let sure = member.confidence.map_or(String::new(), |sure| format!(" {sure:.3}"));
        let unseen = file.unseen.map_or(String::new(), |unseen| format!(", {}", unseen.in_words().0));
        let link = match () {
            () if file.is_link => ", a link",
            () if member.is_linked_to => ", a link leads to it",
            () => "",
        };
        writeln!(
            out,
            "  {:<4} {:>11} {:>9}  {}  ({}{sure}{unseen}{link})",
            match () {
                () if member.keep => "keep",
                () if member.stays && !file.is_link => "stay",
                () => "",
            },
            format!("{}x{}", file.width_px, file.height_px),
            bytes_text(u64::try_from(file.stat.size).unwrap_or(0)),
            field(&file.name),
            member.relation.in_words().0
        )?;
    }
    Ok(())
}

/// A relation, a rule or a doubt for people.
fn words_of(word: &str) -> &str {
    match word {
        "same_picture" => "the same picture",
        "remembered" => "told to be the same as it",
        other => {
            let doubt = || Doubt::of_code(other).map(|doubt| doubt.in_words().0);
            Relation::of_word(other).map(|relation| relation.in_words().0).or_else(doubt).unwrap_or(other)
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people, with one digit")]
fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

fn write_csv(scan: &mut Scan, path: &Path) -> Result<()> {
    let unwritable = || format!("{} cannot be written", path.display());
    let mut new = NewFile::new(path).with_context(unwritable)?;
    let mut table = csv::Writer::from_writer(BufWriter::new(new.file()));
    table.write_record([
        "group",
        "role",
        "relation",
        "confidence",
        "name",
        "width_px",
        "height_px",
        "bytes",
        "modified",
        "sharpness",
        "byte_digest",
        "pixel_digest",
        "unseen",
        "could_go",
    ])?;
    let failed = |error: csv::Error| ScanError::Write { path: path.to_path_buf(), reason: error.into() };
    scan.each_group(&mut |group| {
        for member in &group.members {
            let file = &member.file;
            table
                .write_record([
                    group.number.to_string(),
                    if member.keep { "keep" } else { "extra" }.to_owned(),
                    member.relation.to_string(),
                    member.confidence.map_or(String::new(), |sure| sure.to_string()),
                    harmless(&file.name),
                    file.width_px.to_string(),
                    file.height_px.to_string(),
                    file.stat.size.to_string(),
                    file.modified().to_string(),
                    file.sharpness.to_string(),
                    file.byte_digest.to_string(),
                    file.pixel_digest.to_string(),
                    file.unseen.map_or(String::new(), |unseen| unseen.to_string()),
                    member.could_go().to_string(),
                ])
                .map_err(failed)?;
        }
        Ok(())
    })?;
    table.flush().with_context(unwritable)?;
    drop(table);
    new.finish().with_context(unwritable)
}
