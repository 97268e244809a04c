# The only entry point. `make run` and `make test` are all a newcomer needs; the rest is for contributors.

CARGO ?= cargo

.PHONY: assets book chaos run test test-fast test-dist test-faults test-upgrade screenshots pictures soak lint docs fmt ci clean dist bench bench-quick bench-redis

## Build quickly, start a server with a small simulated fleet, and show where to look. Ctrl-C stops all of it.
run:
	$(CARGO) build --quiet --profile preview -p muster -p fleetctl
	exec target/preview/fleetctl preview $(ARGS)

# Most tests wait for servers, so more run at one time than there are cores.
THREADS ?= 4
export RUST_TEST_THREADS = $(THREADS)

# Packages are built with what the whole workspace asks of them: one package alone is another build, which takes minutes.
# Every test, with those that break parts, and wait for them to recover, beside the others; then those that need the whole
# machine, one at a time; then those with a backend, on MariaDB and Redis.
EVERY_TEST = --workspace --test it --no-fail-fast -- chaos:: \
    --beside --workspace --no-fail-fast -- --skip heavy:: --skip chaos:: \
    --and RUST_TEST_THREADS=1 --workspace --test it --no-fail-fast -- heavy:: \
    --and MUSTER_TEST_DB=mariadb --workspace --lib --test it --test up_down_up --no-fail-fast -- $(addprefix --skip ,$(NO_BACKEND))

# Tests that are the same on every backend, or choose it themselves: run once.
NO_BACKEND = heavy:: chaos:: bus:: bad_input:: disk_full:: crash:: lifecycle::files lifecycle::certificate config:: \
    live::sockets rest::clients rest::doubts rest::errors rest::fleet_files rest::schemas \
    metrics::access metrics::charts pages::accessible pages::browser pages::forms proxies:: read_replica:: second_process:: shared_database:: database_access:: doctor:: \
    debug::activity debug::database debug::logs debug::profiles debug::redis

## Run every test, and those of the server that have a backend a second time on MariaDB and Redis; installs these, if they are missing.
test:
	scripts/install-test-services
	scripts/run-tests $(EVERY_TEST) --and --workspace --features loadtest/planted-faults --test planted

## Run the tests for daily work: one backend, nothing that breaks parts or takes long (3 minutes).
test-fast:
	scripts/install-test-services
	scripts/run-tests --workspace --no-fail-fast -- $(addprefix --skip ,$(SLOW))

SLOW = heavy:: chaos:: preview

## Run every test with the counts that the documents promise, instead of few of everything (an hour).
soak:
	scripts/install-test-services
	MUSTER_TEST_SIZE=whole scripts/run-tests $(EVERY_TEST)

# The last version before the latest steps of the schema, and the last one before the host directory, which wrote when a host was
# seen, and each use of its keys, into the host's rows.
OLD_VERSIONS ?= d10f1eef 7df00b1

## Replace servers of older versions under load, on MariaDB and SQLite (20 minutes for each version, of which 10 build it).
test-upgrade:
	scripts/install-test-services
	set -e; for version in $(OLD_VERSIONS); do \
	    scripts/build-version $$version target/old/$$version; \
	    MUSTER_OLD_SERVER=$(CURDIR)/target/old/$$version/muster scripts/run-tests --workspace --test it -- --ignored upgrade::; \
	done

## Break parts at random under load for MINUTES, check every promise, and write target/chaos.md. SEED repeats the faults of a run.
chaos:
	scripts/install-test-services
	MUSTER_CHAOS_MINUTES=$(MINUTES) MUSTER_CHAOS_SEED=$(SEED) MUSTER_CHAOS_AGENTS=$(AGENTS) MUSTER_CHAOS_REPORT=$(CURDIR)/target/chaos.md \
	    $(CARGO) test --workspace --test it -- --ignored --exact chaos::random::faults_break_no_promise --nocapture

## Write every page of the dashboard, at two widths and more and in both themes, into target/screenshots (3 minutes).
screenshots:
	scripts/install-test-services
	MUSTER_SCREENSHOTS=$(CURDIR)/target/screenshots $(CARGO) test -p muster --test it -- --ignored pages::screenshots::every

## Write the pictures of the documentation into docs/pictures (some minutes).
pictures:
	scripts/install-test-services
	MUSTER_PICTURES=$(CURDIR)/docs/pictures $(CARGO) test -p muster --test it -- --ignored pages::screenshots::pictures

## Show that the load generator finds the faults planted in a build of the server that is made for it alone.
test-faults:
	$(CARGO) test --workspace --features loadtest/planted-faults --test planted

## Bundle the editor of pages anew, with npm; what it writes is committed.
assets:
	scripts/make-assets

## Check formatting, lints, import rules and documentation.
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	$(CARGO) clippy --workspace --features loadtest/planted-faults --test planted --quiet -- -D warnings
	scripts/check-imports
	scripts/check-assets
	scripts/check-words
	scripts/check-promises
	scripts/check-reference
	scripts/check-book
	scripts/check-deploy

## Put what the programs print about themselves into the documentation.
docs:
	scripts/update-docs

## Make a site of docs/ in target/book; the first time builds mdBook, if it is not installed.
book:
	scripts/make-book

fmt:
	$(CARGO) fmt --all

## What continuous integration runs. It builds once, so what speeds up the next build would only fill the disk.
ci: export CARGO_INCREMENTAL = 0
ci: lint test

## Write what is shipped into target/dist: static programs, archive, deb, rpm, SBOM and checksums (a quarter of an hour).
dist:
	scripts/make-dist

## Install and start what `make dist` has written where there is no Rust; as root, with debootstrap (a minute).
test-dist:
	scripts/test-dist

## Measure what the server costs (about an hour) and write docs/performance.md. BENCH_ARGS="--backend mariadb" for MariaDB and Redis.
bench: bench-programs
	$(CARGO) run --quiet --release -p loadtest --bin bench -- --command 'make bench$(if $(BENCH_ARGS), BENCH_ARGS="$(BENCH_ARGS)")' $(BENCH_ARGS)

## The same in short (3 minutes), shown and not written.
bench-quick: bench-programs
	$(CARGO) run --quiet --release -p loadtest --bin bench -- --quick --command 'make bench-quick$(if $(BENCH_ARGS), BENCH_ARGS="$(BENCH_ARGS)")' $(BENCH_ARGS)

## Measure the connections to Redis beside pools of connections (about 7 minutes), for decision 4; needs redis-server and redis-sentinel.
bench-redis:
	$(CARGO) run --quiet --release --manifest-path bench-redis/Cargo.toml -- $(BENCH_ARGS)

bench-programs:
	$(CARGO) build --quiet --release -p muster -p loadtest

clean:
	$(CARGO) clean
