# Everything a developer or operator types. Each target installs what it needs.
SHELL := bash
export PATH := $(CURDIR)/.tools/bin:$(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help dev build command test lint simulate replay mutants test-rust test-simulation test-fuzz test-differential test-wasm test-edge test-sdk test-browser test-prices test-tokens torture test-long fuzz bench bench-book bench-ledger bench-object bench-plans bench-record bench-tokens bench-whatif token-tables advisories clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

dev: ## a gate on this machine with a demo upstream, a demo key and its dashboard
	@$(MAKE) --no-print-directory --jobs 2 build command
	@target/native/farebox dev

build: ## the Worker, the npm package and the dashboard's copies
	@scripts/build.sh

command: ## target/native/farebox, the command
	@cargo build --quiet --profile native --bin farebox

test: ## everything; ends with one line "N passed, N failed"
	@scripts/test.sh

lint test-rust test-simulation test-fuzz test-differential test-wasm test-edge test-sdk test-browser: ## one part of `make test`
	@scripts/test.sh $@

test-prices: ## every model priced by litellm, genai-prices and Farebox; writes docs/price-differences.md
	@cargo build --quiet --bin farebox
	@python3 -m venv .venv/prices
	@.venv/prices/bin/pip install --quiet --disable-pip-version-check -r tests/differential/requirements.txt
	@.venv/prices/bin/python tests/differential/prices.py --write

torture: build ## five hundred SIGKILLs under load instead of fifty
	@FAREBOX_KILLS=500 node --test tests/edge/crash.test.mjs

test-tokens: ## counts beside tiktoken's on 200,000 strings and every character, and the Wasm modules
	@FAREBOX_TOKENS_LONG=1 scripts/test.sh test-tokens

simulate: ## a million runs of the ledger simulator, or SEEDS=…; a failure prints its seed
	@FAREBOX_SIM_SEEDS=$${SEEDS:-1000000} FAREBOX_SIM_FIRST=$${FIRST:-1} cargo test --profile simulation --test ledger_simulation -- --nocapture

replay: ## one run of the simulator, every command and answer printed: SEED=…
	@FAREBOX_SIM_FIRST=$${SEED:?which} FAREBOX_SIM_SEEDS=1 FAREBOX_SIM_TRACE=1 cargo test --profile simulation --test ledger_simulation -- --nocapture

mutants: ## the ledger broken on purpose in many ways, and the simulator finds each
	@node scripts/mutants.mjs

test-long: ## every property over a hundred times as many cases, every answer cut at every byte
	@PROPTEST_CASES=25600 cargo test --release --lib
	@FAREBOX_EVERY_CUT=1 cargo test --release --test golden_meter

bench-whatif: ## a million records under another book, in Chromium, with its progress bar
	@scripts/build.sh browser
	@node benches/whatif/run.mjs

bench-tokens: ## the tokeniser beside others, native and in Wasm
	@scripts/build.sh tokens
	@node benches/tokens/run.mjs

token-tables: ## the tokeniser's tables anew, from the published vocabularies
	@cargo run --release --manifest-path benches/tokens/Cargo.toml --bin tables

fuzz: ## everything that reads strangers' bytes, guided by coverage, MINUTES=5 for each of seven targets
	@cargo test --release --test long_lines -- --nocapture
	@fuzz/run.sh $$(( $${MINUTES:-5} * 60 ))

bench: build ## the gate's cost beside a worker that only forwards
	@node benches/gate/run.mjs

bench-record: command ## what sealing, signing and checking records take
	@cargo run --quiet --profile native --example bench-record target/native/farebox

bench-ledger: ## what the ledger's state machine takes by itself
	@cargo run --quiet --profile native --example bench-ledger

bench-plans: ## the same for a customer with a plan, and with credit
	@cargo run --quiet --profile native --example bench-plans

bench-object: ## one ledger object on workerd: its CPU beside two empty calls, and a million records
	@scripts/build.sh edge
	@node --disable-warning=ExperimentalWarning benches/object/run.mjs

bench-book: ## what loading a price book and pricing a request take, native and in the browser's Wasm
	@cargo run --quiet --profile native --example bench-book
	@scripts/build.sh browser
	@node benches/book/wasm.mjs

advisories: ## known vulnerabilities in dependencies; needs the advisory database from the network
	@cargo deny check advisories

clean: ## forget every build, tool and local state
	@rm -rf target fuzz/target fuzz/corpus build node_modules .tools .venv .venv-tokens .wrangler .farebox .dev.vars pkg/dist www/pkg www/vendor
