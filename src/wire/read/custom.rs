//! An operator's own extractor: JSON pointers → meters, given in configuration, without a deploy.

use serde::{Deserialize, Serialize};

use super::answer::{Answer, add_usage};
use super::counts::Counts;
use crate::wire::json::Node;
use crate::wire::usage::{Meter, Usage};

/// Most fields of one extractor; each is looked for in every event.
const FIELDS_MAX: usize = 64;
/// Longest pointer.
const POINTER_MAX: usize = 256;

/// An extractor as it is written down. An unknown field in it is an error.
///
/// ```
/// use farebox::wire::read::Custom;
/// let text = r#"{"name": "acme", "mode": "cumulative", "fields": [
///     {"pointer": "/stats/in", "meter": "input_total"},
///     {"pointer": "/stats/audio_ms", "meter": "seconds", "divide_by": "1000"}]}"#;
/// let custom: Custom = serde_json::from_str(text).unwrap();
/// assert_eq!(custom.check(), []);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Custom {
    /// What to call it.
    pub name: String,
    /// What a later report means.
    pub mode: Mode,
    /// Only events in which this holds are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// Where the served model's name stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the quantities stand.
    pub fields: Vec<Field>,
}

/// What a later report means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It replaces the earlier one: the last counts.
    Cumulative,
    /// It comes on top: all add up.
    Additive,
}

/// A condition on an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Where to look, as an RFC 6901 JSON pointer.
    pub pointer: String,
    /// The string that must stand there.
    pub equals: String,
}

/// One quantity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Where it stands, as an RFC 6901 JSON pointer.
    pub pointer: String,
    /// What it is.
    pub meter: Meter,
    /// What it is divided by to be in the meter's unit: `"1000"` for milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divide_by: Option<crate::money::Exact>,
}

/// What is wrong with an extractor, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A JSON pointer into the extractor.
    pub path: String,
    /// For the operator.
    pub message: String,
}

impl When {
    fn holds(&self, root: &Node) -> bool {
        let found = root.pointer(&self.pointer);
        matches!(found, Some(Node::Text(text)) if **text == *self.equals)
    }
}

impl Custom {
    /// All that is wrong with it; empty where it may be used.
    pub fn check(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |path: String, message: &str| {
            faults.push(Fault { path, message: message.to_owned() });
        };
        if self.name.is_empty() {
            fault("/name".into(), "a name is needed");
        }
        if self.fields.is_empty() || self.fields.len() > FIELDS_MAX {
            fault("/fields".into(), "1 to 64 fields are needed");
        }
        for (at, field) in self.fields.iter().enumerate() {
            if matches!(field.meter, Meter::Requests) {
                fault(format!("/fields/{at}/meter"), "requests are counted by the gate");
            }
            if self.fields.iter().take(at).any(|other| other.meter == field.meter) {
                fault(format!("/fields/{at}/meter"), "this meter has a field already");
            }
            if field.divide_by.is_some_and(|by| by <= crate::money::Exact::ZERO) {
                fault(format!("/fields/{at}/divide_by"), "must be more than zero");
            }
        }
        let when = self.when.iter().map(|when| ("/when/pointer".to_owned(), &when.pointer));
        let model = self.model.iter().map(|model| ("/model".to_owned(), model));
        let fields = self.fields.iter().enumerate();
        let fields = fields.map(|(at, field)| (format!("/fields/{at}/pointer"), &field.pointer));
        for (path, pointer) in when.chain(model).chain(fields) {
            if let Some(message) = wrong_pointer(pointer) {
                fault(path, message);
            }
        }
        faults
    }

    /// Every place it looks at.
    pub(super) fn pointers(&self) -> impl Iterator<Item = &str> {
        let when = self.when.iter().map(|when| when.pointer.as_str());
        when.chain(self.model.as_deref()).chain(self.fields.iter().map(|f| f.pointer.as_str()))
    }

    /// Reads one event or answer.
    pub(super) fn read(&self, root: &Node, answer: &mut Answer) {
        if self.when.as_ref().is_some_and(|when| !when.holds(root)) {
            return;
        }
        let model = self.model.as_ref().and_then(|pointer| root.pointer(pointer));
        if let Some(Node::Text(model)) = model
            && !model.is_empty()
        {
            answer.set_model(Some(model));
        }
        let usage = self.quantities(root, &mut answer.suspect);
        if usage.is_empty() {
            return;
        }
        answer.usage_present = true;
        answer.content_since = false;
        match self.mode {
            Mode::Cumulative => {
                for (meter, measured) in usage.iter() {
                    answer.suspect |= answer.custom.get(meter) > Some(measured.quantity);
                    answer.custom.set(meter, measured.quantity, measured.provenance);
                }
            }
            Mode::Additive => answer.suspect |= !add_usage(&mut answer.custom, &usage),
        }
    }

    fn quantities(&self, root: &Node, suspect: &mut bool) -> Usage {
        let mut counts = Counts::default();
        for field in &self.fields {
            let Some(node) = root.pointer(&field.pointer) else { continue };
            counts.put(field.meter, node);
            if let (Some(by), Some(quantity)) = (field.divide_by, counts.usage.get(field.meter)) {
                counts.usage.remove(field.meter);
                match quantity.over(by) {
                    Ok(quotient) => counts.set(field.meter, quotient),
                    Err(_) => counts.suspect = true,
                }
            }
        }
        *suspect |= counts.suspect;
        counts.usage
    }
}

fn wrong_pointer(pointer: &str) -> Option<&'static str> {
    let escapes_badly = pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1']));
    if pointer.len() > POINTER_MAX {
        Some("a pointer is at most 256 bytes long")
    } else if !pointer.starts_with('/') {
        Some("a JSON pointer begins with a slash")
    } else if escapes_badly {
        Some("in a JSON pointer a tilde is written ~0 and a slash ~1")
    } else {
        None
    }
}
