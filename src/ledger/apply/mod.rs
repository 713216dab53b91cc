//! Commands, one after the other. Every command first expires what has expired.

mod admin;
mod admission;
mod alerts;
mod batch;
mod charge;
mod close;
mod extend;
mod grant;
mod least;
mod needs;
mod outcome;
mod park;
mod plan;
mod price;
mod quote;
mod reserve;
mod terms;
mod unreserved;

pub use outcome::outcome_id;

use super::SWEEP_MAX;
use super::command::{Command, Context, PriorRecord, Reply, Row};
use super::limits::{Frame, Strictness};
use super::state::{Hold, Ledger};
use super::status::{HeadView, Snapshot, SpendView, State};
use crate::clock::Timestamp;
use crate::ids::{AttemptId, Id};
use crate::money::{Exact, OutOfRange};
use crate::record::Digest;
use crate::strict::Fault;

/// What came of a command.
#[derive(Debug)]
pub struct Outcome {
    /// The answer; to be given only after the rows are durable.
    pub reply: Reply,
    /// To be written in one transaction.
    pub rows: Vec<Row>,
}

/// A command that could not be carried to its end. The ledger in memory is no longer to be
/// trusted: drop it and load it again. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A sum needs more than 28 digits.
    OutOfRange,
    /// There is no secret to sign records with.
    NoSecret,
    /// Something in storage was not looked up, see [`Ledger::needs`].
    NotLookedUp,
}

impl From<OutOfRange> for Broken {
    fn from(_: OutOfRange) -> Self {
        Self::OutOfRange
    }
}

impl From<Fault> for Broken {
    fn from(_: Fault) -> Self {
        // A plan is checked as it comes in, and what it has no price for is refused before it runs:
        // what is left are sums too large.
        Self::OutOfRange
    }
}

/// An attempt that follows from others: the same from the same `parts`, whoever asks.
fn derived(time: Timestamp, parts: &[&[u8]]) -> AttemptId {
    let mut random = [0; 10];
    random.iter_mut().zip(Digest::of(parts).0).for_each(|(to, from)| *to = from);
    Id::new(time, random)
}

/// One operation under way.
struct Op<'a> {
    ledger: &'a mut Ledger,
    context: &'a Context<'a>,
    now: Timestamp,
    rows: Vec<Row>,
    /// Holds that this very operation expired: what was looked up in storage before it does not
    /// know of them.
    expired: Vec<(Hold, PriorRecord)>,
    /// What it ended, to be looked at when it is over.
    noticed: Vec<alerts::Noticed>,
}

impl Ledger {
    /// Carries out one command. See the module for the caller's duties.
    pub fn apply(&mut self, command: &Command, context: &Context<'_>) -> Result<Outcome, Broken> {
        let now = context.now.max(self.last);
        self.last = now;
        self.limits.roll(now);
        let (mut rows, expired) = (Vec::new(), Vec::new());
        self.load_parties(&context.prior, now, &mut rows)?;
        let noticed = Vec::new();
        let mut op = Op { ledger: self, context, now, rows, expired, noticed };
        op.roll_credit()?;
        op.sweep()?;
        let reply = match command {
            Command::Reserve(reserve) => op.reserve(reserve)?,
            Command::Renew { attempt_id, floor } => op.renew(*attempt_id, *floor),
            Command::Extend { attempt_id, held, floor, most } => {
                op.extend(*attempt_id, *held, *floor, most)?
            }
            Command::Park(park) => op.park(park),
            Command::Batch(command) => op.batch(command)?,
            Command::Settle(settle) => op.settle(settle)?,
            Command::Void(void) => op.void(void)?,
            Command::Decide(decide) => op.decide(decide)?,
            Command::Unreserved(unreserved) => op.unreserved(unreserved)?,
            Command::Sweep => Reply::Done,
            Command::Admin(admin) => op.admin(admin)?,
            Command::Status => op.status()?,
            Command::Standing(party) => Reply::Standing(op.ledger.limits.party_views(party, now)?),
            Command::Outlook => op.outlook(),
            Command::CheckKey { key_id, secret_sha256 } => op.check_key(key_id, secret_sha256),
        };
        let asked = matches!(command, Command::Admin(_)) && reply == Reply::Done;
        let conflict = match (command, &reply) {
            // A contrary word about an outcome is no second content of a settle.
            (Command::Decide(_), _) => None,
            (_, Reply::Conflict { seq }) => Some(*seq),
            _ => None,
        };
        op.tell(conflict, asked);
        let rows = op.rows;
        self.limits.rest();
        Ok(Outcome { reply, rows })
    }
}

