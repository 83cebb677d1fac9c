//! `tongkuan sheet`: pictures in, a buyer's table out.

mod asking;
mod pictures;
mod plan;
mod stored;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use rayon::prelude::*;
use serde_json::json;

use asking::{Asker, INTERRUPTED};
use pictures::{fetch_thumbnails, fetch_variant_pictures, group};
use plan::Plan;
use stored::StoredDetails;

use super::advice;
use super::interrupt::{told_interrupted, until_interrupt};
use super::output::{complain, complain_about, refuse_precious, stdout};
use super::picture::{Pictures, tell_of_missing};
use super::question::{BreadthArgs, QuestionArgs};
use super::settings::Settings;
use super::show::Terminal;
use crate::cancel::Interrupt;
use crate::engine::{Answer, Breadth, Engine, Mode, Outcome, Progress as _, Query, Source};
use crate::input::{Columns, Input, Item, PictureSource, skipped_text};
use crate::paths::folder_of;
use crate::photo::Digest;
use crate::photo_id::PhotoId;
use crate::printable::line;
use crate::sheet::{
    Assumptions, Form, Language, Sheet, SheetMatch, SheetOffer, SheetPicture, Status, may_replace, words_of,
};
use crate::thumbnail;
use crate::upstream::SearchParams;
use crate::verify::Doubt;

const AFTER_HELP: &str = "\
A row for each offer: your key and picture, what is known of it (hit, asked, review, other
variant, nothing, waiting, error), the stored picture that it was recognised as, and the offer
with price, least order, sales, shop, link, and how old the price is. A workbook also has
pictures, and reckons landed cost and margin from your assumptions, which are cells of its second
sheet.

What it will cost is said before anything is asked; --dry-run says it and ends. Nothing is paid
for twice: what was asked is in the home, so the same command goes on after any interruption, and
fills in what waited. It replaces the sheet that it has written, but not one that a spreadsheet has
saved since, with your prices in it, nor any other file; --force does.

Exit status: 0 every picture has its answer, 1 some wait, 2 some could not be used, or the sheet
was not written, 130 interrupted (the sheet holds what is known).";

/// Make a sheet of offers from pictures: Excel, CSV, NDJSON or one HTML page
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct SheetCommand {
    /// Folders, pictures or their addresses, archives, Parquet files, lists; - is standard input. See `tongkuan check --help`
    #[arg(required = true, value_name = "SOURCE", value_parser = super::any_path())]
    sources: Vec<PathBuf>,
    /// The file to write; its ending says what it becomes: .xlsx, .csv, .ndjson or .html
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Replace what is there under that name though it is no sheet, or was changed since; a sheet as it was written is replaced
    /// in any case
    #[arg(long, requires = "out")]
    force: bool,
    /// Offers for each picture at the most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=50))]
    top: u16,
    /// Say what it would cost, and ask nothing
    #[arg(long)]
    dry_run: bool,
    /// Ask at the most so often in this run, repeated calls included; the day's budget holds beside it
    #[arg(long, value_name = "N")]
    max_calls: Option<u32>,
    /// The column with your own key; without it, ids that are given
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,
    /// The column with the pictures, their paths or addresses, where its name does not tell
    #[arg(long, value_name = "COLUMN")]
    column: Option<String>,
    /// In which language columns are headed
    #[arg(long, default_value = "en")]
    heads: Heads,
    /// Leave out the offers' pictures, which are fetched otherwise
    #[arg(long)]
    no_offer_pictures: bool,
    /// Yuan for one unit of your currency, for landed costs
    #[arg(long, value_name = "YUAN", default_value_t = 1.0, value_parser = above_zero)]
    yuan_per_unit: f64,
    /// Yuan of freight for a kilogram
    #[arg(long, value_name = "YUAN", default_value_t = 0.0, value_parser = not_below_zero)]
    freight_per_kg: f64,
    /// Weight of a piece, in kilograms
    #[arg(long, value_name = "KG", default_value_t = 0.0, value_parser = not_below_zero)]
    weight_kg: f64,
    /// What an agent takes, as a share of the price: 0.05 is five in a hundred
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = not_below_zero)]
    fee_share: f64,
    /// Pieces that you want to buy: prices are those of the ladder for as many
    #[arg(long, value_name = "PIECES", value_parser = clap::value_parser!(u32).range(1..))]
    quantity: Option<u32>,
    /// Ask for the details of each offer in the sheet, too: ladder of prices, weight, variants. A call for each that is not known
    #[arg(long)]
    details: bool,
    /// Of the offers in the sheet, those first of which a wanted piece costs the least; without it, the most alike first
    #[arg(long)]
    cheapest_first: bool,
    /// Say which offers of a picture show the very same picture of the goods: their pictures are fetched and compared
    #[arg(long, conflicts_with = "no_offer_pictures")]
    group: bool,
    #[command(flatten)]
    breadth: BreadthArgs,
    #[command(flatten)]
    question: QuestionArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Heads {
    En,
    Zh,
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|n: &f64| n.is_finite()).ok_or_else(|| format!("{text:?} is not a number"))
}

