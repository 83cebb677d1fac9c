//! What has a client sent? Pictures as raw bytes, as a form, as base64 in JSON or by their address; options in the query, the
//! same for all of them.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, Multipart, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::pool::BodyShare;
use super::problem::Failure;
use super::request_error::RequestError;
use super::state::App;
use crate::doors;
use crate::input::PictureSource;
use crate::photo::{PhotoError, PhotoLimits};

const WANTED: &str = "the picture itself, multipart/form-data with a file called image, or application/json with image \
                      (base64) or url";
pub(super) const NDJSON: &str = "application/x-ndjson";
/// Of a name that a client gives a picture, in bytes.
const MAX_LABEL_BYTES: usize = 256;

/// Options in the query; unknown ones are refused, because a typing mistake there could cost a call.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(options)| Self(options)).map_err(|error| Failure::invalid(error.body_text()))
    }
}

/// A part of the path.
pub(super) struct InPath<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value)).map_err(|error| Failure::invalid(error.body_text()))
    }
}

/// A body that was read whole, and its share of the memory for bodies.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) share: BodyShare,
}

/// Reads a body within all limits: of size, of time, and of all bodies together.
pub(super) async fn read_whole(app: &App, request: Request) -> Result<(HeaderMap, Whole), Failure> {
    let (parts, body) = request.into_parts();
    let limit_bytes = app.options.max_body_bytes;
    let told =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|bytes| bytes > limit_bytes) {
        return Err(RequestError::TooLarge { limit_bytes }.into());
    }
    let share = share_for(app, &body)?;
    let bytes = within_time(app, collect(body, limit_bytes)).await?;
    Ok((parts.headers, Whole { bytes, share }))
}

/// Memory for a body: as much as it is said to have, else as much as one may have.
///
/// # Errors
/// [`RequestError::Overloaded`].
pub(super) fn share_for(app: &App, body: &Body) -> Result<BodyShare, RequestError> {
    let limit_bytes = app.options.max_body_bytes;
    app.bodies.take(body.size_hint().upper().unwrap_or(limit_bytes).min(limit_bytes))
}

/// Reads the body of a request that is refused, within the limits of size and time, and keeps nothing of it: a client that is
/// still sending would see its connection break in place of the refusal.
pub(super) async fn discard(app: &App, body: Body) {
    let mut left = app.options.max_body_bytes;
    let mut chunks = body.into_data_stream();
    let reading = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            match left.checked_sub(chunk.len() as u64) {
                Some(less) => left = less,
                None => break,
            }
        }
    };
    let _ = tokio::time::timeout(app.options.read_timeout, reading).await;
}

async fn within_time<T>(app: &App, reading: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let secs = app.options.read_timeout;
    match tokio::time::timeout(secs, reading).await {
        Ok(result) => result,
        Err(_) => Err(RequestError::TooSlow { secs: secs.as_secs() }.into()),
    }
}

async fn collect(body: Body, limit_bytes: u64) -> Result<Bytes, Failure> {
    let limit = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
    match http_body_util::Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(RequestError::TooLarge { limit_bytes }.into())
        }
        Err(error) => Err(Failure::invalid(format!("the body broke off: {error}"))),
    }
}

/// A form of another site can send text, and no JSON.
pub(super) fn must_be_json(headers: &HeaderMap) -> Result<(), RequestError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.to_ascii_lowercase().starts_with("application/json") {
        return Ok(());
    }
    Err(RequestError::MediaType { given: kind.chars().take(80).collect(), wanted: "application/json" })
}

/// A picture in JSON: `image` or `url`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PictureJson {
    /// The picture's file in base64 (RFC 4648, section 4).
    #[schema(content_encoding = "base64")]
    pub(super) image: Option<String>,
    /// Where the picture is to be fetched: a public `http` or `https` address.
    #[schema(format = "uri")]
    pub(super) url: Option<String>,
    /// What it is called, for people.
    #[schema(max_length = 256)]
    pub(super) label: Option<String>,
}

