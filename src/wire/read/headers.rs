//! What response headers say about usage.

use super::answer::Answer;
use crate::money::Exact;
use crate::wire::json::Node;
use crate::wire::number::Quantity;
use crate::wire::usage::{Meter, Provenance};

/// What a header does where the body reports the same.
#[derive(Clone, Copy, PartialEq)]
enum Against {
    /// It wins: it is the same for every model, and complete where a guardrail stopped the model.
    Body,
    /// It only fills in.
    Nothing,
}

const HEADERS: [(&str, Meter, Against); 8] = [
    ("x-amzn-bedrock-input-token-count", Meter::InputUncached, Against::Body),
    ("x-amzn-bedrock-output-token-count", Meter::OutputTotal, Against::Body),
    ("x-amzn-bedrock-cache-read-input-token-count", Meter::CacheRead, Against::Body),
    ("x-amzn-bedrock-cache-write-input-token-count", Meter::CacheWrite, Against::Body),
    ("x-prompt-tokens", Meter::InputTotal, Against::Nothing), // Text Generation Inference
    ("x-generated-tokens", Meter::OutputTotal, Against::Nothing),
    ("character-cost", Meter::Characters, Against::Nothing), // ElevenLabs, in credits
    ("dg-char-count", Meter::Characters, Against::Nothing),  // Deepgram
];

/// Takes what the headers say; called when the body has been read.
pub(super) fn read<'h>(headers: impl Iterator<Item = (&'h str, &'h str)>, answer: &mut Answer) {
    for (name, value) in headers {
        let row = HEADERS.iter().find(|(known, _, _)| name.eq_ignore_ascii_case(known));
        let Some((_, meter, against)) = row else { continue };
        let input = [Meter::InputTotal, Meter::InputUncached];
        let known = answer.usage.get(*meter).is_some()
            || input.contains(meter) && input.iter().any(|m| answer.usage.get(*m).is_some());
        if known && *against == Against::Nothing {
            continue;
        }
        let whole = *meter != Meter::Characters;
        match Quantity::read(&Node::Number(value.trim().into()), whole) {
            Quantity::Sound(quantity) => set(*meter, quantity, answer),
            Quantity::Mended(quantity) => {
                answer.suspect = true;
                set(*meter, quantity, answer);
            }
            Quantity::Nonsense => answer.suspect = true,
        }
    }
}

fn set(meter: Meter, quantity: Exact, answer: &mut Answer) {
    answer.usage_present = true;
    answer.usage.set(meter, quantity, Provenance::Reported);
    answer.content_since = false;
    if meter == Meter::InputUncached {
        answer.usage.remove(Meter::InputTotal);
    }
}
