//! Reads JSON byte by byte, cut anywhere, and keeps only what a [`Plan`] asks for.
//!
//! The rest is passed over at the speed of `memchr`: inside a string only the next quote or
//! backslash matters, inside an unwanted value only brackets and quotes. Because strings are known
//! to be strings, a text that looks like `"usage":{…}` changes nothing; because keys are unescaped
//! before they are compared, `"\u0075sage"` is `usage`.

use super::plan::Want;
use super::{Node, Plan};

/// Longest key that can match; the longest of any API is under 60 bytes.
pub(super) const KEY_MAX: usize = 128;
/// Longest string kept: model names and ids. Longer ones are cut.
pub(super) const TEXT_MAX: usize = 512;
/// Longest string kept where it is an answer's text, or an event in base64: none is longer.
const LONG_TEXT_MAX: usize = 64 * 1024;
/// Bytes kept of one document's long strings, all together; past it each is cut like any other.
const LONG_TEXTS_MAX: usize = 1024 * 1024;
/// Longest number kept: 28 digits and a point fit twice.
pub(super) const SCALAR_MAX: usize = 64;
/// Items kept of one list: far more choices, output items or turns than one answer has.
const ITEMS_MAX: usize = 1024;
/// Values kept of one document, about 4 MiB in all; what exceeds it is passed over, and said so.
const NODES_MAX: u32 = 65_536;
/// Nesting kept; deeper values are passed over. No API's usage is deeper than eight.
const DEPTH_MAX: usize = 32;

/// Where in the grammar the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before a value: of the document, of a key, of a list.
    Value,
    /// After `{` or a comma in an object.
    Key,
    /// After a key.
    Colon,
    /// After a value.
    After,
}

/// What the bytes at hand are part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Punctuation and spaces.
    Between,
    /// A key.
    Key,
    /// A string that is kept.
    Text,
    /// A number, `true`, `false` or `null`.
    Scalar,
    /// A string that is not kept.
    SkippedText,
    /// An object or list that is not kept.
    Skipped,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) want: Want,
    /// The key whose value is being read.
    pub(super) key: Box<str>,
    pub(super) node: Node,
}

/// An incremental reader of JSON values, one after another; a list at the root is opened, and each
/// of its items is a value of its own.
#[derive(Debug)]
pub struct Scanner {
    pub(super) state: State,
    pub(super) place: Place,
    pub(super) want: Want,
    pub(super) stack: Vec<Open>,
    /// Open brackets inside a skipped value.
    pub(super) depth: u32,
    /// The byte before was a backslash that escapes this one.
    pub(super) escaped: bool,
    pub(super) raw: Vec<u8>,
    pub(super) too_long: bool,
    pub(super) in_root_list: bool,
    pub(super) nodes: u32,
    pub(super) broken: bool,
    pub(super) values: u32,
    pub(super) twice: bool,
    pub(super) over: bool,
    /// All that is to be read has been.
    pub(super) over_and_done: bool,
    /// How long a kept string may be.
    pub(super) text_max: usize,
    /// What may still be kept of long ones.
    pub(super) long_left: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Between,
            place: Place::Value,
            want: Want::At(0),
            stack: Vec::new(),
            depth: 0,
            escaped: false,
            raw: Vec::new(),
            too_long: false,
            in_root_list: false,
            nodes: 0,
            broken: false,
            values: 0,
            twice: false,
            over: false,
            over_and_done: false,
            text_max: TEXT_MAX,
            long_left: LONG_TEXTS_MAX,
        }
    }
}

impl Scanner {
    /// One that keeps strings of up to 64 KiB: an answer's text, or an event in base64.
    pub fn with_long_texts() -> Self {
        Self { text_max: LONG_TEXT_MAX, ..Self::default() }
    }

    /// Reads the next bytes; `on_value` gets each value that they complete.
    pub fn feed(&mut self, plan: &Plan, mut bytes: &[u8], on_value: &mut dyn FnMut(&Node)) {
        while !bytes.is_empty() && !self.broken && !self.over_and_done {
            bytes = match self.state {
                State::Between => self.between(plan, bytes, on_value),
                State::Key | State::Text | State::SkippedText => self.string(plan, bytes, on_value),
                State::Scalar => self.scalar(bytes, on_value),
                State::Skipped => self.skip(bytes, on_value),
            };
        }
    }

    /// No more bytes will come: hands over what of a value was read before it broke off.
    pub fn end(&mut self, on_value: &mut dyn FnMut(&Node)) {
        if self.state == State::Scalar && self.at_root() {
            self.scalar(b" ", on_value);
        }
        while let Some(open) = self.stack.pop() {
            self.broken = true;
            match self.stack.last_mut() {
                // A usage object cut in two is not believed: its last number may be cut as well.
                Some(_) if open.want == Want::All => {}
                Some(parent) => attach(parent, open.node, &mut self.twice),
                None => on_value(&open.node),
            }
        }
        self.broken |= self.in_root_list || self.state != State::Between;
        self.state = State::Between;
    }

    /// Every value was whole, and there was at least one.
    pub fn is_whole(&self) -> bool {
        let open = self.in_root_list || !self.stack.is_empty() || self.state != State::Between;
        !self.broken && !open && self.values > 0
    }

    /// Something that is no JSON followed the last value.
    pub fn saw_more(&self) -> bool {
        self.over_and_done
    }

    /// A kept key stood twice in one object.
    pub fn saw_twice(&self) -> bool {
        self.twice
    }

    /// More was asked for than is kept.
    pub fn went_over(&self) -> bool {
        self.over
    }

