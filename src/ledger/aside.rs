//! Credit set aside for a hold: which grants it comes from, and how it is taken out again.

use serde::{Deserialize, Serialize};

use super::purse::Unit;
use crate::credits::{Aside, On};
use crate::money::{Exact, OutOfRange};

/// Credit set aside for a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// In money or credits.
    pub unit: Unit,
    /// For what.
    pub on: On,
    /// Grants and how much of each.
    pub parts: Vec<(String, Exact)>,
    /// Covered by none.
    pub uncovered: Exact,
}

impl SetAside {
    pub(super) fn aside(&self) -> Aside {
        Aside { parts: self.parts.clone(), uncovered: self.uncovered }
    }

    /// All of it, covered or not.
    pub(super) fn amount(&self) -> Result<Exact, OutOfRange> {
        Exact::sum(self.parts.iter().map(|(_, part)| *part))?.plus(self.uncovered)
    }

    /// Adds what was set aside later.
    pub(super) fn join(&mut self, more: &Aside) -> Result<(), OutOfRange> {
        for (id, part) in &more.parts {
            match self.parts.iter_mut().find(|(known, _)| known == id) {
                Some((_, known)) => *known = known.plus(*part)?,
                None => self.parts.push((id.clone(), *part)),
            }
        }
        self.uncovered = self.uncovered.plus(more.uncovered)?;
        Ok(())
    }

    /// Leaves out what was set aside before.
    pub(super) fn leave_out(&mut self, before: &Self) -> Result<(), OutOfRange> {
        for (id, part) in &mut self.parts {
            let known = before.parts.iter().find(|(known, _)| known == id);
            *part = part.minus(known.map_or(Exact::ZERO, |(_, part)| *part))?;
        }
        self.parts.retain(|(_, part)| !part.is_zero());
        self.uncovered = self.uncovered.minus(before.uncovered)?;
        Ok(())
    }

    /// Takes up to `amount` out: what burns first, first.
    pub(super) fn take(&mut self, amount: Exact) -> Result<Aside, OutOfRange> {
        let (mut out, mut rest) = (Aside::default(), amount);
        for (id, part) in &mut self.parts {
            let taken = (*part).min(rest);
            (*part, rest) = (part.minus(taken)?, rest.minus(taken)?);
            if !taken.is_zero() {
                out.parts.push((id.clone(), taken));
            }
        }
        self.parts.retain(|(_, part)| !part.is_zero());
        out.uncovered = self.uncovered.min(rest);
        self.uncovered = self.uncovered.minus(out.uncovered)?;
        Ok(out)
    }

    /// The same of what was charged for it all: credits that no grant covers were charged in money.
    pub(super) fn take_paid(&mut self, amount: Exact) -> Result<Exact, OutOfRange> {
        let out = self.take(amount)?;
        let covered = Exact::sum(out.parts.iter().map(|(_, part)| *part))?;
        if self.unit == Unit::Money { covered.plus(out.uncovered) } else { Ok(covered) }
    }

    /// Takes out what is above `keep`: what burns last, first.
    pub(super) fn cut(&mut self, keep: Exact) -> Result<Aside, OutOfRange> {
        let mut kept = self.take(keep)?;
        let out = Aside {
            parts: core::mem::take(&mut self.parts),
            uncovered: core::mem::take(&mut self.uncovered),
        };
        self.parts.append(&mut kept.parts);
        self.uncovered = kept.uncovered;
        Ok(out)
    }
}
