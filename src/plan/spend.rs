//! What happens to amounts once they are known: credits, discounts, commitments, grants of money.

use super::balances::balance;
use super::rules::{CommitmentCounts, DiscountOrder, MinimumInPart};
use super::{
    Balance, By, Commitment, CommitmentKind, Discount, LineKind, Plan, PlanGrant, Usage, Where,
    fault,
};
use crate::calendar::Calendar;
use crate::clock::Timestamp;
use crate::credits::{self, Act, Beyond, Eligible, Entry, Grant, On, Policy, Recurring, Source};
use crate::money::{Exact, OutOfRange, Ratio, Rounding};
use crate::rating::charge;
use crate::strict::Fault;

/// A line before it is rounded.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub id: String,
    pub kind: LineKind,
    pub dimensions: Where,
    pub meter: Option<String>,
    pub quantity: Option<Exact>,
    /// What the line adds.
    pub exact: Ratio,
    /// What is left of it to be paid, after discounts, commitments and grants so far.
    pub net: Ratio,
    pub credits: Option<Exact>,
    pub cost: Option<Ratio>,
    /// The lines a discount lowers, and by how much.
    pub shares: Vec<(usize, Ratio)>,
    pub detail: Vec<charge::Line>,
}

impl Draft {
    pub fn new(id: &str, kind: LineKind, amount: Ratio) -> Self {
        Self {
            id: id.to_owned(),
            kind,
            dimensions: Where::new(),
            meter: None,
            quantity: None,
            exact: amount,
            net: amount,
            credits: None,
            cost: None,
            shares: Vec::new(),
            detail: Vec::new(),
        }
    }

    fn on(&self) -> On {
        On {
            meter: self.meter.clone().unwrap_or_default(),
            model: self.dimensions.get("model").cloned(),
        }
    }
}

/// Spends credits on the charges that are priced in them; what no grant covers is billed at the
/// credit's worth, or refused where it has none.
pub(super) fn burn_credits(
    plan: &Plan,
    usage: &Usage,
    drafts: &mut Vec<Draft>,
) -> Result<Vec<Balance>, Fault> {
    let Some(credit) = &plan.credit else { return Ok(Vec::new()) };
    let needs: Vec<(usize, Exact)> = drafts
        .iter()
        .enumerate()
        .filter_map(|(at, draft)| draft.credits.map(|credits| (at, credits)))
        .collect();
    let (burnt, balances) = burn(plan, usage, true, drafts, &needs)?;
    let mut over = Vec::new();
    for ((at, _), uncovered) in needs.iter().zip(burnt) {
        let Some(draft) = drafts.get(*at).filter(|_| !uncovered.is_zero()) else { continue };
        let Some(worth) = credit.worth else {
            let message = format!("{uncovered} more {} are needed than were granted", credit.name);
            return Err(fault("credits_exhausted", &draft.id, message));
        };
        let amount = Ratio::from(uncovered).times(worth.into())?;
        let mut line = Draft::new(&draft.id, LineKind::CreditOverage, amount);
        (line.quantity, line.meter) = (Some(uncovered), draft.meter.clone());
        line.dimensions.clone_from(&draft.dimensions);
        over.push(line);
    }
    drafts.append(&mut over);
    Ok(balances)
}

/// Spends grants of money on what is left of the charges.
pub(super) fn burn_money(
    plan: &Plan,
    usage: &Usage,
    drafts: &mut Vec<Draft>,
) -> Result<Vec<Balance>, Fault> {
    // Credit pays whole units of the currency's smallest coin, so that no line pays a fraction.
    let needs = drafts
        .iter()
        .enumerate()
        .filter(|(_, draft)| draft.meter.is_some() && !draft.net.is_negative())
        .map(|(at, draft)| Ok((at, draft.net.rounded(plan.places, plan.rules.rounding)?)))
        .collect::<Result<Vec<_>, OutOfRange>>()?;
    let (burnt, balances) = burn(plan, usage, false, drafts, &needs)?;
    let (mut paid, mut shares) = (Ratio::ZERO, Vec::new());
    for ((at, need), uncovered) in needs.iter().zip(burnt) {
        let part = need.minus(uncovered)?;
        if !part.is_zero() {
            paid = paid.minus(part.into())?;
            shares.push((*at, part.into()));
        }
    }
    if !paid.is_zero() {
        let mut line = Draft::new("grants", LineKind::Grant, paid);
        line.shares = shares;
        drafts.push(line);
    }
    Ok(balances)
}

