//! Whether a request may run: whose it is, what it can cost, and the hold for it.

use std::rc::Rc;

use super::attempt::Attempt;
use super::books::{self, InUse};
use super::config::Config;
use super::http::{Incoming, api_key, internal};
use super::ledger_call::LedgerClient;
use super::own_keys;
use super::upstream::Upstream;
use super::{fail_open, js};
use crate::api::{self, Code, Problem};
use crate::auth::ApiKey;
use crate::book::{Book, InForce, Situation};
use crate::clock::Timestamp;
use crate::ids::{AttemptId, Id, Name, RequestId};
use crate::ledger::{
    Command, Measure, Once, Pinned, Refusal, Reply, Reserve, Scopes, Standing, VALUE_MAX,
};
use crate::money::Exact;
use crate::quote::{self, Quote, Unpriced, Worst};
use crate::record::{Admitted, Digest};
use crate::stop::OnLeave;
use crate::wire::request::{Ask, BadRequest};
use crate::wire::route::{Endpoint, Route};

/// Whose request it is; whether the key is in force, the ledger knows.
pub async fn authenticate(incoming: &Incoming, config: &Config) -> Result<ApiKey, Problem> {
    let text = api_key(incoming)?.ok_or_else(api::invalid_key)?;
    key_of(incoming, config, &text).await
}

/// Whose key a text is: one of ours says so itself, the operator's own are looked up.
pub async fn key_of(incoming: &Incoming, config: &Config, text: &str) -> Result<ApiKey, Problem> {
    let key = if config.own_keys && !text.starts_with("fb_") {
        own_keys::resolve(&incoming.env, text).await?
    } else {
        ApiKey::verify(text, &config.keys).map_err(|_| api::invalid_key())?
    };
    if config.upstreams.values().any(|upstream| upstream.is_opened_by(text)) {
        let message = "This gateway has been asked by itself: an upstream's `url` in FAREBOX_UPSTREAMS leads \
                       back here. Set it to the provider's own address.";
        return Err(Problem::new(Code::LoopDetected, message));
    }
    Ok(key)
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
    book: &Book,
    at: Timestamp,
) -> Result<(Quote, Pinned, &'a Upstream), Problem> {
    let unpriced = |why: Unpriced| api::unpriced(&why, &ask.model);
    let model = book.sold(&ask.model).ok_or_else(|| unpriced(Unpriced::Model))?;
    let upstream = config.upstreams.get(&model.provider).ok_or_else(|| {
        let message = format!("The model {:?} has no upstream configured here.", ask.model);
        Problem { param: Some("model"), ..Problem::new(Code::ModelNotPriced, message) }
    })?;
    upstream.check(ask, &model.provider)?;
    let region = upstream.region.as_deref();
    let situation = Situation { at: Some(at), region, ..quote::situation(ask) };
    let quote = quote::quote_model(ask, book, model, &situation).map_err(unpriced)?;
    let card = model.card(&situation).ok_or_else(|| unpriced(Unpriced::NotInForce))?.to_card();
    let card = if ask.free { crate::book::Card::default() } else { card };
    let pinned = Pinned {
        provider: model.provider.clone(),
        upstream: model.provider.clone(),
        rates: card.rates,
        tiers: card.tiers,
        context: card.context,
        cost: model.cost.clone(),
        below_margin: quote.margin.is_some_and(|margin| margin.alert),
        input_least: ask.input_least,
    };
    Ok((quote, pinned, upstream))
}

/// A request that is refused for what it holds.
pub fn bad_request(bad: BadRequest) -> Problem {
    Problem { param: bad.param, ..Problem::new(Code::InvalidRequest, bad.message) }
}

/// The tag a request carries, in the header that the operator named.
fn tag(incoming: &Incoming, config: &Config) -> Result<Option<String>, Problem> {
    let Some(header) = &config.tag_header else { return Ok(None) };
    let Some(tag) = incoming.header(header).filter(|tag| !tag.is_empty()) else { return Ok(None) };
    if tag.len() > VALUE_MAX {
        let message = format!("The tag in the header {header} is longer than {VALUE_MAX} bytes.");
        return Err(Problem::new(Code::InvalidRequest, message));
    }
    Ok(Some(tag))
}

/// Longest `Idempotency-Key` of a client, as elsewhere.
const ONCE_BYTES_MAX: usize = 255;

