//! The rows of litellm's price map: one flat object a model, prices of one unit each.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::table::{Table, unit_rate};
use super::{Origin, empty_model};
use crate::book::{Card, Hours, Model, Pattern, Rate, Rates, Variant};
use crate::money::Exact;
use crate::wire::usage::Meter;

/// One model as litellm writes it; every number is a string.
pub(super) type Entry = Map<String, Value>;

/// litellm's names for providers that go by another id here. All others keep their own.
const PROVIDERS: [(&str, &[&str]); 29] = [
    ("openai", &["text-completion-openai"]),
    ("anthropic", &["claude"]),
    ("azure", &["azure_text", "azure-openai", "azure_openai"]),
    (
        "google",
        &[
            "gemini",
            "google-gemini",
            "google-vertex",
            "google-ai-studio",
            "vertex",
            "vertexai",
            "vertex_ai",
            "vertex-ai",
            "vertex_ai-language-models",
            "vertex_ai-text-models",
            "vertex_ai-embedding-models",
            "vertex_ai-video-models",
            "vertex_ai-image-models",
            "vertex_ai-anthropic_models",
            "vertex_ai-mistral_models",
            "vertex_ai-llama_models",
            "vertex_ai-ai21_models",
            "vertex_ai-deepseek_models",
            "vertex_ai-qwen_models",
            "vertex_ai-zai_models",
            "vertex_ai-openai_models",
            "vertex_ai-minimax_models",
            "vertex_ai-moonshot_models",
        ],
    ),
    (
        "aws",
        &[
            "bedrock",
            "bedrock_converse",
            "bedrock_mantle",
            "aws-bedrock",
            "amazon-bedrock",
            "amazon_bedrock",
        ],
    ),
    ("cohere", &["cohere_chat"]),
    ("mistral", &["codestral", "text-completion-codestral", "mistralai"]),
    ("x-ai", &["xai", "x_ai"]),
    ("together", &["together_ai", "together-ai", "togetherai"]),
    ("fireworks", &["fireworks_ai", "fireworks-ai", "fireworks_ai-embedding-models"]),
    ("moonshotai", &["moonshot"]),
    ("voyageai", &["voyage"]),
    ("github-copilot", &["github_copilot"]),
    ("meta", &["meta_llama"]),
    ("openrouter", &["open_router", "open-router"]),
    ("zai", &["z-ai", "z.ai"]),
    ("groq", &[]),
    ("deepseek", &[]),
    ("perplexity", &["pplx"]),
    ("cerebras", &[]),
    ("cloudflare", &["workers-ai", "cloudflare-workers-ai"]),
    ("databricks", &[]),
    ("novita", &[]),
    ("baseten", &[]),
    ("ovhcloud", &[]),
    ("minimax", &[]),
    ("elevenlabs", &[]),
    ("typesafe", &[]),
    ("zhipuai", &["bigmodel"]),
];

/// How names begin that only Bedrock gives: a vendor or a region, and a point.
const BEDROCK: [&str; 22] = [
    "ai21.",
    "amazon.",
    "anthropic.",
    "cohere.",
    "deepseek.",
    "google.",
    "meta.",
    "minimax.",
    "mistral.",
    "moonshot.",
    "moonshotai.",
    "nvidia.",
    "openai.",
    "qwen.",
    "stability.",
    "writer.",
    "us.",
    "us-gov.",
    "eu.",
    "apac.",
    "au.",
    "jp.",
];

/// Names that mean a provider, besides those the data says.
pub(super) fn makes(id: &str) -> Vec<Pattern> {
    let prefixes = if id == "aws" { &BEDROCK[..] } else { &[] };
    let pattern =
        |prefix: &&str| Pattern { prefix: Some((*prefix).to_owned()), ..Pattern::default() };
    prefixes.iter().map(pattern).collect()
}

/// Other spellings of a provider.
pub(super) fn aliases(id: &str) -> impl Iterator<Item = &'static str> {
    PROVIDERS
        .iter()
        .filter(move |(known, _)| *known == id)
        .flat_map(|(_, aliases)| aliases.iter().copied())
}

/// The id of the provider litellm names so.
pub(super) fn provider(name: &str) -> String {
    let known = PROVIDERS.iter().find(|(_, aliases)| aliases.contains(&name));
    known.map_or(name, |(id, _)| id).to_owned()
}

/// The name without the provider in front of it.
pub(super) fn bare_name<'a>(key: &'a str, provider_id: &str) -> &'a str {
    match key.split_once('/') {
        Some((head, rest)) if provider(head) == provider_id => rest,
        _ => key,
    }
}

