//! A record as far as a what-if needs it, read in passing: a million of them are read in seconds.

use std::borrow::Cow;

use super::Attempt;
use crate::clock::Timestamp;
use crate::money::Exact;
use crate::record::{Class, Quantity};
use crate::wire::usage::{Meter, Provenance, Usage};

/// What counts of a record; a borrowed [`Attempt`].
#[derive(PartialEq)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct Slim<'a> {
    pub customer: Cow<'a, str>,
    pub seq: u64,
    pub corrects: Option<u64>,
    pub class: Class,
    pub model: Cow<'a, str>,
    pub received_at: Timestamp,
    pub region: Option<Cow<'a, str>>,
    pub served_tier: Option<Cow<'a, str>>,
    pub currency: Cow<'a, str>,
    pub endpoint: Option<Cow<'a, str>>,
    pub key: Option<Cow<'a, str>>,
    pub usage: Usage,
    /// What was charged, meter by meter.
    pub lines: Vec<(Meter, Exact)>,
    /// What was charged in all: a correction's amount is a difference, and `previous` its rest.
    pub charged: Exact,
    /// It is an outcome's: what was used for that is on another record.
    pub is_outcome: bool,
}

impl<'a> Slim<'a> {
    /// The same of a record that was read whole.
    pub fn of(attempt: &'a Attempt) -> Option<Self> {
        let charged = attempt.charged().ok()?;
        Some(Self {
            customer: Cow::Borrowed(&attempt.customer),
            seq: attempt.seq,
            corrects: attempt.corrects,
            class: attempt.class,
            model: Cow::Borrowed(&attempt.model),
            received_at: attempt.received_at,
            region: attempt.region.as_deref().map(Cow::Borrowed),
            served_tier: attempt.served_tier.as_deref().map(Cow::Borrowed),
            currency: Cow::Borrowed(&attempt.currency),
            endpoint: attempt.endpoint.as_deref().map(Cow::Borrowed),
            key: attempt.key_id.as_deref().map(Cow::Borrowed),
            usage: reported(&attempt.quantities),
            lines: charged.lines.iter().map(|line| (line.meter, line.amount)).collect(),
            charged: charged.amount,
            is_outcome: attempt.outcome_of.is_some(),
        })
    }
}

/// Who said so makes no difference to the price.
fn reported(quantities: &[Quantity]) -> Usage {
    let mut usage = Usage::default();
    for quantity in quantities {
        usage.set(quantity.meter, quantity.quantity, Provenance::Reported);
    }
    usage
}

/// What a place in a record's text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing that is wanted.
    Passed,
    /// The same, but a number in quotes.
    Number,
    Customer,
    Seq,
    Corrects,
    Class,
    Model,
    ReceivedAt,
    Region,
    ServedTier,
    Currency,
    Endpoint,
    Key,
    Amount,
    Previous,
    /// How much was used.
    Quantity(Meter),
    /// What was charged for it.
    Line(Meter),
}

impl Role {
    /// Written without quotes.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Seq | Self::Corrects)
    }
}

/// What was found of a record so far.
#[derive(Default)]
pub(super) struct Found<'a> {
    customer: Option<&'a str>,
    seq: Option<u64>,
    corrects: Option<u64>,
    class: Option<Class>,
    model: Option<&'a str>,
    received_at: Option<Timestamp>,
    region: Option<&'a str>,
    served_tier: Option<&'a str>,
    currency: Option<&'a str>,
    endpoint: Option<&'a str>,
    key: Option<&'a str>,
    usage: Usage,
    lines: Vec<(Meter, Exact)>,
    amount: Option<Exact>,
    previous: Option<Exact>,
}

impl<'a> Found<'a> {
    /// Takes the text at a place; `None` where it is not what it should be.
    pub fn take(&mut self, role: Role, text: &'a str) -> Option<()> {
        match role {
            Role::Passed => {}
            Role::Number => drop(text.parse::<Exact>().ok()?),
            Role::Customer => self.customer = Some(text),
            Role::Seq => self.seq = Some(text.parse().ok()?),
            Role::Corrects => self.corrects = Some(text.parse().ok()?),
            Role::Class => self.class = Some(class(text)?),
            Role::Model => self.model = Some(text),
            Role::ReceivedAt => self.received_at = Some(text.parse().ok()?),
            Role::Region => self.region = Some(text),
            Role::ServedTier => self.served_tier = Some(text),
            Role::Currency => self.currency = Some(text),
            Role::Endpoint => self.endpoint = Some(text),
            Role::Key => self.key = Some(text),
            Role::Amount => self.amount = Some(text.parse().ok()?),
            Role::Previous => self.previous = Some(text.parse().ok()?),
            Role::Quantity(meter) => {
                self.usage.set(meter, text.parse().ok()?, Provenance::Reported);
            }
            Role::Line(meter) => self.lines.push((meter, text.parse().ok()?)),
        }
        Some(())
    }

    /// The record, if all that it needs was there.
    pub fn whole(self) -> Option<Slim<'a>> {
        let amount = self.amount?;
        Some(Slim {
            customer: Cow::Borrowed(self.customer?),
            seq: self.seq?,
            corrects: self.corrects,
            class: self.class?,
            model: Cow::Borrowed(self.model?),
            received_at: self.received_at?,
            region: self.region.map(Cow::Borrowed),
            served_tier: self.served_tier.map(Cow::Borrowed),
            currency: Cow::Borrowed(self.currency?),
            endpoint: self.endpoint.map(Cow::Borrowed),
            key: self.key.map(Cow::Borrowed),
            usage: self.usage,
            lines: self.lines,
            charged: match self.previous {
                Some(previous) => amount.plus(previous).ok()?,
                None => amount,
            },
            is_outcome: false,
        })
    }
}

fn class(text: &str) -> Option<Class> {
    Some(match text {
        "settled" => Class::Settled,
        "voided" => Class::Voided,
        "unresolved" => Class::Unresolved,
        _ => return None,
    })
}
