SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# Where the tree belongs to another user, as in a container, git tells nothing
# about it, and Go builds nothing that would say of which commit it is.
export GOFLAGS += -buildvcs=false

# staticcheck has a version of its own dependencies, so it stays out of e2e,
# where Traefik's have to be the ones it was released with.
STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.8.2

# It asks shellcheck and pyflakes where they are installed, and would find more on
# one machine than on another.
ACTIONLINT := go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 -shellcheck= -pyflakes=

# It has a package for each platform, which the lock file of e2e would have to
# name whether or not a registry has them.
BIOME := npm exec --yes --package=@biomejs/biome@2.6.8 -- biome

# They tell how good the tests are, by what these do not notice.
GREMLINS := go run github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0
STRYKER := npm exec --yes --package=@stryker-mutator/core@9.6.1 -- stryker

# What is mutated: go, or a script by its name.
MUTATE ?= go worker page status retire

# How long each fuzz target runs, or how often: 1000x.
FUZZTIME ?= 10m

# What is measured: Traefik, Large, Sockets, Million, Growth.
BENCH ?= .

# How many sessions end in make soak, for each of Actual's clients, and how many tabs of
# one browser meet the end of one.
SOAK ?= 200
TABS ?= 200

# The least share of the plugin's statements that its own tests run, in percent.
COVERAGE := 95

# The engines that the browser tests run in.
ENGINE ?= chromium firefox webkit

