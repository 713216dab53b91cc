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

#[test]
fn f60_f62_a_frozen_key_or_customer_begins_nothing_and_ends_what_it_began() {
    check(
        "
        key other other
        reserve a 1
        freeze main
        reserve b 1                         -> refused key_frozen
        reserve b 1 key=other secret=other  -> held
        reserve a 1                         -> held          # the same attempt: it runs already
        renew a 0                           -> held
        freeze
        reserve c 1 key=other secret=other  -> refused customer_frozen
        settle a 1                          -> closed 1 at 1
        void b                              -> closed 2 at 0
        limits all=lifetime/hard/10         # new terms do not thaw
        reserve c 1 key=other secret=other  -> refused customer_frozen
        unfreeze
        reserve c 1 key=other secret=other  -> held, 8 left
        reserve d 1                         -> refused key_frozen
        unfreeze main
        reserve d 1                         -> held, 7 left
        freeze nobody                       -> invalid: there is no key nobody
        ",
    );
}

#[test]
fn a_key_expires_at_its_very_instant() {
    check(
        "
        key brief brief expires=2026-11-23T22:00:10Z
        wait 9999ms
        reserve a 1 key=brief secret=brief -> held
        wait 1ms
        reserve b 1 key=brief secret=brief -> refused key_expired
        reserve a 1 key=brief secret=brief -> refused key_expired
        settle a 1                         -> closed 1 at 1
        reserve b 1                        -> held
        ",
    );
}

#[test]
fn plan_and_key_must_both_allow_what_is_asked_for() {
    check(
        "
        limits @models=gpt*|o3 @endpoints=/v1/chat/completions @features=tools
        reserve a 1 model=gpt-4o           -> held
        reserve b 1 model=claude           -> refused not_in_plan
        reserve b 1 endpoint=/v1/responses -> refused not_in_plan
        reserve b 1 features=vision        -> refused not_in_plan
        reserve b 1 features=tools         -> held
        key narrow narrow models=o3
        reserve c 1 model=o3 key=narrow secret=narrow    -> held
        reserve d 1 model=gpt key=narrow secret=narrow   -> refused key_forbids
        reserve d 1 model=claude key=narrow secret=narrow -> refused not_in_plan
        limits @models=
        reserve d 1                        -> refused not_in_plan
        limits
        reserve d 1 model=anything         -> held
        key none none models=
        reserve e 1 key=none secret=none   -> refused key_forbids
        ",
    );
}

#[test]
fn a_refusal_names_what_is_not_allowed() {
    let mut world = World::new(false);
    world.line("limits @models=gpt");
    let reserve = super::harness::parse("reserve", &["a", "1", "model=o3"]);
    let Reply::Refused(refusal) = world.apply(&reserve).unwrap() else { panic!() };
    let forbidden = refusal.forbidden.unwrap();
    assert_eq!((forbidden.what.as_str(), forbidden.name.as_str()), ("model", "o3"));
}
