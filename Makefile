# Everything a developer or operator types. Each target installs what it needs.
SHELL := bash
export PATH := $(CURDIR)/.tools/bin:$(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help dev build test lint test-rust test-wasm test-edge test-sdk test-browser test-crash bench fuzz-long advisories clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

dev: build ## a gate on this machine with a demo upstream, a demo key and its dashboard
	@cargo build --quiet --profile native --bin farebox
	@target/native/farebox dev

build: ## the Worker, the npm package and the dashboard's copies
	@scripts/build.sh

test: ## everything; ends with one line "N passed, N failed"
	@scripts/test.sh

lint test-rust test-wasm test-edge test-sdk test-browser: ## one part of `make test`
	@scripts/test.sh $@

test-endurance: build ## long streams and clients that stand still; a minute
	@node --test tests/edge/endurance.slow.mjs

test-crash: build ## twenty SIGKILLs under load instead of one
	@FAREBOX_KILLS=20 node --test tests/edge/crash.test.mjs

test-long: ## the ledger simulator over many more seeds, every answer cut at every byte
	@FAREBOX_SIM_SEEDS=20000 cargo test --release --test ledger_simulation
	@FAREBOX_EVERY_CUT=1 cargo test --release --test golden_meter

bench: build ## the gate's cost beside a worker that only forwards
	@node benches/gate/run.mjs

advisories: ## known vulnerabilities in dependencies; needs the advisory database from the network
	@cargo deny check advisories

clean: ## forget every build, tool and local state
	@rm -rf target build node_modules .tools .venv .wrangler .farebox .dev.vars pkg/dist www/pkg www/vendor
