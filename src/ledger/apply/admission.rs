//! Who may ask at all: keys, entitlements, requests asked for before; and what a refusal says.

use subtle::ConstantTimeEq;

use super::Op;
use crate::ids::Name;
use crate::ledger::ONCE_LIFE;
use crate::ledger::access::{Forbidden, KeyStatus};
use crate::ledger::command::{Reply, Reserve};
use crate::ledger::limits::Objection;
use crate::ledger::status::{Earlier, Refusal, RefusalCode};
use crate::money::Exact;
use crate::record::{Class, Digest};

/// Why an attempt may not run, and what there is to say of it.
pub(super) struct Denial {
    code: RefusalCode,
    by: Option<Objection>,
    forbidden: Option<Forbidden>,
    earlier: Option<Earlier>,
}

impl From<RefusalCode> for Denial {
    fn from(code: RefusalCode) -> Self {
        Self { code, by: None, forbidden: None, earlier: None }
    }
}

impl Denial {
    pub fn by_limit(objection: Objection) -> Self {
        let code = objection.code;
        Self { by: Some(objection), ..code.into() }
    }
}

impl Op<'_> {
    /// The key first: whoever has no good key learns nothing else.
    pub(super) fn key_objection(
        &self,
        key_id: &Name,
        secret_sha256: &Digest,
    ) -> Option<RefusalCode> {
        let Some(key) = self.ledger.keys.get(key_id) else {
            return Some(RefusalCode::InvalidKey);
        };
        let same = key.secret_sha256.0.ct_eq(&secret_sha256.0);
        if self.ledger.account.is_none() || !bool::from(same) {
            return Some(RefusalCode::InvalidKey);
        }
        if key.status == KeyStatus::Revoked {
            return Some(RefusalCode::KeyDisabled);
        }
        let is_over = key.expires_at.is_some_and(|at| at <= self.now);
        is_over.then_some(RefusalCode::KeyExpired)
    }

    pub(super) fn check_key(&self, key_id: &Name, secret_sha256: &Digest) -> Reply {
        match self.key_objection(key_id, secret_sha256) {
            None => Reply::Done,
            Some(_) => Reply::Invalid("the key is not in force".into()),
        }
    }

    /// Whether nothing new may begin. What runs goes on.
    pub(super) fn frozen(&self, key_id: &Name) -> Option<RefusalCode> {
        if self.ledger.keys.get(key_id).is_some_and(|key| key.frozen) {
            return Some(RefusalCode::KeyFrozen);
        }
        let frozen = self.ledger.account.as_ref().is_some_and(|account| account.frozen);
        frozen.then_some(RefusalCode::CustomerFrozen)
    }

    /// What the plan or the key does not allow.
    pub(super) fn entitlement_objection(&self, reserve: &Reserve) -> Option<Denial> {
        let admitted = &reserve.admitted;
        let model = reserve.scopes.model.as_deref().unwrap_or(&admitted.model);
        let plan = self.ledger.account.as_ref().map(|account| &account.allows);
        let key = self.ledger.keys.get(&admitted.key_id).map(|key| &key.allows);
        for (allows, code) in [(plan, RefusalCode::NotInPlan), (key, RefusalCode::KeyForbids)] {
            let forbidden =
                allows.and_then(|a| a.objection(model, &admitted.endpoint, &admitted.features));
            if forbidden.is_some() {
                return Some(Denial { forbidden, ..code.into() });
            }
        }
        None
    }

    /// Whether the client asked for this before, under the same name. An attempt that was voided
    /// gave it nothing, and does not count.
    pub(super) fn asked_before(&self, reserve: &Reserve) -> Option<Denial> {
        let once = reserve.once?;
        let prior = self.context.prior.once.as_ref()?;
        let runs = self.ledger.holds.contains_key(&prior.attempt_id);
        let is_kept = prior.at.plus(ONCE_LIFE) > self.now;
        let just_expired =
            self.expired.iter().find(|(hold, _)| hold.attempt_id == prior.attempt_id);
        let ended = just_expired.map(|(_, record)| (record.class, record.charged)).or(prior.ended);
        let gave_nothing = matches!(ended, Some((Class::Voided, _)));
        if !runs && (!is_kept || gave_nothing) {
            return None;
        }
        let code = if prior.body != once.body {
            RefusalCode::IdempotencyKeyReused
        } else if runs {
            RefusalCode::RequestInProgress
        } else {
            RefusalCode::RequestCompleted
        };
        let charged = ended.map(|(_, charged)| charged).filter(|_| !runs);
        let (attempt_id, request_id) = (prior.attempt_id, prior.request_id);
        let earlier = Some(Earlier { attempt_id, request_id, charged });
        Some(Denial { earlier, ..code.into() })
    }

    /// Answers no. Nothing but the count of refusals is changed.
    pub(super) fn refuse(&mut self, denial: Denial, needed: Exact) -> Reply {
        if self.ledger.account.is_some() {
            self.ledger.refusals.count(denial.code, self.now, &mut self.rows);
        }
        self.refusal(denial, needed)
    }

    /// What a refusal says; of something that runs already, it is not counted as one.
    pub(super) fn refusal(&self, denial: Denial, needed: Exact) -> Reply {
        let Denial { code, by, forbidden, earlier } = denial;
        let needed = by.as_ref().map_or(needed, |by| by.needed);
        let limit = by.map(|by| by.view);
        let resets_at = limit.as_ref().and_then(|limit| limit.resets_at);
        Reply::Refused(Box::new(Refusal {
            code,
            limit,
            needed,
            currency: self.currency().unwrap_or_default().to_owned(),
            reset_seconds: resets_at.map(|at| at.since(self.now).div_ceil(1_000)),
            forbidden,
            earlier,
        }))
    }

    pub(super) fn currency(&self) -> Option<&str> {
        self.ledger.account.as_ref().map(|account| account.currency.as_str())
    }
}
