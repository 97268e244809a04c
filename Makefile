# The only entry point. `make run` and `make test` are all a newcomer needs; the rest is for contributors.

CARGO ?= cargo

.PHONY: run test lint docs fmt ci clean dist

## Build quickly, start a server with a small simulated fleet, and show where to look. Ctrl-C stops all of it.
run:
	$(CARGO) build --quiet --profile preview -p muster -p fleetctl
	exec target/preview/fleetctl preview $(ARGS)

## Run every test, and those of the server a second time on MariaDB.
test:
	$(CARGO) test --workspace --no-fail-fast
	MUSTER_TEST_DB=mariadb $(CARGO) test -p muster -p muster-migrations --no-fail-fast

## Check formatting, lints, import rules and documentation.
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	scripts/check-imports

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

clean:
	$(CARGO) clean