/// A picture in a form.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it documents what Given::read takes")]
pub(super) struct PictureForm {
    /// The picture's file.
    #[schema(value_type = Option<String>, format = Binary)]
    image: Option<Vec<u8>>,
    /// Where the picture is to be fetched, in its place.
    url: Option<String>,
    /// What it is called, for people; else the file's name.
    label: Option<String>,
}

/// A picture as it was given: the file, or where to fetch it.
#[derive(Debug)]
pub(super) enum Given {
    File { bytes: Bytes, label: String },
    Address { address: String, label: Option<String> },
}

/// A picture that is here.
#[derive(Clone, Debug)]
pub(super) struct PictureFile {
    pub(super) bytes: Bytes,
    pub(super) label: String,
    pub(super) source_url: Option<String>,
    /// Held while the picture is in memory.
    _share: Option<Arc<BodyShare>>,
}

impl PictureFile {
    pub(super) fn new(
        bytes: Bytes,
        label: String,
        source_url: Option<String>,
        share: Option<BodyShare>,
    ) -> Self {
        Self { bytes, label, source_url, _share: share.map(Arc::new) }
    }
}

impl Given {
    /// Of JSON.
    pub(super) fn of_json(picture: PictureJson) -> Result<Self, Failure> {
        let label = picture.label.map(checked_label).transpose()?;
        match (picture.image, picture.url) {
            (Some(base64), None) => {
                let text: String = base64.split_ascii_whitespace().collect();
                let decoded = STANDARD
                    .decode(text)
                    .map_err(|error| Failure::invalid(format!("image is no base64: {error}")))?;
                Ok(Self::File { bytes: decoded.into(), label: label.unwrap_or_default() })
            }
            (None, Some(url)) => Self::of_address(&url, label),
            _ => Err(Failure::invalid("give either image or url")),
        }
    }

    /// A web address: the name of a file would be one of this machine's.
    pub(super) fn of_address(url: &str, label: Option<String>) -> Result<Self, Failure> {
        let scheme = url.trim_start().get(..8).unwrap_or_default().to_ascii_lowercase();
        if !(scheme.starts_with("http://") || scheme.starts_with("https://")) {
            return Err(Failure::invalid("url is no web address: use http:// or https://"));
        }
        match PictureSource::parse(url, std::path::Path::new(""))? {
            PictureSource::Address(address) => Ok(Self::Address { address, label }),
            _ => Err(Failure::invalid("url is no web address: use http:// or https://")),
        }
    }