# What is tested in each: the promises that all have to keep, and in Chromium the rest.
tests-firefox := browser/firefox.test.js browser/firefox-apps.test.js browser/firefox-behind.test.js browser/firefox-own.test.js
tests-webkit := browser/webkit.test.js browser/webkit-apps.test.js browser/webkit-own.test.js
tests-chromium := $(filter-out $(tests-firefox) $(tests-webkit),$(patsubst e2e/%,%,$(wildcard e2e/browser/*.test.js)))
tests = $(foreach engine,$(ENGINE),$(or $(tests-$(engine)),$(error there is no engine $(engine), take chromium, firefox or webkit)))

# The tests one by one, and the table of the promises.
reporters := --test-reporter=spec --test-reporter-destination=stdout --test-reporter=./browser/table.js --test-reporter-destination=stdout

# Shows that a first build goes on: it compiles some 2,000 packages.
progress = awk -v tty="$$([ -t 2 ] && echo 1 || true)" '\
	/^go: downloading |^[^ :]+$$/ { if (++n % 50 == 0) printf tty ? "\r  %d packages" : "  %d packages\n", n; fflush(); next } \
	{ print } END { if (n >= 50) printf tty ? "\n" : "" }'

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## Start the whole stack and print the URL to open
	@cd e2e && go build -o bin/demo ./demo && exec bin/demo

.PHONY: test
test: engines lint unit yaegi e2e browser ## Run every check and test

.PHONY: lint
lint: prerequisites ## Check the form of the code
	@files=$$(gofmt -l *.go e2e); if [ -n "$$files" ]; then echo "run gofmt -w on: $$files"; exit 1; fi
	go vet ./...
	cd e2e && go vet ./...
	$(STATICCHECK) ./...
	cd e2e && $(STATICCHECK) ./...
	$(ACTIONLINT) .github/workflows/*
	$(BIOME) check --error-on-warnings
	@# What it reads is outside of its module, where Go's test cache does not look.
	cd e2e && go test -count=1 ./generate

.PHONY: generate
generate: ## Write browser.go, from browser/
	cd e2e && go run ./generate

.PHONY: unit
unit: prerequisites ## Test the plugin as compiled code, and its scripts
	go test -race -shuffle=on -coverprofile=coverage.out ./...
	@go tool cover -func=coverage.out | awk '/^total:/ { print "coverage", $$3; if ($$3 + 0 < $(COVERAGE)) { print "less than $(COVERAGE)%"; exit 1 } }'
	@# What is counted without the race detector, which allocates by itself.
	go test -run '^TestCost' .
	node --test --test-reporter=spec browser/*.test.mjs

.PHONY: yaegi
yaegi: e2e/bin/traefik ## Run the same tests in the interpreter that Traefik uses
	timeout 120 e2e/bin/yaegi test .

.PHONY: e2e
e2e: build e2e/bin/kube-apiserver e2e/bin/oauth2-proxy ## Test the plugin in a real Traefik
	cd e2e && go test -count=1 -timeout 20m ./...

.PHONY: browser
browser: engines build e2e/bin/oauth2-proxy ## Test the plugin and its scripts in browsers, or in one: ENGINE=firefox
	cd e2e && go build -o bin/control ./control
	cd e2e && node --test --test-concurrency=2 --test-timeout=1200000 $(reporters) $(tests)

.PHONY: soak
soak: engines build ## Type payments into Actual while the session ends SOAK times, and meet an end in TABS tabs
	cd e2e && go build -o bin/control ./control
	cd e2e && SOAK=$(SOAK) TABS=$(TABS) node --test --test-timeout=3600000 --test-reporter=spec \
		--test-name-pattern='expiries in a row|share one renewal' browser/silent.test.js browser/pwa.test.js

.PHONY: picture
picture: engines build ## Draw docs/status.png, the page that tells how things stand
	cd e2e && go build -o bin/control ./control
	cd e2e && node browser/picture.js ../docs/status.png

.PHONY: docs
docs: e2e/bin/traefik ## Hold the documentation to the code, the examples and the real answers
	cd e2e && go test -count=1 ./docs

.PHONY: release-check
release-check: ## Tell whether VERSION can be released, and how
	@cd e2e && go run ./release/check "$${VERSION:-}"

.PHONY: fuzz
fuzz: ## Fuzz each target for FUZZTIME
	@# Go takes up to a minute to shorten each input that it finds worth keeping, and tries none meanwhile.
	@for target in $$(grep -ho '^func Fuzz[A-Za-z]*' *_test.go | cut -c6-); do echo "$$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s .; done

.PHONY: mutate
mutate: $(addprefix mutate-,$(MUTATE)) ## Break the plugin and its scripts bit by bit, and list what no test notices

.PHONY: mutate-go
mutate-go: prerequisites
	@# It copies the whole module, which e2e makes large. What it calls not covered are
	@# constants and the conditions of cases.
	dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; cp -r go.mod *.go testdata "$$dir"; cd "$$dir"; \
		$(GREMLINS) unleash --workers 1 --timeout-coefficient 10 --exclude-files '^browser\.go$$' --output-statuses lt \
			--invert-assignments --invert-bitwise --invert-bwassign --invert-logical --invert-loopctrl --remove-self-assignments

mutate-%: prerequisites
	SCRIPT=$* $(STRYKER) run e2e/mutate/stryker.config.mjs

.PHONY: bench
bench: build ## Measure what the plugin costs, and write docs/performance.md anew
	cd e2e && go test -count=1 -run '^$$' -bench '$(BENCH)' -benchtime 1x -timeout 60m ./bench -args -into $(CURDIR)/docs/performance.md

.PHONY: microbench
microbench: prerequisites ## Measure what the plugin itself costs, compiled and interpreted
	go test -run '^$$' -bench . .
	cd e2e && go test -run '^$$' -bench . ./cost

.PHONY: build
build: prerequisites e2e/bin/traefik e2e/node_modules/.package-lock.json ## Build Traefik and install Actual Budget

.PHONY: engines
engines:
	@e2e/prerequisites $(ENGINE)

.PHONY: prerequisites
prerequisites:
	@e2e/prerequisites

e2e/bin/traefik: e2e/go.mod e2e/go.sum | prerequisites
	@echo "building Traefik, which takes some minutes the first time"
	cd e2e && go build -v -o bin/ tool 2>&1 | $(progress)
	@touch $@

e2e/bin/kube-apiserver: e2e/apiserver/go.mod e2e/apiserver/go.sum | prerequisites
	@echo "building the API server of Kubernetes, which takes some minutes the first time"
	cd e2e/apiserver && go build -v -o ../bin/etcd go.etcd.io/etcd/server/v3 2>&1 | $(progress)
	cd e2e/apiserver && go build -v -o ../bin/ k8s.io/kubernetes/cmd/kube-apiserver 2>&1 | $(progress)
	@touch $@

e2e/bin/oauth2-proxy: e2e/oauth2proxy/go.mod e2e/oauth2proxy/go.sum | prerequisites
	@echo "building oauth2-proxy, which takes a minute the first time"
	cd e2e/oauth2proxy && go build -v -o ../bin/ tool 2>&1 | $(progress)
	@touch $@

e2e/node_modules/.package-lock.json: e2e/package.json e2e/package-lock.json | prerequisites
	@echo "installing Actual Budget and an OpenID provider"
	cd e2e && npm ci --no-progress
	@touch $@
