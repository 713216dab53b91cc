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
            prop_assert_eq!(product.over(b).unwrap(), a);
        }
    }

    #[test]
    fn text_and_back_is_the_same_number(a in any_exact()) {
        prop_assert_eq!(a.to_string().parse::<Exact>().unwrap(), a);
    }
}

#[test]
fn only_the_result_has_to_fit_not_the_way_to_it() {
    let large = exact("100000000000000000000");
    assert_eq!(
        exact("1.23456789012345678901").times(large).unwrap(),
        exact("123456789012345678901")
    );
    let digits = exact("12345678901234567890.12345678");
    assert_eq!(digits.over(exact("0.00000001")).unwrap(), exact("1234567890123456789012345678"));
}

#[test]
fn each_rounding_does_what_its_name_says_on_both_sides_of_zero() {
    use Rounding::{Ceiling, Down, HalfEven, HalfUp, Up};
    for (text, half_up, half_even, up, down, ceiling) in [
        ("2.5", "3", "2", "3", "2", "3"),
        ("3.5", "4", "4", "4", "3", "4"),
        ("-2.5", "-3", "-2", "-3", "-2", "-2"),
        ("2.1", "2", "2", "3", "2", "3"),
        ("-2.1", "-2", "-2", "-3", "-2", "-2"),
        ("-2.9", "-3", "-3", "-3", "-2", "-2"),
        ("0.5", "1", "0", "1", "0", "1"),
        ("7", "7", "7", "7", "7", "7"),
    ] {
        let wants =
            [(HalfUp, half_up), (HalfEven, half_even), (Up, up), (Down, down), (Ceiling, ceiling)];
        for (rounding, want) in wants {
            let number = exact(text);
            assert_eq!(number.rounded(0, rounding).unwrap(), exact(want), "{text} {rounding:?}");
            // The same digits one place further right round alike.
            let tenth = number.times(exact("0.1")).unwrap();
            let want = exact(want).times(exact("0.1")).unwrap();
            assert_eq!(tenth.rounded(1, rounding).unwrap(), want, "{text}/10 {rounding:?}");
        }
    }
}

#[test]
fn a_fraction_is_rounded_by_its_true_value_not_by_its_first_digits() {
    let third = Ratio::from(exact("1")).over(exact("3").into()).unwrap();
    assert_eq!(third.rounded(28, Rounding::Up).unwrap().to_string().len(), 30);
    assert_eq!(third.rounded(2, Rounding::Up).unwrap(), exact("0.34"));
    assert_eq!(third.times(exact("3").into()).unwrap().exact().unwrap(), exact("1"));
    assert_eq!(third.exact(), Err(OutOfRange));
    assert_eq!(third.over(Ratio::ZERO), Err(OutOfRange));
    let just_below_half = exact("0.4999999999999999999999999999");
    assert_eq!(just_below_half.rounded(0, Rounding::HalfUp).unwrap(), Exact::ZERO);
}

#[test]
fn a_step_need_not_be_a_power_of_ten() {
    let number = Ratio::from(exact("1.03"));
    assert_eq!(number.to_step(exact("0.05"), Rounding::HalfUp).unwrap(), exact("1.05"));
    assert_eq!(number.to_step(exact("0.05"), Rounding::Down).unwrap(), exact("1"));
}

proptest! {
    #[test]
    fn fractions_agree_with_decimals(a in any_exact(), b in any_exact()) {
        let (x, y) = (Ratio::from(a), Ratio::from(b));
        prop_assert_eq!(x.exact().unwrap(), a);
        if let Ok(sum) = a.plus(b) {
            prop_assert_eq!(x.plus(y).unwrap().exact().unwrap(), sum);
        }
        if let Ok(product) = a.times(b) {
            prop_assert_eq!(x.times(y).unwrap().exact().unwrap(), product);
        }
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        if let Ok(quotient) = a.over(b) {
            prop_assert_eq!(x.over(y).unwrap().exact().unwrap(), quotient);
        }
    }

    #[test]
    fn fractions_are_ordered_by_their_difference(
        a in -400_i64..400, b in 1_u64..90, c in -400_i64..400, d in 1_u64..90
    ) {
        let fraction = |n: i64, d: u64| {
            Ratio::from(exact(&n.to_string())).over(Exact::from(d).into()).unwrap()
        };
        let (x, y) = (fraction(a, b), fraction(c, d));
        let difference = x.minus(y).unwrap();
        prop_assert_eq!(x < y, difference.is_negative());
        prop_assert_eq!(x == y, difference.is_zero());
    }

    #[test]
    fn rounding_moves_a_number_by_less_than_one_step(a in any_exact(), places in 0_u32..6) {
        let step = Exact::build(1, places).unwrap();
        for (_, rounding) in Rounding::NAMES {
            let moved = a.rounded(places, rounding).unwrap().minus(a).unwrap();
            prop_assert!(moved < step && moved > Exact::ZERO.minus(step).unwrap());
        }
    }
}
