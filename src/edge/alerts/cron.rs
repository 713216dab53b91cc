//! The cron: wakes ledgers, so that what their own alarms were to do is done though an alarm was
//! lost. It decides nothing. Each run wakes a bounded number of customers, in the order of their
//! names, and the next goes on from there.

use futures_util::future::join_all;
use wasm_bindgen::JsValue;

use super::super::d1::Directory;
use super::super::js;
use super::super::ledger_call::LedgerClient;
use crate::ids::Name;
use crate::ledger::Command;

/// Customers woken in one run: a run may make a thousand calls.
const RUN_MAX: u32 = 500;
/// Of them at the same time.
const AT_ONCE: usize = 20;
/// The cursor's name in the directory.
const CURSOR: &str = "wake";

/// One run.
pub async fn run(env: &JsValue) -> Result<(), String> {
    let Some(directory) = Directory::of(env) else { return Ok(()) };
    let after = directory.cursor(CURSOR).await?;
    let customers = directory.customers_after(&after, RUN_MAX).await?;
    for some in customers.chunks(AT_ONCE) {
        // Before they are woken: a run that dies over some of them is followed by one that goes on.
        directory.put_cursor(CURSOR, some.last().map_or("", Name::as_str)).await?;
        join_all(some.iter().map(|customer| wake(env, customer))).await;
    }
    // After the last, from the first again.
    if customers.len() < RUN_MAX as usize { directory.put_cursor(CURSOR, "").await } else { Ok(()) }
}

async fn wake(env: &JsValue, customer: &Name) {
    let Ok(ledger) = LedgerClient::new(env, customer.clone()) else { return };
    if ledger.ask(&Command::Sweep).await.is_err() {
        js::log(&format!("cron: {customer} could not be woken"));
    }
}

/// Notes that a customer is there. A failure is no reason to refuse the customer: its ledger's own
/// alarms do without.
pub async fn note(env: &JsValue, customer: &Name) {
    let Some(directory) = Directory::of(env) else { return };
    if let Err(error) = directory.put_customer(customer, js::now()).await {
        js::log(&format!("directory: {customer} was not noted: {error}"));
    }
}
