# Everything goes through here, in a fresh clone too. Needs Rust (rust-toolchain.toml), Go, make and a C compiler; the rest
# is fetched from crates.io and the Go proxy. `make` alone prints the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

CARGO ?= cargo
export CARGO_TARGET_DIR ?= $(CURDIR)/target
# Built tools and servers, shared by all clones; tests/bed/src/cache.rs reads the same variables.
CACHE := $(or $(UNSTICK_BED_CACHE),$(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME)/unstick-bed,$(HOME)/.cache/unstick-bed))
BED := $(CARGO_TARGET_DIR)/debug/bed
UNSTICK := $(CARGO_TARGET_DIR)/debug/unstick

DENY_VERSION := 0.20.2
DENY := $(CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny

.PHONY: help build bed parts demo demo-parts test check bench order generate crds deploy docs captures install

help: ## print this
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

build: bed ## compile the operator and the test bed (dev profile)
	$(CARGO) build --locked --workspace --bins

# Of the whole workspace too: with other features the dependencies would be compiled twice.
bed:
	$(CARGO) build --locked --workspace --bin bed

parts: bed ## build API server, etcd, Argo and S3 servers into the cache (once, about 12 minutes on 2 cores)
	$(BED) build

demo-parts: bed
	$(BED) build controlplane argo versitygw

# Go builds the parts while Cargo is still at the operator.
demo: ## start everything, submit stuck and healthy workflows, show what unstick says; DEMO=once checks it and ends
	@$(MAKE) --no-print-directory -j2 build demo-parts
	$(BED) demo --unstick $(UNSTICK) $(if $(filter once,$(DEMO)),--once)

# Guards are switched off one by one first: some test must fail without each (src/mutant.rs).
# One build for everything that follows: cargo would otherwise choose other features and compile dependencies twice.
# The closing lines count over all test programs, say how each failure begins, and name what failed.
test: ## all tests, those on the real API server and the real Argo included
	$(CARGO) build --locked --workspace --bins --tests
	$(BED) build
	$(CARGO) test --locked --workspace --features unstick/mutants --lib --test archive -- mutants::
	$(CARGO) test --locked --workspace --no-fail-fast | awk '{ print; fflush() } \
	  /^test result:/ { passed += $$4; failed += $$6; ignored += $$8 } \
	  /^test .* FAILED$$/ { names = names "\n  " $$2 } \
	  /^---- .* ----$$/ { take = 9 } \
	  take { said = said "\n" substr($$0, 1, 400); take-- } \
	  END { printf "%s\n\n%d passed, %d failed, %d skipped%s\n", said, passed, failed, ignored, names }'

check: ## formatting, lints, licences and banned dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@$(MAKE) --no-print-directory $(DENY)
	$(DENY) --locked check bans licenses sources

# Two to four minutes on 2 cores, once. In a target folder of its own: it shares nothing with ours.
$(DENY):
	CARGO_TARGET_DIR="$$(mktemp -d)" bash -c '$(CARGO) install cargo-deny --version $(DENY_VERSION) --locked --root $(CACHE)/cargo-deny-$(DENY_VERSION); \
	  status=$$?; rm -rf "$$CARGO_TARGET_DIR"; exit $$status'

# The program as it ships, built by itself and put aside: the bench's own build of it has features that only the bench's
# libraries ask for.
bench: ## measure the program as it ships against the limits; exits 1 on a miss
	$(CARGO) build --locked --release --package unstick --bin unstick
	cp "$(CARGO_TARGET_DIR)/release/unstick" "$(CARGO_TARGET_DIR)/unstick-shipped"
	UNSTICK_BIN="$(CARGO_TARGET_DIR)/unstick-shipped" $(CARGO) bench --locked --package unstick --bench limits

# The program as it ships, in runs of the bench under callgrind, which writes down every so often which functions ran.
# After a change of dependencies, of the compiler, of [profile.release] or of the version: these change the symbols' names.
order: bed ## link/order.txt: the functions that run day and night, to lie side by side (build.rs); needs valgrind
	$(CARGO) build --locked --release --package unstick --bin unstick
	cp "$(CARGO_TARGET_DIR)/release/unstick" "$(CARGO_TARGET_DIR)/unstick-shipped"
	rm -rf "$(CARGO_TARGET_DIR)/traces" && mkdir -p "$(CARGO_TARGET_DIR)/traces"
	for part in real backlog; do \
	  UNSTICK_TRACED="$(CARGO_TARGET_DIR)/unstick-shipped" UNSTICK_TRACES="$(CARGO_TARGET_DIR)/traces/$$part" UNSTICK_BIN=link/traced.sh \
	    timeout 600 $(CARGO) bench --locked --package unstick --bench limits -- --quick --only "$$part" || echo "(under callgrind it keeps no limit)"; done
	cd "$(CARGO_TARGET_DIR)/traces" && $(BED) order --program unstick-shipped $$(ls -v real.* backlog.*) > order.txt.new
	mv "$(CARGO_TARGET_DIR)/traces/order.txt.new" link/order.txt

generate: crds docs deploy ## write all generated files anew

crds: ## crds/ and src/api/schema/kinds.json from the Rust types
	UPDATE=1 $(CARGO) test --locked --package unstick --test crds current

docs: ## docs/metrics.md, docs/cli.md and alerts/prometheusrule.yaml from their sources
	UNSTICK_UPDATE=1 $(CARGO) test --locked --package unstick --test assets
	UPDATE=1 $(CARGO) test --locked --package unstick --test cli usage::

deploy: bed ## deploy/install.yaml and namespace-install.yaml from the kustomizations
	@kubectl="$$($(BED) build controlplane | awk '$$1 == "kubectl" { print $$2 }')"; \
	"$$kubectl" kustomize deploy/base > deploy/install.yaml.new && mv deploy/install.yaml.new deploy/install.yaml; \
	"$$kubectl" kustomize deploy/overlays/namespaced > deploy/namespace-install.yaml.new && mv deploy/namespace-install.yaml.new deploy/namespace-install.yaml

# FROM=folder with stuck.txt and explain.txt, each as seen on the terminal, the command line included.
captures: ## what README shows, from FROM/stuck.txt and FROM/explain.txt
	@mkdir -p "$(CARGO_TARGET_DIR)"; for name in stuck explain; do \
	  awk -v name="$$name" -v file="$(FROM)/$$name.txt" ' \
	    /^<!-- captured: / { mine = ($$0 ~ "captured: " name " ") } \
	    mine && /^<!-- captured/ { print; print "```text"; while ((r = (getline line < file)) > 0) print line; if (r < 0) exit 1; print "```"; skip = 1; next } \
	    mine && /^<!-- \/captured/ { skip = 0; mine = 0 } \
	    !skip { print }' README.md > "$(CARGO_TARGET_DIR)/README.new"; mv "$(CARGO_TARGET_DIR)/README.new" README.md; \
	done

install: ## the program into ~/.cargo/bin, as unstick and as the kubectl plugin
	$(CARGO) install --locked --path .
	ln -sf unstick "$${CARGO_HOME:-$$HOME/.cargo}/bin/kubectl-unstick"