fn above_zero(text: &str) -> Result<f64, String> {
    number(text).and_then(|n| if n > 0.0 { Ok(n) } else { Err("use more than 0".to_owned()) })
}

fn not_below_zero(text: &str) -> Result<f64, String> {
    number(text).and_then(|n| if n >= 0.0 { Ok(n) } else { Err("use 0 or more".to_owned()) })
}

/// For programs, as reasons are that an engine gives.
const OFFLINE: &str = "offline";

/// A picture of the input.
struct Row {
    id: String,
    key: Option<String>,
    source: Result<PictureSource, String>,
}

/// What is known of it before anything is asked.
struct Looked {
    thumbnail: Option<Vec<u8>>,
    digest: Option<Digest>,
    known: Result<Answer, Unlooked>,
}

/// Why nothing is known of a picture.
enum Unlooked {
    /// The run was interrupted before its turn.
    Interrupted,
    /// It cannot be used.
    Failed(String),
}

impl Looked {
    /// Whether an upstream would have to be asked.
    fn is_open(&self) -> bool {
        self.known.as_ref().is_ok_and(|answer| answer.verdict != Outcome::Hit)
    }
}

impl SheetCommand {
    pub(super) fn run(&self, settings: &Settings) -> Result<ExitCode> {
        let form = self.out.as_deref().map(|out| (out, Form::of(out)));
        let form = match form {
            Some((out, None)) => {
                bail!(
                    "{}: what it is to be is told by its ending: .xlsx, .csv, .ndjson or .html",
                    out.display()
                )
            }
            Some((out, Some(form))) => Some((out, form)),
            None => None,
        };
        // Before anything is paid for a sheet that could not be written.
        if let Some(folder) = form.map(|(out, _)| folder_of(out)).filter(|folder| !folder.is_dir()) {
            bail!("there is no folder {} for the sheet: make it, or name another", line(folder.display()));
        }
        if let Some((out, form)) = form.filter(|_| !self.dry_run) {
            self.refuse_to_replace(out, form)?;
        }
        if settings.is_offline() {
            settings.require_home()?;
        }
        let rows = self.rows()?;
        let interrupt = until_interrupt()?;
        let pictures = Pictures::new(settings)?;
        let engine = settings.engine(true)?;
        let params = self.question.params()?;
        let looked = look(&engine, &pictures, &rows, &params, self.breadth.breadth(), &interrupt);
        let mut stored = StoredDetails::new(engine.catalog());
        let plan = Plan::of(self, &engine, &mut stored, settings, &looked)?;
        plan.tell(settings)?;
        let Some((out, form)) = form.filter(|_| !self.dry_run) else {
            return Ok(ExitCode::SUCCESS);
        };
        let mut sheet = Sheet {
            pictures: Vec::with_capacity(rows.len()),
            language: match self.heads {
                Heads::En => Language::English,
                Heads::Zh => Language::Chinese,
            },
            assumptions: Assumptions {
                yuan_per_unit: self.yuan_per_unit,
                freight_per_kg: self.freight_per_kg,
                weight_kg: self.weight_kg,
                fee_share: self.fee_share,
            },
            ..Sheet::default()
        };
        let mut asker = Asker {
            engine: &engine,
            pictures: &pictures,
            params,
            breadth: self.breadth.breadth(),
            left: plan.most,
            limit: plan.limit,
            over: None,
            why_no_details: None,
        };
        let (terminal, count) = (Terminal::new(), rows.len());
        for (done, (row, looked)) in rows.into_iter().zip(looked).enumerate() {
            let picture = self.picture(&mut asker, &mut stored, row, looked, settings, &interrupt)?;
            sheet.pictures.push(picture);
            terminal.step("asking", done + 1, count);
        }
        self.fill_in_details(&mut asker, &mut sheet, settings, &interrupt);
        let has_pictures = !self.no_offer_pictures && matches!(form, Form::Workbook | Form::Page);
        if has_pictures || self.group {
            self.fetch_offer_pictures(&engine, &pictures, &mut sheet, &interrupt)?;
        }
        if has_pictures && form == Form::Workbook {
            fetch_variant_pictures(&pictures, &mut sheet, &interrupt);
        }
        sheet.write(out, form)?;
        super::quota::refresh(settings, &engine, &interrupt);
        finish(settings, &sheet, out, &interrupt)
    }

