//! `farebox verify` as an auditor runs it: files in, a verdict and an exit code out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::Command;

use farebox::auth::{Mode, Ring};
use farebox::ids::{Id, Name};
use farebox::record::checkpoint::{Checkpoint, SigningKeys, origin};
use farebox::record::receipt::Receipt;
use farebox::record::tree::{Frontier, leaf};
use farebox::record::{Admitted, Answered, Class, Digest, FORMAT, Private, Record, Sealed, seal};

const RECORD_SECRET: &str = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const SIGNING_KEY: &str = "1:9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

/// A folder with an archive of so many records, their secrets, and what was promised of them.
struct Archive {
    folder: PathBuf,
    lines: Vec<String>,
    keys: SigningKeys,
}

fn record(seq: u64, prev: Digest) -> Record {
    let at = "2026-11-24T12:00:00.000Z".parse().unwrap();
    let id = Id::new(at, [u8::try_from(seq).unwrap(); 10]);
    Record {
        v: FORMAT,
        customer: "acme".parse().unwrap(),
        seq,
        prev,
        attempt_id: id,
        request_id: id,
        corrects: None,
        class: Class::Voided,
        batch: None,
        outcome_of: None,
        admitted: Admitted {
            key_id: "main".parse().unwrap(),
            mode: Mode::Live,
            received_at: at,
            endpoint: "/v1/chat/completions".into(),
            model: "gpt-4o-mini".into(),
            stream: false,
            features: Vec::new(),
            service_tier: None,
            region: None,
            end_user: None,
            book_version: "1".into(),
            currency: "USD".into(),
            held: 1.into(),
        },
        answered: Answered::default(),
        recorded_at: at,
        quantities: Vec::new(),
        plan: None,
        lines: Vec::new(),
        unpriced: Vec::new(),
        sub_usage: Vec::new(),
        unknown: Vec::new(),
        previous: None,
        amount: 0.into(),
        flags: Vec::new(),
        private: Digest::default(),
    }
}

impl Archive {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("records")).unwrap();
        let ring = Ring::parse(RECORD_SECRET).unwrap();
        let mut chain: Vec<Sealed> = Vec::new();
        for seq in 1..=5 {
            let prev = chain.last().map(|sealed| sealed.hash).unwrap_or_default();
            let private = Private {
                v: FORMAT,
                provider: "openai".into(),
                upstream: "openai".into(),
                cost: None,
                margin: None,
                below_margin: false,
            };
            chain.push(seal(record(seq, prev), &private, Digest([7; 32]), &ring).unwrap());
        }
        let keys = SigningKeys::parse(SIGNING_KEY).unwrap();
        let lines = chain.iter().map(|sealed| sealed.line().unwrap()).collect();
        let archive = Self { folder, lines, keys };
        archive.write("secrets.txt", RECORD_SECRET);
        archive.write("public.txt", archive.keys.public().to_string());
        archive.write("receipt.txt", archive.receipt(2));
        archive.write("broken-promise.txt", archive.receipt(99));
        archive.records(0..5);
        archive.write("records/5.checkpoint", archive.checkpoint(&chain));
        archive
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.folder.join(name), bytes).unwrap();
    }

    fn records(&self, range: core::ops::Range<usize>) {
        self.write("records/acme.ndjson", self.lines[range].join("\n"));
    }

    fn checkpoint(&self, chain: &[Sealed]) -> String {
        let mut frontier = Frontier::default();
        chain.iter().for_each(|sealed| frontier.push(leaf(sealed.canonical.as_bytes())));
        let checkpoint = Checkpoint {
            origin: origin("gate.example.com", &"acme".parse::<Name>().unwrap()),
            size: frontier.size(),
            root: frontier.root(),
            head: chain.last().unwrap().hash,
            at: "2026-11-25T12:00:00.000Z".parse().unwrap(),
        };
        self.keys.sign(&checkpoint).unwrap()
    }

    fn receipt(&self, seq: u64) -> String {
        let record = record(seq, Digest::default());
        let receipt = Receipt {
            v: Receipt::VERSION,
            operator: "gate.example.com".into(),
            customer: record.customer,
            request_id: record.request_id,
            attempt_id: record.attempt_id,
            at: record.admitted.received_at,
            by: "2026-11-24T13:00:00.000Z".parse().unwrap(),
            held: 1.into(),
            currency: "USD".into(),
        };
        receipt.sign(&self.keys).unwrap()
    }

    fn verify(&self, args: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_farebox"))
            .current_dir(&self.folder)
            .args(["verify", "records"])
            .args(args)
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), text)
    }
}

