//! What proving costs: sealing a record, signing, and checking an archive of a million.
//!
//! `make bench-record`, which gives it the path of the command. Figures are in docs/benchmarks.md.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::float_arithmetic)]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use farebox::auth::{Mode, Ring};
use farebox::ids::Id;
use farebox::meter::Outcome;
use farebox::money::Exact;
use farebox::rating::Line;
use farebox::record::checkpoint::{Checkpoint, SigningKeys, origin};
use farebox::record::tree::{Frontier, leaf};
use farebox::record::{
    Admitted, Answered, Class, Digest, FORMAT, Private, Quantity, Record, Sealed, seal,
};
use farebox::wire::usage::{Meter, Provenance};

/// Records in the archive that is checked.
const RECORDS: u64 = 1_000_000;

/// The record secret of this bench.
const RING: &str = "1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A record as a chat request leaves it: four quantities, three lines.
fn record(seq: u64, prev: Digest) -> Record {
    let at = "2026-11-24T12:00:00.000Z".parse().unwrap();
    let bytes = seq.to_be_bytes();
    let mut random = [0; 10];
    random.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    let id = Id::new(at, random);
    let counts =
        [(Meter::InputUncached, 2_345_u64), (Meter::CacheRead, 10_000), (Meter::OutputTotal, 678)];
    let rate: Exact = "2.5".parse().unwrap();
    let per = Exact::from(1_000_000);
    let lines: Vec<Line> = counts
        .iter()
        .map(|(meter, count)| {
            let quantity = Exact::from(*count);
            let amount = rate.times(quantity).unwrap().over(per).unwrap();
            Line { meter: *meter, quantity, rate, per, amount }
        })
        .collect();
    Record {
        v: FORMAT,
        customer: "acme".parse().unwrap(),
        seq,
        prev,
        attempt_id: id,
        request_id: id,
        corrects: None,
        class: Class::Settled,
        batch: None,
        outcome_of: None,
        admitted: Admitted {
            key_id: "main".parse().unwrap(),
            mode: Mode::Live,
            received_at: at,
            endpoint: "/v1/chat/completions".into(),
            model: "gpt-4o-mini".into(),
            stream: true,
            features: vec!["streaming".into(), "tools".into()],
            service_tier: None,
            region: None,
            end_user: Some(
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60".into(),
            ),
            book_version: "2026-11-01".into(),
            currency: "USD".into(),
            held: 1.into(),
        },
        answered: Answered {
            upstream_status: Some(200),
            outcome: Some(Outcome::Complete),
            served_model: Some("gpt-4o-mini-2024-07-18".into()),
            first_byte_at: Some(at),
            finished_at: Some(at),
            ..Answered::default()
        },
        recorded_at: at,
        quantities: counts
            .iter()
            .chain(&[(Meter::Requests, 1)])
            .map(|(meter, count)| Quantity {
                meter: *meter,
                quantity: (*count).into(),
                unit: meter.unit().to_owned(),
                provenance: Provenance::Reported,
            })
            .collect(),
        amount: Exact::sum(lines.iter().map(|line| line.amount)).unwrap(),
        lines,
        unpriced: Vec::new(),
        plan: None,
        sub_usage: Vec::new(),
        unknown: Vec::new(),
        previous: None,
        flags: Vec::new(),
        private: Digest::default(),
    }
}

fn sealed(seq: u64, prev: Digest, ring: &Ring) -> Sealed {
    let (provider, upstream) = ("openai".to_owned(), "openai".to_owned());
    let cost = Some("0.0123".parse().unwrap());
    let private =
        Private { v: FORMAT, provider, upstream, cost, margin: cost, below_margin: false };
    seal(record(seq, prev), &private, Digest([7; 32]), ring).unwrap()
}

/// The median of `rounds` rounds, in microseconds.
fn measure(name: &str, rounds: usize, each: u32, mut work: impl FnMut()) {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            (0..each).for_each(|_| work());
            start.elapsed().as_nanos() as f64 / f64::from(each) / 1_000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let at = |nth: usize| times.get(nth).copied().unwrap_or_default();
    println!("{name:44} {:>8.1} µs, at best {:.1} µs", at(rounds / 2), at(0));
}

fn main() {
    let ring = Ring::parse(RING).unwrap();
    let keys =
        SigningKeys::parse("1:9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
            .unwrap();
    let first = record(1, Digest::default());
    let private = Private {
        v: FORMAT,
        provider: "openai".into(),
        upstream: "openai".into(),
        cost: None,
        margin: None,
        below_margin: false,
    };
    measure("seal a record: canonical, hash, HMAC", 501, 100, || {
        drop(black_box(seal(black_box(first.clone()), &private, Digest([7; 32]), &ring)));
    });
    let mut frontier = Frontier::default();
    measure("add it to the tree", 501, 100, || frontier.push(black_box(leaf(&[7; 1_200]))));
    let checkpoint = checkpoint(&frontier, Digest::default());
    measure("sign a checkpoint", 101, 10, || drop(black_box(keys.sign(&checkpoint))));
    let note = keys.sign(&checkpoint).unwrap();
    let public = keys.public();
    measure("check a checkpoint's signature", 101, 10, || drop(black_box(public.read(&note))));

    let archive = Archive::write(&ring, &keys);
    println!("an archive of {RECORDS} records, {} MB", archive.bytes / 1_000_000);
    for (name, given) in [("secrets", &archive.secrets), ("public keys", &archive.public)] {
        let flag = if name == "secrets" { "--key" } else { "--public" };
        let start = Instant::now();
        let command = Command::new(std::env::args().nth(1).unwrap())
            .args(["verify".as_ref(), archive.folder.as_os_str(), flag.as_ref(), given.as_os_str()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&command.stdout);
        println!(
            "farebox verify, by the {name:11} {:.2} s: {}",
            start.elapsed().as_secs_f64(),
            said.trim()
        );
    }
    fs::remove_dir_all(archive.folder).unwrap();
}

/// An archive on disk, as the command reads it.
struct Archive {
    folder: PathBuf,
    secrets: PathBuf,
    public: PathBuf,
    bytes: usize,
}

impl Archive {
    fn write(ring: &Ring, keys: &SigningKeys) -> Self {
        let folder = std::env::temp_dir().join(format!("farebox-bench-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let mut file = BufWriter::new(File::create(folder.join("records.ndjson")).unwrap());
        let (mut frontier, mut prev, mut bytes) = (Frontier::default(), Digest::default(), 0);
        for seq in 1..=RECORDS {
            let sealed = sealed(seq, prev, ring);
            prev = sealed.hash;
            frontier.push(leaf(sealed.canonical.as_bytes()));
            let line = sealed.line().unwrap();
            bytes = line.len().saturating_add(bytes);
            writeln!(file, "{line}").unwrap();
        }
        file.flush().unwrap();
        let note = keys.sign(&checkpoint(&frontier, prev)).unwrap();
        fs::write(folder.join("1.checkpoint"), note).unwrap();
        let (secrets, public) = (folder.join("secrets"), folder.join("public"));
        fs::write(&secrets, RING).unwrap();
        fs::write(&public, keys.public().to_string()).unwrap();
        Self { folder, secrets, public, bytes }
    }
}

fn checkpoint(frontier: &Frontier, head: Digest) -> Checkpoint {
    Checkpoint {
        origin: origin("gate.example.com", &"acme".parse().unwrap()),
        size: frontier.size(),
        root: frontier.root(),
        head,
        at: "2026-11-25T00:00:00.000Z".parse().unwrap(),
    }
}
