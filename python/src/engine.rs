//! An engine on a home folder. Answers go to Python as the JSON that the command line prints.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyIterator;
use serde_json::json;
use tongkuan::cancel::Interrupt;
use tongkuan::catalog::{GoodsFilter, PhotoFilter, PhotoKind, Words};
use tongkuan::config::{Overrides, Settings};
use tongkuan::embed::Provider;
use tongkuan::engine::{Breadth, MAX_PAGES, PhotoRef, Refine, Sameness};
use tongkuan::offer::{OfferId, Price};
use tongkuan::photo_id::PhotoId;
use tongkuan::question::{LanguageCode, OfferFilter, Phrase, Region, SearchParams, Sort, WordError};
use tongkuan::{Cancel, Engine, Mode, Query, doors};

use crate::batch::{self, Batch};
use crate::error::Failure;
use crate::picture::{Given, Picture, Pictures};

/// How often Ctrl-C is looked for.
const SIGNAL_POLL: Duration = Duration::from_millis(50);

#[pyclass(frozen, module = "tongkuan._native")]
pub(crate) struct NativeEngine {
    engine: Arc<Engine>,
    pictures: Arc<Pictures>,
    is_offline: bool,
    /// A forked process has neither the threads nor the locks of this one.
    process: u32,
}

/// One of the two pictures that something is said of.
#[derive(FromPyObject)]
enum One {
    Photo(i64),
    Picture(Given, String),
}

/// Up to a hundred years.
fn seconds(secs: f64, range: &str) -> Result<Duration, Failure> {
    if (0.0..=3_153_600_000.0).contains(&secs) {
        Ok(Duration::from_secs_f64(secs))
    } else {
        Err(Failure::argument("argument", range))
    }
}

enum Opened {
    Photo(PhotoId),
    Picture(Picture),
}

impl Opened {
    fn photo_ref(&self) -> PhotoRef<'_> {
        match self {
            Self::Photo(photo_id) => PhotoRef::Photo(*photo_id),
            Self::Picture(picture) => PhotoRef::File { bytes: &picture.bytes, label: &picture.label },
        }
    }
}

impl NativeEngine {
    fn engine(&self) -> Result<&Arc<Engine>, Failure> {
        if std::process::id() != self.process {
            return Err(Failure::Configuration {
                code: "forked",
                text: "this engine was opened in the parent process: open one in each process".to_owned(),
            });
        }
        Ok(&self.engine)
    }

    fn mode(&self, word: &str) -> Result<Mode, Failure> {
        match word {
            _ if self.is_offline => Ok(Mode::LocalOnly),
            "default" => Ok(Mode::Default),
            "local" => Ok(Mode::LocalOnly),
            "refresh" => Ok(Mode::Refresh),
            "bypass" => Ok(Mode::Bypass),
            _ => {
                let text = format!("mode {word:?} is none: use default, local, refresh or bypass");
                Err(Failure::argument("argument", text))
            }
        }
    }

    /// Runs `work` without the interpreter's lock, on a thread of its own, and cancels it at Ctrl-C.
    fn run<T: Send>(
        py: Python<'_>,
        work: impl FnOnce(&Cancel) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        let cancel = Cancel::new();
        let mut interrupted = None;
        let done = py.detach(|| {
            std::thread::scope(|scope| {
                let (tell, told) = mpsc::sync_channel(1);
                let token = &cancel;
                scope.spawn(move || {
                    // It is received unless the scope was left by a panic.
                    let _ = tell.send(work(token));
                });
                loop {
                    match told.recv_timeout(SIGNAL_POLL) {
                        Ok(done) => return Some(done),
                        Err(RecvTimeoutError::Disconnected) => return None,
                        Err(RecvTimeoutError::Timeout) if interrupted.is_none() => {
                            #[allow(
                                clippy::redundant_closure_for_method_calls,
                                reason = "the method has one lifetime only"
                            )]
                            if let Err(error) = Python::attach(|py| py.check_signals()) {
                                interrupted = Some(error);
                                cancel.cancel();
                            }
                        }
                        Err(RecvTimeoutError::Timeout) => {}
                    }
                }
            })
        });
        match (interrupted, done) {
            (Some(error), _) => Err(error.into()),
            (None, Some(done)) => done,
            (None, None) => Err(Failure::Other { code: "panic", text: "the engine has panicked".to_owned() }),
        }
    }

    fn open(&self, one: One) -> Result<Opened, Failure> {
        Ok(match one {
            One::Photo(photo_id) => Opened::Photo(PhotoId(photo_id)),
            One::Picture(given, label) => Opened::Picture(self.pictures.read(given, Some(label))?),
        })
    }
}

