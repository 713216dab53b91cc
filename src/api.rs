//! What customers see: codes, statuses, and the JSON of refusals in each API's own shape, so that
//! official SDKs raise their own typed errors. The only room that knows status codes.

mod rate_limit;
mod refusal;

use serde::Serialize;
use serde_json::{Value, json};

use crate::quote::Unpriced;
use crate::wire::route::Api;

pub use rate_limit::{limit_headers, rate_limit, rate_limit_policy};
pub use refusal::{Asked, refused};

/// Every code this gate answers with. Stable: clients may match on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// No key, or not one of ours.
    InvalidKey,
    /// The key was revoked.
    KeyDisabled,
    /// Known, but not allowed to do this.
    Forbidden,
    /// No such route or thing.
    NotFound,
    /// The route exists, with another method.
    MethodNotAllowed,
    /// It contradicts what is there.
    Conflict,
    /// The body or a header cannot be used.
    InvalidRequest,
    /// The body is compressed; send it plain.
    UnsupportedEncoding,
    /// The body is over the bound.
    RequestTooLarge,
    /// The book does not sell this model.
    ModelNotPriced,
    /// It sells the model, but not what this request makes of it.
    FeatureNotPriced,
    /// The book sells it, but not at a price the operator stands by at present.
    NotForSale,
    /// The signed quote is not ours, altered, or another customer's.
    QuoteInvalid,
    /// The signed quote's time is over.
    QuoteExpired,
    /// The signed quote was made for another request.
    QuoteMismatch,
    /// The limit is spent.
    SpendLimitExceeded,
    /// More than the whole limit.
    RequestExceedsLimit,
    /// Fits when running requests have settled.
    InFlightBudgetExhausted,
    /// Too much for this minute or hour.
    RateLimitExceeded,
    /// The plan does not allow it.
    NotInPlan,
    /// The same request, by the client's `Idempotency-Key`, is running.
    RequestInProgress,
    /// The same request is over; its answer was not kept.
    RequestCompleted,
    /// The client's `Idempotency-Key` belongs to another request.
    IdempotencyKeyReused,
    /// The upstream could not be reached.
    UpstreamUnreachable,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The upstream answered with a redirect, which is never followed.
    UpstreamRedirect,
    /// The gate is its own upstream.
    LoopDetected,
    /// The ledger cannot be reached: nothing runs unmetered.
    MeteringUnavailable,
    /// More is under way than there is room for.
    Overloaded,
    /// The operator's configuration is unusable.
    Misconfigured,
    /// A fault of ours.
    InternalError,
}

/// How a code travels.
struct Trait {
    status: u16,
    code: &'static str,
    /// OpenAI's `error.type`.
    openai: &'static str,
    /// Anthropic's `error.type`.
    anthropic: &'static str,
}

