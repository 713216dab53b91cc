#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
use super::*;
use crate::book::DEFAULT;
use proptest::prelude::*;
use serde_json::Value;

/// A record as the archive writes it.
fn record(seq: u64, class: &str, tokens: u64, more: &str) -> String {
    let amount = |per: u64| (Exact::from(tokens * per).over(100_000_000.into())).unwrap();
    let (input, output) = (amount(15), amount(60));
    let sum = input.plus(output).unwrap();
    format!(
        r#"{{"private":{{"cost":"1"}},"record":{{"amount":"{sum}","attempt_id":"a{seq}","class":"{class}","currency":"USD","customer":"acme","features":["stream","}}"],"held":"1","lines":[{{"amount":"{input}","meter":"input_uncached","per":"1000000","quantity":"{tokens}","rate":"0.15"}},{{"amount":"{output}","meter":"output_total","per":"1000000","quantity":"{tokens}","rate":"0.6"}}],"model":"gpt-4o-mini"{more},"quantities":[{{"meter":"input_total","provenance":"reported","quantity":"{tokens}","unit":"token"}},{{"meter":"input_uncached","provenance":"reported","quantity":"{tokens}","unit":"token"}},{{"meter":"output_total","provenance":"reported","quantity":"{tokens}","unit":"token"}}],"received_at":"2026-11-24T10:00:00.000Z","seq":{seq}}},"salt":"00"}}"#
    )
}

fn dearer() -> Book {
    Book::parse(&DEFAULT.replacen("\"0.6\"", "\"0.7\"", 1)).unwrap()
}

fn run(book: Book, archive: &str, cut: usize) -> Value {
    let mut what_if = WhatIf::new(By::Book(Box::new(book))).unwrap();
    archive.as_bytes().chunks(cut.max(1)).for_each(|chunk| what_if.push(chunk));
    serde_json::from_str(&what_if.finish()).unwrap()
}

#[test]
fn under_the_same_book_nothing_differs_and_under_another_each_line_says_by_how_much() {
    let archive: String =
        (1..=3).map(|seq| record(seq, "settled", 1000 * seq, "") + "\n").collect();
    let same = run(Book::parse(DEFAULT).unwrap(), &archive, usize::MAX);
    assert_eq!((&same["changed"], &same["difference"]), (&0.into(), &"0".into()));
    let other = run(dearer(), &archive, usize::MAX);
    assert_eq!(other["attempts"], 3);
    assert_eq!(
        (&other["old"], &other["new"], &other["difference"]),
        (&"0.0045".into(), &"0.0051".into(), &"0.0006".into())
    );
    let lines = &other["models"][0]["lines"];
    assert_eq!(lines[0]["difference"], "0");
    assert_eq!(
        (&lines[1]["meter"], &lines[1]["difference"]),
        (&"output_total".into(), &"0.0006".into())
    );
    let change = &other["examples"][0]["changes"][0];
    assert_eq!(
        (&change["old"]["amount"], &change["new"]["amount"], &change["difference"]),
        (&"0.0006".into(), &"0.0007".into(), &"0.0001".into())
    );
}

#[test]
fn a_line_that_is_no_record_is_told_by_its_number_and_all_others_count() {
    let good = record(1, "settled", 1000, "");
    let long = "x".repeat(LINE_MAX + 1);
    let archive = format!(
        "{good}\n{{\"record\":{{\n\n{}\n{long}\nnull\n{}",
        &good[..90],
        record(2, "settled", 1000, "")
    );
    for cut in [1, 7, 4096, usize::MAX] {
        let answer = run(dearer(), &archive, cut);
        assert_eq!(answer["attempts"], 2);
        assert_eq!(answer["errors"]["count"], 4);
        let told = answer["errors"]["first"].as_array().unwrap();
        let lines: Vec<u64> = told.iter().map(|each| each["line"].as_u64().unwrap()).collect();
        assert_eq!(lines, [2, 4, 5, 6]);
        assert_eq!(told[2]["code"], "line_too_long");
    }
}