impl Op<'_> {
    /// Expires holds whose time has come, the oldest first.
    fn sweep(&mut self) -> Result<(), Broken> {
        for _ in 0..SWEEP_MAX {
            let due = self.ledger.expiry.first().filter(|(at, _)| *at <= self.now);
            let Some((_, attempt_id)) = due.copied() else { break };
            self.expire(attempt_id)?;
        }
        Ok(())
    }

    /// Puts off a hold's end and raises its floor, which never sinks nor passes the hold.
    fn renew(&mut self, attempt_id: AttemptId, floor: Exact) -> Reply {
        let Some(hold) = self.ledger.holds.get_mut(&attempt_id) else { return Reply::Expired };
        if hold.expires_at <= self.now {
            return Reply::Expired;
        }
        self.ledger.expiry.remove(&(hold.expires_at, attempt_id));
        // A job's hold lives longer than that.
        hold.expires_at = hold.expires_at.max(self.now.plus(self.context.hold_ttl));
        self.ledger.contracts.raise_floor(hold, floor);
        self.ledger.expiry.insert((hold.expires_at, attempt_id));
        self.rows.push(Row::PutHold(Box::new(hold.clone())));
        Reply::Held { expires_at: hold.expires_at, remaining: None, standings: Vec::new() }
    }

    fn status(&mut self) -> Result<Reply, Broken> {
        let limits = self.ledger.limits.views(self.now)?;
        let ledger = &*self.ledger;
        let Some(account) = &ledger.account else {
            return Ok(Reply::Invalid("this customer does not exist".into()));
        };
        let runs = |hold: &&Hold| !hold.is_outcome();
        let exposure = |hold: &Hold| hold.amount().minus(hold.floor);
        let exposures: Vec<Exact> =
            ledger.holds.values().map(exposure).collect::<Result<_, _>>()?;
        Ok(Reply::Status(Box::new(Snapshot {
            customer: account.customer.clone(),
            currency: account.currency.clone(),
            now: self.now,
            status: self.state()?,
            spend: SpendView {
                settled: ledger.settled,
                held: ledger.held,
                today: ledger.limits.charged_in(Frame::utc_day(self.now))?,
                open: u64::try_from(ledger.holds.values().filter(runs).count()).unwrap_or(u64::MAX),
                exposure: Exact::sum(exposures)?,
            },
            limits,
            plan: ledger.contracts.plan_view(self.now)?,
            credit: ledger.contracts.credit_views(&account.currency, self.now)?,
            frozen: account.frozen,
            refused: ledger.refusals.view(self.now),
            head: HeadView { seq: ledger.head.seq, hash: ledger.head.hash },
        })))
    }

    fn state(&self) -> Result<State, OutOfRange> {
        let mut state = State::Ok;
        for (kind, is_spent, is_near) in self.ledger.limits.pressure(self.now)? {
            let this = match kind {
                Strictness::Hard if is_spent => State::Stopped,
                Strictness::Hard if is_near => State::Warn,
                Strictness::Soft if is_spent => State::Warn,
                _ => State::Ok,
            };
            state = state.max(this);
        }
        Ok(state)
    }
}
