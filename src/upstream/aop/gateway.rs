//! The open platform's gateway: how a call is signed, how tokens are got and renewed, and what a refusal means. Every
//! profile that speaks to the gateway does so through here.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha1::Sha1;

use super::super::token::{Fetched, StoredTokens, TokenCell, TokenFile};
use super::super::wire::{Reply, Request, SIGNATURE, Wire, config_error};
use super::super::{Secret, Tape, UpstreamError, UpstreamErrorKind, lenient};
use crate::clock::Clock;

const TIME_CALL: &str = "param2/1/system/currentTime";
/// Posted over the credentials themselves, so without a signature.
const TOKEN_CALL: &str = "http/1/system.oauth2/getToken";
/// Of a token from the configuration: it is used until it is refused.
const UNKNOWN_LIFE: Duration = Duration::from_hours(10);

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub struct AopConfig {
    /// `http://` or `https://`, without user, query and fragment.
    pub base_url: String,
    /// ASCII letters and digits: it is a part of every address.
    pub app_key: String,
    /// Signs requests and gets tokens.
    pub app_secret: Secret,
    /// One that was got elsewhere; used until it is refused.
    pub access_token: Option<Secret>,
    /// Gets access tokens; what [`token_file`](Self::token_file) holds goes before it.
    pub refresh_token: Option<Secret>,
    /// Where tokens are kept between processes.
    pub token_file: Option<TokenFile>,
    /// The language of translated titles, which the call demands: `en`, `ru`, `vi`, `ja`, `ko`, ... The
    /// Chinese title, which is the one used, comes with each.
    pub country: String,
    /// For each request, from the first byte out to the last byte in. A search is two requests.
    pub timeout: Duration,
    /// Records what is said, or stands in for the network.
    pub tape: Option<Arc<Tape>>,
}

impl AopConfig {
    /// The open platform's gateway.
    pub const DEFAULT_BASE_URL: &'static str = "https://gw.open.1688.com";
    /// Where a person agrees that the app may ask in their name.
    pub const DEFAULT_AUTHORIZE_URL: &'static str = "https://auth.1688.com/oauth/authorize";
    /// Of one request, if nothing else is configured.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

    /// Without any token yet.
    #[must_use]
    pub fn new(app_key: impl Into<String>, app_secret: Secret) -> Self {
        Self {
            base_url: Self::DEFAULT_BASE_URL.to_owned(),
            app_key: app_key.into(),
            app_secret,
            access_token: None,
            refresh_token: None,
            token_file: None,
            country: "en".to_owned(),
            timeout: Self::DEFAULT_TIMEOUT,
            tape: None,
        }
    }
}

/// The gateway, asked in the name of one app by one profile.
pub(in crate::upstream) struct Gateway {
    profile: &'static str,
    config: AopConfig,
    wire: Wire,
    clock: Arc<dyn Clock>,
    tokens: TokenCell,
}

impl Gateway {
    pub(in crate::upstream) fn new(
        profile: &'static str,
        config: AopConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, UpstreamError> {
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_word(&config.app_key) {
            return Err(config_error(profile, "app_key must be ASCII letters and digits"));
        }
        if config.app_secret.is_empty() {
            return Err(config_error(profile, "app_secret is missing"));
        }
        let mut secrets = vec![&config.app_secret];
        secrets.extend(config.access_token.iter().chain(&config.refresh_token));
        let wire = Wire::new(profile, &config.base_url, config.timeout, config.tape.clone(), &secrets)?;
        Ok(Self { profile, config, wire, clock, tokens: TokenCell::default() })
    }

    pub(in crate::upstream) fn profile(&self) -> &'static str {
        self.profile
    }

    pub(in crate::upstream) fn country(&self) -> &str {
        &self.config.country
    }

    /// One signed call with the parameters that `fill` adds; the reply unless it is a refusal.
    pub(in crate::upstream) fn call<'a>(
        &self,
        call: &str,
        token: Option<&Secret>,
        fill: impl FnOnce(Request<'a>) -> Request<'a>,
    ) -> Result<Reply, UpstreamError> {
        let path = format!("{call}/{}", self.config.app_key);
        let mut ask = Request::post(format!("/openapi/{call}")).app_key(&self.config.app_key);
        if let Some(token) = token {
            ask = ask.secret_field("access_token", token);
        }
        let ask = fill(ask);
        let signature = Secret::new(sign(&path, &ask.written_fields(), &self.config.app_secret));
        let ask = ask.secret_field(SIGNATURE, &signature);
        accept(self.wire.send(&ask, self.clock.now())?)
    }

