//! What if: recorded usage under another book or plan, line by line and in all, as the archive streams
//! by. The browser and the command run this; no more than one line is held at a time, and what is kept
//! beside the sums has a bound each.

use std::collections::HashMap;

use super::periods::{ForPlan, Periods, Refused};
use super::read::Slim;
use super::seen::{Seen, TooMany};
use super::shape::Shapes;
use super::tally::{Outcome, Tally};
use super::{Attempt, NoPrice};
use crate::book::{Book, Model, Situation, input_total};
use crate::calendar::Calendar;
use crate::money::Exact;
use crate::plan::Plan;
use crate::rating;
use crate::record::Class;
use crate::strict::Faults;

/// Longest line read; a record with every meter there is has a tenth of it. Longer ones are an error.
pub const LINE_MAX: usize = 256 * 1024;
/// Unresolved records kept for the corrections that may follow; hardly a hold in a thousand expires.
const OPEN_MAX: usize = 20_000;
/// Different names of models, kept with their prices; more of them are found anew each time.
const MODELS_KEPT_MAX: usize = 4_096;

/// What recorded usage is priced by instead.
pub enum By {
    /// Another book: each record anew.
    Book(Box<Book>),
    /// A plan: what each customer used in each period of the calendar, as a whole. The book is the one
    /// that names the models, for plans that tell them apart.
    Plan(Box<Plan>, Box<Calendar>, Box<Book>),
}

/// A what-if under way.
pub struct WhatIf {
    by: By,
    tally: Tally,
    seen: Seen,
    shapes: Shapes,
    /// Unresolved records, as they were written: a correction takes them back.
    open: HashMap<(Box<str>, u64), Box<str>>,
    models: HashMap<Box<str>, Option<Box<Model>>>,
    /// The end of the last chunk: a line that is not whole yet.
    rest: Vec<u8>,
    /// The line that is being read is too long; the rest of it is passed over.
    skipping: bool,
    /// The file that is being read, where it has a name, and its last line.
    file: Option<Box<str>>,
    line: u64,
    /// The plan tells models apart: by the names that their book has for them.
    is_named: bool,
}

/// A record counts, or is taken back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

impl WhatIf {
    /// Begins one. A plan that the sums of a period cannot be priced by is refused, with every reason.
    pub fn new(by: By) -> Result<Self, Faults> {
        let mut is_named = false;
        let tally = match &by {
            By::Book(book) => Tally::new(book.currency(), None),
            By::Plan(plan, calendar, _) => {
                plan.fit_for_sums()?;
                is_named = plan.tells_apart("model") || plan.tells_apart("provider");
                Tally::new(&plan.currency, Some(Periods::new(plan, (**calendar).clone())))
            }
        };
        Ok(Self {
            tally,
            by,
            seen: Seen::default(),
            shapes: Shapes::default(),
            open: HashMap::new(),
            models: HashMap::new(),
            rest: Vec::new(),
            skipping: false,
            file: None,
            line: 0,
            is_named,
        })
    }

    /// The next file of the archive begins, and the last one's last line is over; errors name it.
    pub fn file(&mut self, name: &str) {
        self.end();
        (self.file, self.line) = (Some(name.into()), 0);
    }

