//! Checkpoints: what an operator says of a customer's chain at a time, signed so that anybody can
//! check it: a C2SP signed note over a C2SP checkpoint.
//!
//! ```text
//! gate.example.com/acme            the log: the operator's name / the customer
//! 1024                             how many records there are
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2…   the root of the tree over them
//! head 5f70…                       SHA-256 of the last record: the chain's end
//! time 2026-11-24T15:00:00.000Z    when it was said, by the ledger's clock
//!
//! — gate.example.com/acme Az3grl…  the signature, with the key's id
//! ```

use core::fmt;
use std::collections::BTreeMap;

use data_encoding::HEXLOWER_PERMISSIVE;
use ed25519_dalek::{SigningKey, VerifyingKey};
use signed_note::{Note, Signer, StandardVerifier, VerifierList};
use tlog_tiles::Hash;

use super::{Digest, tree};
use crate::clock::Timestamp;
use crate::ids::Name;

/// Longest checkpoint read: ten times what one with several signatures takes.
const TEXT_MAX: usize = 16 << 10;
/// Most public keys that signatures are checked by: a key a month for eight years.
const KEYS_MAX: usize = 100;

/// What an operator says of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: see [`origin`].
    pub origin: String,
    /// How many records it has.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Digest,
    /// SHA-256 of the last record's canonical bytes; zeros before the first.
    pub head: Digest,
    /// When it was said.
    pub at: Timestamp,
}

/// The name of a customer's log with an operator.
pub fn origin(operator: &str, customer: &Name) -> String {
    format!("{operator}/{customer}")
}

/// Secret keys by number, written `1:<hex>,2:<hex>` with 32 bytes each; the highest signs.
#[derive(Clone)]
pub struct SigningKeys(BTreeMap<u32, SigningKey>);

/// Public keys that checkpoints may be signed by, old ones too: they are kept for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeys(Vec<VerifyingKey>);

/// Why keys were refused. Never repeats one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysError {
    /// Nothing there.
    Empty,
    /// Not numbered hex of 32 bytes each, each number once.
    Malformed,
    /// Something among the public keys is none.
    NotPublic,
    /// More public keys than anybody has.
    TooMany,
    /// One byte over and over: a placeholder, not a secret.
    Placeholder,
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::Malformed => {
                "is not of the form 1:<hex>,2:<hex>, each 32 bytes and each number once"
            }
            Self::NotPublic => "must hold public keys of 32 bytes in hex, separated by commas",
            Self::TooMany => "holds more than 100 public keys",
            Self::Placeholder => "holds a placeholder instead of a random key",
        })
    }
}

/// Why a checkpoint is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untrusted {
    /// Not a signed checkpoint at all.
    Malformed,
    /// A signature by a known key that is wrong.
    BadSignature,
    /// Signed by nobody known.
    UnknownKey,
    /// The checkpoint of another log.
    OtherLog,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "is not a signed checkpoint",
            Self::BadSignature => "has a wrong signature",
            Self::UnknownKey => "is signed by no key that was given",
            Self::OtherLog => "speaks of another log",
        })
    }
}

impl fmt::Debug for SigningKeys {
    /// Numbers only: a secret must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKeys").field(&self.0.keys().collect::<Vec<_>>()).finish()
    }
}

fn key_bytes(hex: &str) -> Result<[u8; 32], KeysError> {
    let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).map_err(|_| KeysError::Malformed)?;
    bytes.try_into().map_err(|_| KeysError::Malformed)
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

impl SigningKeys {
    /// Reads `1:<hex>,2:<hex>`.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let mut keys = BTreeMap::new();
        for item in items(text) {
            let (number, hex) = item.split_once(':').ok_or(KeysError::Malformed)?;
            let number: u32 = number.parse().map_err(|_| KeysError::Malformed)?;
            let secret = key_bytes(hex)?;
            if secret.windows(2).all(|pair| pair.first() == pair.last()) {
                return Err(KeysError::Placeholder);
            }
            if keys.insert(number, SigningKey::from_bytes(&secret)).is_some() {
                return Err(KeysError::Malformed);
            }
        }
        if keys.is_empty() { Err(KeysError::Empty) } else { Ok(Self(keys)) }
    }

    /// The public keys that belong to them: what the operator publishes.
    pub fn public(&self) -> PublicKeys {
        PublicKeys(self.0.values().map(SigningKey::verifying_key).collect())
    }

    /// An Ed25519 signature with the newest key over bytes that name their own purpose.
    pub(super) fn sign_bytes(&self, message: &[u8]) -> Option<[u8; 64]> {
        use ed25519_dalek::Signer as _;
        let (_, key) = self.0.last_key_value()?;
        key.try_sign(message).ok().map(|signature| signature.to_bytes())
    }

    /// Signs with the newest key. `None` where the origin is no name for a log.
    pub fn sign(&self, checkpoint: &Checkpoint) -> Option<String> {
        let (_, key) = self.0.last_key_value()?;
        let mut note = Note::new(&checkpoint.text()?, &[]).ok()?;
        note.add_sigs(&[&LogSigner::new(&checkpoint.origin, key)]).ok()?;
        String::from_utf8(note.to_bytes()).ok()
    }
}