    /// Runs `ask` with an access token; once more with a fresh one when the first is refused.
    pub(in crate::upstream) fn with_token<T>(
        &self,
        ask: impl Fn(&Secret) -> Result<T, UpstreamError>,
    ) -> Result<T, UpstreamError> {
        let fetch = |refused: Option<&Secret>| self.fetch_token(refused);
        self.tokens.with(self.clock.as_ref(), fetch, |token| ask(&token.value))
    }

    /// Gets an access token unless a good one is held.
    pub(in crate::upstream) fn hold_token(&self) -> Result<(), UpstreamError> {
        self.tokens.hold_one(self.clock.as_ref(), |refused| self.fetch_token(refused))
    }

    /// Asks the gateway for its time, signed. Proves the address, the key and the secret, but not the access token:
    /// this call looks at none.
    pub(in crate::upstream) fn check(&self) -> Result<(), UpstreamError> {
        let reply = self.call(TIME_CALL, None, |ask| ask)?;
        let is_time = lenient::text(reply.value()).is_some_and(|time| time.starts_with("20"));
        if is_time { Ok(()) } else { Err(reply.unreadable("the gateway's answer is not its time")) }
    }

    /// Changes the code from the [`authorize_url`] into tokens and keeps them in the token file. A code is good
    /// once and for two minutes.
    ///
    /// # Errors
    /// [`UpstreamErrorKind::Auth`] when the gateway does not take the code; `Param` without a token file.
    pub(in crate::upstream) fn log_in(&self, code: &str, redirect_uri: &str) -> Result<(), UpstreamError> {
        let Some(file) = &self.config.token_file else {
            return Err(config_error(self.profile, "there is no file to keep the tokens in"));
        };
        let _renewal = file.lock().map_err(|error| self.storage(file, &error))?;
        let (fetched, refresh_token) = self.request_token(|ask| {
            ask.field("grant_type", "authorization_code")
                .field("need_refresh_token", true)
                .field("redirect_uri", redirect_uri)
                .secret_field("code", &Secret::new(code))
        })?;
        if refresh_token.is_none() {
            let message = "the answer to the token request holds no refresh_token";
            return Err(UpstreamError::new(
                self.profile,
                UpstreamErrorKind::Unreadable,
                "unreadable",
                message,
            ));
        }
        file.store(&fetched, refresh_token.as_ref(), self.clock.now())
            .map_err(|error| self.storage(file, &error))
    }

    /// An access token: one that another process has got, the one of the configuration, or a fresh one.
    fn fetch_token(&self, refused: Option<&Secret>) -> Result<Fetched, UpstreamError> {
        if self.wire.is_replay() {
            return Ok(Fetched { value: Secret::new("replayed"), life: Some(UNKNOWN_LIFE) });
        }
        let is_refused = |token: &Secret| refused.is_some_and(|refused| refused.expose() == token.expose());
        let Some(file) = &self.config.token_file else {
            if let Some(token) = self.config.access_token.as_ref().filter(|token| !is_refused(token)) {
                return Ok(Fetched { value: token.clone(), life: Some(UNKNOWN_LIFE) });
            }
            return Ok(self.refresh(self.config.refresh_token.as_ref())?.0);
        };
        let _renewal = file.lock().map_err(|error| self.storage(file, &error))?;
        let now = self.clock.now();
        let stored = file.load();
        if let Some(StoredTokens { access_token, renew_at, .. }) = &stored
            && now < *renew_at
            && !is_refused(access_token)
        {
            // The margin is off already; a minute more costs one look into the file.
            return Ok(Fetched { value: access_token.clone(), life: Some(now.until(*renew_at)) });
        }
        if let Some(token) = self.config.access_token.as_ref().filter(|token| !is_refused(token)) {
            return Ok(Fetched { value: token.clone(), life: Some(UNKNOWN_LIFE) });
        }
        let held = stored.and_then(|stored| stored.refresh_token);
        let held = held.or_else(|| self.config.refresh_token.clone());
        let (fetched, renewed) = self.refresh(held.as_ref())?;
        // A refresh may or may not bring a new refresh token; the old one stays good then.
        file.store(&fetched, renewed.or(held).as_ref(), now).map_err(|error| self.storage(file, &error))?;
        Ok(fetched)
    }

