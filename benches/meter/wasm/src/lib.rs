//! What `run-wasm.mjs` calls: makes an answer once, meters it as often as asked.

#[path = "../../answers.rs"]
mod answers;

use std::cell::RefCell;

use farebox::meter::{End, Framing, Metering, TEXTS_MAX};

const CHUNK: usize = 16 * 1024;

thread_local! {
    static ANSWER: RefCell<(Framing, Vec<u8>)> = const { RefCell::new((Framing::Binary, Vec::new())) };
}

/// Makes answer `which` of about `size` bytes; its length, or 0 where there is no such answer.
#[unsafe(no_mangle)]
pub extern "C" fn make(which: usize, size: usize) -> usize {
    let Some((_, framing, answer)) = answers::all(size).into_iter().nth(which) else { return 0 };
    let length = answer.len();
    ANSWER.with(|cell| cell.replace((framing, answer)));
    length
}

/// Meters it; the output tokens it reports.
#[unsafe(no_mangle)]
pub extern "C" fn meter() -> u64 {
    ANSWER.with_borrow(|(framing, answer)| {
        let mut metering = Metering::new(*framing, 200).with_texts(TEXTS_MAX);
        answer.chunks(CHUNK).for_each(|chunk| metering.chunk(chunk));
        let reading = metering.end(End::Eof);
        assert!(reading.usage_present && reading.is_final);
        reading.seen_output
    })
}
