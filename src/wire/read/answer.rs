//! What has been read of one answer so far.

use std::collections::BTreeSet;

use super::counts::{Counts, UNKNOWN_MAX, Unknown};
use crate::money::Exact;
use crate::wire::usage::{Meter, Provenance, Usage};

/// Usages of other models kept of one answer; an answer has a handful, a long voice session one a
/// turn. Past this they are added to the last of the same model.
const SUB_USAGE_MAX: usize = 256;
/// Turns told apart by their ids; past this a repeated turn would be counted again.
const TURNS_MAX: usize = 4096;

/// How the upstream itself ended an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The content is over; usage may still follow.
    ContentOver,
    /// To the end.
    Complete,
    /// It stopped early, and said so.
    Incomplete,
    /// It was cancelled, and said so.
    Cancelled,
    /// An error.
    Error,
}

/// Usage inside an answer that is another model's, or that the answer's own total leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubUsage {
    /// What it was for: `compaction`, `advisor_message`, `transcription` …
    pub kind: String,
    /// The answer's own total includes it already: a breakdown, not an addition.
    pub included: bool,
    /// Which model; `None` = not said: the answer's own for a compaction.
    pub model: Option<String>,
    /// What it used.
    pub usage: Usage,
}

/// What has been read of one answer so far.
#[derive(Debug, Default)]
pub struct Answer {
    /// What the upstream reported.
    pub usage: Usage,
    /// The upstream reported billable usage.
    pub usage_present: bool,
    /// The model that served, by the upstream's word.
    pub model: Option<String>,
    /// The service tier that served.
    pub service_tier: Option<String>,
    /// What the provider says it costs, in US dollars.
    pub provider_cost_usd: Option<Exact>,
    /// Usage of other models.
    pub sub_usage: Vec<SubUsage>,
    /// Numbers in usage objects that no table names.
    pub unknown: Vec<Unknown>,
    /// Something reported contradicts itself.
    pub suspect: bool,
    /// Output tokens seen at least: each event with content holds one, or one a word that begins in
    /// it.
    pub seen: u64,
    pub(super) ending: Option<Ending>,
    /// Content came after the last usage.
    pub(super) content_since: bool,
    pub(super) turns: BTreeSet<String>,
    /// A usage was no object, or an empty one.
    pub(super) malformed: bool,
    /// The stream's last word was seen.
    pub(super) done: bool,
    /// Turns that have begun.
    pub(super) begun: u64,
    /// The output reported so far is an opening's placeholder, from which a total may fall.
    pub(super) opening: bool,
    /// The last running count that was passed over.
    pub(super) running: u64,
    /// What an operator's extractor read; it overrules ours, meter by meter.
    pub(super) custom: Usage,
}

impl Answer {
    pub(super) fn end(&mut self, ending: Ending) {
        // An error after the end of the content is still an error; a late "done" is no repair, and
        // an answer that was said to be incomplete does not become complete by its last event.
        let open = matches!(self.ending, None | Some(Ending::Complete | Ending::ContentOver));
        let weaker = self.ending == Some(Ending::Complete) && ending == Ending::ContentOver;
        if open && !weaker || ending == Ending::Error {
            self.ending = Some(ending);
        }
    }

    pub(super) fn set_model(&mut self, model: Option<&str>) {
        if let Some(model) = model {
            self.model = Some(model.to_owned());
        }
    }

    /// Sees a turn or item; false where it was seen before. One without an id is always new.
    pub(super) fn is_new(&mut self, id: Option<&str>) -> bool {
        match id {
            Some(id) if self.turns.len() < TURNS_MAX => self.turns.insert(id.to_owned()),
            Some(id) => !self.turns.contains(id),
            None => true,
        }
    }

    /// A report that stands for the whole answer: the last one counts.
    pub(super) fn report(&mut self, counts: Counts) {
        let Some(counts) = self.note(counts) else { return };
        if counts.overlay {
            let mut usage = counts.usage;
            self.doubt_zero_input(&mut usage, counts.sub_usage);
            self.doubt_falls(&mut usage, counts.sub_usage);
            self.overlay(&usage);
            return;
        }
        let total = |usage: &Usage| {
            let meters = [Meter::InputTotal, Meter::InputUncached, Meter::OutputTotal];
            meters.iter().any(|meter| usage.get(*meter).is_some_and(|n| !n.is_zero()))
        };
        if total(&self.usage) && !total(&counts.usage) {
            // Zeros at the end, from a gateway that lost count, erase nothing.
            self.suspect = true;
            return;
        }
        // Not known to happen. The last word counts, but not for less than was seen here.
        let falls = |meter| counts.usage.get(meter) < self.usage.get(meter);
        self.suspect |= falls(Meter::OutputTotal) || falls(Meter::InputTotal);
        self.usage = counts.usage;
    }

    /// A report of one turn: turns add up.
    pub(super) fn add(&mut self, counts: Counts) {
        if let Some(counts) = self.note(counts) {
            let mut turn = counts.usage;
            turn.complete_input();
            self.suspect |= !add_usage(&mut self.usage, &turn);
        }
    }

