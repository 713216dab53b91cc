//! Signed quotes: for a while, the gate keeps to the prices it named, whatever its book says by then.
//!
//! A token is `fbq_<payload>.<n><tag>`: the promise as JSON in base64url, the number of the secret and
//! an HMAC-SHA256. It carries the rates themselves, so that whoever honours it needs no book but the
//! token. It holds what its customer was told and nothing else: no cost, no margin, no prompt.

use core::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::{Quote, Unpriced, situation};
use crate::api::{self, Code, Problem};
use crate::auth::Ring;
use crate::book::{Book, Card, CardRef, Situation, Tiers};
use crate::clock::{Millis, Timestamp};
use crate::ids::Name;
use crate::record::Digest;
use crate::wire::request::{Ask, Request};
use crate::wire::route::Endpoint;

/// The header that brings a token.
pub const HEADER: &str = "x-farebox-quote";
/// How a record names a request that came with one, among its features.
pub const FEATURE: &str = "signed_quote";
/// Says what a secret is derived for, and what a tag is of.
pub const LABEL: &[u8] = b"farebox-quote-v1";
/// Longest life of a quote: an operator must be able to change prices within the hour.
pub const QUOTE_LIFE_MAX: Millis = Millis::from_secs(3_600);
/// Longest token. Servers and proxies take 8 KiB of a header's line as a rule; the dearest model of
/// the built-in catalogue needs less than 4 KiB.
pub const TOKEN_MAX: usize = 6 * 1024;

/// What a signed quote promises, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// The one customer it speaks to; any of their keys may use it.
    pub customer: Name,
    /// First instant at which it is no longer good.
    pub expires: Timestamp,
    /// SHA-256 of the request it was made for: path, query, content type and body.
    pub request: Digest,
    /// The model as the client wrote it.
    pub model: String,
    /// What was answered.
    pub quote: Quote,
    /// The rates it was computed from, as far as the request can reach them.
    pub card: Card,
}

/// Why a token does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Not made here, altered, or made for another customer.
    Invalid,
    /// It was good until a moment that has passed.
    Expired,
    /// Made for another model.
    OtherModel,
    /// Made for another endpoint or body.
    OtherRequest,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "is not one that was made here for this customer",
            Self::Expired => "has expired",
            Self::OtherModel => "was made for another model",
            Self::OtherRequest => {
                "was made for another request; send the endpoint and the body byte for byte"
            }
        })
    }
}

impl From<Broken> for Problem {
    fn from(broken: Broken) -> Self {
        let code = match broken {
            Broken::Invalid => Code::QuoteInvalid,
            Broken::Expired => Code::QuoteExpired,
            Broken::OtherModel | Broken::OtherRequest => Code::QuoteMismatch,
        };
        let message = format!(
            "The signed quote in `{HEADER}` {broken}. Nothing was sent. Ask for a new quote, or \
             send the request without one to be charged at the present price."
        );
        Self::new(code, message)
    }
}

