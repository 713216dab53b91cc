//! What a ledger holds in memory, and how it is rebuilt from storage.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::SWEEP_MAX;
use super::access::{Allows, KeyState};
use super::alerts::{Alerts, LoadedAlerts};
use super::apply::{Broken, outcome_id};
use super::batch::BatchCommand;
use super::command::{Command, Pinned, Prior, Reserve, Row, Scopes};
use super::limits::{Hour, LimitRule, Limits, Need, Party, PartyRows, Scope, Tally};
use super::refusals::Refusals;
use super::status::RefusalCode;
use super::terms::{Contracts, HeldTerms, LoadedTerms};
use crate::book::InForce;
use crate::clock::Timestamp;
use crate::ids::{AttemptId, Name, RequestId};
use crate::money::{Exact, OutOfRange};
use crate::record::{Admitted, Digest};

const HOUR_MS: i64 = 3_600_000;

/// How old a request is at least whose reserve arrives after another try of the same. A try is given
/// up after several seconds; this leaves room for clocks that differ.
const KNOWN_AFTER_MS: u64 = 1_000;

/// A customer's standing terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Who.
    pub customer: Name,
    /// Currency of every amount.
    pub currency: String,
    /// The operator's limits.
    pub limits: Vec<LimitRule>,
    /// Since when.
    pub created_at: Timestamp,
    /// The customer's own limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caps: Vec<LimitRule>,
    /// The IANA zone whose calendar its limits follow; absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What its plan allows.
    #[serde(default, skip_serializing_if = "Allows::is_all")]
    pub allows: Allows,
    /// Nothing new may begin.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub frozen: bool,
    /// Since when the parties of a scope are counted: since the first limit on any of them, and
    /// from then on for ever, so that a limit that is changed or set again finds them counted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tracked: BTreeMap<Scope, Timestamp>,
    /// Since when minutes are counted: since the first limit on one, for the same reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<Timestamp>,
}

impl Account {
    /// The moments from which on something is counted.
    pub fn counted_since(&self) -> impl Iterator<Item = Timestamp> {
        self.tracked.values().copied().chain(self.minutes)
    }
}

/// Money set aside for one running attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The attempt; also the hold's name.
    pub attempt_id: AttemptId,
    /// The request it belongs to.
    pub request_id: RequestId,
    /// When it was made: decides which windows it counts in, whenever it settles.
    pub reserved_at: Timestamp,
    /// First instant at which it no longer stands.
    pub expires_at: Timestamp,
    /// What is charged if nothing more is heard.
    pub floor: Exact,
    /// What was known at admission; `held` is the amount.
    pub admitted: Admitted,
    /// The prices of that moment.
    pub pinned: Pinned,
    /// Among whom it counts.
    #[serde(default)]
    pub scopes: Scopes,
    /// What is no longer held of it: the lines of a batch that are charged, and what turned out not
    /// to be needed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub released: Exact,
    /// The customer's terms of that moment, where it had any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Box<HeldTerms>>,
}

impl Hold {
    pub(super) fn need(&self) -> Need {
        Need {
            money: self.amount(),
            tokens: self.scopes.tokens.unwrap_or_default(),
            // The attempt that reached it was counted.
            requests: if self.is_outcome() { Exact::ZERO } else { Exact::from(1) },
        }
    }

    /// Whether it is held for what an attempt that is over has reached.
    pub(super) fn is_outcome(&self) -> bool {
        self.terms.as_ref().is_some_and(|terms| terms.outcome.is_some())
    }

    /// Which of a scope's parties it is of.
    pub(super) fn value(&self, scope: Scope) -> Option<String> {
        value_of(&self.admitted, &self.scopes, scope)
    }

    /// What is held now. Never below zero: no more is released than is there.
    pub(super) fn amount(&self) -> Exact {
        self.admitted.held.minus(self.released).unwrap_or(Exact::ZERO)
    }

