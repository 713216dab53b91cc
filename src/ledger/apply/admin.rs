//! What the operator changes: the customer, its limits, its keys; and what the customer may.

use super::{Broken, Op};
use crate::clock::Window;
use crate::ids::Name;
use crate::ledger::access::{Admin, Allows, KeyState, KeyStatus};
use crate::ledger::command::{Reply, Row};
use crate::ledger::limits::{LimitRule, Scope, check};
use crate::ledger::state::Account;
use crate::ledger::{CAPS_MAX, KEYS_MAX, LIMITS_MAX};

/// A customer's terms, as the operator puts them.
struct Terms<'a> {
    customer: &'a Name,
    currency: &'a str,
    limits: &'a [LimitRule],
    zone: Option<&'a str>,
    allows: &'a Allows,
}

impl Op<'_> {
    pub(super) fn admin(&mut self, admin: &Admin) -> Result<Reply, Broken> {
        match admin {
            Admin::PutCustomer { customer, currency, limits, zone, allows } => {
                let zone = zone.as_deref();
                self.put_customer(&Terms { customer, currency, limits, zone, allows })
            }
            Admin::PutCaps { caps } => self.put_caps(caps),
            Admin::PutKey { key_id, secret_sha256, label, expires_at, allows } => {
                let key = KeyState {
                    key_id: key_id.clone(),
                    secret_sha256: *secret_sha256,
                    status: KeyStatus::Active,
                    label: label.clone(),
                    frozen: false,
                    expires_at: *expires_at,
                    allows: allows.clone(),
                };
                Ok(self.put_key(key))
            }
            Admin::RevokeKey { key_id } => {
                Ok(self.change_key(key_id, |key| KeyState { status: KeyStatus::Revoked, ..key }))
            }
            Admin::Freeze { key_id: Some(key_id), frozen } => {
                Ok(self.change_key(key_id, |key| KeyState { frozen: *frozen, ..key }))
            }
            Admin::Freeze { key_id: None, frozen } => {
                let Some(account) = &self.ledger.account else { return Ok(absent()) };
                let account = Account { frozen: *frozen, ..account.clone() };
                self.put_account(account)
            }
            Admin::PutPlan(put) => self.put_plan(put),
            Admin::PutGrant(new) => self.put_grant(new),
            Admin::VoidGrant { id } => self.void_grant(id),
            Admin::PutAlerts(settings) => Ok(self.put_alerts(settings)),
        }
    }

    fn put_customer(&mut self, terms: &Terms<'_>) -> Result<Reply, Broken> {
        if let Some(problem) = self.customer_problem(terms) {
            return Ok(Reply::Invalid(problem));
        }
        let old = self.ledger.account.as_ref();
        let account = Account {
            customer: terms.customer.clone(),
            currency: terms.currency.to_owned(),
            limits: terms.limits.to_vec(),
            created_at: old.map_or(self.now, |old| old.created_at),
            caps: old.map(|old| old.caps.clone()).unwrap_or_default(),
            zone: terms.zone.map(ToOwned::to_owned),
            allows: terms.allows.clone(),
            frozen: old.is_some_and(|old| old.frozen),
            tracked: old.map(|old| old.tracked.clone()).unwrap_or_default(),
            minutes: old.and_then(|old| old.minutes),
        };
        self.put_account(account)
    }

    /// The customer's own limits: beside the operator's, never in their place.
    fn put_caps(&mut self, caps: &[LimitRule]) -> Result<Reply, Broken> {
        let Some(account) = &self.ledger.account else { return Ok(absent()) };
        let zone = account.zone.as_deref().unwrap_or("UTC");
        if let Some(problem) = check(caps, CAPS_MAX, zone) {
            return Ok(Reply::Invalid(problem));
        }
        let account = Account { caps: caps.to_vec(), ..account.clone() };
        self.put_account(account)
    }

    fn put_account(&mut self, mut account: Account) -> Result<Reply, Broken> {
        let rules = account.limits.iter().chain(&account.caps);
        if rules.clone().any(|rule| rule.window == Some(Window::Minute)) {
            account.minutes = account.minutes.or(Some(self.now));
        }
        let scopes: Vec<Scope> = rules.map(|rule| rule.scope).collect();
        for scope in scopes.into_iter().filter(|scope| *scope != Scope::Customer) {
            account.tracked.entry(scope).or_insert(self.now);
        }
        self.rows.push(Row::PutAccount(account.clone()));
        // Days follow the zone.
        self.ledger.alerts.watch = None;
        self.ledger.account = Some(account);
        self.ledger.rebuild_limits(self.now)?;
        Ok(Reply::Done)
    }

    fn customer_problem(&self, terms: &Terms<'_>) -> Option<String> {
        let Terms { customer, currency, limits, zone, allows } = terms;
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Some(format!("currency {currency:?} is not an ISO 4217 code such as \"USD\""));
        }
        if let Some(old) = &self.ledger.account {
            if old.customer != **customer {
                return Some(format!("this ledger belongs to customer {}", old.customer));
            }
            if old.currency != *currency {
                return Some(format!("the currency is {} and cannot be changed", old.currency));
            }
        }
        let zone = zone.unwrap_or("UTC");
        if let Err(unknown) = crate::calendar::Zone::named(zone) {
            return Some(unknown.to_string());
        }
        check(limits, LIMITS_MAX, zone).or_else(|| allows.problem())
    }

    fn put_key(&mut self, key: KeyState) -> Reply {
        if self.ledger.account.is_none() {
            return Reply::Invalid("create the customer before its keys".into());
        }
        if let Some(problem) = key.allows.problem() {
            return Reply::Invalid(problem);
        }
        let known = self.ledger.keys.contains_key(&key.key_id);
        if !known && self.ledger.keys.len() >= KEYS_MAX {
            return Reply::Invalid(format!("at most {KEYS_MAX} keys are possible"));
        }
        self.rows.push(Row::PutKey(key.clone()));
        self.ledger.keys.insert(key.key_id.clone(), key);
        Reply::Done
    }

    fn change_key(&mut self, key_id: &Name, change: impl Fn(KeyState) -> KeyState) -> Reply {
        match self.ledger.keys.get(key_id).cloned() {
            Some(key) => self.put_key(change(key)),
            None => Reply::Invalid(format!("there is no key {key_id}")),
        }
    }
}

fn absent() -> Reply {
    Reply::Invalid("this customer does not exist".into())
}