#[test]
fn a_record_counts_once_and_a_correction_instead_of_what_it_corrects() {
    let first = record(1, "unresolved", 1000, "");
    let then = record(2, "settled", 5000, r#","corrects":1"#);
    let alone = run(dearer(), &then.replace(r#","corrects":1"#, ""), 999);
    for order in [[&first, &then, &then], [&then, &first, &first], [&first, &first, &then]] {
        let archive = order.map(String::as_str).join("\n");
        let answer = run(dearer(), &archive, 100);
        assert_eq!(answer["passed_over"], 2, "{answer}");
        for what in ["attempts", "old", "new", "changed"] {
            assert_eq!(answer[what], alone[what], "{what} of {archive}");
        }
        assert_eq!(answer["examples"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn what_has_no_price_is_counted_by_reason_and_in_no_sum() {
    let archive = format!(
        "{}\n{}",
        record(1, "settled", 1000, ""),
        record(2, "settled", 1000, "").replace("gpt-4o-mini", "gpt-nobody")
    );
    let answer = run(dearer(), &archive, 50);
    assert_eq!(answer["attempts"], 1);
    let unpriced = &answer["unpriced"][0];
    assert_eq!(
        (&unpriced["model"], &unpriced["error"]["code"]),
        (&"gpt-nobody".into(), &"model_not_priced".into())
    );
    assert_eq!(unpriced["old"], "0.00075");
}

#[test]
fn under_a_plan_each_month_is_priced_as_a_whole() {
    let plan = r#"{"format":"farebox-plan-1","plan":"p","version":"1","name":"P","currency":"USD",
        "fees":[{"id":"base","amount":"5"}],"charges":[{"id":"out","meter":"output_total",
        "charge":{"model":"package","package_size":"1000","price_per_package":"0.10"}}]}"#;
    let archive = format!(
        "{}\n{}\n{}",
        record(1, "settled", 600, ""),
        record(2, "settled", 600, ""),
        record(3, "settled", 600, "").replace("2026-11-24", "2026-12-24")
    );
    let answer = under(plan, &archive);
    let months = answer["periods"].as_array().unwrap();
    assert_eq!((&months[0]["new"], &months[1]["new"]), (&"5.2".into(), &"5.1".into()), "{answer}");
    assert_eq!(months[0]["not_in_plan"], serde_json::json!(["input_total", "input_uncached"]));
    assert_eq!((&answer["old"], &answer["new"]), (&"0.00108".into(), &"10.3".into()));
    // What the plan has no price for is named, and what was charged for it is in no sum.
    assert_eq!(answer["not_in_plan"], serde_json::json!(["input_total", "input_uncached"]));
    assert_eq!(answer["left_out"], "0.00027");
}

proptest! {
    /// The quick reader says what the whole one says, whatever the spelling and wherever it is cut.
    #[test]
    fn read_in_passing_or_whole_a_record_is_the_same(
        tokens in 0_u64..1_000_000, class in 0_usize..3, spaced in any::<bool>(), cut in 1_usize..2000,
        tier in proptest::option::of("[a-z\"\\\\é]{1,6}"), sealed in any::<bool>(),
    ) {
        let class = ["settled", "voided", "unresolved"][class];
        let more = tier.map(|tier| format!(r#","served_tier":{}"#, Value::from(tier))).unwrap_or_default();
        let mut line = record(7, class, tokens, &more);
        if !sealed {
            let value: Value = serde_json::from_str(&line).unwrap();
            line = value["record"].to_string();
        }
        if spaced {
            line = line.replace("\":", "\" : ").replace(",\"", " , \"");
        }
        let attempt = Attempt::parse(&line).unwrap();
        let (book, charged) = (dearer(), attempt.charged().unwrap());
        let answer = run(dearer(), &line, cut);
        let charged_amount = Value::from(charged.amount.to_string());
        prop_assert_eq!(&answer["old"], &charged_amount);
        let priced = attempt.price(&book).unwrap().amount.to_string();
        prop_assert_eq!(&answer["new"], &Value::from(priced));
        // What has escapes is left to the whole reader.
        let quick = Shapes::default().read(&line);
        prop_assert!(quick.is_none_or(|slim| Some(slim) == Slim::of(&attempt)));
        prop_assert!(more.contains('\\') || Shapes::default().read(&line).is_some());
    }

    /// Records that follow one another are read by the shape of those before, whatever differs.
    #[test]
    fn one_record_after_the_other_each_is_read_as_the_whole_reader_reads_it(
        each in proptest::collection::vec(
            (0_u64..10_000_000, 0_usize..3, 0_usize..4, "[a-z ,:}\\]\\\\\"]{0,5}", any::<bool>()), 1..12),
    ) {
        let mut shapes = Shapes::default();
        for (at, (tokens, class, kind, text, corrects)) in each.into_iter().enumerate() {
            let class = ["settled", "voided", "unresolved"][class];
            let text = Value::from(text);
            let more = match kind {
                0 => String::new(),
                1 => format!(r#","served_tier":{text},"more":[{{"a":[null,1.5e3,true]}},{text}]"#),
                2 => format!(r#","region":{text},"previous":"0.1""#),
                _ => format!(r#","tag":{text},"sub_usage":[]"#),
            };
            let more = more + if corrects { r#","corrects":3"# } else { "" };
            let line = record(at as u64 + tokens, class, tokens, &more);
            let attempt = Attempt::parse(&line).unwrap();
            let whole = Slim::of(&attempt);
            let quick = shapes.read(&line);
            prop_assert!(quick.is_some() || line.contains('\\'), "{}", line);
            prop_assert!(quick.is_none() || quick == whole, "{}", line);
        }
    }

    /// However a line is changed, the quick reader answers as the whole one does, or leaves it to that.
    #[test]
    fn a_line_that_is_spoilt_is_read_as_the_whole_reader_reads_it_or_not_at_all(
        kind in 0_usize..VARIANTS.len(), sealed in any::<bool>(), is_end in any::<bool>(),
        changes in proptest::collection::vec((0_usize..1_200, 0_usize..3, 0_usize..SPOILS.len()), 1..4),
    ) {
        let line = written(VARIANTS[kind], sealed);
        let mut spoilt: Vec<char> = line.chars().collect();
        for (at, cut, put) in changes {
            let at = at.min(spoilt.len());
            spoilt.splice(at..(at + cut).min(spoilt.len()), SPOILS[put].chars());
        }
        let spoilt: String = spoilt.into_iter().chain(is_end.then_some('\r')).collect();
        same_by_both(&line, &spoilt)?;
    }

    /// The same, value by value: a number in place of a text, a word in place of a number …
    #[test]
    fn a_line_with_another_value_is_read_as_the_whole_reader_reads_it_or_not_at_all(
        kind in 0_usize..VARIANTS.len(), sealed in any::<bool>(), nth in 0_usize..64, other in 0_usize..VALUES.len(),
    ) {
        let line = written(VARIANTS[kind], sealed);
        let colons: Vec<usize> = line.match_indices("\":").map(|(at, _)| at + 2).collect();
        let from = colons[nth.min(colons.len() - 1)];
        let mut value = serde_json::Deserializer::from_str(&line[from..]).into_iter::<Value>();
        prop_assert!(value.next().is_some_and(|value| value.is_ok()));
        let to = from + value.byte_offset();
        same_by_both(&line, &format!("{}{}{}", &line[..from], VALUES[other], &line[to..]))?;
    }
}

/// What records have beside the parts that all of them have.
const VARIANTS: &[&str] = &[
    "",
    r#","served_tier":"flex","region":"eu","endpoint":"/v1/x","key_id":"k""#,
    r#","corrects":3,"previous":"0.1","late":true,"n":-1.5e3,"flags":["a",null]"#,
    r#","sub_usage":[]"#,
    r#","sub_usage":[{"kind":"x","included":true,"quantities":[],"lines":[]}]"#,
    r#","outcome_of":{"attempt_id":"a","charge":"c"}"#,
    r#","record":{"customer":"x","seq":4}"#,
];
/// What is put into a line.
const SPOILS: &[&str] = &[
    "",
    "\"",
    "\\",
    "\\\"",
    "0",
    "-",
    ".",
    "e",
    "+",
    "01",
    " ",
    "\t",
    ",",
    ":",
    "}",
    "{",
    "]",
    "[",
    "null",
    "é",
    "\u{1}",
    "a\",\"seq\":9,\"b\":\"",
];
const VALUES: &[&str] = &[
    "null",
    "true",
    "0",
    "-0",
    "00",
    "01",
    "+1",
    "1.0",
    "1e3",
    "1e999",
    "-",
    ".5",
    "5.",
    "\"\"",
    "\"7\"",
    "\"x\"",
    "\"1e3\"",
    "\"-1\"",
    "\" 1\"",
    "\"1_000\"",
    "\"999999999999999999999999999999999\"",
    "[]",
    "{}",
    "[{}]",
    "nul",
    "Infinity",
    "18446744073709551616",
    "\"\\u0031\"",
    "\"voided\"",
    "\"2026-13-01T00:00:00Z\"",
    "\"output_total\"",
    "\"dollar\"",
    "{\"seq\":1}",
];

fn written(more: &str, sealed: bool) -> String {
    let line = record(1, "settled", 1000, more);
    if sealed { line } else { serde_json::from_str::<Value>(&line).unwrap()["record"].to_string() }
}

/// A line after another: as the whole reader reads it, or left to that.
fn same_by_both(first: &str, line: &str) -> Result<(), TestCaseError> {
    for shapes in [&mut Shapes::default(), &mut primed(first)] {
        if let Some(quick) = shapes.read(line) {
            let whole = Attempt::parse(line);
            prop_assert!(whole.is_ok(), "{} {:?}", line, whole);
            let whole = whole.unwrap();
            prop_assert_eq!(Some(quick), Slim::of(&whole), "{}", line);
        }
    }
    Ok(())
}

fn primed(first: &str) -> Shapes {
    let mut shapes = Shapes::default();
    let _ = shapes.read(first);
    shapes
}

#[test]
fn a_field_that_is_given_twice_is_left_to_the_whole_reader_which_refuses_it() {
    let line = record(1, "settled", 1000, r#","model":"gpt-4o""#);
    assert!(Shapes::default().read(&line).is_none() && Attempt::parse(&line).is_err());
    let deep =
        record(1, "settled", 1000, &format!(r#","x":{}1{}"#, "[".repeat(40), "]".repeat(40)));
    assert!(Shapes::default().read(&deep).is_none() && Attempt::parse(&deep).is_ok());
}

#[test]
fn a_record_served_in_a_region_is_priced_as_that_region_is() {
    let book = DEFAULT.replacen(
        "\"rates\":",
        r#""variants": [{ "region": "eu", "rates": { "input_uncached": { "amount": "1", "per": "1000000" },
           "output_total": { "amount": "2", "per": "1000000" } } }], "rates":"#,
        1,
    );
    let book = Book::parse(&book).unwrap();
    let line = record(1, "settled", 1000, r#","region":"eu""#);
    let answer = run(book.clone(), &line, usize::MAX);
    let whole = Attempt::parse(&line).unwrap().price(&book).unwrap();
    assert_eq!((&answer["new"], whole.amount.to_string()), (&"0.003".into(), "0.003".to_owned()));
}

/// What an archive comes to under a plan, month by month.
fn under(plan: &str, archive: &str) -> Value {
    let plan = Plan::parse(plan).unwrap();
    let months = Calendar::aligned("UTC", plan.period).unwrap();
    let names = Book::parse(DEFAULT).unwrap();
    let by = By::Plan(Box::new(plan), Box::new(months), Box::new(names));
    let mut what_if = WhatIf::new(by).unwrap();
    what_if.push(archive.as_bytes());
    serde_json::from_str(&what_if.finish()).unwrap()
}

/// A plan of these parts beside its head.
fn plan(parts: &str) -> String {
    format!(
        r#"{{"format":"farebox-plan-1","plan":"p","version":"1","name":"P","currency":"USD",{parts}}}"#
    )
}

fn of<'v>(answer: &'v Value, what: &str) -> Vec<&'v str> {
    answer["periods"].as_array().unwrap().iter().map(|row| row[what].as_str().unwrap()).collect()
}

#[test]
fn under_a_plan_each_customer_pays_for_itself_and_for_months_without_usage() {
    let plan = plan(
        r#""fees":[{"id":"setup","amount":"100","once":true},{"id":"base","amount":"5"}],
        "allowances":[{"id":"free","meter":"output_total","quantity":"1000"}],
        "charges":[{"id":"out","meter":"output_total","charge":{"model":"per_unit","unit_price":"0.01"}}]"#,
    );
    let other = |line: String| line.replace("\"acme\"", "\"zeta\"");
    let archive = [
        record(1, "settled", 1500, ""),
        record(2, "settled", 1500, "").replace("2026-11-24", "2027-01-24"),
        other(record(1, "settled", 600, "")),
        other(record(2, "voided", 600, "")),
    ];
    let answer = under(&plan, &archive.join("\n"));
    assert_eq!(of(&answer, "customer"), ["acme", "acme", "acme", "zeta"]);
    // 105 and 500 tokens beyond; a month of the fee alone; 500 tokens again; within what is free.
    assert_eq!(of(&answer, "new"), ["110", "5", "10", "105"], "{answer}");
    assert_eq!(answer["new"], "230");
}

#[test]
fn a_grant_that_comes_once_is_used_up_once_and_a_rollover_is_carried_to_its_cap() {
    let plan = plan(
        r#""grants":[{"id":"welcome","amount":"12","source":"promotional","once":true},
        {"id":"monthly","amount":"2","source":"paid","rollover_cap":"1","priority":"1"}],
        "charges":[{"id":"out","meter":"output_total","charge":{"model":"per_unit","unit_price":"0.01"}}]"#,
    );
    let month = |seq: u64, tokens: u64, day: &str| {
        record(seq, "settled", tokens, "").replace("2026-11-24", day)
    };
    let archive = [
        month(1, 1000, "2026-11-24"),
        month(2, 500, "2026-12-24"),
        month(3, 100, "2027-01-24"),
        month(4, 400, "2027-02-24"),
    ];
    // 10 of 12; 2 and the 3 that 2 and the cap of 1 make; 1 of 2; 4 less the 3 that are there.
    assert_eq!(of(&under(&plan, &archive.join("\n")), "new"), ["0", "0", "0", "1"]);
}

#[test]
fn a_plan_is_asked_in_its_own_words_and_told_what_it_may_tell_apart() {
    let plan = plan(
        r#""charges":[{"id":"calls","meter":"api_calls","charge":{"model":"per_unit","unit_price":"1"}},
        {"id":"tokens","meter":"tokens","each":["model"],"cells":[
          {"where":{"direction":"input"},"charge":{"model":"per_unit","unit_price":"0.001"}},
          {"where":{"direction":"output","key":"k1"},"charge":{"model":"per_unit","unit_price":"0.002"}},
          {"where":{"direction":"output","key":"k2"},"charge":{"model":"per_unit","unit_price":"0.003"}}]}]"#,
    );
    let archive = [
        record(1, "settled", 1000, r#","key_id":"k1""#),
        record(2, "settled", 1000, r#","key_id":"k2""#),
    ];
    let answer = under(&plan, &archive.join("\n"));
    let row = &answer["periods"][0];
    // Two calls, 2,000 in, and 1,000 out for each key.
    assert_eq!((&row["new"], &row["not_in_plan"]), (&"9".into(), &serde_json::json!([])), "{row}");
}

#[test]
fn under_a_plan_the_lines_differences_add_up_to_the_periods() {
    let plan = plan(
        r#""fees":[{"id":"base","amount":"5"}],"discounts":[{"id":"ten","percent":"10"}],
        "commitments":[{"id":"least","amount":"20","kind":"minimum"}],
        "charges":[{"id":"in","meter":"input_total","charge":{"model":"per_unit","unit_price":"0"}},
          {"id":"out","meter":"output_total","charge":{"model":"per_unit","unit_price":"0.01"}}]"#,
    );
    // Charged 1 more than its lines say.
    let line = record(1, "settled", 600, r#","previous":"1""#);
    let answer = under(&plan, &line);
    let row = &answer["periods"][0];
    let lines = row["lines"].as_array().unwrap();
    let exact = |value: &Value| value.as_str().unwrap().parse::<Exact>().unwrap();
    for side in ["old", "new", "difference"] {
        let sum = Exact::sum(lines.iter().map(|line| exact(&line[side]))).unwrap();
        assert_eq!(sum, exact(&row[side]), "{side}: {row}");
    }
    let meters: Vec<&str> = lines.iter().filter_map(|line| line["meter"].as_str()).collect();
    assert_eq!(meters, ["input_uncached", "output_total"]);
    assert!(lines.iter().any(|line| line["kind"] == "not_by_meter" && line["old"] == "1"), "{row}");
    assert!(lines.iter().any(|line| line["kind"] == "shortfall"), "{row}");
}

#[test]
fn what_other_models_used_beside_a_record_is_priced_by_no_plan_and_named() {
    let plan = plan(
        r#""charges":[{"id":"in","meter":"input_total","cells":[
          {"where":{"model":"gpt-4o"},"charge":{"model":"per_unit","unit_price":"2"}},
          {"charge":{"model":"per_unit","unit_price":"1"}}]}]"#,
    );
    let sub = r#","sub_usage":[{"kind":"advisor_message","model":"gpt-4o","quantities":[{"meter":"input_total","provenance":"reported","quantity":"10","unit":"token"}],"lines":[]},
      {"kind":"part","model":"gpt-4o","included":true,"quantities":[{"meter":"input_total","provenance":"reported","quantity":"7","unit":"token"}],"lines":[]}]"#;
    let line = record(1, "settled", 600, sub).replace('\n', "");
    let answer = under(&plan, &line);
    assert_eq!(of(&answer, "new"), ["600"], "{answer}");
    assert_eq!(answer["not_in_plan"], serde_json::json!(["input_total", "output_total"]));
}

#[test]
fn a_plan_knows_a_model_by_the_name_its_book_has_for_it_and_not_by_the_one_that_was_asked() {
    let plan = plan(
        r#""charges":[{"id":"in","meter":"tokens","cells":[
          {"where":{"model":"gpt-4o-mini","provider":"openai"},"charge":{"model":"per_unit","unit_price":"2"}},
          {"charge":{"model":"per_unit","unit_price":"1"}}]}]"#,
    );
    let book = Book::parse(DEFAULT).unwrap();
    let alias = book.sold("gpt-4o-mini").unwrap().aliases[0].clone();
    let asked =
        |model: &str| under(&plan, &record(1, "settled", 10, "").replace("gpt-4o-mini", model));
    assert_eq!(asked("gpt-4o-mini")["new"], "40");
    assert_eq!(asked(&alias)["new"], "40");
    let unknown = asked("gpt-nobody");
    assert_eq!(unknown["unpriced"][0]["error"]["code"], "model_not_priced", "{unknown}");
}

const CALLS: &str = r#""charges":[{"id":"calls","meter":"api_calls","charge":{"model":"per_unit","unit_price":"1"}},
    {"id":"tokens","meter":"tokens","charge":{"model":"per_unit","unit_price":"0"}}]"#;

/// A record without usage of its own: what ends a batch, or an outcome's.
fn empty(seq: u64, amount: &str, more: &str) -> String {
    format!(
        r#"{{"record":{{"amount":"{amount}","attempt_id":"e{seq}","class":"settled","currency":"USD","customer":"acme","lines":[],"model":"gpt-4o-mini"{more},"quantities":[],"received_at":"2026-11-24T11:00:00.000Z","seq":{seq}}}}}"#
    )
}

#[test]
fn an_attempt_is_one_request_and_what_ends_a_batch_an_outcome_or_another_models_part_is_none() {
    let sub = r#","sub_usage":[{"kind":"x","model":"gpt-4o","quantities":[{"meter":"output_total","provenance":"reported","quantity":"10","unit":"token"}],"lines":[]}]"#;
    let archive = [
        record(1, "settled", 600, sub),
        empty(2, "0", ""),
        empty(3, "2", r#","outcome_of":{"attempt_id":"a1","charge":"done"}"#),
        record(4, "voided", 600, ""),
    ];
    assert_eq!(under(&plan(CALLS), &archive.join("\n"))["new"], "1");
}

#[test]
fn an_outcome_that_was_taken_back_counts_for_nothing_in_whatever_order_the_archive_has_it() {
    let of = r#","outcome_of":{"attempt_id":"a1","charge":"done"}"#;
    let first = empty(2, "3", of);
    let back = empty(3, "-3", &format!(r#"{of},"corrects":2,"previous":"3""#));
    let used = record(1, "settled", 600, "");
    let answers = [[&used, &first, &back], [&used, &back, &first], [&back, &first, &used]]
        .map(|lines| under(&plan(CALLS), &lines.map(String::as_str).join("\n")));
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
        assert_eq!(answer["errors"]["count"], 0, "{answer}");
        assert_eq!((&answer["passed_over"], &answer["old"]), (&1.into(), &"0.00045".into()));
    }
}

#[test]
fn past_a_bound_no_total_is_shown_and_every_record_that_is_in_none_is_told() {
    let customer = |seq: u64| record(1, "settled", 10, "").replace("acme", &format!("c{seq}"));
    let archive: String = (0..11_001).map(|seq| customer(seq) + "\n").collect();
    let answer = under(&plan(CALLS), &archive);
    assert_eq!(answer["errors"]["count"], 1);
    assert_eq!(answer["errors"]["first"][0]["code"], "too_many_sums");
    assert_eq!((answer.get("new"), answer.get("difference")), (None, None));
    // What was not added is not counted as an attempt either.
    assert_eq!(answer["attempts"], 11_000);
}

#[test]
fn a_plan_that_sums_cannot_be_priced_by_is_refused_with_every_place() {
    let plan = plan(
        r#""charges":[{"id":"a","meter":"output_total","aggregation":"max","charge":{"model":"per_unit","unit_price":"1"}},
          {"id":"b","meter":"output_total","aggregation":"latest","charge":{"model":"per_unit","unit_price":"1"}},
          {"id":"c","meter":"api_calls","outcome":{"pending_hours":"1","silence":"confirmed","dispute_hours":"1"},"charge":{"model":"per_unit","unit_price":"1"}}]"#,
    );
    let plan = Plan::parse(&plan).unwrap();
    let months = Calendar::aligned("UTC", plan.period).unwrap();
    let names = Book::parse(DEFAULT).unwrap();
    let faults = WhatIf::new(By::Plan(Box::new(plan), Box::new(months), Box::new(names)));
    let paths: Vec<String> =
        faults.err().unwrap().list().iter().map(|fault| fault.path.clone()).collect();
    assert_eq!(paths, ["charges[0].aggregation", "charges[1].aggregation", "charges[2].outcome"]);
}

#[test]
fn a_month_in_which_all_was_voided_owes_no_fees() {
    let plan = plan(
        r#""fees":[{"id":"base","amount":"5"}],
        "charges":[{"id":"t","meter":"tokens","charge":{"model":"per_unit","unit_price":"0"}}]"#,
    );
    let voided = record(1, "voided", 600, "");
    let voided = ["0.00045", "0.00036", "0.00009"]
        .iter()
        .fold(voided, |line, amount| line.replace(&format!("\"{amount}\""), "\"0\""));
    let answer = under(&plan, &voided);
    assert_eq!((&answer["periods"], &answer["new"]), (&serde_json::json!([]), &"0".into()));
    // A hold that expired and was voided after all is nothing either.
    let open = record(1, "unresolved", 600, "");
    let back = empty(2, "-0.00045", r#","corrects":1,"previous":"0.00045""#);
    let back = back.replace("settled", "voided");
    for archive in [[&*open, &back], [&back, &open]] {
        let answer = under(&plan, &archive.join("\n"));
        assert_eq!(answer["periods"], serde_json::json!([]), "{answer}");
    }
}
