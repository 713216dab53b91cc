//! `farebox replay`: what would recorded usage cost under another book or plan?

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::progress::Progress;
use super::{Failure, archive, book, by_plan, say};
use crate::book::Book;
use crate::money::Exact;
use crate::replay::whatif::LINE_MAX;
use crate::replay::{Attempt, NoPrice, Priced, line_changes};

/// Lines told that are no record; all are counted.
const FAULTS_TOLD: usize = 100;

/// Price recorded usage by another book or plan, with every difference line by line.
///
/// By a book each attempt is priced anew; by a plan, all that a customer used in a period, from its
/// first period with usage to its last. Exit codes: 0 all is priced, 1 something could not be read or
/// has no price (told on standard error, and in no sum), 64 wrong usage.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("by").required(true))]
pub(super) struct Args {
    /// Usage records: an archive file (NDJSON), or a folder of them.
    path: PathBuf,
    /// The book to price them by.
    #[arg(long, group = "by")]
    book: Option<PathBuf>,
    /// The plan to price them by.
    #[arg(long, group = "by")]
    plan: Option<PathBuf>,
    /// Compare with this book instead of with what was charged.
    #[arg(long, requires = "book")]
    against: Option<PathBuf>,
    #[command(flatten)]
    calendar: by_plan::Calendars,
    /// Show the bar though standard error is no terminal.
    #[arg(long)]
    progress: bool,
}

/// The last record of each attempt: a correction replaces what it corrects.
pub(super) type Attempts = BTreeMap<(String, u64), Attempt>;

pub(super) fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let new = match (&args.book, &args.plan) {
        (_, Some(plan)) => {
            return by_plan::run(&args.path, plan, &args.calendar, (json, args.progress));
        }
        (Some(book), None) => book::read(book)?,
        (None, None) => return Err("name a `--book` or a `--plan` to price by".to_owned()),
    };
    let old = args.against.as_deref().map(book::read).transpose()?;
    let mut totals = Totals::default();
    let found = Found::of(&args.path, args.progress)?;
    for attempt in found.attempts.values() {
        let before = price(attempt, old.as_ref());
        let after = attempt.price(&new);
        totals.add(attempt, &before, &after)?;
        if before == after {
            continue;
        }
        if json {
            say(&difference(attempt, &before, &after).to_string())?;
        } else {
            show(attempt, &before, &after)?;
        }
    }
    if json {
        say(&json!({ "totals": totals }).to_string())?;
    } else {
        totals.show()?;
    }
    let mut faults = found.faults();
    faults.extend(totals.fault());
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

/// The revenue effect of a new book over recorded usage.
pub(super) fn effect(path: &Path, old: &Book, new: &Book) -> Result<Totals, Failure> {
    effect_on(&attempts(path)?, old, new)
}

/// The same over records that came in one text.
pub(super) fn effect_of(records: &str, old: &Book, new: &Book) -> Result<Totals, Failure> {
    let mut found = Found::default();
    found.read("the archive", records.as_bytes(), |_| ())?;
    effect_on(&found.whole()?, old, new)
}

fn effect_on(attempts: &Attempts, old: &Book, new: &Book) -> Result<Totals, Failure> {
    let mut totals = Totals::default();
    for attempt in attempts.values() {
        totals.add(attempt, &attempt.price(old), &attempt.price(new))?;
    }
    Ok(totals)
}

fn price(attempt: &Attempt, book: Option<&Book>) -> Result<Priced, NoPrice> {
    match book {
        Some(book) => attempt.price(book),
        None => attempt.charged().map_err(NoPrice::from),
    }
}

/// Every attempt of an archive, all of which could be read.
pub(super) fn attempts(path: &Path) -> Result<Attempts, Failure> {
    Found::of(path, false)?.whole()
}

/// Attempts, the last record of each, and the lines that are no record.
#[derive(Default)]
struct Found {
    attempts: Attempts,
    last: HashMap<(String, String), u64>,
    /// The first of them, and how many there are.
    unread: (Vec<String>, u64),
}

impl Found {
    fn of(path: &Path, progress: bool) -> Result<Self, Failure> {
        let mut found = Self::default();
        let files = archive::files(path)?;
        let mut bar = Progress::new(
            files.iter().filter_map(|file| Some(file.metadata().ok()?.len())).sum(),
            progress,
        );
        for file in files {
            let name = file.display().to_string();
            let opened = fs::File::open(&file).map_err(|error| format!("{name}: {error}"))?;
            found.read(&name, BufReader::new(opened), |bytes| bar.add(bytes))?;
        }
        bar.end();
        Ok(found)
    }