#[pymethods]
impl NativeEngine {
    #[new]
    #[pyo3(signature = (home, config_file, model, provider, offline, upstreams, base_url, daily_budget, max_false_hit, library))]
    #[allow(clippy::too_many_arguments, reason = "the Python part names them")]
    fn new(
        py: Python<'_>,
        home: Option<PathBuf>,
        config_file: Option<PathBuf>,
        model: Option<PathBuf>,
        provider: Option<String>,
        offline: Option<bool>,
        upstreams: Option<Vec<String>>,
        base_url: Option<String>,
        daily_budget: Option<u32>,
        max_false_hit: Option<f64>,
        library: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let upstreams = upstreams.map(|names| names.iter().map(|name| name.parse()).collect()).transpose();
        let upstreams = upstreams.map_err(|error: tongkuan::config::UnknownProfile| {
            Failure::argument("argument", error.to_string())
        })?;
        let provider = provider.map(|name| name.parse::<Provider>()).transpose();
        let provider =
            provider.map_err(|error| Failure::argument("argument", format!("provider: {error}")))?;
        py.detach(|| {
            let settings = Settings::resolve(&Overrides {
                home,
                config_file,
                model,
                provider,
                offline,
                upstreams,
                base_url,
                daily_budget,
                max_false_hit,
                ..Overrides::default()
            })?;
            let is_offline = settings.is_offline();
            let fetcher =
                if is_offline { None } else { Some(settings.fetcher(settings.network("fetching")?)?) };
            let runtime = settings.runtime(false).library(library);
            let engine = settings.engine_builder(false)?.runtime(runtime).open()?;
            Ok(Self {
                engine: Arc::new(engine),
                pictures: Arc::new(Pictures(fetcher)),
                is_offline,
                process: std::process::id(),
            })
        })
    }

    fn home(&self) -> PathBuf {
        // A folder may have a name that is no text; an address is one.
        match self.engine.home().as_folder() {
            Some(folder) => folder.to_path_buf(),
            None => self.engine.home().to_string().into(),
        }
    }

    /// Loads the model and the index.
    fn warm_up(&self, py: Python<'_>) -> Result<(), Failure> {
        let engine = self.engine()?;
        Self::run(py, |_| Ok(engine.warm_up()?))
    }

