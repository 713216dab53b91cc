//! One usage object → quantities, by its family's table.

use super::tables::{self, Family, Modalities, Rule, Table, To};
use crate::money::Exact;
use crate::wire::json::Node;
use crate::wire::number::{Quantity, parse};
use crate::wire::usage::{Meter, Provenance, Usage};

/// Numbers of unknown meaning kept of one answer: enough to see what is new.
pub(super) const UNKNOWN_MAX: usize = 32;

/// A number in a usage object that no table names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Where it stands, such as `usage/x_tokens`.
    pub path: String,
    /// How much.
    pub quantity: Exact,
}

/// What one usage object says.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub usage: Usage,
    /// The provider's own price.
    pub cost: Option<Exact>,
    pub unknown: Vec<Unknown>,
    /// Something in it contradicts itself or was not a number.
    pub suspect: bool,
    /// There was a usage, and it was no object, or an empty one.
    pub malformed: bool,
    /// It lists usage of its own that is not in its total.
    pub sub_usage: bool,
    /// Fields missing here keep what an earlier report said.
    pub overlay: bool,
}

impl Counts {
    /// Whether it says anything that can be billed.
    pub fn is_empty(&self) -> bool {
        self.usage.is_empty()
    }

    pub(super) fn put(&mut self, meter: Meter, node: &Node) {
        let whole = !matches!(meter.unit(), "second" | "tick" | "unit");
        match Quantity::read(node, whole) {
            Quantity::Sound(quantity) => self.set(meter, quantity),
            Quantity::Mended(quantity) => {
                self.suspect = true;
                self.set(meter, quantity);
            }
            // An empty object is how some say "none".
            Quantity::Nonsense => {
                self.suspect |= *node != Node::Null && *node != Node::Object(Vec::new());
            }
        }
    }

    pub(super) fn set(&mut self, meter: Meter, quantity: Exact) {
        self.usage.set(meter, quantity, Provenance::Reported);
    }

    fn get(&self, meter: Meter) -> Option<Exact> {
        self.usage.get(meter)
    }

    /// Adds to a meter that may be known already.
    pub(super) fn add(&mut self, meter: Meter, more: Exact) {
        match self.get(meter).unwrap_or(Exact::ZERO).plus(more) {
            Ok(sum) => self.set(meter, sum),
            Err(_) => self.suspect = true,
        }
    }
}

/// What is known of who reports, from outside the usage object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Nothing.
    None,
    /// It stands in an Anthropic message.
    Anthropic,
    /// xAI: where there is no total, reasoning is outside the output.
    Xai,
}

/// The family of a usage object, by its keys.
fn table_of(usage: &Node, anthropic: bool) -> Option<&'static Table> {
    let has = |key: &&str| usage.fields().iter().any(|(name, _)| **name == **key);
    let table = tables::ALL.iter().copied().find(|table| table.signs.iter().any(has))?;
    let plain = has(&"input_tokens") || has(&"output_tokens");
    let openai = ["total_tokens", "input_tokens_details", "input_token_details", "type"];
    let total_or_details = openai.iter().any(has);
    // `input_tokens` and `output_tokens` alone are Anthropic's; with a total they are OpenAI's.
    if table.family == Family::Responses && plain && (anthropic || !total_or_details) {
        return tables::of(Family::Anthropic);
    }
    if table.family == Family::Anthropic && !anthropic && total_or_details {
        return tables::of(Family::Responses);
    }
    Some(table)
}

