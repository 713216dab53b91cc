//! A borrowed JSON tree that refuses what two parsers could read differently.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Keys up to which duplicates are looked for pair by pair; above, through a set.
const FEW_KEYS: usize = 16;

#[derive(Debug)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    /// A whole number that fits; anything else numeric is `Number`.
    Whole(u64),
    Number,
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Most values in one body: a tree of so many takes some 30 MB, a quarter of an isolate, and the
/// longest prompts given as token numbers have half as many.
const VALUES_MAX: usize = 500_000;

/// Whether a body has more values than a tree may. Counts what separates them, without a tree.
pub(super) fn is_too_rich(body: &[u8]) -> bool {
    let (mut values, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => values = values.saturating_add(1),
            _ => {}
        }
    }
    values > VALUES_MAX
}

impl<'a> Json<'a> {
    /// The value of a key; `null` counts as absent, as it does in both APIs.
    pub fn get(&self, key: &str) -> Option<&Json<'a>> {
        let Self::Object(fields) = self else { return None };
        let (_, value) = fields.iter().find(|(name, _)| name == key)?;
        if matches!(value, Self::Null) { None } else { Some(value) }
    }

    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub fn list(&self) -> &[Json<'a>] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// A list's items; a lone value is read as a list of one, as Google's servers do.
    pub fn one_or_more(&self) -> &[Json<'a>] {
        if let Self::List(items) = self { items } else { core::slice::from_ref(self) }
    }

    /// Calls `visit` with every string value in here, however deep.
    pub fn each_text(&self, visit: &mut impl FnMut(&str)) {
        match self {
            Self::Text(text) => visit(text),
            Self::List(items) => items.iter().for_each(|item| item.each_text(visit)),
            Self::Object(fields) => fields.iter().for_each(|(_, value)| value.each_text(visit)),
            Self::Null | Self::Bool(_) | Self::Whole(_) | Self::Number => {}
        }
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Whole(value))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Json<'de>, E> {
        Ok(Json::Number)
    }
    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, Json<'de>)> = Vec::new();
        let mut seen: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(Key(key)) = map.next_key()? {
            let twice = if fields.len() < FEW_KEYS {
                fields.iter().any(|(name, _)| *name == key)
            } else {
                if seen.is_empty() {
                    seen.extend(fields.iter().map(|(name, _)| name.clone()));
                }
                !seen.insert(key.clone())
            };
            if twice {
                return Err(de::Error::custom("a key is given twice in one object"));
            }
            let value = map.next_value()?;
            fields.push((key, value));
        }
        Ok(Json::Object(fields))
    }
}

/// A key, borrowed where it holds no escape.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
