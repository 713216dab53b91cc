#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::type_complexity)]
use super::*;
use crate::money::Exact;
use crate::wire::usage::Meter;
use serde_json::{Value, json};

fn with(change: impl Fn(&mut Value)) -> Result<Book, BookError> {
    let mut json: Value = serde_json::from_str(DEFAULT).unwrap();
    change(&mut json);
    Book::parse(&json.to_string())
}

/// The faults of a changed book as `path: problem`.
fn faults(change: impl Fn(&mut Value)) -> Vec<String> {
    with(change).unwrap_err().faults.iter().map(ToString::to_string).collect()
}

fn one_fault(change: impl Fn(&mut Value), at: &str, hint: &str) {
    let error = with(change).unwrap_err();
    let all: Vec<String> = error.faults.iter().map(ToString::to_string).collect();
    assert!(
        error.faults.iter().any(|fault| fault.at == at && fault.problem.contains(hint)),
        "{at}: {hint}\n{all:#?}"
    );
}

fn rates(input: &str, output: &str) -> Value {
    json!({ "input_uncached": { "amount": input, "per": "1000000" },
            "cache_read": { "amount": input, "per": "1000000" },
            "output_total": { "amount": output, "per": "1000000" } })
}

/// A book with one model, `"fields"` over its rates.
fn model(fields: &Value) -> Result<Book, BookError> {
    with(|book| {
        let mut row = json!({ "provider": "p", "model": "m", "rates": rates("1", "2") });
        for (name, value) in fields.as_object().unwrap() {
            row[name] = value.clone();
        }
        book["models"] = json!([row]);
    })
}

fn input_rate(book: &Book, situation: &Situation<'_>, tier: Option<&str>, input: u64) -> String {
    let card = book.find(None, "m").unwrap().card(situation).unwrap();
    card.rates_for(tier, input.into())
        .unwrap()
        .get(Meter::InputUncached)
        .unwrap()
        .amount
        .to_string()
}

fn at(time: &str) -> Situation<'static> {
    Situation { at: Some(time.parse().unwrap()), ..Situation::default() }
}

#[test]
fn the_built_in_book_is_valid() {
    let book = Book::parse(DEFAULT).unwrap();
    let rate = book.find(None, "gpt-4o-mini-2024-07-18").unwrap().rates.get(Meter::CacheRead);
    assert_eq!(rate.unwrap().amount, "0.075".parse().unwrap());
}

#[test]
fn the_published_schema_is_made_from_the_types() {
    let schema = json_schema::schema();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write("books/schema.json", &schema).unwrap();
    } else {
        assert_eq!(schema, SCHEMA, "run with UPDATE_GOLDEN=1 and look at the difference");
    }
}

#[test]
fn a_book_that_cannot_be_meant_is_refused_and_says_where() {
    let input = "models[0].rates.input_uncached";
    let wrong: [(&str, &str, Box<dyn Fn(&mut Value)>); 12] = [
        ("format", "farebox-book-2", Box::new(|b| b["format"] = "x".into())),
        ("currency", "ISO 4217", Box::new(|b| b["currency"] = "dollars".into())),
        ("models", "1 to", Box::new(|b| b["models"] = json!([]))),
        (
            "models[0].rates.input_uncached.amount",
            "negative",
            Box::new(|b| b["models"][0]["rates"]["input_uncached"]["amount"] = "-1".into()),
        ),
        (
            "models[0].rates.input_uncached.amount",
            "\"NaN\"",
            Box::new(|b| b["models"][0]["rates"]["input_uncached"]["amount"] = "NaN".into()),
        ),
        (
            "models[0].rates.input_uncached.per",
            "above zero",
            Box::new(|b| b["models"][0]["rates"]["input_uncached"]["per"] = "0".into()),
        ),
        (
            input,
            "exact price",
            Box::new(|b| b["models"][0]["rates"]["input_uncached"]["per"] = "7".into()),
        ),
        (
            "models[0].rates.input_uncached.unit",
            "\"second\" is none of token",
            Box::new(|b| b["models"][0]["rates"]["input_uncached"]["unit"] = "second".into()),
        ),
        (
            "models[0].rates.input_total",
            "never charged",
            Box::new(|b| {
                b["models"][0]["rates"]["input_total"] = json!({ "amount": "1", "per": "1" });
            }),
        ),
        (
            "models[1]",
            "\"gpt-4o-mini\" of openai is priced by models[0]",
            Box::new(|b| b["models"][1]["aliases"] = json!(["GPT-4o-mini"])),
        ),
        (
            "models[0].tiers.default",
            "twice",
            Box::new(|b| b["models"][0]["tiers"]["default"] = rates("1", "2")),
        ),
        (
            "models[0].families[0]",
            "every name",
            Box::new(|b| b["models"][0]["families"] = json!([{ "except": "x" }])),
        ),
    ];
    for (place, hint, change) in wrong {
        one_fault(change, place, hint);
    }
}

