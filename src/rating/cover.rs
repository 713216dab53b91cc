//! Which meters are parts of which, and a usage without what somebody else prices.

use crate::money::{Exact, OutOfRange};
use crate::wire::usage::{Meter, Usage};

/// The meter that this one is a part of.
fn whole(meter: Meter) -> Option<Meter> {
    Some(match meter {
        Meter::InputUncached | Meter::CacheRead | Meter::CacheWrite => Meter::InputTotal,
        Meter::CacheWrite5m | Meter::CacheWrite1h => Meter::CacheWrite,
        Meter::CacheReadText | Meter::CacheReadAudio | Meter::CacheReadImage => Meter::CacheRead,
        Meter::TextIn
        | Meter::AudioIn
        | Meter::ImageIn
        | Meter::VideoIn
        | Meter::DocumentIn
        | Meter::ToolPrompt => Meter::InputUncached,
        Meter::Reasoning
        | Meter::TextOut
        | Meter::AudioOut
        | Meter::ImageOut
        | Meter::AcceptedPrediction
        | Meter::RejectedPrediction => Meter::OutputTotal,
        _ => return None,
    })
}

/// The meter and all that it is a part of, from the inside out.
fn wholes(meter: Meter) -> impl Iterator<Item = Meter> {
    core::iter::successors(Some(meter), |meter| whole(*meter))
}

/// The total that a meter is a part of: `input_total`, `output_total`, or the meter itself.
pub fn total_of(meter: Meter) -> Meter {
    wholes(meter).last().unwrap_or(meter)
}

/// A usage without the meters in `covered` and their parts; what they were a part of is less by them.
pub fn without(usage: &Usage, covered: &[Meter]) -> Result<Usage, OutOfRange> {
    let is_covered = |meter: Meter| wholes(meter).any(|whole| covered.contains(&whole));
    let mut rest = Usage::default();
    for (meter, measured) in usage.iter().filter(|(meter, _)| !is_covered(*meter)) {
        let mut quantity = measured.quantity;
        for part in covered.iter().filter(|part| wholes(**part).skip(1).any(|it| it == meter)) {
            // A part of a part that is covered itself was taken off with that.
            let inside = |whole: &Meter| *whole != meter && covered.contains(whole);
            let counted = wholes(*part).skip(1).take_while(|it| *it != meter).any(|it| inside(&it));
            if !counted {
                quantity = quantity.minus(usage.get(*part).unwrap_or_default())?;
            }
        }
        rest.set(meter, quantity.max(Exact::ZERO), measured.provenance);
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::usage::Provenance;

    fn usage(quantities: &[(Meter, u64)]) -> Usage {
        let mut usage = Usage::default();
        for (meter, quantity) in quantities {
            usage.set(*meter, Exact::from(*quantity), Provenance::Reported);
        }
        usage
    }

    #[test]
    fn what_a_plan_prices_is_gone_from_the_total_and_from_all_of_its_parts() {
        let used = usage(&[
            (Meter::InputTotal, 100),
            (Meter::InputUncached, 70),
            (Meter::CacheRead, 30),
            (Meter::OutputTotal, 20),
            (Meter::Reasoning, 5),
            (Meter::Requests, 1),
        ]);
        type Quantities = &'static [(Meter, u64)];
        let table: [(&[Meter], Quantities); 3] = [
            (&[Meter::InputTotal, Meter::OutputTotal, Meter::CacheRead], &[(Meter::Requests, 1)]),
            (
                &[Meter::CacheRead, Meter::Reasoning, Meter::Requests],
                &[(Meter::InputTotal, 70), (Meter::InputUncached, 70), (Meter::OutputTotal, 15)],
            ),
            (
                &[Meter::InputUncached],
                &[
                    (Meter::InputTotal, 30),
                    (Meter::CacheRead, 30),
                    (Meter::OutputTotal, 20),
                    (Meter::Reasoning, 5),
                    (Meter::Requests, 1),
                ],
            ),
        ];
        for (covered, want) in table {
            assert_eq!(without(&used, covered).unwrap(), usage(want), "{covered:?}");
        }
        assert_eq!(total_of(Meter::CacheWrite1h), Meter::InputTotal);
        assert_eq!(total_of(Meter::Seconds), Meter::Seconds);
    }
}
