//! May this attempt run?

use super::admission::Denial;
use super::terms::Turned;
use super::{Broken, Op};
use crate::ledger::PartyRows;
use crate::ledger::command::{PriorOnce, Reply, Reserve, Row};
use crate::ledger::limits::{Need, Objection, Party, Scope};
use crate::ledger::purse::Unit;
use crate::ledger::state::{Hold, pseudonym};
use crate::ledger::status::RefusalCode;
use crate::ledger::terms::HeldTerms;
use crate::money::{Exact, OutOfRange};
use crate::record::{Admitted, Digest};

impl Op<'_> {
    pub(super) fn reserve(&mut self, reserve: &Reserve) -> Result<Reply, Broken> {
        let key = (&reserve.admitted.key_id, &reserve.secret_sha256);
        if let Some(code) = self.key_objection(key.0, key.1) {
            return Ok(self.refuse(code.into(), reserve.admitted.held));
        }
        if let Some(hold) = self.ledger.holds.get(&reserve.attempt_id) {
            let expires_at = hold.expires_at;
            // Due but not swept: from its very instant a hold is expired.
            if !hold.is_for(reserve) || self.now >= expires_at {
                return Ok(self.deny(
                    RefusalCode::AttemptConflict.into(),
                    reserve,
                    reserve.admitted.held,
                ));
            }
            let parties = self.ledger.parties_of(hold);
            self.ledger.limits.begin(&parties, self.now)?;
            return self.held(expires_at, &parties);
        }
        if let Some(denial) = self.known_already(reserve) {
            return Ok(self.deny(denial, reserve, reserve.admitted.held));
        }
        if let Some(stale) = self.stale_price(reserve) {
            return Ok(stale);
        }
        if let Some(denial) = self.objection(reserve) {
            return Ok(self.deny(denial, reserve, reserve.admitted.held));
        }
        let Turned { asked, terms, objection } = match self.under_terms(reserve)? {
            Ok(turned) => turned,
            Err(denial) => return Ok(self.deny(denial, reserve, reserve.admitted.held)),
        };
        if let Some(denial) = self.amount_objection(&asked, objection)? {
            if let Some(terms) = &terms {
                self.give_up(&terms.aside)?;
            }
            return Ok(self.deny(denial, reserve, asked.admitted.held));
        }
        self.admit(&asked, terms)
    }

    /// Answers no. One that is asked again, because its answer was lost, was counted before.
    fn deny(&mut self, denial: Denial, reserve: &Reserve, needed: Exact) -> Reply {
        if reserve.again { self.refusal(denial, needed) } else { self.refuse(denial, needed) }
    }

    /// What speaks against a new attempt whatever it costs.
    fn known_already(&self, reserve: &Reserve) -> Option<Denial> {
        if let Some(code) = self.frozen(&reserve.admitted.key_id) {
            return Some(code.into());
        }
        // An attempt that is over cannot begin again; a caller that lost the answer makes a new one.
        let prior = &self.context.prior;
        let just_expired =
            self.expired.iter().any(|(hold, _)| hold.attempt_id == reserve.attempt_id);
        if just_expired || prior.record.is_some() || prior.expired.is_some() {
            return Some(RefusalCode::AttemptConflict.into());
        }
        self.asked_before(reserve)
    }

    /// What speaks against it at these prices, before any amount is looked at; in the order of
    /// precedence.
    fn objection(&self, reserve: &Reserve) -> Option<Denial> {
        if self.currency() != Some(reserve.admitted.currency.as_str()) {
            return Some(RefusalCode::CurrencyMismatch.into());
        }
        if let Some(denial) = self.entitlement_objection(reserve) {
            return Some(denial);
        }
        let required = |scope| match scope {
            Scope::Tag => reserve.scopes.tag.clone(),
            _ => reserve.end_user.clone(),
        };
        match self.ledger.limits.missing(required) {
            Some(Scope::Tag) => Some(RefusalCode::TagRequired.into()),
            Some(_) => Some(RefusalCode::EndUserRequired.into()),
            None => None,
        }
    }

    /// What speaks against what it may use: the graver of what limits say and what the customer's
    /// terms do; of equals, the limit.
    fn amount_objection(
        &mut self,
        reserve: &Reserve,
        by_terms: Option<Objection>,
    ) -> Result<Option<Denial>, Broken> {
        let out_of_range = Ok(Some(RefusalCode::AmountOutOfRange.into()));
        let (needed, floor) = (reserve.admitted.held, reserve.floor);
        let tokens = reserve.scopes.tokens.unwrap_or_default();
        if [needed, floor, tokens].iter().any(|amount| amount.is_negative()) || floor > needed {
            return out_of_range;
        }
        if self.stays_exact(reserve).is_err() {
            return out_of_range;
        }
        let parties = self.parties_for(reserve)?;
        let need = Need { money: needed, tokens, requests: Exact::from(1) };
        let by_limit = match self.ledger.limits.objection(&parties, need, self.now) {
            Err(Broken::OutOfRange) => return out_of_range,
            objection => objection?,
        };
        let gravest = [by_limit, by_terms].into_iter().flatten().min_by_key(|by| by.code);
        let Some(mut objection) = gravest else { return Ok(None) };
        // An end user that was never let in has no pseudonym, and leaves nothing behind.
        if self.context.prior.subject.is_none() {
            parties.iter().for_each(|party| self.ledger.limits.forget_user(party));
            objection.view.value =
                objection.view.value.filter(|_| objection.view.scope != Scope::EndUser);
        }
        Ok(Some(Denial::by_limit(objection)))
    }

    /// Whether hold and floor can be added to all that is settled and held. A hold that could not
    /// be written when it expires would stop the ledger for good.
    fn stays_exact(&self, reserve: &Reserve) -> Result<(), OutOfRange> {
        let sum = self.ledger.settled.plus(self.ledger.held)?;
        sum.plus(reserve.admitted.held)?;
        sum.plus(reserve.floor)?;
        Ok(())
    }

    /// Among whom the attempt counts. An end user that was never seen has used nothing.
    pub(super) fn parties_for(&mut self, reserve: &Reserve) -> Result<Vec<Party>, Broken> {
        let user = reserve.end_user.as_deref().map(|value| pseudonym(&self.subject(), value));
        let value = |scope| reserve.value(scope, user.as_deref());
        let parties: Vec<Party> = self.ledger.limits.parties_of(value).collect();
        if self.context.prior.subject.is_none() {
            let new = parties.iter().find(|party| party.scope == Scope::EndUser);
            if let Some(party) = new {
                let (none, holds, now) = (PartyRows::default(), core::iter::empty(), self.now);
                self.ledger.limits.load(party, none, &holds, now, now, &mut self.rows)?;
            }
        }
        Ok(parties)
    }

    /// The end user's pseudonym, whose key is written down with the first attempt that is recorded.
    pub(super) fn named_end_user(&mut self, reserve: &Reserve) -> Option<String> {
        let value = reserve.end_user.as_deref()?;
        let key = self.subject();
        if self.context.prior.subject.is_none() {
            self.rows.push(Row::PutSubject { value: value.to_owned(), key });
        }
        Some(pseudonym(&key, value))
    }

    /// Notes the attempt under the client's own name for its request, where it gave one.
    pub(super) fn name_once(&mut self, reserve: &Reserve) {
        let Some(once) = reserve.once else { return };
        self.rows.push(Row::PutOnce {
            key: once.key,
            once: PriorOnce {
                attempt_id: reserve.attempt_id,
                request_id: reserve.request_id,
                body: once.body,
                at: self.now,
                ended: None,
            },
        });
    }

    fn admit(&mut self, reserve: &Reserve, terms: Option<Box<HeldTerms>>) -> Result<Reply, Broken> {
        let end_user = self.named_end_user(reserve);
        self.name_once(reserve);
        let hold = Hold {
            attempt_id: reserve.attempt_id,
            request_id: reserve.request_id,
            reserved_at: self.now,
            expires_at: self.now.plus(self.context.hold_ttl),
            floor: reserve.floor,
            admitted: Admitted { end_user, ..reserve.admitted.clone() },
            pinned: reserve.pinned.clone(),
            terms,
            scopes: reserve.scopes.clone(),
            released: Exact::ZERO,
        };
        if hold.terms.is_some() {
            self.store_credit(Unit::Money);
            self.store_credit(Unit::Credits);
        }
        let expires_at = hold.expires_at;
        let parties = self.ledger.parties_of(&hold);
        self.note_price(reserve);
        self.rows.push(Row::PutHold(Box::new(hold.clone())));
        self.ledger.add_hold(hold, self.now)?;
        self.held(expires_at, &parties)
    }

    pub(super) fn held(
        &self,
        expires_at: crate::clock::Timestamp,
        parties: &[Party],
    ) -> Result<Reply, Broken> {
        let limits = &self.ledger.limits;
        Ok(Reply::Held {
            expires_at,
            remaining: limits.remaining(parties, self.now)?,
            standings: limits.standings(parties, self.now)?,
        })
    }

    /// The key of the end user's pseudonym; a new one where this is the first of it.
    pub(super) fn subject(&self) -> Digest {
        let fresh = || Digest::of(&[b"farebox-subject", &self.context.random]);
        self.context.prior.subject.unwrap_or_else(fresh)
    }
}
