//! The exact count of what a model wrote, where its vocabulary is known: a lower bound of what the
//! provider counts, which adds hidden reasoning and the marks between messages.

use std::collections::BTreeMap;

use crate::tokens::{Counter, Encoding, Tokeniser};
use crate::wire::read::{Part, TextCounter};

/// Texts of one answer counted apart, each with up to [`CARRY_MAX`](crate::tokens::CARRY_MAX) bytes:
/// 128 choices, the most an API gives, and as many tool calls. Of further ones, each event is a token.
const PARTS_MAX: usize = 256;

/// Counts each text of an answer by its model's own vocabulary. Of a model whose vocabulary is not
/// carried nothing is counted: an estimate is no lower bound, and a bill needs one.
///
/// ```
/// use farebox::meter::{End, ExactCounter, Framing, Metering};
/// let counter = Box::new(ExactCounter::new(None));
/// let mut metering = Metering::new(Framing::Sse, 200).with_counter(counter);
/// metering.chunk(b"data: {\"model\":\"gpt-4o\",\"choices\":[{\"delta\":{\"content\":\"Hello, world!\"}}]}\n\n");
/// assert_eq!(metering.end(End::Cut).seen_output, 4);
/// ```
#[derive(Debug)]
pub struct ExactCounter {
    requested: Option<String>,
    texts: BTreeMap<Part, Counter>,
}

impl ExactCounter {
    /// A counter for one answer. The model is the one that the answer names, or else `requested`.
    pub fn new(requested: Option<&str>) -> Self {
        Self { requested: requested.map(str::to_owned), texts: BTreeMap::new() }
    }

    fn tokeniser(&self, model: Option<&str>) -> Option<Tokeniser> {
        let model = model.filter(|name| !name.is_empty()).or(self.requested.as_deref())?;
        match Encoding::of_model(model) {
            Encoding::Exact(vocabulary) => Tokeniser::of(vocabulary),
            Encoding::Approximate { .. } => None,
        }
    }
}

impl TextCounter for ExactCounter {
    fn add(&mut self, model: Option<&str>, part: Part, text: &str) -> bool {
        let Some(tokeniser) = self.tokeniser(model) else { return false };
        if self.texts.len() >= PARTS_MAX && !self.texts.contains_key(&part) {
            return false;
        }
        self.texts.entry(part).or_insert_with(|| Counter::new(tokeniser)).push(text);
        true
    }

    fn least(&self) -> u64 {
        let counts = self.texts.values().map(|text| text.clone().end().at_least);
        counts.fold(0, u64::saturating_add)
    }
}