    /// Reads the next part of an archive, cut anywhere.
    pub fn push(&mut self, mut chunk: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            let (line, after) = chunk.split_at_checked(end).unwrap_or((chunk, &[]));
            chunk = after.get(1..).unwrap_or_default();
            if self.rest.is_empty() && !self.skipping && line.len() <= LINE_MAX {
                self.bytes(line);
                continue;
            }
            self.keep(line);
            self.end_line();
        }
        self.keep(chunk);
    }

    /// The archive is over: what it comes to, as JSON.
    pub fn finish(mut self) -> String {
        self.end();
        let plan = match &self.by {
            By::Plan(plan, ..) => Some(&**plan),
            By::Book(_) => None,
        };
        self.tally.report(plan).to_string()
    }

    fn end(&mut self) {
        if !self.rest.is_empty() || self.skipping {
            self.end_line();
        }
    }

    fn fault(&mut self, code: &str, message: &str) {
        self.tally.fault((self.file.as_deref(), self.line), code, message);
    }

    fn keep(&mut self, part: &[u8]) {
        if self.skipping || self.rest.len().saturating_add(part.len()) > LINE_MAX {
            self.skipping = true;
            self.rest.clear();
        } else {
            self.rest.extend_from_slice(part);
        }
    }

    fn end_line(&mut self) {
        if core::mem::take(&mut self.skipping) {
            self.line = self.line.saturating_add(1);
            let message = format!("the line is longer than {LINE_MAX} bytes");
            self.fault("line_too_long", &message);
            return;
        }
        let rest = core::mem::take(&mut self.rest);
        self.bytes(&rest);
        self.rest = rest;
        self.rest.clear();
    }

    fn bytes(&mut self, line: &[u8]) {
        self.line = self.line.saturating_add(1);
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let Ok(text) = core::str::from_utf8(line) else {
            return self.fault("invalid_record", "not UTF-8");
        };
        if let Err((code, message)) = self.text(text) {
            self.fault(code, &message);
        }
    }

    fn text(&mut self, line: &str) -> Result<(), (&'static str, String)> {
        let whole;
        let (slim, attempt) = if let Some(slim) = self.shapes.read(line) {
            (slim, None)
        } else {
            // Any other spelling of a record, and the reason why a line is none.
            whole = Attempt::parse(line).map_err(|error| ("invalid_record", error.to_string()))?;
            (Slim::of(&whole).ok_or_else(out_of_range)?, Some(&whole))
        };
        if self.mark(&slim.customer, slim.seq)? {
            self.tally.passed_over();
            return Ok(());
        }
        if let Some(corrected) = slim.corrects {
            self.take_back(&slim, attempt, corrected)?;
        }
        if slim.class == Class::Unresolved {
            if self.open.len() >= OPEN_MAX {
                let message = format!("more than {OPEN_MAX} unresolved records");
                return Err(("too_many_unresolved", message));
            }
            self.open.insert((slim.customer.as_ref().into(), slim.seq), line.into());
        }
        self.count(&slim, attempt, line, Sign::Plus)
    }

    fn mark(&mut self, customer: &str, seq: u64) -> Result<bool, (&'static str, String)> {
        self.seen.mark(customer, seq).map_err(|TooMany| {
            ("too_many_records", format!("record {seq} of {customer:?} is beyond what can be kept"))
        })
    }

    /// A correction stands for its attempt: what it corrects does not count, before it or after it.
    fn take_back(
        &mut self,
        correction: &Slim<'_>,
        attempt: Option<&Attempt>,
        seq: u64,
    ) -> Result<(), (&'static str, String)> {
        if !self.mark(&correction.customer, seq)? {
            return Ok(());
        }
        if let Some(outcome) = attempt.and_then(|attempt| attempt.reversed(seq)) {
            return self.uncount(&outcome, "");
        }
        let key = (correction.customer.as_ref().into(), seq);
        let Some(line) = self.open.remove(&key) else {
            let message = format!("record {seq} is corrected, and was final");
            return Err(("corrects_final", message));
        };
        let whole = Attempt::parse(&line).map_err(|_| out_of_range())?;
        self.uncount(&whole, &line)
    }

    fn uncount(&mut self, whole: &Attempt, line: &str) -> Result<(), (&'static str, String)> {
        let slim = Slim::of(whole).ok_or_else(out_of_range)?;
        self.tally.passed_over();
        self.tally.forget(&slim);
        self.count(&slim, Some(whole), line, Sign::Minus)
    }

    /// Under a plan: what the record used, and what other models used beside that.
    fn used(
        &mut self,
        slim: &Slim<'_>,
        attempt: Option<&Attempt>,
        sign: Sign,
    ) -> Result<(), (&'static str, String)> {
        let By::Plan(_, _, names) = &self.by else { return Ok(()) };
        let is_named = self.is_named && slim.class != Class::Voided;
        let known = is_named.then(|| names.sold(&slim.model));
        let provider = known.flatten().map(|model| model.provider.as_str());
        let mixed = attempt.filter(|attempt| !attempt.sub_usage.is_empty());
        let (own, beside) = match mixed {
            Some(attempt) => attempt.for_plan(names, provider).map_err(|_| out_of_range())?,
            None => Default::default(),
        };
        let own_lines = mixed.map_or(slim.lines.len(), |attempt| attempt.lines.len());
        let (lines, beside_lines) = slim.lines.split_at_checked(own_lines).unwrap_or_default();
        let for_plan = |model| ForPlan {
            model,
            provider,
            own: if mixed.is_some() { &own } else { &slim.usage },
            lines,
            beside: &beside,
            beside_lines,
        };
        let used = match known {
            None => Ok(for_plan(&slim.model)),
            Some(Some(model)) => Ok(for_plan(&model.model)),
            Some(None) => Err(NoPrice::ModelNotPriced),
        };
        self.tally.used(slim, used, sign).map_err(|why| refused(&why))
    }

    fn count(
        &mut self,
        slim: &Slim<'_>,
        attempt: Option<&Attempt>,
        line: &str,
        sign: Sign,
    ) -> Result<(), (&'static str, String)> {
        let By::Book(book) = &self.by else {
            return self.used(slim, attempt, sign);
        };
        let new = match attempt.filter(|attempt| !attempt.sub_usage.is_empty()) {
            Some(attempt) => attempt.price(book).map(|priced| Outcome {
                amount: priced.amount,
                lines: priced.lines.iter().map(|line| (line.meter, line.amount)).collect(),
            }),
            None => price(slim, book, &mut self.models),
        };
        let done = self.tally.add(slim, (&slim.lines, new), sign);
        let changed = done.map_err(|_| out_of_range())?;
        if changed && self.tally.wants_example(sign) {
            self.tally.example(&super::reprice_json(book, line), slim);
        }
        Ok(())
    }
}

