//! A ledger's refusal, in words and numbers.

use serde_json::{Value, json};

use super::{Code, Problem, RATE_WAIT_MAX, invalid_key, limit_headers};
use crate::ledger::{
    Earlier, Forbidden, LimitView, Measure, OUTCOMES_MAX, Refusal, RefusalCode, Standing,
};
use crate::money::Exact;

/// What the edge knows of the request that was refused.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// How many output tokens would still fit.
    pub affordable: Option<Exact>,
    /// Where the customer's dashboard is.
    pub dashboard: &'a str,
    /// The header that carries the tag, where the operator named one.
    pub tag_header: Option<&'a str>,
}

/// A ledger's refusal as a problem.
pub fn refused(refusal: &Refusal, asked: &Asked<'_>) -> Problem {
    match &refusal.limit {
        Some(limit) => by_limit(refusal, limit, asked),
        None => by_rule(refusal, asked),
    }
}

/// Refused by something other than an amount.
fn by_rule(refusal: &Refusal, asked: &Asked<'_>) -> Problem {
    let earlier = refusal.earlier.as_ref();
    let (code, message): (Code, String) = match refusal.code {
        RefusalCode::InvalidKey => return invalid_key(),
        RefusalCode::KeyDisabled => (
            Code::KeyDisabled,
            "This API key was revoked. Ask whoever gave it to you for a new one.".into(),
        ),
        RefusalCode::KeyExpired => (
            Code::KeyDisabled,
            "This API key has expired. Ask whoever gave it to you for a new one.".into(),
        ),
        RefusalCode::KeyFrozen => (
            Code::Forbidden,
            "This API key is frozen: nothing new may begin with it. Ask whoever gave it to you."
                .into(),
        ),
        RefusalCode::CustomerFrozen => (
            Code::Forbidden,
            "This account is frozen: nothing new may begin. Ask whoever runs this service.".into(),
        ),
        RefusalCode::CurrencyMismatch => (
            Code::Misconfigured,
            "The price book and this account use different currencies. The operator of this \
             service has to mend that."
                .into(),
        ),
        RefusalCode::AmountOutOfRange => (
            Code::InvalidRequest,
            "The request's worst-case cost is too large to be computed exactly. Lower max_tokens \
             or n."
                .into(),
        ),
        RefusalCode::NotInPlan => {
            (Code::NotInPlan, not_allowed("Your plan does not include", refusal))
        }
        RefusalCode::KeyForbids => {
            (Code::Forbidden, not_allowed("This API key may not be used for", refusal))
        }
        RefusalCode::NotUnderPlan => (
            Code::NotInPlan,
            "This account pays by a plan or from credit, and what this request was priced by is the \
             price book alone. Send it without a signed quote; upload a batch's file again."
                .into(),
        ),
        RefusalCode::NoPriceInPlan => (
            Code::ModelNotPriced,
            "The customer's plan has no price for what this request may use. The operator of this \
             service can add it."
                .into(),
        ),
        RefusalCode::TooManyOutcomes => (
            Code::InFlightBudgetExhausted,
            format!(
                "At most {OUTCOMES_MAX} outcomes of one account may wait to be confirmed or \
                 reversed, and with those of this request there would be more. They are decided \
                 by the operator of this service, or by time. Retry when some are; split a batch \
                 that is larger."
            ),
        ),
        RefusalCode::TagRequired => (Code::InvalidRequest, tag_required(asked)),
        RefusalCode::EndUserRequired => (
            Code::InvalidRequest,
            "This account's limits are for each end user: name yours in the request, in the field \
             that the API has for it (`user`, `metadata.user_id`)."
                .into(),
        ),
        RefusalCode::RequestInProgress => (
            Code::RequestInProgress,
            "The same request, by its Idempotency-Key, is running. Its answer goes to whoever \
             asked first."
                .into(),
        ),
        RefusalCode::RequestCompleted => (Code::RequestCompleted, completed(refusal)),
        RefusalCode::IdempotencyKeyReused => (
            Code::IdempotencyKeyReused,
            "This Idempotency-Key was used for another request. Use a new one for each.".into(),
        ),
        RefusalCode::AttemptConflict
        | RefusalCode::RequestExceedsLimit
        | RefusalCode::SpendLimitExceeded
        | RefusalCode::RateLimitExceeded
        | RefusalCode::InFlightBudgetExhausted => {
            (Code::InternalError, "The attempt could not be registered. Retry.".into())
        }
    };
    let mut problem = Problem::new(code, message);
    problem.details = earlier.map(earlier_details).or_else(|| forbidden_details(refusal));
    problem
}

fn not_allowed(what: &str, refusal: &Refusal) -> String {
    match &refusal.forbidden {
        Some(Forbidden { what: kind, name }) => format!("{what} the {kind} {name:?}."),
        None => format!("{what} this request."),
    }
}

fn tag_required(asked: &Asked<'_>) -> String {
    match asked.tag_header {
        Some(header) => {
            format!("This account's limits are for each tag: send one in the header {header}.")
        }
        None => "This account's limits are for each tag, but this service names no header for it. \
                 Its operator has to mend that."
            .into(),
    }
}