    /// Reads a file to its end; lines that are no record are kept for [`Self::faults`].
    fn read(
        &mut self,
        name: &str,
        mut reader: impl BufRead,
        mut done: impl FnMut(usize),
    ) -> Result<(), Failure> {
        let mut line = Vec::new();
        for nth in 1_u64.. {
            line.clear();
            // The rest of a line that is too long is passed over by parts, none of them kept.
            let read = (&mut reader).take(LINE_MAX as u64 + 1).read_until(b'\n', &mut line);
            let mut read = read.map_err(|error| format!("{name}: {error}"))?;
            if read == 0 {
                break;
            }
            let why = if line.ends_with(b"\n") || read <= LINE_MAX {
                self.line(&line).err()
            } else {
                read += reader.skip_until(b'\n').map_err(|error| format!("{name}: {error}"))?;
                Some(format!("the line is longer than {LINE_MAX} bytes"))
            };
            done(read);
            if let Some(why) = why {
                self.unread.1 += 1;
                if self.unread.0.len() < FAULTS_TOLD {
                    self.unread.0.push(format!("{name}, line {nth}: not a usage record: {why}"));
                }
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
        let attempt = Attempt::parse(text.trim_end()).map_err(|error| error.to_string())?;
        let id = (attempt.customer.clone(), attempt.attempt_id.clone());
        match self.last.get(&id).copied() {
            Some(seq) if seq > attempt.seq => return Ok(()),
            Some(seq) => drop(self.attempts.remove(&(attempt.customer.clone(), seq))),
            None => {}
        }
        self.last.insert(id, attempt.seq);
        self.attempts.insert((attempt.customer.clone(), attempt.seq), attempt);
        Ok(())
    }

    /// What could not be read, by file and line.
    fn faults(&self) -> Vec<String> {
        let (told, count) = &self.unread;
        let mut faults = told.clone();
        let more = count.saturating_sub(told.len() as u64);
        if more > 0 {
            faults.push(format!("and {more} lines more"));
        }
        faults
    }

    fn whole(self) -> Result<Attempts, Failure> {
        let faults = self.faults();
        if faults.is_empty() { Ok(self.attempts) } else { Err(faults.join("\n")) }
    }
}

type Outcome = Result<Priced, NoPrice>;

fn difference(attempt: &Attempt, before: &Outcome, after: &Outcome) -> serde_json::Value {
    let side = |outcome: &Outcome| match outcome {
        Ok(priced) => json!({ "amount": priced.amount }),
        Err(why) => json!({ "error": why }),
    };
    let lines = match (before, after) {
        (Ok(before), Ok(after)) => line_changes(before, after),
        _ => Vec::new(),
    };
    json!({ "customer": attempt.customer, "seq": attempt.seq, "model": attempt.model,
            "old": side(before), "new": side(after), "lines": lines })
}

fn show(attempt: &Attempt, before: &Outcome, after: &Outcome) -> Result<(), Failure> {
    let side = |outcome: &Outcome| match outcome {
        Ok(priced) => priced.amount.to_string(),
        Err(why) => json!(why).to_string(),
    };
    let head = (&attempt.customer, attempt.seq, &attempt.model);
    say(&format!("{} {} {}: {} -> {}", head.0, head.1, head.2, side(before), side(after)))?;
    if let (Ok(before), Ok(after)) = (before, after) {
        for change in line_changes(before, after) {
            let line = |line: Option<&crate::rating::Line>| {
                line.map_or("-".to_owned(), |l| {
                    format!("{} x {} / {} = {}", l.quantity, l.rate, l.per, l.amount)
                })
            };
            let (old, new) = (line(change.old.as_ref()), line(change.new.as_ref()));
            say(&format!("  {}: {old} -> {new}", change.meter.as_str()))?;
        }
    }
    Ok(())
}

/// Sums over all attempts that both sides can price, by currency; the rest is counted.
#[derive(Default, Serialize)]
pub(super) struct Totals {
    attempts: u64,
    /// Attempts that one of the sides cannot price: they are in no sum.
    unpriced: u64,
    changed: u64,
    by_currency: BTreeMap<String, Sums>,
}

#[derive(Default, Clone, Copy, Serialize)]
struct Sums {
    old: Exact,
    new: Exact,
    difference: Exact,
}

impl Totals {
    fn add(&mut self, attempt: &Attempt, before: &Outcome, after: &Outcome) -> Result<(), Failure> {
        self.attempts += 1;
        let (Ok(before), Ok(after)) = (before, after) else {
            self.unpriced += 1;
            return Ok(());
        };
        self.changed += u64::from(before.amount != after.amount);
        let sums = self.by_currency.entry(attempt.currency.clone()).or_default();
        let added = |sums: Sums| {
            let (old, new) = (sums.old.plus(before.amount)?, sums.new.plus(after.amount)?);
            Ok(Sums { old, new, difference: new.minus(old)? })
        };
        *sums = added(*sums).map_err(|error: crate::money::OutOfRange| error.to_string())?;
        Ok(())
    }

    /// What is in no sum makes the command fail, after all that is.
    fn fault(&self) -> Option<String> {
        let (unpriced, attempts) = (self.unpriced, self.attempts);
        (unpriced > 0).then(|| {
            format!("{unpriced} of {attempts} attempts are not priced by both sides, and in no sum")
        })
    }

    /// For people.
    pub(super) fn show(&self) -> Result<(), Failure> {
        say(&format!(
            "{} attempts, {} change, {} not priced by both",
            self.attempts, self.changed, self.unpriced
        ))?;
        self.by_currency.iter().try_for_each(|(currency, sums)| {
            say(&format!("{} -> {} {currency} ({})", sums.old, sums.new, sums.difference))
        })
    }
}
