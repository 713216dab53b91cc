//! A quote as text: what is asked, and what is answered. The same in the browser, the Worker and the
//! command.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Quote, Unpriced, quote_model, situation};
use crate::api::{self, Code, Problem};
use crate::book::{Book, Situation};
use crate::clock::{Millis, Timestamp};
use crate::ledger::TermsQuote;
use crate::money::Exact;
use crate::wire::request::{Ask, Request, inspect};
use crate::wire::route::Route;

/// How long a signed quote is good where nobody says, in seconds.
const LIFE_USUAL: u32 = 60;

/// A question: what would this request cost?
#[derive(Debug, Deserialize)]
pub struct Asked<'a> {
    /// The API's path, with its query where it has one.
    pub endpoint: String,
    /// At which time; absent: now, or under the current rates where nobody knows the time.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// The API request's body, byte for byte.
    #[serde(borrow)]
    body: &'a RawValue,
    /// A signed quote is wanted.
    #[serde(default)]
    pub sign: bool,
    /// How long it is to be good.
    #[serde(default)]
    pub seconds: Option<u32>,
}

impl<'a> Asked<'a> {
    /// Reads `{"endpoint", "body", "at"?, "sign"?, "seconds"?}`.
    pub fn parse(text: &'a str) -> Result<Self, Problem> {
        serde_json::from_str(text)
            .map_err(|error| Problem::new(Code::InvalidRequest, format!("The request: {error}.")))
    }

    /// The request itself.
    pub fn request(&self) -> Result<Request<'_>, Problem> {
        let body = self.body.get().as_bytes();
        request(&self.endpoint, "application/json", body)
    }

    /// For how long it is to be signed, where it is.
    pub fn life(&self) -> Option<Millis> {
        self.sign.then(|| Millis::from_secs(self.seconds.unwrap_or(LIFE_USUAL)))
    }
}

/// A request to an endpoint as a client would write it: path, and perhaps a query.
pub fn request<'a>(
    endpoint: &'a str,
    content_type: &'a str,
    body: &'a [u8],
) -> Result<Request<'a>, Problem> {
    let (path, query) = endpoint.split_once('?').unwrap_or((endpoint, ""));
    let route = Route::of(path).ok_or_else(|| {
        Problem::new(Code::NotFound, format!("There is no endpoint {endpoint:?}."))
    })?;
    Ok(Request { route, query, content_type, body })
}

/// What a request would cost, or why that cannot be said. `region` says where a provider serves, where
/// that makes a price.
pub fn price<'r>(
    request: &Request<'_>,
    book: &Book,
    at: Option<Timestamp>,
    region: impl Fn(&str) -> Option<&'r str>,
) -> Result<(Ask, Quote), Problem> {
    let ask = inspect(request).map_err(|bad| Problem {
        param: bad.param,
        ..Problem::new(Code::InvalidRequest, bad.message)
    })?;
    let unpriced = |why: Unpriced| api::unpriced(&why, &ask.model);
    let model = book.sold(&ask.model).ok_or_else(|| unpriced(Unpriced::Model))?;
    let situation = Situation { at, region: region(&model.provider), ..situation(&ask) };
    let quote = quote_model(&ask, book, model, &situation).map_err(unpriced)?;
    Ok((ask, quote))
}

/// A quote as text: `request` is `{"endpoint", "body", "at"?}`, `body` the API request byte for byte.
/// Answers a [`Quote`] as JSON, or `{"error": {"code", "message"}}`. The book is one that was checked
/// before, as the gate's own is.
pub fn quote_text(book: &str, request: &str) -> String {
    match Book::open(book) {
        Ok(book) => quote_json(&book, request),
        Err(error) => failed(&Problem::new(Code::Misconfigured, format!("{error}."))),
    }
}

/// As [`quote_text`], by a book already read.
pub fn quote_json(book: &Book, request: &str) -> String {
    let answer = || {
        let asked = Asked::parse(request)?;
        price(&asked.request()?, book, asked.at, |_| None)
    };
    match answer() {
        Ok((_, quote)) => text(&quote),
        Err(problem) => failed(&problem),
    }
}

/// Any answer as JSON.
pub(super) fn text(answer: &impl Serialize) -> String {
    serde_json::to_string(answer)
        .unwrap_or_else(|error| failed(&Problem::new(Code::InternalError, error.to_string())))
}

/// Why there is no quote, as JSON.
pub fn failed(problem: &Problem) -> String {
    let (code, message) = (problem.code.as_str(), &problem.message);
    serde_json::json!({ "error": { "code": code, "message": message } }).to_string()
}

/// The quote as the customer's terms make it. Its arithmetic stays where it is the book's.
pub fn by_terms(quote: &Quote, terms: &TermsQuote) -> Quote {
    let TermsQuote { lower, expected, upper, .. } = terms;
    let is_by_book = *upper == quote.upper;
    let lines = if is_by_book { quote.lines.clone() } else { Vec::new() };
    Quote { lower: *lower, expected: *expected, upper: *upper, lines, ..quote.clone() }
}

/// What the customer's account adds to a quote.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    /// What is left of the tightest hard limit.
    pub remaining: Exact,
    /// The longest answer that would still fit, a choice; absent where output costs nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affordable_max_tokens: Option<Exact>,
}

impl Account {
    /// What `remaining` buys of this request.
    pub fn of(ask: &Ask, quote: &Quote, remaining: Exact) -> Self {
        let total = quote.affordable_output(remaining);
        let each = total.and_then(|total| total.whole_times(Exact::from(ask.choices)).ok());
        Self { remaining, affordable_max_tokens: each }
    }
}

/// A quote's signed form.
#[derive(Debug, Clone, Serialize)]
pub struct Signed {
    /// Goes with the request, in the header `x-farebox-quote`.
    pub token: String,
    /// First instant at which it is no longer good.
    pub expires_at: Timestamp,
}

/// A quote with what only the gate knows.
#[derive(Debug, Clone, Serialize)]
pub struct Answered<'a> {
    /// As everywhere.
    #[serde(flatten)]
    pub quote: &'a Quote,
    /// For a customer with a plan or credit: whose prices the amounts are then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<&'a TermsQuote>,
    /// Absent without a hard limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// Where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
}

impl Answered<'_> {
    /// As JSON.
    pub fn text(&self) -> String {
        text(self)
    }
}
