//! Names of things: customers, keys, requests and attempts.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::clock::Timestamp;

/// A request or attempt: a UUID version 7, made from a time and ten random bytes handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(uuid::Uuid);

/// One call by a client. Has one or more attempts.
pub type RequestId = Id;
/// One try at an upstream; the unit that is held, settled and recorded.
pub type AttemptId = Id;

impl Id {
    /// ```
    /// use farebox::{clock::Timestamp, ids::Id};
    /// let id = Id::new(Timestamp::from_ms(1_700_000_000_000), [7; 10]);
    /// assert_eq!(id.to_string(), "018bcfe5-6800-7707-8707-070707070707");
    /// ```
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let ms = u64::try_from(now.ms()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
    }

    /// The time it was made at; the start of time where it was not made from one.
    pub fn time(&self) -> Timestamp {
        let ms = self.0.as_u128().checked_shr(80).and_then(|ms| i64::try_from(ms).ok());
        Timestamp::from_ms(ms.filter(|_| self.0.get_version_num() == 7).unwrap_or(0))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for Id {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        uuid::Uuid::try_parse(text).map(Self).map_err(|_| ())
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|()| de::Error::custom(format_args!("{text:?} is not a UUID")))
    }
}

/// A short name of lower-case letters and digits: customers, keys and limits carry one. It stands
/// in keys, object names and storage paths, so nothing else is allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// Longest name; keeps a whole API key under 200 characters.
pub const NAME_MAX: usize = 32;

impl Name {
    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let fits = (1..=NAME_MAX).contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        (fits && plain).then(|| Self(text.to_owned())).ok_or(())
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|()| {
            de::Error::custom(format_args!(
                "{text:?} is not a name of 1 to {NAME_MAX} lower-case letters and digits"
            ))
        })
    }
}
