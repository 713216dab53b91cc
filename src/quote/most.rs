//! The most a request can use, and what that costs: what is held before it is forwarded.

use std::collections::BTreeMap;

use super::Unpriced;
use crate::book::{Caps, Model, Rates};
use crate::money::Exact;
use crate::rating::{self, Line};
use crate::wire::request::{Ask, Bound};
use crate::wire::route::Endpoint;
use crate::wire::usage::Meter;

/// The most a request can use.
pub(super) struct Most {
    /// Input tokens.
    pub input: Exact,
    /// Output tokens, all choices together.
    pub output: Exact,
    /// What the input may turn out to be.
    inputs: Vec<Meter>,
    /// What the output may turn out to be.
    outputs: Vec<Meter>,
    /// Whether the book must have a rate for input, and for output: not where the request is
    /// bounded by other meters.
    needs: (bool, bool),
    /// A kind of part that the book has no cap for. Where other meters bound the request, it counts
    /// only if the book prices input tokens as well.
    uncapped: Option<&'static str>,
    /// The same of the answer: nothing says how long it may get.
    endless: bool,
    /// Other meters: how much, or what the book would have to say to bound it.
    others: BTreeMap<Meter, Result<Exact, &'static str>>,
    free: bool,
}

impl Most {
    pub fn of(ask: &Ask, model: &Model) -> Result<Self, Unpriced> {
        let mut others = BTreeMap::new();
        for (meter, bound) in &ask.bounds {
            let most = match bound {
                Bound::Known(most) => Ok(*most),
                Bound::Book { name, times } => match model.part_tokens_max.get(*name) {
                    Some(each) => Ok(each.times(Exact::from(*times))?),
                    None => Err(*name),
                },
            };
            others.insert(*meter, most);
        }
        let by_tokens = ask.bounds.is_empty();
        let mut kinds = ask.parts.keys().copied().filter(|_| !ask.input_unknown);
        let length = ask.max_output.map(Exact::from).or(model.max_output_tokens);
        let mut most = Self {
            uncapped: kinds.find(|kind| !model.part_tokens_max.contains_key(*kind)),
            endless: !by_tokens && ask.endpoint != Endpoint::Rerank && length.is_none(),
            input: input_most(ask, model)?,
            output: output_most(ask, model)?,
            inputs: input_classes(ask),
            outputs: output_classes(ask),
            needs: (by_tokens, ask.has_output),
            others,
            free: ask.free,
        };
        for feature in &ask.unbounded {
            most.widen(model.feature_caps.get(*feature).ok_or(Unpriced::Feature(feature))?)?;
        }
        Ok(most)
    }

    /// How much of each total, and of each meter that stands alone, where anything bounds it.
    pub fn quantities(&self) -> Vec<(Meter, Exact)> {
        let totals = [
            (Meter::InputTotal, self.input),
            (Meter::OutputTotal, self.output),
            (Meter::Requests, Exact::from(1)),
        ];
        let known = self.others.iter().filter_map(|(meter, most)| Some((*meter, (*most).ok()?)));
        // A part of a total is bounded by it.
        let alone = known.filter(|(meter, _)| rating::cover::total_of(*meter) == *meter);
        totals.into_iter().chain(alone).collect()
    }

    /// Adds what the book's operator lets a feature use beyond the request's own bounds. What it
    /// really uses is settled, be it more.
    fn widen(&mut self, cap: &Caps) -> Result<(), Unpriced> {
        for (meter, quantity) in &cap.0 {
            match meter {
                Meter::InputTotal => self.input = self.input.plus(*quantity)?,
                Meter::OutputTotal => self.output = self.output.plus(*quantity)?,
                other => {
                    let before = self.others.get(other).and_then(|most| most.ok());
                    let sum = before.unwrap_or(Exact::ZERO).plus(*quantity)?;
                    self.others.insert(*other, Ok(sum));
                }
            }
        }
        Ok(())
    }

    /// What that costs: all of the input at its dearest class, all of the output at its dearest,
    /// every other meter, and what a request costs by itself.
    pub fn at(&self, rates: &Rates) -> Result<Vec<Line>, Unpriced> {
        let mut lines = Vec::new();
        if self.free {
            return Ok(lines);
        }
        for (tokens, classes, base, needed) in [
            (self.input, &self.inputs[..], Meter::InputUncached, self.needs.0),
            (self.output, &self.outputs[..], Meter::OutputTotal, self.needs.1),
        ] {
            let priced = rates.get(base).is_some();
            match (base, self.uncapped) {
                (Meter::InputUncached, Some(kind)) if priced => {
                    return Err(Unpriced::Feature(kind));
                }
                (Meter::OutputTotal, _) if priced && self.endless => {
                    return Err(Unpriced::OutputLength);
                }
                _ => {}
            }
            if needed || priced && tokens > Exact::ZERO {
                lines.push(dearest(rates, classes, base, tokens)?);
            }
        }
        for (meter, most) in &self.others {
            let Some(rate) = rates.get(*meter) else { continue };
            lines.push(rating::line(*meter, most.map_err(Unpriced::Feature)?, rate)?);
        }
        if let Some(rate) = rates.get(Meter::Requests) {
            lines.push(rating::line(Meter::Requests, Exact::from(1), rate)?);
        }
        match (lines.is_empty(), self.others.keys().next()) {
            (true, meter) => Err(Unpriced::Meter(*meter.unwrap_or(&Meter::InputUncached))),
            _ => Ok(lines),
        }
    }
}

