//! What AI APIs say: framing, JSON read in passing, and what each API family's usage means.
//!
//! In scope: reading an upstream's answer. Out of scope: bytes on their way to the client, which
//! never pass through here, and prices.

pub mod batch;
pub mod frame;
pub mod job;
pub mod json;
pub(crate) mod number;
pub mod place;
pub mod query;
pub mod read;
pub mod request;
pub mod route;
mod scan;
pub mod strip;
pub mod usage;