fn completed(refusal: &Refusal) -> String {
    let charged = refusal.earlier.as_ref().and_then(|earlier| earlier.charged);
    let cost = match charged {
        Some(charged) => format!(" It was charged {charged} {}.", refusal.currency),
        None => String::new(),
    };
    format!(
        "The same request, by its Idempotency-Key, is over.{cost} Answers are not kept: use a new \
         key to ask again."
    )
}

fn earlier_details(earlier: &Earlier) -> Value {
    let Earlier { attempt_id, request_id, charged } = earlier;
    json!({ "attempt_id": attempt_id, "request_id": request_id, "cost": charged })
}

fn forbidden_details(refusal: &Refusal) -> Option<Value> {
    let Forbidden { what, name } = refusal.forbidden.as_ref()?;
    Some(json!({ what.as_str(): name }))
}

/// Refused by a limit.
fn by_limit(refusal: &Refusal, limit: &LimitView, asked: &Asked<'_>) -> Problem {
    let code = match refusal.code {
        RefusalCode::RequestExceedsLimit => Code::RequestExceedsLimit,
        RefusalCode::RateLimitExceeded => Code::RateLimitExceeded,
        RefusalCode::InFlightBudgetExhausted => Code::InFlightBudgetExhausted,
        _ => Code::SpendLimitExceeded,
    };
    let affordable = asked.affordable;
    let mut problem = Problem::new(code, sentence(code, limit, refusal.needed, affordable));
    let mut details = json!({
        "scope": limit.scope, "limit_id": limit.id, "owner": limit.owner,
        "measure": limit.measure, "window": limit.window, "limit": limit.limit,
        "spent": limit.settled, "held": limit.held, "needed": refusal.needed,
        "remaining": limit.remaining, "unit": limit.unit, "resets_at": limit.resets_at,
        "dashboard_url": asked.dashboard,
    });
    if let Some(details) = details.as_object_mut() {
        if limit.measure == Measure::Money {
            // A plan's credits have a unit of their own.
            details.insert("currency".into(), json!(limit.unit));
        }
        if let Some(value) = &limit.value {
            details.insert("value".into(), json!(value));
        }
        if let Some(tokens) = affordable {
            details.insert("affordable_max_tokens".into(), json!(tokens));
        }
    }
    problem.details = Some(details);
    if code == Code::RateLimitExceeded {
        let seconds = refusal.reset_seconds.and_then(|seconds| u32::try_from(seconds).ok());
        problem.retry_after = Some(seconds.unwrap_or(RATE_WAIT_MAX).clamp(1, RATE_WAIT_MAX));
    }
    problem.headers = headers(refusal, limit);
    problem
}

/// The fields of the limit that stands in the way.
fn headers(refusal: &Refusal, limit: &LimitView) -> Vec<(&'static str, String)> {
    let is_told = match limit.measure {
        Measure::Money => limit.unit == refusal.currency,
        Measure::Requests => limit.unit == "requests",
        Measure::Tokens | Measure::Concurrency => true,
    };
    if !is_told {
        // The fields have no words for a plan's credits and meters.
        return Vec::new();
    }
    let length = limit.resets_at.map(|end| end.since(limit.window_start).div_ceil(1_000));
    let standing = [Standing {
        id: limit.id.clone(),
        measure: limit.measure,
        limit: limit.limit,
        remaining: limit.remaining,
        window_seconds: length,
        reset_seconds: refusal.reset_seconds,
    }];
    limit_headers(&standing, &refusal.currency)
}

fn sentence(code: Code, limit: &LimitView, needed: Exact, affordable: Option<Exact>) -> String {
    let LimitView { id, limit: most, settled, held, unit, .. } = limit;
    let whose = match &limit.value {
        Some(value) => format!(" for {} {value:?}", limit.scope.as_str().replace('_', " ")),
        None => String::new(),
    };
    let (spent, may) = match limit.measure {
        Measure::Money => ("spent", "may cost up to"),
        _ => ("used", "may use up to"),
    };
    let numbers = format!(
        "limit \"{id}\"{whose} is {most} {unit}, {settled} is {spent} and {held} is held for \
         running requests; this request {may} {needed} {unit}"
    );
    let until = match limit.resets_at {
        Some(at) => format!("The limit starts anew at {at}."),
        None => "The limit does not reset by itself.".to_owned(),
    };
    let lower = match affordable.and_then(Exact::to_u64) {
        Some(tokens) if tokens > 0 => format!(" It would fit with max_tokens {tokens}."),
        _ => String::new(),
    };
    match code {
        Code::RequestExceedsLimit => {
            format!("This request can never fit: {numbers}.{lower} Or ask for a higher limit.")
        }
        Code::InFlightBudgetExhausted => {
            format!("Too much is running at once: {numbers}. Retry when a running request is done.")
        }
        Code::RateLimitExceeded => format!("Too much in too short a time: {numbers}. {until}"),
        _ if limit.measure == Measure::Money => {
            format!("The spend limit is reached: {numbers}.{lower} {until}")
        }
        _ => format!("The limit is reached: {numbers}.{lower} {until}"),
    }
}
