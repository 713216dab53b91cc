//! Farebox: meters, limits and proves spend on AI APIs, in the request path.
//!
//! # Map
//!
//! | room | what it holds |
//! |---|---|
//! | [`money`] [`clock`] [`calendar`] [`ids`] | the words everything else is written in |
//! | [`strict`] | reading the JSON that people write, with the path of every fault |
//! | [`walk`] | reading a few fields of much JSON |
//! | [`auth`] | API keys and sessions, checked without a lookup |
//! | [`wire`] | what AI APIs say: framing, JSON read in passing, usage by table |
//! | [`tokens`] | how many tokens a text is: counted, or bounded |
//! | [`meter`] | one answer's life: bytes in, usage and outcome out |
//! | [`book`] | the price book: schema, checks, lookup |
//! | [`rating`] | usage × rates → lines; charge models, aggregations, outcomes |
//! | [`plan`] | plans: fees, charges, allowances, limits, commitments, discounts; the disputed rules |
//! | [`credits`] | grants and holds, replayed in the order of time |
//! | [`quote`] | request × book → lower, expected, upper |
//! | [`forecast`] | daily spend → what a period comes to, and when a balance runs out |
//! | [`stop`] | requests that do not fit whole: shorter, followed, or without a ledger |
//! | [`replay`] | recorded usage × another book → what it would have cost |
//! | [`notify`] | how alerts reach people: endpoints, signatures, retries, mails |
//! | [`ledger`] | the state machine: holds, limits, settlement; no storage |
//! | [`record`] | canonical bytes, chain, tree, checkpoints, receipts, verification |
//! | [`api`] | what customers see: codes, statuses, JSON by API |
//! | `edge` | wasm32 + feature `edge`: the Worker and its Durable Object |
//! | `browser` | wasm32 + feature `browser`: the npm package's exports |
//! | `replay::wasm` | wasm32 + feature `whatif`: the browser's what-if, a module of its own |
//! | `tokens::wasm` | wasm32 + feature `o200k` or `cl100k`: a tokeniser module's exports |
//! | `cli` | native: the `farebox` command |
//!
//! # Invariants
//!
//! - Everything but `edge`, `browser`, `cli`, `replay::wasm` and `tokens::wasm` is the engine: no I/O, no clock, no
//!   randomness, no floating point for money or quantities, no panics. Time and random bytes are
//!   arguments.
//! - `edge` holds no rule about money. Only `edge/sql.rs` contains SQL. Only `api.rs` knows status
//!   codes. Every queue, buffer and loop has a named bound, and the bound its reason.
//! - Money is exact: [`money::Exact`], a decimal string at every boundary.
//! - Absent, zero and unknown differ, and nothing is silently free.

#[cfg(all(target_arch = "wasm32", feature = "edge", feature = "browser"))]
compile_error!("the features `edge` and `browser` are two builds; choose one");
#[cfg(all(
    target_arch = "wasm32",
    any(
        all(feature = "o200k", feature = "cl100k"),
        all(feature = "tokeniser", any(feature = "edge", feature = "browser")),
        all(feature = "whatif", any(feature = "tokeniser", feature = "edge", feature = "browser"))
    )
))]
compile_error!("the features `o200k`, `cl100k` and `whatif` are builds of their own; choose one");

// A tokeniser's module is `tokens` and nothing else, so nothing else is compiled for it.
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod api;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod auth;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod book;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod calendar;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod clock;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod credits;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod forecast;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod ids;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod ledger;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod meter;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod money;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod notify;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod plan;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod quote;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod rating;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod record;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod replay;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod stop;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod strict;
pub mod tokens;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod walk;
#[cfg(not(all(target_arch = "wasm32", feature = "tokeniser")))]
pub mod wire;

#[cfg(all(target_arch = "wasm32", feature = "browser"))]
mod browser;
#[cfg(not(target_arch = "wasm32"))]
pub mod cli;
#[cfg(all(target_arch = "wasm32", feature = "edge"))]
mod edge;
