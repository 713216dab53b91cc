//! How fast answers are metered: `cargo bench --bench meter`. For Wasm see `run-wasm.sh`.

#![allow(clippy::unwrap_used, clippy::float_arithmetic, clippy::cast_precision_loss)]
#![allow(clippy::arithmetic_side_effects)]

#[path = "answers.rs"]
mod answers;

use std::time::Instant;

use farebox::meter::{End, Framing, Metering, TEXTS_MAX};

/// Bytes of each answer.
const SIZE: usize = 64 * 1024 * 1024;
/// As a network hands them over.
const CHUNK: usize = 16 * 1024;

fn main() {
    println!("{:<44} {:>9} {:>10}", "answer", "MB", "MB/s");
    for (name, framing, answer) in answers::all(SIZE) {
        let best = (0..3).map(|_| run(framing, &answer)).fold(f64::MAX, f64::min);
        let megabytes = answer.len() as f64 / 1e6;
        println!("{name:<44} {megabytes:>9.1} {:>10.0}", megabytes / best);
    }
}

fn run(framing: Framing, answer: &[u8]) -> f64 {
    let began = Instant::now();
    let mut metering = Metering::new(framing, 200).with_texts(TEXTS_MAX);
    answer.chunks(CHUNK).for_each(|chunk| metering.chunk(chunk));
    let reading = metering.end(End::Eof);
    assert!(reading.usage_present && reading.is_final);
    began.elapsed().as_secs_f64()
}
