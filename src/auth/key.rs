//! API keys: `fb_<live|test>_<customer>_<key id>_<secret>_<n><tag>`.

use core::fmt;

use data_encoding::BASE32_NOPAD;

use super::{Denied, Ring};
use crate::ids::Name;
use crate::record::Digest;

const LABEL: &[u8] = b"farebox-key-v1";
/// Longest secret accepted in a key; ours are 32 characters.
const SECRET_LEN_MAX: usize = 64;

/// What a key is for: real traffic or trying things out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Real traffic.
    Live,
    /// Trying things out.
    Test,
}

impl Mode {
    /// The word in the key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

/// A key that carries a right tag. Whether it is still in force, only the ledger can say.
#[derive(Clone)]
pub struct ApiKey {
    /// Live or test.
    pub mode: Mode,
    /// Whose key it is; names the ledger to ask.
    pub customer: Name,
    /// Which of the customer's keys.
    pub key_id: Name,
    secret: String,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}_{}_{}_…)", self.mode.as_str(), self.customer, self.key_id)
    }
}

impl ApiKey {
    /// A new key from 20 random bytes.
    pub fn new(mode: Mode, customer: Name, key_id: Name, random: [u8; 20]) -> Self {
        let secret = BASE32_NOPAD.encode(&random).to_ascii_lowercase();
        Self { mode, customer, key_id, secret }
    }

    /// A key that the operator issued by itself: the whole text is its secret.
    pub fn of_operator(customer: Name, key_id: Name, text: String) -> Self {
        Self { mode: Mode::Live, customer, key_id, secret: text }
    }

    /// The text a customer puts into their SDK; `None` where the ring is empty.
    pub fn text(&self, ring: &Ring) -> Option<String> {
        let ending = ring.ending(&self.parts())?;
        let Self { mode, customer, key_id, secret } = self;
        Some(format!("fb_{}_{customer}_{key_id}_{secret}_{ending}", mode.as_str()))
    }

    /// Reads a key and checks its tag. Every failure looks the same.
    pub fn verify(text: &str, ring: &Ring) -> Result<Self, Denied> {
        let (key, ending) = Self::split(text).ok_or(Denied::Invalid)?;
        if ring.ends_well(&key.parts(), ending) { Ok(key) } else { Err(Denied::Invalid) }
    }

    /// SHA-256 of the secret: what the ledger keeps.
    pub fn secret_sha256(&self) -> Digest {
        Digest::of(&[self.secret.as_bytes()])
    }

    fn split(text: &str) -> Option<(Self, &str)> {
        let mut fields = text.strip_prefix("fb_")?.split('_');
        let mode = match fields.next()? {
            "live" => Mode::Live,
            "test" => Mode::Test,
            _ => return None,
        };
        let customer = fields.next()?.parse().ok()?;
        let key_id = fields.next()?.parse().ok()?;
        let secret = fields.next()?.to_owned();
        let ending = fields.next()?;
        let plain = secret.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let sized = (1..=SECRET_LEN_MAX).contains(&secret.len());
        let whole = fields.next().is_none();
        (plain && sized && whole).then_some((Self { mode, customer, key_id, secret }, ending))
    }

    fn parts(&self) -> [&[u8]; 5] {
        let Self { mode, customer, key_id, secret } = self;
        [
            LABEL,
            mode.as_str().as_bytes(),
            customer.as_str().as_bytes(),
            key_id.as_str().as_bytes(),
            secret.as_bytes(),
        ]
    }
}
