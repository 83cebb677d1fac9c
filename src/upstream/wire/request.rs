//! What is a request before it is the HTTP client's? A list of named values, each known to be secret or not.

use reqwest::blocking::multipart::{Form, Part};
use reqwest::blocking::{Client, RequestBuilder};

use super::super::{Secret, UploadPicture};

/// The parameter that proves who knows the app secret without telling it.
pub(in crate::upstream) const SIGNATURE: &str = "_aop_signature";

/// A request to be made. Its values are told apart here, because nothing later can tell a secret from a page number.
pub(in crate::upstream) struct Request<'a> {
    pub(super) method: &'static str,
    /// Begins with a slash.
    path: String,
    /// The app key, which ends the path and is not recorded with it.
    app_key: Option<String>,
    pub(super) query: Vec<(&'static str, Value<'a>)>,
    /// Written as a URL-encoded form unless [`json`](Self::json) or [`file`](Self::file) says otherwise.
    pub(super) fields: Vec<(&'static str, Value<'a>)>,
    is_json: bool,
    pub(super) file: Option<(&'static str, &'a UploadPicture)>,
    pub(super) bearer: Option<Secret>,
    /// Asks for a token: its answer holds nothing but secrets.
    pub(super) is_for_token: bool,
}

/// A value as it is written, and what it is.
pub(super) enum Value<'a> {
    Plain(String),
    Secret(Secret),
    /// An address whose query may be a signature.
    Url(String),
    /// A text that holds the picture.
    Picture {
        written: String,
        picture: &'a UploadPicture,
    },
}

impl Value<'_> {
    fn written(&self) -> &str {
        match self {
            Self::Plain(written) | Self::Url(written) | Self::Picture { written, .. } => written,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "a number reads better without an ampersand")]
impl<'a> Request<'a> {
    fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            app_key: None,
            query: Vec::new(),
            fields: Vec::new(),
            is_json: false,
            file: None,
            bearer: None,
            is_for_token: false,
        }
    }

    pub(in crate::upstream) fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    pub(in crate::upstream) fn post(path: impl Into<String>) -> Self {
        Self::new("POST", path)
    }

    /// Ends the path with the app key.
    pub(in crate::upstream) fn app_key(mut self, app_key: &str) -> Self {
        self.app_key = Some(app_key.to_owned());
        self
    }

    pub(in crate::upstream) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, Value::Plain(value.to_string())));
        self
    }

    /// Nothing when there is no value.
    pub(in crate::upstream) fn query_if(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    pub(in crate::upstream) fn url_query(mut self, name: &'static str, url: &str) -> Self {
        self.query.push((name, Value::Url(url.to_owned())));
        self
    }

    pub(in crate::upstream) fn url_field(mut self, name: &'static str, url: &str) -> Self {
        self.fields.push((name, Value::Url(url.to_owned())));
        self
    }

    pub(in crate::upstream) fn secret_query(mut self, name: &'static str, value: &Secret) -> Self {
        self.query.push((name, Value::Secret(value.clone())));
        self
    }

    pub(in crate::upstream) fn field(mut self, name: &'static str, value: impl ToString) -> Self {
        self.fields.push((name, Value::Plain(value.to_string())));
        self
    }

    /// Nothing when there is no value.
    pub(in crate::upstream) fn field_if(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    pub(in crate::upstream) fn secret_field(mut self, name: &'static str, value: &Secret) -> Self {
        self.fields.push((name, Value::Secret(value.clone())));
        self
    }

    /// `written` is the text that holds the picture.
    pub(in crate::upstream) fn picture_field(
        mut self,
        name: &'static str,
        written: String,
        picture: &'a UploadPicture,
    ) -> Self {
        self.fields.push((name, Value::Picture { written, picture }));
        self
    }

    /// The picture as a file; the fields become the other parts of a multipart form.
    pub(in crate::upstream) fn file(mut self, name: &'static str, picture: &'a UploadPicture) -> Self {
        self.file = Some((name, picture));
        self
    }

    /// The fields become one JSON object of texts.
    pub(in crate::upstream) fn json(mut self) -> Self {
        self.is_json = true;
        self
    }

    pub(in crate::upstream) fn bearer(mut self, token: &Secret) -> Self {
        self.bearer = Some(token.clone());
        self
    }

    pub(in crate::upstream) fn for_token(mut self) -> Self {
        self.is_for_token = true;
        self
    }

    /// The fields as they are written, in order: what a signature covers.
    pub(in crate::upstream) fn written_fields(&self) -> Vec<(&str, &str)> {
        self.fields.iter().map(|(name, value)| (*name, value.written())).collect()
    }

    /// The path as it may be published.
    pub(super) fn recorded_path(&self) -> String {
        let end = if self.app_key.is_some() { "/{app_key}" } else { "" };
        format!("{}{end}", self.path)
    }

    /// Whether a reader of the request could use what is in it. A signature is of no use without its secret.
    pub(super) fn carries_credentials(&self) -> bool {
        let is_credential =
            |(name, value): &(&str, Value<'_>)| matches!(value, Value::Secret(_)) && *name != SIGNATURE;
        self.bearer.is_some() || self.query.iter().chain(&self.fields).any(is_credential)
    }

    /// Everything that must not be published.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let values = self.query.iter().chain(&self.fields).flat_map(|(_, value)| match value {
            Value::Secret(secret) => vec![secret.clone()],
            // As a whole, and its query, wherever it is quoted.
            Value::Url(url) => match url.split_once(['?', '@']) {
                Some((_, rest)) => vec![Secret::new(url.as_str()), Secret::new(rest)],
                None => Vec::new(),
            },
            _ => Vec::new(),
        });
        values.chain(self.bearer.clone()).collect()
    }

    /// As the HTTP client's; `base` is without a slash at its end.
    pub(super) fn build(&self, client: &Client, base: &str) -> Result<RequestBuilder, reqwest::Error> {
        let mut url = format!("{base}{}", self.path);
        if let Some(app_key) = &self.app_key {
            url = format!("{url}/{app_key}");
        }
        let mut request = if self.method == "GET" { client.get(url) } else { client.post(url) };
        if !self.query.is_empty() {
            let pairs: Vec<(&str, &str)> =
                self.query.iter().map(|(name, value)| (*name, value.written())).collect();
            request = request.query(&pairs);
        }
        if let Some(token) = &self.bearer {
            request = request.bearer_auth(token.expose());
        }
        if let Some((name, picture)) = self.file {
            let file = Part::bytes(picture.bytes.clone())
                .file_name(format!("photo.{}", picture.media_type.extension()))
                .mime_str(picture.media_type.as_str())?;
            let form = self.fields.iter().fold(Form::new().part(name, file), |form, (name, value)| {
                form.text(*name, value.written().to_owned())
            });
            request = request.multipart(form);
        } else if self.is_json {
            let object: serde_json::Map<String, serde_json::Value> = self
                .fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.written().into()))
                .collect();
            request = request.json(&object);
        } else if !self.fields.is_empty() {
            request = request.form(&self.written_fields());
        }
        Ok(request)
    }
}