/// Replays the plan's grants and the needs as one log; answers what of each need is uncovered.
fn burn(
    plan: &Plan,
    usage: &Usage,
    in_credits: bool,
    drafts: &[Draft],
    needs: &[(usize, Exact)],
) -> Result<(Vec<Exact>, Vec<Balance>), Fault> {
    let at = usage.period.map_or(Timestamp::from_ms(0), |period| period.start);
    let grants = || plan.grants.iter().filter(|grant| grant.in_credits == in_credits);
    let granted = |planned: &PlanGrant| {
        let amount = usage.granted.get(&planned.id).copied().unwrap_or(planned.amount);
        Entry { at, act: Act::Grant(grant(planned, amount, at)) }
    };
    let mut log: Vec<Entry> = grants().map(granted).collect();
    let name = |line: usize| format!("line {line:08}");
    for (line, amount) in needs {
        let on = drafts.get(*line).map(Draft::on).unwrap_or_default();
        log.push(Entry { at, act: Act::Use { id: name(*line), amount: *amount, on } });
    }
    let policy = Policy { order: plan.rules.burn_order, beyond: Beyond::Uncovered };
    let replayed = credits::replay(&log, policy, at)
        .map_err(|error| fault("invalid_value", "grants", error.to_string()))?;
    let uncovered = needs.iter().map(|(line, _)| {
        replayed.covered.get(&name(*line)).map_or(Exact::ZERO, |covered| covered.uncovered)
    });
    let balances = replayed
        .grants
        .values()
        .map(|state| balance(&state.grant.id, "grant", state.grant.amount, state.spent));
    Ok((uncovered.collect(), balances.collect::<Result<_, _>>()?))
}

/// The grants of a plan as entries of a log: once, or every period.
pub(super) fn grant_entries(
    plan: &Plan,
    calendar: &Calendar,
    from: Timestamp,
    wanted: impl Fn(&PlanGrant) -> bool,
) -> Vec<Entry> {
    let entry = |planned: &PlanGrant| {
        let mut grant = grant(planned, planned.amount, from);
        let act = if planned.once {
            let after = planned.expires_after_periods.zip(calendar.around(from));
            grant.expires =
                after.and_then(|(periods, (n, _))| calendar.edge(n.saturating_add(periods)));
            Act::Grant(grant)
        } else {
            let (calendar, rollover_cap) = (calendar.clone(), planned.rollover_cap);
            Act::Recur(Recurring { grant, calendar, rollover_cap })
        };
        Entry { at: from, act }
    };
    plan.grants.iter().filter(|grant| wanted(grant)).map(entry).collect()
}

fn grant(planned: &PlanGrant, amount: Exact, at: Timestamp) -> Grant {
    Grant {
        id: planned.id.clone(),
        source: planned.source,
        amount,
        cost_basis: match planned.source {
            Source::Paid => Exact::from(1),
            Source::Promotional => Exact::ZERO,
        },
        priority: planned.priority,
        created: at,
        starts: at,
        expires: None,
        eligible: Eligible { meters: planned.meters.clone(), models: planned.models.clone() },
    }
}

