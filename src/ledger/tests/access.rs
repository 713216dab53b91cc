//! Keys, customers, and what the operator may change.

use super::harness::{World, check};
use crate::ledger::*;

#[test]
fn a_key_must_be_known_have_the_right_secret_and_be_in_force() {
    check(
        "
        reserve a 1 key=nobody             -> refused invalid_key
        reserve a 1 secret=wrong           -> refused invalid_key
        reserve a 1                        -> held
        revoke main                        -> done
        reserve b 1                        -> refused key_disabled
        reserve a 1                        -> refused key_disabled
        reserve a 1 secret=wrong           -> refused invalid_key
        settle a 1                         -> closed 1 at 1   # what runs is settled all the same
        revoke nobody                      -> invalid: there is no key nobody
        key main other
        reserve b 1                        -> refused invalid_key
        reserve b 1 secret=other           -> held
        ",
    );
}

#[test]
fn a_customer_that_was_never_created_is_refused_everything() {
    World::empty(false).run(
        "
        key main main  -> invalid: create the customer before its keys
        reserve a 1    -> refused invalid_key
        settle a 1     -> unknown attempt
        status         -> invalid: this customer does not exist
        sweep          -> done
        limits
        ",
    );
}

#[test]
fn the_price_books_currency_must_be_the_customers() {
    check(
        "
        limits all=lifetime/hard/10
        reserve a 1 currency=EUR  -> refused currency_mismatch
        reserve a 11 currency=EUR -> refused currency_mismatch
        rows                      -> 1 refusal
        ",
    );
}

#[test]
fn what_the_operator_changes_is_checked_first() {
    let mut too_many = String::from("limits");
    (0..=LIMITS_MAX).for_each(|n| too_many.push_str(&format!(" l{n}=day/hard/1")));
    check(&format!(
        "
        limits a=day/hard/-1               -> invalid: limit a: the amount is below zero
        limits a=day/hard/1 a=month/hard/2 -> invalid: limit a: the id is given twice
        limits a=day/hard/1000000000001    -> invalid: limit a: at most 1000000000000 with 16 places is possible
        limits a=day/hard/0.00000000000000001 -> invalid: limit a: at most 1000000000000 with 16 places is possible
        {too_many} -> invalid: at most 32 limits are possible
        rows                               -> none
        reserve a 1000000                  -> held
        "
    ));
    let mut world = World::new(false);
    for (customer, currency, problem) in [
        ("other", "USD", "this ledger belongs to customer acme"),
        ("acme", "EUR", "the currency is USD and cannot be changed"),
        ("acme", "usd", "currency \"usd\" is not an ISO 4217 code such as \"USD\""),
    ] {
        let (customer, currency) = (customer.parse().unwrap(), currency.to_owned());
        let put = Admin::PutCustomer {
            customer,
            currency,
            limits: Vec::new(),
            zone: None,
            allows: Allows::default(),
        };
        let reply = world.apply(&Command::Admin(put)).unwrap();
        assert_eq!(reply, Reply::Invalid(problem.to_owned()));
    }
    for n in 1..KEYS_MAX {
        assert_eq!(world.line(&format!("key k{n} s")), "done");
    }
    assert_eq!(world.line("key onemore s"), "invalid: at most 1000 keys are possible");
    assert_eq!(world.line("key k1 another"), "done", "a known key may always be replaced");
}

#[test]
fn a_key_is_in_force_only_with_its_secret_and_until_revoked() {
    let mut world = World::new(false);
    let check_key = |key: &str, secret: &str| Command::CheckKey {
        key_id: key.parse().unwrap(),
        secret_sha256: crate::record::Digest::of(&[secret.as_bytes()]),
    };
    let refused = Reply::Invalid("the key is not in force".into());
    assert_eq!(world.apply(&check_key("main", "main")).unwrap(), Reply::Done);
    assert_eq!(world.apply(&check_key("main", "mein")).unwrap(), refused);
    assert_eq!(world.apply(&check_key("other", "main")).unwrap(), refused);
    world.line("revoke main");
    assert_eq!(world.apply(&check_key("main", "main")).unwrap(), refused);
}
