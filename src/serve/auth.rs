//! Who is asking, and may they? The one place for keys, rights, pace, and what a browser may do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::allowance::Allowance;
use super::keys::{KeyId, Rights, StoredKey};
use super::problem::Failure;
use super::request_error::RequestError;
use super::state::App;
use crate::quota_day::QuotaDay;

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// `None` for the owner of the machine, while there are no keys, and for the app of the gateway.
    key: Option<StoredKey>,
    rights: Rights,
    /// Of a program that works in its user's name: what it may spend beside all other limits.
    allowance: Option<Arc<Allowance>>,
}

impl Caller {
    /// Who may do everything.
    pub(super) fn owner() -> Self {
        Self { key: None, rights: Rights::ALL, allowance: None }
    }

    pub(super) fn of_key(key: StoredKey) -> Self {
        Self { rights: key.rights, key: Some(key), allowance: None }
    }

    /// A program that works in its user's name, within what the user has allowed.
    #[cfg(feature = "mcp")]
    pub(super) fn with_allowance(may_write: bool, allowance: Allowance) -> Self {
        let rights = Rights { read: true, write: may_write, spend: allowance.left() > 0 };
        Self { key: None, rights, allowance: Some(Arc::new(allowance)) }
    }

    /// As far as it may go where nobody looks at each step: whatever a key allows in so many words, with a budget of its own, and
    /// reading alone without a key.
    #[cfg(feature = "mcp")]
    pub(super) fn as_agent(&self) -> Self {
        let Some(key) = &self.key else { return Self::with_allowance(false, Allowance::new(0)) };
        let rights = Rights { spend: self.rights.spend && key.daily_budget.is_some(), ..self.rights };
        Self { rights, ..self.clone() }
    }

    /// Calls that it may still cause, as far as it has a limit of its own.
    ///
    /// # Errors
    /// [`Failure`] where that cannot be found out.
    #[cfg(feature = "mcp")]
    pub(super) fn calls_left(&self, app: &App) -> Result<Option<u32>, Failure> {
        if !self.rights.spend {
            return Ok(Some(0));
        }
        if let Some(allowance) = &self.allowance {
            return Ok(Some(allowance.left()));
        }
        let Some((key_id, budget)) = self.key.as_ref().and_then(|key| Some((&key.key_id, key.daily_budget?)))
        else {
            return Ok(None);
        };
        let spent = app.store.key_calls(key_id, QuotaDay::of(app.clock.now()))?;
        Ok(Some(budget.saturating_sub(spent)))
    }

    pub(super) fn may_read(&self) -> Result<(), RequestError> {
        if self.rights.read { Ok(()) } else { Err(RequestError::Forbidden { right: "read" }) }
    }

    pub(super) fn may_write(&self) -> Result<(), RequestError> {
        if self.rights.write { Ok(()) } else { Err(RequestError::Forbidden { right: "write" }) }
    }

    pub(super) fn may_spend(&self) -> Result<(), RequestError> {
        if self.rights.spend { Ok(()) } else { Err(RequestError::Forbidden { right: "spend" }) }
    }

    /// What a client may know of its own key; null without one.
    pub(super) fn own_key(&self, app: &App) -> Result<Value, Failure> {
        let Some(key) = &self.key else { return Ok(Value::Null) };
        let calls_today = app.store.key_calls(&key.key_id, QuotaDay::of(app.clock.now()))?;
        Ok(json!({
            "name": key.name,
            "rights": {"read": self.rights.read, "write": self.rights.write, "spend": self.rights.spend},
            "daily_budget": key.daily_budget,
            "calls_today": calls_today,
        }))
    }

    /// For logs, and for what belongs to this caller alone.
    pub(super) fn scope(&self) -> String {
        self.key.as_ref().map_or_else(|| "owner".to_owned(), |key| key.key_id.to_string())
    }

    /// Books calls on the key's own budget before they are made.
    ///
    /// # Errors
    /// [`NoLeave`] where the key may not spend, or has spent all; [`Failure`] where that cannot be found out.
    pub(super) fn book(&self, app: &App, calls: u32) -> Result<Result<Booked, NoLeave>, Failure> {
        if !self.rights.spend {
            return Ok(Err(NoLeave::NoRight));
        }
        let day = QuotaDay::of(app.clock.now());
        if let Some(allowance) = &self.allowance {
            let booked = Booked { account: Account::Allowance(Arc::clone(allowance)), day, calls };
            return Ok(if allowance.take(calls) { Ok(booked) } else { Err(NoLeave::BudgetSpent) });
        }
        let Some((key_id, budget)) = self.key.as_ref().map(|key| (&key.key_id, key.daily_budget)) else {
            return Ok(Ok(Booked { account: Account::None, day, calls }));
        };
        let booked = app.store.book(key_id, day, calls, budget.unwrap_or(u32::MAX))?;
        if booked < calls {
            app.store.settle(key_id, day, booked, 0)?;
            return Ok(Err(NoLeave::BudgetSpent));
        }
        Ok(Ok(Booked { account: Account::Key(key_id.clone()), day, calls }))
    }
}