impl Code {
    fn traits(self) -> Trait {
        let of = |status, code, openai, anthropic| Trait { status, code, openai, anthropic };
        let (bad, server) = ("invalid_request_error", "server_error");
        match self {
            Self::InvalidKey => of(401, "invalid_key", bad, "authentication_error"),
            Self::KeyDisabled => of(401, "key_disabled", bad, "authentication_error"),
            Self::Forbidden => of(403, "forbidden", bad, "permission_error"),
            Self::NotFound => of(404, "not_found", bad, "not_found_error"),
            Self::MethodNotAllowed => of(405, "method_not_allowed", bad, bad),
            Self::InvalidRequest => of(400, "invalid_request", bad, bad),
            Self::UnsupportedEncoding => of(415, "unsupported_encoding", bad, bad),
            Self::RequestTooLarge => of(413, "request_too_large", bad, "request_too_large"),
            Self::ModelNotPriced => of(400, "model_not_priced", bad, bad),
            Self::FeatureNotPriced => of(400, "feature_not_priced", bad, bad),
            Self::NotForSale => of(400, "not_for_sale", bad, bad),
            Self::Conflict => of(409, "conflict", bad, bad),
            Self::QuoteInvalid => of(400, "quote_invalid", bad, bad),
            Self::QuoteExpired => of(400, "quote_expired", bad, bad),
            Self::QuoteMismatch => of(400, "quote_mismatch", bad, bad),
            Self::SpendLimitExceeded => {
                of(402, "spend_limit_exceeded", "insufficient_quota", "billing_error")
            }
            Self::RequestExceedsLimit => {
                of(402, "request_exceeds_limit", "insufficient_quota", "billing_error")
            }
            Self::InFlightBudgetExhausted => {
                of(429, "in_flight_budget_exhausted", "rate_limit_exceeded", "rate_limit_error")
            }
            Self::RateLimitExceeded => {
                of(429, "rate_limit_exceeded", "rate_limit_exceeded", "rate_limit_error")
            }
            Self::NotInPlan => of(403, "not_in_plan", bad, "permission_error"),
            Self::RequestInProgress => of(409, "request_in_progress", bad, bad),
            Self::RequestCompleted => of(409, "request_completed", bad, bad),
            Self::IdempotencyKeyReused => of(422, "idempotency_key_reused", bad, bad),
            Self::UpstreamUnreachable => of(502, "upstream_unreachable", server, "api_error"),
            Self::UpstreamTimeout => of(504, "upstream_timeout", server, "timeout_error"),
            Self::UpstreamRedirect => of(502, "upstream_redirect", server, "api_error"),
            Self::LoopDetected => of(508, "loop_detected", server, "api_error"),
            Self::MeteringUnavailable => {
                of(503, "metering_unavailable", server, "overloaded_error")
            }
            Self::Overloaded => of(503, "overloaded", server, "overloaded_error"),
            Self::Misconfigured => of(503, "misconfigured", server, "api_error"),
            Self::InternalError => of(500, "internal_error", server, "api_error"),
        }
    }

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        self.traits().code
    }

    /// Its HTTP status.
    pub fn status(self) -> u16 {
        self.traits().status
    }

    /// Google's canonical word for it.
    fn google(self) -> &'static str {
        match self.status() {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 | 405 => "NOT_FOUND",
            409 => "ABORTED",
            402 | 429 => "RESOURCE_EXHAUSTED",
            504 => "DEADLINE_EXCEEDED",
            502 | 503 => "UNAVAILABLE",
            500 | 508 => "INTERNAL",
            _ => "INVALID_ARGUMENT",
        }
    }

    /// The exception that AWS SDKs raise for it. A quota is not retried by them, throttling is.
    fn aws(self) -> &'static str {
        match self.status() {
            401 => "UnrecognizedClientException",
            403 => "AccessDeniedException",
            404 | 405 => "ResourceNotFoundException",
            409 => "ConflictException",
            402 => "ServiceQuotaExceededException",
            429 => "ThrottlingException",
            502..=504 => "ServiceUnavailableException",
            500 | 508 => "InternalServerException",
            _ => "ValidationException",
        }
    }

    /// Seconds after which a retry makes sense; `None` = no `Retry-After`.
    fn retry_after(self) -> Option<u32> {
        match self {
            Self::InFlightBudgetExhausted => Some(2),
            Self::MeteringUnavailable | Self::Overloaded | Self::RequestInProgress => Some(1),
            // Where nothing better is known: the window's end.
            Self::RateLimitExceeded => Some(RATE_WAIT_MAX),
            _ => None,
        }
    }

    /// Whether SDKs must be told not to retry what their own rules would retry.
    fn is_final(self) -> bool {
        matches!(
            self,
            Self::SpendLimitExceeded
                | Self::RequestExceedsLimit
                | Self::RequestCompleted
                | Self::LoopDetected
        )
    }
}

/// Longest time a client is told to wait for a rate's window, in seconds: SDKs do not wait longer.
pub const RATE_WAIT_MAX: u32 = 60;

/// An error on its way to whoever asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// What happened, to what, and what to do. For people; never holds a secret or content.
    pub message: String,
    /// The request's field to blame.
    pub param: Option<&'static str>,
    /// Numbers behind a limit's refusal.
    pub details: Option<Value>,
    /// Seconds after which a retry makes sense, where they are known better than from the code.
    pub retry_after: Option<u32>,
    /// Further headers, lower-case.
    pub headers: Vec<(&'static str, String)>,
}

