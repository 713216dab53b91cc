//! A file that may be only so long: no more of it is read than that.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Failure;
use crate::book::BOOK_MAX;

/// The text of a price book or a plan: of at most [`BOOK_MAX`] bytes. What is longer is refused
/// before more than that is read, a pipe as well as a file.
pub(super) fn terms(path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(failed)?;
    let told = file.metadata().map_err(failed)?.len();
    let mut text = String::new();
    if told <= BOOK_MAX as u64 {
        file.take(BOOK_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() <= BOOK_MAX {
            return Ok(text);
        }
    }
    Err(format!(
        "{}: too long: a price book or a plan has at most {BOOK_MAX} bytes",
        path.display()
    ))
}