#[test]
fn every_fault_is_reported_with_its_path() {
    let found = faults(|b| {
        b["models"][0]["rate"] = json!({});
        b["models"][1]["rates"]["cached"] = json!({ "amount": "1", "per": "1" });
        b["models"][2]["rates"]["cache_read"]["amount"] = 0.5.into();
        b["models"][3]["rates"]["output_total"].as_object_mut().unwrap().remove("per");
        b["effective_from"] = "yesterday".into();
        b["models"][4].as_object_mut().unwrap().remove("provider");
    });
    let paths: Vec<&str> = found.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "effective_from",
            "models[0].rate",
            "models[1].rates.cached",
            "models[2].rates.cache_read.amount",
            "models[3].rates.output_total.per",
            "models[4].provider",
        ],
        "{found:#?}"
    );
}

#[test]
fn two_rates_for_the_same_thing_are_refused_even_as_one_key_twice() {
    let rate = r#""input_uncached": { "amount": "9", "per": "1" }"#;
    let tiers = format!(r#""tiers": {{ "batch": {{ {rate} }}, "batch": {{ {rate} }} }}"#);
    for (before, added, place) in [
        (r#""cache_read":"#, rate, "models[0].rates.input_uncached"),
        (r#""amount": "0.15""#, r#""amount": "0""#, "models[0].rates.input_uncached.amount"),
        (r#""rates":"#, &tiers, "models[0].tiers.batch"),
        (r#""rates":"#, r#""rates": {}"#, "models[0].rates"),
        (r#""currency":"#, r#""currency": "EUR""#, "currency"),
    ] {
        let twice = DEFAULT.replacen(before, &format!("{added}, {before}"), 1);
        let error = Book::parse(&twice).unwrap_err();
        let found = error.faults.iter().find(|fault| fault.problem.contains("twice"));
        assert_eq!(found.map(|fault| fault.at.as_str()), Some(place), "{error}");
    }
}

#[test]
fn faults_are_bounded_and_an_overlong_book_is_not_even_parsed() {
    let error = with(|b| {
        let row = json!({ "provider": "p", "model": "m", "rates": {} });
        b["models"] = Value::Array(vec![row; FAULTS_MAX]);
    });
    let error = error.unwrap_err();
    assert!(error.faults.len() == FAULTS_MAX && error.more);
    let long = " ".repeat(BOOK_MAX + 1);
    let error = Book::parse(&long).unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
}

#[test]
fn a_book_of_the_first_format_is_still_read() {
    assert!(with(|b| b["format"] = "farebox-book-1".into()).is_ok());
}

#[test]
fn a_name_two_providers_share_needs_the_provider() {
    let book = with(|b| b["models"][8]["aliases"] = json!(["gpt-4o"])).unwrap();
    assert!(book.find(None, "gpt-4o").is_none());
    assert_eq!(book.find(Some("openai"), "gpt-4o").unwrap().model, "gpt-4o");
}

#[test]
fn a_shared_name_belongs_to_whoever_makes_it() {
    let book = with(|b| {
        b["models"][8]["aliases"] = json!(["gpt-4o"]);
        b["providers"] = json!([{ "id": "anthropic" },
            { "id": "openai", "aliases": ["Open-AI"], "spellings": [{ "contains": "openai" }],
              "makes": [{ "prefix": "gpt-" }] },
            { "id": "azure", "serves": ["openai"] }]);
    })
    .unwrap();
    let of = |provider, name| book.find(provider, name).map(|model| model.provider.as_str());
    assert_eq!(of(None, "gpt-4o"), Some("openai"));
    assert_eq!(of(Some("anthropic"), "gpt-4o"), Some("anthropic"));
    for spelling in ["OpenAI", "open-ai", "my-openai-eu", " openai "] {
        assert_eq!(of(Some(spelling), "GPT-4o"), Some("openai"), "{spelling}");
    }
    assert_eq!(of(Some("azure"), "azure/gpt-4o"), Some("openai"), "served by another");
    assert_eq!(of(Some("nobody"), "gpt-4o"), None);
    assert_eq!(of(None, "openai/gpt-4o"), Some("openai"));
    assert_eq!(of(Some("anthropic"), "openai/gpt-4o-mini"), None);
}

#[test]
fn a_dated_name_falls_to_its_family_and_an_exact_one_comes_first() {
    let book = with(|b| {
        b["models"] = json!([
            { "provider": "p", "model": "first", "families": [{ "prefix": "m-" }], "rates": rates("1", "2") },
            { "provider": "p", "model": "m-2", "aliases": ["y-3-2026-01-02"], "rates": rates("3", "4") },
            { "provider": "p", "model": "x", "families": [{ "dated": "x-pro" }], "rates": rates("5", "6") },
        ]);
    })
    .unwrap();
    let of = |name| book.find(Some("p"), name).map(|model| model.model.clone()).unwrap_or_default();
    assert_eq!(of("m-1"), "first");
    assert_eq!(of("m-2"), "m-2");
    assert_eq!(of("y-3-20260102"), "m-2", "the date written the other way");
    assert_eq!(of("x-20260102"), "x");
    assert_eq!(of("x@20260102"), "x");
    assert_eq!(of("x-pro-2026-01-02"), "x");
    assert_eq!(of("x-pro"), "", "dated means dated");
    assert_eq!(of("x-99999999"), "");
}

#[test]
fn a_price_applies_from_its_first_instant_to_before_its_last() {
    let book = model(&json!({
        "valid_from": "2026-06-01T00:00:00Z", "valid_to": "2026-09-01T00:00:00Z",
        "history": [
            { "valid_to": "2026-06-01T00:00:00Z", "rates": rates("10", "20") },
            { "valid_from": "2026-09-01T00:00:00Z", "rates": rates("0.1", "0.2") },
        ],
    }))
    .unwrap();
    for (time, want) in [
        ("2020-01-01T00:00:00Z", "10"),
        ("2026-05-31T23:59:59.999Z", "10"),
        ("2026-06-01T00:00:00Z", "1"),
        ("2026-09-01T00:00:00Z", "0.1"),
    ] {
        assert_eq!(input_rate(&book, &at(time), None, 5), want, "{time}");
    }
    assert_eq!(input_rate(&book, &Situation::default(), None, 5), "1", "current, without a time");
}

#[test]
fn periods_with_a_gap_or_an_overlap_are_refused() {
    for end in ["2026-05-01T00:00:00Z", "2026-07-01T00:00:00Z"] {
        let error = model(&json!({ "valid_from": "2026-06-01T00:00:00Z",
            "history": [{ "valid_to": end, "rates": rates("1", "2") }] }));
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("models[0]: applies from 2026-06") && error.contains("gap"),
            "{error}"
        );
    }
    let error = model(&json!({ "history": [{ "rates": rates("1", "2") }] })).unwrap_err();
    assert!(error.to_string().contains("for ever"), "{error}");
    let backwards =
        json!({ "valid_from": "2026-06-01T00:00:00Z", "valid_to": "2026-05-01T00:00:00Z" });
    assert!(model(&backwards).unwrap_err().to_string().contains("later than"));
}

#[test]
fn the_context_tier_is_chosen_by_the_whole_input_and_holds_for_every_meter() {
    let book = model(&json!({ "tiers": { "batch": rates("0.5", "1") }, "context": [
        { "above": "200", "rates": rates("2", "3"), "tiers": { "batch": rates("1", "1.5") } },
        { "at_least": "500", "rates": rates("4", "5") },
    ] }))
    .unwrap();
    let now = Situation::default();
    for (input, want) in [(0, "1"), (200, "1"), (201, "2"), (499, "2"), (500, "4"), (9_999, "4")] {
        assert_eq!(input_rate(&book, &now, None, input), want, "{input}");
    }
    assert_eq!(input_rate(&book, &now, Some("batch"), 201), "1");
    let card = book.find(None, "m").unwrap().card(&now).unwrap();
    assert!(card.rates_for(Some("batch"), 500.into()).is_none(), "not sold, not the short price");
    let output = |input: u64| {
        card.rates_for(None, input.into()).unwrap().get(Meter::OutputTotal).unwrap().amount
    };
    assert_eq!(output(201), Exact::from(3));
}

#[test]
fn context_tiers_must_rise_and_price_what_short_requests_price() {
    let tier = |bound: &str| json!({ "above": bound, "rates": rates("2", "3") });
    let same = json!({ "at_least": "6", "rates": rates("2", "3") });
    for second in [tier("5"), tier("4"), same] {
        let error = model(&json!({ "context": [tier("5"), second] })).unwrap_err();
        assert_eq!(error.faults[0].at, "models[0].context[1]");
    }
    let error = model(&json!({ "context": [{ "rates": rates("2", "3") }] })).unwrap_err();
    assert!(error.to_string().contains("exactly one of"), "{error}");
    let bare = json!({ "input_uncached": { "amount": "1", "per": "1" } });
    let error = model(&json!({ "context": [{ "above": "5", "rates": bare }] })).unwrap_err();
    assert!(error.to_string().contains("no rate for cache_read, output_total"), "{error}");
}

#[test]
fn of_two_variants_that_hold_the_one_with_more_conditions_counts() {
    let night = json!({ "from": "22:00", "to": "06:00" });
    let book = model(&json!({ "variants": [
        { "region": "eu", "rates": rates("1.1", "2.2") },
        { "region": "eu", "hours": night, "rates": rates("0.6", "1.2") },
        { "hours": night, "region": "us", "rates": rates("0.5", "1") },
        { "quality": "hd", "region": "eu", "hours": night, "rates": rates("9", "9") },
    ] }))
    .unwrap();
    let night = at("2026-11-24T05:59:59Z");
    let day = at("2026-11-24T06:00:00Z");
    let rate = |situation: Situation<'_>| input_rate(&book, &situation, None, 1);
    assert_eq!(rate(day), "1");
    assert_eq!(rate(night), "1", "no region is known");
    assert_eq!(rate(Situation { region: Some("EU"), ..day }), "1.1");
    assert_eq!(rate(Situation { region: Some("eu"), ..night }), "0.6");
    assert_eq!(rate(Situation { region: Some("us"), ..night }), "0.5");
    assert_eq!(rate(Situation { region: Some("eu"), quality: Some("hd"), ..night }), "9");
    // A hold counts what is not known among what may come: by night the dearest is hd in Europe.
    let model = book.find(None, "m").unwrap();
    assert_eq!(model.possible(&night).len(), 5);
    assert_eq!(model.possible(&day).len(), 2);
}

#[test]
fn variants_that_may_both_apply_with_equal_weight_are_refused() {
    let hours = |from: &str, to: &str, days: &[u8]| json!({ "hours": { "from": from, "to": to, "weekdays": days }, "rates": rates("1", "2") });
    let pairs = [
        (hours("00:00", "12:00", &[]), hours("11:59", "13:00", &[]), false),
        (hours("00:00", "12:00", &[]), hours("12:00", "00:00", &[]), true),
        (hours("22:00", "06:00", &[]), hours("05:00", "07:00", &[]), false),
        (hours("00:00", "00:00", &[6, 7]), hours("01:00", "02:00", &[1]), true),
        (json!({ "region": "eu", "rates": rates("1", "2") }), hours("01:00", "02:00", &[]), false),
        (
            json!({ "resolution": "720p", "rates": rates("1", "2") }),
            json!({ "resolution": "1080p", "rates": rates("1", "2") }),
            true,
        ),
    ];
    for (one, other, fine) in pairs {
        let book = model(&json!({ "variants": [one, other] }));
        assert_eq!(book.is_ok(), fine, "{one} {other}");
    }
    for hours in
        [json!({ "from": "24:00", "to": "01:00" }), json!({ "from": "1:00", "to": "02:00" })]
    {
        assert!(
            model(&json!({ "variants": [{ "hours": hours, "rates": rates("1", "2") }] })).is_err()
        );
    }
}

#[test]
fn cost_plus_fills_in_the_rates_that_are_not_set() {
    let book = model(&json!({
        "rates": { "output_total": { "amount": "7", "per": "1000000" } },
        "markup": "1.2",
        "cost": { "rates": rates("1", "2"), "tiers": { "batch": rates("0.5", "1") },
                  "context": [{ "above": "100", "rates": rates("2", "4") }] },
    }))
    .unwrap();
    let model = book.find(None, "m").unwrap();
    assert_eq!(model.rates.get(Meter::OutputTotal).unwrap().amount, Exact::from(7), "own rate");
    assert_eq!(input_rate(&book, &Situation::default(), None, 1), "1.2");
    assert_eq!(input_rate(&book, &Situation::default(), Some("batch"), 1), "0.6");
    assert_eq!(input_rate(&book, &Situation::default(), None, 101), "2.4");
    assert!(self::model(&json!({ "markup": "1.2" })).is_err(), "nothing to add to");
}

#[test]
fn a_customers_projection_shows_no_costs() {
    let book = with(|b| {
        let rates = b["models"][0]["rates"].clone();
        b["models"][0]["cost"] = json!({ "rates": rates });
        b["models"][0]["markup"] = "1.5".into();
        b["margin_guard"] = json!({ "at_least_percent": "5", "action": "alert" });
    });
    let shown = serde_json::to_string(&book.unwrap().projection()).unwrap();
    for secret in ["\"cost\"", "markup", "margin"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}
