#!/usr/bin/env bash
# Compiles cargo-deny once, lightly optimised, into .tools.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "compiling cargo-deny (about three minutes, once)"
CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
  cargo install --quiet cargo-deny --version 0.20.2 --no-default-features --root .tools --target-dir .tools/target
rm -rf .tools/target
