//! What a row of the ledger's is written by.

use js_sys::Array;
use wasm_bindgen::JsValue;

use super::schema::{
    DROP_CREDIT, DROP_HOURS, DROP_PLAN_USES, DROP_TERMS, DROP_USE, DROP_WEEK, EXPIRE_HOLD,
    FORGET_FILES, PUT_ACCOUNT, PUT_ALERT, PUT_ALERT_SETTINGS, PUT_BATCH, PUT_CREDIT, PUT_FILE,
    PUT_IN_FORCE, PUT_JOB, PUT_KEY, PUT_LINE, PUT_MINUTE, PUT_ONCE, PUT_PLAN_USE, PUT_REFUSALS,
    PUT_SUBJECT, PUT_TERMS, PUT_USE, PUT_WEEK_MODEL,
};
use super::{Failed, Store, class_name, json, millis, number};
use crate::clock::Timestamp;
use crate::ledger::{AlertRow, BatchRow, File, RecordRow, Row, Unit};

impl Store {
    /// The statement and its parameters.
    pub(super) fn statement(&self, row: &Row) -> Result<Array, Failed> {
        Ok(match row {
            Row::PutHold(hold) => {
                Array::of3(&self.put_hold, &hold.attempt_id.to_string().into(), &json(hold)?)
            }
            Row::ExpireHold(id) => Array::of2(&EXPIRE_HOLD.into(), &id.to_string().into()),
            Row::DeleteHold(id) => Array::of2(&self.delete_hold, &id.to_string().into()),
            Row::PutRecord(record) => self.record_statement(record)?,
            Row::PutHour(hour, used) => {
                Array::of3(&self.put_hour, &millis(*hour), &used.to_string().into())
            }
            Row::DropHours(gone) => Array::of2(&DROP_HOURS.into(), &list(gone)),
            Row::PutUse(party, hour, used) => Array::of4(
                &PUT_USE.into(),
                &party.text().into(),
                &millis(*hour),
                &used.to_string().into(),
            ),
            Row::DropUse(party, gone) => {
                Array::of3(&DROP_USE.into(), &party.text().into(), &list(gone))
            }
            Row::PutMinute(party, at, used) => Array::of4(
                &PUT_MINUTE.into(),
                &party.text().into(),
                &millis(*at),
                &used.to_string().into(),
            ),
            Row::PutRefusals(hour, code, count) => {
                let code = serde_json::to_value(code).map_err(|error| error.to_string())?;
                let code = code.as_str().unwrap_or_default();
                Array::of4(&PUT_REFUSALS.into(), &millis(*hour), &code.into(), &number(*count))
            }
            Row::PutOnce { key, once } => {
                let key = key.to_string();
                Array::of4(&PUT_ONCE.into(), &key.into(), &millis(once.at), &json(once)?)
            }
            Row::PutAccount(account) => Array::of2(&PUT_ACCOUNT.into(), &json(account)?),
            Row::PutKey(key) => {
                Array::of3(&PUT_KEY.into(), &key.key_id.as_str().into(), &json(key)?)
            }
            Row::PutInForce(in_force) => Array::of2(&PUT_IN_FORCE.into(), &json(in_force)?),
            Row::PutJob(name, job) => {
                let attempt = job.attempt_id.to_string();
                Array::of4(&PUT_JOB.into(), &name.into(), &attempt.into(), &json(job)?)
            }
            Row::PutTerms(terms) => {
                Array::of3(&PUT_TERMS.into(), &number(terms.number.into()), &json(terms)?)
            }
            Row::DropTerms(of) => Array::of2(&DROP_TERMS.into(), &number((*of).into())),
            Row::PutPlanUse(used) => {
                let (of, period) = (number(used.number.into()), millis(used.period));
                Array::of5(&PUT_PLAN_USE.into(), &of, &period, &json(&used.place)?, &json(used)?)
            }
            Row::DropPlanUses(of, period) => {
                Array::of3(&DROP_PLAN_USES.into(), &number((*of).into()), &millis(*period))
            }
            Row::PutCredit(unit, id, stored) => {
                let (unit, id) = (unit_name(*unit).into(), id.into());
                match stored {
                    Some(stored) => Array::of4(&PUT_CREDIT.into(), &unit, &id, &json(stored)?),
                    None => Array::of3(&DROP_CREDIT.into(), &unit, &id),
                }
            }
            Row::Batch(BatchRow::Batch(name, batch)) => {
                let (at, path) =
                    (millis(batch.reserved_at), batch.admitted.endpoint.as_str().into());
                Array::of5(&PUT_BATCH.into(), &name.into(), &at, &path, &json(batch)?)
            }
            Row::Batch(BatchRow::Line(name, line)) => {
                Array::of3(&PUT_LINE.into(), &name.into(), &line.to_string().into())
            }
            Row::Batch(BatchRow::File(name, at, file)) => {
                let requests = number(matches!(file, File::Requests(_)).into());
                Array::of5(&PUT_FILE.into(), &name.into(), &millis(*at), &requests, &json(file)?)
            }
            Row::Batch(BatchRow::ForgetFiles(before)) => {
                Array::of2(&FORGET_FILES.into(), &millis(*before))
            }
            Row::Alerts(row) => alert_statement(row)?,
            Row::PutSubject { value, key } => {
                Array::of3(&PUT_SUBJECT.into(), &value.into(), &key.to_string().into())
            }
        })
    }

    fn record_statement(&self, record: &RecordRow) -> Result<Array, Failed> {
        let line = record.sealed.line().ok_or("a record cannot be written as JSON")?;
        let command = record.command.map_or(JsValue::NULL, |digest| digest.to_string().into());
        Ok([
            self.put_record.clone(),
            number(record.seq),
            record.attempt_id.to_string().into(),
            record.request_id.to_string().into(),
            class_name(record.class).into(),
            record.charged.to_string().into(),
            command,
            record.sealed.hash.to_string().into(),
            line.into(),
        ]
        .iter()
        .collect())
    }
}

fn alert_statement(row: &AlertRow) -> Result<Array, Failed> {
    Ok(match row {
        AlertRow::Raise { alert, until } => [
            PUT_ALERT.into(),
            alert.id.as_str().into(),
            millis(alert.timestamp),
            until.map_or(JsValue::NULL, millis),
            number(alert.what.is_for_customer().into()),
            json(alert)?,
        ]
        .iter()
        .collect(),
        AlertRow::Settings(settings) => Array::of2(&PUT_ALERT_SETTINGS.into(), &json(settings)?),
        AlertRow::Model(week, model, spent) => Array::of4(
            &PUT_WEEK_MODEL.into(),
            &week.into(),
            &model.into(),
            &spent.to_string().into(),
        ),
        AlertRow::DropWeek(week) => Array::of2(&DROP_WEEK.into(), &week.into()),
    })
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Money => "money",
        Unit::Credits => "credits",
    }
}

/// Times as a JSON list.
fn list(times: &[Timestamp]) -> JsValue {
    let numbers: Vec<String> = times.iter().map(|time| time.ms().to_string()).collect();
    format!("[{}]", numbers.join(",")).into()
}
