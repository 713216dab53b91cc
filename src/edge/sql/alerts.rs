//! The tables of alerts, of endpoints, and of what is on its way to them.

use wasm_bindgen::JsValue;

use super::super::alerts::Due;
use super::super::alerts::ask::Listed;
use super::super::js;
use super::{Failed, Store, amount, json, millis, number, parsed, text, time};
use crate::clock::Timestamp;
use crate::ids::Name;
use crate::ledger::{ALERTS_DAYS, ALERTS_MAX, LoadedAlerts, STANDING_MAX, TOLD_MAX};

use crate::notify::{Delivery, Endpoint, State};

const PUT_DELIVERY: &str = "INSERT INTO deliveries VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET state = ?3, next_at = ?4, body = ?5";
const DAY_MS: i64 = 86_400_000;

impl Store {
    /// What a ledger keeps in memory of its alerts.
    pub(super) fn load_alerts(&self, now: Timestamp) -> Result<LoadedAlerts, Failed> {
        let mut loaded = LoadedAlerts::default();
        for row in self.query("SELECT value FROM meta WHERE name = 'alerts'", &[])? {
            loaded.settings = Some(parsed(&row.get(0))?);
        }
        let told =
            "SELECT id FROM alerts WHERE until IS NULL OR until > ? ORDER BY at DESC LIMIT ?";
        let most = u64::try_from(TOLD_MAX).unwrap_or(u64::MAX);
        for row in self.query(told, &[millis(now), number(most)])? {
            loaded.told.push(text(&row.get(0))?);
        }
        for row in self.query("SELECT week, model, spent FROM week_models", &[])? {
            let (week, model) = (text(&row.get(0))?, text(&row.get(1))?);
            loaded.weeks.push((week, model, amount(&row.get(2))?));
        }
        Ok(loaded)
    }

    /// The newest alerts as JSON, at most `limit`, raised at or before `until`; all, or the customer's own.
    pub fn alerts(
        &self,
        all: bool,
        before: Option<Timestamp>,
        limit: u64,
    ) -> Result<Vec<String>, Failed> {
        let sql = "SELECT body FROM alerts WHERE (customers = 1 OR ?1) AND (?2 IS NULL OR at < ?2) ORDER BY at DESC, id LIMIT ?3";
        let before = before.map_or(JsValue::NULL, millis);
        let rows = self.query(sql, &[number(all.into()), before, number(limit)])?;
        rows.iter().map(|row| text(&row.get(0))).collect()
    }

    /// Alerts that are not spread over their endpoints yet, oldest first.
    pub fn raised(&self, limit: u64) -> Result<Vec<(String, String)>, Failed> {
        let sql = "SELECT id, body FROM alerts WHERE spread = 0 ORDER BY at LIMIT ?";
        let rows = self.query(sql, &[number(limit)])?;
        rows.iter().map(|row| Ok((text(&row.get(0))?, text(&row.get(1))?))).collect()
    }

    /// Puts an alert on its way to these endpoints, once, in one transaction.
    pub fn spread(&self, id: &str, endpoints: &[&str], first: &Delivery) -> Result<(), Failed> {
        let statements = js_sys::Array::new();
        let insert = "INSERT INTO deliveries VALUES (?, ?, 'pending', ?, ?) ON CONFLICT DO NOTHING";
        for endpoint in endpoints {
            statements.push(&js_sys::Array::of5(
                &insert.into(),
                &id.into(),
                &(*endpoint).into(),
                &millis(first.since),
                &json(first)?,
            ));
        }
        let done = "UPDATE alerts SET spread = 1 WHERE id = ?";
        statements.push(&js_sys::Array::of2(&done.into(), &id.into()));
        js::commit(&self.storage, &statements).map_err(|error| js::reason(&error))
    }

    /// Deliveries whose time has come, with what is to be sent.
    pub fn due_deliveries(&self, now: Timestamp, limit: u64) -> Result<Vec<Due>, Failed> {
        let sql = "SELECT alert_id, endpoint, deliveries.body, alerts.body FROM deliveries JOIN alerts ON alerts.id = alert_id WHERE state = 'pending' AND next_at <= ? ORDER BY next_at, at LIMIT ?";
        let due = |row: &js_sys::Array| {
            Ok(Due {
                alert_id: text(&row.get(0))?,
                endpoint: text(&row.get(1))?,
                delivery: parsed(&row.get(2))?,
                body: text(&row.get(3))?,
            })
        };
        self.query(sql, &[millis(now), number(limit)])?.iter().map(due).collect()
    }

    /// When there is something to spread or to send; absent: nothing is.
    pub fn next_delivery(&self) -> Result<Option<Timestamp>, Failed> {
        let sql = "SELECT MIN(at) FROM (SELECT MIN(at) AS at FROM alerts WHERE spread = 0 UNION ALL SELECT MIN(next_at) FROM deliveries WHERE state = 'pending')";
        let rows = self.query(sql, &[])?;
        let at = rows.first().map(|row| row.get(0)).filter(|value| !value.is_null());
        at.map(|value| time(&value)).transpose()
    }

