//! Public vectors for the two primitives a record rests on.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::auth::{Ring, RingError};

pub(super) fn set(name: &str) -> Value {
    let text = include_str!("../../../tests/vectors/signing.json");
    let mut all: Value = serde_json::from_str(text).unwrap();
    all["sets"][name].take()
}

pub(super) fn cases<'a>(set: &'a Value, list: &str) -> &'a [Value] {
    let cases = set[list].as_array().unwrap();
    assert!(!cases.is_empty());
    cases
}

pub(super) fn bytes(case: &Value, field: &str) -> Vec<u8> {
    HEXLOWER_PERMISSIVE.decode(case[field].as_str().unwrap().as_bytes()).unwrap()
}

fn ring(secret: &[u8]) -> Result<Ring, RingError> {
    Ring::parse(&format!("7:{}", HEXLOWER.encode(secret)))
}

/// The key that HMAC makes of a key (RFC 2104): a long one is hashed, and a short one is filled up
/// with zeros, so zeros at its end change nothing. A ring takes neither the vectors' short keys nor
/// those of one repeated byte; it does take these, and must give the same tags.
fn as_a_ring_takes_it(key: &[u8]) -> Vec<u8> {
    let mut key = if key.len() > 64 { Sha256::digest(key).to_vec() } else { key.to_vec() };
    key.resize(key.len().max(32), 0);
    key
}

#[test]
fn signatures_are_hmac_sha256_as_rfc_4231_has_it() {
    let set = set("hmac_sha256_rfc4231");
    for case in cases(&set, "cases") {
        let key = bytes(case, "key_hex");
        assert!(ring(&key).is_err(), "a ring takes no short and no repeated secret");
        let (number, tag) =
            ring(&as_a_ring_takes_it(&key)).unwrap().sign_bytes(&bytes(case, "msg_hex")).unwrap();
        let wanted = bytes(case, "tag_hex");
        assert_eq!(number, 7);
        assert_eq!(tag[..wanted.len()], wanted, "case {}", case["case"]);
    }
}

#[test]
fn signatures_are_accepted_and_refused_as_wycheproof_has_it() {
    let set = set("hmac_sha256_wycheproof");
    for case in cases(&set, "cases") {
        let (message, tag) = (bytes(case, "msg_hex"), bytes(case, "tag_hex"));
        let ring = ring(&bytes(case, "key_hex")).unwrap();
        let good = case["result"] == "valid";
        assert_eq!(ring.verify_bytes(7, &message, &tag), good, "{case}");
        assert_eq!(ring.sign_bytes(&message).unwrap().1[..] == tag, good, "{case}");
        assert!(!ring.verify_bytes(8, &message, &tag), "another secret's number");
        assert!(!ring.verify_bytes(7, &message, &tag[..16]), "half a tag");
    }
}

#[test]
fn canonical_bytes_are_those_of_rfc_8785() {
    let set = set("jcs_rfc8785");
    for case in cases(&set, "documents") {
        let document: Value = serde_json::from_slice(&bytes(case, "input_hex")).unwrap();
        let canonical = crate::record::seal::canonical(&document).unwrap();
        let wanted = String::from_utf8(bytes(case, "output_hex")).unwrap();
        assert_eq!(canonical, wanted, "{}", case["name"]);
    }
    for case in cases(&set, "numbers") {
        let bits = u64::from_str_radix(case["ieee754_hex"].as_str().unwrap(), 16).unwrap();
        let canonical = crate::record::seal::canonical(&f64::from_bits(bits)).unwrap();
        assert_eq!(canonical, case["json"].as_str().unwrap());
    }
}
