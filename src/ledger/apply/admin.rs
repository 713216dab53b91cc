//! What the operator changes: the customer, its limits, its keys.

use super::{Broken, Op};
use crate::ids::Name;
use crate::ledger::command::{Admin, KeyState, KeyStatus, LimitRule, Reply, Row};
use crate::ledger::state::Account;
use crate::ledger::{KEYS_MAX, LIMIT_MAX, LIMITS_MAX};
use crate::money::Exact;

impl Op<'_> {
    pub(super) fn admin(&mut self, admin: &Admin) -> Result<Reply, Broken> {
        match admin {
            Admin::PutCustomer { customer, currency, limits } => {
                self.put_customer(customer, currency, limits)
            }
            Admin::PutKey { key_id, secret_sha256, label } => Ok(self.put_key(KeyState {
                key_id: key_id.clone(),
                secret_sha256: *secret_sha256,
                status: KeyStatus::Active,
                label: label.clone(),
            })),
            Admin::RevokeKey { key_id } => Ok(match self.ledger.keys.get(key_id).cloned() {
                Some(key) => self.put_key(KeyState { status: KeyStatus::Revoked, ..key }),
                None => Reply::Invalid(format!("there is no key {key_id}")),
            }),
            Admin::PutPlan(put) => self.put_plan(put),
            Admin::PutGrant(new) => self.put_grant(new),
            Admin::VoidGrant { id } => self.void_grant(id),
        }
    }

    fn put_customer(
        &mut self,
        customer: &Name,
        currency: &str,
        limits: &[LimitRule],
    ) -> Result<Reply, Broken> {
        if let Some(problem) = self.customer_problem(customer, currency, limits) {
            return Ok(Reply::Invalid(problem));
        }
        let created_at = self.ledger.account.as_ref().map_or(self.now, |old| old.created_at);
        let account = Account {
            customer: customer.clone(),
            currency: currency.to_owned(),
            limits: limits.to_vec(),
            created_at,
        };
        self.rows.push(Row::PutAccount(account.clone()));
        self.ledger.account = Some(account);
        self.ledger.rebuild_limits(self.now)?;
        Ok(Reply::Done)
    }

    fn customer_problem(
        &self,
        customer: &Name,
        currency: &str,
        limits: &[LimitRule],
    ) -> Option<String> {
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Some(format!("currency {currency:?} is not an ISO 4217 code such as \"USD\""));
        }
        if let Some(old) = &self.ledger.account {
            if old.customer != *customer {
                return Some(format!("this ledger belongs to customer {}", old.customer));
            }
            if old.currency != currency {
                return Some(format!("the currency is {} and cannot be changed", old.currency));
            }
        }
        if limits.len() > LIMITS_MAX {
            return Some(format!("at most {LIMITS_MAX} limits are possible"));
        }
        for (at, rule) in limits.iter().enumerate() {
            if rule.limit.is_negative() {
                return Some(format!("limit {}: the amount is below zero", rule.id));
            }
            let largest = Exact::from(LIMIT_MAX);
            if rule.limit > largest || rule.limit.plus(largest).is_err() {
                return Some(format!(
                    "limit {}: at most {LIMIT_MAX} with 16 places is possible",
                    rule.id
                ));
            }
            if limits.iter().skip(at.saturating_add(1)).any(|other| other.id == rule.id) {
                return Some(format!("limit {}: the id is given twice", rule.id));
            }
        }
        None
    }

    fn put_key(&mut self, key: KeyState) -> Reply {
        if self.ledger.account.is_none() {
            return Reply::Invalid("create the customer before its keys".into());
        }
        let known = self.ledger.keys.contains_key(&key.key_id);
        if !known && self.ledger.keys.len() >= KEYS_MAX {
            return Reply::Invalid(format!("at most {KEYS_MAX} keys are possible"));
        }
        self.rows.push(Row::PutKey(key.clone()));
        self.ledger.keys.insert(key.key_id.clone(), key);
        Reply::Done
    }
}
