//! Calls from the Worker to a customer's ledger object.

use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::js::{self, Ledgers};
use crate::api::{Code, Problem};
use crate::ids::Name;
use crate::ledger::{Command, Reply};

/// Milliseconds between tries of a call that must get through: 12 s in all, well under the 30 s
/// that work may go on after the client has gone.
const PATIENT: [f64; 5] = [50.0, 200.0, 800.0, 3_000.0, 8_000.0];
/// One more try at once: the usual cause is an object that was just restarted.
const QUICK: [f64; 1] = [0.0];
/// How long one try may take: a ledger under the heaviest load that it bears answers in a second.
const TRY_MS: f64 = 4_000.0;

/// A customer's ledger.
#[derive(Clone)]
pub struct LedgerClient {
    ledgers: JsValue,
    customer: Name,
}

impl LedgerClient {
    pub fn new(env: &JsValue, customer: Name) -> Result<Self, Problem> {
        let ledgers = Reflect::get(env, &"LEDGER".into()).unwrap_or(JsValue::UNDEFINED);
        if ledgers.is_undefined() {
            js::log("misconfigured: the LEDGER binding is missing");
            return Err(Problem::new(
                Code::Misconfigured,
                "This gateway has no ledger configured.",
            ));
        }
        Ok(Self { ledgers, customer })
    }

    /// Asks for an answer that a client waits for: one quick retry, then it is unavailable.
    pub async fn ask(&self, command: &Command) -> Result<Reply, Problem> {
        self.apply(command, &QUICK).await.ok_or_else(unavailable)
    }

    /// Tells something that must arrive. If it does not, the hold expires and is charged by the
    /// written rule.
    pub async fn tell(&self, command: &Command) -> Option<Reply> {
        self.apply(command, &PATIENT).await
    }

    /// Reads: JSON in, JSON out.
    pub async fn look(&self, query: &str) -> Result<String, Problem> {
        let text = self.send(|stub| stub.look(query)).await;
        text.map_err(|_| unavailable())
    }

    /// Asks about alerts: JSON in; JSON out, or `!` and what is wrong with the order.
    pub async fn alerts(&self, ask: &str) -> Result<String, Problem> {
        let text = self.send(|stub| stub.alerts(ask)).await;
        text.map_err(|_| unavailable())
    }

    /// Hands a WebSocket request over.
    pub async fn connect(&self, request: &web_sys::Request) -> Result<web_sys::Response, Problem> {
        let stub = self.stub().ok_or_else(unavailable)?;
        let promise = stub.fetch(request).map_err(|_| unavailable())?;
        let response = JsFuture::from(promise).await.map_err(|_| unavailable())?;
        Ok(response.unchecked_into())
    }

    async fn apply(&self, command: &Command, pauses: &[f64]) -> Option<Reply> {
        let mut text = serde_json::to_string(command).ok()?;
        for (tries, pause) in core::iter::once(&0.0).chain(pauses).enumerate() {
            if *pause > 0.0 {
                js::pause(*pause).await;
            }
            if tries == 1
                && let Command::Reserve(reserve) = command
            {
                // The first try may have arrived: the ledger is to look for it.
                let again = crate::ledger::Reserve { again: true, ..(**reserve).clone() };
                text = serde_json::to_string(&Command::Reserve(Box::new(again))).ok()?;
            }
            match self.send(|stub| stub.apply(&text)).await {
                Ok(reply) => return serde_json::from_str(&reply).ok(),
                // More of the same makes it worse: at once never, and what must arrive, later.
                Err(Lost::Overloaded) if pauses == QUICK => return None,
                Err(_) => {}
            }
        }
        None
    }

    /// A stub is broken once a call on it failed, so each try takes a new one.
    fn stub(&self) -> Option<js::LedgerStub> {
        self.ledgers.unchecked_ref::<Ledgers>().get_by_name(self.customer.as_str()).ok()
    }

    async fn send(
        &self,
        call: impl Fn(&js::LedgerStub) -> Result<js_sys::Promise, JsValue>,
    ) -> Result<String, Lost> {
        let sent = self.stub().ok_or(Lost::Otherwise)?;
        let result = match call(&sent) {
            Ok(promise) => JsFuture::from(js::within(&promise, TRY_MS)).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(text) => text.as_string().ok_or_else(|| {
                js::log(&format!("ledger {}: no answer in {TRY_MS} ms", self.customer));
                Lost::Otherwise
            }),
            Err(error) => {
                js::log(&format!("ledger {}: {}", self.customer, js::reason(&error)));
                let overloaded = Reflect::get(&error, &"overloaded".into());
                let overloaded = overloaded.is_ok_and(|overloaded| overloaded.is_truthy());
                Err(if overloaded { Lost::Overloaded } else { Lost::Otherwise })
            }
        }
    }
}

/// Why a try had no answer. Whether it arrived is not known.
enum Lost {
    /// The object has more to do than it can, by the platform's word.
    Overloaded,
    /// It failed, or took too long.
    Otherwise,
}

fn unavailable() -> Problem {
    let message = "The ledger cannot be reached, and nothing runs unmetered here. Retry shortly.";
    Problem::new(Code::MeteringUnavailable, message)
}
