//! The tables of alerts, of endpoints, and of what is on its way to them.

use wasm_bindgen::JsValue;

use super::super::alerts::Due;
use super::super::alerts::ask::{Before, Listed};
use super::super::js;
use super::{Failed, Store, amount, json, millis, number, parsed, text, time};
use crate::clock::Timestamp;
use crate::ids::Name;
use crate::ledger::{ALERTS_DAYS, ALERTS_MAX, LoadedAlerts, Owner, STANDING_MAX, TOLD_MAX};
use crate::notify::{Delivery, Endpoint, State};

/// Of a row that is still there: what was taken away meanwhile does not come back.
const PUT_DELIVERY: &str = "UPDATE deliveries SET state = ?3, next_at = ?4, body = ?5 WHERE alert_id = ?1 AND endpoint = ?2";
/// A new delivery waits for what is waited for already: a pause holds for all that goes there.
const NEW_DELIVERY: &str = "INSERT INTO deliveries VALUES (?1, ?2, 'pending', max(?3, coalesce((SELECT min(next_at) FROM deliveries WHERE endpoint = ?2 AND state = 'pending'), ?3)), ?4) ON CONFLICT DO NOTHING";
const REPLAY: &str = "UPDATE deliveries SET state = 'pending', body = ?4, next_at = max(?3, coalesce((SELECT min(other.next_at) FROM deliveries AS other WHERE other.endpoint = deliveries.endpoint AND other.state = 'pending'), ?3)) WHERE state = 'dead' AND (?1 IS NULL OR endpoint = ?1) AND (?2 IS NULL OR alert_id = ?2) RETURNING 1";
/// Tests have ids of their own, so that none of them takes the place of an alert.
const TESTS: &str = "id >= 'test_' AND id < 'test`'";
/// What has still to be sent is not let go of: it is delivered or given up within days.
const NOT_UNDERWAY: &str =
    "id NOT IN (SELECT alert_id FROM deliveries WHERE state = 'pending') AND spread = 1";
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

    /// The newest alerts as JSON, at most `limit`, from before a moment or another alert; all, or the
    /// customer's own.
    pub fn alerts(
        &self,
        all: bool,
        before: Option<&Before>,
        limit: u64,
    ) -> Result<Vec<String>, Failed> {
        let sql = "SELECT body FROM alerts WHERE (customers = 1 OR ?1) AND (?2 IS NULL OR at < ?2) AND (?3 IS NULL OR (at, id) < (SELECT at, id FROM alerts WHERE id = ?3)) ORDER BY at DESC, id DESC LIMIT ?4";
        let (at, id) = match before {
            Some(Before::Time(at)) => (millis(*at), JsValue::NULL),
            Some(Before::Alert(id)) => (JsValue::NULL, id.as_str().into()),
            None => (JsValue::NULL, JsValue::NULL),
        };
        let rows = self.query(sql, &[number(all.into()), at, id, number(limit)])?;
        rows.iter().map(|row| text(&row.get(0))).collect()
    }

    /// How many tests were asked for since a moment.
    pub fn tests_since(&self, since: Timestamp) -> Result<u64, Failed> {
        let sql = format!("SELECT 1 FROM alerts WHERE {TESTS} AND at > ?");
        Ok(u64::try_from(self.query(&sql, &[millis(since)])?.len()).unwrap_or(u64::MAX))
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
        for endpoint in endpoints {
            statements.push(&js_sys::Array::of5(
                &NEW_DELIVERY.into(),
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

    /// An endpoint's deliveries whose time has come, with what is to be sent. Where a row cannot be
    /// read, its tries count from now.
    pub fn due_deliveries(
        &self,
        endpoint: &str,
        now: Timestamp,
        limit: u64,
    ) -> Result<Vec<Due>, Failed> {
        let sql = "SELECT alert_id, deliveries.body, alerts.body FROM deliveries JOIN alerts ON alerts.id = alert_id WHERE endpoint = ? AND state = 'pending' AND next_at <= ? ORDER BY next_at, at LIMIT ?";
        let due = |row: &js_sys::Array| {
            Ok(Due {
                alert_id: text(&row.get(0))?,
                endpoint: endpoint.to_owned(),
                delivery: parsed(&row.get(1)).unwrap_or_else(|_| Delivery::new(now)),
                body: text(&row.get(2))?,
            })
        };
        let rows = self.query(sql, &[endpoint.into(), millis(now), number(limit)])?;
        rows.iter().map(due).collect()
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

    /// Gives up what is on its way to an endpoint that is in no list any more.
    pub fn bury_unknown(&self, wide: &str) -> Result<(), Failed> {
        let sql = "UPDATE deliveries SET state = 'dead' WHERE state = 'pending' AND endpoint <> ? AND endpoint NOT IN (SELECT id FROM endpoints)";
        self.query(sql, &[wide.into()]).map(drop)
    }

    /// The newest deliveries: all, or those to one owner's endpoints.
    pub fn deliveries(
        &self,
        state: Option<State>,
        owner: Option<Owner>,
        limit: u64,
    ) -> Result<Vec<Listed>, Failed> {
        let sql = "SELECT alert_id, endpoint, state, next_at, body FROM deliveries WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR endpoint IN (SELECT id FROM endpoints WHERE json_extract(body, '$.owner') = json_extract(?2, '$'))) ORDER BY next_at DESC, alert_id, endpoint LIMIT ?3";
        let state = state.map_or(JsValue::NULL, |state| state.as_str().into());
        let owner = owner.map_or(Ok(JsValue::NULL), |owner| json(&owner))?;
        let listed = |row: &js_sys::Array| {
            Ok(Listed {
                alert: text(&row.get(0))?,
                endpoint: text(&row.get(1))?,
                state: text(&row.get(2))?,
                next_at: time(&row.get(3))?,
                delivery: parsed(&row.get(4))?,
            })
        };
        self.query(sql, &[state, owner, number(limit)])?.iter().map(listed).collect()
    }

    /// Puts what was given up on its way again; answers how much that is.
    pub fn replay(
        &self,
        endpoint: Option<&str>,
        alert: Option<&str>,
        first: &Delivery,
    ) -> Result<u64, Failed> {
        let or_null = |text: Option<&str>| text.map_or(JsValue::NULL, JsValue::from_str);
        let row = [or_null(endpoint), or_null(alert), millis(first.since), json(first)?];
        Ok(u64::try_from(self.query(REPLAY, &row)?.len()).unwrap_or(u64::MAX))
    }

    /// Every endpoint of the customer's.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>, Failed> {
        let rows = self.query("SELECT body FROM endpoints ORDER BY id", &[])?;
        rows.iter().map(|row| parsed(&row.get(0))).collect()
    }

    /// One endpoint as it stands now, with the text it is stored as.
    pub fn endpoint(&self, id: &str) -> Result<Option<(Endpoint, String)>, Failed> {
        let rows = self.query("SELECT body FROM endpoints WHERE id = ?", &[id.into()])?;
        let read = |row: &js_sys::Array| Ok((parsed(&row.get(0))?, text(&row.get(0))?));
        rows.first().map(read).transpose()
    }

    /// Notes that an endpoint said it is gone; whether that was noted. Where it was put again while it
    /// was asked, what it said was of another one.
    pub fn put_gone(&self, endpoint: &Endpoint, stored: &str) -> Result<bool, Failed> {
        let sql = "UPDATE endpoints SET body = ?3 WHERE id = ?1 AND body = ?2 RETURNING 1";
        let gone = Endpoint { gone: true, ..endpoint.clone() };
        let row = [endpoint.id.as_str().into(), stored.into(), json(&gone)?];
        Ok(!self.query(sql, &row)?.is_empty())
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
        let yesterday = Timestamp::from_ms(now.ms().saturating_sub(DAY_MS));
        let tests = format!("DELETE FROM alerts WHERE {TESTS} AND at < ? AND {NOT_UNDERWAY}");
        self.query(&tests, &[millis(yesterday)])?;
        let old = format!("DELETE FROM alerts WHERE at < ?1 AND until < ?1 AND {NOT_UNDERWAY}");
        self.query(&old, &[millis(before)])?;
        let oldest = format!(
            "DELETE FROM alerts WHERE until < ?1 AND at <= (SELECT at FROM alerts WHERE until < ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2) AND {NOT_UNDERWAY}"
        );
        self.query(&oldest, &[millis(now), number(ALERTS_MAX)])?;
        let standing = format!(
            "DELETE FROM alerts WHERE until IS NULL AND at <= (SELECT at FROM alerts WHERE until IS NULL ORDER BY at DESC LIMIT 1 OFFSET ?) AND {NOT_UNDERWAY}"
        );
        self.query(&standing, &[number(STANDING_MAX)])?;
        let orphans = "DELETE FROM deliveries WHERE alert_id NOT IN (SELECT id FROM alerts)";
        self.query(orphans, &[]).map(drop)
    }
}