const BY_SECRETS: [&str; 2] = ["--key", "secrets.txt"];
const BY_PUBLIC_KEYS: [&str; 2] = ["--public", "public.txt"];

#[test]
fn a_good_archive_is_ok_by_the_secrets_and_by_the_public_keys_alone() {
    let archive = Archive::new("verify-ok");
    let (code, text) = archive.verify(&BY_SECRETS);
    assert_eq!((code, text.as_str()), (0, "OK · 5 records in 1 chains · 0 USD\n"));
    let (code, text) = archive.verify(&BY_PUBLIC_KEYS);
    assert_eq!(
        (code, text.as_str()),
        (0, "OK · 5 records in 1 chains · 0 USD · 5 under a checkpoint\n")
    );
}

#[test]
fn each_kind_of_damage_has_its_own_exit_code() {
    let archive = Archive::new("verify-damage");
    let at =
        |(code, text): (i32, String)| (code, text.lines().last().unwrap_or_default().to_owned());
    archive.records(0..4);
    let (code, text) = at(archive.verify(&BY_PUBLIC_KEYS));
    assert_eq!(code, 4, "{text}");
    assert!(text.starts_with("customer acme, record 5: the checkpoint of"), "{text}");
    assert_eq!(
        archive.verify(&BY_SECRETS).0,
        0,
        "the secrets alone cannot tell that the end is cut off"
    );
    archive.write(
        "records/acme.ndjson",
        [&archive.lines[..2], &archive.lines[3..]].concat().join("\n"),
    );
    assert_eq!(archive.verify(&BY_SECRETS).0, 3);
    archive.write(
        "records/acme.ndjson",
        archive.lines.join("\n").replacen("\"stream\":false", "\"stream\":true", 1),
    );
    assert_eq!(archive.verify(&BY_SECRETS).0, 2);
    assert_eq!(archive.verify(&BY_PUBLIC_KEYS).0, 2, "the next record's `prev` no longer fits");
    archive.write(
        "records/acme.ndjson",
        [b"\xff\xfe".as_slice(), archive.lines.join("\n").as_bytes()].concat(),
    );
    assert_eq!(archive.verify(&BY_SECRETS).0, 2);
}

#[test]
fn a_receipt_kept_is_ok_and_one_broken_is_missing() {
    let archive = Archive::new("verify-receipts");
    let with = |file: &str| archive.verify(&[&BY_PUBLIC_KEYS[..], &["--expect", file]].concat());
    assert_eq!(with("receipt.txt").0, 0);
    let (code, text) = with("broken-promise.txt");
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("the receipt of attempt") && text.contains("there is none"), "{text}");
    archive.write("receipt.txt", archive.receipt(2).replace("eyJ", "eyK"));
    assert_eq!(with("receipt.txt").0, 2, "a forged receipt proves nothing");
}

#[test]
fn what_cannot_be_checked_says_what_is_needed() {
    let archive = Archive::new("verify-needs");
    let (code, text) = archive.verify(&[]);
    assert!(code == 64 && text.contains("--key"), "{code} {text}");
    let (code, text) = archive.verify(&[&BY_SECRETS[..], &["--expect", "receipt.txt"]].concat());
    assert!(code == 1 && text.contains("--public"), "{code} {text}");
    std::fs::remove_file(archive.folder.join("records/5.checkpoint")).unwrap();
    let (code, text) = archive.verify(&BY_PUBLIC_KEYS);
    assert!(code == 1 && text.contains("no checkpoint in the archive"), "{code} {text}");
    archive.write("public.txt", "not a key");
    let (code, text) = archive.verify(&BY_PUBLIC_KEYS);
    assert!(code == 1 && text.contains("the file of public keys"), "{code} {text}");
    assert!(!text.contains("1:<hex>"), "what is wanted are public keys: {text}");
}