    #[pyo3(signature = (given, label, mode, *, category, price_min, price_max, keyword, max_min_order, region, page,
        page_size, pages, all_upstreams, suggested_regions, max_calls, max_age_days, defer, force, deadline_secs, filters,
        sort, upstream_keyword, translate_keyword, auxiliary_text, item_title, collection, language))]
    #[allow(
        clippy::too_many_arguments,
        clippy::fn_params_excessive_bools,
        reason = "the Python part names them"
    )]
    fn search(
        &self,
        py: Python<'_>,
        given: Given,
        label: Option<String>,
        mode: &str,
        category: Option<u64>,
        price_min: Option<String>,
        price_max: Option<String>,
        keyword: Option<String>,
        max_min_order: Option<u32>,
        region: Option<String>,
        page: u32,
        page_size: u32,
        pages: u32,
        all_upstreams: bool,
        suggested_regions: bool,
        max_calls: Option<u32>,
        max_age_days: Option<f64>,
        defer: Option<i32>,
        force: bool,
        deadline_secs: Option<f64>,
        filters: Vec<String>,
        sort: Option<String>,
        upstream_keyword: Option<String>,
        translate_keyword: bool,
        auxiliary_text: Option<String>,
        item_title: Option<String>,
        collection: Option<String>,
        language: Option<String>,
    ) -> Result<String, Failure> {
        let engine = self.engine()?;
        let mode = self.mode(mode)?;
        let price = |price: Option<String>| price.as_deref().map(str::parse::<Price>).transpose();
        let phrase = |text: Option<String>| text.as_deref().map(str::parse::<Phrase>).transpose();
        let filters: Vec<OfferFilter> =
            filters.iter().map(|word| word.parse()).collect::<Result<_, WordError>>()?;
        if translate_keyword && upstream_keyword.is_none() {
            return Err(Failure::argument("argument", "translate_keyword needs upstream_keyword"));
        }
        let params = SearchParams::default()
            .filters(filters)
            .sort(sort.as_deref().map(str::parse::<Sort>).transpose()?)
            .keyword(phrase(upstream_keyword)?)
            .translate_keyword(translate_keyword)
            .auxiliary_text(phrase(auxiliary_text)?)
            .item_title(phrase(item_title)?)
            .collection_id(phrase(collection)?)
            .language(language.as_deref().map(str::parse::<LanguageCode>).transpose()?)
            .category_id(category)
            .price_min(price(price_min)?)
            .price_max(price(price_max)?)
            .region(region.as_deref().map(str::parse::<Region>).transpose()?)
            .page(page)
            .page_size(page_size);
        let words = keyword.as_deref().map(|text| {
            Words::parse(text).ok_or_else(|| Failure::argument("argument", "there is no word in keyword"))
        });
        let refine = Refine::default().words(words.transpose()?).max_min_order(max_min_order);
        if page == 0 || !(1..=50).contains(&page_size) || !(1..=MAX_PAGES).contains(&pages) {
            let text = format!("page is from 1 on, page_size 1 to 50, pages 1 to {MAX_PAGES}");
            return Err(Failure::argument("argument", text));
        }
        if params.price_min.zip(params.price_max).is_some_and(|(min, max)| min > max) {
            return Err(Failure::argument("argument", "price_min is above price_max"));
        }
        let days = max_age_days.map(|days| seconds(days * 86_400.0, "max_age_days is from 0 to 36500"));
        let max_age = days.transpose()?;
        let secs = deadline_secs.map(|secs| seconds(secs, "deadline_secs is from 0 to 3153600000"));
        let deadline = secs.transpose()?.map(|secs| Instant::now() + secs);
        Self::run(py, |cancel| {
            let picture = self.pictures.read(given, label)?;
            let mut query = Query::new(&picture.bytes, &picture.label)
                .source_url(picture.source_url.as_deref())
                .params(params)
                .mode(mode)
                .max_age(max_age)
                .defer(defer)
                .force(force)
                .refine(refine)
                .cancel(cancel);
            if let Some(deadline) = deadline {
                query = query.deadline(deadline);
            }
            let breadth = Breadth::default()
                .pages(pages)
                .all_upstreams(all_upstreams)
                .suggested_regions(suggested_regions)
                .max_calls(max_calls);
            let answer = engine.search_widely(&query, breadth)?;
            let mut value = serde_json::to_value(&answer).unwrap_or_default();
            value["id"] = json!(picture.label);
            Ok(value.to_string())
        })
    }

    /// `rows`: tuples of a row's name, its key or `None`, and its picture.
    fn check(
        &self,
        rows: Bound<'_, PyIterator>,
        add: bool,
        thorough: bool,
        unordered: bool,
    ) -> Result<Batch, Failure> {
        let options = batch::check_options(add, thorough, unordered);
        Ok(batch::check(self.engine()?, &self.pictures, rows, options))
    }

    /// `goods`: mappings.
    fn add(&self, goods: Bound<'_, PyIterator>) -> Result<Batch, Failure> {
        Ok(batch::add(self.engine()?, &self.pictures, goods))
    }

    #[pyo3(signature = (given, label, k, *, kind, answered_by, category, price_min, price_max))]
    #[allow(clippy::too_many_arguments, reason = "the Python part names them")]
    fn similar(
        &self,
        py: Python<'_>,
        given: Given,
        label: Option<String>,
        k: usize,
        kind: Option<&str>,
        answered_by: Option<String>,
        category: Option<u64>,
        price_min: Option<String>,
        price_max: Option<String>,
    ) -> Result<String, Failure> {
        let engine = self.engine()?;
        let kind = match kind {
            None => None,
            Some("query") => Some(PhotoKind::Query),
            Some("own") => Some(PhotoKind::Own),
            Some("offer") => Some(PhotoKind::Offer),
            Some(other) => {
                let text = format!("kind {other:?} is none: use query, own or offer");
                return Err(Failure::argument("argument", text));
            }
        };
        let price = |price: Option<String>| price.as_deref().map(str::parse::<Price>).transpose();
        let goods =
            GoodsFilter { category_id: category, price_min: price(price_min)?, price_max: price(price_max)? };
        let filter = PhotoFilter { kind, profile: answered_by, goods, ..PhotoFilter::default() };
        Self::run(py, |_| {
            let picture = self.pictures.read(given, label)?;
            let similar = engine.similar(&picture.bytes, k, &filter)?;
            Ok(json!({"id": picture.label, "similar": similar}).to_string())
        })
    }

    /// `same`: `None` takes back what was said.
    fn tell(&self, py: Python<'_>, one: One, other: One, same: Option<bool>) -> Result<String, Failure> {
        let engine = self.engine()?;
        Self::run(py, |_| {
            let (one, other) = (self.open(one)?, self.open(other)?);
            let Some(same) = same else {
                let forgotten = engine.forget_told(one.photo_ref(), other.photo_ref())?;
                return Ok(json!({"id": null, "forgotten": forgotten}).to_string());
            };
            let sameness = if same { Sameness::Same } else { Sameness::Different };
            let told = engine.tell(one.photo_ref(), other.photo_ref(), sameness)?;
            let mut value = serde_json::to_value(&told).unwrap_or_default();
            value["id"] = json!(null);
            Ok(value.to_string())
        })
    }

    fn photo(&self, py: Python<'_>, photo_id: i64) -> Result<Option<String>, Failure> {
        let engine = self.engine()?;
        Self::run(py, |_| Ok(doors::photo(engine, PhotoId(photo_id))?.map(|photo| photo.to_string())))
    }

    fn details(&self, py: Python<'_>, offer_id: &str, mode: &str) -> Result<String, Failure> {
        let engine = self.engine()?;
        let (offer_id, mode) = (OfferId::new(offer_id)?, self.mode(mode)?);
        Self::run(py, |cancel| {
            let details = engine.details_unless(&Interrupt::from(cancel.clone()), &offer_id, mode)?;
            let mut value = serde_json::to_value(&details).unwrap_or_default();
            value["id"] = json!(offer_id);
            Ok(value.to_string())
        })
    }

    fn history(&self, py: Python<'_>, offer_id: &str) -> Result<String, Failure> {
        let engine = self.engine()?;
        let offer_id = OfferId::new(offer_id)?;
        Self::run(py, |_| {
            let history = engine.catalog().history(&offer_id)?;
            Ok(json!({ "id": offer_id, "history": history }).to_string())
        })
    }

    fn quota(&self, py: Python<'_>) -> Result<String, Failure> {
        let engine = self.engine()?;
        Self::run(py, |_| Ok(doors::quota(engine)?.to_string()))
    }

    fn stats(&self, py: Python<'_>) -> Result<String, Failure> {
        let engine = self.engine()?;
        Self::run(py, |_| Ok(doors::stats(engine)?.to_string()))
    }
}
