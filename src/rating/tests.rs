#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
use super::*;
use crate::wire::usage::Provenance;
use proptest::prelude::*;

/// `meter=quantity …` and `meter=amount …` (per million) to the priced lines as text.
fn check(usage: &str, rates: &str, want: &str) {
    let pairs = |text: &str| -> Vec<(Meter, Exact)> {
        let pair = |item: &str| {
            let (meter, number) = item.split_once('=').unwrap();
            (serde_json::from_str(&format!("\"{meter}\"")).unwrap(), number.parse().unwrap())
        };
        text.split_whitespace().map(pair).collect()
    };
    let mut used = Usage::default();
    for (meter, quantity) in pairs(usage) {
        used.set(meter, quantity, Provenance::Reported);
    }
    let per = Exact::from(1_000_000);
    let rates =
        Rates(pairs(rates).into_iter().map(|(m, amount)| (m, Rate { amount, per })).collect());
    let rated = rate(&used, &rates).unwrap();
    let line = |l: &Line| format!("{}={}", l.meter.as_str(), l.quantity);
    let mut got: Vec<String> = rated.lines.iter().map(line).collect();
    got.extend(rated.unpriced.iter().map(|m| format!("!{}", m.as_str())));
    got.extend(rated.suspect.iter().map(|m| format!("?{}", m.as_str())));
    assert_eq!(got.join(" "), want, "{usage} at {rates:?}");
}

const TEXT: &str = "input_uncached=1 cache_read=0.1 output_total=2";

#[test]
fn totals_are_never_priced_beside_their_parts() {
    check(
        "input_total=100 cache_read=40 output_total=7 reasoning=5",
        TEXT,
        "input_uncached=60 cache_read=40 output_total=7",
    );
    check("input_uncached=60 cache_read=40", TEXT, "input_uncached=60 cache_read=40");
    check("output_total=7 reasoning=5", "output_total=2 reasoning=3", "reasoning=5 output_total=2");
}

#[test]
fn a_cache_read_without_a_rate_costs_what_input_costs() {
    check("input_total=100 cache_read=40", "input_uncached=1", "input_uncached=60 cache_read=40");
}

#[test]
fn what_has_no_rate_is_unpriced_not_free() {
    check(
        "input_total=100 audio_in=30 output_total=1",
        TEXT,
        "input_uncached=70 output_total=1 !audio_in",
    );
    check("output_total=10 image_out=10", TEXT, "!image_out");
    check("input_total=10 cache_write=4", TEXT, "input_uncached=6 !cache_write");
    check(
        "input_total=10 cache_write=4 cache_write_1h=4 cache_write_5m=0",
        "input_uncached=1 cache_write_5m=2",
        "input_uncached=6 !cache_write_1h",
    );
    check("web_search_requests=2 requests=1 turns=3", TEXT, "!web_search_requests");
    check("input_total=5", "output_total=2", "!input_uncached");
    check("web_search_requests=0 audio_in=0 images=0", TEXT, "");
}

#[test]
fn cache_writes_are_priced_by_how_long_they_last() {
    let rates = "input_uncached=1 cache_write_5m=1.25 cache_write_1h=2";
    check(
        "input_uncached=10 cache_write=30 cache_write_5m=20 cache_write_1h=10",
        rates,
        "input_uncached=10 cache_write_5m=20 cache_write_1h=10",
    );
    check("input_uncached=10 cache_write=30", rates, "input_uncached=10 cache_write=30");
}

#[test]
fn a_report_that_contradicts_itself_is_charged_and_flagged() {
    check("input_total=10 cache_read=40", TEXT, "input_uncached=10 ?input_total");
    check("output_total=3 audio_out=5", "output_total=2 audio_out=9", "audio_out=5 ?output_total");
}

proptest! {
    #[test]
    fn the_amount_is_the_sum_of_its_lines_and_of_no_more_tokens_than_reported(
        uncached in 0_u64..1_000_000, read in 0_u64..1_000_000, out in 0_u64..1_000_000,
        reasoning in 0_u64..1_000_000,
    ) {
        let reasoning = reasoning.min(out);
        let mut usage = Usage::default();
        for (meter, count) in [(Meter::InputUncached, uncached), (Meter::CacheRead, read),
                               (Meter::OutputTotal, out), (Meter::Reasoning, reasoning)] {
            usage.set(meter, count.into(), Provenance::Reported);
        }
        let book = crate::book::Book::parse(crate::book::DEFAULT).unwrap();
        let rated = rate(&usage, &book.find(None, "gpt-5").unwrap().rates).unwrap();
        prop_assert_eq!(Exact::sum(rated.lines.iter().map(|l| l.amount)).unwrap(), rated.amount);
        let tokens = Exact::sum(rated.lines.iter().map(|l| l.quantity)).unwrap();
        prop_assert_eq!(tokens, Exact::from(uncached + read + out));
    }
}

#[test]
fn a_modality_counts_what_was_not_cached_where_the_report_splits_it() {
    let rates = "input_uncached=1 cache_read=0.1 audio_in=5 cache_read_audio=0.5";
    check(
        "input_total=300 text_in=100 audio_in=200 cache_read=100 cache_read_text=36 cache_read_audio=64",
        rates,
        "audio_in=136 input_uncached=64 cache_read_audio=64 cache_read=36",
    );
    check("input_total=300 audio_in=200 cache_read=100", rates, "audio_in=200 cache_read=100");
}

#[test]
fn a_plain_rate_for_cache_writes_covers_those_of_any_length() {
    check(
        "input_total=10 cache_write_5m=3 cache_write_1h=4",
        "input_uncached=1 cache_write=2",
        "input_uncached=3 cache_write_5m=3 cache_write_1h=4",
    );
}
