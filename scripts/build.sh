#!/usr/bin/env bash
# Builds the Worker (build/) with the tokeniser's modules, the npm package (pkg/dist) and the
# dashboard's copies (www/pkg, www/vendor). `build.sh edge` or `build.sh browser` builds one; without
# an argument, both; the browser's comes with its what-if.
# `build.sh tokens` builds the tokeniser's modules (build/tokens).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/tools.sh
export PATH="$PWD/.tools/bin:$PWD/node_modules/.bin:$PATH"
say() { printf '\033[2m· %s\033[0m\n' "$*" >&2; }
made=target/wasm32-unknown-unknown/release/farebox.wasm
# Compiles the library for Wasm with a feature, at an optimisation level: `z` and `s` for bytes, `3`
# for speed. All in the one folder of the release profile, so that what a build itself runs (macros,
# build scripts) is compiled once and not for each.
compile() {
  CARGO_PROFILE_RELEASE_OPT_LEVEL=$2 cargo build --quiet --release --lib --target wasm32-unknown-unknown --features "$1"
}
# What every engine in use understands; --all-features writes modules that browsers refuse.
features=(--enable-bulk-memory --enable-multivalue --enable-mutable-globals
  --enable-nontrapping-float-to-int --enable-reference-types --enable-sign-ext --enable-simd)
# What changes a build: if none of it is newer than the last one, there is nothing to do.
stale() {
  local last=$1; shift
  [ ! -e "$last" ] || [ -n "$(find "$@" Cargo.toml Cargo.lock scripts/build.sh package-lock.json -newer "$last" -print -quit)" ]
}

edge() {
  tokens
  stale build/worker/index.js src books migrations build/tokens || return 0
  say "compiling the gate"
  compile edge z
  rm -rf build/engine build/worker
  wasm-bindgen --target module --no-typescript --omit-default-module-path \
    --experimental-reset-state-function --remove-producers-section \
    --remove-name-section --out-dir build/engine --out-name farebox "$made"
  # No wasm-opt: it makes this module smaller as it lies, but a sixteenth larger once compressed, which is
  # what a deployment is measured by, and takes a minute.
  # The runtime hands a module over for a plain import; bundlers do not know `import source` yet.
  sed -i.bak 's/^import source /import /' build/engine/farebox.js && rm build/engine/farebox.js.bak
  mkdir -p build/worker
  cp build/engine/farebox_bg.wasm build/tokens/*.wasm build/worker/
  esbuild src/edge/entry.mjs --bundle --format=esm --log-level=warning --log-override:duplicate-object-key=silent \
    --alias:farebox-tokens=./build/tokens/load.mjs \
    --external:'./*.wasm' --external:cloudflare:workers --outfile=build/worker/index.js
}

browser() {
  stale pkg/dist/farebox.js src books || return 0
  say "compiling the browser's engine"
  compile browser z
  rm -rf pkg/dist www/pkg www/vendor
  wasm-bindgen --target web --remove-producers-section --out-dir pkg/dist --out-name farebox "$made"
  wasm-opt -Oz "${features[@]}" -o pkg/dist/opt.wasm pkg/dist/farebox_bg.wasm
  mv pkg/dist/opt.wasm pkg/dist/farebox_bg.wasm
  mkdir -p www/pkg www/vendor
  cp pkg/dist/farebox.js pkg/dist/farebox_bg.wasm www/pkg/
  cp node_modules/htm/preact/standalone.module.js www/vendor/preact.js
}

# The browser's what-if, a module beside the engine: made for speed, and loaded when it is used.
whatif() {
  stale pkg/dist/whatif.js || return 0
  say "compiling the browser's what-if"
  RUSTFLAGS=-Ctarget-feature=+simd128 compile whatif 3
  wasm-bindgen --target web --remove-producers-section --out-dir pkg/dist --out-name whatif "$made"
  wasm-opt -O3 "${features[@]}" -o pkg/dist/opt.wasm pkg/dist/whatif_bg.wasm
  mv pkg/dist/opt.wasm pkg/dist/whatif_bg.wasm
  cp pkg/dist/whatif.js pkg/dist/whatif_bg.wasm www/pkg/
}

# The tokeniser's modules (build/tokens): for each vocabulary NAME.wasm, its bindings NAME.js and
# NAME.worker.mjs, and load.mjs, which imports them when a Worker first needs them (docs/tokens.md).
# They change with src/tokens alone.
tokens() {
  local name
  mkdir -p build/tokens
  cp -u src/tokens/load.mjs build/tokens/
  for name in o200k cl100k; do
    ! stale "build/tokens/$name.js" src/tokens && continue
    say "compiling the tokeniser of $name"
    RUSTFLAGS=-Ctarget-feature=+simd128 compile "$name" 3
    wasm-bindgen --target web --no-typescript --omit-default-module-path --remove-producers-section \
      --experimental-reset-state-function \
      --out-dir "build/tokens/$name" --out-name "$name" "$made"
    wasm-opt -O3 "${features[@]}" -o "build/tokens/$name.wasm" "build/tokens/$name/${name}_bg.wasm"
    sed "s/NAME/$name/g" src/tokens/worker.mjs >"build/tokens/$name.worker.mjs"
    mv "build/tokens/$name/$name.js" "build/tokens/$name.js"
    rm -r "build/tokens/$name"
  done
}

case "${1:-all}" in
  edge) edge ;;
  browser) browser; whatif ;;
  tokens) tokens ;;
  all) edge; browser; whatif ;;
  *) echo "usage: scripts/build.sh [edge|browser|tokens]" >&2; exit 64 ;;
esac