/// Lowers lines by the plan's discounts; each is one line of its own.
pub(super) fn discount(plan: &Plan, drafts: &mut Vec<Draft>) -> Result<(), Fault> {
    let mut discounts: Vec<&Discount> = plan.discounts.iter().collect();
    if plan.rules.discount_order == DiscountOrder::PercentFirst {
        // Stable: within a kind as listed.
        discounts.sort_by_key(|discount| matches!(discount.by, By::Amount(_)));
    }
    for discount in discounts {
        let targets =
            targets(drafts, |draft| discount.on.is_empty() || discount.on.contains(&draft.id));
        let base = net(drafts, &targets)?;
        let off = match &discount.by {
            By::Percent(percent) => {
                base.times(Ratio::from(*percent).over(Exact::from(100).into())?)?
            }
            By::Amount(amount) => Ratio::from(*amount).min(base),
            By::Charge(charge) => {
                // Volume is measured in money that can be paid.
                let spend = base.rounded(plan.places, plan.rules.rounding)?;
                let input = charge::Input { quantity: Some(spend), amounts: None };
                charge.price_to(&input, plan.places, plan.rules.rounding)?.0.min(base)
            }
        };
        take_off(&discount.id, LineKind::Discount, off, base, &targets, drafts)?;
    }
    Ok(())
}

/// The lines that something may lower: fees and usage that `wanted` picks.
fn targets(drafts: &[Draft], wanted: impl Fn(&Draft) -> bool) -> Vec<usize> {
    let payable = |draft: &Draft| {
        matches!(draft.kind, LineKind::Fee | LineKind::Charge | LineKind::CreditOverage)
            && !draft.net.is_negative()
    };
    let picked = drafts.iter().enumerate().filter(|(_, draft)| payable(draft) && wanted(draft));
    picked.map(|(at, _)| at).collect()
}

fn net(drafts: &[Draft], lines: &[usize]) -> Result<Ratio, OutOfRange> {
    Ratio::sum(lines.iter().filter_map(|at| drafts.get(*at)).map(|draft| draft.net))
}

/// Adds a line of minus `off` and takes each target's share of it from its net.
fn take_off(
    id: &str,
    kind: LineKind,
    off: Ratio,
    base: Ratio,
    targets: &[usize],
    drafts: &mut Vec<Draft>,
) -> Result<(), OutOfRange> {
    if off.is_zero() {
        return Ok(());
    }
    let mut line = Draft::new(id, kind, Ratio::ZERO.minus(off)?);
    for at in targets {
        let Some(draft) = drafts.get_mut(*at) else { continue };
        let part = off.times(draft.net)?.over(base)?;
        draft.net = draft.net.minus(part)?;
        line.shares.push((*at, part));
    }
    drafts.push(line);
    Ok(())
}

/// Commitments: what is drawn from them, what overage costs more, what falls short.
pub(super) fn commit(
    plan: &Plan,
    usage: &Usage,
    share: Ratio,
    drafts: &mut Vec<Draft>,
) -> Result<Vec<Balance>, Fault> {
    let mut balances = Vec::new();
    for commitment in &plan.commitments {
        let targets = targets(drafts, |draft| {
            draft.kind != LineKind::Fee
                && (commitment.on.is_empty() || commitment.on.contains(&draft.id))
        });
        let spend = match plan.rules.commitment_counts {
            CommitmentCounts::Net => net(drafts, &targets)?,
            CommitmentCounts::Gross => Ratio::sum(
                targets.iter().filter_map(|at| drafts.get(*at)).map(|draft| draft.exact),
            )?,
        };
        let whole = match (commitment.kind, plan.rules.minimum_in_part) {
            (CommitmentKind::Minimum, MinimumInPart::Prorated) => {
                Ratio::from(commitment.amount).times(share)?
            }
            _ => commitment.amount.into(),
        };
        let before = match commitment.kind {
            CommitmentKind::Minimum => Exact::ZERO,
            _ => usage.spent_before.get(&commitment.id).copied().unwrap_or_default(),
        };
        let term = Term { commitment, whole, before: before.into(), spend };
        term.settle(usage, &targets, drafts)?;
        let used = term.before.plus(spend)?.rounded(plan.places, Rounding::HalfUp)?;
        balances.push(balance(&commitment.id, "commitment", commitment.amount, used)?);
    }
    Ok(balances)
}