/// What input tokens may turn out to be, whatever is in them.
const INPUTS: [Meter; 9] = [
    Meter::InputUncached,
    Meter::CacheRead,
    Meter::CacheWrite,
    Meter::CacheWrite5m,
    Meter::CacheWrite1h,
    Meter::CacheReadText,
    Meter::TextIn,
    Meter::DocumentIn,
    Meter::ToolPrompt,
];
/// And what they may be where such a part is among them, or input that is not in the request.
const INPUTS_OF_PARTS: [(&str, &[Meter]); 4] = [
    ("image", &[Meter::ImageIn, Meter::CacheReadImage]),
    ("audio", &[Meter::AudioIn, Meter::CacheReadAudio]),
    ("video", &[Meter::VideoIn, Meter::ImageIn, Meter::AudioIn]),
    ("file", &[Meter::ImageIn, Meter::AudioIn, Meter::VideoIn]),
];

fn input_classes(ask: &Ask) -> Vec<Meter> {
    let mut classes = INPUTS.to_vec();
    for (kind, meters) in INPUTS_OF_PARTS {
        if ask.input_unknown || ask.parts.contains_key(kind) {
            classes.extend_from_slice(meters);
        }
    }
    classes
}

/// What output tokens may turn out to be.
const OUTPUTS: [Meter; 4] =
    [Meter::OutputTotal, Meter::Reasoning, Meter::TextOut, Meter::RejectedPrediction];

fn output_classes(ask: &Ask) -> Vec<Meter> {
    let mut classes = OUTPUTS.to_vec();
    if ask.endpoint == Endpoint::Realtime {
        classes.push(Meter::AudioOut); // it speaks
    }
    classes
}

/// Text is bounded by its bytes, other parts by what the book says of their kind, and all of it by
/// the model's window: the upstream refuses what does not fit.
fn input_most(ask: &Ask, model: &Model) -> Result<Exact, Unpriced> {
    if ask.input_unknown {
        return model.context_window.ok_or(Unpriced::Feature("context_window"));
    }
    let mut most = Exact::from(ask.input_most);
    for (kind, count) in &ask.parts {
        match model.part_tokens_max.get(*kind) {
            Some(each) => most = most.plus(each.times(Exact::from(*count))?)?,
            // Where other meters bound the request, its parts need not be tokens.
            None if !ask.bounds.is_empty() => {}
            None => return Err(Unpriced::Feature(kind)),
        }
    }
    Ok(model.context_window.map_or(most, |window| most.min(window)))
}

/// Whether a provider is sure to heed `max_completion_tokens`; one that does not would answer to its
/// model's end, so that is held.
pub fn knows_newer_length(provider: &str) -> bool {
    const KNOWN: [&str; 6] = ["openai", "azure", "groq", "xai", "openrouter", "vllm"];
    KNOWN.contains(&provider)
}

/// Zero where the answer is not made of tokens and the book does not say otherwise.
fn output_most(ask: &Ask, model: &Model) -> Result<Exact, Unpriced> {
    let known = !ask.max_output_is_newer || knows_newer_length(&model.provider);
    let each = match (ask.max_output.filter(|_| known), model.max_output_tokens) {
        (Some(asked), _) => Exact::from(asked),
        (None, Some(most)) => most,
        (None, None) if ask.has_output => return Err(Unpriced::OutputLength),
        (None, None) => Exact::ZERO,
    };
    if ask.has_output || !ask.bounds.is_empty() {
        Ok(each.times(Exact::from(ask.choices))?)
    } else {
        Ok(Exact::ZERO)
    }
}

fn dearest(rates: &Rates, of: &[Meter], base: Meter, tokens: Exact) -> Result<Line, Unpriced> {
    rates.get(base).ok_or(Unpriced::Meter(base))?;
    let mut worst: Option<Line> = None;
    for meter in of {
        let Some(rate) = rates.get(*meter) else { continue };
        let line = rating::line(*meter, tokens, rate)?;
        if worst.as_ref().is_none_or(|worst| line.amount > worst.amount) {
            worst = Some(line);
        }
    }
    worst.ok_or(Unpriced::Meter(base))
}
