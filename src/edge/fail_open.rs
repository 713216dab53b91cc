//! Attempts that run while the ledger cannot be reached, where the operator allows some: counted
//! against an allowance of this isolate, and kept until the ledger has them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::http::Incoming;
use super::js;
use super::ledger_call::LedgerClient;
use crate::clock::{Millis, Timestamp};
use crate::ids::{AttemptId, Name};
use crate::ledger::{Command, Reply, Reserve, Settle, Unreserved};
use crate::money::Exact;
use crate::stop::{Allowance, FailOpen};

/// Attempts booked in one go, and the time between two goes.
const BOOKED_MAX: usize = 32;
const AGAIN_AFTER: Millis = Millis::from_secs(1);

thread_local! {
    static ALLOWANCE: RefCell<Allowance> = RefCell::new(Allowance::default());
    /// What is over and not booked: as many as the allowance lets run, at most.
    static OWED: RefCell<BTreeMap<AttemptId, Owed>> = const { RefCell::new(BTreeMap::new()) };
    static TRIED_AT: Cell<Option<Timestamp>> = const { Cell::new(None) };
}

/// An attempt without a hold.
pub struct Unheld {
    reserve: Reserve,
    customer: Name,
    /// What it says to its client.
    stated: String,
}

/// One that is over.
struct Owed {
    command: Command,
    customer: Name,
    most: Exact,
}

/// Lets an attempt run without a hold, if the allowance has room for its worst case.
pub fn allow(terms: Option<&FailOpen>, customer: &Name, reserve: &Reserve) -> Option<Unheld> {
    let terms = terms?;
    let most = reserve.admitted.held;
    let in_use = ALLOWANCE.with_borrow_mut(|allowance| {
        allowance.take(terms, customer, most).then(|| allowance.in_use())
    })?;
    let (total, exposure) = (terms.total, terms.exposure()?);
    let stated = format!("most={most}, in-use={in_use}, isolate={total}, exposure={exposure}");
    js::log(&format!("{customer} {} runs without a hold: {stated}", reserve.attempt_id));
    Some(Unheld { reserve: reserve.clone(), customer: customer.clone(), stated })
}

fn give_back(customer: &Name, most: Exact) {
    ALLOWANCE.with_borrow_mut(|allowance| allowance.give_back(customer, most));
}

impl Unheld {
    /// The worst case, what of the allowance is in use with it, and how large the allowance is.
    pub fn stated(&self) -> &str {
        &self.stated
    }

    /// It used nothing.
    pub fn void(&self) {
        give_back(&self.customer, self.reserve.admitted.held);
    }

    /// It is over: booked at once where the ledger is back, else by a later request.
    pub async fn settle(&self, ledger: &LedgerClient, settle: Settle) -> Option<Reply> {
        let (id, reserve) = (self.reserve.attempt_id, self.reserve.clone());
        let command = Command::Unreserved(Box::new(Unreserved { reserve, settle }));
        let owed = Owed {
            command: command.clone(),
            customer: self.customer.clone(),
            most: self.reserve.admitted.held,
        };
        // Kept before it is told: whoever tells it may be ended meanwhile.
        OWED.with_borrow_mut(|all| all.insert(id, owed));
        let reply = ledger.tell(&command).await;
        booked(id, reply.as_ref());
        reply
    }
}

/// Forgets what the ledger answered to. What it cannot book is told in the log, with its worst case.
fn booked(id: AttemptId, reply: Option<&Reply>) {
    let Some(reply) = reply else { return };
    let Some(owed) = OWED.with_borrow_mut(|all| all.remove(&id)) else { return };
    give_back(&owed.customer, owed.most);
    if !matches!(reply, Reply::Closed { .. }) {
        let Owed { customer, most, .. } = owed;
        js::log(&format!("attempt {id} of {customer}, at most {most}, not booked: {reply:?}"));
    }
}

/// The ledger answers: books what is owed, after the answer.
pub fn book_owed(incoming: &Incoming) {
    let now = js::now();
    let is_due = TRIED_AT.get().is_none_or(|at| now >= at.plus(AGAIN_AFTER));
    if !is_due || OWED.with_borrow(BTreeMap::is_empty) {
        return;
    }
    TRIED_AT.set(Some(now));
    let env = incoming.env.clone();
    incoming.keep(async move {
        let some = OWED.with_borrow(|all| {
            let one = |(id, owed): (&AttemptId, &Owed)| {
                (*id, owed.customer.clone(), owed.command.clone())
            };
            all.iter().take(BOOKED_MAX).map(one).collect::<Vec<_>>()
        });
        for (id, customer, command) in some {
            let Ok(ledger) = LedgerClient::new(&env, customer) else { return };
            // A ledger that is still away must not keep the others waiting: one quick try.
            booked(id, ledger.ask(&command).await.ok().as_ref());
        }
    });
}
