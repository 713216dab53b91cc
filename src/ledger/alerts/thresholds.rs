//! Which limits have reached which thresholds, or burn.

use std::collections::HashMap;

use super::rules::{Pace, is_burning, is_reached};
use crate::clock::Timestamp;
use crate::ledger::limits::{Limits, PARTIES_MAX, Party, Watched};
use crate::ledger::status::LimitView;
use crate::money::Exact;

/// What was found of limits since the day began, the limits or the settings were changed, or the
/// ledger was loaded: a shortcut past making an alert's id at every ending. What was told, ids say.
#[derive(Debug, Default)]
pub struct Marks {
    /// By the place of the limit among the rules. Of [`PARTIES_MAX`] parties, as many as have their
    /// sums in memory; all are let go where there are more.
    parties: HashMap<Party, Vec<(usize, Mark)>>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    /// Of this window, and of a limit of so much: once a raise is over it is another.
    of: (Timestamp, Exact),
    /// The highest threshold found.
    percent: u32,
    burns: bool,
}

impl Marks {
    fn of(&mut self, limit: &Watched<'_>) -> Option<&mut Mark> {
        let customer = Party::customer();
        let party = limit.party.unwrap_or(&customer);
        if !self.parties.contains_key(party) {
            if self.parties.len() >= PARTIES_MAX {
                self.parties.clear();
            }
            self.parties.insert(party.clone(), Vec::new());
        }
        let marks = self.parties.get_mut(party)?;
        let of = (limit.window().0, limit.limit);
        let fresh = Mark { of, percent: 0, burns: false };
        let known = marks.iter().position(|(place, _)| *place == limit.place());
        let at = known.unwrap_or(marks.len());
        if known.is_none() {
            marks.push((limit.place(), fresh));
        }
        let (_, mark) = marks.get_mut(at)?;
        if mark.of != of {
            *mark = fresh;
        }
        Some(mark)
    }

    /// The thresholds, in ascending percent, that the limits of the customer and of these parties
    /// have reached, but for those found before.
    pub fn crossed(
        &mut self,
        limits: &Limits,
        parties: &[Party],
        thresholds: &[u32],
        now: Timestamp,
    ) -> Vec<(u32, LimitView)> {
        let Some(least) = thresholds.first() else { return Vec::new() };
        let mut found = Vec::new();
        for limit in limits.watched(parties, now) {
            let reached = |percent| is_reached(limit.settled(), limit.limit, percent);
            if !reached(*least) {
                continue;
            }
            let Some(mark) = self.of(&limit) else { continue };
            let marked = mark.percent;
            let new = thresholds.iter().copied().filter(|percent| *percent > marked);
            for percent in new.take_while(|percent| reached(*percent)) {
                mark.percent = percent;
                found.extend(limits.view_of(&limit, now).ok().map(|view| (percent, view)));
            }
        }
        found
    }

    /// The customer's own limits on money that burn, but for those found before.
    pub fn burning(
        &mut self,
        limits: &Limits,
        pace: &Pace,
        factor: u32,
        now: Timestamp,
    ) -> Vec<LimitView> {
        let mut found = Vec::new();
        for limit in limits.watched(&[], now).filter(Watched::is_on_money) {
            let (start, Some(end)) = limit.window() else { continue };
            let Some(mark) = self.of(&limit).filter(|mark| !mark.burns) else { continue };
            let of = (limit.settled(), limit.limit);
            if !is_burning(of, (start, end), pace, factor, now).unwrap_or(false) {
                continue;
            }
            mark.burns = true;
            found.extend(limits.view_of(&limit, now).ok());
        }
        found
    }
}
