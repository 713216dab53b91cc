//! Rates by meter, and the arithmetic of one rate.

use core::fmt;
use core::marker::PhantomData;
use std::collections::BTreeMap;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::money::{Exact, OutOfRange};
use crate::wire::usage::Meter;

/// So much money per so many units of the meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// The price of `per` units.
    pub amount: Exact,
    /// How many units that buys; `1000000` for a price per million tokens.
    pub per: Exact,
}

/// Rates by meter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Rates(pub BTreeMap<Meter, Rate>);

/// Rates by service tier: `batch`, `flex`, `priority`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Tiers(pub BTreeMap<String, Rates>);

impl Rate {
    /// What `quantity` costs at this rate; exact, or out of range.
    pub fn price(&self, quantity: Exact) -> Result<Exact, OutOfRange> {
        self.amount.times(quantity)?.over(self.per)
    }
}

impl Rates {
    /// The rate of exactly this meter.
    pub fn get(&self, meter: Meter) -> Option<&Rate> {
        self.0.get(&meter)
    }

    /// Whether it prices nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Tiers {
    /// The rates of exactly this tier.
    pub fn get(&self, tier: &str) -> Option<&Rates> {
        self.0.get(tier)
    }

    /// Whether only the default tier is sold.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<const N: usize> From<[(String, Rates); N]> for Tiers {
    fn from(tiers: [(String, Rates); N]) -> Self {
        Self(tiers.into())
    }
}

/// A rate as it is written: the unit may be spelt out, and must then be the meter's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    amount: Exact,
    per: Exact,
    #[serde(default)]
    unit: Option<String>,
}

impl<'de> Deserialize<'de> for Rates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = once::<Meter, Written, D>(deserializer)?;
        let mut rates = BTreeMap::new();
        for (meter, Written { amount, per, unit }) in written {
            if let Some(unit) = unit.filter(|unit| unit != meter.unit()) {
                return Err(D::Error::custom(format_args!(
                    "{} is counted in units of one {}, not {unit:?}",
                    meter.as_str(),
                    meter.unit()
                )));
            }
            rates.insert(meter, Rate { amount, per });
        }
        Ok(Self(rates))
    }
}

impl<'de> Deserialize<'de> for Tiers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        once(deserializer).map(Self)
    }
}

/// Reads a JSON object in which no key may come twice: the later of two prices must not win
/// silently.
pub(crate) fn once<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    K: Deserialize<'de> + Ord + fmt::Debug,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_map(Once(PhantomData))
}

struct Once<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord + fmt::Debug, V: Deserialize<'de>> Visitor<'de> for Once<K, V> {
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<K>()? {
            if entries.contains_key(&key) {
                return Err(A::Error::custom(format_args!("{key:?} is given twice")));
            }
            entries.insert(key, map.next_value()?);
        }
        Ok(entries)
    }
}

/// The most that is held of each meter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Caps(pub BTreeMap<Meter, Exact>);
