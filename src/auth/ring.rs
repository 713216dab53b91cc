//! A ring of numbered HMAC secrets for one purpose, so that they can be rotated.

use core::fmt;
use std::collections::BTreeMap;

use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE, Specification};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Secrets by number. The highest number signs; all of them verify.
///
/// Written as `1:<hex>,2:<hex>`, each at least 32 bytes.
#[derive(Clone)]
pub struct Ring(BTreeMap<u32, Vec<u8>>);

/// Shortest secret in bytes: the output size of the hash (RFC 2104, section 3).
const SECRET_MIN: usize = 32;
/// Characters of a tag: 32 bytes in base32.
pub(super) const TAG_LEN: usize = 52;

/// Why a ring's text was refused. Never repeats the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingError {
    /// Nothing there.
    Empty,
    /// An item is not `<number>:<hex>`, or a number occurs twice.
    Malformed,
    /// A secret of fewer than 32 bytes.
    TooShort,
    /// One byte over and over: a placeholder, not a secret.
    Placeholder,
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::Malformed => "is not of the form 1:<hex>,2:<hex> with each number once",
            Self::TooShort => "holds a secret of fewer than 32 bytes (64 hex digits)",
            Self::Placeholder => "holds a placeholder instead of a random secret",
        })
    }
}

impl fmt::Debug for Ring {
    /// Numbers only: a secret must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ring").field(&self.0.keys().collect::<Vec<_>>()).finish()
    }
}

impl Ring {
    /// Reads `1:<hex>,2:<hex>`.
    pub fn parse(text: &str) -> Result<Self, RingError> {
        let mut secrets = BTreeMap::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let (number, hex) = item.split_once(':').ok_or(RingError::Malformed)?;
            let number: u32 = number.parse().map_err(|_| RingError::Malformed)?;
            let secret = HEXLOWER_PERMISSIVE.decode(hex.as_bytes());
            let secret = secret.map_err(|_| RingError::Malformed)?;
            if secret.len() < SECRET_MIN {
                return Err(RingError::TooShort);
            }
            if secret.windows(2).all(|pair| pair.first() == pair.last()) {
                return Err(RingError::Placeholder);
            }
            if secrets.insert(number, secret).is_some() {
                return Err(RingError::Malformed);
            }
        }
        if secrets.is_empty() { Err(RingError::Empty) } else { Ok(Self(secrets)) }
    }

    /// Signs `parts` with the newest secret: its number and the 32-byte tag.
    pub fn sign(&self, parts: &[&[u8]]) -> Option<(u32, [u8; 32])> {
        let (number, secret) = self.0.last_key_value()?;
        Some((*number, mac(secret, parts)?.finalize().into_bytes().into()))
    }

    /// Whether `tag` is the one secret `number` gives for `parts`; in constant time.
    pub fn verify(&self, number: u32, parts: &[&[u8]], tag: &[u8]) -> bool {
        let checked = self.0.get(&number).and_then(|secret| mac(secret, parts));
        checked.is_some_and(|mac| mac.verify_slice(tag).is_ok())
    }

    /// HMAC-SHA256 of `message` as it is, with the newest secret: its number and the tag.
    pub fn sign_bytes(&self, message: &[u8]) -> Option<(u32, [u8; 32])> {
        let (number, secret) = self.0.last_key_value()?;
        let mac = Hmac::<Sha256>::new_from_slice(secret).ok()?.chain_update(message);
        Some((*number, mac.finalize().into_bytes().into()))
    }

    /// Whether `tag` is the HMAC-SHA256 of `message` under secret `number`; in constant time.
    pub fn verify_bytes(&self, number: u32, message: &[u8], tag: &[u8]) -> bool {
        let mac =
            self.0.get(&number).and_then(|secret| Hmac::<Sha256>::new_from_slice(secret).ok());
        mac.is_some_and(|mac| mac.chain_update(message).verify_slice(tag).is_ok())
    }

    /// The same numbers with secrets for another purpose: HMAC-SHA256 of the purpose's name under
    /// each. Whoever learns one of them learns nothing of its origin.
    pub fn derived(&self, purpose: &[u8]) -> Option<Self> {
        let derive = |(number, secret): (&u32, &Vec<u8>)| {
            let secret = mac(secret, &[b"farebox-derive-v1", purpose])?.finalize().into_bytes();
            Some((*number, secret.to_vec()))
        };
        self.0.iter().map(derive).collect::<Option<_>>().map(Self)
    }

    /// The `<number><tag>` that ends a token.
    pub(crate) fn ending(&self, parts: &[&[u8]]) -> Option<String> {
        let (number, tag) = self.sign(parts)?;
        Some(format!("{number}{}", BASE32_NOPAD.encode(&tag).to_ascii_lowercase()))
    }

    /// Whether `ending` is a right `<number><tag>` for `parts`.
    pub(crate) fn ends_well(&self, parts: &[&[u8]], ending: &str) -> bool {
        let split = ending.len().saturating_sub(TAG_LEN);
        let (Some(number), Some(tag)) = (ending.get(..split), ending.get(split..)) else {
            return false;
        };
        let (Ok(number), Some(tag)) = (number.parse(), decode_tag(tag)) else { return false };
        self.verify(number, parts, &tag)
    }
}

/// Lower-case base32 without padding.
fn decode_tag(tag: &str) -> Option<Vec<u8>> {
    let mut alphabet = Specification::new();
    alphabet.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    alphabet.encoding().ok()?.decode(tag.as_bytes()).ok()
}

/// HMAC-SHA256 over `parts`, each preceded by its length as four big-endian bytes, so that no two
/// lists of parts give the same input.
fn mac(secret: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    for part in parts {
        mac.update(&u32::try_from(part.len()).ok()?.to_be_bytes());
        mac.update(part);
    }
    Some(mac)
}

/// HMAC-SHA256 of `value` under a key of its own, in hex: stands for the value where the value must
/// not stand.
pub fn pseudonym(key: &[u8], value: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(value));
    // HMAC takes keys of any length, so the fallback is never taken; it would name nobody.
    mac.map_or_else(|_| String::new(), |mac| HEXLOWER.encode(&mac.finalize().into_bytes()))
}