/// Reads a usage object; `path` is where it stood, for what is not known.
pub(super) fn read(usage: &Node, path: &str, hint: Hint) -> Counts {
    let mut counts = Counts::default();
    let Some(table) = table_of(usage, hint == Hint::Anthropic) else {
        unknown(usage, path, &[], &mut counts.unknown);
        return counts;
    };
    counts.overlay = table.rule == Rule::Overlay;
    for (field, to) in table.fields {
        let Some(node) = usage.at(field) else { continue };
        match to {
            To::Meter(meter) if counts.get(*meter).is_none() => counts.put(*meter, node),
            To::Modalities(meters) => modalities(node, *meters, &mut counts),
            To::Meter(_) | To::Known => {}
        }
    }
    let details = |field: &str| field.split_once('/').and_then(|(key, _)| usage.get(key));
    counts.suspect |=
        table.fields.iter().filter_map(|(field, _)| details(field)).any(|node| !node.is_object());
    counts.cost = cost(usage);
    if let Some(Quantity::Sound(length)) =
        usage.get("audio_duration_ms").map(|node| Quantity::read(node, false))
        && let Ok(seconds) = length.over(Exact::from(1000))
    {
        counts.set(Meter::Seconds, seconds);
    }
    counts.sub_usage = !usage.list("iterations").is_empty();
    modifiers(usage, path, &mut counts.unknown);
    match table.rule {
        Rule::Plain => {}
        Rule::BilledUnits => billed_units(usage, &mut counts),
        Rule::TotalArbitrates => total_arbitrates(usage, hint, &mut counts),
        Rule::ThoughtsOutside => thoughts_outside(usage, &mut counts),
        Rule::Overlay => overlay(usage, &mut counts),
    }
    contradictions(&mut counts);
    unknown(usage, path, table.fields, &mut counts.unknown);
    counts
}

/// Counts that stand in the answer itself: Llama and Titan on Bedrock, Ollama, TGI.
pub(super) fn in_the_answer(body: &Node, counts: &mut Counts) {
    for (path, meter) in tables::IN_THE_ANSWER {
        if let Some(node) = body.at(path)
            && *node != Node::Opaque
        {
            counts.overlay = true;
            counts.put(*meter, node);
        }
    }
    // Titan and watsonx count each of their results.
    let rows = [
        ("tokenCount", Meter::OutputTotal),
        ("generated_token_count", Meter::OutputTotal),
        ("input_token_count", Meter::InputTotal),
    ];
    for item in body.list("results") {
        for (key, meter) in rows {
            if let Some(Quantity::Sound(tokens)) = item.get(key).map(|n| Quantity::read(n, true)) {
                counts.overlay = true;
                counts.add(meter, tokens);
            }
        }
    }
}

/// `[{"modality": "TEXT", "tokenCount": 16}, …]`; the modality may be the enum's number.
fn modalities(list: &Node, meters: Modalities, counts: &mut Counts) {
    let Node::List(items) = list else { return };
    for item in items {
        let name = match item.get("modality") {
            Some(Node::Text(name) | Node::Number(name)) => name.to_ascii_uppercase(),
            _ => continue,
        };
        let name = name.strip_prefix("MODALITY_").unwrap_or(&name);
        let place = match name {
            // Unspecified means text, by the API's own word.
            "TEXT" | "1" | "UNSPECIFIED" | "0" => 0,
            "AUDIO" | "4" => 1,
            "IMAGE" | "2" => 2,
            "VIDEO" | "3" => 3,
            "DOCUMENT" | "5" => 4,
            _ => {
                counts.suspect = true; // left out of the split, not out of the total
                continue;
            }
        };
        let tokens = ["tokenCount", "token_count", "tokens"].iter().find_map(|key| item.get(key));
        let Some(Some(meter)) = meters.get(place) else { continue };
        match tokens.map(|node| Quantity::read(node, true)) {
            Some(Quantity::Sound(quantity)) => counts.add(*meter, quantity),
            Some(Quantity::Mended(quantity)) => {
                counts.suspect = true;
                counts.add(*meter, quantity);
            }
            Some(Quantity::Nonsense) => counts.suspect = true,
            // Protobuf leaves a zero out.
            None => counts.add(*meter, Exact::ZERO),
        }
    }
}

/// Cohere bills `billed_units`; only where they are missing is what the model saw all there is.
fn billed_units(usage: &Node, counts: &mut Counts) {
    if usage.get("billed_units").is_none() {
        let seen = [
            ("tokens/input_tokens", Meter::InputTotal),
            ("tokens/output_tokens", Meter::OutputTotal),
        ];
        for (path, meter) in seen {
            if let Some(node) = usage.at(path) {
                counts.put(meter, node);
            }
        }
    }
    if let (None, Some(images)) = (counts.get(Meter::InputTotal), counts.get(Meter::ImageIn)) {
        counts.set(Meter::InputTotal, images);
    }
}

