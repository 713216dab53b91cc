//! A record's members in the order that RFC 8785 demands, so that writing it is writing it in
//! canonical form: sorting them anew for every record took ten times as long as all the rest.
//!
//! `serde_json` escapes as RFC 8785 does. A test holds what is written here against an
//! implementation of the RFC, with every member present.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Admitted, Answered, Record};
use crate::rating::{self, charge};

impl Serialize for Record {
    /// Members in order of their names. A member that is not listed here does not compile.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            v,
            customer,
            seq,
            prev,
            attempt_id,
            request_id,
            corrects,
            class,
            batch,
            outcome_of,
            admitted,
            answered,
            recorded_at,
            quantities,
            lines,
            plan,
            unpriced,
            sub_usage,
            unknown,
            previous,
            amount,
            flags,
            private,
        } = self;
        let Admitted {
            key_id,
            mode,
            received_at,
            endpoint,
            model,
            stream,
            features,
            service_tier,
            region,
            end_user,
            book_version,
            currency,
            held,
        } = admitted;
        let Answered {
            upstream_status,
            outcome,
            served_model,
            served_tier,
            first_byte_at,
            finished_at,
            error_class,
        } = answered;
        let mut map = Members(serializer.serialize_map(None)?);
        map.put("amount", amount)?;
        map.put("attempt_id", attempt_id)?;
        map.put_some("batch", batch.as_ref())?;
        map.put("book_version", book_version)?;
        map.put("class", class)?;
        map.put_some("corrects", corrects.as_ref())?;
        map.put("currency", currency)?;
        map.put("customer", customer)?;
        map.put_some("end_user", end_user.as_ref())?;
        map.put("endpoint", endpoint)?;
        map.put_some("error_class", error_class.as_ref())?;
        map.put("features", features)?;
        map.put_some("finished_at", finished_at.as_ref())?;
        map.put_some("first_byte_at", first_byte_at.as_ref())?;
        map.put("flags", flags)?;
        map.put("held", held)?;
        map.put("key_id", key_id)?;
        map.put("lines", &Lines(lines))?;
        map.put("mode", mode)?;
        map.put("model", model)?;
        map.put_some("outcome", outcome.as_ref())?;
        map.put_some("outcome_of", outcome_of.as_ref())?;
        map.put_some("plan", plan.as_ref())?;
        map.put("prev", prev)?;
        map.put_some("previous", previous.as_ref())?;
        map.put("private", private)?;
        map.put("quantities", quantities)?;
        map.put("received_at", received_at)?;
        map.put("recorded_at", recorded_at)?;
        map.put_some("region", region.as_ref())?;
        map.put("request_id", request_id)?;
        map.put("seq", seq)?;
        map.put_some("served_model", served_model.as_ref())?;
        map.put_some("served_tier", served_tier.as_ref())?;
        map.put_some("service_tier", service_tier.as_ref())?;
        map.put("stream", stream)?;
        map.put_some("sub_usage", Some(sub_usage).filter(|list| !list.is_empty()))?;
        map.put_some("unknown", Some(unknown).filter(|list| !list.is_empty()))?;
        map.put_some("unpriced", Some(unpriced).filter(|list| !list.is_empty()))?;
        map.put_some("upstream_status", upstream_status.as_ref())?;
        map.put("v", v)?;
        map.0.end()
    }
}

struct Members<M>(M);

impl<M: SerializeMap> Members<M> {
    fn put(&mut self, name: &'static str, value: &impl Serialize) -> Result<(), M::Error> {
        self.0.serialize_entry(name, value)
    }

    fn put_some(
        &mut self,
        name: &'static str,
        value: Option<&impl Serialize>,
    ) -> Result<(), M::Error> {
        value.map_or(Ok(()), |value| self.put(name, value))
    }
}

/// Lines elsewhere read as the arithmetic does, `quantity`, `rate`, `per`, `amount`; on a record
/// they too are in order.
struct Lines<'a>(&'a [rating::Line]);

impl Serialize for Lines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Line))
    }
}

struct Line<'a>(&'a rating::Line);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rating::Line { meter, quantity, rate, per, amount } = self.0;
        let mut map = Members(serializer.serialize_map(None)?);
        map.put("amount", amount)?;
        map.put("meter", meter)?;
        map.put("per", per)?;
        map.put("quantity", quantity)?;
        map.put("rate", rate)?;
        map.0.end()
    }
}

/// For the lines of a part of a record.
pub(super) fn lines<S: Serializer>(lines: &[rating::Line], to: S) -> Result<S::Ok, S::Error> {
    Lines(lines).serialize(to)
}

struct Detail<'a>(&'a charge::Line);

impl Serialize for Detail<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let charge::Line { quantity, unit_price, amount, kind, inexact } = self.0;
        let mut map = Members(serializer.serialize_map(None)?);
        map.put("amount", amount)?;
        map.put_some("inexact", Some(inexact).filter(|is_inexact| **is_inexact))?;
        map.put_some("kind", Some(kind).filter(|kind| !kind.is_usage()))?;
        map.put("quantity", quantity)?;
        map.put_some("unit_price", unit_price.as_ref())?;
        map.0.end()
    }
}

/// For the arithmetic of a plan's charge.
pub(super) fn details<S: Serializer>(lines: &[charge::Line], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(lines.iter().map(Detail))
}