/// Why a caller may cause no calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoLeave {
    NoRight,
    BudgetSpent,
}

impl NoLeave {
    /// As in `unanswered.reason`.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NoRight => "key_may_not_spend",
            Self::BudgetSpent => "key_budget_spent",
        }
    }

    pub(super) fn message(self) -> &'static str {
        match self {
            Self::NoRight => "this key may not spend, so nothing was asked",
            Self::BudgetSpent => "this key's budget of the day leaves no room for it, so nothing was asked",
        }
    }
}

/// What calls are booked on, beside the upstream's own account.
#[derive(Debug)]
enum Account {
    None,
    Key(KeyId),
    Allowance(Arc<Allowance>),
}

/// Calls that were booked. Where it is not said what was called, the booking stands.
#[derive(Debug)]
pub(super) struct Booked {
    account: Account,
    day: QuotaDay,
    calls: u32,
}

impl Booked {
    pub(super) fn settle(self, app: &App, called: u32) {
        match &self.account {
            Account::None => {}
            Account::Allowance(allowance) => allowance.settle(self.calls, called),
            Account::Key(key_id) => {
                if let Err(error) = app.store.settle(key_id, self.day, self.calls, called) {
                    // The booking stands, so that the budget is not overdrawn.
                    tracing::warn!(%error, "a key's account could not be set right");
                }
            }
        }
    }
}

/// The key in a request's headers.
fn given_key(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(&header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    bearer.or_else(|| text(&header::HeaderName::from_static("x-api-key")))
}

/// Looks a key up and takes one request from its pace.
pub(super) fn caller_of_key(app: &App, text: &str) -> Result<Caller, Failure> {
    let key = app.store.key_of(text)?.ok_or(RequestError::KeyUnknown)?;
    app.paces.take(&key, Instant::now())?;
    Ok(Caller::of_key(key))
}

/// As [`caller_of_key`], of one who has shown its key before.
pub(super) fn caller_of_id(app: &App, key_id: &str) -> Result<Caller, Failure> {
    let (key, _) = app.store.key(key_id)?.ok_or(RequestError::KeyUnknown)?;
    app.paces.take(&key, Instant::now())?;
    Ok(Caller::of_key(key))
}

fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, Failure> {
    match given_key(headers) {
        Some(text) if app.store.has_keys()? => caller_of_key(app, text),
        Some(_) => Err(RequestError::KeyUnknown.into()),
        None if needs_key(app)? => Err(RequestError::KeyMissing.into()),
        None => Ok(Caller::owner()),
    }
}

/// Whether nobody is let in without a key.
pub(super) fn needs_key(app: &App) -> Result<bool, Failure> {
    Ok(!app.options.listen.ip().is_loopback() || app.store.has_keys()?)
}

/// Everything under `/v1` and `/metrics` passes here: pages of other sites are refused, and a caller is told by its key.
pub(super) async fn gate(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let told = needs_key(&app).and_then(|needs_key| {
        if !needs_key {
            page_may_ask(&app, request.method(), request.headers())?;
        }
        caller(&app, request.headers())
    });
    match told {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

/// Refuses what a page of another site has a browser ask, while there are no keys and a request needs no more than an address. (A
/// page of another site has no key, and may not send one unless it is let in by name.)
///
/// A browser sends `Origin` with what a script or a form of another site asks, and the name that the page was reached by in
/// `Host`, which shows a name that was made to lead to this machine.
pub(super) fn page_may_ask(app: &App, method: &Method, headers: &HeaderMap) -> Result<(), RequestError> {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !is_of_this_machine(host) && !app.options.allowed_hosts.iter().any(|name| name == host_name(host)) {
        return Err(RequestError::Host { host: host.chars().take(100).collect() });
    }
    let Some(origin) = text(header::ORIGIN) else {
        let is_cross_site = text(header::HeaderName::from_static("sec-fetch-site")) == Some("cross-site");
        if is_cross_site && *method != Method::GET {
            return Err(RequestError::Origin { origin: "another site".to_owned() });
        }
        return Ok(());
    };
    let is_own = origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host));
    if is_own || app.options.allowed_origins.iter().any(|allowed| allowed == origin) {
        return Ok(());
    }
    Err(RequestError::Origin { origin: origin.chars().take(100).collect() })
}

/// The name in a `Host`, without its port.
fn host_name(host: &str) -> &str {
    if let Some(end) = host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        return &host[1..=end];
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn is_of_this_machine(host: &str) -> bool {
    let name = host_name(host);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_are_told_from_names_that_only_look_so() {
        for host in ["localhost", "LOCALHOST:8688", "127.0.0.1:8688", "127.9.9.9", "[::1]:80", "[::1]"] {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in
            ["", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.7", "[fe80::1]:80", "evil"]
        {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }
}