/// Whose shape an error takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The API the client believes to talk to.
    Of(Api),
    /// Our own routes: RFC 9457.
    Own,
}

/// An answer, ready to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, lower-case.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
}

impl Problem {
    /// A problem without details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message, param: None, details: None, retry_after: None, headers: Vec::new() }
    }

    /// In the shape of the API in front, with the request's id.
    pub fn answer(&self, shape: Shape, request_id: &str) -> Answer {
        let mut headers = vec![("x-farebox-request-id", request_id.to_owned())];
        headers.extend(self.headers.iter().cloned());
        if let Some(seconds) = self.retry_after.or(self.code.retry_after()) {
            headers.push(("retry-after", seconds.to_string()));
        }
        if self.code.is_final() {
            headers.push(("x-should-retry", "false".to_owned()));
        }
        let (kind, body) = match shape {
            Shape::Of(Api::OpenAi) => {
                headers.push(("x-request-id", request_id.to_owned()));
                ("application/json", self.openai())
            }
            Shape::Of(Api::Anthropic) => {
                headers.push(("request-id", request_id.to_owned()));
                ("application/json", self.anthropic(request_id))
            }
            Shape::Of(Api::Google) => ("application/json", self.google(request_id)),
            Shape::Of(Api::Bedrock) => {
                headers.push(("x-amzn-requestid", request_id.to_owned()));
                headers.push(("x-amzn-errortype", self.code.aws().to_owned()));
                ("application/json", self.plain(request_id))
            }
            Shape::Of(Api::Plain) => ("application/json", self.plain(request_id)),
            Shape::Own => ("application/problem+json", self.own(request_id)),
        };
        headers.push(("content-type", kind.to_owned()));
        Answer { status: self.code.status(), headers, body: body.to_string() }
    }

    /// As an event of a Realtime session, which has no other place for an error once it is open.
    pub fn event(&self, request_id: &str) -> String {
        let mut event = self.openai();
        if let Some(event) = event.as_object_mut() {
            event.insert("type".into(), "error".into());
            event.insert("event_id".into(), request_id.into());
        }
        event.to_string()
    }

    /// With which a WebSocket is closed for it: 4000 and the HTTP status, as 4402 for a spent limit.
    pub fn close_code(&self) -> u16 {
        self.code.status().saturating_add(4000)
    }

    fn openai(&self) -> Value {
        let kind = self.code.traits().openai;
        let mut error = json!({
            "message": self.message, "type": kind, "param": self.param, "code": self.code.as_str(),
        });
        self.detail_into(&mut error);
        json!({ "error": error })
    }

    fn anthropic(&self, request_id: &str) -> Value {
        let kind = self.code.traits().anthropic;
        let mut error = json!({ "type": kind, "message": self.message });
        self.detail_into(&mut error);
        if let Some(error) = error.as_object_mut() {
            let details = error.entry("details").or_insert_with(|| json!({}));
            if let Some(details) = details.as_object_mut() {
                details.insert("error_code".into(), self.code.as_str().into());
            }
        }
        json!({ "type": "error", "error": error, "request_id": request_id })
    }

    /// `google.rpc.Status`.
    fn google(&self, request_id: &str) -> Value {
        let mut info = json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": self.code.as_str().to_ascii_uppercase(), "domain": "farebox",
            "metadata": { "request_id": request_id },
        });
        self.detail_into(&mut info);
        json!({ "error": {
            "code": self.code.status(), "message": self.message, "status": self.code.google(),
            "details": [info],
        } })
    }

    /// One message under each of the names that the plainer APIs use for it: `message` (Cohere,
    /// Bedrock), `error` (Ollama), `detail` (ElevenLabs, Replicate), `err_msg` (Deepgram).
    fn plain(&self, request_id: &str) -> Value {
        let code = self.code.as_str();
        let mut problem = json!({
            "message": self.message, "error": self.message, "err_msg": self.message,
            "detail": { "status": code, "message": self.message },
            "code": code, "request_id": request_id,
        });
        self.detail_into(&mut problem);
        problem
    }

    fn own(&self, request_id: &str) -> Value {
        let code = self.code.as_str();
        let mut problem = json!({
            "type": format!("https://farebox.dev/errors/{code}"),
            "title": code.replace('_', " "), "status": self.code.status(),
            "detail": self.message, "code": code, "request_id": request_id,
        });
        self.detail_into(&mut problem);
        problem
    }

    fn detail_into(&self, value: &mut Value) {
        if let (Some(details), Some(object)) = (&self.details, value.as_object_mut()) {
            object.insert("details".into(), details.clone());
        }
    }
}

