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
IMAGEFLAGS ?=# more flags for docker buildx build
BENCHFLAGS ?=# flags of the macro benchmark, such as -only drain

##@ Run

.PHONY: run
run: ## Everything on this machine in one process: api, worker, NATS, Redis stand-in, fake Meta
	go run ./cmd/dev

.PHONY: demo
demo: ## A short story played against what `make run` started
	go run ./cmd/dev demo

.PHONY: build
build: ## Static binaries of every command into bin/, with the version stamped in
	VERSION=$(VERSION) scripts/build-static bin api dev homing sandbox worker
	@ls -1sh $(patsubst cmd/%/,bin/%,$(wildcard cmd/*/))

.PHONY: image
image: ## The container image homing:VERSION, by docker buildx
	docker buildx build --load --build-arg VERSION=$(VERSION) $(IMAGEFLAGS) --target homing --tag homing:$(VERSION) .

.PHONY: image-sandbox
image-sandbox: ## The container image homing-sandbox:VERSION, for the overlay dev
	docker buildx build --load --build-arg VERSION=$(VERSION) $(IMAGEFLAGS) --target sandbox --tag homing-sandbox:$(VERSION) .

.PHONY: sbom
sbom: build ## What is in each binary, as CycloneDX, into bin/NAME.cdx.json
	cd tools && go build -o ../bin/.sbom ./sbom
	cd bin && ./.sbom api homing sandbox worker

##@ Test

.PHONY: test
test: ## The whole suite with the race detector, on a real redis-server where there is one
	@scripts/redis-notice
	go test -race -timeout $(TIMEOUT) $(TESTFLAGS) $(PKG)
	go test -timeout $(TIMEOUT) -run TestManyLanes ./internal/queue # all 10,000 of them

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
bench: ## The product against bare programs: ingest, drain, latency, tenants, cost (8 minutes)
	go run ./test/load/bench $(BENCHFLAGS)

.PHONY: bench-go
bench-go: ## Go benchmarks into bin/bench.txt, compared with bin/bench-old.txt where there is one
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

.PHONY: check-k8s
check-k8s: k8s-tools ## deploy/: manifests built, held against schemas and code, accounts and rollouts run
	go test -timeout $(TIMEOUT) $(TESTFLAGS) ./test/deploy/

.PHONY: prometheus-rule
prometheus-rule: ## deploy/prometheus as an object of the Prometheus operator
	UPDATE=true go test -run '^TestPrometheusRule$$' ./test/deploy/

.PHONY: reproducible
reproducible: ## Build every binary twice, from two folders without a cache, and compare (10 minutes)
	scripts/reproducible

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

.PHONY: k8s-tools
k8s-tools: ## Build what check-k8s needs into tools/k8s/bin, unless it is there
	@scripts/k8s-tools

.PHONY: clean
clean: ## Remove what the other targets made
	rm -rf bin tools/bin tools/k8s/bin

.PHONY: help
help: ## This list
	@awk -f scripts/help.awk $(MAKEFILE_LIST)