/// Words that change the price and have no meter: kept, so that they raise a flag.
fn modifiers(usage: &Node, path: &str, found: &mut Vec<Unknown>) {
    let usual = [("speed", "standard"), ("inference_geo", "global")];
    for (key, usual) in usual {
        if let Some(word) =
            usage.text(key).filter(|word| *word != usual && *word != "not_available")
        {
            found.push(Unknown { path: format!("{path}/{key}={word}"), quantity: Exact::from(1) });
        }
    }
}

/// The provider's own price in US dollars: OpenRouter's `cost`, Perplexity's `cost.total_cost`,
/// xAI's ticks of 1e-10.
fn cost(usage: &Node) -> Option<Exact> {
    let amount = |node: &Node| match node {
        Node::Number(text) | Node::Text(text) => parse(text).filter(|n| !n.is_negative()),
        _ => None,
    };
    let stated = usage.get("cost").and_then(|cost| match cost {
        Node::Object(_) => cost.get("total_cost").and_then(amount),
        cost => amount(cost),
    });
    let ticks = || {
        let ticks = usage.get("cost_in_usd_ticks").and_then(amount)?;
        ticks.over(Exact::from(10_000_000_000)).ok()
    };
    stated.or_else(ticks)
}

/// Where the total is larger than its parts, what is missing is reasoning that the output leaves
/// out (xAI), or thinking that shows nowhere else (Gemini's OpenAI endpoint).
fn total_arbitrates(usage: &Node, hint: Hint, counts: &mut Counts) {
    let total = usage.get("total_tokens").map(|node| Quantity::read(node, true));
    let total = match total {
        Some(Quantity::Sound(total) | Quantity::Mended(total)) => total,
        Some(Quantity::Nonsense) => {
            counts.suspect = true;
            return;
        }
        None => {
            if !searched(usage, counts)
                && hint == Hint::Xai
                && usage.get("completion_tokens").is_some()
                && let Some(reasoning) = counts.get(Meter::Reasoning)
            {
                counts.add(Meter::OutputTotal, reasoning);
            }
            return;
        }
    };
    let (input, output) = (counts.get(Meter::InputTotal), counts.get(Meter::OutputTotal));
    let stated = |key: &&str| usage.get(key).is_some();
    match (input, output) {
        // Embedders and rerankers may give the total alone, or zeros beside it.
        (None, None) if counts.get(Meter::Seconds).is_none() => {
            counts.set(Meter::InputTotal, total);
        }
        (Some(input), Some(output)) if input.is_zero() && output.is_zero() => {
            counts.set(Meter::InputTotal, total);
        }
        // A transcriber's total holds its audio and an agent's its connectors', in neither part.
        (Some(_), Some(_)) if ["prompt_audio_seconds", "connector_tokens"].iter().any(stated) => {}
        (Some(input), Some(output)) if !searched(usage, counts) => {
            let Ok(rest) = input.plus(output).and_then(|sum| total.minus(sum)) else { return };
            hidden(rest, counts);
        }
        // One of the two is missing, and follows.
        (Some(input), None) if ["completion_tokens", "output_tokens"].iter().any(stated) => {
            counts.suspect = true;
            if let Ok(output) = total.minus(input)
                && !output.is_negative()
            {
                counts.set(Meter::OutputTotal, output);
            }
        }
        (None, Some(output)) if total >= output => {
            counts.suspect = true;
            if let Ok(input) = total.minus(output) {
                counts.set(Meter::InputTotal, input);
            }
        }
        _ => {}
    }
}

/// Perplexity's counts: the total leaves reasoning out, and so does the output.
fn searched(usage: &Node, counts: &mut Counts) -> bool {
    let signs = ["citation_tokens", "num_search_queries", "search_context_size"];
    let is_search = signs.iter().any(|key| usage.get(key).is_some());
    if is_search
        && usage.get("reasoning_tokens").is_some()
        && let Some(reasoning) = counts.get(Meter::Reasoning)
    {
        counts.add(Meter::OutputTotal, reasoning);
    }
    is_search
}

