#!/usr/bin/env bash
# Installs cargo-fuzz, and a C++ compiler for libFuzzer where there is none. Not part of tools.sh:
# only fuzzing needs them.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v c++ >/dev/null; then
  if ! command -v apt-get >/dev/null; then
    echo "A C++ compiler is needed to build libFuzzer: install one that is called c++." >&2
    exit 1
  fi
  sudo=; [ "$(id -u)" -eq 0 ] || sudo=sudo
  $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends g++ >/dev/null
fi
[ -x .tools/bin/cargo-fuzz ] && exit 0
CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false \
  cargo install --quiet cargo-fuzz --version 0.13.1 --locked --root .tools --target-dir .tools/target
rm -rf .tools/target
