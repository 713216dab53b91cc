//! Canonical bytes, the chain's hash, and the signature.

use core::fmt;
use core::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{Private, Record};
use crate::auth::Ring;

/// A SHA-256 digest; lower-case hex in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// SHA-256 of the parts, one after the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl FromStr for Digest {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| ())?;
        bytes.try_into().map(Self).map_err(|_| ())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|()| de::Error::custom("not 64 lower-case hex digits"))
    }
}

/// Who signed, and the tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Always `HMAC-SHA256`.
    pub alg: String,
    /// Number of the record secret.
    pub key_id: u32,
    /// HMAC-SHA256 over the record's canonical bytes, in hex.
    pub tag: Digest,
}

/// A record in its final form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// RFC 8785 bytes of the public part.
    pub canonical: String,
    /// SHA-256 of them: the next record's `prev`.
    pub hash: Digest,
    /// Proof that this operator wrote them.
    pub signature: Signature,
    /// RFC 8785 bytes of the private part.
    pub private: String,
    /// Random; keeps the private part from being guessed from its hash.
    pub salt: Digest,
}

/// One line of the archive: `{"record", "signature", "private", "salt"}`. A customer's copy has
/// only the first two.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedLine<'a> {
    /// The public part, byte for byte.
    #[serde(borrow)]
    pub record: &'a RawValue,
    /// Its signature.
    pub signature: Signature,
    /// The private part, byte for byte.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub private: Option<&'a RawValue>,
    /// The salt of its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Digest>,
}

/// The canonical bytes of a value; `None` if it cannot be written as JSON (never, for our types).
pub(super) fn canonical(value: &impl Serialize) -> Option<String> {
    serde_json_canonicalizer::to_string(value).ok()
}

impl Record {
    /// Its canonical bytes, as [`canonical`] makes them of anything.
    pub(super) fn canonical(&self) -> Option<String> {
        // Only here are names of members an operator's choice. RFC 8785 sorts by UTF-16 units,
        // which past ASCII is not how they lie here.
        let lines = self.plan.iter().flat_map(|plan| &plan.lines);
        if lines.flat_map(|line| line.dimensions.keys()).all(|name| name.is_ascii()) {
            serde_json::to_string(self).ok()
        } else {
            canonical(self)
        }
    }
}

/// Binds the private part into the record, and signs its canonical bytes. `None` only where the
/// ring is empty, which a start without secrets prevents.
pub fn seal(mut record: Record, private: &Private, salt: Digest, ring: &Ring) -> Option<Sealed> {
    let private = serde_json::to_string(private).ok()?;
    record.private = Digest::of(&[&salt.0, private.as_bytes()]);
    let canonical = record.canonical()?;
    let (key_id, tag) = ring.sign_bytes(canonical.as_bytes())?;
    let signature = Signature { alg: "HMAC-SHA256".into(), key_id, tag: Digest(tag) };
    let hash = Digest::of(&[canonical.as_bytes()]);
    Some(Sealed { canonical, hash, signature, private, salt })
}

impl Sealed {
    /// The archive's line, without its line feed.
    pub fn line(&self) -> Option<String> {
        let record = serde_json::from_str(&self.canonical).ok()?;
        let private = serde_json::from_str(&self.private).ok()?;
        let signature = self.signature.clone();
        let line = SealedLine { record, signature, private: Some(private), salt: Some(self.salt) };
        serde_json::to_string(&line).ok()
    }
}