struct Term<'a> {
    commitment: &'a Commitment,
    /// What is committed for this period, or for the contract.
    whole: Ratio,
    /// What of it was spent before.
    before: Ratio,
    /// What counts now.
    spend: Ratio,
}

impl Term<'_> {
    fn settle(
        &self,
        usage: &Usage,
        targets: &[usize],
        drafts: &mut Vec<Draft>,
    ) -> Result<(), OutOfRange> {
        let id = &self.commitment.id;
        let left = positive(self.whole.minus(self.before)?);
        let beyond = positive(self.spend.minus(left)?);
        if self.commitment.kind == CommitmentKind::Prepaid {
            let base = net(drafts, targets)?;
            let drawn = left.min(base);
            take_off(id, LineKind::Drawdown, drawn, base, targets, drafts)?;
        }
        if let Some(factor) = self.commitment.overage_factor {
            let more = beyond.times(factor.minus(Exact::from(1))?.into())?;
            push(id, LineKind::CommitmentOverage, more, drafts);
        }
        let due = match self.commitment.kind {
            CommitmentKind::Minimum => true,
            CommitmentKind::TrueUp => usage.last,
            // It was paid for ahead.
            CommitmentKind::Prepaid => false,
        };
        if due {
            push(id, LineKind::Shortfall, positive(left.minus(self.spend)?), drafts);
        }
        Ok(())
    }
}

fn positive(number: Ratio) -> Ratio {
    if number.is_negative() { Ratio::ZERO } else { number }
}

fn push(id: &str, kind: LineKind, amount: Ratio, drafts: &mut Vec<Draft>) {
    if !amount.is_zero() {
        drafts.push(Draft::new(id, kind, amount));
    }
}

/// Splits `amount` in proportion to `weights`, in whole units of `places` digits, so that the parts
/// add up to it: each part is rounded down, and the units that are left go to the largest remainders,
/// of equal ones to the first.
///
/// ```
/// use farebox::{money::Exact, plan::allocate};
/// let parts = allocate("0.10".parse().unwrap(), &[Exact::from(1).into(); 3], 2).unwrap();
/// let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
/// assert_eq!(parts, ["0.04", "0.03", "0.03"]);
/// ```
pub fn allocate(amount: Exact, weights: &[Ratio], places: u32) -> Result<Vec<Exact>, OutOfRange> {
    let total = Ratio::sum(weights.iter().copied())?;
    let mut parts = Vec::with_capacity(weights.len());
    let mut rests = Vec::with_capacity(weights.len());
    for weight in weights {
        let part = Ratio::from(amount).times(*weight)?.over(total)?;
        let whole = part.rounded(places, Rounding::Down)?;
        rests.push((rests.len(), part.minus(whole.into())?));
        parts.push(whole);
    }
    let unit =
        Ratio::from(Exact::from(1)).over(Exact::from(10_u64.saturating_pow(places)).into())?;
    let mut left = amount.minus(Exact::sum(parts.iter().copied())?)?;
    let unit = if left.is_negative() { Ratio::ZERO.minus(unit)? } else { unit }.exact()?;
    // The largest remainders first; a stable sort keeps equal ones in order.
    rests.sort_by(|(_, a), (_, b)| if left.is_negative() { a.cmp(b) } else { b.cmp(a) });
    for (at, _) in rests {
        if left.is_zero() {
            break;
        }
        let Some(part) = parts.get_mut(at) else { continue };
        // What is finer than a unit goes whole to one part.
        let step = if left.is_negative() { left.max(unit) } else { left.min(unit) };
        *part = part.plus(step)?;
        left = left.minus(step)?;
    }
    Ok(parts)
}
