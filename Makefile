# The only entry point. `make run` and `make test` are all a newcomer needs; the rest is for contributors.

CARGO ?= cargo

.PHONY: run test lint docs fmt ci clean dist

## Build quickly, start a server with a small simulated fleet, and show where to look. Ctrl-C stops all of it.
run:
	$(CARGO) build --quiet --profile preview -p muster -p fleetctl
	exec target/preview/fleetctl preview $(ARGS)

## Run every test; installs the databases they start, if they are missing.
test:
	scripts/install-test-services
	$(CARGO) test --workspace --no-fail-fast

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
