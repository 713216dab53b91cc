//! Where a customer's alerts go.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::sign::secret_of;
use crate::clock::{Millis, Timestamp};
use crate::ids::Name;
use crate::ledger::{Owner, What};

/// Most endpoints of one owner: each is one more message for every alert.
pub const ENDPOINTS_MAX: usize = 8;
/// How long the old secret signs beside a new one.
pub const OLD_SECRET_LIFE: Millis = Millis::from_secs(86_400);
/// Most kinds named by one endpoint; there are fewer.
const TYPES_MAX: usize = 32;
/// Longest URL or mail address.
const TARGET_MAX: usize = 2_048;

/// How it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// An HTTPS URL.
    Url(String),
    /// A mail address, by the operator's mail port.
    Mail(String),
}

/// What signs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// `whsec_…`
    pub key: String,
    /// First instant at which it no longer signs; absent for the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl core::fmt::Debug for Secret {
    /// A secret must not reach a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Secret").field("until", &self.until).finish_non_exhaustive()
    }
}

/// One endpoint, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Which.
    pub id: Name,
    /// Who set it, and may change it.
    pub owner: Owner,
    /// Where.
    pub target: Target,
    /// The kinds that are sent there; absent: all that its owner hears of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<Vec<String>>,
    /// The newest first.
    pub secrets: Vec<Secret>,
    /// It said that it is gone: nothing is sent there until it is put again.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub gone: bool,
}

/// An endpoint as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEndpoint {
    /// An HTTPS URL.
    #[serde(default)]
    pub url: Option<String>,
    /// Or a mail address.
    #[serde(default)]
    pub mail: Option<String>,
    /// The kinds that are sent there.
    #[serde(default)]
    pub types: Option<Vec<String>>,
}

/// An endpoint as people see it: without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointView<'a> {
    id: &'a Name,
    owner: Owner,
    #[serde(flatten)]
    target: Cow<'a, Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    types: Option<&'a [String]>,
    gone: bool,
    signing_keys: usize,
}

impl NewEndpoint {
    /// What is asked for; in words what is wrong with it. Whether a URL may be sent to, the caller
    /// checks.
    pub fn target(&self, owner: Owner) -> Result<Target, String> {
        let target = match (&self.url, &self.mail) {
            (Some(url), None) => Target::Url(url.clone()),
            (None, Some(mail)) if owner == Owner::Operator => Target::Mail(mail.clone()),
            (None, Some(_)) => return Err("mail addresses are set by the operator".into()),
            _ => return Err("an endpoint has a `url` or a `mail` address, one of them".into()),
        };
        let (Target::Url(text) | Target::Mail(text)) = &target;
        if text.len() > TARGET_MAX || text.chars().any(char::is_control) {
            return Err(format!("at most {TARGET_MAX} bytes, without control characters"));
        }
        let is_address = |text: &str| {
            text.split_once('@').is_some_and(|(to, host)| {
                !to.is_empty() && host.contains('.') && !host.contains('@')
            }) && !text.contains([' ', ',', ';', '<', '>'])
        };
        if matches!(target, Target::Mail(_)) && !is_address(text) {
            return Err("`mail` is one address, such as ops@example.com".into());
        }
        let types = self.types.as_deref().unwrap_or_default();
        if types.len() > TYPES_MAX {
            return Err(format!("`types` names at most {TYPES_MAX} kinds"));
        }
        if let Some(unknown) = types.iter().find(|kind| !What::KINDS.contains(&kind.as_str())) {
            let known = What::KINDS.join(", ");
            return Err(format!(
                "`types` has `{unknown}`, which is no kind of alert; there are {known}"
            ));
        }
        Ok(target)
    }
}

impl Endpoint {
    /// Whether an alert goes there. The customer's own hear what is the customer's to know.
    pub fn wants(&self, what: &What) -> bool {
        let named = |types: &Vec<String>| types.iter().any(|kind| kind == what.kind());
        !self.gone
            && (self.owner == Owner::Operator || what.is_for_customer())
            && self.types.as_ref().is_none_or(named)
    }

    /// Secrets that sign at a moment, the newest first.
    pub fn signing(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let good = move |secret: &&Secret| secret.until.is_none_or(|until| now < until);
        self.secrets.iter().filter(good).map(|secret| secret.key.as_str())
    }

    /// A new secret signs from now on; the last one beside it for a day, so that a receiver can
    /// change over without losing a message. Answers the new one.
    pub fn rotate(&mut self, random: [u8; 32], now: Timestamp) -> String {
        let key = secret_of(random);
        self.secrets.truncate(1);
        if let Some(old) = self.secrets.first_mut() {
            old.until = Some(now.plus(OLD_SECRET_LIFE));
        }
        self.secrets.insert(0, Secret { key: key.clone(), until: None });
        key
    }

