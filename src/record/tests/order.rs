//! What `order.rs` writes is what RFC 8785 demands, by an implementation of the RFC.

use std::collections::BTreeMap;

use super::*;
use crate::ledger::Unit;
use crate::rating::charge;

/// A record with every member that any record can have, its texts being `text`.
fn with_everything(text: &str) -> Record {
    let mut record = record("acme", 7, Digest([9; 32]));
    let at = record.recorded_at;
    let quantity = Quantity {
        meter: Meter::OutputTotal,
        quantity: 345.into(),
        unit: "token".into(),
        provenance: Provenance::Counted,
    };
    record.corrects = Some(3);
    record.batch = Some(LineOf { id: text.into(), line: Digest([1; 32]) });
    record.outcome_of = Some(OutcomeOf { attempt_id: record.attempt_id, charge: text.into() });
    record.admitted = Admitted {
        service_tier: Some(text.into()),
        region: Some(text.into()),
        end_user: Some(text.into()),
        features: vec![text.into(), String::new()],
        endpoint: text.into(),
        ..record.admitted
    };
    record.answered = Answered {
        upstream_status: Some(200),
        outcome: Some(meter::Outcome::Complete),
        served_model: Some(text.into()),
        served_tier: Some(text.into()),
        first_byte_at: Some(at),
        finished_at: Some(at),
        error_class: Some(text.into()),
    };
    record.quantities = vec![quantity.clone()];
    record.plan = Some(by_plan(text, at));
    record.unpriced = vec![Meter::Images];
    record.sub_usage = vec![SubUsage {
        kind: text.into(),
        model: Some(text.into()),
        included: true,
        quantities: vec![quantity],
        lines: vec![line(1, "0.6", "0.0000006")],
        unpriced: vec![Meter::Pages],
    }];
    record.unknown = vec![Unknown { path: text.into(), quantity: 5.into() }];
    record.previous = Some(2.into());
    record.flags = vec![Flag::Late, Flag::Correction];
    record
}

fn by_plan(text: &str, at: Timestamp) -> ByPlan {
    let detail = charge::Line {
        quantity: 1.into(),
        unit_price: Some(2.into()),
        amount: 2.into(),
        kind: charge::Kind::Rounding,
        inexact: true,
    };
    let line = PlanLine {
        kind: PlanLineKind::Charge,
        charge: text.into(),
        meter: text.into(),
        dimensions: BTreeMap::from([(text.into(), text.into()), ("model".into(), text.into())]),
        before: 1.into(),
        after: 2.into(),
        included: 0.into(),
        amount: 2.into(),
        credits: Some(2.into()),
        detail: vec![detail],
    };
    let payment = Payment {
        by: PaidBy::Grant,
        grant: Some(text.into()),
        unit: Unit::Credits,
        amount: 2.into(),
    };
    ByPlan {
        plan: Some(text.into()),
        version: Some(text.into()),
        terms: 1,
        period_start: at,
        lines: vec![line],
        paid: vec![payment],
    }
}

/// Leaves out what `choice` has a bit for.
fn without(mut record: Record, choice: u32) -> Record {
    let is_out = |bit: u32| choice >> bit & 1 == 1;
    let answered = &mut record.answered;
    let admitted = &mut record.admitted;
    let texts = [
        &mut admitted.service_tier,
        &mut admitted.region,
        &mut admitted.end_user,
        &mut answered.served_model,
        &mut answered.served_tier,
        &mut answered.error_class,
    ];
    for (bit, text) in (0..).zip(texts) {
        *text = text.take().filter(|_| !is_out(bit));
    }
    answered.first_byte_at = answered.first_byte_at.filter(|_| !is_out(6));
    answered.finished_at = answered.finished_at.filter(|_| !is_out(7));
    answered.upstream_status = answered.upstream_status.filter(|_| !is_out(8));
    answered.outcome = answered.outcome.filter(|_| !is_out(9));
    record.corrects = record.corrects.filter(|_| !is_out(10));
    record.batch = record.batch.filter(|_| !is_out(11));
    record.outcome_of = record.outcome_of.filter(|_| !is_out(11));
    record.plan = record.plan.filter(|_| !is_out(12));
    record.previous = record.previous.filter(|_| !is_out(13));
    record.unpriced.retain(|_| !is_out(14));
    record.unknown.retain(|_| !is_out(15));
    record.flags.retain(|_| !is_out(16));
    record.sub_usage.retain(|_| !is_out(17));
    record.lines.retain(|_| !is_out(18));
    for sub in &mut record.sub_usage {
        (sub.included, sub.model) = (!is_out(19), sub.model.take().filter(|_| !is_out(20)));
        sub.unpriced.retain(|_| !is_out(21));
    }
    for line in record.plan.iter_mut().flat_map(|plan| &mut plan.lines) {
        line.credits = line.credits.filter(|_| !is_out(22));
        line.dimensions.retain(|_, _| !is_out(23));
        line.detail.retain(|_| !is_out(24));
        for detail in &mut line.detail {
            detail.unit_price = detail.unit_price.filter(|_| !is_out(25));
            detail.inexact = is_out(26);
            detail.kind = if is_out(27) { charge::Kind::Usage } else { detail.kind };
        }
    }
    record
}

fn assert_canonical(record: &Record) {
    let written = record.canonical().unwrap();
    assert_eq!(written, serde_json_canonicalizer::to_string(record).unwrap());
    assert_eq!(&serde_json::from_str::<Record>(&written).unwrap(), record);
}

proptest! {
    #[test]
    fn a_record_is_written_as_rfc_8785_demands_and_read_back_whole(
        text in any::<String>(), choice in any::<u32>(),
    ) {
        assert_canonical(&without(with_everything(&text), choice));
    }
}

#[test]
fn members_named_beyond_ascii_are_sorted_by_utf_16_units() {
    // In UTF-8, and so in a map here, the first comes first; in UTF-16 the second does.
    let mut record = with_everything("\u{ff61}");
    for line in record.plan.iter_mut().flat_map(|plan| &mut plan.lines) {
        line.dimensions.insert("\u{1f600}".into(), "x".into());
    }
    assert_canonical(&record);
    let plain = serde_json::to_string(&record).unwrap();
    assert_ne!(record.canonical().unwrap(), plain, "the example must need the sorting");
}

proptest! {
    #[test]
    fn a_private_part_is_written_as_rfc_8785_demands(
        text in any::<String>(), known in any::<bool>(), below_margin in any::<bool>(),
    ) {
        let amount = known.then(|| Exact::from(3));
        let (provider, upstream) = (text.clone(), text);
        let private =
            Private { v: FORMAT, provider, upstream, cost: amount, margin: amount, below_margin };
        let sealed = seal(record("acme", 1, Digest::default()), &private, Digest([7; 32]), &ring());
        let expected = serde_json_canonicalizer::to_string(&private).unwrap();
        prop_assert_eq!(sealed.unwrap().private, expected);
    }
}