    fn refresh(&self, refresh_token: Option<&Secret>) -> Result<(Fetched, Option<Secret>), UpstreamError> {
        let Some(refresh_token) = refresh_token else {
            let message = "there is no usable access token and no refresh token to get one with; \
                           log in again";
            return Err(UpstreamError::new(self.profile, UpstreamErrorKind::Auth, "no_token", message));
        };
        self.request_token(|ask| {
            ask.field("grant_type", "refresh_token").secret_field("refresh_token", refresh_token)
        })
    }

    fn request_token<'a>(
        &self,
        grant: impl FnOnce(Request<'a>) -> Request<'a>,
    ) -> Result<(Fetched, Option<Secret>), UpstreamError> {
        let ask = grant(Request::post(format!("/openapi/{TOKEN_CALL}")).app_key(&self.config.app_key))
            .field("client_id", &self.config.app_key)
            .secret_field("client_secret", &self.config.app_secret)
            .for_token();
        let reply = self.wire.send(&ask, self.clock.now())?;
        let status = reply.status;
        let reply = accept(reply).map_err(|error| match error.kind {
            // Which code a bad grant gets is not documented, so any refusal here blames the grant.
            UpstreamErrorKind::Transient if status < 500 && error.code != "unreadable" => {
                error.of_kind(UpstreamErrorKind::Auth)
            }
            _ => error,
        })?;
        let body = reply.value();
        let token = lenient::text(&body["access_token"])
            .ok_or_else(|| reply.unreadable("the answer to the token request holds no access_token"))?;
        let life = lenient::count(&body["expires_in"]).map(Duration::from_secs);
        let refresh_token = lenient::text(&body["refresh_token"]).map(Secret::new);
        Ok((Fetched { value: Secret::new(token), life }, refresh_token))
    }

    fn storage(&self, file: &TokenFile, error: &std::io::Error) -> UpstreamError {
        config_error(self.profile, &format!("cannot use {}: {error}", file.path().display()))
    }
}

/// The reply, unless it is a refusal.
fn accept(reply: Reply) -> Result<Reply, UpstreamError> {
    let said = reply.value();
    let code = lenient::first_text(said, &["error_code", "errorCode"]);
    if reply.is_success() && code.is_none() {
        return if said.is_null() { Err(reply.unreadable("the answer is null")) } else { Ok(reply) };
    }
    let words = lenient::first_text(said, &["error_message", "errorMessage", "exception"]);
    let exception = lenient::text(&said["exception"]).unwrap_or_default();
    let code = code.unwrap_or_else(|| reply.status.to_string());
    let kind =
        classify(reply.status, &code, &format!("{} {exception}", words.as_deref().unwrap_or_default()));
    Err(reply.refusal(kind, &code, words))
}

/// The outer envelope's `result`, where `success` (a string or a truth value) is not false.
pub(in crate::upstream) fn open(reply: &Reply) -> Result<&Value, UpstreamError> {
    let body = reply.value();
    let result = &body["result"];
    // Some calls answer their trouble one level higher: `{"success":false,"code":..,"message":..}`.
    for level in [result, body] {
        if lenient::flag(&level["success"]) == Some(false) {
            let code = lenient::first_text(level, &["code", "errorCode"]).unwrap_or_else(|| "failed".into());
            let message = lenient::first_text(level, &["message", "errorMessage"])
                .unwrap_or_else(|| "refused without a reason".into());
            return Err(reply.refusal(classify(200, &code, &message), &code, Some(message)));
        }
    }
    if result.is_object() { Ok(result) } else { Err(reply.unreadable("the answer holds no result")) }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("profile", &self.profile)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The page on which a person agrees that the app may ask in their name, to be opened in a browser. It then leads
/// to `redirect_uri` (which the console must know) with `code` and the same `state`.
///
/// # Errors
/// [`UpstreamErrorKind::Param`] when `page` is no address.
pub fn authorize_url(
    page: &str,
    app_key: &str,
    redirect_uri: &str,
    state: &str,
) -> Result<String, UpstreamError> {
    let query = [("client_id", app_key), ("site", "1688"), ("redirect_uri", redirect_uri), ("state", state)];
    let url = reqwest::Url::parse_with_params(page, &query);
    url.map(Into::into)
        .map_err(|error| config_error(super::PROFILE, &format!("{page} is not an address ({error})")))
}

/// The value of `_aop_signature`: HMAC-SHA1 in upper-case hex over `url_path` (from `param2` to before the
/// `?`) and all `params`, un-encoded, each as name and value, sorted by bytes and joined with nothing.
#[must_use]
pub fn sign(url_path: &str, params: &[(&str, &str)], secret: &Secret) -> String {
    let mut pairs: Vec<String> = params.iter().map(|(name, value)| format!("{name}{value}")).collect();
    pairs.sort_unstable();
    // HMAC takes a key of any length, so there is no error to report.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret.expose().as_bytes()) else { return String::new() };
    mac.update(url_path.as_bytes());
    for pair in &pairs {
        mac.update(pair.as_bytes());
    }
    mac.finalize().into_bytes().iter().fold(String::with_capacity(40), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02X}");
        hex
    })
}