/// The client's own name for a request, where it sent one, and what was asked for, as digests.
pub fn once(incoming: &Incoming, body: &[u8]) -> Result<Option<Once>, Problem> {
    let Some(key) = incoming.header("idempotency-key").filter(|key| !key.is_empty()) else {
        return Ok(None);
    };
    if key.len() > ONCE_BYTES_MAX {
        let message = format!("An Idempotency-Key has at most {ONCE_BYTES_MAX} bytes.");
        return Err(Problem::new(Code::InvalidRequest, message));
    }
    let (path, query) = (incoming.path(), incoming.query());
    let asked = Digest::of(&[path.as_bytes(), b"?", query.as_bytes(), b"\n", body]);
    Ok(Some(Once { key: Digest::of(&[key.as_bytes()]), body: asked }))
}

/// What every attempt of one request is admitted by.
#[derive(Clone)]
pub struct Admission {
    incoming: Incoming,
    ledger: LedgerClient,
    pub config: Rc<Config>,
    pub quote: Rc<Quote>,
    /// The book it is priced by.
    book: Rc<Book>,
    pinned: Pinned,
    /// Where it is served, where that makes a price.
    region: Option<String>,
    ask: Rc<Ask>,
    key: ApiKey,
    /// The route, as records name it.
    endpoint: String,
    request_id: Option<RequestId>,
    scopes: Scopes,
    /// The client's own name for the request.
    once: Option<Once>,
    /// By which activation of a book it is priced.
    in_force: Option<InForce>,
    /// Where the customer's dashboard is.
    dashboard: String,
}

/// A request that may run.
pub struct Entered<'a, T> {
    pub admission: Admission,
    pub attempt: Attempt,
    pub upstream: &'a Upstream,
    /// What was made ready for the upstream before the hold.
    pub ready: T,
}

/// Whose request of what.
pub struct Caller<'a> {
    pub incoming: &'a Incoming,
    pub route: &'a Route<'a>,
    pub key: ApiKey,
    pub ask: Rc<Ask>,
    /// The client's own name for it: it is run once only.
    pub once: Option<Once>,
    pub received_at: Timestamp,
}

/// What a request is admitted by.
pub struct Priced<'a, T> {
    pub quote: Quote,
    pub pinned: Pinned,
    pub upstream: &'a Upstream,
    /// What was made ready for the upstream before the hold.
    pub ready: T,
}

/// Prices a request by the book in force, and makes its first hold. What can fail before the request
/// is forwarded is done in `prepare`, before the hold.
pub async fn enter<'a, T>(
    caller: &Caller<'_>,
    config: &'a Rc<Config>,
    prepare: impl Fn(&Upstream) -> Result<T, Problem>,
) -> Result<Entered<'a, T>, Problem> {
    let priced = |book: &Book| {
        let (quote, pinned, upstream) = price(&caller.ask, config, book, caller.received_at)?;
        Ok(Priced { quote, pinned, upstream, ready: prepare(upstream)? })
    };
    enter_at(caller, config, priced).await
}

/// The same for what has a price of its own making.
pub async fn enter_at<'a, T>(
    caller: &Caller<'_>,
    config: &Rc<Config>,
    priced: impl Fn(&Book) -> Result<Priced<'a, T>, Problem>,
) -> Result<Entered<'a, T>, Problem> {
    let whole = async |admission: Admission| match admission.try_reserve(caller.received_at).await?
    {
        Reserved::Attempt(attempt) => Ok(Held::By((admission, attempt))),
        Reserved::Refused(refusal) => Err(admission.refused(&refusal)),
        Reserved::Stale(now) => Ok(Held::Stale(now)),
    };
    let ((admission, attempt), upstream, ready) = enter_by(caller, config, priced, whole).await?;
    Ok(Entered { admission, attempt, upstream, ready })
}

/// The same where `hold` makes the hold. Where the ledger's clock or memory says that another book
/// is in force, the request is priced anew by that one, once.
pub async fn enter_by<'a, T, H>(
    caller: &Caller<'_>,
    config: &Rc<Config>,
    priced: impl Fn(&Book) -> Result<Priced<'a, T>, Problem>,
    hold: impl AsyncFn(Admission) -> Result<Held<H>, Problem>,
) -> Result<(H, &'a Upstream, T), Problem> {
    let mut in_use = books::current(caller.incoming).await?;
    for is_last in [false, true] {
        let Priced { quote, pinned, upstream, ready } = priced(&in_use.book)?;
        let region = upstream.region.clone();
        let admission = Admission::new(caller, config.clone(), &in_use, quote, pinned, region)?;
        match hold(admission).await? {
            Held::By(held) => return Ok((held, upstream, ready)),
            Held::Stale(now) if !is_last => {
                in_use = books::reload(caller.incoming, &in_use, now).await?;
            }
            Held::Stale(_) => {}
        }
    }
    js::log(&format!("request {}: its prices are not in force, by the ledger", caller.incoming.id));
    let message = "The prices are changing, and this part of the gateway has not heard of the \
                   newest yet. Retry shortly.";
    Err(Problem::new(Code::MeteringUnavailable, message))
}

