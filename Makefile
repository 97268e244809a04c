# The only entry point. `make run` and `make test` are all a newcomer needs; the rest is for contributors.

CARGO ?= cargo

.PHONY: run test test-faults lint docs fmt ci clean dist bench bench-quick

## Build quickly, start a server with a small simulated fleet, and show where to look. Ctrl-C stops all of it.
run:
	$(CARGO) build --quiet --profile preview -p muster -p fleetctl
	exec target/preview/fleetctl preview $(ARGS)

## Run every test, and those of the server a second time on MariaDB and Redis; installs these, if they are missing.
test:
	scripts/install-test-services
	$(CARGO) test --workspace --no-fail-fast
	MUSTER_TEST_DB=mariadb $(CARGO) test -p muster -p muster-migrations --no-fail-fast -- --skip chaos:: --skip bus::
	$(MAKE) test-faults

## Show that the load generator finds the faults planted in a build of the server that is made for it alone.
test-faults:
	$(CARGO) test --workspace --features loadtest/planted-faults --test planted

## Check formatting, lints, import rules and documentation.
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	$(CARGO) clippy --workspace --features loadtest/planted-faults --test planted --quiet -- -D warnings
	scripts/check-imports
	scripts/check-openapi

## Put what the programs print about themselves into the documentation.
docs:
	scripts/update-docs

fmt:
	$(CARGO) fmt --all

## What continuous integration runs.
ci: lint test

## The binaries that are shipped.
dist:
	$(CARGO) build --profile dist -p muster -p fleetctl

## Measure what the server costs (up to 30 minutes) and write docs/performance.md. BENCH_ARGS="--backend mariadb" for MariaDB and Redis.
bench: bench-programs
	$(CARGO) run --quiet --release -p loadtest --bin bench -- --command 'make bench$(if $(BENCH_ARGS), BENCH_ARGS="$(BENCH_ARGS)")' $(BENCH_ARGS)

## The same in short (3 minutes), shown and not written.
bench-quick: bench-programs
	$(CARGO) run --quiet --release -p loadtest --bin bench -- --quick --command 'make bench-quick$(if $(BENCH_ARGS), BENCH_ARGS="$(BENCH_ARGS)")' $(BENCH_ARGS)

bench-programs:
	$(CARGO) build --quiet --release -p muster -p loadtest

clean:
	$(CARGO) clean