/// What kind of trouble an answer reports. `words` are its message and exception: under some codes only they
/// tell.
#[must_use]
pub fn classify(http_status: u16, code: &str, words: &str) -> UpstreamErrorKind {
    use UpstreamErrorKind::{Acl, Auth, Image, Param, Quota, Rate, Signature, Transient, Unsupported};
    match code {
        "gw.SignatureInvalid" | "gw.SignatureMissing" => return Signature,
        "gw.AppKeyMissing" | "gw.ParamMissing" | "gw.ParamInvalid" => return Param,
        "gw.APIUnsupported" => return Unsupported,
        "gw.APIACLDecline" => return Acl,
        "gw.QosAppFrequencyLimit" | "gw.QosAPIFrequencyLimit" => return Rate,
        "gw.NoUsageLeftError" => return Quota,
        "401" => return Auth,
        "SYSTEM_ERROR" if words.contains("handle image error") => return Image,
        _ => {}
    }
    if words.contains("Request need user auth") {
        return Auth;
    }
    match http_status {
        300..=399 | 404 | 405 | 410 | 501 => Unsupported,
        401 => Auth,
        403 => Acl,
        413 | 415 => Image,
        429 => Rate,
        // The gateway says 400 to everything, so the status alone does not blame the parameters; and an
        // undocumented business code may have been paid for.
        _ => Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_signature_is_reproduced() {
        let signature =
            sign("param2/1/system/currentTime/1000000", &[("b", "2"), ("a", "1")], &Secret::new("test123"));
        assert_eq!(signature, "33E54F4F7B989E3E0E912D3FBD2F1A03CA7CCE88");
    }

    #[test]
    fn the_signature_sorts_the_joined_pairs_and_not_the_names() {
        let secret = Secret::new("s");
        // "ab1" < "az": the pairs in byte order, though the name "a" sorts before the name "ab".
        assert_eq!(sign("p", &[("a", "z"), ("ab", "1")], &secret), sign("pab1az", &[], &secret));
    }

    #[test]
    fn every_code_has_its_kind() {
        use UpstreamErrorKind::{Acl, Auth, Image, Param, Quota, Rate, Signature, Transient, Unsupported};
        let table = [
            (400, "gw.SignatureInvalid", "", Signature),
            (400, "gw.SignatureMissing", "", Signature),
            (400, "gw.AppKeyMissing", "", Param),
            (400, "gw.APIUnsupported", "", Unsupported),
            (400, "gw.APIACLDecline", "AppKey is not allowed(acl)", Acl),
            (400, "gw.ParamMissing", "Required argument offerId", Param),
            // Of `tongkuan serve`; 1688 documents no such code.
            (400, "gw.ParamInvalid", "the picture is not accepted", Param),
            (400, "gw.QosAppFrequencyLimit", "App call exceeds limited frequency", Rate),
            (200, "gw.QosAppFrequencyLimit", "App call exceeds limited frequency", Rate),
            (400, "gw.QosAPIFrequencyLimit", "", Rate),
            (400, "gw.NoUsageLeftError", "SLA bill has no usage left", Quota),
            (401, "401", "Request need user authenticated", Auth),
            (400, "401", "Request need user authorized", Auth),
            (200, "401", "", Auth),
            (400, "400", "Request need user authorized", Auth),
            (200, "SYSTEM_ERROR", "handle image error with url x", Image),
            (200, "SYSTEM_ERROR", "busy", Transient),
            (400, "gw.Unheard", "", Transient),
            (302, "302", "", Unsupported),
            (404, "404", "", Unsupported),
            (403, "403", "", Acl),
            (413, "413", "", Image),
            (429, "429", "", Rate),
            (500, "500", "", Transient),
            (503, "503", "", Transient),
        ];
        for (status, code, words, kind) in table {
            assert_eq!(classify(status, code, words), kind, "{status} {code} {words}");
        }
    }
}
