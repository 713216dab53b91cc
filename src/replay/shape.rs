//! How a record is written: the text that records of its kind have in common, and the places at which
//! they differ. The first record of a kind is walked through, field by field; those that follow are
//! compared with it, and only what differs is looked at. That is several times faster.
//!
//! A line that fits is, token by token, the first one with other values: whatever differs stands between
//! two quotes or is a bare number or word, and does not reach beyond them. The first one was read whole as
//! well, so what all have in common is sound; what differs is checked as the whole reader would.

use super::Attempt;
use super::read::{Found, Role, Slim};
use crate::walk::Walk;
use crate::wire::usage::Meter;

/// Shapes kept; an archive's records have a few each endpoint, and one that is not kept is found anew.
const SHAPES_MAX: usize = 16;
/// Objects in lists in objects; a record has four.
const DEPTH_MAX: usize = 8;
/// Places at which one shape's records differ; a record with every meter there is has a third of it.
const SLOTS_MAX: usize = 512;
/// Fields that are alike in all records of a shape.
const FIXED: [&str; 5] = ["meter", "unit", "provenance", "per", "alg"];

/// The shapes met last.
#[derive(Default)]
pub(super) struct Shapes(Vec<Shape>);

impl Shapes {
    /// Reads one line of an archive; `None` where it is in no form that this reader knows.
    pub fn read<'a>(&mut self, line: &'a str) -> Option<Slim<'a>> {
        if is_odd(line) {
            return None;
        }
        let fits = |shape: &Shape| shape.read(line);
        let known = self.0.iter().enumerate().find_map(|(at, shape)| Some((at, fits(shape)?)));
        let (at, slim) = if let Some(known) = known {
            known
        } else {
            let shape = Shape::of(line)?;
            let slim = shape.read(line)?;
            let whole = Attempt::parse(line).ok()?;
            if Slim::of(&whole).as_ref() != Some(&slim) {
                return None;
            }
            self.0.truncate(SHAPES_MAX.saturating_sub(1));
            self.0.push(shape);
            (self.0.len().saturating_sub(1), slim)
        };
        if let Some(recent) = self.0.get_mut(..=at) {
            recent.rotate_right(1);
        }
        Some(slim)
    }
}

/// What takes the whole reader: an escape, or a character that no text may have as it is.
fn is_odd(line: &str) -> bool {
    let line = line.strip_suffix('\r').unwrap_or(line);
    // All of it is looked at, which is done many bytes at a time.
    line.bytes()
        .map(|byte| u8::from(byte == b'\\') | u8::from(byte < b' '))
        .fold(0, |odd, one| odd | one)
        != 0
}

struct Shape {
    slots: Vec<Slot>,
    /// What stands after the last place.
    rest: Box<str>,
}

struct Slot {
    /// What stands before it.
    before: Box<str>,
    /// Between quotes, or a bare number or word.
    quoted: bool,
    role: Role,
}

impl Slot {
    /// Its text, and what is after it.
    fn cut<'a>(&self, line: &'a str) -> Option<(&'a str, &'a str)> {
        let bytes = line.as_bytes();
        if self.quoted {
            return line.split_at_checked(memchr::memchr(b'"', bytes)?);
        }
        let end = bytes.iter().position(|byte| b",}] \t\r".contains(byte))?;
        line.split_at_checked(end).filter(|(text, _)| is_bare(text))
    }
}

/// Whether JSON has this text without quotes: a number or a word.
fn is_bare(text: &str) -> bool {
    fn digits(text: &str) -> Option<&str> {
        let rest = text.trim_start_matches(|digit: char| digit.is_ascii_digit());
        (rest.len() < text.len()).then_some(rest)
    }
    fn after_number(text: &str) -> Option<&str> {
        let whole = text.strip_prefix('-').unwrap_or(text);
        let mut rest = whole.strip_prefix('0').or_else(|| digits(whole))?;
        if let Some(fraction) = rest.strip_prefix('.') {
            rest = digits(fraction)?;
        }
        let Some(power) = rest.strip_prefix(['e', 'E']) else { return Some(rest) };
        digits(power.strip_prefix(['+', '-']).unwrap_or(power))
    }
    matches!(text, "true" | "false" | "null") || after_number(text) == Some("")
}

impl Shape {
    /// The shape of a line that is a record, sealed or not.
    fn of(line: &str) -> Option<Self> {
        Maker::new(line).sealed().or_else(|| Maker::new(line).bare())
    }

    /// A line of this shape.
    fn read<'a>(&self, line: &'a str) -> Option<Slim<'a>> {
        let (mut found, mut left) = (Found::default(), line);
        for slot in &self.slots {
            let (text, after) = slot.cut(left.strip_prefix(&*slot.before)?)?;
            found.take(slot.role, text)?;
            left = after;
        }
        (left == &*self.rest).then(|| found.whole())?
    }
}

