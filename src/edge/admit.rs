//! Whether a request may run: whose it is, what it can cost, and the hold for it.

use std::rc::Rc;

use super::attempt::Attempt;
use super::config::Config;
use super::http::{Incoming, api_key, internal};
use super::js;
use super::ledger_call::LedgerClient;
use super::upstream::Upstream;
use crate::api::{self, Code, Problem};
use crate::auth::ApiKey;
use crate::book::Situation;
use crate::clock::Timestamp;
use crate::ids::{AttemptId, Id, RequestId};
use crate::ledger::{Command, Pinned, Reply, Reserve};
use crate::money::Exact;
use crate::quote::{self, Quote, Unpriced};
use crate::record::Admitted;
use crate::wire::request::{Ask, BadRequest};
use crate::wire::route::{Endpoint, Route};

/// Whose request it is; whether the key is in force, the ledger knows.
pub fn authenticate(incoming: &Incoming, config: &Config) -> Result<ApiKey, Problem> {
    let text = api_key(incoming)?.ok_or_else(api::invalid_key)?;
    ApiKey::verify(&text, &config.keys).map_err(|_| api::invalid_key())
}

/// The ledger of a key that is in force; for what costs nothing and so asks for no hold.
pub async fn ledger_of(incoming: &Incoming, key: &ApiKey) -> Result<LedgerClient, Problem> {
    let ledger = LedgerClient::new(&incoming.env, key.customer.clone())?;
    let (key_id, secret_sha256) = (key.key_id.clone(), key.secret_sha256());
    match ledger.ask(&Command::CheckKey { key_id, secret_sha256 }).await? {
        Reply::Done => Ok(ledger),
        _ => Err(api::invalid_key()),
    }
}

/// The worst case, the prices to pin, and where the request goes.
pub fn price<'a>(
    ask: &Ask,
    config: &'a Config,
    at: Timestamp,
) -> Result<(Quote, Pinned, &'a Upstream), Problem> {
    let unpriced = |why: Unpriced| api::unpriced(&why, &ask.model);
    let model = config.book.sold(&ask.model).ok_or_else(|| unpriced(Unpriced::Model))?;
    let upstream = config.upstreams.get(&model.provider).ok_or_else(|| {
        let message = format!("The model {:?} has no upstream configured here.", ask.model);
        Problem { param: Some("model"), ..Problem::new(Code::ModelNotPriced, message) }
    })?;
    ask.check_upstream(&model.provider, upstream.stored_inputs).map_err(bad_request)?;
    let quote = quote::quote_model(ask, &config.book, model, Some(at)).map_err(unpriced)?;
    let situation = Situation { at: Some(at), ..quote::situation(ask) };
    let card = model.card(&situation).ok_or_else(|| unpriced(Unpriced::NotInForce))?.to_card();
    let card = if ask.free { crate::book::Card::default() } else { card };
    let pinned = Pinned {
        provider: model.provider.clone(),
        upstream: model.provider.clone(),
        rates: card.rates,
        tiers: card.tiers,
        context: card.context,
        cost: model.cost.clone(),
        input_least: ask.input_least,
    };
    Ok((quote, pinned, upstream))
}

/// A request that is refused for what it holds.
pub fn bad_request(bad: BadRequest) -> Problem {
    Problem { param: bad.param, ..Problem::new(Code::InvalidRequest, bad.message) }
}

/// What every attempt of one request is admitted by.
pub struct Admission {
    ledger: LedgerClient,
    pub config: Rc<Config>,
    pub quote: Rc<Quote>,
    pinned: Pinned,
    ask: Rc<Ask>,
    key: ApiKey,
    /// The route, as records name it.
    endpoint: String,
    request_id: Option<RequestId>,
    /// Where the customer's dashboard is.
    dashboard: String,
}

impl Admission {
    pub fn new(
        incoming: &Incoming,
        route: &Route<'_>,
        key: ApiKey,
        ask: Rc<Ask>,
        config: Rc<Config>,
        (quote, pinned): (Quote, Pinned),
    ) -> Result<Self, Problem> {
        Ok(Self {
            ledger: LedgerClient::new(&incoming.env, key.customer.clone())?,
            config,
            quote: Rc::new(quote),
            pinned,
            ask,
            key,
            endpoint: route.pattern(),
            request_id: incoming.id.parse().ok(),
            dashboard: incoming.origin().to_owned(),
        })
    }

    /// Makes the hold of one attempt, for its worst case.
    pub async fn reserve(&self, received_at: Timestamp) -> Result<Attempt, Problem> {
        self.reserve_of(received_at, self.quote.upper).await
    }

    /// Makes a hold of this amount. One of nothing is refused by no limit: what is charged under it
    /// is flagged as above its hold.
    pub async fn reserve_of(
        &self,
        received_at: Timestamp,
        amount: Exact,
    ) -> Result<Attempt, Problem> {
        let id: AttemptId = Id::new(js::now(), js::random());
        let reserve = Reserve {
            attempt_id: id,
            request_id: self.request_id.unwrap_or(id),
            secret_sha256: self.key.secret_sha256(),
            admitted: Admitted { held: amount, ..self.admitted(received_at) },
            floor: self.quote.lower.min(amount),
            pinned: self.pinned.clone(),
            end_user: self.ask.end_user.clone(),
            again: false,
        };
        match self.ledger.ask(&Command::Reserve(Box::new(reserve))).await? {
            Reply::Held { .. } => Ok(Attempt {
                id,
                ledger: self.ledger.clone(),
                config: self.config.clone(),
                quote: self.quote.clone(),
            }),
            Reply::Refused(refusal) => {
                let budget = refusal.limit.as_ref().map(|limit| limit.remaining);
                // A session's turns are not sized by its client.
                let budget = budget.filter(|_| self.ask.endpoint != Endpoint::Realtime);
                let total = budget.and_then(|budget| self.quote.affordable_output(budget));
                let choices = Exact::from(self.ask.choices);
                let each = total.and_then(|total| total.whole_times(choices).ok());
                Err(api::refused(&refusal, each, &self.dashboard))
            }
            other => Err(internal(&format!("reserve answered {other:?}").into())),
        }
    }

    fn admitted(&self, received_at: Timestamp) -> Admitted {
        let Self { ask, key, quote, .. } = self;
        Admitted {
            key_id: key.key_id.clone(),
            mode: key.mode,
            received_at,
            endpoint: self.endpoint.clone(),
            model: ask.model.clone(),
            stream: ask.stream,
            features: ask.features.iter().map(ToString::to_string).collect(),
            service_tier: ask.service_tier.clone(),
            end_user: None,
            book_version: quote.book_version.clone(),
            currency: quote.currency.clone(),
            held: quote.upper,
        }
    }
}