    /// Makes it ready for another document; keeps its room.
    pub fn reset(&mut self) {
        self.stack.clear();
        self.raw.clear();
        *self = Self {
            stack: core::mem::take(&mut self.stack),
            raw: core::mem::take(&mut self.raw),
            text_max: self.text_max,
            ..Self::default()
        };
    }

    fn between<'b>(
        &mut self,
        plan: &Plan,
        bytes: &'b [u8],
        on_value: &mut dyn FnMut(&Node),
    ) -> &'b [u8] {
        let Some((&byte, rest)) = bytes.split_first() else { return bytes };
        match (byte, self.place) {
            (b' ' | b'\t' | b'\n' | b'\r', _) => {}
            (b'"', Place::Key) => self.begin(State::Key),
            (b':', Place::Colon) => self.place = Place::Value,
            (b',', Place::After) if self.stack.is_empty() => self.place = Place::Value,
            (b',', Place::After) => self.next_item(),
            (b'}' | b']', Place::Key | Place::After | Place::Value) => self.close(byte, on_value),
            (b'[', Place::Value) if self.at_root() && !self.in_root_list => {
                self.in_root_list = true;
                self.nodes = 0;
            }
            (b'{' | b'[', Place::Value) => self.open(plan, byte),
            (b'"', Place::Value) => {
                let keep = matches!(self.want, Want::At(_) | Want::All);
                self.begin(if keep { State::Text } else { State::SkippedText });
            }
            (b'-' | b'0'..=b'9' | b't' | b'f' | b'n', Place::Value) => {
                self.begin(State::Scalar);
                return bytes;
            }
            // A value right after another: JSON texts may follow each other without a comma.
            (_, Place::After) if self.stack.is_empty() && !self.in_root_list => {
                self.place = Place::Value;
                return bytes;
            }
            // A byte order mark.
            (0xEF | 0xBB | 0xBF, Place::Value) if self.values == 0 && self.at_root() => {}
            // What follows a whole value and is no JSON is not ours to judge.
            _ if self.at_root() && self.values > 0 && !self.in_root_list => {
                self.over_and_done = true;
            }
            _ => self.broken = true,
        }
        rest
    }

    fn at_root(&self) -> bool {
        self.stack.is_empty()
    }

    pub(super) fn begin(&mut self, state: State) {
        self.state = state;
        self.raw.clear();
        self.too_long = false;
        self.escaped = false;
    }

    fn next_item(&mut self) {
        let Some(top) = self.stack.last() else { return };
        match &top.node {
            Node::List(items) => {
                self.place = Place::Value;
                self.want = top.want;
                if items.len() >= ITEMS_MAX {
                    self.over |= self.want == Want::All;
                    self.want = Want::Skip;
                }
            }
            _ => self.place = Place::Key,
        }
    }

    fn open(&mut self, plan: &Plan, byte: u8) {
        let full = self.nodes >= NODES_MAX || self.stack.len() >= DEPTH_MAX;
        if full || !plan.inside(self.want) {
            self.over |= full && self.want != Want::Skip;
            self.begin(State::Skipped);
            self.depth = 1;
            return;
        }
        let node = if byte == b'{' { Node::Object(Vec::new()) } else { Node::List(Vec::new()) };
        self.place = if byte == b'{' { Place::Key } else { Place::Value };
        self.stack.push(Open { want: self.want, key: "".into(), node });
    }

    fn close(&mut self, byte: u8, on_value: &mut dyn FnMut(&Node)) {
        let Some(top) = self.stack.last() else {
            let ends_list = byte == b']' && core::mem::take(&mut self.in_root_list);
            self.broken |= !ends_list;
            self.values = self.values.saturating_add(u32::from(ends_list));
            self.place = Place::After;
            return;
        };
        let fits = match &top.node {
            Node::List(items) => byte == b']' && (self.place != Place::Value || items.is_empty()),
            _ => byte == b'}' && self.place != Place::Value,
        };
        if !fits {
            self.broken = true;
        } else if let Some(open) = self.stack.pop() {
            self.value(open.node, on_value);
        }
    }

    /// A value is complete.
    pub(super) fn value(&mut self, node: Node, on_value: &mut dyn FnMut(&Node)) {
        self.state = State::Between;
        self.place = Place::After;
        let Some(parent) = self.stack.last_mut() else {
            self.values = self.values.saturating_add(1);
            self.nodes = 0;
            self.want = Want::At(0);
            on_value(&node);
            return;
        };
        if self.nodes >= NODES_MAX || parent.node.fields().len() >= ITEMS_MAX {
            self.over = true;
            return;
        }
        self.nodes = self.nodes.saturating_add(1);
        attach(parent, node, &mut self.twice);
    }

    /// An unwanted value is over.
    pub(super) fn passed(&mut self, on_value: &mut dyn FnMut(&Node)) {
        match self.want {
            Want::Skip => {
                self.state = State::Between;
                self.place = Place::After;
                if self.stack.is_empty() {
                    self.values = self.values.saturating_add(1);
                    self.want = Want::At(0);
                }
            }
            _ => self.value(Node::Opaque, on_value),
        }
    }
}

fn attach(parent: &mut Open, node: Node, twice: &mut bool) {
    match &mut parent.node {
        Node::List(items) => items.push(node),
        Node::Object(fields) => {
            let key = core::mem::take(&mut parent.key);
            match fields.iter_mut().find(|(name, _)| *name == key) {
                Some((_, old)) => {
                    *twice = true;
                    *old = node;
                }
                None => fields.push((key, node)),
            }
        }
        _ => {}
    }
}