/// Makes a shape of a line.
struct Maker<'a> {
    line: &'a str,
    /// Where the last place ended.
    from: usize,
    slots: Vec<Slot>,
}

impl<'a> Maker<'a> {
    fn new(line: &'a str) -> Self {
        Self { line, from: 0, slots: Vec::new() }
    }

    /// A record with its signature.
    fn sealed(mut self) -> Option<Shape> {
        let (mut walk, mut found) = (Walk::new(self.line), false);
        walk.object(|key, walk| match key {
            "record" if found => None,
            "record" => {
                found = true;
                self.record(walk)
            }
            _ => self.any(walk, DEPTH_MAX),
        })?;
        found.then(|| self.made(walk))?
    }

    /// A record without one.
    fn bare(mut self) -> Option<Shape> {
        let mut walk = Walk::new(self.line);
        self.record(&mut walk)?;
        self.made(walk)
    }

    fn made(self, mut walk: Walk<'_>) -> Option<Shape> {
        let whole = walk.is_done() && self.slots.len() <= SLOTS_MAX;
        let rest = self.line.get(self.from..)?.into();
        whole.then_some(Shape { slots: self.slots, rest })
    }

    fn record(&mut self, walk: &mut Walk<'a>) -> Option<()> {
        let mut keys = Vec::new();
        walk.object(|key, walk| {
            if keys.contains(&key) {
                return None;
            }
            keys.push(key);
            match key {
                "customer" => self.slot(walk, Role::Customer),
                "seq" => self.slot(walk, Role::Seq),
                "corrects" => self.slot(walk, Role::Corrects),
                "class" => self.slot(walk, Role::Class),
                "model" => self.slot(walk, Role::Model),
                "received_at" => self.slot(walk, Role::ReceivedAt),
                "region" => self.slot(walk, Role::Region),
                "served_tier" => self.slot(walk, Role::ServedTier),
                "currency" => self.slot(walk, Role::Currency),
                "endpoint" => self.slot(walk, Role::Endpoint),
                "key_id" => self.slot(walk, Role::Key),
                "amount" => self.slot(walk, Role::Amount),
                "previous" => self.slot(walk, Role::Previous),
                "quantities" => self.rows(walk, "quantity", Role::Quantity),
                "lines" => self.rows(walk, "amount", Role::Line),
                // Priced apart from the record's own usage, or not at all: read whole.
                "sub_usage" => walk.list(|_| None),
                // A record in a record: which of them is read depends on whether the inner one is whole.
                "outcome_of" | "record" => None,
                _ => self.any(walk, DEPTH_MAX),
            }
        })?;
        ["quantities", "lines"].iter().all(|key| keys.contains(key)).then_some(())
    }

    /// One place: a text, a number or a word.
    fn slot(&mut self, walk: &mut Walk<'a>, role: Role) -> Option<()> {
        let quoted = walk.peek()? == b'"';
        let start = walk.at();
        walk.skip()?;
        if role != Role::Passed && quoted == role.is_number() {
            return None;
        }
        let quote = usize::from(quoted);
        let (start, end) = (start.saturating_add(quote), walk.at().saturating_sub(quote));
        let before = self.line.get(self.from..start)?.into();
        self.slots.push(Slot { before, quoted, role });
        self.from = end;
        Some(())
    }

    /// A value of which nothing is wanted.
    fn any(&mut self, walk: &mut Walk<'a>, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match walk.peek()? {
            b'{' => walk.object(|key, walk| {
                if FIXED.contains(&key) { walk.skip().map(drop) } else { self.any(walk, depth) }
            }),
            b'[' => walk.list(|walk| self.any(walk, depth)),
            _ => self.slot(walk, Role::Passed),
        }
    }

    /// A list of objects with a meter each, and one number that is wanted.
    fn rows(&mut self, walk: &mut Walk<'a>, number: &str, role: fn(Meter) -> Role) -> Option<()> {
        walk.list(|walk| {
            let (mut meter, mut wanted) = (None, None);
            walk.object(|key, walk| match key {
                "meter" if meter.is_none() => {
                    meter = Some(Meter::named(walk.plain()?)?);
                    Some(())
                }
                key if key == number && wanted.is_none() => {
                    wanted = Some(self.slots.len());
                    self.slot(walk, Role::Amount)
                }
                // A second one.
                key if key == "meter" || key == number => None,
                "rate" | "quantity" => self.slot(walk, Role::Number),
                key if FIXED.contains(&key) => walk.skip().map(drop),
                _ => self.any(walk, DEPTH_MAX),
            })?;
            self.slots.get_mut(wanted?)?.role = role(meter?);
            Some(())
        })
    }
}
