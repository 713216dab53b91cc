//! `farebox verify`: can these records be trusted?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{Failure, archive, complain};
use crate::auth::Ring;
use crate::record::{Expected, Report, Verdict, verify};

/// Checks records. Exit codes: 0 OK, 2 INVALID, 3 GAP, 4 MISSING, 5 FORK, 1 could not be checked.
#[derive(clap::Args)]
pub(super) struct Args {
    /// An archive file (NDJSON), or a folder of them.
    path: PathBuf,
    /// File with the record secrets, as in FAREBOX_RECORD_SECRETS: 1:<hex>,2:<hex>.
    #[arg(long)]
    key: PathBuf,
    /// File with a promise to check: {"customer", "seq", "hash"}, as the dashboard's `head` has it.
    #[arg(long)]
    expect: Option<PathBuf>,
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
    let ring = Ring::parse(read(&args.key)?.trim())
        .map_err(|error| format!("{}: the key file {error}", args.key.display()))?;
    let expected = args.expect.as_deref().map(expected).transpose()?;
    let files = archive::files(&args.path)?;
    let texts = files.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
    Ok(verify(texts.iter().flat_map(|text| text.lines()), &ring, expected.as_ref()))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn expected(path: &Path) -> Result<Expected, Failure> {
    serde_json::from_str(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
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
    println!();
    if let Some(finding) = &report.finding {
        let customer = finding.customer.as_ref().map(|name| format!("customer {name}, "));
        let seq = finding.seq.map(|seq| format!("record {seq}: "));
        let (customer, seq) = (customer.unwrap_or_default(), seq.unwrap_or_default());
        println!("{customer}{seq}{}", finding.problem);
    }
}