fn hidden(rest: Exact, counts: &mut Counts) {
    if rest.is_zero() {
        return;
    }
    if rest.is_negative() {
        counts.suspect = true;
        return;
    }
    let cached = counts.get(Meter::CacheRead).unwrap_or(Exact::ZERO);
    let cached = cached.plus(counts.get(Meter::CacheWrite).unwrap_or(Exact::ZERO));
    if cached == Ok(rest)
        && counts.get(Meter::Reasoning) != Some(rest)
        && let Some(uncached) = counts.get(Meter::InputTotal)
    {
        // A gateway that reports Anthropic's exclusive counts under OpenAI's names.
        counts.add(Meter::InputTotal, rest);
        counts.set(Meter::InputUncached, uncached);
        return;
    }
    let reasoning = counts.get(Meter::Reasoning).filter(|tokens| !tokens.is_zero());
    counts.suspect |= reasoning.is_some_and(|reasoning| reasoning != rest);
    counts.add(Meter::OutputTotal, rest);
}

/// Gemini: `total = prompt + candidates + tool use + thoughts`.
fn thoughts_outside(usage: &Node, counts: &mut Counts) {
    let total = ["totalTokenCount", "total_token_count", "total_tokens"];
    let total = total.iter().find_map(|key| usage.get(key));
    let parts = [Meter::InputTotal, Meter::OutputTotal].into_iter().filter_map(|m| counts.get(m));
    if let (Ok(parts), Some(Quantity::Sound(total))) =
        (Exact::sum(parts), total.map(|node| Quantity::read(node, true)))
    {
        counts.suspect |= total < parts;
    }
    if let Some(tools) = counts.get(Meter::ToolPrompt) {
        counts.add(Meter::InputTotal, tools);
    }
    if let Some(thoughts) = counts.get(Meter::Reasoning) {
        counts.add(Meter::OutputTotal, thoughts);
    }
}

/// Bedrock splits its cache writes by how long they last.
fn overlay(usage: &Node, counts: &mut Counts) {
    for item in usage.list("cacheDetails") {
        let meter = match item.text("ttl") {
            Some("5m") => Meter::CacheWrite5m,
            Some("1h") => Meter::CacheWrite1h,
            _ => continue,
        };
        if let Some(Quantity::Sound(tokens)) =
            item.get("inputTokens").map(|n| Quantity::read(n, true))
        {
            counts.add(meter, tokens);
        }
    }
}

/// Parts that are more than their whole.
fn contradictions(counts: &mut Counts) {
    let get = |meter| counts.get(meter).unwrap_or(Exact::ZERO);
    let more = |parts: &[Meter], whole: Meter| {
        let sum = Exact::sum(parts.iter().map(|part| get(*part)));
        counts.get(whole).is_some_and(|whole| sum.is_ok_and(|sum| sum > whole))
    };
    let suspect = more(&[Meter::CacheRead, Meter::CacheWrite], Meter::InputTotal)
        || more(&[Meter::Reasoning], Meter::OutputTotal)
        || more(&[Meter::CacheWrite5m, Meter::CacheWrite1h], Meter::CacheWrite);
    let split = [Meter::CacheWrite5m, Meter::CacheWrite1h].map(|part| counts.get(part));
    let split_short = match (split, counts.get(Meter::CacheWrite)) {
        ([Some(short), Some(long)], Some(written)) => short.plus(long) != Ok(written),
        _ => false,
    };
    counts.suspect |= suspect || split_short;
}

/// Numbers that no row names. Zero of something unknown is nothing.
fn unknown(usage: &Node, at: &str, fields: &[(&str, To)], found: &mut Vec<Unknown>) {
    let named = |path: &str| {
        fields.iter().any(|(field, _)| {
            path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let mut path = String::new();
    numbers(usage, &mut path, &mut |path, text| {
        // A gateway's prices are not quantities.
        if found.len() >= UNKNOWN_MAX || named(path) || path.ends_with("_cost") {
            return;
        }
        if let Some(quantity) = parse(text).filter(|quantity| !quantity.is_zero()) {
            found.push(Unknown { path: format!("{at}/{path}"), quantity });
        }
    });
}

/// Visits every number below, with its path. The scanner bounds the depth.
fn numbers(node: &Node, path: &mut String, visit: &mut dyn FnMut(&str, &str)) {
    for (name, value) in node.fields() {
        let length = path.len();
        if length > 0 {
            path.push('/');
        }
        path.push_str(name);
        match value {
            Node::Number(text) => visit(path, text),
            Node::Object(_) => numbers(value, path, visit),
            Node::List(items) => items.iter().for_each(|item| numbers(item, path, visit)),
            _ => {}
        }
        path.truncate(length);
    }
}
