//! What an answer's events hold of the model's own: seen, and kept where texts are kept.

use super::skip::{Look, Written};
use super::{Reader, each, paths, written};
use crate::wire::json::Node;
use crate::wire::usage::Meter;

impl Reader {
    /// Texts are kept, and there is room for more.
    pub(super) fn keeps_text(&self) -> bool {
        self.texts.as_ref().is_some_and(|texts| texts.room > 0)
    }

    /// Passes over an event that need not be parsed; false where it must be.
    pub(super) fn pass(&mut self, look: Look<'_>, data: &[u8]) -> bool {
        match look {
            Look::Read => return false,
            Look::Content { text: Written::Somewhere, .. } if self.keeps_text() => return false,
            Look::Content { words, text } => {
                self.read_running();
                self.saw_content(words);
                self.keep(text, words);
            }
            Look::Running(count) => {
                // Of a session's turns each begins anew.
                self.answer.runs(count.filter(|_| !self.session));
                let mut running = core::mem::take(&mut self.running);
                if !running.is_empty() {
                    self.saw_content(1);
                    let text = if self.keeps_text() {
                        self.skip.written(&running)
                    } else {
                        Written::Nothing
                    };
                    self.keep(text, 1);
                }
                running.clear();
                running.extend_from_slice(data);
                self.running = running;
            }
            Look::Nothing => {}
        }
        true
    }

    /// An event with content, in which so many words begin.
    pub(super) fn saw_content(&mut self, words: u64) {
        self.answer.seen = self.answer.seen.saturating_add(words.max(1));
        self.answer.content_since = true;
    }

    pub(super) fn content(&mut self, root: &Node) {
        if written::repeats(root) {
            return;
        }
        let (mut any, mut words) = (false, 0_u64);
        for path in paths::CONTENT.iter().filter(|path| written::begins(root, path)) {
            each(root, path, &mut |node| {
                any |= match node {
                    Node::Text(text) => !text.is_empty(),
                    // Of these, that it is there is all that is asked for.
                    Node::Opaque => path.ends_with('?'),
                    _ => false,
                };
                if let Node::Text(text) = node
                    && paths::PROSE.contains(path)
                {
                    words = words.saturating_add(written::words(text.as_bytes()));
                }
            });
        }
        let kept = self.keep_pieces(root);
        if any && (!self.whole || self.listed) {
            self.saw_content(words);
            if !kept {
                self.not_kept(words);
            }
        }
    }

    /// Keeps what the model wrote, where texts are kept. False where nothing was.
    fn keep_pieces(&mut self, root: &Node) -> bool {
        let Some(texts) = self.texts.as_mut() else { return false };
        let (before, whole) = (texts.pieces, self.whole && !self.listed);
        written::pieces(root, whole, &mut |part, text| {
            texts.keep(part, text);
        });
        texts.pieces > before
    }

    /// Keeps the text of an event that was not parsed.
    fn keep(&mut self, text: Written<'_>, words: u64) {
        let Some(texts) = self.texts.as_mut() else { return };
        let kept = matches!(text, Written::Here(part, raw) if texts.keep_raw(part, raw));
        if !kept {
            self.not_kept(words);
        }
    }

    pub(super) fn not_kept(&mut self, words: u64) {
        if let Some(texts) = self.texts.as_mut() {
            texts.beside = texts.beside.saturating_add(words.max(1));
        }
    }

    /// The texts that were kept, and the tokens of the content that was not: one an event, or one a
    /// word that begins in it.
    pub(crate) fn uncounted(&mut self) -> Option<(Vec<String>, u64)> {
        let texts = self.texts.take()?;
        let beside = texts.beside;
        let texts = texts.into_texts();
        (!texts.is_empty()).then_some((texts, beside))
    }

    /// Whether all content there was came before a report of the output.
    pub(crate) fn is_covered(&self) -> bool {
        let reported = self.answer.usage.get(Meter::OutputTotal).is_some();
        reported && self.answer.usage_present && !self.answer.content_since
    }
}