    /// Refuses to write over what would be lost; a sheet is made again as often as is wanted.
    fn refuse_to_replace(&self, out: &Path, form: Form) -> Result<()> {
        let Ok(there) = out.canonicalize() else { return Ok(()) };
        let shown = line(out.display());
        if !there.is_file() {
            bail!("{shown} is no file: name another one for the sheet");
        }
        if self.sources.iter().any(|source| source.canonicalize().is_ok_and(|source| source == there)) {
            bail!("{shown} is what the pictures are read from: name another file for the sheet");
        }
        refuse_precious(out)?;
        if !self.force && !may_replace(&there, form).with_context(|| format!("{shown} cannot be read"))? {
            bail!(
                "{shown} is there already, and is no sheet, or was changed since it was written: name another file, or \
                 replace it with --force"
            );
        }
        Ok(())
    }

    fn rows(&self) -> Result<Vec<Row>> {
        let columns = Columns { picture: self.column.clone(), key: self.key.clone(), ..Columns::default() };
        let mut rows = Vec::new();
        for source in &self.sources {
            let name = source.display().to_string();
            let mut input = match Input::open_with(source, &columns) {
                Ok(input) => input,
                Err(problem) if self.sources.len() == 1 => bail!("{name}: {problem}"),
                Err(problem) => {
                    rows.push(Row { id: name, key: None, source: Err(problem.to_string()) });
                    continue;
                }
            };
            rows.extend(input.by_ref().map(row_of));
            tell_of_missing(&name, &input);
            if let Some(text) = skipped_text(&input.report().skipped) {
                complain_about(&name, text);
            }
        }
        if rows.is_empty() {
            bail!("there are no pictures in what was named");
        }
        Ok(rows)
    }

    /// What the sheet says of a picture; asks where it is open and may be asked.
    fn picture(
        &self,
        asker: &mut Asker<'_>,
        stored: &mut StoredDetails<'_>,
        row: Row,
        looked: Looked,
        settings: &Settings,
        interrupt: &Interrupt,
    ) -> Result<SheetPicture> {
        let mut picture = SheetPicture {
            id: row.id,
            key: row.key,
            status: Status::Error,
            why: None,
            matched: None,
            asked_at: None,
            upstream_calls: 0,
            offers: Vec::new(),
            thumbnail: looked.thumbnail.clone(),
        };
        let is_open = looked.is_open();
        let known = match looked.known {
            Ok(known) => known,
            Err(Unlooked::Interrupted) => {
                (picture.status, picture.why) = (Status::Waiting, Some(INTERRUPTED.to_owned()));
                return Ok(picture);
            }
            Err(Unlooked::Failed(why)) => {
                picture.why = Some(why);
                return Ok(picture);
            }
        };
        let (answer, waits_for) = match row.source {
            Ok(source) if is_open && !settings.is_offline() => asker.ask(&source, known, interrupt),
            _ if is_open => (known, Some(OFFLINE.to_owned())),
            _ => (known, None),
        };
        picture.upstream_calls = answer.upstream_calls;
        picture.asked_at = answer.fetched_at;
        picture.status = status_of(&answer, waits_for.as_deref());
        picture.why = waits_for;
        picture.matched = answer.matched.as_ref().map(|matched| SheetMatch {
            photo_id: matched.photo_id,
            label: matched.label.clone(),
            confidence: answer.confidence(),
            why: answer.why(),
            thumbnail: stored_picture(asker.engine, matched.photo_id),
        });
        // The most alike: the cheapest of all that came would be other goods.
        for offer in answer.offers.into_iter().take(self.top.into()) {
            let detail = stored.of(&offer.offer_id)?.cloned();
            picture.offers.push(SheetOffer::new(offer, detail, self.quantity));
        }
        self.put_in_order(&mut picture);
        Ok(picture)
    }

