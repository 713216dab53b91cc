//! The tables of alerts, of endpoints, and of what is on its way to them.

use wasm_bindgen::JsValue;

use super::{Failed, Store, amount, millis, number, parsed, text};
use crate::clock::Timestamp;
use crate::ledger::{ALERTS_DAYS, ALERTS_MAX, LoadedAlerts, TOLD_MAX};

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

    /// Lets go of alerts whose window is long over, and of the oldest of those where there are too
    /// many; and of deliveries whose alert is gone.
    pub(super) fn prune_alerts(&self, now: Timestamp) -> Result<(), Failed> {
        let ago = now.ms().saturating_sub(ALERTS_DAYS.saturating_mul(DAY_MS));
        let before = Timestamp::from_ms(ago);
        self.query("DELETE FROM alerts WHERE at < ?1 AND until < ?1", &[millis(before)])?;
        let oldest = "DELETE FROM alerts WHERE until < ?1 AND at <= (SELECT at FROM alerts WHERE until < ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)";
        self.query(oldest, &[millis(now), number(ALERTS_MAX)])?;
        let orphans = "DELETE FROM deliveries WHERE alert_id NOT IN (SELECT id FROM alerts)";
        self.query(orphans, &[]).map(drop)
    }
}
