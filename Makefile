# Satisflow: `make help` lists what there is.
.DEFAULT_GOAL := help
export CARGO_TARGET_DIR ?= target
# The profile of lints and tests: a longer build, quicker tests.
CHECKED := --locked --workspace --profile checked

.PHONY: help
help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: setup
setup: ## Install what building and testing need (root on Debian), or name it
	@scripts/setup.sh

.PHONY: demo
demo: ## Build, then run broker, generator, pipeline, SQL and metrics on this machine
	@scripts/setup.sh build
	cargo build --locked --workspace --bins
	$(CARGO_TARGET_DIR)/debug/satisflow demo

.PHONY: kafka
kafka: ## Run Apache Kafka on 127.0.0.1:9092 until Ctrl-C, to try things out (PORT: another one)
	@scripts/run-kafka.sh

.PHONY: book
book: ## Build the manual as a book, target/book/index.html
	@scripts/build-book.sh

.PHONY: build
build: ## Build the program and all tests
	cargo build --locked --workspace --all-targets

.PHONY: test
test: setup ## Run every test, with Apache Kafka and independent readers
	scripts/fetch-kafka.sh > /dev/null
	scripts/fetch-minio.sh > /dev/null
	scripts/python-env.sh > /dev/null
	scripts/fetch-axe.sh > /dev/null
	scripts/fetch-clients.sh > /dev/null
	python3 -m unittest discover -s tests/oracle -q
	cargo build $(CHECKED) --bins --features failpoints
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-3} cargo test $(CHECKED) --features failpoints

.PHONY: screenshots
screenshots: setup ## Make the pictures of docs/images anew, with Chromium
	scripts/fetch-kafka.sh > /dev/null
	cargo build $(CHECKED) --bins --features failpoints
	SATISFLOW_SCREENSHOTS=$(CURDIR)/docs/images cargo test $(CHECKED) --features failpoints --test it -- page::pictures --nocapture

.PHONY: test-chaos
test-chaos: setup ## Kill the program 200 times and compare with a run that was not (seed: SATISFLOW_CHAOS_SEED)
	scripts/fetch-kafka.sh > /dev/null
	cargo build $(CHECKED) --bins --features failpoints
	SATISFLOW_CHAOS_KILLS=200 cargo test $(CHECKED) --features failpoints --test it -- chaos:: --nocapture

.PHONY: fuzz
fuzz: ## Mutated inputs, hostile records and schedules, FACTOR (10) times those of `make test`
	cargo build $(CHECKED) --bins --features failpoints
	SATISFLOW_FUZZ_FACTOR=$${FACTOR:-10} SATISFLOW_SIMULATION_SCHEDULES=$$(($${FACTOR:-10} * 20000)) \
		cargo test $(CHECKED) --features failpoints --test it -- fuzzed:: hostile:: simulation:: --nocapture

.PHONY: lint
lint: setup ## Check format, lints and purity
	cargo fmt --all --check
	cargo clippy $(CHECKED) --all-targets -- -D warnings
	scripts/check-purity.sh
	scripts/check-dependencies.sh

.PHONY: bench
bench: setup ## Measure (optimised build: an hour and more from nothing); figures for docs/benchmarks.md
	scripts/fetch-kafka.sh > /dev/null
	cargo build --release --locked --workspace --bins
	$(CARGO_TARGET_DIR)/release/satisflow-bench throughput
	$(CARGO_TARGET_DIR)/release/satisflow-bench latency
	$(CARGO_TARGET_DIR)/release/satisflow-bench late
	$(CARGO_TARGET_DIR)/release/satisflow-bench kinds
	$(CARGO_TARGET_DIR)/release/satisflow-bench alerts
	scripts/python-env.sh > /dev/null
	$(CARGO_TARGET_DIR)/release/satisflow-bench recovery
	$(CARGO_TARGET_DIR)/release/satisflow-bench queries
