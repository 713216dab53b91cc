#!/usr/bin/env bash
# Runs every suite, or the one named, and ends with a line "N passed, N failed". Installs what is
# missing first: Chromium and its driver come from the system's packages.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.tools/bin:$PWD/node_modules/.bin:$PATH"
output=tests/output
mkdir -p "$output"
passed=0 failed=0 skipped=0 broken=()

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

# tally NAME LOG STATUS: adds up what a suite's own runner counted.
tally() {
  local p f s
  p=$(sed -nE 's/^(# pass|ℹ pass) ([0-9]+)$/\2/p; s/^test result: .* ([0-9]+) passed;.*/\1/p' "$2" | awk '{ sum += $1 } END { print sum }')
  f=$(sed -nE 's/^(# fail|ℹ fail) ([0-9]+)$/\2/p; s/^test result: .*; ([0-9]+) failed;.*/\1/p' "$2" | awk '{ sum += $1 } END { print sum }')
  s=$(sed -nE 's/^(# skipped|ℹ skipped) ([0-9]+)$/\2/p; s/^test result: .*; ([0-9]+) ignored;.*/\1/p' "$2" | awk '{ sum += $1 } END { print sum }')
  passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0})) skipped=$((skipped + ${s:-0}))
  if [ "$3" -ne 0 ]; then
    broken+=("$1")
    # A runner that died before it counted anything has failed all the same.
    [ "${f:-0}" -gt 0 ] || failed=$((failed + 1))
  fi
}

# check NAME COMMAND…: one thing that holds or does not.
check() {
  local name=$1; shift
  if "$@" >"$output/$name.log" 2>&1; then passed=$((passed + 1)); echo "ok $name"
  else failed=$((failed + 1)); broken+=("$name"); cat "$output/$name.log"; fi
}

# suite NAME COMMAND…: a runner that counts by itself.
suite() {
  local name=$1; shift
  "$@" 2>&1 | tee "$output/$name.log"
  tally "$name" "$output/$name.log" "${PIPESTATUS[0]}"
}

