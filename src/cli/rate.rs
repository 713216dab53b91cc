//! `farebox rate`: what does one charge make of one quantity?

use serde_json::{Value, json};

use super::{Failure, lines};
use crate::rating::charge::{Charged, Task};
use crate::strict::{Faults, Spot};

pub(super) fn run(args: &lines::Args) -> Result<(), Failure> {
    lines::each(args, |line| Ok(answer(line)))
}

fn answer(line: &str) -> Value {
    let id = id(line);
    match priced(line) {
        Ok(charged) => {
            json!({ "id": id, "amount": charged.amount, "lines": charged.lines })
        }
        Err(faults) => {
            let mut error = json!(faults.list().first());
            // The first is the answer; the rest are there for whoever mends the line.
            if let (Some(error), [_, rest @ ..]) = (error.as_object_mut(), faults.list())
                && !rest.is_empty()
            {
                error.insert("others".into(), json!(rest));
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
