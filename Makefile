# The front door: `make demo` runs the main job on real text, `make test` passes the tests.
# Both install what they need.
CARGO ?= cargo
PREFIX ?= $(HOME)/.local
export CARGO_INCREMENTAL = 0
# Where cargo puts what it builds: CARGO_TARGET_DIR and cargo's own configuration can move it. Asked for when it is needed.
TARGET = $(shell $(CARGO) metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
# The version of cargo-deny that `make deny` installs where there is none.
CARGO_DENY ?= 0.20.2

.PHONY: setup assets assets-mpnet browser build install demo demo-all bench bench-privacy test check deny advisories clean

setup:            ## system packages and cargo components
	@sh scripts/setup.sh

assets: setup     ## the public encoder and the public texts, pinned and checksummed
	@sh scripts/assets.sh

browser: setup    ## the Chromium in which a test looks at the report
	@sh scripts/browser.sh

assets-mpnet: setup  ## all-mpnet-base-v2, 400 MB: not needed by demo and test, which then test it as well
	@sh scripts/assets_mpnet.sh

# With one small test: cargo then chooses the same features of dependencies as `make test`, and builds them once.
build: setup
	$(CARGO) build --locked --release --workspace --bins --lib --test tidy

install: build    ## the program, completions and manual pages, in PREFIX (default: ~/.local)
	install -d $(DESTDIR)$(PREFIX)/bin
	install -s -m 755 "$(TARGET)/release/cryptotl" $(DESTDIR)$(PREFIX)/bin/
	@sh scripts/install_pages.sh $(DESTDIR)$(PREFIX)/bin/cryptotl $(DESTDIR)$(PREFIX)

demo: assets build  ## the main job on real text, through real encryption
	@CRYPTOTL="$(TARGET)/release/cryptotl" sh scripts/demo.sh

demo-all:         ## the same for all three private targets
	@$(MAKE) demo DEMO_TARGETS=amazon,tweets,nyt

check: setup deny ## format, lints, links of the documentation, licences and sources of all dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --release --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --release --workspace --no-deps

# Built without optimization, which takes two minutes instead of seven and is fast enough.
deny: setup       ## licences, sources and bans of all dependencies, by deny.toml
	@command -v cargo-deny > /dev/null || test -x "$(TARGET)/tools/bin/cargo-deny" || \
	    CARGO_PROFILE_DEV_DEBUG=0 $(CARGO) install --locked --debug --quiet --root "$(TARGET)/tools" cargo-deny@$(CARGO_DENY)
	PATH="$$PATH:$(TARGET)/tools/bin" $(CARGO) deny --locked check bans licenses sources

advisories: deny  ## known faults of dependencies: asks the advisory database, which needs GitHub
	PATH="$$PATH:$(TARGET)/tools/bin" $(CARGO) deny --locked check advisories

test: assets browser check   ## the tests run in the release profile: the binaries that users run, with overflow checks on
	$(CARGO) test --locked --release --workspace

bench: build      ## encrypted evaluation beside the paper's circuit; rewrites docs/benchmarks.md
	"$(TARGET)/release/cryptotl" bench encrypted --output "$(TARGET)/bench-encrypted.json" --markdown docs/benchmarks.md

bench-privacy: assets build  ## private heads against the budget; rewrites docs/benchmarks-privacy.md
	@CRYPTOTL="$(TARGET)/release/cryptotl" BENCH_OUTPUT="$${BENCH_OUTPUT:-$(TARGET)/bench-privacy}" sh scripts/bench-privacy.sh

clean:            ## everything that make has made
	$(CARGO) clean
	rm -rf assets demo
