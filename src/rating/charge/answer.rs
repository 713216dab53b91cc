//! One line of `farebox rate` in, one out: the same bytes from every build of the engine.

use serde_json::{Value, json};

use super::{Charged, Task};
use crate::strict::{Faults, Spot};

/// Prices one line `{"id", "charge", "quantity"?, "amounts"?}`.
///
/// Answers `{"id", "amount", "lines"}`, or `{"id"?, "error": {"code", "message", "path", "others"?}}`
/// with the first fault, and the further ones in `others` for whoever mends the line.
///
/// ```
/// use farebox::rating::charge::answer;
/// let line = r#"{"id": "a", "charge": {"model": "per_unit", "unit_price": "0.1"}, "quantity": "3"}"#;
/// assert_eq!(answer(line)["amount"], "0.3");
/// ```
pub fn answer(line: &str) -> Value {
    let id = id(line);
    match priced(line) {
        Ok(charged) => json!({ "id": id, "amount": charged.amount, "lines": charged.lines }),
        Err(faults) => {
            let mut error = json!(faults.list().first());
            if let (Some(error), [_, others @ ..]) = (error.as_object_mut(), faults.list())
                && !others.is_empty()
            {
                error.insert("others".into(), json!(others));
            }
            match id {
                Some(id) => json!({ "id": id, "error": error }),
                None => json!({ "error": error }),
            }
        }
    }
}

fn priced(line: &str) -> Result<Charged, Faults> {
    let task = Task::read(line)?;
    task.charge.price(&task.input).map_err(Faults::from)
}

/// The line's id as it stands there, if the line can be read at all.
fn id(line: &str) -> Option<Value> {
    let mut unread = Faults::default();
    let id = Spot::root(line, &mut unread)?.object(&mut unread)?.take("id")?;
    serde_json::from_str(id.raw()).ok()
}
