# The front door: `make demo` runs the main job on real text, `make test` passes the tests.
# Both install what they need.
CARGO ?= cargo
PREFIX ?= $(HOME)/.local
export CARGO_INCREMENTAL = 0

.PHONY: setup assets assets-mpnet browser build install demo demo-all bench bench-privacy test check clean

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
	$(CARGO) build --release --workspace --bins --lib --test tidy

install: build    ## the program, completions and manual pages, in PREFIX (default: ~/.local)
	install -d $(DESTDIR)$(PREFIX)/bin
	install -s -m 755 target/release/cryptotl $(DESTDIR)$(PREFIX)/bin/
	@sh scripts/install_pages.sh $(DESTDIR)$(PREFIX)/bin/cryptotl $(DESTDIR)$(PREFIX)

demo: assets build  ## the main job on real text, through real encryption
	@sh scripts/demo.sh

demo-all:         ## the same for all three private targets
	@$(MAKE) demo DEMO_TARGETS=amazon,tweets,nyt

check: setup      ## format, lints and links of the documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --workspace --no-deps

test: assets browser check   ## the tests run in the release profile: the binaries that users run, with overflow checks on
	$(CARGO) test --release --workspace

bench: build      ## encrypted evaluation beside the paper's circuit; rewrites docs/benchmarks.md
	target/release/cryptotl bench encrypted --output target/bench-encrypted.json --markdown docs/benchmarks.md

bench-privacy: assets build  ## private heads against the budget; rewrites docs/benchmarks-privacy.md
	@sh scripts/bench-privacy.sh

clean:            ## everything that make has made
	rm -rf target assets demo