    /// Whether `reserve` asks for this very hold again.
    pub(super) fn is_for(&self, reserve: &Reserve) -> bool {
        // Under a plan the ledger itself decides how much is held.
        let asked = self.terms.as_ref().map_or(self.admitted.held, |terms| terms.asked.0);
        let without_end_user = |admitted: &Admitted| Admitted {
            end_user: None,
            held: Exact::ZERO,
            ..admitted.clone()
        };
        self.request_id == reserve.request_id
            && self.pinned == reserve.pinned
            && self.scopes == reserve.scopes
            && asked == reserve.admitted.held
            && without_end_user(&self.admitted) == without_end_user(&reserve.admitted)
    }
}

/// The end of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Position of the last record; zero before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Digest,
}

/// What storage gives back at start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Absent: this customer was never created, and everything is refused.
    pub account: Option<Account>,
    /// All keys.
    pub keys: Vec<KeyState>,
    /// What the customer used, by the hour.
    pub hours: Vec<(Timestamp, Hour)>,
    /// The last minute that was counted, where a limit counts minutes.
    pub minute: Option<(Timestamp, Tally)>,
    /// Refusals of the last day, by hour and code.
    pub refusals: Vec<(Timestamp, RefusalCode, u64)>,
    /// When the last record was written: the ledger's clock does not run back behind it.
    pub last_record_at: Option<Timestamp>,
    /// Holds that were neither closed nor expired.
    pub holds: Vec<Hold>,
    /// The end of the chain.
    pub head: Head,
    /// The newest activation that a request was admitted under.
    pub in_force: Option<InForce>,
    /// Plans, usage under them, and credit.
    pub terms: LoadedTerms,
    /// Alerts.
    pub alerts: LoadedAlerts,
}

/// One customer's ledger. See the module for what it promises.
#[derive(Debug)]
pub struct Ledger {
    pub(super) account: Option<Account>,
    pub(super) keys: BTreeMap<Name, KeyState>,
    pub(super) limits: Limits,
    pub(super) holds: HashMap<AttemptId, Hold>,
    /// The same holds by expiry.
    pub(super) expiry: BTreeSet<(Timestamp, AttemptId)>,
    pub(super) refusals: Refusals,
    pub(super) settled: Exact,
    pub(super) held: Exact,
    pub(super) head: Head,
    /// The newest activation that a request was admitted under; none of a pushed book: absent.
    pub(super) in_force: Option<InForce>,
    pub(super) contracts: Contracts,
    pub(super) alerts: Alerts,
    /// The clock never runs backwards for a ledger.
    pub(super) last: Timestamp,
}

impl Ledger {
    /// Rebuilds the ledger from its rows. Its clock goes on from the last thing it is known to have
    /// done: a machine's clock that was set back stands still here until it has caught up.
    pub fn load(loaded: Loaded, now: Timestamp) -> Result<Self, OutOfRange> {
        let holds = loaded.holds;
        let counted = loaded.account.iter().flat_map(Account::counted_since);
        let done = holds.iter().map(|hold| hold.reserved_at).chain(loaded.last_record_at);
        let done = done.chain(counted);
        let last = done.max().map_or(now, |done| done.max(now));
        let customer = PartyRows { hours: loaded.hours, minute: loaded.minute };
        let limits = Limits::count(loaded.account.as_ref(), customer, &holds.iter(), last)?;
        let zone = loaded.account.as_ref().and_then(|account| account.zone.as_deref());
        let alerts = Alerts::load(loaded.alerts, zone.unwrap_or("UTC"), last);
        Ok(Self {
            alerts,
            keys: loaded.keys.into_iter().map(|key| (key.key_id.clone(), key)).collect(),
            contracts: Contracts::load(loaded.terms, holds.iter())?,
            expiry: holds.iter().map(|hold| (hold.expires_at, hold.attempt_id)).collect(),
            settled: limits.charged()?,
            held: Exact::sum(holds.iter().map(Hold::amount))?,
            limits,
            refusals: Refusals::load(loaded.refusals),
            holds: holds.into_iter().map(|hold| (hold.attempt_id, hold)).collect(),
            account: loaded.account,
            head: loaded.head,
            in_force: loaded.in_force,
            last,
        })
    }

