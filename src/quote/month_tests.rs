#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::book::DEFAULT;
use proptest::prelude::*;

fn day(day: u32, tokens: u64) -> Attempt {
    Attempt::parse(&format!(
        r#"{{"customer":"acme","seq":{day},"attempt_id":"a","class":"settled","model":"gpt-4o-mini",
        "received_at":"2026-11-{day:02}T10:00:00Z","currency":"USD","lines":[],"amount":"0",
        "quantities":[{{"meter":"output_total","quantity":"{tokens}","unit":"token","provenance":"reported"}}]}}"#
    ))
    .unwrap()
}

fn volumes(days: &[(u32, u64)]) -> Vec<Volume> {
    let mut all = Days::default();
    days.iter().for_each(|(at, tokens)| all.add(&day(*at, *tokens)).unwrap());
    all.volumes("2026-12-05T00:00:00Z".parse().unwrap(), None).unwrap()
}

#[test]
fn a_month_is_its_days_times_the_least_the_mean_and_the_greatest_day_seen() {
    let [volume] = &volumes(&[(1, 1000), (2, 2000), (2, 1000), (3, 500)])[..] else { panic!() };
    assert_eq!((volume.lower, volume.upper), (Exact::from(15_500), Exact::from(93_000)));
    assert_eq!(volume.expected, Exact::from(46_500), "4,500 in 3 days, times 31");
    let [idle] = &volumes(&[(1, 1000), (3, 1001)])[..] else { panic!() };
    assert_eq!(idle.lower, Exact::ZERO, "nothing was used on the second");
    assert_eq!(idle.expected, Exact::from(20_677), "2,001 × 31 ÷ 3, rounded up to a token");
}

#[test]
fn volumes_are_stated_whole_or_by_their_bounds_and_nothing_passes_unpriced() {
    let of = |more: &str| {
        read(&format!(r#"{{"volumes":[{{"model":"gpt-4o-mini","meter":"output_total",{more}}}]}}"#))
    };
    assert_eq!(of(r#""quantity":"7""#).unwrap()[0].upper, Exact::from(7));
    assert!(of(r#""lower":"2","expected":"1","upper":"3""#).is_err());
    assert!(of(r#""lower":"-1","expected":"1","upper":"3""#).is_err());
    assert!(of(r#""quantity":7"#).is_err(), "a number is not a decimal string");
    let book = Book::parse(DEFAULT).unwrap();
    let quote = |volumes: &[Volume]| -> Value {
        serde_json::from_str(&quote_month(volumes, By::Book(&book))).unwrap()
    };
    let bounds = of(r#""lower":"1000000","expected":"2000000","upper":"3000000""#).unwrap();
    let answer = quote(&bounds);
    assert_eq!(
        (&answer["lower"], &answer["expected"], &answer["upper"]),
        (&"0.3".into(), &"1.2".into(), &"1.8".into()),
        "at the least, all of it in batches"
    );
    let unknown = Volume { model: "gpt-nobody".into(), ..bounds[0].clone() };
    assert_eq!(quote(&[unknown])["error"]["code"], "model_not_priced");
    let unsold = Volume { meter: "audio_out".into(), ..bounds[0].clone() };
    assert_eq!(quote(&[unsold])["error"]["code"], "model_not_priced");
}

#[test]
fn by_a_plan_its_fees_and_allowances_count() {
    let plan = Plan::parse(
        r#"{"format":"farebox-plan-1","plan":"p","version":"1","name":"P","currency":"USD",
        "fees":[{"id":"base","amount":"5"}],
        "allowances":[{"id":"free","meter":"calls","quantity":"1000"}],
        "charges":[{"id":"calls","meter":"calls","charge":{"model":"per_unit","unit_price":"0.01"}}]}"#,
    )
    .unwrap();
    let text = r#"{"volumes":[{"model":"m","meter":"calls","lower":"500","expected":"1100","upper":"2000"}]}"#;
    let answer: Value =
        serde_json::from_str(&quote_month(&read(text).unwrap(), By::Plan(&plan))).unwrap();
    assert_eq!(
        (&answer["lower"], &answer["expected"], &answer["upper"]),
        (&"5".into(), &"6".into(), &"15".into()),
        "{answer}"
    );
}

proptest! {
    #[test]
    fn the_bounds_of_a_month_rise(tokens in proptest::collection::vec(0_u64..10_000, 1..28)) {
        let days: Vec<(u32, u64)> = (1_u32..).zip(tokens).collect();
        let volumes = volumes(&days);
        let volume = &volumes[0];
        prop_assert!(volume.lower <= volume.expected && volume.expected <= volume.upper);
        let book = Book::parse(DEFAULT).unwrap();
        let answer: Value = serde_json::from_str(&quote_month(&volumes, By::Book(&book))).unwrap();
        let at = |name: &str| answer[name].as_str().unwrap().parse::<Exact>().unwrap();
        prop_assert!(at("lower") <= at("expected") && at("expected") <= at("upper"));
    }
}