    /// Of a body that was read, in any of the forms.
    pub(super) async fn read(headers: &HeaderMap, bytes: &Bytes) -> Result<Self, Failure> {
        let kind = headers.get(header::CONTENT_TYPE).map_or(Ok(""), |value| value.to_str()).unwrap_or("?");
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => {
                let json: PictureJson = parse_json(bytes)?;
                Self::of_json(json)
            }
            "multipart/form-data" => Self::of_fields(read_form(kind, bytes.clone()).await?),
            "" | "application/octet-stream" => Self::of_file(bytes.clone(), String::new()),
            _ if essence.starts_with("image/") => Self::of_file(bytes.clone(), String::new()),
            _ => {
                Err(RequestError::MediaType { given: kind.chars().take(80).collect(), wanted: WANTED }.into())
            }
        }
    }

    /// Of a body that was read, in which a form may hold several pictures, in their order.
    pub(super) async fn read_all(headers: &HeaderMap, bytes: &Bytes) -> Result<Vec<Self>, Failure> {
        let kind =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_form = kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data");
        if !is_form {
            return Ok(vec![Self::read(headers, bytes).await?]);
        }
        let fields = read_form(kind, bytes.clone()).await?;
        let is_picture = |field: &Field| matches!(field.name.as_str(), "image" | "url");
        if fields.iter().filter(|field| is_picture(field)).count() < 2 {
            return Ok(vec![Self::of_fields(fields)?]);
        }
        if let Some(field) = fields.iter().find(|field| !is_picture(field)) {
            let name: String = field.name.chars().take(80).collect();
            return Err(Failure::invalid(format!(
                "the form has a field {name:?} beside several pictures: each is called after its file"
            )));
        }
        fields.into_iter().map(|field| Self::of_fields(vec![field])).collect()
    }

    fn of_file(bytes: Bytes, label: String) -> Result<Self, Failure> {
        let (len, limit_bytes) = (bytes.len() as u64, PhotoLimits::default().max_bytes);
        if len > limit_bytes {
            return Err(Failure::Engine(PhotoError::TooManyBytes { bytes: len, limit_bytes }.into()));
        }
        Ok(Self::File { bytes, label })
    }

    fn of_fields(mut fields: Vec<Field>) -> Result<Self, Failure> {
        let mut take = |name: &str| {
            let place = fields.iter().position(|field| field.name == name)?;
            Some(fields.swap_remove(place))
        };
        let (image, url, label) = (take("image"), take("url"), take("label"));
        if let Some(field) = fields.first() {
            let name: String = field.name.chars().take(80).collect();
            return Err(Failure::invalid(format!(
                "the form has a field {name:?}: use image or url, and label"
            )));
        }
        let label = label.map(|field| checked_label(field.text())).transpose()?;
        match (image, url) {
            (Some(image), None) => {
                let label = label.map_or_else(|| checked_label(image.file_name.clone()), Ok)?;
                Self::of_file(image.bytes, label)
            }
            (None, Some(url)) => Self::of_address(&url.text(), label),
            _ => Err(Failure::invalid("the form needs either image or url")),
        }
    }

    /// The picture, fetched where that is needed.
    pub(super) async fn open(
        self,
        app: &App,
        deadline: Instant,
        share: Option<BodyShare>,
    ) -> Result<PictureFile, Failure> {
        let (address, label) = match self {
            Self::File { bytes, label } => return Ok(PictureFile::new(bytes, label, None, share)),
            Self::Address { address, label } => (address, label),
        };
        let fetcher =
            app.fetcher.clone().ok_or_else(|| Failure::invalid("this server may not fetch pictures"))?;
        // The address takes no room, the picture does.
        drop(share);
        let share = app.bodies.take(PhotoLimits::default().max_bytes)?;
        let fetched = app
            .fetching
            .run(deadline, move |_| doors::fetch_largest(&address, |address| fetcher.fetch(address)))
            .await??;
        let (bytes, address) = fetched;
        let label = label.unwrap_or_else(|| PictureSource::Address(address.clone()).name());
        Ok(PictureFile::new(bytes.into(), label, Some(address), Some(share)))
    }
}

/// One field of a form.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) file_name: String,
    pub(super) bytes: Bytes,
}

impl Field {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).trim().to_owned()
    }
}

/// The fields of a form that was read.
pub(super) async fn read_form(kind: &str, bytes: Bytes) -> Result<Vec<Field>, Failure> {
    const MAX_FIELDS: usize = 64;
    let request = Request::builder().header(header::CONTENT_TYPE, kind).body(Body::from(bytes));
    let broken =
        |error: &dyn std::fmt::Display| Failure::invalid(format!("the form cannot be read: {error}"));
    let request = request.map_err(|error| broken(&error))?;
    let mut form = Multipart::from_request(request, &()).await.map_err(|error| broken(&error.body_text()))?;
    let mut fields = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error.body_text()))? {
        if fields.len() >= MAX_FIELDS {
            return Err(Failure::invalid(format!("the form has more than {MAX_FIELDS} fields")));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().unwrap_or_default().to_owned();
        let bytes = field.bytes().await.map_err(|error| broken(&error.body_text()))?;
        fields.push(Field { name, file_name, bytes });
    }
    Ok(fields)
}

/// A body that is JSON.
pub(super) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::invalid(format!("the body is not the JSON that is wanted: {error}")))
}

/// A name for people.
pub(super) fn checked_label(text: String) -> Result<String, Failure> {
    if text.len() > MAX_LABEL_BYTES || text.chars().any(char::is_control) {
        return Err(Failure::invalid(format!(
            "a label has at most {MAX_LABEL_BYTES} bytes and no control characters"
        )));
    }
    Ok(text)
}
