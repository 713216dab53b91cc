#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;

fn number(text: &str) -> Result<String, &'static str> {
    let mut faults = Faults::default();
    let number = Spot::root(text, &mut faults).unwrap().number(&mut faults);
    faults.unless(number).map(|n| n.to_string()).map_err(|faults| faults.list()[0].code)
}

#[test]
fn numbers_are_read_by_their_digits_never_through_a_float() {
    for (text, want) in [
        ("\"0.30000000000000004\"", "0.30000000000000004"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("0.1", "0.1"),
        ("1e-9", "0.000000001"),
        ("1.50E+3", "1500"),
        ("-12.5e-1", "-1.25"),
        ("0e5", "0"),
        ("\"0.1234567890123456789012345678\"", "0.1234567890123456789012345678"),
        ("9007199254740993", "9007199254740993"),
    ] {
        assert_eq!(number(text).as_deref(), Ok(want), "{text}");
    }
    for text in ["\"1e3\"", "\"\"", "\"NaN\"", "true", "[1]", "{}", "\" 1\""] {
        assert_eq!(number(text), Err("invalid_value"), "{text}");
    }
    for text in [
        "\"0.12345678901234567890123456789\"",
        "99999999999999999999999999999999",
        "1e30",
        "1e999",
        "-1e-99",
    ] {
        assert_eq!(number(text), Err("amount_out_of_range"), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused_and_never_a_panic(text in "\\PC{0,40}", near in near_json()) {
        for text in [text, near] {
            let mut faults = Faults::default();
            if let Some(spot) = Spot::root(&text, &mut faults) {
                let _ = (spot.number(&mut faults), spot.time(&mut faults), spot.text(&mut faults));
                let _ = (spot.list(3, &mut faults), spot.object(&mut faults));
            }
            let _ = crate::rating::charge::Task::read(&text);
            let _ = (crate::plan::Plan::parse(&text), crate::plan::Usage::parse(&text));
            let _ = crate::credits::Log::parse(&text);
        }
    }
}

/// A line of `farebox rate` with one character changed.
fn near_json() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    const LINE: &str = r#"{"id":1,"charge":{"model":"graduated","round_to":2,"tiers":[{"up_to":"1e2","unit_price":-0.5e-3}]},"quantity":"12"}"#;
    (0..LINE.len(), proptest::char::range(' ', '~')).prop_map(|(at, with)| {
        LINE.char_indices().map(|(n, c)| if n == at { with } else { c }).collect()
    })
}

#[test]
fn every_fault_is_found_and_says_where() {
    let mut faults = Faults::default();
    let text = r#"{"a": "x", "b": -1, "tiers": [{"odd": 1}], "a": 2, "c": null}"#;
    let mut object = Spot::root(text, &mut faults).unwrap().object(&mut faults).unwrap();
    object.amount("a", &mut faults);
    object.amount("b", &mut faults);
    object.need("c", &mut faults);
    for item in object.items("tiers", 3, &mut faults) {
        item.object(&mut faults).unwrap().done(&mut faults);
    }
    object.done(&mut faults);
    let found: Vec<_> = faults.list().iter().map(|f| (f.code, f.path.as_str())).collect();
    assert_eq!(
        found,
        [
            ("duplicate_field", "a"),
            ("invalid_value", "a"),
            ("invalid_value", "b"),
            ("missing_field", "c"),
            ("unknown_field", "tiers[0].odd"),
        ]
    );
}
