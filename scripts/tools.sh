#!/usr/bin/env bash
# Installs what the build needs and is not there yet. Does nothing the second time.
#
# wasm-bindgen must be of exactly the version in Cargo.lock. It is compiled here, lightly optimised
# and without its downloader's TLS stack: two minutes instead of eight, once. The `worker-build`
# tool would fetch it as a binary but takes four minutes to compile itself, and its wrapper is
# replaced by src/edge/entry.mjs anyway.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[2m· %s\033[0m\n' "$*" >&2; }

if ! command -v cargo >/dev/null; then
  echo "Rust is missing. Install it with rustup (https://rustup.rs), then run this again." >&2
  exit 1
fi
if ! command -v npm >/dev/null || ! node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)'; then
  echo "Node.js 20 or newer with npm is needed. Install it, then run this again." >&2
  exit 1
fi

if ! [ -d "$(rustc --print target-libdir --target wasm32-unknown-unknown 2>/dev/null)" ]; then
  say "adding the wasm32-unknown-unknown target"
  rustup target add wasm32-unknown-unknown
fi

if ! cmp -s package-lock.json node_modules/.farebox-lock; then
  say "installing npm packages"
  # Not `npm ci`: it insists on every platform's optional packages, which not every mirror carries.
  npm install --no-save --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.farebox-lock
fi

wanted=$(sed -n '/^name = "wasm-bindgen"$/{n;s/version = "\(.*\)"/\1/p;}' Cargo.lock)
have=$(.tools/bin/wasm-bindgen --version 2>/dev/null | cut -d' ' -f2 || true)
if [ "$have" != "$wanted" ]; then
  say "compiling wasm-bindgen $wanted (about two minutes, once)"
  # Outside this directory's toolchain file nothing changes: the same compiler is used.
  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=false \
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false \
    cargo install --quiet wasm-bindgen-cli --version "$wanted" --no-default-features \
      --root .tools --target-dir .tools/target
  rm -rf .tools/target
fi
