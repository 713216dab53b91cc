//! What lies between a client and the ledger: it loses, delays and repeats messages.

use farebox::clock::Timestamp;
use farebox::ledger::Command;

use super::random::Random;

/// Steps for which a message is on its way at most.
const STEPS_MAX: u64 = 60;
/// A try is given up after four seconds: what is under way for longer may be overtaken by the next.
const TRY_MS: u64 = 4_000;

#[derive(Default)]
pub struct Network {
    under_way: Vec<(usize, Timestamp, Command)>,
}

impl Network {
    /// Keeps a message for later.
    pub fn delay(&mut self, command: Command, step: usize, now: Timestamp, random: &mut Random) {
        let steps = usize::try_from(1 + random.below(STEPS_MAX)).unwrap();
        self.under_way.push((step + steps, now, command));
    }

    /// What arrives by this step, in any order.
    pub fn arrived(&mut self, step: usize, now: Timestamp) -> Vec<Command> {
        let is_due =
            |(at, sent, _): &(usize, Timestamp, Command)| *at <= step && now.since(*sent) >= TRY_MS;
        let (due, later) = std::mem::take(&mut self.under_way).into_iter().partition(is_due);
        self.under_way = later;
        let due: Vec<(usize, Timestamp, Command)> = due;
        due.into_iter().map(|(.., command)| command).collect()
    }

    /// Everything, as if the network had forgotten it.
    pub fn clear(&mut self) {
        self.under_way.clear();
    }
}
