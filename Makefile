# Builds, tests, measures and installs Argyle. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PREFIX ?= /usr/local
STATE ?= .state/default-ol
GROUP ?= argyle
LIBEXEC := $(DESTDIR)$(PREFIX)/libexec/argyle
CONF := $(DESTDIR)/etc/argyle/helper.conf
COMPLETION := $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ol

# What the project needs of Debian, beside Node 20 and npm.
APT_BUILD := make gcc g++ clang libc6-dev linux-libc-dev python3 libpython3-dev python3-pip python3-wheel python3-setuptools ca-certificates curl
APT_BENCH := docker.io
APT_TEST := clang-format libclang-rt-14-dev black flake8 bubblewrap runc user-mode-linux qemu-system-x86 busybox-static cpio kcat debootstrap prometheus haproxy zsh fish chromium

# node-gyp compiles the FFI module against Node's own headers where the machine has them, and fetches nothing then.
NODE_HEADERS := $(realpath $(dir $(realpath $(shell command -v node)))..)
ifneq ($(wildcard $(NODE_HEADERS)/include/node/node.h),)
export npm_config_nodedir ?= $(NODE_HEADERS)
endif

PY_SOURCES = $(shell git ls-files '*.py')
C_SOURCES = $(shell git ls-files 'sandbox-helper/*.c' 'sandbox-helper/*.h')

.PHONY: help deps deps-apt deps-bench build build-ts build-helper build-mirror build-uv lint lint-ts lint-format lint-c lint-py format test \
	test-unit test-integration test-contract test-e2e test-vm bench bench-burst bench-cache bench-install bench-loops bench-warmup popular paper upstream default-tree fuzz \
	up down install uninstall clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A server for the tests of buckets: an S3 of this machine.
MOTO := moto[s3]==5.2.5 flask flask-cors

deps: deps-apt node_modules/.package-lock.json build/moto ## install what is missing from Debian (as root) and npm

deps-apt:
	@node -e 'if (+process.versions.node.split(".")[0] < 20) throw 0' 2>/dev/null || \
		{ echo 'Node 20 or newer is needed, with npm' >&2; exit 1; }
	@missing=; for package in $(APT_BUILD) $(APT_TEST); do \
		[ "$$(dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null)" = installed ] || missing+=" $$package"; done; \
	[ -z "$$missing" ] && exit 0; \
	[ "$$(id -u)" = 0 ] || { echo "missing Debian packages; as root: apt-get install$$missing" >&2; exit 1; }; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing

build/moto: | build/guest/uv
	@if [ -x build/guest/uv ]; then build/guest/uv pip install -q --python /usr/bin/python3 --target $@.new '$(word 1,$(MOTO))' $(wordlist 2,9,$(MOTO)); \
	else /usr/bin/python3 -m pip install -q --target $@.new '$(word 1,$(MOTO))' $(wordlist 2,9,$(MOTO)); fi
	@mv $@.new $@

node_modules/.package-lock.json: package-lock.json
	@# Not `npm ci`: it refuses a lock that lacks optional packages of other platforms, and a registry may lack those.
	npm install --no-save --no-audit --no-fund
	@touch $@

build: build-ts build-helper build-mirror build-uv ## compile the worker, the helper and the package mirror

build-ts: node_modules/.package-lock.json
	npm run --silent build

build-helper:
	$(MAKE) -C sandbox-helper

build-mirror: node_modules/.package-lock.json
	npx tsc -p packages-mirror/tsconfig.json
	@node build/packages-mirror/main.js --build-only

# uv installs and resolves packages in sandboxes, which see it beside the guest's own files. Without it pip does.
UV_VERSION := 0.13.9

build-uv: build/guest/uv

build/guest/uv:
	@mkdir -p build/guest build/uv
	@if /usr/bin/python3 -m pip download -q --no-deps --no-cache-dir --only-binary :all: -d build/uv uv==$(UV_VERSION); then \
		/usr/bin/python3 -m zipfile -e build/uv/uv-$(UV_VERSION)-*.whl build/uv && \
		install -m 755 build/uv/uv-$(UV_VERSION).data/scripts/uv $@; \
	else echo 'uv cannot be downloaded; pip installs packages in its place, more slowly' >&2; fi; rm -rf build/uv

lint: lint-ts lint-format lint-c lint-py ## check style, types and the direction of imports

lint-ts: node_modules/.package-lock.json
	npm run --silent lint

lint-format: node_modules/.package-lock.json
	npm run --silent format:check -- --log-level warn

lint-c:
	@[ -z "$(C_SOURCES)" ] || clang-format --dry-run -Werror $(C_SOURCES)

lint-py:
	@[ -z "$(PY_SOURCES)" ] || /usr/bin/black --quiet --check --diff $(PY_SOURCES)
	@[ -z "$(PY_SOURCES)" ] || /usr/bin/python3 -m flake8 $(PY_SOURCES)

format: node_modules/.package-lock.json ## format everything
	npm run --silent format -- --log-level warn
	[ -z "$(C_SOURCES)" ] || clang-format -i $(C_SOURCES)
	[ -z "$(PY_SOURCES)" ] || /usr/bin/black --quiet $(PY_SOURCES)

test: ## install, build, lint and run every test; the last line counts them
	@node test/run.mjs

test-unit: build ## the tests of single modules
	@node test/run.mjs unit

