//! One connection's turns, each read by itself.

use super::Reader;
use super::answer::Answer;
use crate::wire::usage::Meter;

impl Reader {
    /// A session in which nothing is being said: it may end at any time.
    pub(crate) fn is_idle(&self) -> bool {
        self.session && !self.answer.content_since
    }

    /// A reader for what follows in the same session; this one keeps what it has read.
    pub(crate) fn next_turn(&mut self) -> Self {
        let begun = self.open_turns();
        let answer = Answer {
            model: self.answer.model.clone(),
            turns: core::mem::take(&mut self.answer.turns),
            content_since: begun > 0,
            begun,
            ..Answer::default()
        };
        Self {
            plan: self.plan.clone(),
            custom: self.custom.clone(),
            transcriber: self.transcriber.clone(),
            xai: self.xai,
            answer,
            ..Self::new(true, false)
        }
    }

    /// Turns that are over.
    pub(crate) fn turns_over(&self) -> u64 {
        let turns = self.answer.usage.get(Meter::Turns);
        turns.and_then(crate::money::Exact::to_u64).unwrap_or(0)
    }

    /// Turns that have begun and are not over.
    pub(crate) fn open_turns(&self) -> u64 {
        self.answer.begun.saturating_sub(self.turns_over())
    }
}