/// What came of holding for a request in one way or another.
pub enum Held<H> {
    By(H),
    /// Its prices are not in force, by the ledger's clock.
    Stale(Timestamp),
}

/// What came of asking for one hold.
pub enum Reserved {
    Attempt(Attempt),
    /// By a limit; that need not be the last word.
    Refused(Box<Refusal>),
    /// Its prices are not in force, by the ledger's clock.
    Stale(Timestamp),
}

/// Tokens that a request may use in all.
fn most_tokens(quote: &Quote) -> Option<Exact> {
    quote.input_tokens.upper.plus(quote.output_tokens.upper).ok()
}

impl Admission {
    fn new(
        caller: &Caller<'_>,
        config: Rc<Config>,
        in_use: &InUse,
        quote: Quote,
        pinned: Pinned,
        region: Option<String>,
    ) -> Result<Self, Problem> {
        let Caller { incoming, route, key, ask, once, .. } = caller;
        if pinned.below_margin {
            js::log(&format!("request {}: sold below the guarded margin", incoming.id));
        }
        let scopes = Scopes {
            model: Some(quote.model.clone()),
            tag: tag(incoming, &config)?,
            tokens: most_tokens(&quote),
        };
        Ok(Self {
            scopes,
            once: *once,
            in_force: Some(in_use.in_force),
            incoming: (*incoming).clone(),
            ledger: LedgerClient::new(&incoming.env, key.customer.clone())?,
            config,
            quote: Rc::new(quote),
            book: in_use.book.clone(),
            pinned,
            region,
            ask: ask.clone(),
            key: key.clone(),
            endpoint: route.pattern(),
            request_id: incoming.id.parse().ok(),
            dashboard: incoming.origin().to_owned(),
        })
    }

    pub fn ask(&self) -> &Rc<Ask> {
        &self.ask
    }

    pub fn customer(&self) -> &Name {
        &self.key.customer
    }

    /// The same request, held for otherwise. The tokens of its worst case stay counted.
    pub fn with_quote(&self, quote: Quote) -> Self {
        Self { quote: Rc::new(quote), ..self.clone() }
    }

    /// The same request, asked otherwise.
    pub fn with(&self, ask: Rc<Ask>, quote: Quote) -> Self {
        let scopes = Scopes { tokens: most_tokens(&quote), ..self.scopes.clone() };
        Self { ask, scopes, ..self.with_quote(quote) }
    }

    /// What `ask` costs at most, by the prices of the request's own time.
    pub fn price(&self, ask: &Ask, at: Timestamp) -> Result<Quote, Unpriced> {
        let model = self.book.sold(&ask.model).ok_or(Unpriced::Model)?;
        let region = self.region.as_deref();
        let situation = Situation { at: Some(at), region, ..quote::situation(ask) };
        quote::quote_model(ask, &self.book, model, &situation)
    }

    /// The same request, held for what another model of the same provider does beside it, once.
    pub fn beside(&self, ask: &Ask, at: Timestamp) -> Result<Self, Unpriced> {
        let provider = self.quote.provider.clone();
        let model = self.book.find(Some(&provider), &ask.model).ok_or(Unpriced::Model)?;
        let region = self.region.as_deref();
        let situation = Situation { at: Some(at), region, ..quote::situation(ask) };
        let priced = quote::quote_model(ask, &self.book, model, &situation)?;
        let quote = Quote { model: self.quote.model.clone(), provider, ..priced };
        let scopes = Scopes { tokens: most_tokens(&quote), ..self.scopes.clone() };
        Ok(Self { scopes, ..self.with_quote(quote) })
    }

    /// The same request, held at nothing, which no limit on money refuses: what is charged under
    /// such a hold is flagged as above it.
    pub fn at_nothing(&self) -> Self {
        let (lower, upper, worst) = (Exact::ZERO, Exact::ZERO, Vec::new());
        let quote = Quote { lower, upper, worst, ..(*self.quote).clone() };
        let scopes = Scopes { tokens: Some(Exact::ZERO), ..self.scopes.clone() };
        Self { scopes, ..self.with_quote(quote) }
    }

    /// Makes the hold of one more attempt, at the prices of the first.
    pub async fn reserve(&self, received_at: Timestamp) -> Result<Attempt, Problem> {
        let again = Self { in_force: None, ..self.clone() };
        match again.try_reserve(received_at).await? {
            Reserved::Attempt(attempt) => Ok(attempt),
            Reserved::Refused(refusal) => Err(self.refused(&refusal)),
            Reserved::Stale(_) => Err(internal(&"stale without a version".into())),
        }
    }

