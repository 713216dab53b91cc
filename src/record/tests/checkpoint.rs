//! Checkpoints: public vectors for notes and keys, and what is not to be trusted.

use ed25519_dalek::{Signature, Verifier, VerifyingKey};
use signed_note::{Note, StandardVerifier, VerifierList};

use super::vectors::{bytes, cases, set};
use crate::record::Digest;
use crate::record::checkpoint::{
    Checkpoint, KeysError, PublicKeys, SigningKeys, Untrusted, origin,
};

const ONE: &str = "1:9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const TWO: &str = "2:4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: origin("gate.example.com", &"acme".parse().unwrap()),
        size: 1024,
        root: Digest([7; 32]),
        head: Digest([9; 32]),
        at: "2026-11-24T15:00:00.000Z".parse().unwrap(),
    }
}

#[test]
fn a_checkpoint_reads_back_as_it_was_signed() {
    let keys = SigningKeys::parse(ONE).unwrap();
    let text = keys.sign(&checkpoint()).unwrap();
    assert!(text.starts_with("gate.example.com/acme\n1024\nBwcH"), "{text}");
    assert!(text.contains("\nhead 0909"), "{text}");
    assert!(text.contains("\ntime 2026-11-24T15:00:00.000Z\n\n— gate.example.com/acme "), "{text}");
    assert_eq!(keys.public().open(&text, "gate.example.com/acme").unwrap(), checkpoint());
}

#[test]
fn the_newest_key_signs_and_old_public_keys_go_on_checking() {
    let (old, both) =
        (SigningKeys::parse(ONE).unwrap(), SigningKeys::parse(&format!("{ONE},{TWO}")).unwrap());
    let published = PublicKeys::parse(&both.public().to_string()).unwrap();
    let name = "gate.example.com/acme";
    assert!(published.open(&old.sign(&checkpoint()).unwrap(), name).is_ok());
    let newest = both.sign(&checkpoint()).unwrap();
    assert!(published.open(&newest, name).is_ok());
    assert_eq!(old.public().open(&newest, name).unwrap_err(), Untrusted::UnknownKey);
}

#[test]
fn every_change_to_what_was_said_is_found() {
    let keys = SigningKeys::parse(ONE).unwrap();
    let text = keys.sign(&checkpoint()).unwrap();
    let public = keys.public();
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let opened = public.open(&changed, "gate.example.com/acme");
            assert!(opened.is_err(), "byte {at} bit {bit}: {changed}");
        }
    }
}

#[test]
fn the_checkpoint_of_one_customer_says_nothing_of_another() {
    let keys = SigningKeys::parse(ONE).unwrap();
    let text = keys.sign(&checkpoint()).unwrap();
    let other = keys.public().open(&text, "gate.example.com/globex");
    assert_eq!(other.unwrap_err(), Untrusted::OtherLog);
}

#[test]
fn keys_are_refused_by_what_is_wrong_with_them_and_never_shown() {
    assert_eq!(SigningKeys::parse("").unwrap_err(), KeysError::Empty);
    assert_eq!(SigningKeys::parse("1:abc").unwrap_err(), KeysError::Malformed);
    assert_eq!(SigningKeys::parse(&format!("{ONE},{ONE}")).unwrap_err(), KeysError::Malformed);
    assert_eq!(
        SigningKeys::parse(&format!("1:{}", "00".repeat(32))).unwrap_err(),
        KeysError::Placeholder
    );
    let shown = format!("{:?}", SigningKeys::parse(ONE).unwrap());
    assert!(!shown.contains("9d61"), "{shown}");
}

#[test]
fn notes_are_taken_and_refused_as_the_public_suite_has_it() {
    let set = set("signed_note");
    let open = |vkey: &str, note: &str| {
        let verifier = StandardVerifier::new(vkey).ok()?;
        let note = Note::from_bytes(note.as_bytes()).ok()?;
        note.verify(&VerifierList::new(vec![Box::new(verifier)])).ok()
    };
    for case in cases(&set, "valid") {
        let (vkey, note) = (case["vkey"].as_str().unwrap(), case["note"].as_str().unwrap());
        assert!(open(vkey, note).is_some(), "{case}");
    }
    let neumann = cases(&set, "valid").iter().find(|case| case["skey"].is_string()).unwrap();
    let (vkey, good) = (neumann["vkey"].as_str().unwrap(), neumann["note"].as_str().unwrap());
    for case in cases(&set, "must_reject_with_PeterNeumann_key") {
        // One case is a rule: the text and 101 copies of its signature.
        let (text, signature) = good.split_once("\n\n").unwrap();
        let crowd = || format!("{text}\n\n{}", signature.repeat(101));
        let note = case["note"].as_str().map_or_else(crowd, str::to_owned);
        assert!(open(vkey, &note).is_none(), "{case}");
    }
    for vkey in cases(&set, "bad_vkeys") {
        assert!(StandardVerifier::new(vkey.as_str().unwrap()).is_err(), "{vkey}");
    }
}

#[test]
fn signatures_are_ed25519_as_rfc_8032_and_wycheproof_have_it() {
    for case in cases(&set("ed25519_rfc8032"), "cases") {
        let secret = data_encoding::HEXLOWER.encode(&bytes(case, "sk_hex"));
        let keys = SigningKeys::parse(&format!("1:{secret}")).unwrap();
        let public = data_encoding::HEXLOWER.encode(&bytes(case, "pk_hex"));
        assert_eq!(keys.public().to_string(), public);
    }
    for case in cases(&set("ed25519_wycheproof"), "cases") {
        let good = (|| {
            let key = VerifyingKey::from_bytes(&bytes(case, "pk_hex").try_into().ok()?).ok()?;
            let signature = Signature::from_slice(&bytes(case, "sig_hex")).ok()?;
            key.verify(&bytes(case, "msg_hex"), &signature).ok()
        })();
        assert_eq!(good.is_some(), case["result"] == "valid", "{case}");
    }
}