    fn put_in_order(&self, picture: &mut SheetPicture) {
        if self.cheapest_first {
            // Those without a price come last.
            picture.offers.sort_by_key(|offer| (offer.unit_price.is_none(), offer.unit_price));
        }
    }

    /// Asks for details that are not known, once all pictures have been asked about: an answer is worth more than details.
    fn fill_in_details(
        &self,
        asker: &mut Asker<'_>,
        sheet: &mut Sheet,
        settings: &Settings,
        interrupt: &Interrupt,
    ) {
        if !self.details || settings.is_offline() {
            return;
        }
        let (terminal, count) = (Terminal::new(), sheet.pictures.len());
        for (done, picture) in sheet.pictures.iter_mut().enumerate() {
            let left = asker.left;
            for offer in picture.offers.iter_mut().filter(|offer| offer.details.is_none()) {
                let detail = asker.details(&offer.offer.offer_id, interrupt);
                offer.take_detail(detail, self.quantity);
            }
            picture.upstream_calls += left - asker.left;
            self.put_in_order(picture);
            terminal.step("asking for details", done + 1, count);
        }
        if let Some(why) = asker.why_no_details.take() {
            let why = words_of(&why, Language::English);
            complain(format_args!("details of some offers are missing: {why}"));
        }
    }

    /// Fetches the pictures of all offers. What cannot be fetched is left out: the sheet has its link.
    fn fetch_offer_pictures(
        &self,
        engine: &Engine,
        pictures: &Pictures,
        sheet: &mut Sheet,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let offers = sheet.pictures.iter().flat_map(|picture| &picture.offers);
        let addresses = offers.filter_map(|offer| offer.offer.image_url.clone()).collect();
        let fetched = fetch_thumbnails(pictures, addresses, interrupt);
        for offer in sheet.pictures.iter_mut().flat_map(|picture| &mut picture.offers) {
            offer.thumbnail =
                offer.offer.image_url.as_ref().and_then(|address| fetched.get(address)).cloned();
        }
        let Some(fetcher) = pictures.fetcher().filter(|_| self.group) else { return Ok(()) };
        let (terminal, done, of) = (Terminal::new(), AtomicUsize::new(0), sheet.pictures.len());
        sheet.pictures.par_iter_mut().try_for_each(|picture| {
            if interrupt.check().is_ok() {
                group(engine, fetcher, &mut picture.offers)?;
            }
            terminal.step("comparing pictures", done.fetch_add(1, Ordering::Relaxed) + 1, of);
            Ok(())
        })
    }
}

fn row_of(item: Item) -> Row {
    let Item { place, key, row, .. } = item;
    match row {
        Ok(row) => {
            let key = key.or_else(|| row.is_id_given.then(|| row.id.clone()));
            let id = match &row.picture {
                PictureSource::File(path) => path.display().to_string(),
                PictureSource::Address(address) => address.clone(),
                _ => row.id,
            };
            Row { id, key, source: Ok(row.picture) }
        }
        Err(problem) => Row { id: place, key, source: Err(problem.to_string()) },
    }
}