    /// An input of zero after one that was counted, with nothing that took its place, is a gateway's
    /// blank and not a count.
    fn doubt_zero_input(&mut self, usage: &mut Usage, has_sub_usage: bool) {
        let input = Meter::InputUncached;
        let was = self.usage.get(input).is_some_and(|tokens| !tokens.is_zero());
        let cached = |meter| usage.get(meter) > self.usage.get(meter);
        let moved = cached(Meter::CacheRead) || cached(Meter::CacheWrite) || has_sub_usage;
        if was && usage.get(input) == Some(Exact::ZERO) && !moved {
            self.suspect = true;
            usage.remove(input);
        }
    }

    /// Running totals only rise. Of one that falls the last word counts, but not for less than was
    /// seen here; and a zero after more is a gateway's blank. Input may move between what was cached
    /// and what was not, or to another model's usage: its sum is what does not fall.
    fn doubt_falls(&mut self, usage: &mut Usage, has_sub_usage: bool) {
        const INPUT: [Meter; 3] = [Meter::InputUncached, Meter::CacheRead, Meter::CacheWrite];
        const SPLIT: [Meter; 2] = [Meter::CacheWrite5m, Meter::CacheWrite1h];
        let was = |meter| self.usage.get(meter);
        let now = |meter| usage.get(meter).or_else(|| was(meter));
        let sum =
            |of: &dyn Fn(Meter) -> Option<Exact>| Exact::sum(INPUT.into_iter().filter_map(of));
        let less_input = matches!((sum(&was), sum(&now)), (Ok(was), Ok(now)) if now < was);
        self.suspect |= less_input && !has_sub_usage;
        for (meter, old) in self.usage.iter() {
            let is_placeholder = self.opening && meter == Meter::OutputTotal;
            let Some(new) = usage.get(meter).filter(|new| *new < old.quantity) else { continue };
            if is_placeholder || INPUT.contains(&meter) || SPLIT.contains(&meter) {
                continue;
            }
            self.suspect = true;
            if new.is_zero() {
                usage.remove(meter);
            }
        }
    }

    /// A running count in an event that was passed over.
    pub(super) fn runs(&mut self, count: Option<u64>) {
        let Some(count) = count else { return };
        self.suspect |= count < self.running;
        self.running = count;
    }

    /// Fields of one report replace those of an earlier one; a missing one erases nothing.
    fn overlay(&mut self, usage: &Usage) {
        for (meter, measured) in usage.iter() {
            self.usage.set(meter, measured.quantity, measured.provenance);
        }
        // Only one of the two can have been reported; the other follows from it anew.
        if usage.get(Meter::InputUncached).is_some() {
            self.usage.remove(Meter::InputTotal);
        }
    }

    /// What a report says beside its counts; `None` where it has no counts.
    fn note(&mut self, counts: Counts) -> Option<Counts> {
        self.suspect |= counts.suspect;
        counts.unknown.iter().for_each(|unknown| self.keep_unknown(unknown.clone()));
        if counts.cost.is_some() {
            self.provider_cost_usd = counts.cost;
        }
        if counts.is_empty() {
            return None;
        }
        self.usage_present = true;
        self.content_since = false;
        Some(counts)
    }

    /// A number that no table names; a later one of the same place replaces it.
    pub(super) fn keep_unknown(&mut self, unknown: Unknown) {
        let known = self.unknown.len();
        match self.unknown.iter_mut().find(|old| old.path == unknown.path) {
            Some(old) => old.quantity = unknown.quantity,
            None if known < UNKNOWN_MAX => self.unknown.push(unknown),
            None => {}
        }
    }

    /// Usage of another model.
    pub(super) fn sub(&mut self, mut sub: SubUsage) {
        if sub.usage.is_empty() {
            return;
        }
        sub.usage.complete_input();
        self.usage_present = true;
        self.content_since = false;
        if self.sub_usage.len() < SUB_USAGE_MAX {
            self.sub_usage.push(sub);
            return;
        }
        let same = |known: &&mut SubUsage| known.model == sub.model && known.kind == sub.kind;
        match self.sub_usage.iter_mut().rev().find(same) {
            Some(known) => self.suspect |= !add_usage(&mut known.usage, &sub.usage),
            None => self.suspect = true,
        }
    }

    /// One more of `meter`, seen here.
    pub(super) fn count(&mut self, meter: Meter) {
        let one = self.usage.get(meter).unwrap_or(Exact::ZERO).plus(Exact::from(1));
        self.usage.set(meter, one.unwrap_or_default(), Provenance::Counted);
    }

    pub(super) fn overlay_custom(&mut self) {
        let custom = core::mem::take(&mut self.custom);
        if custom.get(Meter::InputTotal).is_some() {
            self.usage.remove(Meter::InputUncached);
        }
        self.overlay(&custom);
    }

    /// The last report came with or after the end.
    pub(crate) fn is_final(&self) -> bool {
        self.usage_present && self.ending.is_some() && !self.content_since
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending
    }
}

/// Adds meter by meter; false where a sum is out of range.
pub(crate) fn add_usage(to: &mut Usage, more: &Usage) -> bool {
    let mut exact = true;
    for (meter, measured) in more.iter() {
        match to.get(meter).unwrap_or(Exact::ZERO).plus(measured.quantity) {
            Ok(sum) => to.set(meter, sum, measured.provenance),
            Err(_) => exact = false,
        }
    }
    exact
}
