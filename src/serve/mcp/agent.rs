//! One call of a tool: who asks, what may it cost, what did it come to?

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CustomRequest, CustomResult,
    ErrorCode, Implementation, JsonObject, ListToolsResult, MetaObject, PaginatedRequestParams,
    ProgressNotificationParam, ProgressToken, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, Peer, RoleServer, ServerHandler};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::auth::{Caller, NoLeave};
use super::super::check::check_picture;
use super::super::error_list;
use super::super::input::{Given, PictureFile, PictureJson, checked_label};
use super::super::offers::details_for;
use super::super::problem::Failure;
use super::super::request_error::RequestError;
use super::super::search::search_for;
use super::super::state::App;
use super::answers::{
    CheckAnswer, Cost, MatchedPicture, NotAsked, OfferAnswer, Paused, QuotaAnswer, SearchAnswer,
    SimilarAnswer, SimilarPicture, word,
};
use super::arguments::{
    CheckArguments, OfferArguments, PictureArgument, QuotaArguments, SearchArguments, SimilarArguments,
};
use super::roots::Roots;
use super::text;
use super::tools::{self, INSTRUCTIONS, Name, Reach};
use crate::engine::{Mode, Outcome};
use crate::input::PictureSource;
use crate::offer::OfferId;
use crate::photo::PhotoLimits;
use crate::photo_id::PhotoId;

/// How often a client that wants to know hears that a call is still worked on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(super) enum Connection {
    /// The program that has started this one, with what its user has allowed it.
    Parent { caller: Caller, roots: Arc<Roots> },
    /// Whoever sends a request of HTTP, by its key; files of this machine are not for it.
    Http,
}

/// The server's side of the protocol.
#[derive(Clone)]
pub(super) struct Agent {
    app: Arc<App>,
    connection: Connection,
}

/// What a tool came to.
struct Told {
    text: String,
    answer: Value,
}

impl Told {
    fn new(text: String, answer: &impl Serialize) -> Self {
        Self { text, answer: serde_json::to_value(answer).unwrap_or_default() }
    }
}

/// One call.
struct Call<'a> {
    app: &'a Arc<App>,
    caller: Caller,
    roots: Option<&'a Arc<Roots>>,
    progress: Progress,
}

impl Agent {
    pub(super) fn new(app: Arc<App>, connection: Connection) -> Self {
        Self { app, connection }
    }

    fn caller(&self, context: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
        match &self.connection {
            Connection::Parent { caller, .. } => Ok(caller.clone()),
            Connection::Http => {
                let parts = context.extensions.get::<Parts>();
                let caller = parts.and_then(|parts| parts.extensions.get::<Caller>());
                caller.map(Caller::as_agent).ok_or_else(|| ErrorData::internal_error("nobody asks", None))
            }
        }
    }

    fn reach(&self, caller: &Caller) -> Reach {
        Reach {
            may_spend: caller.may_spend().is_ok() && self.app.has_upstreams,
            may_write: caller.may_write().is_ok(),
            reads_files: matches!(self.connection, Connection::Parent { .. }),
            fetches: self.app.fetcher.is_some(),
        }
    }
}

impl ServerHandler for Agent {
    fn get_info(&self) -> ServerConfig {
        let name = Implementation::new("tongkuan", env!("CARGO_PKG_VERSION")).with_title("Tongkuan 同款");
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(name)
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let caller = self.caller(&context)?;
        Ok(ListToolsResult::with_all_items(tools::list(self.reach(&caller))))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(name) = Name::parse(&request.name) else {
            let asked: String = request.name.chars().take(80).collect();
            return Err(ErrorData::invalid_params(format!("there is no tool {asked:?}"), None));
        };
        let roots = match &self.connection {
            Connection::Parent { roots, .. } => Some(roots),
            Connection::Http => None,
        };
        let progress = Progress::new(context.peer.clone(), context.meta.get_progress_token());
        let call = Call { app: &self.app, caller: self.caller(&context)?, roots, progress };
        let arguments = request.arguments.unwrap_or_default();
        let began = std::time::Instant::now();
        let told = tokio::select! {
            told = call.answer(name, arguments) => told,
            never = call.progress.tick() => match never {},
            // Its work is dropped here: it ends at its next step, and what is paid for by then is stored.
            () = context.ct.cancelled() => Err(Failure::Engine(crate::cancel::Interrupted::Cancelled.into())),
        };
        let code = told.as_ref().err().map_or("", Failure::code);
        tracing::info!(tool = name.as_str(), code, ms = began.elapsed().as_secs_f64() * 1e3, "called");
        Ok(result_of(told).into())
    }

