//! What every call of the official gateway has: its envelope, its parameters and its refusals.

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use subtle::ConstantTimeEq as _;

use super::Refusal;
use crate::clock::Timestamp;
use crate::upstream::Secret;
use crate::upstream::aop::sign;

/// A refusal in the gateway's envelope.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new("gw.ParamMissing", format!("Required argument {parameter}"))
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadToken => Self::new("401", "Request need user authorized"),
            Refusal::NoPermission => Self::new("gw.APIACLDecline", "AppKey is not allowed(acl)"),
            Refusal::TooFast => Self::new("gw.QosAppFrequencyLimit", "App call exceeds limited frequency"),
            Refusal::TooFastIn200 => Self { status: StatusCode::OK, ..Refusal::TooFast.into() },
            Refusal::QuotaSpent => Self::new("gw.NoUsageLeftError", "SLA bill has no usage left"),
            // Ours.
            Refusal::BadQuestion => {
                Self::new("gw.ParamInvalid", "the upstream cannot be asked with all of the parameters")
            }
            Refusal::BadPicture => Self::new("gw.ParamInvalid", "the picture is not accepted"),
            Refusal::Failed => Self::new("gw.SystemError", "the search failed"),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = json!({ "error_code": self.code, "error_message": self.message, "exception": "" });
        (self.status, axum::Json(body)).into_response()
    }
}

/// A call as it came in: `{protocol}/{version}/{namespace}/{name}/{app_key}` and its parameters, those of the
/// address and those of the form in one list.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    params: Vec<(String, String)>,
}

impl Call {
    pub(crate) async fn read(
        path: String,
        query: Vec<(String, String)>,
        request: Request,
        max_body_bytes: u64,
    ) -> Result<Self, Fault> {
        let method = request.method().clone();
        let mut params = query;
        if method == Method::POST {
            let is_form = request.headers().get("content-type").is_some_and(|kind| {
                kind.to_str().is_ok_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
            });
            // A body in another format is not looked at, as some clients post JSON beside a signed query.
            if is_form {
                let limit = usize::try_from(max_body_bytes).unwrap_or(usize::MAX);
                let form = axum::body::to_bytes(request.into_body(), limit).await;
                let form = form.map_err(|e| Fault::new("gw.ParamInvalid", e.to_string()))?;
                params.extend(url::form_urlencoded::parse(&form).into_owned());
            }
        }
        Ok(Self { method, path, params })
    }

    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn check_signature(&self, secret: &str) -> Result<(), Fault> {
        let given = self
            .param("_aop_signature")
            .ok_or_else(|| Fault::new("gw.SignatureMissing", "Signature is missing"))?;
        let signed = self.params.iter().filter(|(key, _)| key != "_aop_signature");
        let signed: Vec<(&str, &str)> = signed.map(|(key, value)| (key.as_str(), value.as_str())).collect();
        // In a time that tells nothing of how much of it is right.
        let right = sign(&self.path, &signed, &Secret::new(secret));
        if bool::from(given.as_bytes().ct_eq(right.as_bytes())) {
            Ok(())
        } else {
            Err(Fault::new("gw.SignatureInvalid", "Invalid signature"))
        }
    }
}

/// As the gateway writes it: `20261010164552223+0800`.
pub(crate) fn gateway_time(now: Timestamp) -> String {
    let china = time::UtcOffset::from_hms(8, 0, 0).unwrap_or(time::UtcOffset::UTC);
    let nanos = i128::from(now.unix_ms()) * 1_000_000;
    let moment = time::OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
        .to_offset(china);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}{:03}+0800",
        moment.year(),
        u8::from(moment.month()),
        moment.day(),
        moment.hour(),
        moment.minute(),
        moment.second(),
        moment.millisecond()
    )
}
