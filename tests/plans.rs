//! Every published figure of the example plans, to the cent.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use farebox::plan::{Plan, Priced, Usage};
use serde_json::{Value, json};

fn plan(name: &str) -> Plan {
    let path = format!("{}/examples/plans/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    Plan::parse(&text).unwrap_or_else(|faults| panic!("{path}: {faults}"))
}

fn usage(entries: &Value) -> Usage {
    let text = json!({
        "period": { "start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z" },
        "usage": entries,
    });
    Usage::parse(&text.to_string()).unwrap()
}

fn priced(name: &str, entries: &Value) -> Priced {
    plan(name).price(&usage(entries)).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}

#[track_caller]
fn costs(name: &str, entries: &Value, want: &str) {
    assert_eq!(priced(name, entries).amount.to_string(), want, "{name} on {entries}");
}

fn tokens(model: &str, input: u64, output: u64) -> Value {
    let one = |direction: &str, quantity: u64| {
        json!({ "meter": "tokens", "dimensions": { "model": model, "direction": direction },
                "quantity": quantity.to_string() })
    };
    json!([one("input", input), one("output", output)])
}

fn used(meter: &str, quantity: &str) -> Value {
    json!([{ "meter": meter, "quantity": quantity }])
}

fn on_gpu(gpu: &str, hours: &str) -> Value {
    json!([{ "meter": "gpu_hours", "dimensions": { "gpu": gpu }, "quantity": hours }])
}

#[test]
fn every_example_plan_is_sound_and_says_what_is_invented() {
    let folder = format!("{}/examples/plans", env!("CARGO_MANIFEST_DIR"));
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let plan =
            Plan::parse(&text).unwrap_or_else(|faults| panic!("{}: {faults}", path.display()));
        assert_eq!(path.file_stem().unwrap().to_str(), Some(plan.plan.as_str()));
        let document: Value = serde_json::from_str(&text).unwrap();
        let told = document.get("source").is_some() || document.get("invented").is_some();
        assert!(
            told,
            "{} says neither where its figures are from nor that they are invented",
            plan.plan
        );
        names.push(plan.plan);
    }
    assert!(names.len() >= 27, "{names:?}");
    // Nothing is published of these, so nothing in them may pass for published.
    for name in ["cohere-api", "runway-standard", "replicate", "midjourney-standard"] {
        let path = format!("{}/examples/plans/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let document: Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(document["invented"], "All prices are invented.", "{name}");
        assert!(document.get("source").is_none(), "{name}");
    }
}

#[test]
fn token_prices_per_million_come_out_as_published() {
    for (name, model, input, output) in [
        ("openai-api", "gpt-4-turbo", "10", "30"),
        ("openai-api", "gpt-3.5-turbo", "0.5", "1.5"),
        ("openai-api", "o1-preview", "15", "60"),
        ("anthropic-api", "claude-3-haiku", "0.25", "1.25"),
        ("anthropic-api", "claude-3-sonnet", "3", "15"),
        ("anthropic-api", "claude-3-opus", "15", "75"),
    ] {
        costs(name, &tokens(model, 1_000_000, 0), input);
        costs(name, &tokens(model, 0, 1_000_000), output);
    }
    costs("openai-api", &tokens("gpt-4-turbo", 1_500_000, 200_000), "21");
    // A model that the plan does not list is never free.
    let fault = plan("openai-api").price(&usage(&tokens("gpt-5", 1, 1))).unwrap_err();
    assert_eq!((fault.code, fault.path.as_str()), ("meter_not_priced", "usage[0]"));
}

#[test]
fn the_plain_token_plan_charges_per_thousand() {
    let entries = |input: &str, output: &str| {
        json!([{ "meter": "tokens", "dimensions": { "direction": "input" }, "quantity": input },
               { "meter": "tokens", "dimensions": { "direction": "output" }, "quantity": output }])
    };
    costs("token", &entries("1000", "0"), "0.03");
    costs("token", &entries("0", "1000"), "0.06");
    let priced = priced("token", &entries("1234", "567"));
    assert_eq!(priced.exact.unwrap().to_string(), "0.07104");
    assert_eq!(priced.amount.to_string(), "0.07");
}

#[test]
fn subscriptions_cost_their_fee() {
    for (name, fee) in [("openai-plus", "20"), ("openai-pro", "200"), ("anthropic-pro", "20")] {
        costs(name, &json!([]), fee);
    }
}

#[test]
fn the_paid_claude_plan_lets_through_five_times_what_the_free_one_does() {
    let most = |name: &str| priced(name, &json!([])).balances[0].of;
    let free = most("anthropic-free");
    assert_eq!(most("anthropic-pro"), free.times(5.into()).unwrap());
    costs("anthropic-pro", &used("messages", "6000"), "20");
    costs("anthropic-free", &used("messages", "1200"), "0");
    for (name, over) in [("anthropic-free", "1201"), ("anthropic-pro", "6001")] {
        let fault = plan(name).price(&usage(&used("messages", over))).unwrap_err();
        assert_eq!(fault.code, "limit_exceeded");
    }
}

#[test]
fn elevenlabs_plans_include_their_characters_and_voices() {
    for (name, fee, characters, voices) in [
        ("elevenlabs-free", "0", 10_000, "3"),
        ("elevenlabs-starter", "5", 30_000, "10"),
        ("elevenlabs-creator", "22", 100_000, "30"),
        ("elevenlabs-pro", "99", 500_000, "160"),
        ("elevenlabs-scale", "330", 2_000_000, "unlimited"),
    ] {
        let all = used("characters", &characters.to_string());
        let priced = priced(name, &all);
        assert_eq!(priced.amount.to_string(), fee, "{name}");
        assert_eq!(priced.features["custom_voices"], voices, "{name}");
        assert_eq!(priced.balances[0].left.to_string(), "0", "{name}");
        let more = used("characters", &(characters + 1).to_string());
        assert_eq!(plan(name).price(&usage(&more)).unwrap_err().code, "limit_exceeded");
    }
    let features = |name: &str| priced(name, &json!([])).features;
    assert_eq!(features("elevenlabs-free")["commercial_rights"], "false");
    assert_eq!(features("elevenlabs-creator")["commercial_rights"], "true");
    assert_eq!(features("elevenlabs-scale")["api_access"], "true");
}

#[test]
fn eight_a100_for_twelve_hours_are_96_gpu_hours_and_144_dollars() {
    for name in ["lambda-labs", "runpod", "vast-ai"] {
        costs(name, &on_gpu("A100", "96"), "144");
        costs(name, &on_gpu("A100", "1"), "1.5");
        costs(name, &on_gpu("T4", "1"), "0.3");
    }
    // The same from the moments at which the machines started and stopped.
    let events = json!([{ "meter": "gpus", "dimensions": { "gpu": "A100" }, "events": [
        { "id": "start", "at": "2026-11-23T08:00:00Z", "quantity": "8" },
        { "id": "stop", "at": "2026-11-23T20:00:00Z", "quantity": "-8" }] }]);
    let priced = priced("compute-hour", &events);
    assert_eq!(priced.amount.to_string(), "144");
    assert_eq!(priced.lines[0].quantity.unwrap().to_string(), "345600");
    // A thousand seconds are no decimal number of hours; the amount is rounded once all the same.
    let second = json!([{ "meter": "gpus", "dimensions": { "gpu": "T4" }, "quantity": "1000" }]);
    costs("compute-hour", &second, "0.08");
}

#[test]
fn a_minute_of_audio_sells_for_36_cents_and_costs_six_tenths_of_one() {
    let priced = priced("assemblyai", &used("audio_minutes", "100"));
    assert_eq!(priced.amount.to_string(), "36");
    assert_eq!(priced.cost.unwrap().to_string(), "0.6");
    assert_eq!(priced.margin.unwrap().to_string(), "35.4");
}

#[test]
fn the_hybrid_plan_charges_beyond_its_hundred_thousand_calls() {
    for (calls, pro_rata, begun) in [
        ("0", "99", "99"),
        ("100000", "99", "99"),
        ("100001", "99", "99.1"),
        ("101000", "99.1", "99.1"),
        ("250000", "114", "114"),
    ] {
        costs("copilot-hybrid", &used("api_calls", calls), pro_rata);
        costs("hybrid", &used("api_calls", calls), begun);
    }
}

#[test]
fn ten_thousand_credits_buy_calls_images_and_video() {
    let entries = |calls: &str, images: &str, minutes: &str| {
        json!([{ "meter": "api_calls", "quantity": calls }, { "meter": "images", "quantity": images },
               { "meter": "video_minutes", "quantity": minutes }])
    };
    let priced = priced("credit", &entries("1000", "200", "100"));
    assert_eq!(priced.amount.to_string(), "100");
    let credits: BTreeMap<&str, String> =
        priced.lines.iter().filter_map(|l| Some((l.id.as_str(), l.credits?.to_string()))).collect();
    let want = [("api-calls", "1000"), ("images", "2000"), ("video", "5000")];
    assert_eq!(credits, want.map(|(id, n)| (id, n.to_owned())).into());
    assert_eq!(priced.balances[0].left.to_string(), "2000");
    let fault = plan("credit").price(&usage(&entries("10001", "0", "0"))).unwrap_err();
    assert_eq!(fault.code, "credits_exhausted");
}

fn outcomes(meter: &str, count: u32) -> Value {
    let reports: Vec<Value> = (0..count)
        .map(|n| json!({ "id": format!("{meter}-{n}"), "at": "2026-11-05T12:00:00Z", "is": "reached" }))
        .collect();
    json!({ "meter": meter, "outcomes": reports })
}

#[test]
fn results_cost_fifty_cents_a_dollar_and_two() {
    costs("outcome", &json!([outcomes("transcriptions", 1)]), "0.5");
    costs("outcome", &json!([outcomes("images", 1)]), "1");
    costs("outcome", &used("video_minutes", "1"), "2");
    let all = json!([outcomes("transcriptions", 10), outcomes("images", 3),
                     { "meter": "video_minutes", "quantity": "4" }]);
    costs("outcome", &all, "16");
}

#[test]
fn an_outcome_that_does_not_hold_is_not_billed_or_is_credited_later() {
    let price =
        |reports: Value| priced("outcome", &json!([{ "meter": "images", "outcomes": reports }]));
    let word = |at: &str, is: &str| json!({ "id": "o", "at": at, "is": is });
    let reversed = price(json!([
        word("2026-11-05T12:00:00Z", "reached"),
        word("2026-11-05T13:00:00Z", "reversed")
    ]));
    assert_eq!(reversed.amount.to_string(), "0");
    let pending = price(json!([word("2026-11-30T12:00:00Z", "reached")]));
    assert_eq!(pending.amount.to_string(), "0");
    assert_eq!(
        (pending.balances[0].kind, pending.balances[0].of.to_string()),
        ("pending", "1".into())
    );
    // Billed in October, disputed in November.
    let credited = price(json!([
        word("2026-10-20T12:00:00Z", "reached"),
        word("2026-11-03T12:00:00Z", "reversed")
    ]));
    assert_eq!(credited.amount.to_string(), "-1");
}

#[test]
fn the_flat_plan_earns_on_the_light_user_and_loses_on_the_power_user() {
    for (cost, margin) in [("0.50", "28.5"), ("50", "-21")] {
        let entries = json!([{ "meter": "requests", "quantity": "1000", "cost": cost }]);
        let priced = priced("flat", &entries);
        assert_eq!(priced.amount.to_string(), "29");
        assert_eq!(priced.margin.unwrap().to_string(), margin);
    }
    // Where the cost of something is unknown, so is the margin.
    assert_eq!(priced("flat", &used("requests", "1000")).margin, None);
}

#[test]
fn an_enterprise_year_gets_its_volume_discount_and_owes_its_shortfall() {
    let year = |last: bool, before: &str, input: u64| {
        let text = json!({ "last": last, "spent_before": { "annual-commit": before },
                           "usage": tokens("gpt-4-turbo", input, 0) });
        plan("openai-enterprise").price(&Usage::parse(&text.to_string()).unwrap()).unwrap()
    };
    // 6,000 M tokens are 60,000; 5 % off the 10,000 above 50,000.
    assert_eq!(year(false, "0", 6_000_000_000).amount.to_string(), "59500");
    // The last period owes what is missing to 100,000.
    let last = year(true, "30000", 6_000_000_000);
    assert_eq!(last.amount.to_string(), "70000");
    assert_eq!(year(true, "40500", 6_000_000_000).amount.to_string(), "59500");
}

#[test]
fn invented_plans_price_by_their_own_figures() {
    let embed = json!([{ "meter": "tokens", "dimensions": { "model": "embed", "direction": "input" },
                         "quantity": "2000000" }, { "meter": "search_units", "quantity": "500" }]);
    costs("cohere-api", &embed, "1.2");
    let video = |seconds: &str| json!([{ "meter": "video_seconds", "dimensions": { "model": "gen-3" }, "quantity": seconds }]);
    costs("runway-standard", &video("62.5"), "15");
    costs("runway-standard", &video("72.5"), "16");
    let predict = json!([{ "meter": "predict_seconds", "dimensions": { "hardware": "a100" }, "quantity": "100" }]);
    costs("replicate", &predict, "0.14");
    // 15 hours are included; the sixteenth costs four dollars.
    costs("midjourney-standard", &used("fast_gpu_seconds", "57600"), "34");
    costs("midjourney-standard", &used("relaxed_gpu_seconds", "99999"), "30");
    let hosts = json!([{ "meter": "host_price", "amounts": ["1.00", "2.00"] }]);
    costs("vast-ai", &hosts, "3.45");
}
