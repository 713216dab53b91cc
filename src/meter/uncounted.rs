//! Text that no usage covers: what it is counted with, and what the count is worth.

use super::{Reading, raise_output};
use crate::tokens::{Encoding, Tokeniser};

/// What a model wrote and nobody has counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncounted {
    /// Its texts: one for each choice, tool call and output item.
    pub texts: Vec<String>,
    /// Tokens of the content that is not among them, at least.
    pub(super) beside: u64,
    /// A report of the output came after all of it. Only an exact count says more than that.
    pub(super) covered: bool,
    /// No count is above this.
    pub(super) most: Option<u64>,
}

impl Reading {
    /// Takes the text to be counted, and what it is to be counted with: the encoding of the model
    /// that the answer names, or else of the one `requested`. `None` where a count would tell
    /// nothing.
    pub fn take_uncounted(&mut self, requested: Option<&str>) -> Option<(Uncounted, Encoding)> {
        let served = self.model.as_deref().filter(|model| !model.is_empty());
        let encoding = Encoding::of_model(served.or(requested).unwrap_or_default());
        let uncounted = self.uncounted.take()?;
        (encoding.is_exact() || !uncounted.covered).then_some((uncounted, encoding))
    }

    /// The texts are so many `tokens` in that encoding's vocabulary: where that is more than was
    /// seen or reported, it stands in, marked as counted.
    pub fn counted(&mut self, uncounted: &Uncounted, encoding: Encoding, tokens: u64) {
        let one = u64::from(tokens > 0); // what is written is a token at least
        let tokens = encoding.least_of(tokens).max(one).saturating_add(uncounted.beside);
        let tokens = uncounted.most.map_or(tokens, |most| tokens.min(most));
        self.seen_output = self.seen_output.max(tokens);
        raise_output(&mut self.usage, self.is_final && !self.suspect, self.seen_output);
    }

    /// Counts here and now, where this build carries the vocabulary.
    ///
    /// ```
    /// use farebox::meter::{End, Framing, Metering, TEXTS_MAX};
    /// let mut metering = Metering::new(Framing::Sse, 200).with_texts(TEXTS_MAX);
    /// metering.chunk(b"data: {\"model\":\"gpt-4o\",\"choices\":[{\"delta\":{\"content\":\"Hello, world!\"}}]}\n\n");
    /// let mut reading = metering.end(End::Cut);
    /// assert_eq!(reading.seen_output, 1);
    /// reading.count(None);
    /// assert_eq!(reading.seen_output, 4);
    /// ```
    pub fn count(&mut self, requested: Option<&str>) {
        let Some((uncounted, encoding)) = self.take_uncounted(requested) else { return };
        let Some(tokeniser) = Tokeniser::of(encoding.vocabulary()) else { return };
        let counts = uncounted.texts.iter().map(|text| tokeniser.count(text).at_least);
        self.counted(&uncounted, encoding, counts.fold(0, u64::saturating_add));
    }
}
