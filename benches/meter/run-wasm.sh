#!/usr/bin/env bash
# How fast answers are metered as Wasm, in Node: the Worker's engine and profile.
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$PWD/../../node_modules/.bin:$PATH"
cargo build --quiet --release --target wasm32-unknown-unknown --manifest-path wasm/Cargo.toml --target-dir ../../target/bench-wasm
node run-wasm.mjs ../../target/bench-wasm/wasm32-unknown-unknown/release/meter_bench_wasm.wasm
