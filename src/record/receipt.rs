//! Receipts: what a customer is given when a request is admitted, so that a record left out can be
//! proven: the operator's signed word that a record of this attempt will stand in the chain.
//!
//! Written `<payload>.<signature>`, both base64url without padding: the payload is the receipt's
//! RFC 8785 JSON, the signature Ed25519 over `farebox-receipt-v1`, a line feed, and the payload's
//! JSON. The first line keeps a receipt from being taken for anything else that the key signs.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::checkpoint::{PublicKeys, SigningKeys, Untrusted};
use super::seal::canonical;
use crate::clock::Timestamp;
use crate::ids::{AttemptId, Name, RequestId};
use crate::money::Exact;

const DOMAIN: &str = "farebox-receipt-v1\n";
/// Longest receipt read; a header's worth. Names are at most 64 characters.
const TEXT_MAX: usize = 2 << 10;

/// What is promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Format version, 1.
    pub v: u32,
    /// Who sells: the first part of every checkpoint's origin.
    pub operator: String,
    /// Whose chain.
    pub customer: Name,
    /// The request.
    pub request_id: RequestId,
    /// The attempt a record will name.
    pub attempt_id: AttemptId,
    /// When it was admitted, by the ledger's clock.
    pub at: Timestamp,
    /// By when a record of it stands in the chain.
    pub by: Timestamp,
    /// The hold.
    pub held: Exact,
    /// Its currency.
    pub currency: String,
}

impl Receipt {
    /// The version written here.
    pub const VERSION: u32 = 1;

    /// The receipt as text, signed with the newest key.
    pub fn sign(&self, keys: &SigningKeys) -> Option<String> {
        let payload = canonical(self)?;
        let signature = keys.sign_bytes(format!("{DOMAIN}{payload}").as_bytes())?;
        let payload = BASE64URL_NOPAD.encode(payload.as_bytes());
        Some(format!("{payload}.{}", BASE64URL_NOPAD.encode(&signature)))
    }

    /// Reads a receipt and checks that one of `keys` signed it.
    pub fn open(text: &str, keys: &PublicKeys) -> Result<Self, Untrusted> {
        let text = text.trim();
        let (payload, signature) =
            text.split_once('.').filter(|_| text.len() <= TEXT_MAX).ok_or(Untrusted::Malformed)?;
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).ok();
        let payload = decode(payload).and_then(|bytes| String::from_utf8(bytes).ok());
        let (payload, signature) = payload.zip(decode(signature)).ok_or(Untrusted::Malformed)?;
        let receipt: Self = serde_json::from_str(&payload).map_err(|_| Untrusted::Malformed)?;
        if receipt.v != Self::VERSION || canonical(&receipt).as_deref() != Some(&payload) {
            return Err(Untrusted::Malformed);
        }
        // The payload does not say which key: there are few, and a wrong one only costs time.
        if keys.signed(format!("{DOMAIN}{payload}").as_bytes(), &signature) {
            Ok(receipt)
        } else {
            Err(Untrusted::BadSignature)
        }
    }
}
