//! What must hold for every answer and request, whatever bytes it is made of. Each target in
//! `targets/` hands its bytes to one of these.
//!
//! An input is an option byte, a byte that says where chunks are cut, and the bytes themselves;
//! `seed.mjs` writes the golden fixtures in that form.

mod answers;
mod requests;

pub use answers::{event_stream, json, lines, sse};
pub use requests::{form, query, request};

use std::alloc::System;

use cap::Cap;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Most memory that reading one answer may take beside the answer itself: 65,536 kept values are
/// about 4 MiB, 4,096 turns with names of 512 bytes 2 MiB, each of three buffers 64 KiB, which
/// double as they grow; an isolate has 128 MB for all that are open in it.
const METER_MAX: usize = 12 << 20;

/// Runs with so much memory and no more: whoever asks for more is ended, and found.
fn bounded<T>(run: impl FnOnce() -> T) -> T {
    let limit = MEMORY.allocated().saturating_add(METER_MAX);
    let _ = MEMORY.set_limit(limit);
    let out = run();
    let _ = MEMORY.set_limit(usize::MAX);
    out
}

/// Cuts bytes in pieces of 1 to 64, as the seed says; 0 cuts nothing.
struct Pieces<'b> {
    rest: &'b [u8],
    state: u32,
}

impl<'b> Pieces<'b> {
    fn new(rest: &'b [u8], seed: u8) -> Self {
        Self { rest, state: u32::from(seed) }
    }
}

impl<'b> Iterator for Pieces<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let length = if self.state == 0 {
            self.rest.len()
        } else {
            self.state = self.state.wrapping_mul(1_103_515_245).wrapping_add(12_345) | 1;
            // Short pieces and long ones.
            let most = if self.state & 0x100 == 0 { 4 } else { 64 };
            ((self.state >> 16) as usize % most) + 1
        };
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}
