//! Makes a request fit where its worst case does not and the operator allows: with a hold that
//! grows as it goes, or with a shorter answer.

use std::rc::Rc;

use js_sys::{ArrayBuffer, Uint8Array};

use super::admit::{Admission, Held, Reserved};
use super::attempt::{Attempt, Room};
use super::fail_open::Unheld;
use super::http::{Incoming, internal};
use crate::api::Problem;
use crate::clock::Timestamp;
use crate::ledger::{Measure, Refusal};
use crate::quote::{self, signed::FEATURE};
use crate::stop::{self, Part, When};
use crate::wire::query::parameters;
use crate::wire::request::Ask;

/// How often a shortened request is tried: between the refusal and the next try others may take
/// what was left, once.
const CLAMPED_TRIES: usize = 2;

/// A request that may run.
pub struct Fit {
    pub attempt: Attempt,
    /// As it is asked of the upstream.
    pub ask: Rc<Ask>,
    /// Its body and the length of its answers, where it was shortened.
    pub clamped: Option<(Vec<u8>, u64)>,
}

/// Holds for the request: whole if that fits, else as far as its customer's terms go.
pub async fn admit(
    incoming: &Incoming,
    admission: Admission,
    body: &ArrayBuffer,
    received_at: Timestamp,
) -> Result<Held<Fit>, Problem> {
    let config = admission.config.clone();
    let terms = config.policy.terms(admission.customer());
    // A signed quote is for the request as it was, and whole.
    let is_promised = admission.ask().features.contains(&FEATURE);
    let part = terms.part.as_ref().filter(|part| {
        let is_events = parameters(incoming.query())
            .any(|parameter| parameter.name == "alt" && parameter.value == "sse");
        !is_promised && part.covers(admission.ask(), is_events)
    });
    let in_part = part.and_then(|part| Some((part.when, in_part(&admission, part, received_at)?)));
    let ask = admission.ask().clone();
    let fit = |attempt| Ok(Held::By(Fit { attempt, ask: ask.clone(), clamped: None }));
    let mut refusal = None;
    if !matches!(in_part, Some((When::Always, _))) {
        match admission.try_reserve(received_at).await? {
            Reserved::Attempt(attempt) => return fit(attempt),
            Reserved::Refused(refused) => refusal = Some(refused),
            Reserved::Stale(now) => return Ok(Held::Stale(now)),
        }
    }
    let is_final = |refusal: &Option<Box<Refusal>>| {
        refusal.as_ref().is_some_and(|refusal| refusal.limit.is_none())
    };
    if let Some((_, (admission, room))) = in_part
        && !is_final(&refusal)
    {
        match admission.try_reserve(received_at).await? {
            Reserved::Attempt(attempt) => {
                return fit(Attempt { room: Some(Rc::new(room)), ..attempt });
            }
            Reserved::Refused(refused) => refusal = Some(refused),
            Reserved::Stale(now) => return Ok(Held::Stale(now)),
        }
    }
    let Some(mut refusal) = refusal else { return whole(admission, received_at).await };
    let Some(clamp) = terms.clamp.as_ref().filter(|_| !is_promised) else {
        return Err(admission.refused(&refusal));
    };
    let bytes = Uint8Array::new(body).to_vec();
    for _ in 0..CLAMPED_TRIES {
        let limit = refusal.limit.as_ref().filter(|limit| limit.measure == Measure::Money);
        let Some(budget) = limit.map(|limit| limit.remaining) else { break };
        let price = |ask: &Ask| admission.price(ask, received_at);
        let newer = quote::knows_newer_length(&admission.quote.provider);
        let asked = (&**admission.ask(), &*admission.quote);
        let Some(clamped) = stop::clamp(asked, &bytes, price, budget, clamp.at_least, newer) else {
            break;
        };
        let ask = Rc::new(clamped.ask);
        let shorter = admission.with(ask.clone(), clamped.quote);
        match shorter.try_reserve(received_at).await? {
            Reserved::Attempt(attempt) => {
                let clamped = Some((clamped.body, clamped.length));
                return Ok(Held::By(Fit { attempt, ask, clamped }));
            }
            Reserved::Refused(refused) => refusal = refused,
            Reserved::Stale(now) => return Ok(Held::Stale(now)),
        }
    }
    Err(admission.refused(&refusal))
}

/// All of it or nothing.
async fn whole(admission: Admission, received_at: Timestamp) -> Result<Held<Fit>, Problem> {
    let ask = admission.ask().clone();
    match admission.try_reserve(received_at).await? {
        Reserved::Attempt(attempt) => Ok(Held::By(Fit { attempt, ask, clamped: None })),
        Reserved::Refused(refusal) => Err(admission.refused(&refusal)),
        Reserved::Stale(now) => Ok(Held::Stale(now)),
    }
}

/// The request with a hold for its whole input and the beginning of its answer; `None` where that
/// is the whole of it.
fn in_part(admission: &Admission, part: &Part, at: Timestamp) -> Option<(Admission, Room)> {
    let most = admission.quote.output_tokens.upper.to_u64()?;
    let room = Room { admission: admission.clone(), at, most, ahead: part.ahead };
    let first = room.quote(part.ahead)?;
    let covered = first.output_tokens.upper.to_u64()?;
    (covered < most).then(|| (admission.with_quote(first), room))
}

/// Tells the client what was made of its request.
pub fn tell(
    headers: &web_sys::Headers,
    unheld: Option<&Unheld>,
    clamped: Option<u64>,
) -> Result<(), Problem> {
    let set = |name: &str, value: &str| headers.set(name, value).map_err(|error| internal(&error));
    if let Some(length) = clamped {
        set("x-farebox-clamped", &format!("max_tokens={length}"))?;
    }
    if let Some(unheld) = unheld {
        set("x-farebox-unreserved", unheld.stated())?;
    }
    Ok(())
}
