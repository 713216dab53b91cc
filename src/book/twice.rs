//! Finds every key that stands twice in an object of a book: two prices for the same thing, of which
//! the later must not win silently.
//!
//! Only used once a book could not be read: reading stops at the first such key, and knows its line
//! but not its path.

use std::collections::HashSet;

use super::check::Faults;
use crate::walk::Walk;

/// Deepest nesting that is followed: `serde_json` reads no deeper, and the text was read by it.
const DEPTH_MAX: usize = 128;

/// Adds every key that an object of this JSON has twice.
pub(super) fn faults(json: &str, faults: &mut Faults) {
    let _ = value(&mut Walk::new(json), "", DEPTH_MAX, faults);
}

fn value(walk: &mut Walk<'_>, at: &str, depth: usize, faults: &mut Faults) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match walk.peek()? {
        b'{' => {
            let mut known = HashSet::new();
            walk.object(|key, walk| {
                let inside = if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
                if !known.insert(key) {
                    faults.add(&inside, "is given twice; one thing has one value");
                }
                value(walk, &inside, depth, faults)
            })
        }
        b'[' => {
            let mut nth = 0_usize;
            walk.list(|walk| {
                value(walk, &format!("{at}[{nth}]"), depth, faults)?;
                nth = nth.saturating_add(1);
                Some(())
            })
        }
        _ => walk.skip().map(drop),
    }
}