/// Why a request has no price, in words.
pub fn unpriced(why: &Unpriced, model: &str) -> Problem {
    let (code, message, param) = match why {
        Unpriced::Model => (
            Code::ModelNotPriced,
            format!("The model {model:?} is not sold here: the price book does not list it."),
            Some("model"),
        ),
        Unpriced::ServiceTier(tier) => (
            Code::FeatureNotPriced,
            format!("The model {model:?} is not sold in service tier {tier:?}."),
            Some("service_tier"),
        ),
        Unpriced::Meter(meter) => (
            Code::ModelNotPriced,
            format!("The price book has no rate for {} of model {model:?}.", meter.as_str()),
            Some("model"),
        ),
        Unpriced::Feature(feature) => (
            Code::FeatureNotPriced,
            format!(
                "The price book sets no bound for {feature:?} with model {model:?}, so its \
                     cost cannot be held in advance."
            ),
            None,
        ),
        Unpriced::OutputLength => (
            Code::InvalidRequest,
            format!(
                "Send max_tokens: the price book does not know how long answers of {model:?} \
                     can get."
            ),
            Some("max_tokens"),
        ),
        Unpriced::NotInForce => (
            Code::ModelNotPriced,
            format!("The model {model:?} is not sold at this time: its price is not in force."),
            Some("model"),
        ),
        Unpriced::Margin => (
            Code::NotForSale,
            format!("This request to model {model:?} is not sold at present."),
            Some("model"),
        ),
        Unpriced::OutOfRange => (
            Code::InvalidRequest,
            "The request's worst-case cost is too large to be computed exactly. Lower max_tokens \
             or n."
                .to_owned(),
            Some("max_tokens"),
        ),
    };
    Problem { param, ..Problem::new(code, message) }
}

/// The one answer to every key that is not good, whatever is wrong with it.
pub fn invalid_key() -> Problem {
    let message = "The API key is missing or not valid for this service. \
                   Send a Farebox key (fb_live_… or fb_test_…) where the provider's key would go.";
    Problem::new(Code::InvalidKey, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_spent_limit_is_a_402_that_no_sdk_retries() {
        let problem = Problem::new(Code::SpendLimitExceeded, "spent");
        let answer = problem.answer(Shape::Of(Api::OpenAi), "id-1");
        assert_eq!(answer.status, 402);
        assert!(answer.headers.contains(&("x-should-retry", "false".into())));
        assert!(!answer.headers.iter().any(|(name, _)| *name == "retry-after"));
    }

    #[test]
    fn each_api_gets_its_own_shape_and_the_request_id() {
        let problem = invalid_key();
        let read =
            |shape| -> Value { serde_json::from_str(&problem.answer(shape, "id-1").body).unwrap() };
        let openai = read(Shape::Of(Api::OpenAi));
        assert_eq!(openai["error"]["code"], "invalid_key");
        let anthropic = read(Shape::Of(Api::Anthropic));
        assert_eq!(anthropic["type"], "error");
        assert_eq!(anthropic["error"]["type"], "authentication_error");
        assert_eq!(anthropic["error"]["details"]["error_code"], "invalid_key");
        assert_eq!(anthropic["request_id"], "id-1");
        let google = read(Shape::Of(Api::Google));
        assert_eq!(google["error"]["status"], "UNAUTHENTICATED");
        assert_eq!(google["error"]["details"][0]["reason"], "INVALID_KEY");
        let bedrock = problem.answer(Shape::Of(Api::Bedrock), "id-1");
        assert!(
            bedrock.headers.contains(&("x-amzn-errortype", "UnrecognizedClientException".into()))
        );
        assert_eq!(read(Shape::Of(Api::Plain))["detail"]["status"], "invalid_key");
        assert_eq!(read(Shape::Own)["request_id"], "id-1");
    }
}