    /// Counts every limit anew: after a change of the limits.
    pub(super) fn rebuild_limits(&mut self, now: Timestamp) -> Result<(), OutOfRange> {
        let customer = self.limits.take_customer();
        let holds = self.holds.values();
        self.limits = Limits::count(self.account.as_ref(), customer, &holds, now)?;
        Ok(())
    }

    pub(super) fn add_hold(&mut self, hold: Hold, now: Timestamp) -> Result<(), Broken> {
        self.held = self.held.plus(hold.amount())?;
        let parties = self.parties_of(&hold);
        self.limits.hold(&parties, &hold, now)?;
        self.expiry.insert((hold.expires_at, hold.attempt_id));
        self.holds.insert(hold.attempt_id, hold);
        Ok(())
    }

    pub(super) fn take_hold(
        &mut self,
        attempt_id: AttemptId,
        now: Timestamp,
    ) -> Result<Option<Hold>, OutOfRange> {
        let Some(hold) = self.holds.remove(&attempt_id) else { return Ok(None) };
        self.expiry.remove(&(hold.expires_at, attempt_id));
        self.held = self.held.minus(hold.amount())?;
        let parties = self.parties_of(&hold);
        self.limits.release(&parties, &hold, now)?;
        Ok(Some(hold))
    }

    /// Counts what the request of a hold used.
    pub(super) fn add_spend(
        &mut self,
        (reserved_at, parties): (Timestamp, &[Party]),
        used: Tally,
        now: Timestamp,
        rows: &mut Vec<Row>,
    ) -> Result<(), Broken> {
        self.settled = self.settled.plus(used.money)?;
        self.limits.spend(parties, reserved_at, used, now, rows)
    }

    pub(super) fn parties_of(&self, hold: &Hold) -> Vec<Party> {
        self.limits.parties_of(|scope| hold.value(scope)).collect()
    }

    /// The parties of which a command needs everything that storage holds, in [`Prior::parties`].
    /// Asked after the rest of `prior` was looked up; mostly there are none, for those in use are in
    /// memory.
    pub fn needs(&self, command: &Command, prior: &Prior, now: Timestamp) -> Vec<Party> {
        let now = now.max(self.last);
        let mut needed = Vec::new();
        let mut need = |hold: &Hold| {
            let parties = self.limits.parties_of(|scope| hold.value(scope));
            needed.extend(parties.filter(|party| !self.limits.knows(party, hold.reserved_at)));
        };
        // Whatever the command, this much may expire first.
        for (_, attempt_id) in self.expiry.iter().take(SWEEP_MAX).take_while(|(at, _)| *at <= now) {
            self.holds.get(attempt_id).into_iter().for_each(&mut need);
        }
        let touched = match command {
            Command::Settle(settle) => Some(settle.attempt_id),
            Command::Void(void) => Some(void.attempt_id),
            Command::Decide(decide) => Some(outcome_id(&decide.of)),
            Command::Extend { attempt_id, .. }
            | Command::Batch(BatchCommand::Open { attempt_id, .. }) => Some(*attempt_id),
            Command::Unreserved(unreserved) => Some(unreserved.reserve.attempt_id),
            _ => None,
        };
        let touched = touched.and_then(|id| self.holds.get(&id)).or(prior.expired.as_ref());
        touched.into_iter().for_each(need);
        // To grow, a hold is measured in the windows it was made in, be they over by now.
        if let Command::Extend { attempt_id, .. } = command
            && let Some(hold) = self.holds.get(attempt_id)
        {
            let at = hold.reserved_at;
            let parties = self.limits.parties_of(|scope| hold.value(scope));
            needed.extend(parties.filter(|party| !self.limits.knows_windows(party, at, now)));
        }
        // A batch's lines count where its hold did.
        if let Some(batch) = prior.batch.as_ref().map(|known| &known.batch) {
            let value = |scope| value_of(&batch.admitted, &batch.scopes, scope);
            let parties = self.limits.parties_of(value);
            needed.extend(parties.filter(|party| !self.limits.knows(party, batch.reserved_at)));
        }
        let asked: Vec<Party> = match command {
            Command::Reserve(reserve) => self.parties_asked(reserve, prior),
            Command::Unreserved(unreserved) => self.parties_asked(&unreserved.reserve, prior),
            Command::Status => self.limits.named_parties(),
            Command::Standing(party) => vec![party.clone()],
            _ => Vec::new(),
        };
        needed.extend(asked.into_iter().filter(|party| !self.limits.knows(party, now)));
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    fn parties_asked(&self, reserve: &Reserve, prior: &Prior) -> Vec<Party> {
        let user = reserve.end_user.as_deref().zip(prior.subject.as_ref());
        let user = user.map(|(value, key)| pseudonym(key, value));
        self.limits.parties_of(|scope| reserve.value(scope, user.as_deref())).collect()
    }

    /// Takes in what was looked up for a command.
    pub(super) fn load_parties(
        &mut self,
        prior: &Prior,
        now: Timestamp,
        rows: &mut Vec<Row>,
    ) -> Result<(), OutOfRange> {
        for (party, found) in &prior.parties {
            let is_of = |hold: &&Hold| hold.value(party.scope).as_ref() == Some(&party.value);
            let holds = self.holds.values().filter(is_of);
            // An expired hold may still be settled, into the hour it was made in.
            let made = holds.clone().chain(prior.expired.iter()).map(|hold| hold.reserved_at);
            let oldest = made.min().unwrap_or(now);
            self.limits.load(party, found.clone(), &holds, oldest, now, rows)?;
        }
        Ok(())
    }

    /// When the next hold expires, if there is one: the latest the shell must call again.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.expiry.first().map(|(at, _)| *at)
    }