/// Prices by token, without the suffixes of tier and bound.
const TOKENS: [(&str, Meter); 16] = [
    ("input_cost_per_token", Meter::InputUncached),
    ("output_cost_per_token", Meter::OutputTotal),
    ("cache_read_input_token_cost", Meter::CacheRead),
    ("input_cost_per_token_cache_hit", Meter::CacheRead),
    ("cache_creation_input_token_cost", Meter::CacheWrite),
    ("cache_creation_input_token_cost_above_1hr", Meter::CacheWrite1h),
    ("input_cost_per_audio_token", Meter::AudioIn),
    ("input_cost_per_image_token", Meter::ImageIn),
    ("input_cost_per_video_token", Meter::VideoIn),
    ("output_cost_per_audio_token", Meter::AudioOut),
    ("output_cost_per_image_token", Meter::ImageOut),
    ("output_cost_per_reasoning_token", Meter::Reasoning),
    ("cache_read_input_audio_token_cost", Meter::CacheReadAudio),
    ("cache_read_input_image_token_cost", Meter::CacheReadImage),
    ("citation_cost_per_token", Meter::Citation),
    ("input_cost_per_text_token", Meter::TextIn),
];

/// Suffixes of prices in a service tier.
const TIERS: [(&str, &str); 3] =
    [("_batches", "batch"), ("_flex", "flex"), ("_priority", "priority")];

/// Tokens are priced by the million.
const MILLION: u64 = 1_000_000;

/// A whole row; `None` where nothing in it can be charged.
pub(super) fn model(key: &str, entry: &Entry, origin: &Origin) -> Option<Model> {
    let provider = provider(text(entry, "litellm_provider")?);
    let mut row = empty_model(&provider, bare_name(key, &provider), origin);
    let table = table(entry);
    if table.is_empty() {
        return None;
    }
    let Card { rates, tiers, context } = table.card();
    if rates.is_empty() {
        return None;
    }
    row.variants = off_peak(entry, &rates);
    row.variants.extend(resolutions(entry, &rates));
    (row.rates, row.tiers, row.context) = (rates, tiers, context);
    row.context_window = whole(entry, "max_input_tokens");
    row.max_output_tokens = whole(entry, "max_output_tokens");
    Some(row)
}

fn text<'a>(entry: &'a Entry, field: &str) -> Option<&'a str> {
    entry.get(field).and_then(Value::as_str)
}

fn whole(entry: &Entry, field: &str) -> Option<Exact> {
    let number: Exact = text(entry, field)?.parse().ok()?;
    number.to_u64().filter(|number| *number > 0).map(Into::into)
}

/// Its prices, without those that depend on more than tier and length.
pub(super) fn table(entry: &Entry) -> Table {
    let mut table = Table::default();
    table.length_first = true;
    table.inclusive = text(entry, "litellm_provider") == Some("xai");
    ladder(entry, &mut table);
    for (field, value) in entry {
        if let (Some(amount), Some((tier, above, meter))) = (value.as_str(), token_field(field))
            && let Some(rate) = unit_rate(amount, MILLION)
        {
            table.set(tier, above, meter, rate);
        }
    }
    for (meter, amount, per) in alone(entry) {
        if let Some(rate) = unit_rate(amount, per) {
            table.set(None, None, meter, rate);
        }
    }
    table
}

/// `input_cost_per_token_above_200k_tokens_priority` to tier, bound and meter.
fn token_field(field: &str) -> Option<(Option<&'static str>, Option<u64>, Meter)> {
    let tier = TIERS.iter().find(|(suffix, _)| field.ends_with(suffix));
    let field = tier.map_or(field, |(suffix, _)| field.trim_end_matches(suffix));
    let (field, above) =
        match field.strip_suffix("k_tokens").and_then(|rest| rest.rsplit_once("_above_")) {
            Some((field, thousands)) => (field, Some(thousands.parse::<u64>().ok()? * 1_000)),
            None => (field, None),
        };
    let (_, meter) = TOKENS.iter().find(|(known, _)| *known == field)?;
    Some((tier.map(|(_, tier)| *tier), above, *meter))
}

