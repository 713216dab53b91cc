//! `farebox rate`: what does one charge make of one quantity?

use super::{Failure, lines};
use crate::rating::charge::answer;

pub(super) fn run(args: &lines::Args) -> Result<(), Failure> {
    lines::each(args, |line| Ok(answer(line)))
}
