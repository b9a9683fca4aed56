# Every target that needs Docker goes through `prepare`, which is silent and quick when all is there.
CARGO ?= cargo
PGCLUSTER = ./target/release/pgcluster

.DEFAULT_GOAL := help
.PHONY: help up prepare build images test torture seeded test-windows bench dist test-dist fmt lint fuzz audit clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: prepare build ## start a cluster in this folder; REPLICAS=3, ARGS='any other options'
	$(PGCLUSTER) up $(if $(REPLICAS),--replicas $(REPLICAS)) $(ARGS)

prepare: ## get what a machine lacks: Docker, Compose, base images
	@bash scripts/prepare.sh

build: ## compile the release binary
	$(CARGO) build --release --locked

# Tagged by content: where they exist, nothing is built. The repository is a project folder like any other.
images: prepare ## build the node and the pool image, unless they are there
	$(CARGO) run --quiet --locked -- --quiet generate >/dev/null
	docker image inspect $$(docker compose config --images | sort -u) >/dev/null 2>&1 || docker compose build

test: images ## run all tests, the scenarios on real containers too
	@CARGO=$(CARGO) bash scripts/test.sh

torture: images ## every fault several times, for hours; TORTURE_RUNS=1, TORTURE_ONLY='the pool', CUT_RUNS=5 CUT_ONLY=scale
	PGCLUSTER_DOCKER=1 $(CARGO) test --locked --test it -- --ignored --nocapture --test-threads 1 faults::

seeded: images ## does the suite notice? each of tests/seeded must turn its tests red; S='lock slot' for some
	PGCLUSTER_DOCKER=1 bash scripts/seeded.sh $(S)

test-windows: prepare ## compile for Windows, run that under wine, compare with Linux
	@bash scripts/test-windows.sh

# B12 reports what the bench `render` measured last.
bench: images build ## measure and write BENCHMARKS.md; B='B1 B4' for some, BENCH_RUNS=1 for a trial
	$(if $(B),$(if $(filter B12,$(B)),$(CARGO) bench --locked --bench render),$(CARGO) bench --locked --bench render)
	$(CARGO) bench --locked --bench cluster -- $(B)

dist: ## pack an archive and a Debian package into target/dist
	@bash scripts/dist.sh

test-dist: prepare ## pack twice, and try both in a clean container
	@bash scripts/test-dist.sh

fmt: ## format the code
	$(CARGO) fmt

lint: ## check format, clippy and, where it is installed, shellcheck
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@if command -v shellcheck >/dev/null; then git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck; fi

fuzz: ## let cargo-fuzz try every parser of what others write; FUZZ_SECONDS=60 for each
	@bash scripts/fuzz.sh

audit: ## check licences, sources and known vulnerabilities of all dependencies, where cargo-deny or cargo-audit is
	@bash scripts/audit.sh

clean: ## remove what cargo built; clusters, their data and images stay
	$(CARGO) clean