/// Looks all pictures up, on all cores, without asking.
fn look(
    engine: &Engine,
    pictures: &Pictures,
    rows: &[Row],
    params: &SearchParams,
    breadth: Breadth,
    interrupt: &Interrupt,
) -> Vec<Looked> {
    let (terminal, done) = (Terminal::new(), AtomicUsize::new(0));
    rows.par_iter()
        .map(|row| {
            let unlooked = |why| Looked { thumbnail: None, digest: None, known: Err(why) };
            let failed = |why: String| unlooked(Unlooked::Failed(why));
            if interrupt.check().is_err() {
                return unlooked(Unlooked::Interrupted);
            }
            let looked = match &row.source {
                Err(problem) => failed(problem.clone()),
                Ok(source) => look_at(engine, pictures, source, params, breadth)
                    .unwrap_or_else(|error| failed(advice::explained(error.as_ref()))),
            };
            terminal.step("looking", done.fetch_add(1, Ordering::Relaxed) + 1, rows.len());
            looked
        })
        .collect()
}

fn look_at(
    engine: &Engine,
    pictures: &Pictures,
    source: &PictureSource,
    params: &SearchParams,
    breadth: Breadth,
) -> Result<Looked> {
    let picture = pictures.read(source)?;
    let query = Query::new(&picture.bytes, &picture.label).params(params.clone()).mode(Mode::LocalOnly);
    let known = engine.search_widely(&query, breadth)?;
    let thumbnail = thumbnail::of_file(&picture.bytes);
    Ok(Looked { thumbnail, digest: Some(Digest::of(&picture.bytes)), known: Ok(known) })
}

fn status_of(answer: &Answer, waits_for: Option<&str>) -> Status {
    match (answer.verdict, answer.source) {
        // What stands out may be asked about all the same.
        _ if waits_for.is_some_and(|reason| reason != OFFLINE) => Status::Waiting,
        (Outcome::Review, _)
            if answer.why() == Some(Doubt::OtherVariant) && answer.source != Source::Upstream =>
        {
            Status::OtherVariant
        }
        (Outcome::Review, Source::Local | Source::None) => Status::Review,
        _ if waits_for.is_some() => Status::Waiting,
        _ if answer.offers.is_empty() => Status::Nothing,
        (_, Source::Upstream) => Status::Asked,
        _ => Status::Hit,
    }
}

/// The stored picture, drawn from what is kept to compare it by.
fn stored_picture(engine: &Engine, photo_id: PhotoId) -> Option<Vec<u8>> {
    thumbnail::jpeg(&engine.stored_sketch(photo_id).ok()??.picture())
}

fn finish(settings: &Settings, sheet: &Sheet, out: &Path, interrupt: &Interrupt) -> Result<ExitCode> {
    let count = |status| sheet.pictures.iter().filter(|picture| picture.status == status).count();
    let calls: u32 = sheet.pictures.iter().map(|picture| picture.upstream_calls).sum();
    let statuses = [
        Status::Hit,
        Status::Asked,
        Status::Review,
        Status::OtherVariant,
        Status::Nothing,
        Status::Waiting,
        Status::Error,
    ];
    if settings.json {
        let mut counts = serde_json::Map::new();
        for status in statuses {
            let name = serde_json::to_value(status)?;
            counts.insert(name.as_str().unwrap_or_default().to_owned(), count(status).into());
        }
        let told = json!({"id": null, "sheet": out.display().to_string(), "counts": counts, "upstream_calls": calls});
        writeln!(stdout(), "{told}")?;
    }
    for picture in sheet.pictures.iter().filter(|picture| picture.status == Status::Error) {
        complain_about(&picture.id, picture.why.as_deref().unwrap_or_default());
    }
    let [hit, asked, review, variant, nothing, waiting, errors] = statuses.map(count);
    complain(format_args!(
        "{}: {hit} known, {asked} asked ({calls} calls), {review} to review, {variant} other variants, {nothing} without \
         offers, {waiting} waiting, {errors} errors",
        out.display()
    ));
    if interrupt.check().is_err() {
        return Ok(told_interrupted("what was asked is stored, and the sheet holds it"));
    }
    if errors > 0 {
        return Ok(ExitCode::from(super::FAILED));
    }
    Ok(super::found(waiting == 0))
}