impl PublicKeys {
    /// Reads hex keys, separated by commas.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let key = |hex| VerifyingKey::from_bytes(&key_bytes(hex).ok()?).ok();
        let keys = items(text).map(|hex| key(hex).ok_or(KeysError::NotPublic));
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        match keys.len() {
            0 => Err(KeysError::Empty),
            1..=KEYS_MAX => Ok(Self(keys)),
            _ => Err(KeysError::TooMany),
        }
    }

    /// Whether one of these keys signed `message`.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        use ed25519_dalek::Verifier as _;
        let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else { return false };
        self.0.iter().any(|key| key.verify(message, &signature).is_ok())
    }

    /// Reads a checkpoint of the log `origin` and checks that one of these keys signed it.
    pub fn open(&self, text: &str, origin: &str) -> Result<Checkpoint, Untrusted> {
        self.read(text).and_then(|checkpoint| {
            if checkpoint.origin == origin { Ok(checkpoint) } else { Err(Untrusted::OtherLog) }
        })
    }

    /// Reads a checkpoint of whichever log it names.
    pub fn read(&self, text: &str) -> Result<Checkpoint, Untrusted> {
        if text.len() > TEXT_MAX {
            return Err(Untrusted::Malformed);
        }
        let note = Note::from_bytes(text.as_bytes()).map_err(|_| Untrusted::Malformed)?;
        let checkpoint = Checkpoint::read(note.text()).ok_or(Untrusted::Malformed)?;
        let origin = &checkpoint.origin;
        let verifiers = self.0.iter().filter_map(|key| {
            let vkey = signed_note::new_ed25519_verifier_key(origin, key);
            let verifier = StandardVerifier::new(&vkey).ok()?;
            Some(Box::new(verifier) as Box<dyn signed_note::Verifier>)
        });
        match note.verify(&VerifierList::new(verifiers.collect())) {
            Ok(_) => Ok(checkpoint),
            Err(signed_note::NoteError::UnverifiedNote) => Err(Untrusted::UnknownKey),
            Err(_) => Err(Untrusted::BadSignature),
        }
    }
}

impl fmt::Display for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, key) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            f.write_str(&data_encoding::HEXLOWER.encode(key.as_bytes()))?;
        }
        Ok(())
    }
}

impl Checkpoint {
    /// Whose chain: the part of the origin behind the operator's name.
    pub fn customer(&self) -> Option<Name> {
        self.origin.rsplit_once('/').and_then(|(_, customer)| customer.parse().ok())
    }

    fn text(&self) -> Option<Vec<u8>> {
        let extension = format!("head {}\ntime {}\n", self.head, self.at);
        let root = Hash(self.root.0);
        let text = tlog_tiles::Checkpoint::new(&self.origin, self.size, root, &extension).ok()?;
        Some(text.to_bytes())
    }

    fn read(text: &[u8]) -> Option<Self> {
        let plain = tlog_tiles::Checkpoint::from_bytes(text).ok()?;
        let mut lines = plain.extension().lines();
        let head = lines.next()?.strip_prefix("head ")?.parse().ok()?;
        let at = lines.next()?.strip_prefix("time ")?.parse().ok()?;
        let ends = lines.next().is_none() && plain.size() <= tree::SIZE_MAX;
        let (origin, root) = (plain.origin().to_owned(), Digest(plain.hash().0));
        ends.then_some(Self { origin, size: plain.size(), root, head, at })
    }
}

/// Signs as the log of a name. The key is one; its id, which the note carries, is the name's too.
struct LogSigner<'a> {
    origin: &'a str,
    id: u32,
    key: &'a SigningKey,
}

/// What stands before an Ed25519 key where its id is taken (C2SP signed-note).
const ED25519: u8 = 1;

impl<'a> LogSigner<'a> {
    fn new(origin: &'a str, key: &'a SigningKey) -> Self {
        let public = [&[ED25519], key.verifying_key().as_bytes().as_slice()].concat();
        Self { origin, id: signed_note::key_id(origin, &public), key }
    }
}

impl Signer for LogSigner<'_> {
    fn name(&self) -> &str {
        self.origin
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ed25519_dalek::SignatureError> {
        use ed25519_dalek::Signer as _;
        self.key.try_sign(message).map(|signature| signature.to_vec())
    }
}