/// `tiered_pricing`: rates by range of total input.
fn ladder(entry: &Entry, table: &mut Table) {
    let steps = entry.get("tiered_pricing").and_then(Value::as_array);
    for step in steps.into_iter().flatten().filter_map(Value::as_object) {
        let range = step.get("range").and_then(Value::as_array);
        let start = range.and_then(|range| range.first()).and_then(Value::as_str);
        let Some(start) =
            start.and_then(|start| start.parse::<Exact>().ok()).and_then(Exact::to_u64)
        else {
            continue;
        };
        let above = (start > 0).then_some(start);
        for (field, amount) in step {
            if let (Some((None, None, meter)), Some(rate)) =
                (token_field(field), amount.as_str().and_then(|amount| unit_rate(amount, MILLION)))
            {
                table.set(None, above, meter, rate);
            }
        }
    }
}

/// Prices of what is not a token. Where one price stands in two fields it counts once: `whisper-1`
/// has its price a second as input and as output.
fn alone(entry: &Entry) -> Vec<(Meter, &str, u64)> {
    let nonzero = |amount: &&str| amount.parse::<Exact>().is_ok_and(|amount| !amount.is_zero());
    let first =
        |fields: &[&str]| fields.iter().find_map(|field| text(entry, field).filter(nonzero));
    let (meter, fields): (_, &[&str]) = match text(entry, "mode").unwrap_or_default() {
        "image_generation" | "image_edit" => {
            (Meter::Images, &["output_cost_per_image", "input_cost_per_image"])
        }
        "chat" | "responses" | "completion" => (Meter::Images, &["output_cost_per_image"]),
        "rerank" => (Meter::SearchUnits, &["input_cost_per_query"]),
        "search" => (Meter::SearchQueries, &["input_cost_per_query"]),
        "ocr" => (Meter::Pages, &["ocr_cost_per_page"]),
        "video_generation" => {
            (Meter::Seconds, &["output_cost_per_second", "output_cost_per_video_per_second"])
        }
        "audio_transcription" | "audio_speech" | "realtime" => (
            Meter::Seconds,
            &["input_cost_per_second", "output_cost_per_second", "input_cost_per_audio_per_second"],
        ),
        _ => (Meter::Seconds, &[]),
    };
    let searches = entry.get("search_context_cost_per_query").and_then(Value::as_object);
    let found = [
        (meter, first(fields), 1),
        (
            Meter::Characters,
            first(&["input_cost_per_character", "output_cost_per_character"]),
            MILLION,
        ),
        (Meter::Requests, first(&["input_cost_per_request"]), 1),
        (
            Meter::WebSearchRequests,
            searches.and_then(|s| text(s, "search_context_size_medium")),
            1_000,
        ),
    ];
    found.into_iter().filter_map(|(meter, amount, per)| Some((meter, amount?, per))).collect()
}

/// Rates by resolution, where the price of a second depends on it.
fn resolutions(entry: &Entry, rates: &Rates) -> Vec<Variant> {
    let priced = entry.iter().filter_map(|(field, amount)| {
        let resolution = field.strip_prefix("output_cost_per_second_")?;
        Some((resolution, unit_rate(amount.as_str()?, 1)?))
    });
    priced
        .map(|(resolution, rate)| Variant {
            resolution: Some(resolution.to_owned()),
            rates: overlaid(rates, [(Meter::Seconds, rate)]),
            ..Variant::default()
        })
        .collect()
}

fn overlaid(rates: &Rates, changes: impl IntoIterator<Item = (Meter, Rate)>) -> Rates {
    let mut rates = rates.clone();
    rates.0.extend(changes);
    rates
}

/// Rates of the hours with lower ones: by day, or every day.
fn off_peak(entry: &Entry, rates: &Rates) -> Vec<Variant> {
    let Some(block) = entry.get("off_peak_pricing").and_then(Value::as_object) else {
        return Vec::new();
    };
    let changes: BTreeMap<Meter, Rate> = block
        .iter()
        .filter_map(|(field, amount)| match token_field(field)? {
            (None, None, meter) => Some((meter, unit_rate(amount.as_str()?, MILLION)?)),
            _ => None,
        })
        .collect();
    let flat = core::iter::once(block);
    let rules = flat.chain(
        block
            .get("windows")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_object),
    );
    let mut variants = Vec::new();
    for rule in rules {
        let days = rule.get("weekdays").and_then(Value::as_array).into_iter().flatten();
        let weekdays: Vec<u8> = days.filter_map(|day| day.as_str()?.parse().ok()).collect();
        let windows = match rule.get("hours_utc") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        variants.extend(windows.into_iter().filter_map(|window| {
            let (from, to) = window.split_once('-')?;
            let hours = Hours { from: from.into(), to: to.into(), weekdays: weekdays.clone() };
            Some(Variant {
                hours: Some(hours),
                rates: overlaid(rates, changes.clone()),
                ..Variant::default()
            })
        }));
    }
    variants
}
