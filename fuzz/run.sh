#!/usr/bin/env bash
# run.sh SECONDS [TARGET…]: fuzzes each target for so long, from the golden fixtures and what former
# runs found. FAREBOX_FUZZ_SEED seeds the engine; with `short` as its value a run begins from the
# fixtures alone, by a fixed seed. Ends with one line a target: executions and edges covered.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.tools/bin:$PWD/node_modules/.bin:$PATH"
seconds=${1:?how many seconds for each target}; shift
[ $# -gt 0 ] || set -- sse event_stream lines json request form query
seed=${FAREBOX_FUZZ_SEED:-0} corpus=fuzz/corpus
if [ "$seed" = short ]; then seed=1 corpus=fuzz/target/corpus; rm -rf "$corpus"; fi
scripts/cargo-fuzz.sh && node fuzz/seed.mjs "$corpus" || exit 1
# Without a sanitizer a stable compiler does; memory is bounded by the targets' own allocator, and
# the engine has no unsafe code.
cargo fuzz build --sanitizer none -O || exit 1
failed=0
for target; do
  mkdir -p "fuzz/artifacts/$target"
  # 16 KiB reach every state; longer inputs make fewer of them. What one reads in 10 s hangs.
  log=$("$(ls -d fuzz/target/*/release/"$target")" -seed="$seed" -max_total_time="$seconds" -max_len=16384 \
    -timeout=10 -rss_limit_mb=1024 -artifact_prefix="fuzz/artifacts/$target/" "$corpus/$target" 2>&1)
  if [ $? -eq 0 ]; then
    echo "ok $target: $(sed -nE 's/^#([0-9]+)\tDONE +cov: ([0-9]+) .*exec\/s: ([0-9]+).*/\1 runs, \2 edges, \3 a second/p' <<<"$log")"
  else
    failed=1
    grep -A20 -E 'panicked|ERROR' <<<"$log"
    echo "not ok $target: the input is in fuzz/artifacts/$target"
  fi
done
exit "$failed"