need_chromium() {
  export CHROMIUM_PATH=${CHROMIUM_PATH:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
  export CHROMEDRIVER=${CHROMEDRIVER:-$(command -v chromedriver || true)}
  if [ -z "$CHROMIUM_PATH" ] || [ -z "$CHROMEDRIVER" ]; then
    if command -v apt-get >/dev/null; then
      echo "installing chromium and chromium-driver"
      local sudo=; [ "$(id -u)" -eq 0 ] || sudo=sudo
      $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends chromium chromium-driver fonts-dejavu-core >/dev/null
      export CHROMIUM_PATH=/usr/bin/chromium CHROMEDRIVER=/usr/bin/chromedriver
    else
      echo "Chromium and chromedriver are needed: install them, or set CHROMIUM_PATH and CHROMEDRIVER." >&2
      return 1
    fi
  fi
}

lint() {
  say lint
  rustup component list --installed 2>/dev/null | grep -q clippy || rustup component add clippy rustfmt
  check format cargo fmt --check
  check clippy-native cargo clippy --quiet --all-targets -- -D warnings
  check clippy-edge cargo clippy --quiet --lib --target wasm32-unknown-unknown --features edge -- -D warnings
  check clippy-browser cargo clippy --quiet --lib --target wasm32-unknown-unknown --features browser -- -D warnings
  check clippy-tokens cargo clippy --quiet --lib --target wasm32-unknown-unknown --features o200k -- -D warnings
  check docs env RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps --document-private-items
  check tidy node --test scripts/tidy.test.mjs
  check faults node --test scripts/faults.test.mjs
  check licences licences
  check deploy-dry-run env WRANGLER_SEND_METRICS=false wrangler deploy --dry-run --outdir "$output/deploy"
}

# cargo-deny checks licences, bans and sources without a network.
licences() {
  [ -x .tools/bin/cargo-deny ] || scripts/cargo-deny.sh || return 1
  .tools/bin/cargo-deny check licenses bans sources
}

test-rust() {
  say rust
  suite rust cargo test --quiet --no-fail-fast
}

# Ten thousand runs, optimised; `cargo test` alone has a few.
test-simulation() {
  say "simulation: the ledger under crashes, lost messages and unsteady clocks"
  suite simulation cargo test --quiet --profile simulation --test ledger_simulation
}

# Five seconds for each target, from the fixtures and by a fixed seed; `make fuzz` runs longer.
test-fuzz() {
  say "fuzz: whatever reads strangers' bytes"
  check fuzz env FAREBOX_FUZZ_SEED=short fuzz/run.sh 5
  grep '^ok ' "$output/fuzz.log"
}

test-wasm() {
  say "wasm: the engine in Node and in Chromium"
  need_chromium || { failed=$((failed + 1)); broken+=(chromium); return; }
  check test-runner scripts/tools.sh test-runner
  local runner=CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner
  suite wasm-node env $runner cargo test --target wasm32-unknown-unknown --test golden_quotes --test golden_rate --test exact_json
  suite wasm-browser env $runner WASM_BINDGEN_USE_BROWSER=1 cargo test --target wasm32-unknown-unknown --test golden_quotes --test golden_rate --test exact_json
}

test-edge() {
  say "edge: the Worker on workerd"
  check edge-command cargo build --quiet --profile native --bin farebox
  suite upstream node --test examples/upstream/upstream.test.mjs
  suite edge node --test --test-concurrency=1 tests/edge/*.test.mjs
}

test-tokens() {
  say "tokens: counts beside the reference's, and the modules on workerd"
  check tokens-build scripts/build.sh tokens
  check tokens-command cargo build --quiet --profile native --bin farebox
  suite tokens node --test --test-concurrency=1 tests/tokens/*.test.mjs
}

test-sdk() {
  say "official SDKs"
  suite sdk node --test --test-concurrency=1 tests/sdk/*.test.mjs
}

test-browser() {
  say "browser: the dashboard in Chromium"
  need_chromium || { failed=$((failed + 1)); broken+=(chromium); return; }
  check browser-command cargo build --quiet --profile native --bin farebox
  suite browser node --test --test-concurrency=1 tests/browser/*.test.mjs
}

# The golden matrix against readers of other people's making; docs/metering-differences.md explains what differs.
test-differential() {
  say "differential: metering against other readers"
  local -x PYTHONDONTWRITEBYTECODE=1
  if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    echo "skipped: python3 with venv is not installed"; skipped=$((skipped + 1)); return
  fi
  local here=tests/golden/meter there=target/differential eventsource=eventsource-parser@4.1.3
  if ! cmp -s "$here/requirements.txt" "$there/requirements.txt"; then
    rm -rf "$there"; mkdir -p "$there"
    { python3 -m venv "$there/venv" && "$there/venv/bin/pip" --quiet install -r "$here/requirements.txt" \
      && npm install --prefix "$there" --no-audit --no-fund --loglevel=error "$eventsource"; } >"$output/differential-setup.log" 2>&1 \
      || { cat "$output/differential-setup.log"; failed=$((failed + 1)); broken+=(differential-setup); return; }
    cp "$here/requirements.txt" "$there/"
  fi
  check fixtures "$there/venv/bin/python" "$here/fixtures.py"
  check differential-usage "$there/venv/bin/python" "$here/differential.py"
  check farebox cargo build --quiet --profile native --bin farebox
  check differential-framing "$there/venv/bin/python" "$here/sse_differential.py" target/native/farebox "$there/node_modules"
}

scripts/tools.sh && scripts/build.sh || { echo "the build failed"; echo "0 passed, 1 failed"; exit 1; }
if [ $# -eq 0 ]; then set -- lint test-rust test-simulation test-fuzz test-wasm test-tokens test-differential test-edge test-sdk test-browser; fi
for part in "$@"; do "$part"; done
echo
[ ${#broken[@]} -eq 0 ] || echo "not well: ${broken[*]} (logs in $output/)"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