    /// Without its secrets; without `whole`, a URL without what follows the host, too: that is often
    /// what a receiver knows its senders by.
    pub fn view(&self, now: Timestamp, whole: bool) -> EndpointView<'_> {
        let target = match &self.target {
            Target::Url(url) if !whole => Cow::Owned(Target::Url(host_of(url))),
            target => Cow::Borrowed(target),
        };
        EndpointView {
            id: &self.id,
            owner: self.owner,
            target,
            types: self.types.as_deref(),
            gone: self.gone,
            signing_keys: self.signing(now).count(),
        }
    }
}

/// `https://host/…`
fn host_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let host = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    // A URL with a user name is refused when it is put, but where anything goes.
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/…")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn endpoint(owner: Owner, types: Option<&[&str]>) -> Endpoint {
        let types = types.map(|types| types.iter().map(|kind| (*kind).to_owned()).collect());
        let target = Target::Url("https://hooks.example.com/".into());
        let id = "hook".parse().unwrap();
        Endpoint { id, owner, target, types, secrets: Vec::new(), gone: false }
    }

    #[test]
    fn a_customers_endpoint_hears_nothing_of_how_usage_was_metered() {
        let conflict = What::Conflict { seq: "1".into() };
        assert!(endpoint(Owner::Operator, None).wants(&conflict));
        assert!(!endpoint(Owner::Customer, None).wants(&conflict));
        assert!(!endpoint(Owner::Operator, Some(&["spend.spike"])).wants(&conflict));
        assert!(endpoint(Owner::Customer, Some(&["alert.test"])).wants(&What::Test {}));
        let gone = Endpoint { gone: true, ..endpoint(Owner::Operator, None) };
        assert!(!gone.wants(&conflict));
    }

    #[test]
    fn after_a_rotation_two_secrets_sign_for_a_day_and_then_one() {
        let (mut endpoint, now) = (endpoint(Owner::Operator, None), Timestamp::START);
        let first = endpoint.rotate([1; 32], now);
        assert_eq!(endpoint.signing(now).collect::<Vec<_>>(), [first.as_str()]);
        let second = endpoint.rotate([2; 32], now);
        assert_eq!(endpoint.signing(now).collect::<Vec<_>>(), [second.as_str(), first.as_str()]);
        let later = now.plus(OLD_SECRET_LIFE);
        assert_eq!(endpoint.signing(later).collect::<Vec<_>>(), [second.as_str()]);
        assert!(!format!("{endpoint:?}").contains("whsec_"));
        let view = serde_json::to_string(&endpoint.view(now, true)).unwrap();
        assert!(!view.contains("whsec_") && view.contains("\"signing_keys\":2"), "{view}");
    }

    #[test]
    fn who_may_not_change_an_endpoint_sees_its_host_alone() {
        let mut endpoint = endpoint(Owner::Customer, None);
        endpoint.target =
            Target::Url("https://hooks.example.com:8443/services/T0/s3cret?k=v".into());
        let view = |whole| serde_json::to_string(&endpoint.view(Timestamp::START, whole)).unwrap();
        assert!(
            view(false).contains(r#""url":"https://hooks.example.com:8443/…""#),
            "{}",
            view(false)
        );
        assert!(view(true).contains("s3cret"));
    }

    #[test]
    fn the_kinds_that_may_be_named_are_those_that_are_told() {
        let why =
            serde_json::from_str::<What>(r#"{"type":"none","data":{}}"#).unwrap_err().to_string();
        let told: Vec<&str> = why.split('`').skip(3).step_by(2).collect();
        assert_eq!(told.len(), What::KINDS.len(), "{why}");
        assert!(told.iter().all(|kind| What::KINDS.contains(kind)), "{why}");
    }

    #[test]
    fn a_kind_that_does_not_exist_is_refused_by_its_name() {
        let of = |kind: &str| {
            let (url, types) = (Some("https://a.example/".to_owned()), Some(vec![kind.to_owned()]));
            NewEndpoint { url, mail: None, types }.target(Owner::Customer)
        };
        assert!(of("limit.threshold").is_ok());
        let why = of("limit.treshold").unwrap_err();
        assert!(why.contains("limit.treshold") && why.contains("limit.threshold"), "{why}");
    }

    #[test]
    fn mail_goes_where_the_operator_says_only() {
        let to = |mail: &str| NewEndpoint { url: None, mail: Some(mail.into()), types: None };
        assert!(to("ops@example.com").target(Owner::Operator).is_ok());
        assert!(to("ops@example.com").target(Owner::Customer).is_err());
        for bad in ["ops", "a@b@c.d", "a@b", "a@b.c, d@e.f", "a@b.c\r\nBcc: x@y.z"] {
            assert!(to(bad).target(Owner::Operator).is_err(), "{bad}");
        }
    }
}