    /// Notes where a delivery stands.
    pub fn put_delivery(&self, due: &Due, state: State, next_at: Timestamp) -> Result<(), Failed> {
        let row = [
            due.alert_id.as_str().into(),
            due.endpoint.as_str().into(),
            state.as_str().into(),
            millis(next_at),
            json(&due.delivery)?,
        ];
        self.query(PUT_DELIVERY, &row).map(drop)
    }

    /// Nothing is sent to an endpoint before then.
    pub fn put_off(&self, endpoint: &str, until: Timestamp) -> Result<(), Failed> {
        let sql = "UPDATE deliveries SET next_at = ?2 WHERE endpoint = ?1 AND state = 'pending' AND next_at < ?2";
        self.query(sql, &[endpoint.into(), millis(until)]).map(drop)
    }

    /// Gives up all that is on its way to an endpoint.
    pub fn bury(&self, endpoint: &str) -> Result<(), Failed> {
        let sql = "UPDATE deliveries SET state = 'dead' WHERE endpoint = ? AND state = 'pending'";
        self.query(sql, &[endpoint.into()]).map(drop)
    }

    /// The newest deliveries.
    pub fn deliveries(&self, state: Option<State>, limit: u64) -> Result<Vec<Listed>, Failed> {
        let sql = "SELECT alert_id, endpoint, state, next_at, body FROM deliveries WHERE ?1 IS NULL OR state = ?1 ORDER BY next_at DESC LIMIT ?2";
        let state = state.map_or(JsValue::NULL, |state| state.as_str().into());
        let listed = |row: &js_sys::Array| {
            Ok(Listed {
                alert: text(&row.get(0))?,
                endpoint: text(&row.get(1))?,
                state: text(&row.get(2))?,
                next_at: time(&row.get(3))?,
                delivery: parsed(&row.get(4))?,
            })
        };
        self.query(sql, &[state, number(limit)])?.iter().map(listed).collect()
    }

    /// Puts what was given up on its way again; answers how much that is.
    pub fn replay(
        &self,
        endpoint: Option<&str>,
        alert: Option<&str>,
        first: &Delivery,
    ) -> Result<u64, Failed> {
        let sql = "UPDATE deliveries SET state = 'pending', next_at = ?3, body = ?4 WHERE state = 'dead' AND (?1 IS NULL OR endpoint = ?1) AND (?2 IS NULL OR alert_id = ?2) RETURNING 1";
        let or_null = |text: Option<&str>| text.map_or(JsValue::NULL, JsValue::from_str);
        let row = [or_null(endpoint), or_null(alert), millis(first.since), json(first)?];
        Ok(u64::try_from(self.query(sql, &row)?.len()).unwrap_or(u64::MAX))
    }

    /// Every endpoint of the customer's.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>, Failed> {
        let rows = self.query("SELECT body FROM endpoints ORDER BY id", &[])?;
        rows.iter().map(|row| parsed(&row.get(0))).collect()
    }

    /// Adds an endpoint, or replaces it.
    pub fn put_endpoint(&self, endpoint: &Endpoint) -> Result<(), Failed> {
        let sql =
            "INSERT INTO endpoints VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body";
        self.query(sql, &[endpoint.id.as_str().into(), json(endpoint)?]).map(drop)
    }

    /// Takes an endpoint away, with what is on its way there.
    pub fn drop_endpoint(&self, id: &Name) -> Result<(), Failed> {
        let id: JsValue = id.as_str().into();
        self.query("DELETE FROM endpoints WHERE id = ?", core::slice::from_ref(&id))?;
        self.query("DELETE FROM deliveries WHERE endpoint = ?", &[id]).map(drop)
    }

    /// Lets go of alerts whose window is long over, of the oldest where there are too many, also of
    /// those whose window never is; and of deliveries whose alert is gone.
    pub(super) fn prune_alerts(&self, now: Timestamp) -> Result<(), Failed> {
        let ago = now.ms().saturating_sub(ALERTS_DAYS.saturating_mul(DAY_MS));
        let before = Timestamp::from_ms(ago);
        self.query("DELETE FROM alerts WHERE at < ?1 AND until < ?1", &[millis(before)])?;
        let oldest = "DELETE FROM alerts WHERE until < ?1 AND at <= (SELECT at FROM alerts WHERE until < ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)";
        self.query(oldest, &[millis(now), number(ALERTS_MAX)])?;
        let standing = "DELETE FROM alerts WHERE until IS NULL AND at <= (SELECT at FROM alerts WHERE until IS NULL ORDER BY at DESC LIMIT 1 OFFSET ?)";
        self.query(standing, &[number(STANDING_MAX)])?;
        let orphans = "DELETE FROM deliveries WHERE alert_id NOT IN (SELECT id FROM alerts)";
        self.query(orphans, &[]).map(drop)
    }
}
