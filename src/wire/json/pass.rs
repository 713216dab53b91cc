//! The scanner inside a string, a scalar, or a value that nobody asked for.

use memchr::memchr2;

use super::plan::Want;
use super::scan::{KEY_MAX, Place, SCALAR_MAX, State, TEXT_MAX};
use super::text::unescape;
use super::{Node, Plan, Scanner};

impl Scanner {
    pub(super) fn string<'b>(
        &mut self,
        plan: &Plan,
        bytes: &'b [u8],
        on_value: &mut dyn FnMut(&Node),
    ) -> &'b [u8] {
        let mut from = 0_usize;
        if core::mem::take(&mut self.escaped) {
            from = 1;
        }
        loop {
            let rest = bytes.get(from..).unwrap_or_default();
            let Some(at) = memchr2(b'"', b'\\', rest).map(|at| at.saturating_add(from)) else {
                self.keep(bytes);
                return &[];
            };
            if bytes.get(at) == Some(&b'"') {
                self.keep(bytes.get(..at).unwrap_or_default());
                self.string_end(plan, on_value);
                return bytes.get(at.saturating_add(1)..).unwrap_or_default();
            }
            from = at.saturating_add(2);
            if from > bytes.len() {
                self.escaped = true;
                self.keep(bytes);
                return &[];
            }
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let room = match self.state {
            State::Key => KEY_MAX,
            State::Text => self.text_max.min(self.long_left.max(TEXT_MAX)),
            State::Scalar => SCALAR_MAX,
            _ => return,
        };
        let free = room.saturating_sub(self.raw.len());
        self.too_long |= part.len() > free;
        self.raw.extend_from_slice(part.get(..free).unwrap_or(part));
    }

    fn string_end(&mut self, plan: &Plan, on_value: &mut dyn FnMut(&Node)) {
        match self.state {
            State::Key => {
                let key = unescape(&self.raw);
                let Some(top) = self.stack.last_mut() else { return };
                self.want = if self.too_long { Want::Skip } else { plan.below(top.want, &key) };
                if self.want != Want::Skip {
                    top.key = key.into();
                }
                self.state = State::Between;
                self.place = Place::Colon;
            }
            State::Text => {
                let text = unescape(&self.raw);
                self.long_left = self.long_left.saturating_sub(self.raw.len());
                self.value(Node::Text(text.into()), on_value);
            }
            _ => self.passed(on_value),
        }
    }

    pub(super) fn scalar<'b>(
        &mut self,
        bytes: &'b [u8],
        on_value: &mut dyn FnMut(&Node),
    ) -> &'b [u8] {
        let goes_on = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.');
        let Some(end) = bytes.iter().position(|b| !goes_on(b)) else {
            self.keep(bytes);
            return &[];
        };
        self.keep(bytes.get(..end).unwrap_or_default());
        if self.want == Want::Skip {
            self.passed(on_value);
        } else {
            let node = match self.raw.as_slice() {
                b"null" => Node::Null,
                b"true" => Node::Bool(true),
                b"false" => Node::Bool(false),
                _ if self.too_long => Node::Opaque,
                raw => Node::Number(String::from_utf8_lossy(raw).into()),
            };
            self.value(node, on_value);
        }
        bytes.get(end..).unwrap_or_default()
    }

    pub(super) fn skip<'b>(
        &mut self,
        bytes: &'b [u8],
        on_value: &mut dyn FnMut(&Node),
    ) -> &'b [u8] {
        let mut rest = bytes;
        if core::mem::take(&mut self.too_long) {
            // Inside a string of the skipped value, cut by the chunk's end.
            rest = self.skip_string(rest);
        }
        while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b'{' | b'}' | b'[' | b']'))
        {
            let byte = rest.get(at).copied();
            rest = rest.get(at.saturating_add(1)..).unwrap_or_default();
            match byte {
                Some(b'"') => rest = self.skip_string(rest),
                Some(b'{' | b'[') => self.depth = self.depth.saturating_add(1),
                _ => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        self.passed(on_value);
                        return rest;
                    }
                }
            }
        }
        &[]
    }

    /// Passes over the rest of a string; where it is cut, remembers that in `too_long`.
    fn skip_string<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let mut rest = bytes;
        if core::mem::take(&mut self.escaped) {
            rest = rest.get(1..).unwrap_or_default();
        }
        while let Some(at) = memchr2(b'"', b'\\', rest) {
            if rest.get(at) == Some(&b'"') {
                return rest.get(at.saturating_add(1)..).unwrap_or_default();
            }
            let Some(after) = rest.get(at.saturating_add(2)..) else {
                self.escaped = true;
                break;
            };
            rest = after;
        }
        self.too_long = true;
        &[]
    }
}
