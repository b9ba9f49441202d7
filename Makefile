# pachmount: what a person can do here. `make help` lists it.
MAKEFLAGS += --no-print-directory --no-builtin-rules
BIN := node_modules/.bin
SUMMARY := dist/test-summary
REPORT := dist/test-report.json

.DEFAULT_GOAL := help
.PHONY: help setup setup-root setup-test build bundle deps native image other-nodes demo demo-cluster test test-long test-kubernetes test-native check format bench clean
# Steps build on one another, and two installers at once would wait for the same locks.
.NOTPARALLEL:

help: ## what a person can do here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing and build; quick when nothing is missing
	@native/system.sh build run
	@$(MAKE) build
	@echo 'setup: ready: bin/pach, bin/pachmount'

setup-root: ## for an administrator: only the system packages and settings (FOR='build run test bench long')
	@native/system.sh $(or $(FOR),build run)

setup-test:
	@native/system.sh build run test

build: bundle native ## compile, without touching the system
	@node bin/keep-code.mjs
	@$(give_back)

# All that `npm pack` needs: what is native is compiled where the package is installed.
bundle: deps
	@$(BIN)/tsc -p tsconfig.json
	@node bin/bundle.mjs
	@$(give_back)

# `npm ci` begins by removing node_modules, so an interrupted one leaves no stamp. Install scripts
# are of no use to these packages, and Node's headers are a package too: nothing else is fetched.
deps:
	@wanted=$$(cat package-lock.json .npmrc | sha256sum); \
	if [ "$$(cat node_modules/.stamp 2>/dev/null)" != "$$wanted" ]; then \
	  if [ ! -w . ]; then echo "setup: you have no permission to write to $$PWD: run make setup as its owner, $$(stat -c %U .)" >&2; exit 1; fi; \
	  echo 'setup: npm ci'; \
	  npm ci --include=dev --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error && \
	  echo "$$wanted" > node_modules/.stamp && $(give_back); \
	fi

native: deps
	@$(MAKE) -C native

image: setup ## the image of workers on Kubernetes, for this machine's processor: dist/pachmount-image.tar
	@node bin/image.mjs
	@$(give_back)

# What root makes in the checkout of somebody else must not lock its owner out.
give_back = if [ "$$(id -u)" = 0 ] && [ "$$(stat -c %u . 2>/dev/null || echo 0)" != 0 ]; then \
	  for made in node_modules dist native/build .demo .bench; do \
	    if [ -e "$$made" ]; then chown -hR --reference=. "$$made"; fi; \
	  done; \
	fi

# Other versions of Node are packages of the npm registry: dist/nodes/node_modules/node24/bin/node.
OTHER_NODES := 18.20.8 24.21.0
other-nodes: deps
	@if [ "$$(cat dist/nodes/.stamp 2>/dev/null)" != '$(OTHER_NODES)' ]; then \
	  echo 'setup: Node $(OTHER_NODES), for tests'; mkdir -p dist/nodes; \
	  from=npm:node-$$(node -p 'process.platform + "-" + process.arch'); \
	  npm install --prefix dist/nodes --no-save --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error \
	    $(foreach version,$(OTHER_NODES),node$(firstword $(subst ., ,$(version)))@$$from@$(version)) && \
	  echo '$(OTHER_NODES)' > dist/nodes/.stamp && $(give_back); \
	fi

demo: ## in under a minute: a file larger than memory, versions as paths, pipelines
	@echo 'demo: installs and builds what is missing (the first time, some minutes)'; log=$$(mktemp); \
	$(MAKE) setup >"$$log" 2>&1 || { status=$$?; cat "$$log"; rm "$$log"; exit $$status; }; rm "$$log"
	@status=0; test/demo.sh || status=$$?; $(give_back); exit $$status

demo-cluster: image ## from an empty folder to a pipeline that a Kubernetes cluster runs: KUBECONFIG's, or one that is brought up here (as test-kubernetes)
	@status=0; DEMO=1 test/kubernetes/run.sh test/kubernetes/demo.test.ts || status=$$?; $(give_back); exit $$status

test: setup setup-test other-nodes ## all tests except the long ones; a skipped test is a failure (ALLOW_SKIP=1: it is not)
	@$(call run_tests,--mode test)

test-long: OTHER_NODES += 22.23.3
test-long: setup other-nodes ## crash, load and size tests
	@native/system.sh test long
	@$(call run_tests,--mode long)

test-kubernetes: image ## tests in a Kubernetes cluster: KUBECONFIG's, or one that is brought up here (root, Go; the first time, 6 minutes to build it)
	@status=0; test/kubernetes/run.sh || status=$$?; $(give_back); exit $$status

# Node itself is not built so: the sanitizer comes with it and with nothing else (a node of our own
# stands before it in PATH for what tests start), and leaks are not looked for.
SANITIZED := $(CURDIR)/dist/sanitized
test-native: setup setup-test ## tests of the addons and the mount with address, undefined-behaviour and thread sanitizers
	@$(MAKE) -s -C native clean && $(MAKE) -s -C native SANITIZE=1
	@mkdir -p $(SANITIZED); preload=$$(g++ -print-file-name=libasan.so); \
	printf '#!/bin/sh\nLD_PRELOAD=%s exec %s "$$@"\n' "$$preload" "$$(command -v node)" > $(SANITIZED)/node; chmod +x $(SANITIZED)/node; \
	status=0; PACH_TEST_NODE=$(SANITIZED) ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16 LD_PRELOAD=$$preload \
	  $(BIN)/vitest run --mode test test/base test/mount test/versions/local-content test/cli/cache || status=$$?; \
	$(MAKE) -s -C native clean; $(MAKE) -s -C native && $(MAKE) -s -C native test-threads || status=$$?; exit $$status

# The report is counted by a program of its own, so that nothing can print after the summary.
define run_tests
	rm -f $(REPORT) $(SUMMARY); status=0; \
	$(BIN)/vitest run $(1) --reporter=default --reporter=json --outputFile.json=$(REPORT) || status=$$?; \
	$(give_back); \
	node test/support/report.mjs $(REPORT) $(SUMMARY) $$status
endef

check: deps ## types, lint, format, dead code, layers; under a minute
	@status=0; $(BIN)/tsc -p test/tsconfig.json || status=$$?; $(give_back); exit $$status
	@$(BIN)/oxlint --type-aware --deny-warnings --report-unused-disable-directives src test vitest.config.ts
	@$(BIN)/oxfmt --check src test vitest.config.ts
	@$(BIN)/knip
	@$(BIN)/vitest run --mode check --reporter=dot

format: deps ## write the format that `make check` asks for
	@$(BIN)/oxfmt src test vitest.config.ts

bench: setup ## pachmount compared with others and the raw disk (BENCH=storage, mount, pipelines, dev, history, serve, stores or kubernetes, PARTS=…: only that; GATE=1: fail beyond the limits)
	@native/system.sh test bench long
	@BENCH='$(BENCH)' GATE='$(GATE)' node test/bench/run.mjs

clean: ## remove what was built
	@$(MAKE) -C native clean
	rm -rf dist node_modules .demo .bench bench.json