    /// What comes here has a method that is not known, or has one that is but parameters that do not fit it.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method: String = request.method.chars().take(80).collect();
        if matches!(method.as_str(), "initialize" | "ping" | "tools/list" | "tools/call") {
            let text = format!("the parameters of {method} are not as they have to be");
            return Err(ErrorData::invalid_params(text, None));
        }
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None))
    }
}

fn result_of(told: Result<Told, Failure>) -> CallToolResult {
    match told {
        Ok(Told { text, answer }) => {
            let mut result = CallToolResult::structured(answer);
            result.content = vec![ContentBlock::text(text)];
            result
        }
        Err(failure) => {
            let error = error_of(&failure);
            let text = |name: &str| error[name].as_str().unwrap_or_default();
            let mut lines = format!("error {}: {}", text("code"), text("message"));
            if !text("what_to_do").is_empty() {
                lines = format!("{lines}\nWhat to do: {}", text("what_to_do"));
            }
            if let Some(calls) = error["upstream_calls"].as_u64().filter(|calls| *calls > 0) {
                lines = format!("{lines}\n{calls} calls were made, and may have been billed.");
            }
            // Structured content is bound to the schema of answers; an error's place is beside it.
            let mut result = CallToolResult::error(vec![ContentBlock::text(lines)]);
            let mut meta = JsonObject::new();
            meta.insert("tongkuan/error".to_owned(), error);
            result.meta = Some(MetaObject(meta));
            result
        }
    }
}

/// As problem details have it.
pub(super) fn error_of(failure: &Failure) -> Value {
    let code = failure.code();
    let retry_after_secs = match failure {
        Failure::Request(error) => error.retry_after_secs(),
        _ => None,
    };
    json!({
        "code": code,
        "message": failure.to_string(),
        "what_to_do": error_list::remedy(code),
        "upstream_calls": failure.calls_if_known(),
        "retry_after_secs": retry_after_secs,
    })
}

fn parse<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, Failure> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| Failure::invalid(format!("the arguments are not as they have to be: {error}")))
}

