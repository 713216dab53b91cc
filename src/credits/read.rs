//! A log of credit from JSON, with every fault and where it is.

use super::{Act, Beyond, BurnOrder, Eligible, Entry, Grant, On, Policy, Recurring, Source};
use crate::calendar::{Calendar, Every};
use crate::clock::Timestamp;
use crate::money::Exact;
use crate::strict::{Faults, Object, Spot};

/// Most entries of a log that is replayed at once.
pub const ENTRIES_MAX: usize = 1_000_000;
/// Most names a grant is limited to.
const NAMES_MAX: usize = 1_000;

/// A log and how to replay it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// What the operator decides about credit.
    pub policy: Policy,
    /// The instant the balance is asked for.
    pub until: Timestamp,
    /// The entries, in any order.
    pub entries: Vec<Entry>,
}

impl Log {
    /// Reads `{"until", "log", "burn_order"?, "owed_at_most"?}`. An entry is `{"at", …}` with one of
    /// `grant`, `recur`, `void`, `use`, `hold` and `settle`.
    pub fn parse(json: &str) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let log = read(json, &mut faults);
        faults.unless(log)
    }
}

fn read(json: &str, faults: &mut Faults) -> Option<Log> {
    let mut object = Spot::root(json, faults)?.object(faults)?;
    let until = object.need_time("until", faults);
    let order = match object.take("burn_order") {
        Some(spot) => spot.one_of(&BurnOrder::NAMES, faults),
        None => Some(BurnOrder::default()),
    };
    let owed = object.amount("owed_at_most", faults);
    let mut entries = Vec::new();
    for spot in object.items("log", ENTRIES_MAX, faults) {
        entries.extend(entry(&spot, faults));
    }
    object.done(faults);
    let policy = Policy { order: order?, beyond: owed.map_or(Beyond::Uncovered, Beyond::Owed) };
    Some(Log { policy, until: until?, entries })
}

type Read = fn(&Spot, Timestamp, &mut Faults) -> Option<Act>;

const ACTS: [(&str, Read); 6] = [
    ("grant", |spot, at, faults| {
        let mut object = spot.object(faults)?;
        let grant = grant(&mut object, at, faults);
        object.done(faults);
        Some(Act::Grant(grant?))
    }),
    ("recur", recur),
    ("void", |spot, _, faults| Some(Act::Void { grant: spot.text(faults)? })),
    ("use", |spot, _, faults| {
        let (id, amount, on) = spent(spot, faults)?;
        Some(Act::Use { id, amount, on })
    }),
    ("hold", |spot, _, faults| {
        let (id, amount, on) = spent(spot, faults)?;
        Some(Act::Hold { id, amount, on })
    }),
    ("settle", |spot, _, faults| {
        let mut object = spot.object(faults)?;
        let hold = object.need_text("hold", faults);
        let amount = object.need_amount("amount", faults);
        object.done(faults);
        Some(Act::Settle { hold: hold?, amount: amount? })
    }),
];

fn entry(spot: &Spot, faults: &mut Faults) -> Option<Entry> {
    let mut object = spot.object(faults)?;
    let at = object.need_time("at", faults);
    let given: Vec<_> = ACTS.iter().filter(|(name, _)| object.has(name)).collect();
    let act = if let [(name, read)] = given.as_slice() {
        let spot = object.take(name)?;
        read(&spot, at.unwrap_or(Timestamp::from_ms(0)), faults)
    } else {
        let names = ACTS.map(|(name, _)| name).join(", ");
        faults.invalid(&spot.path, format!("needs exactly one of {names}"));
        None
    };
    object.done(faults);
    Some(Entry { at: at?, act: act? })
}

fn grant(object: &mut Object, at: Timestamp, faults: &mut Faults) -> Option<Grant> {
    let id = object.need_text("id", faults);
    let source = object.need("source", faults).and_then(|spot| spot.one_of(&Source::NAMES, faults));
    let amount = object.need_amount("amount", faults);
    let cost_basis = object.amount("cost_basis", faults).unwrap_or_default();
    let priority_at = object.at("priority");
    let priority = object.amount("priority", faults).unwrap_or_default().to_u64();
    if priority.is_none() {
        faults.invalid(priority_at, "must be a whole number");
    }
    let starts = object.time("starts", faults).unwrap_or(at);
    let expires = object.time("expires", faults);
    let eligible = Eligible {
        meters: object.texts("meters", NAMES_MAX, faults),
        models: object.texts("models", NAMES_MAX, faults),
    };
    Some(Grant {
        id: id?,
        source: source?,
        amount: amount?,
        cost_basis,
        priority: priority?,
        created: at,
        starts,
        expires,
        eligible,
    })
}

fn recur(spot: &Spot, at: Timestamp, faults: &mut Faults) -> Option<Act> {
    let mut object = spot.object(faults)?;
    let every = object.need("every", faults).and_then(|spot| spot.one_of(&Every::NAMES, faults));
    let zone = object.text("zone", faults).unwrap_or_else(|| "UTC".to_owned());
    let anchor = object.time("anchor", faults);
    let rollover_cap = object.amount("rollover_cap", faults);
    let grant = grant(&mut object, at, faults);
    let zone_at = object.at("zone");
    object.done(faults);
    let (every, grant) = (every?, grant?);
    let calendar = Calendar::new(&zone, anchor.unwrap_or(grant.starts), every);
    let calendar = calendar.map_err(|error| faults.invalid(zone_at, error.to_string())).ok()?;
    Some(Act::Recur(Recurring { grant, calendar, rollover_cap }))
}

fn spent(spot: &Spot, faults: &mut Faults) -> Option<(String, Exact, On)> {
    let mut object = spot.object(faults)?;
    let id = object.need_text("id", faults);
    let amount = object.need_amount("amount", faults);
    let meter = object.need_text("meter", faults);
    let model = object.text("model", faults);
    object.done(faults);
    Some((id?, amount?, On { meter: meter?, model }))
}
