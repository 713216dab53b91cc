//! Dashboard sessions: `fbs_<customer>_<expires>_<rights>_<n><tag>`, for one customer, at most an
//! hour, checked without a lookup.

use super::{Denied, Ring};
use crate::clock::{Millis, Timestamp};
use crate::ids::Name;

const LABEL: &[u8] = b"farebox-session-v1";

/// Longest life of a session: one hour, so that a leaked link goes stale by itself.
pub const SESSION_LIFE_MAX: Millis = Millis::from_secs(3_600);

/// What a session may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rights {
    /// Look only.
    Read,
    /// Also change the customer's own settings.
    Write,
}

impl Rights {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Write => "w",
        }
    }
}

/// A verified session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The one customer it speaks for.
    pub customer: Name,
    /// First instant at which it is no longer good.
    pub expires: Timestamp,
    /// What it may do.
    pub rights: Rights,
}

impl Session {
    /// A session from `now`; a life over an hour is cut to one.
    pub fn new(customer: Name, rights: Rights, now: Timestamp, life: Millis) -> Self {
        Self { customer, rights, expires: now.plus(life.min(SESSION_LIFE_MAX)) }
    }

    /// The token; `None` where the ring is empty.
    pub fn text(&self, ring: &Ring) -> Option<String> {
        let expires = self.expires.ms().to_string();
        let ending = ring.ending(&parts(self.customer.as_str(), &expires, self.rights.as_str()))?;
        Some(format!("fbs_{}_{expires}_{}_{ending}", self.customer, self.rights.as_str()))
    }

    /// Reads a token, checks its tag, then its time.
    pub fn verify(text: &str, ring: &Ring, now: Timestamp) -> Result<Self, Denied> {
        let mut fields = text.strip_prefix("fbs_").ok_or(Denied::Invalid)?.split('_');
        let mut next = || fields.next().ok_or(Denied::Invalid);
        let (customer, expires, rights, ending) = (next()?, next()?, next()?, next()?);
        let signed = ring.ends_well(&parts(customer, expires, rights), ending);
        if !signed || fields.next().is_some() {
            return Err(Denied::Invalid);
        }
        let rights = if rights == Rights::Write.as_str() { Rights::Write } else { Rights::Read };
        let expires = expires.parse().map(Timestamp::from_ms).map_err(|_| Denied::Invalid)?;
        if expires <= now || expires > now.plus(SESSION_LIFE_MAX) {
            return Err(Denied::Expired);
        }
        let customer = customer.parse().map_err(|()| Denied::Invalid)?;
        Ok(Self { customer, expires, rights })
    }
}

fn parts<'a>(customer: &'a str, expires: &'a str, rights: &'a str) -> [&'a [u8]; 4] {
    [LABEL, customer.as_bytes(), expires.as_bytes(), rights.as_bytes()]
}