impl Call<'_> {
    async fn answer(&self, name: Name, arguments: JsonObject) -> Result<Told, Failure> {
        self.caller.may_read()?;
        match name {
            Name::Search => self.search(parse(arguments)?).await,
            Name::Check => self.check(parse(arguments)?).await,
            Name::Similar => self.similar(parse(arguments)?).await,
            Name::Offer => self.offer(parse(arguments)?).await,
            Name::Quota => {
                let QuotaArguments {} = parse(arguments)?;
                self.quota().await
            }
        }
    }

    async fn search(&self, arguments: SearchArguments) -> Result<Told, Failure> {
        let (mut options, max_offers) = (arguments.options()?, arguments.max_offers()?);
        if arguments.spend && self.caller.may_spend().is_err() {
            (options.local, options.refresh) = (true, false);
        }
        let plan = options.plan()?;
        let picture = self.open(arguments.picture).await?;
        self.progress.step("the picture is here; looking whether it is known").await;
        let deadline = self.app.deadline();
        let searched = search_for(self.app, &self.caller, &picture, plan, deadline).await?;
        let answer = &searched.answer;
        let is_known = answer.verdict == Outcome::Hit && !answer.stale;
        let not_asked = self.not_asked(is_known, arguments.spend, searched.no_leave);
        let not_asked = not_asked.or_else(|| answer.unanswered.as_ref().map(NotAsked::from));
        let cost = self.cost(answer.upstream_calls).await?;
        let shown = SearchAnswer::of(answer, max_offers, not_asked, cost, self.app.clock.now());
        Ok(Told::new(text::of_search(&shown), &shown))
    }

    async fn check(&self, arguments: CheckArguments) -> Result<Told, Failure> {
        if arguments.add && self.caller.may_write().is_err() {
            return Err(RequestError::AddNotAllowed.into());
        }
        let key = arguments.key.map(checked_label).transpose()?;
        let picture = self.open(arguments.picture).await?;
        self.progress.step("the picture is here; looking whether it is known").await;
        let line = check_picture(self.app, picture, arguments.add, arguments.thorough, key).await?;
        let matched_id = line["matched_photo_id"].as_i64();
        let photo = match matched_id {
            Some(id) => self.app.on_engine(move |engine| engine.catalog().photo(PhotoId(id))).await??,
            None => None,
        };
        let matched = photo.as_ref().map(|photo| MatchedPicture {
            photo_id: photo.photo_id.0,
            kind: word(photo.kind),
            label: photo.label.clone(),
        });
        let matched_at = photo.map(|photo| photo.added_at);
        let cost = self.cost(0).await?;
        let shown = CheckAnswer::of(&line, matched, matched_at, cost, self.app.clock.now());
        Ok(Told::new(text::of_check(&shown), &shown))
    }

    async fn similar(&self, arguments: SimilarArguments) -> Result<Told, Failure> {
        let (count, filter) = arguments.filter()?;
        let picture = self.open(arguments.picture).await?;
        let found =
            self.app.on_engine(move |engine| engine.similar(&picture.bytes, count, &filter)).await??;
        let now = self.app.clock.now();
        let similar = found.iter().map(|similar| SimilarPicture::of(similar, now)).collect();
        let shown = SimilarAnswer { similar, cost: self.cost(0).await? };
        Ok(Told::new(text::of_similar(&shown), &shown))
    }

    async fn offer(&self, arguments: OfferArguments) -> Result<Told, Failure> {
        if arguments.refresh && !arguments.spend {
            return Err(Failure::invalid("refresh asks 1688, so it needs spend as well"));
        }
        let offer_id = OfferId::new(arguments.offer_id)?;
        let mode = match (arguments.spend, arguments.refresh) {
            (false, _) => Mode::LocalOnly,
            (true, false) => Mode::Default,
            (true, true) => Mode::Refresh,
        };
        let deadline = self.app.deadline();
        let (details, no_leave) = details_for(self.app, &self.caller, &offer_id, mode, deadline).await?;
        let is_known = details.detail.is_some() && !details.stale;
        let not_asked = self.not_asked(is_known, arguments.spend, no_leave);
        let not_asked = not_asked.or_else(|| details.unanswered.as_ref().map(NotAsked::from));
        let cost = self.cost(details.upstream_calls).await?;
        let shown = OfferAnswer::of(&details, not_asked, cost, self.app.clock.now());
        Ok(Told::new(text::of_offer(&shown), &shown))
    }

    async fn quota(&self) -> Result<Told, Failure> {
        let (saved, reports) =
            self.app.on_engine(|engine| Ok::<_, Failure>((engine.saved_calls()?, engine.quota()?))).await??;
        let shown = QuotaAnswer {
            calls_saved_today: saved.0,
            calls_saved_ever: saved.1,
            paused: reports.iter().filter_map(Paused::of).collect(),
            cost: self.cost(0).await?,
        };
        Ok(Told::new(text::of_quota(&shown), &shown))
    }

    /// Why this connection has not asked, in the words of an agent: what it may do about it, or what its user may.
    fn not_asked(&self, is_known: bool, spend: bool, no_leave: Option<NoLeave>) -> Option<NotAsked> {
        if is_known || !self.app.has_upstreams {
            return None;
        }
        let may_spend = self.caller.may_spend().is_ok();
        let (reason, message) = match (spend, may_spend, no_leave) {
            (true, true, None) => return None,
            (_, false, _) | (true, true, Some(NoLeave::NoRight)) => {
                ("spend_not_allowed", self.how_to_allow())
            }
            (false, true, _) => (
                "spend_not_requested",
                "nothing was asked; the same call with spend set to true asks 1688, which costs one call",
            ),
            (true, true, Some(NoLeave::BudgetSpent)) => (
                "spend_limit_reached",
                "the calls that the user has allowed this connection are spent, so nothing was asked",
            ),
        };
        Some(NotAsked { reason: reason.to_owned(), message: message.to_owned(), retry_at: None })
    }

    fn how_to_allow(&self) -> &'static str {
        if self.roots.is_some() {
            "this connection may not spend, so nothing was asked; the user allows it by starting the server with --allow-spend \
             and a number of calls"
        } else {
            "this connection may not spend, so nothing was asked; the user allows it with a key that has the right to spend and a \
             daily budget"
        }
    }

    async fn cost(&self, upstream_calls: u32) -> Result<Cost, Failure> {
        let reports = self.app.on_engine(crate::engine::Engine::quota).await?;
        Ok(Cost {
            upstream_calls,
            may_spend: self.app.has_upstreams && self.caller.may_spend().is_ok(),
            calls_left_here: self.caller.calls_left(self.app)?,
            // What was paid for is told, whatever else fails.
            upstreams: reports.map(|reports| reports.iter().map(Into::into).collect()).unwrap_or_default(),
        })
    }

    /// The picture that an argument stands for.
    async fn open(&self, argument: PictureArgument) -> Result<PictureFile, Failure> {
        let PictureArgument { path, url, image, label } = argument;
        if [&path, &url, &image].into_iter().flatten().count() != 1 {
            return Err(Failure::invalid("picture needs exactly one of path, url and image"));
        }
        let deadline = self.app.deadline();
        let Some(path) = path else {
            if url.is_some() {
                self.progress.step("fetching the picture").await;
            }
            return Given::of_json(PictureJson { image, url, label })?.open(self.app, deadline, None).await;
        };
        let Some(roots) = self.roots.cloned() else {
            return Err(RequestError::PathOutside { path: path.chars().take(200).collect() }.into());
        };
        let label = label.map(checked_label).transpose()?;
        let label = label.unwrap_or_else(|| PictureSource::File(path.clone().into()).name());
        let limits = PhotoLimits::default();
        let share = self.app.bodies.take(limits.max_bytes)?;
        let bytes = self.app.fetching.run(deadline, move |_| roots.read(&path, &limits)).await??;
        Ok(PictureFile::new(bytes.into(), label, None, Some(share)))
    }
}

/// Tells a client that wants to know how far a call is.
struct Progress {
    peer: Peer<RoleServer>,
    token: Option<ProgressToken>,
    steps: AtomicU32,
}

impl Progress {
    fn new(peer: Peer<RoleServer>, token: Option<ProgressToken>) -> Self {
        Self { peer, token, steps: AtomicU32::new(0) }
    }

    async fn step(&self, message: &str) {
        let Some(token) = self.token.clone() else { return };
        let step = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        let progress = ProgressNotificationParam::new(token, f64::from(step)).with_message(message);
        // Who does not hear it does without.
        let _ = self.peer.notify_progress(progress).await;
    }

    /// Signs of life, without end.
    async fn tick(&self) -> Infallible {
        let mut every = tokio::time::interval(SIGN_OF_LIFE);
        every.tick().await;
        loop {
            every.tick().await;
            self.step("still at work").await;
        }
    }
}