impl Promise {
    /// Promises a quote. Refused where the request does not bound what it costs: such a promise would
    /// not hold.
    pub fn new(
        customer: Name,
        (request, ask, quote): (&Request<'_>, &Ask, &Quote),
        (book, region): (&Book, Option<&str>),
        (now, life): (Timestamp, Millis),
    ) -> Result<Self, Problem> {
        if let Some(feature) = ask.unbounded.first() {
            let message = format!(
                "A quote for {feature:?} cannot be signed: the request does not bound what it uses."
            );
            return Err(Problem::new(Code::FeatureNotPriced, message));
        }
        if ask.endpoint == Endpoint::Realtime {
            let message = "A quote for a conversation cannot be signed: its turns are not known.";
            return Err(Problem::new(Code::FeatureNotPriced, message));
        }
        if life == Millis(0) || life > QUOTE_LIFE_MAX {
            let most = QUOTE_LIFE_MAX.0.div_ceil(1_000);
            let message = format!("A quote is signed for 1 to {most} seconds.");
            return Err(Problem::new(Code::InvalidRequest, message));
        }
        Ok(Self {
            customer,
            expires: now.plus(life),
            request: digest(request),
            model: ask.model.clone(),
            // Its bounds by meter are for plans alone, under which no quote is signed.
            quote: Quote { worst: Vec::new(), likely: Vec::new(), ..quote.clone() },
            card: card(ask, quote, book, &Situation { at: Some(now), region, ..situation(ask) })
                .map_err(|why| api::unpriced(&why, &ask.model))?,
        })
    }

    /// The token.
    pub fn text(&self, ring: &Ring) -> Result<String, Problem> {
        let failed = || Problem::new(Code::InternalError, "The quote could not be signed.");
        let json = serde_json::to_string(self).map_err(|_| failed())?;
        let payload = BASE64URL_NOPAD.encode(json.as_bytes());
        let ending = ring.ending(&[LABEL, payload.as_bytes()]).ok_or_else(failed)?;
        let token = format!("fbq_{payload}.{ending}");
        if token.len() > TOKEN_MAX {
            let message = format!(
                "This model has too many rates for a signed quote: it would be longer than \
                 {TOKEN_MAX} bytes."
            );
            return Err(Problem::new(Code::FeatureNotPriced, message));
        }
        Ok(token)
    }

    /// Reads a token: its tag first, then whose it is, then its time.
    pub fn verify(
        token: &str,
        ring: &Ring,
        customer: &Name,
        now: Timestamp,
    ) -> Result<Self, Broken> {
        if token.len() > TOKEN_MAX {
            return Err(Broken::Invalid);
        }
        let signed = token.strip_prefix("fbq_").and_then(|rest| rest.split_once('.'));
        let (payload, ending) = signed.ok_or(Broken::Invalid)?;
        if !ring.ends_well(&[LABEL, payload.as_bytes()], ending) {
            return Err(Broken::Invalid);
        }
        let json = BASE64URL_NOPAD.decode(payload.as_bytes()).map_err(|_| Broken::Invalid)?;
        let promise: Self = serde_json::from_slice(&json).map_err(|_| Broken::Invalid)?;
        if promise.customer != *customer {
            return Err(Broken::Invalid);
        }
        if promise.expires <= now || promise.expires > now.plus(QUOTE_LIFE_MAX) {
            return Err(Broken::Expired);
        }
        Ok(promise)
    }

    /// Whether it was made for this very request.
    pub fn covers(&self, request: &Request<'_>, ask: &Ask) -> Result<(), Broken> {
        if digest(request) == self.request {
            return Ok(());
        }
        Err(if self.model == ask.model { Broken::OtherRequest } else { Broken::OtherModel })
    }
}

/// What a request is known by: everything that decides how it is read and priced.
fn digest(request: &Request<'_>) -> Digest {
    let Request { route, query, content_type, body } = *request;
    // Of content types, only those that are not read as JSON make a difference.
    let is_json = content_type.is_empty() || content_type.starts_with("application/json");
    let content_type = if is_json { "" } else { content_type };
    let length = |part: &[u8]| u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes();
    let parts = [LABEL, route.path.as_bytes(), query.as_bytes(), content_type.as_bytes(), body];
    let lengths = parts.map(length);
    let both: Vec<&[u8]> =
        parts.iter().zip(&lengths).flat_map(|(part, length)| [&length[..], *part]).collect();
    Digest::of(&both)
}

/// The rates that settlement will choose from. Those of tiers and lengths that the request cannot
/// reach are left out: the token stays short.
fn card(
    ask: &Ask,
    quote: &Quote,
    book: &Book,
    situation: &Situation<'_>,
) -> Result<Card, Unpriced> {
    if ask.free {
        return Ok(Card::default());
    }
    let model = book.sold(&ask.model).ok_or(Unpriced::Model)?;
    let card = model.card(situation).ok_or(Unpriced::NotInForce)?;
    Ok(reachable(card, ask.service_tier.as_deref(), quote))
}

fn reachable(card: CardRef<'_>, tier: Option<&str>, quote: &Quote) -> Card {
    let tiers = |tiers: &Tiers| match tier {
        None | Some("auto") => tiers.clone(),
        Some(asked) => {
            let sold = tiers.get(asked).map(|rates| (asked.to_owned(), rates.clone()));
            Tiers(sold.into_iter().collect())
        }
    };
    let mut kept = card.to_card();
    kept.tiers = tiers(&kept.tiers);
    kept.context.retain(|context| context.reached(quote.input_tokens.upper));
    for context in &mut kept.context {
        context.tiers = tiers(&context.tiers);
    }
    kept
}

#[cfg(test)]
#[path = "signed_tests.rs"]
mod tests;
