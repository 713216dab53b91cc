//! `farebox verify`: can these records be trusted?

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Failure, archive, complain, lines};
use crate::auth::Ring;
use crate::record::checkpoint::{Checkpoint, PublicKeys, Untrusted};
use crate::record::receipt::Receipt;
use crate::record::{Audit, Bad, Checked, Evidence, Expected, Finding, Report, Verdict};

/// Longest line read: no record in storage is longer.
const LINE_MAX: usize = 2 << 20;

/// Lines that are checked at a time: some ten milliseconds' work, and a few megabytes.
const AT_ONCE: usize = 2_048;

/// Checks records. Exit codes: 0 OK, 2 INVALID, 3 GAP, 4 MISSING, 5 FORK, 1 could not be checked.
///
/// With the record secrets (--key) every signature is checked; with the public keys (--public)
/// alone, the records are checked against signed checkpoints: those in the archive (*.checkpoint)
/// and those given with --expect.
#[derive(clap::Args)]
pub(super) struct Args {
    /// An archive file (NDJSON), or a folder of them.
    path: PathBuf,
    /// File with the record secrets, as in FAREBOX_RECORD_SECRETS: 1:<hex>,2:<hex>.
    #[arg(long, required_unless_present = "public")]
    key: Option<PathBuf>,
    /// File with the operator's public keys: <hex>,<hex>.
    #[arg(long)]
    public: Option<PathBuf>,
    /// File with something that was promised: a checkpoint, a receipt, or {"customer", "seq",
    /// "hash"} as the dashboard's `head` has it. May be given several times.
    #[arg(long)]
    expect: Vec<PathBuf>,
}

pub(super) fn run(args: &Args, json: bool) -> ExitCode {
    match check(args) {
        Ok(report) => {
            show(&report, json);
            ExitCode::from(match report.verdict {
                Verdict::Ok => 0,
                Verdict::Invalid => 2,
                Verdict::Gap => 3,
                Verdict::Missing => 4,
                Verdict::Fork => 5,
            })
        }
        Err(failure) => {
            complain(&failure, json);
            ExitCode::FAILURE
        }
    }
}

fn check(args: &Args) -> Result<Report, Failure> {
    let ring = args.key.as_deref().map(ring).transpose()?;
    let keys = args.public.as_deref().map(public_keys).transpose()?;
    let mut expected = None;
    let mut evidence = Evidence { ring: ring.as_ref(), ..Evidence::default() };
    // Those of the archive need the public keys; whoever has only the secrets does without.
    let archived = keys.as_ref().map(|_| archive::checkpoints(&args.path)).transpose()?;
    for path in archived.unwrap_or_default().iter().chain(&args.expect) {
        match promise(path, keys.as_ref())? {
            Promise::Record(record) => expected = Some(record),
            Promise::Checkpoint(checkpoint) => evidence.checkpoints.push(checkpoint),
            Promise::Receipt(receipt) => evidence.receipts.push(receipt),
            Promise::Broken(problem) => return Ok(invalid(problem)),
        }
    }
    if ring.is_none() && evidence.checkpoints.is_empty() {
        return Err("there is nothing to check these records by: no secrets (--key), and no \
            checkpoint in the archive or given with --expect"
            .to_owned());
    }
    evidence.expected = expected.as_ref();
    let ring = evidence.ring;
    let mut audit = Audit::new(evidence);
    for file in archive::files(&args.path)? {
        let failed = |error: std::io::Error| format!("{}: {error}", file.display());
        let mut reader = BufReader::new(File::open(&file).map_err(failed)?);
        loop {
            let lines = some_lines(&mut reader).map_err(failed)?;
            if lines.is_empty() {
                break;
            }
            check_all(&lines, ring).into_iter().for_each(|checked| audit.take(checked));
        }
    }
    Ok(audit.finish())
}

/// The next lines: as many as [`AT_ONCE`], or fewer long ones.
fn some_lines(reader: &mut impl BufRead) -> std::io::Result<Vec<Vec<u8>>> {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    let mut line = Vec::new();
    while lines.len() < AT_ONCE && bytes < LINE_MAX && lines::next(reader, LINE_MAX, &mut line)? {
        bytes += line.len();
        lines.push(core::mem::take(&mut line));
    }
    Ok(lines)
}

/// Checks each line by itself, on all processors; in order.
fn check_all(lines: &[Vec<u8>], ring: Option<&Ring>) -> Vec<Result<Option<Checked>, Bad>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    // Bytes that are no text, and what a line too long leaves, are no record either.
    let check = |line: &Vec<u8>| Checked::read(&String::from_utf8_lossy(line), ring);
    std::thread::scope(|scope| {
        let parts: Vec<_> = lines
            .chunks(lines.len().div_ceil(threads))
            .map(|part| scope.spawn(move || part.iter().map(check).collect::<Vec<_>>()))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().unwrap_or_else(|e| resume_unwind(e)))
            .collect()
    })
}

/// Something that was promised.
enum Promise {
    Record(Expected),
    Checkpoint(Checkpoint),
    Receipt(Receipt),
    /// It is not what it says it is; nothing that rests on it can be trusted.
    Broken(String),
}

/// Tells by its first character what a promise is: an object, a note of several lines, or one word.
fn promise(path: &Path, keys: Option<&PublicKeys>) -> Result<Promise, Failure> {
    let text = read(path)?;
    let place = path.display();
    if text.trim_start().starts_with('{') {
        let record = serde_json::from_str(&text);
        return record.map(Promise::Record).map_err(|error| format!("{place}: {error}"));
    }
    let Some(keys) = keys else {
        return Err(format!(
            "{place}: signed by the operator: --public with the operator's keys is needed to check it"
        ));
    };
    let broken = |why: Untrusted| Ok(Promise::Broken(format!("{place} {why}")));
    if text.trim().contains('\n') {
        keys.read(&text).map(Promise::Checkpoint).or_else(broken)
    } else {
        Receipt::open(&text, keys).map(Promise::Receipt).or_else(broken)
    }
}

fn invalid(problem: String) -> Report {
    let mut report = Audit::new(Evidence::default()).finish();
    report.verdict = Verdict::Invalid;
    report.finding = Some(Finding { customer: None, seq: None, problem });
    report
}

fn ring(path: &Path) -> Result<Ring, Failure> {
    Ring::parse(read(path)?.trim())
        .map_err(|error| format!("{}: the key file {error}", path.display()))
}

fn public_keys(path: &Path) -> Result<PublicKeys, Failure> {
    PublicKeys::parse(read(path)?.trim())
        .map_err(|error| format!("{}: the file of public keys {error}", path.display()))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn show(report: &Report, json: bool) {
    if json {
        println!("{}", serde_json::to_string(report).unwrap_or_default());
        return;
    }
    let verdict = serde_json::to_string(&report.verdict).unwrap_or_default();
    print!(
        "{} · {} records in {} chains",
        verdict.trim_matches('"'),
        report.records,
        report.chains
    );
    for (currency, total) in &report.totals {
        print!(" · {total} {currency}");
    }
    if report.covered > 0 {
        print!(" · {} under a checkpoint", report.covered);
    }
    if report.pending > 0 {
        print!(" · {} receipts not due yet", report.pending);
    }
    println!();
    if let Some(finding) = &report.finding {
        let customer = finding.customer.as_ref().map(|name| format!("customer {name}, "));
        let seq = finding.seq.map(|seq| format!("record {seq}: "));
        let (customer, seq) = (customer.unwrap_or_default(), seq.unwrap_or_default());
        println!("{customer}{seq}{}", finding.problem);
    }
}