test-integration: build ## the tests of several layers together, over real sandboxes (as root)
	@node test/run.mjs integration

test-contract: build ## the tests of what the original worker promises its clients
	@node test/run.mjs contract

test-e2e: build ## the tests of whole workers: escapes, tenants, networks, kills (as root)
	@node test/run.mjs e2e

test-vm: build ## the end-to-end tests in a guest that has cgroup v2 only
	@node test/run.mjs vm

deps-bench:
	@[ "$$(id -u)" != 0 ] || $(MAKE) --no-print-directory deps-apt APT_TEST='$(APT_TEST) $(APT_BENCH)'

# The V8 options of a worker: the bench measures some parts in its own process, and V8 must not compile during a wait.
BENCH_NODE = $(shell sed -n '1s/.* node //p' bin/ol)

bench: deps-bench build ## measure against fork, python3, runc, bwrap and docker: out/bench/
	npx tsc -p bench/tsconfig.json
	node $(BENCH_NODE) build/js/bench/main.js $(BENCH_ARGS)

bench-burst: build ## measure bursts of first calls (as root): out/burst/
	npx tsc -p bench/tsconfig.json
	node $(BENCH_NODE) build/js/bench/burst/main.js $(BURST_ARGS)

bench-cache: build ## what the zygote policies save on a live trace over real packages (as root): REQBENCH=directory, out/cache-bench/
	npx tsc -p bench/tsconfig.json
	node $(BENCH_NODE) build/js/bench/cache/main.js --reqbench '$(REQBENCH)' $(CACHE_ARGS)

paper: deps-bench build ## the SOCK paper's figures on this machine: out/paper/
	npx tsc -p bench/tsconfig.json
	node $(BENCH_NODE) build/js/bench/paper/main.js $(PAPER_ARGS)

bench-install: build ## measure uploads and first calls with packages of PyPI, by uv and by pip
	npx tsc -p bench/tsconfig.json
	node $(BENCH_NODE) build/js/bench/install.js $(INSTALL_ARGS)

bench-loops: build ## measure one event loop against several, and simulate more processors (as root)
	npx tsc -p bench/tsconfig.json
	node $(BENCH_NODE) build/js/bench/loops/main.js $(LOOPS_ARGS)

bench-warmup: build ## measure what the warm-up costs the first calls of a worker (as root)
	npx tsc -p bench/tsconfig.json
	node $(BENCH_NODE) build/js/bench/warm-up.js $(WARMUP_ARGS)

popular: build ## deploy sixty packages of PyPI from one unpinned line each, and use them: needs PyPI
	npx tsc -p bench/tsconfig.json
	node $(BENCH_NODE) build/js/bench/popular/main.js $(POPULAR_ARGS)

upstream: build ## run the original's own scripts against this worker (as root): DIR=checkout with its executable built
	node scripts/upstream.mjs $(DIR) $(PARTS)

default-tree: build-ts ## fit configs/default-zygotes-40.json to today's packages, by ReqBench's counts: REQBENCH=directory
	bin/ol zygote fit --reqbench $(REQBENCH) --today 60 --nodes 40 --memory 2000 -o configs/default-zygotes-40.json
	npx prettier --write configs/default-zygotes-40.json

fuzz: ## fuzz the helper's parsers and the worker's view of its guests for a bounded time
	$(MAKE) -C sandbox-helper fuzz
	ARGYLE_FUZZ_ANSWERS=$${ARGYLE_FUZZ_ANSWERS:-100000} npx jest --runInBand test/e2e/load/answers

up: deps build ## start a worker, deploy the examples and invoke one
	@scripts/up.sh $(STATE)

down: ## stop the worker of `make up`
	@scripts/up.sh -s $(STATE)

# Mode 4750: only members of the group may start the helper.
install: build ## install for everyone (as root): PREFIX=/usr/local GROUP=argyle
	@[ "$$(id -u)" = 0 ] || { echo 'make install must run as root' >&2; exit 1; }
	getent group $(GROUP) >/dev/null || groupadd --system $(GROUP)
	install -d -m 755 $(LIBEXEC) $(dir $(CONF))
	cp -r --no-preserve=ownership dist node_modules package.json bin configs $(LIBEXEC)/
	install -m 644 build/libargyle.so $(LIBEXEC)/
	rm -rf $(LIBEXEC)/guest && cp -r --no-preserve=ownership build/guest $(LIBEXEC)/guest
	chmod -R u=rwX,go=rX $(LIBEXEC)
	install -o root -g $(GROUP) -m 4750 build/sandbox-helper $(LIBEXEC)/sandbox-helper
	@[ -e $(CONF) ] || { sed "s/^caller_gid .*/caller_gid $$(getent group $(GROUP) | cut -d: -f3)/" configs/helper.conf >$(CONF); \
		chmod 644 $(CONF); echo "wrote $(CONF): edit its roots and ids"; }
	install -d -m 755 $(DESTDIR)$(PREFIX)/bin
	ln -sfn $(PREFIX)/libexec/argyle/bin/ol $(DESTDIR)$(PREFIX)/bin/ol
	install -D -m 644 configs/completion/ol.bash $(COMPLETION)

uninstall: ## remove what install made, but for helper.conf
	rm -rf $(LIBEXEC)
	rm -f $(DESTDIR)$(PREFIX)/bin/ol $(COMPLETION)

clean: ## remove what was built and measured
	rm -rf dist build out coverage