    /// When a week is over that is to be summed up: the latest the shell must call again for that.
    pub fn next_summary(&self) -> Option<Timestamp> {
        self.alerts.summary_at
    }

    /// What is told of the customer.
    pub fn alert_settings(&self) -> &super::AlertSettings {
        &self.alerts.settings
    }

    /// The end of the chain.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Whose ledger, once it was created.
    pub fn customer(&self) -> Option<&Name> {
        self.account.as_ref().map(|account| &account.customer)
    }

    /// Whether this attempt's hold stands in memory; if not, storage may know more of it.
    pub fn has_hold(&self, attempt_id: AttemptId) -> bool {
        self.holds.contains_key(&attempt_id)
    }
}

/// Which of a scope's parties something that was admitted is of.
fn value_of(admitted: &Admitted, scopes: &Scopes, scope: Scope) -> Option<String> {
    match scope {
        Scope::Customer => None,
        Scope::Key => Some(admitted.key_id.to_string()),
        Scope::Model => scopes.model.clone(),
        Scope::Tag => scopes.tag.clone(),
        Scope::EndUser => admitted.end_user.clone(),
    }
}

impl Reserve {
    /// Whether storage has to be looked through for the attempt: it was asked for before, or it was
    /// so long on its way that a later try may have overtaken it, run, and ended.
    pub fn may_be_known(&self, now: Timestamp) -> bool {
        self.again || now.since(self.admitted.received_at) >= KNOWN_AFTER_MS
    }

    /// Which of a scope's parties it is of; the end user is known by its pseudonym.
    pub(super) fn value(&self, scope: Scope, end_user: Option<&str>) -> Option<String> {
        match scope {
            Scope::Customer => None,
            Scope::Key => Some(self.admitted.key_id.to_string()),
            Scope::Model => self.scopes.model.clone(),
            Scope::Tag => self.scopes.tag.clone(),
            Scope::EndUser => end_user.map(ToOwned::to_owned),
        }
    }
}

/// The end user under a key of its own, so that erasing the key erases the link.
pub(super) fn pseudonym(key: &Digest, value: &str) -> String {
    crate::auth::pseudonym(&key.0, value.as_bytes())
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands a reference over
fn is_zero(amount: &Exact) -> bool {
    amount.is_zero()
}

/// The start of the UTC hour.
pub(super) fn hour_of(time: Timestamp) -> Timestamp {
    Timestamp::from_ms(time.ms().saturating_sub(time.ms().rem_euclid(HOUR_MS)))
}
