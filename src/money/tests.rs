#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

fn exact(text: &str) -> Exact {
    text.parse().unwrap()
}

#[test]
fn one_number_has_one_spelling() {
    assert_eq!(exact("1.500").to_string(), "1.5");
    assert_eq!(exact("100").to_string(), "100");
    assert_eq!(exact("-0.0").to_string(), "0");
    assert_eq!(exact("0.10"), exact("0.1"));
}

#[test]
fn only_plain_decimal_notation_is_read() {
    for bad in ["", "-", ".5", "5.", "1e3", "+1", " 1", "1_000", "0x1", "NaN", "1,5", "--1", "١"] {
        assert_eq!(bad.parse::<Exact>(), Err(OutOfRange), "{bad:?}");
    }
}

#[test]
fn a_result_that_would_be_rounded_is_refused() {
    let tiny = exact("0.0000000000000000000000000001");
    assert_eq!(tiny.times(exact("0.1")), Err(OutOfRange));
    assert_eq!(exact("79228162514264337593543950335").plus(exact("0.1")), Err(OutOfRange));
    assert!("0.00000000000000000000000000001".parse::<Exact>().is_err());
}

#[test]
fn division_is_exact_or_refused() {
    assert_eq!(exact("1").over(exact("8")).unwrap(), exact("0.125"));
    assert_eq!(exact("0.3").over(exact("0.06")).unwrap(), exact("5"));
    assert_eq!(exact("1").over(exact("3")), Err(OutOfRange));
    assert_eq!(exact("1").over(Exact::ZERO), Err(OutOfRange));
}

#[test]
fn whole_times_rounds_down_and_never_below_zero() {
    assert_eq!(exact("1").whole_times(exact("0.3")).unwrap(), exact("3"));
    assert_eq!(exact("-5").whole_times(exact("0.3")).unwrap(), Exact::ZERO);
}

#[test]
fn json_numbers_are_refused_where_money_is_meant() {
    assert!(serde_json::from_str::<Exact>("1.5").is_err());
    assert_eq!(serde_json::from_str::<Exact>("\"1.5\"").unwrap(), exact("1.5"));
    assert_eq!(serde_json::to_string(&exact("1.50")).unwrap(), "\"1.5\"");
}

fn any_exact() -> impl Strategy<Value = Exact> {
    (-(1_i128 << 60)..(1_i128 << 60), 0_u32..14).prop_map(|(m, s)| Exact::build(m, s).unwrap())
}

proptest! {
    #[test]
    fn adding_then_subtracting_returns_the_number(a in any_exact(), b in any_exact()) {
        if let Ok(sum) = a.plus(b) {
            prop_assert_eq!(sum.minus(b).unwrap(), a);
        }
    }

    #[test]
    fn multiplying_then_dividing_returns_the_number(a in any_exact(), b in any_exact()) {
        prop_assume!(!b.is_zero());
        if let Ok(product) = a.times(b) {
            // The quotient is exact by construction; only its working room may run out.
            if let Ok(back) = product.over(b) { prop_assert_eq!(back, a); }
        }
    }

    #[test]
    fn text_and_back_is_the_same_number(a in any_exact()) {
        prop_assert_eq!(a.to_string().parse::<Exact>().unwrap(), a);
    }
}
