//! Where the operator's alerts go, and how mail leaves: `FAREBOX_ALERTS`.

use serde::Deserialize;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::clock::Millis;
use crate::ids::Name;
use crate::ledger::Owner;
use crate::notify::{Address, Endpoint, Secret, Target, check, is_secret};

#[wasm_bindgen(module = "/src/edge/alerts/send.js")]
extern "C" {
    #[wasm_bindgen(js_name = urlParts)]
    fn url_parts(text: &str) -> Option<js_sys::Array>;
}

/// The endpoint of the configuration, which hears of every customer; no other may have its name.
pub const WIDE: &str = "operator";

/// What is configured.
pub struct Port {
    /// Hears of every customer.
    pub wide: Option<Endpoint>,
    /// How mail leaves.
    pub mail: Option<MailPort>,
    /// The pause after a first failure.
    pub first_pause: Millis,
    /// On the developer's machine, messages may go anywhere.
    pub dev: bool,
}

/// How mail leaves.
pub struct MailPort {
    /// From whom.
    pub from: String,
    /// By what.
    pub by: Mailer,
}

/// What takes a mail.
pub enum Mailer {
    /// A `send_email` binding.
    Binding(String),
    /// An HTTPS address of the operator's, and what signs the call.
    Url(String, String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    webhook: Option<Hook>,
    #[serde(default)]
    mail: Option<Mail>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hook {
    url: String,
    secret: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mail {
    from: String,
    #[serde(default)]
    binding: Option<String>,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    secret: Option<String>,
}

impl Port {
    /// Reads the setting; `secret` looks a secret up by its name.
    pub fn parse(
        text: Option<&str>,
        secret: impl Fn(&str) -> Option<String>,
        first_pause: Millis,
        dev: bool,
    ) -> Result<Self, String> {
        let mut port = Self { wide: None, mail: None, first_pause, dev };
        let Some(text) = text else { return Ok(port) };
        let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let key = |name: &str| {
            secret(name).filter(|key| is_secret(key)).ok_or_else(|| {
                format!("the secret {name} must be whsec_ and the base64 of 24 to 64 random bytes")
            })
        };
        if let Some(hook) = written.webhook {
            is_safe(&hook.url, dev)?;
            let secrets = vec![Secret { key: key(&hook.secret)?, until: None }];
            let id: Name = WIDE.parse().map_err(|()| "no name".to_owned())?;
            let target = Target::Url(hook.url);
            let owner = Owner::Operator;
            port.wide = Some(Endpoint { id, owner, target, types: None, secrets, gone: false });
        }
        if let Some(Mail { from, binding, url, secret }) = written.mail {
            let by = match (binding, url, secret) {
                (Some(binding), None, None) => Mailer::Binding(binding),
                (None, Some(url), Some(name)) => {
                    is_safe(&url, dev)?;
                    Mailer::Url(url, key(&name)?)
                }
                _ => return Err("mail has a `binding`, or a `url` with a `secret`".into()),
            };
            port.mail = Some(MailPort { from, by });
        }
        Ok(port)
    }
}

/// Whether messages may go to a URL; in words why not.
pub fn is_safe(url: &str, dev: bool) -> Result<(), String> {
    let parts = url_parts(url).ok_or("this is not a URL")?;
    let part = |at| parts.get(at).as_string().unwrap_or_default();
    let (scheme, host): (String, String) = (part(0), part(1));
    let has_credentials = !part(2).is_empty();
    let address = Address { scheme: &scheme, host: &host, has_credentials };
    check(address, dev).map_err(|why| why.to_string())
}

/// A secret, or a binding, of the environment.
pub fn of_env(env: &JsValue, name: &str) -> JsValue {
    js_sys::Reflect::get(env, &name.into()).unwrap_or(JsValue::UNDEFINED)
}
