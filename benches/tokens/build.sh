#!/usr/bin/env bash
# Builds what run.mjs measures: the native program, the other crates as Wasm modules
# (target/modules), and the npm package.
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$PWD/../../.tools/bin:$PWD/../../node_modules/.bin:$PATH"
cargo build --quiet --release --bin native
for engine in rs goliajp; do
  RUSTFLAGS=-Ctarget-feature=+simd128 cargo build --quiet --release --lib --target wasm32-unknown-unknown --features "$engine"
  wasm-bindgen --target web --no-typescript --omit-default-module-path --remove-producers-section \
    --out-dir target/modules --out-name "$engine" target/wasm32-unknown-unknown/release/others.wasm
  wasm-opt -O3 --enable-simd --enable-bulk-memory --enable-nontrapping-float-to-int --enable-reference-types \
    -o "target/modules/$engine.wasm" "target/modules/${engine}_bg.wasm"
done
[ -d node_modules/gpt-tokenizer ] || npm install --no-audit --no-fund --loglevel=error