    /// Makes the hold of one attempt, for its worst case.
    pub async fn try_reserve(&self, received_at: Timestamp) -> Result<Reserved, Problem> {
        let id: AttemptId = Id::new(js::now(), js::random());
        let reserve = Reserve {
            attempt_id: id,
            request_id: self.request_id.unwrap_or(id),
            secret_sha256: self.key.secret_sha256(),
            admitted: self.admitted(received_at),
            floor: self.quote.lower.min(self.quote.upper),
            pinned: self.pinned.clone(),
            worst: Some(Worst {
                model: self.quote.model.clone(),
                most: self.quote.worst.clone(),
                batch: self.quote.batch.clone(),
            }),
            in_force: self.in_force,
            end_user: self.ask.end_user.clone(),
            scopes: self.scopes.clone(),
            once: self.once,
            again: false,
        };
        let command = Command::Reserve(Box::new(reserve));
        let reply = match self.ledger.ask(&command).await {
            Ok(reply) => reply,
            Err(problem) => {
                return self.without_ledger(id, command, problem).map(Reserved::Attempt);
            }
        };
        fail_open::book_owed(&self.incoming);
        match reply {
            Reply::Held { standings, .. } => Ok(Reserved::Attempt(self.attempt(id, &standings))),
            Reply::StalePrice { now } => Ok(Reserved::Stale(now)),
            Reply::Refused(refusal) => Ok(Reserved::Refused(refusal)),
            other => Err(internal(&format!("reserve answered {other:?}").into())),
        }
    }

    /// How many output tokens of each choice would fit what is left of the limit in the way.
    fn affordable(&self, refusal: &Refusal) -> Option<Exact> {
        let limit = refusal.limit.as_ref()?;
        // A session's turns are not sized by its client.
        if self.ask.endpoint == Endpoint::Realtime {
            return None;
        }
        let total = match limit.measure {
            // Under a plan the book's price of a token says nothing.
            Measure::Money if refusal.needed != self.quote.upper => return None,
            Measure::Money => self.quote.affordable_output(limit.remaining)?,
            Measure::Tokens => {
                let left = limit.remaining.minus(self.quote.input_tokens.upper).ok()?;
                left.min(self.quote.output_tokens.upper).max(Exact::ZERO)
            }
            Measure::Requests | Measure::Concurrency => return None,
        };
        total.whole_times(Exact::from(self.ask.choices)).ok()
    }

    fn attempt(&self, id: AttemptId, standings: &[Standing]) -> Attempt {
        let terms = self.config.policy.terms(self.customer());
        Attempt {
            id,
            ledger: self.ledger.clone(),
            config: self.config.clone(),
            quote: self.quote.clone(),
            book: self.book.clone(),
            limits: Rc::new(api::limit_headers(standings, &self.quote.currency)),
            drains: terms.on_leave == OnLeave::Drain,
            reasons: self.ask.features.contains(&"reasoning"),
            room: None,
            unheld: None,
        }
    }

    /// The ledger did not answer: the attempt runs by the operator's allowance, or not at all. The
    /// hold may have been made all the same, and only its answer lost; then it is released.
    fn without_ledger(
        &self,
        id: AttemptId,
        command: Command,
        problem: Problem,
    ) -> Result<Attempt, Problem> {
        let attempt = self.attempt(id, &[]);
        // A session needs the ledger for every turn, a job for its name.
        let is_one_answer = self.ask.endpoint != Endpoint::Realtime && !self.ask.job;
        if let Command::Reserve(reserve) = command
            && is_one_answer
            && let terms = self.config.fail_open.as_ref()
            && let Some(unheld) = fail_open::allow(terms, self.customer(), &reserve)
        {
            return Ok(Attempt { unheld: Some(Rc::new(unheld)), ..attempt });
        }
        self.incoming.keep(async move { attempt.release_unknown().await });
        Err(problem)
    }

    /// A refusal by a limit, in words.
    pub fn refused(&self, refusal: &Refusal) -> Problem {
        let asked = api::Asked {
            affordable: self.affordable(refusal),
            dashboard: &self.dashboard,
            tag_header: self.config.tag_header.as_deref(),
        };
        api::refused(refusal, &asked)
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
            region: self.region.clone(),
            end_user: None,
            book_version: quote.book_version.clone(),
            currency: quote.currency.clone(),
            held: quote.upper,
        }
    }
}
