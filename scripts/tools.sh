#!/usr/bin/env bash
# Installs what the build needs and is not there yet. Does nothing the second time.
#
# wasm-bindgen must be of exactly the version in Cargo.lock. It is compiled here from its own library
# (scripts/bindgen): the published command brings a web server and an HTTP client for tests, which
# double the time. `tools.sh test-runner` installs that one too, for `make test-wasm`.
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
if [ "$have" != "$wanted" ] || [ scripts/bindgen/main.rs -nt .tools/bin/wasm-bindgen ]; then
  say "compiling wasm-bindgen $wanted (once)"
  cargo build --quiet --release --locked --manifest-path scripts/bindgen/Cargo.toml --target-dir .tools/target
  mkdir -p .tools/bin
  cp .tools/target/release/wasm-bindgen .tools/bin/
  rm -rf .tools/target
fi
if [ "$(.tools/bin/wasm-bindgen --version)" != "wasm-bindgen $wanted" ]; then
  echo "scripts/bindgen is of another version than Cargo.lock ($wanted): change it in scripts/bindgen/Cargo.toml, then \`cargo update --manifest-path scripts/bindgen/Cargo.toml\`." >&2
  exit 1
fi

runs=$(.tools/bin/wasm-bindgen-test-runner --version 2>/dev/null | cut -d' ' -f2 || true)
if [ "${1:-}" = test-runner ] && [ "$runs" != "$wanted" ]; then
  say "compiling wasm-bindgen-test-runner $wanted (about two minutes, once)"
  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=false \
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false \
    cargo install --quiet wasm-bindgen-cli --version "$wanted" --no-default-features \
      --bin wasm-bindgen-test-runner --root .tools --target-dir .tools/target
  rm -rf .tools/target
fi