/// Why a record that is sound is in no sum.
fn refused(why: &Refused) -> (&'static str, String) {
    match why {
        Refused::OutOfRange => out_of_range(),
        Refused::TooMany => (
            "too_many_sums",
            "there are too many customers, periods and models to keep apart".to_owned(),
        ),
    }
}

fn out_of_range() -> (&'static str, String) {
    ("amount_out_of_range", "the amounts need more than 28 digits".to_owned())
}

/// As [`Attempt::price`], of a record of one model.
fn price(
    slim: &Slim<'_>,
    book: &Book,
    models: &mut HashMap<Box<str>, Option<Box<Model>>>,
) -> Result<Outcome, NoPrice> {
    if slim.class == Class::Voided {
        return Ok(Outcome { amount: Exact::ZERO, lines: Vec::new() });
    }
    if slim.currency != book.currency() {
        return Err(NoPrice::CurrencyDiffers);
    }
    let found;
    let model = if let Some(known) = models.get(&*slim.model) {
        known.as_deref()
    } else {
        found = book.find(None, &slim.model);
        if models.len() < MODELS_KEPT_MAX {
            models.insert(slim.model.as_ref().into(), found.cloned().map(Box::new));
        }
        found
    };
    let region = slim.region.as_deref();
    let situation = Situation { at: Some(slim.received_at), region, ..Situation::default() };
    let card = model.and_then(|model| model.card(&situation)).ok_or(NoPrice::ModelNotPriced)?;
    let input = input_total(&slim.usage)?;
    let rates = card
        .rates_for(slim.served_tier.as_deref(), input)
        .or_else(|| card.rates_for(None, input))
        .ok_or(NoPrice::ModelNotPriced)?;
    let rated = rating::rate(&slim.usage, rates)?;
    if let Some(meter) = rated.unpriced.first() {
        return Err(NoPrice::MeterNotPriced(*meter));
    }
    let lines = rated.lines.iter().map(|line| (line.meter, line.amount)).collect();
    Ok(Outcome { amount: rated.amount, lines })
}

#[cfg(test)]
#[path = "whatif_tests.rs"]
mod tests;
