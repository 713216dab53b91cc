//! Credit at the ledger: what comes again, what is carried on, what it is good for, and what becomes of
//! it under an open hold. Tokens are a dollar each.

use super::harness::check;

#[test]
fn a_recurring_grant_comes_each_period_and_carries_on_no_more_than_its_cap() {
    check(
        "plan book prepaid
         grant monthly 10 every=month rollover_cap=4
         credit -> USD 10 held 0
         reserve a 1
         settle a 1
         credit -> USD 9 held 0
         clock 2026-12-23T22:00:00Z
         credit -> USD 14 held 0             # four of nine, and ten
         clock 2027-01-23T22:00:00Z
         credit -> USD 14 held 0             # the cap bounds what was carried before, too
         reserve b 12
         settle b 12
         clock 2027-02-23T22:00:00Z
         credit -> USD 12 held 0
         take monthly
         credit -> USD 0 held 0
         clock 2027-03-23T22:00:00Z
         credit -> USD 0 held 0",
    );
}

#[test]
fn a_grant_for_one_model_pays_for_no_other() {
    check(
        "plan book prepaid
         grant gift 10 models=o3
         reserve a 5 -> refused spend_limit_exceeded by balance
         grant pack 4 priority=1
         reserve a 4
         settle a 3
         credit -> USD 11 held 0",
    );
}

#[test]
fn credit_burns_by_priority_then_expiry_then_creation() {
    check(
        "plan book prepaid
         grant later 5 expires=2027-01-01T00:00:00Z
         grant sooner 5 expires=2026-12-01T00:00:00Z
         grant first 5 priority=0 expires=2028-01-01T00:00:00Z
         grant last 5 priority=9
         reserve a 7
         settle a 7
         clock 2026-12-01T00:00:00Z
         credit -> USD 13 held 0             # five of the sooner, two of the later
         reserve b 13
         settle b 13
         credit -> USD 0 held 0",
    );
}

#[test]
fn a_grant_that_is_voided_under_an_open_hold_stays_spendable_by_it() {
    check(
        "plan book prepaid
         grant gift 10
         reserve a 8
         take gift
         credit -> USD 0 held 8
         reserve b 1 -> refused in_flight_budget_exhausted by balance
         settle a 6 -> closed 1 at 6
         credit -> USD 0 held 0
         reserve b 1 -> refused spend_limit_exceeded by balance",
    );
}

#[test]
fn a_grant_that_expires_while_a_hold_grows_pays_for_what_it_had_set_aside_only() {
    check(
        "plan book prepaid
         grant gift 10 expires=2026-11-23T22:00:30Z
         grant kept 10 priority=1
         reserve a 6
         wait 31s
         extend a 8                          # two more, of what is kept
         credit -> USD 8 held 8
         settle a 7
         credit -> USD 9 held 0",
    );
}

#[test]
fn what_was_taken_back_before_it_began_can_be_granted_anew_and_what_came_again_cannot() {
    check(
        "plan book prepaid
         grant later 5 starts=2026-12-01T00:00:00Z
         take later
         grant later 5 starts=2026-12-01T00:00:00Z
         grant monthly 10 every=month
         reserve a 4
         take monthly
         credit -> USD 0 held 4
         grant monthly 10 every=month -> invalid: id: names another grant
         take monthly
         settle a 3
         clock 2026-12-24T00:00:00Z
         credit -> USD 5 held 0",
    );
}
