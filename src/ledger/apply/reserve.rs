//! May this attempt run?

use subtle::ConstantTimeEq;

use super::terms::Turned;
use super::{Broken, Op};
use crate::ids::Name;
use crate::ledger::command::{KeyStatus, Reply, Reserve, Row};
use crate::ledger::limits::LimitState;
use crate::ledger::purse::Unit;
use crate::ledger::state::Hold;
use crate::ledger::status::{Refusal, RefusalCode};
use crate::ledger::terms::HeldTerms;
use crate::money::{Exact, OutOfRange};
use crate::record::{Admitted, Digest};

impl Op<'_> {
    pub(super) fn reserve(&mut self, reserve: &Reserve) -> Result<Reply, Broken> {
        let key = (&reserve.admitted.key_id, &reserve.secret_sha256);
        if let Some(code) = self.key_objection(key.0, key.1) {
            return self.refuse(code, reserve, None);
        }
        if let Some(hold) = self.ledger.holds.get(&reserve.attempt_id) {
            let expires_at = hold.expires_at;
            // Due but not swept: from its very instant a hold is expired.
            return Ok(if hold.is_for(reserve) && self.now < expires_at {
                Reply::Held { expires_at, remaining: self.least_remaining()? }
            } else {
                self.refuse(RefusalCode::AttemptConflict, reserve, None)?
            });
        }
        // An attempt that is over cannot begin again; a caller that lost the answer makes a new one.
        let prior = &self.context.prior;
        let just_expired =
            self.expired.iter().any(|(hold, _)| hold.attempt_id == reserve.attempt_id);
        if just_expired || prior.record.is_some() || prior.expired.is_some() {
            return self.refuse(RefusalCode::AttemptConflict, reserve, None);
        }
        if self.currency() != Some(reserve.admitted.currency.as_str()) {
            return self.refuse(RefusalCode::CurrencyMismatch, reserve, None);
        }
        let (reserve, terms) = match self.under_terms(reserve)? {
            Turned::Into(reserve, terms) => (reserve, terms),
            Turned::Refused(refusal) => return Ok(Reply::Refused(refusal)),
        };
        if let Some(refused) = self.objection(&reserve)? {
            if let Some(terms) = &terms {
                self.give_up(terms)?;
            }
            return Ok(refused);
        }
        self.admit(&reserve, terms)
    }

    /// Why it may not be held for, if so.
    fn objection(&self, reserve: &Reserve) -> Result<Option<Reply>, Broken> {
        let needed = reserve.admitted.held;
        if needed.is_negative() || reserve.floor.is_negative() || reserve.floor > needed {
            return self.refuse(RefusalCode::AmountOutOfRange, reserve, None).map(Some);
        }
        let exact = self.stays_exact(reserve).and_then(|()| self.limit_objection(needed));
        let Ok(objection) = exact else {
            return self.refuse(RefusalCode::AmountOutOfRange, reserve, None).map(Some);
        };
        objection.map(|(code, at)| self.refuse(code, reserve, Some(at))).transpose()
    }

    /// Whether hold and floor can be added to all that is settled and held. A hold that could not
    /// be written when it expires would stop the ledger for good.
    fn stays_exact(&self, reserve: &Reserve) -> Result<(), OutOfRange> {
        let sum = self.ledger.settled.plus(self.ledger.held)?;
        sum.plus(reserve.admitted.held)?;
        sum.plus(reserve.floor)?;
        Ok(())
    }

    fn admit(&mut self, reserve: &Reserve, terms: Option<Box<HeldTerms>>) -> Result<Reply, Broken> {
        let end_user = reserve.end_user.as_deref().map(|value| self.pseudonym(value));
        let hold = Hold {
            attempt_id: reserve.attempt_id,
            request_id: reserve.request_id,
            reserved_at: self.now,
            expires_at: self.now.plus(self.context.hold_ttl),
            floor: reserve.floor,
            admitted: Admitted { end_user, ..reserve.admitted.clone() },
            pinned: reserve.pinned.clone(),
            terms,
        };
        if hold.terms.is_some() {
            self.store_credit(Unit::Money);
            self.store_credit(Unit::Credits);
        }
        let expires_at = hold.expires_at;
        self.rows.push(Row::PutHold(Box::new(hold.clone())));
        self.ledger.add_hold(hold)?;
        Ok(Reply::Held { expires_at, remaining: self.least_remaining()? })
    }

    /// The key first: whoever has no good key learns nothing else.
    fn key_objection(&self, key_id: &Name, secret_sha256: &Digest) -> Option<RefusalCode> {
        let Some(key) = self.ledger.keys.get(key_id) else {
            return Some(RefusalCode::InvalidKey);
        };
        let same = key.secret_sha256.0.ct_eq(&secret_sha256.0);
        if self.ledger.account.is_none() || !bool::from(same) {
            return Some(RefusalCode::InvalidKey);
        }
        (key.status == KeyStatus::Revoked).then_some(RefusalCode::KeyDisabled)
    }

    pub(super) fn check_key(&self, key_id: &Name, secret_sha256: &Digest) -> Reply {
        match self.key_objection(key_id, secret_sha256) {
            None => Reply::Done,
            Some(_) => Reply::Invalid("the key is not in force".into()),
        }
    }

    /// The objection of highest precedence among all limits, and whose it is.
    fn limit_objection(&self, needed: Exact) -> Result<Option<(RefusalCode, usize)>, OutOfRange> {
        let mut worst = None;
        for (at, limit) in self.ledger.limits.iter().enumerate() {
            if let Some(code) = limit.objection(needed)?
                && worst.is_none_or(|(worst, _)| code < worst)
            {
                worst = Some((code, at));
            }
        }
        Ok(worst)
    }

    fn refuse(
        &self,
        code: RefusalCode,
        reserve: &Reserve,
        limit: Option<usize>,
    ) -> Result<Reply, Broken> {
        let limit = limit.and_then(|at| self.ledger.limits.get(at)).map(LimitState::view);
        Ok(Reply::Refused(Box::new(Refusal {
            code,
            limit: limit.transpose()?,
            needed: reserve.admitted.held,
            currency: self.currency().unwrap_or_default().to_owned(),
        })))
    }

    fn currency(&self) -> Option<&str> {
        self.ledger.account.as_ref().map(|account| account.currency.as_str())
    }

    fn least_remaining(&self) -> Result<Option<Exact>, Broken> {
        use crate::ledger::command::Strictness::Hard;
        let hard = self.ledger.limits.iter().filter(|limit| limit.rule.kind == Hard);
        let mut least = None;
        for remaining in hard.map(LimitState::remaining) {
            let remaining = remaining?;
            least = Some(least.map_or(remaining, |least: Exact| least.min(remaining)));
        }
        Ok(least)
    }

    /// The end user under a key of its own, so that erasing the key erases the link.
    fn pseudonym(&mut self, value: &str) -> String {
        let key = self.context.prior.subject.unwrap_or_else(|| {
            let key = Digest::of(&[b"farebox-subject", &self.context.random]);
            self.rows.push(Row::PutSubject { value: value.to_owned(), key });
            key
        });
        crate::auth::pseudonym(&key.0, value.as_bytes())
    }
}
