# clip_search. `make help` lists the targets.
#
# Not PGXS: `make setup` and `make help` have to work before there is a pg_config to include it from.

PG_CONFIG ?= pg_config
CARGO     ?= cargo
INSTALL   ?= install

export PG_CONFIG CARGO

# Asked when they are used, for the same reason.
PG_MAJOR  = $(shell $(PG_CONFIG) --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
bindir    = $(shell $(PG_CONFIG) --bindir)
pkglibdir = $(shell $(PG_CONFIG) --pkglibdir)
sharedir  = $(shell $(PG_CONFIG) --sharedir)

EXTENSION_LIBRARY = target/release/libclip_search.so
SERVER            = target/release/clip-search-server
DEMO              = target/release/clip-search-demo
EXPLORE           = target/release/clip-search-explore
RUNTIME           = target/setup/onnxruntime

EXTENSION_DIR = $(DESTDIR)$(sharedir)/extension
MODEL_ROOT    = $(DESTDIR)$(sharedir)/clip_search/models
# Beside the library and not on anybody's PATH: only the supervisor starts the server.
SERVER_DIR    = $(DESTDIR)$(pkglibdir)/clip_search

# Programs are built as members of the whole, and so with the features that the tests' build has: otherwise their packages
# would be compiled twice.
CRATES = --release --locked --target-dir target --workspace --exclude clip_search

RUST_FILES = Cargo.toml Cargo.lock $(shell find src crates -type f)
REGRESS    = $(sort $(basename $(notdir $(wildcard tests/sql/*.sql))))
# Not every step of the path need be there: Debian has pg_regress in the client's package, and PGXS in another.
PG_REGRESS = $(abspath $(dir $(shell $(PG_CONFIG) --pgxs))../../src/test/regress/pg_regress)

.PHONY: all install install-files install-extension install-extension-files install-server install-server-files install-explore deb matrix uninstall installcheck setup setup-tests setup-clients test test-clients bench bench-ingest bench-index bench-gpu bench-precision bench-remote bench-prepare load demo demo-program explore clean-demo tutorial parity clean help FORCE
.DELETE_ON_ERROR:

all: $(EXTENSION_LIBRARY) $(SERVER)                 ## build the extension and its server (default)

# `cargo` runs only if a file changed or PG_CONFIG means another PostgreSQL, so that `sudo make install` after `make`
# copies files and compiles nothing as root.
$(EXTENSION_LIBRARY): $(RUST_FILES) target/make/postgres target/make/profile
	PGRX_PG_CONFIG_PATH="$$(command -v $(PG_CONFIG))" $(CARGO) build --release --locked --target-dir target \
	    -p clip_search --no-default-features --features pg$(PG_MAJOR)
	@touch $@

$(SERVER): $(RUST_FILES) target/make/profile
	$(CARGO) build $(CRATES) --bin clip-search-server
	@touch $@

$(DEMO): Cargo.toml Cargo.lock $(shell find demo crates/gallery -type f) target/make/profile
	$(CARGO) build $(CRATES) --bin clip-search-demo
	@touch $@

$(EXPLORE): Cargo.toml Cargo.lock $(shell find explore crates/gallery -type f) target/make/profile
	$(CARGO) build $(CRATES) --bin clip-search-explore
	@touch $@

# Changes when PG_CONFIG means another PostgreSQL than the one that was built for.
target/make/postgres: FORCE
	@command -v $(PG_CONFIG) >/dev/null || \
	    { echo "make: PG_CONFIG=$(PG_CONFIG): there is no such program. Run \"make setup\", or set PG_CONFIG." >&2; exit 1; }
	@mkdir -p $(@D)
	@{ command -v $(PG_CONFIG); $(PG_CONFIG) --version; } >$@.new
	@if cmp -s $@.new $@; then rm -f $@.new; else mv $@.new $@; fi

# Changes when the environment has other settings of the release profile than what was built with, as .ci/run has.
target/make/profile: FORCE
	@mkdir -p $(@D)
	@env | grep '^CARGO_PROFILE_' | sort >$@.new || true
	@if cmp -s $@.new $@; then rm -f $@.new; else mv $@.new $@; fi

install: all                                        ## install into the PostgreSQL of PG_CONFIG; honours DESTDIR
	@$(MAKE) --no-print-directory install-files

# What `install` copies, without looking whether it is up to date.
install-files: install-extension-files install-server-files

install-extension: $(EXTENSION_LIBRARY)
	@$(MAKE) --no-print-directory install-extension-files

install-server: $(SERVER)
	@$(MAKE) --no-print-directory install-server-files

install-extension-files:
	$(INSTALL) -d '$(EXTENSION_DIR)' '$(DESTDIR)$(pkglibdir)'
	$(INSTALL) -m 755 $(EXTENSION_LIBRARY) '$(DESTDIR)$(pkglibdir)/clip_search.so'
	$(INSTALL) -m 644 clip_search.control $(wildcard sql/clip_search--*.sql) '$(EXTENSION_DIR)'

install-server-files:
	@test -f $(RUNTIME)/libonnxruntime.so || \
	    { echo "make: there is no $(RUNTIME)/libonnxruntime.so. Run \"make setup\" first." >&2; exit 1; }
	$(INSTALL) -d '$(SERVER_DIR)' '$(MODEL_ROOT)'
	$(INSTALL) -m 755 $(SERVER) $(wildcard $(RUNTIME)/libonnxruntime*.so) '$(SERVER_DIR)'
	$(INSTALL) -m 644 $(RUNTIME)/LICENSE '$(SERVER_DIR)/onnxruntime-LICENSE'
	$(INSTALL) -m 644 $(RUNTIME)/ThirdPartyNotices.txt '$(SERVER_DIR)/onnxruntime-ThirdPartyNotices.txt'
	cd models && find . -type f -exec $(INSTALL) -D -m 644 '{}' '$(abspath_models)/{}' \;

# The last line above runs in models/; a relative DESTDIR has to mean the same there.
abspath_models = $(abspath $(MODEL_ROOT))

# Not part of `install`: it also serves databases of other machines.
install-explore: $(EXPLORE)                         ## install clip-search-explore beside PostgreSQL's programs
	$(INSTALL) -d '$(DESTDIR)$(bindir)'
	$(INSTALL) -m 755 $(EXPLORE) '$(DESTDIR)$(bindir)'

deb: setup                                          ## Debian packages, in target/deb; MAJORS="15 17 18" for these
	@MAJORS='$(MAJORS)' scripts/deb

matrix: setup                                       ## packages in fresh Debian 12, 13 and testing roots; as root
	@MAJORS='15 17 18' scripts/deb
	@tests/packages/run

uninstall:                                          ## remove what install put there
	rm -f '$(DESTDIR)$(pkglibdir)/clip_search.so' '$(DESTDIR)$(bindir)/clip-search-explore'
	rm -f '$(EXTENSION_DIR)'/clip_search.control '$(EXTENSION_DIR)'/clip_search--*.sql
	rm -rf '$(SERVER_DIR)' '$(MODEL_ROOT)/clip-search'
	rmdir '$(MODEL_ROOT)' '$(dir $(MODEL_ROOT))' 2>/dev/null || true

installcheck:                                       ## regression tests, on the server that PGHOST and PGPORT name
	@mkdir -p target/regress
	$(PG_REGRESS) --bindir='$(shell $(PG_CONFIG) --bindir)' --inputdir=tests --outputdir=target/regress \
	    --dbname=clip_search_regression $(REGRESS)

setup:                                              ## install what is missing; nothing the second time
	@scripts/setup

setup-tests:                                        ## the same, with Chromium and CLIP's vocabulary, for the tests
	@scripts/setup --tests

setup-clients:                                      ## the same, with drivers from PyPI, npm and apt, for test-clients
	@scripts/setup --clients

test: setup-tests                                   ## everything: unit, regression and cluster tests, the tutorial
	@scripts/test

test-clients: setup-clients                         ## drivers of Python, Node.js and Java, pgbouncer, docs/applications.md
	@$(MAKE) --no-print-directory all
	@scripts/ensure-installed
	@tests/clients/run

bench: setup                                        ## latency and memory beside bare ONNX Runtime
	@$(MAKE) --no-print-directory all
	@scripts/ensure-installed
	@benches/run

bench-ingest: setup                                 ## rows a second of tables of images, beside the server alone
	@$(MAKE) --no-print-directory all
	@scripts/ensure-installed
	@benches/ingest/run

bench-index: setup                                  ## vector indexes of 1,000,000 rows: build, size, recall, latency
	@benches/index/run --page docs/scaling.md

bench-gpu:                                          ## images and texts a second on a GPU, without PostgreSQL
	@benches/gpu/run

bench-precision: setup                              ## 8-bit graphs beside the fp32 that they are made of, through SQL
	@$(MAKE) --no-print-directory all
	@scripts/ensure-installed
	@benches/precision/run --page docs/models.md

bench-remote: setup-tests                           ## encoders in Triton beside the same ones here, through SQL
	@$(MAKE) --no-print-directory all
	@scripts/ensure-installed
	@benches/remote/run --page docs/remote.md

bench-prepare:                                      ## decoding, resizing and normalising, beside Pillow
	@benches/prepare/run

load: setup                                         ## 200 connections for a minute; fairness, bulk, memory
	@$(MAKE) --no-print-directory all
	@scripts/ensure-installed
	@load/run

# MODEL=owner/name, MODEL_DIR=folder, IMAGES=folder and QUERIES=file take the user's own.
demo: setup                                         ## search emoji, or with MODEL= and IMAGES= your own images
	@$(MAKE) --no-print-directory all demo-program
	@scripts/ensure-installed
	@scripts/demo

demo-program: $(DEMO)

# DSN= names another database than the demo's, ARGUMENTS= what the program takes besides.
explore: setup                                      ## a page to search the demo with, or with DSN= your own database
	@$(MAKE) --no-print-directory $(EXPLORE)
	@scripts/explore

clean-demo:                                         ## stop the demo's cluster and remove all of the demo
	@scripts/demo --clean

tutorial: setup                                     ## the SQL of docs/tutorial.md and docs/guide.md, run and compared
	@$(MAKE) --no-print-directory all
	@scripts/ensure-installed
	@scripts/tutorial

parity: setup                                       ## compare images with PIL's, format by format: docs/parity.md
	$(CARGO) build $(CRATES) --bin parity
	@target/release/parity

clean:                                              ## remove what was built; keep what setup fetched
	rm -rf target/debug target/release target/make target/gallery target/regress target/stage

help:                                               ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22
