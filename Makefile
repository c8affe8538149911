# Everything that is done with this checkout by hand. `make` lists it.

SHELL         := /bin/bash
.SHELLFLAGS   := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS     += --no-builtin-rules --no-print-directory

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME  ?= 5s# per fuzz function
TIMEOUT   ?= 10m# per package of the test suite
PKG       ?= ./...# what to test, fuzz or measure
TESTFLAGS ?=# more flags for go test, such as -run or -count

##@ Run

.PHONY: run
run: ## Everything on this machine in one process: api, worker, NATS, Redis stand-in, fake Meta
	go run ./cmd/dev

.PHONY: demo
demo: ## A short story played against what `make run` started
	go run ./cmd/dev demo

.PHONY: build
build: ## Static binaries of every command into bin/, with the version stamped in
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/...
	@ls -1sh $(patsubst cmd/%/,bin/%,$(wildcard cmd/*/))

##@ Test

.PHONY: test
test: ## The whole suite with the race detector, on a real redis-server where there is one
	@scripts/redis-notice
	go test -race -timeout $(TIMEOUT) $(TESTFLAGS) $(PKG)

.PHONY: test-short
test-short: ## The quick part of the suite, without the race detector
	go test -short -timeout $(TIMEOUT) $(TESTFLAGS) $(PKG)

.PHONY: test-faults
test-faults: ## Kill, cut and freeze everything, and count what became of each event: half an hour
	go test -tags faults -count=1 -timeout 40m $(TESTFLAGS) ./internal/crash/ ./test/faults/

.PHONY: test-faults-short
test-faults-short: ## The same with fewer kills and shorter outages: under 3 minutes
	go test -tags faults -count=1 -short -timeout 8m $(TESTFLAGS) ./internal/crash/ ./test/faults/

.PHONY: fuzz
fuzz: ## Every fuzz function for FUZZTIME (5s)
	scripts/fuzz $(FUZZTIME) $(PKG)

.PHONY: bench
bench: ## Benchmarks into bin/bench.txt, compared with bin/bench-old.txt where there is one
	scripts/bench $(PKG)

.PHONY: bench-fairness
bench-fairness: ## What one tenant that fails, hangs or is throttled costs 99 others (5 minutes)
	go run ./test/load/fairness

.PHONY: cover
cover: ## Coverage of the suite over all packages, into bin/coverage.html
	@mkdir -p bin
	go test -timeout $(TIMEOUT) -coverpkg=./... -coverprofile=bin/coverage.out ./...
	go tool cover -html=bin/coverage.out -o bin/coverage.html
	@go tool cover -func=bin/coverage.out | tail -n 1

##@ Check

.PHONY: check
check: tools ## Format, vet, lint, module files, shell scripts, import and style rules
	scripts/check

.PHONY: check-rules
check-rules: ## The alerting rules and their cases, by promtool (Debian: prometheus)
	scripts/check-rules

.PHONY: fmt
fmt: tools ## Format every Go file
	tools/bin/gofumpt -w .

.PHONY: tidy
tidy: ## Tidy the module files of the product and of the tools
	go mod tidy
	cd tools && go mod tidy

##@ Housekeeping

.PHONY: tools
tools: ## Build the linters into tools/bin, unless they are there
	@scripts/tools

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf bin tools/bin

.PHONY: help
help: ## This list
	@awk -f scripts/help.awk $(MAKEFILE_LIST)
