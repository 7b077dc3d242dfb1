.PHONY: help build test bench fuzz mutants

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 18

build: ## ./tidings and ./relyingparty
	go build -o ./ ./cmd/...

test: ## every check and test, with a PostgreSQL of its own; SOAK=90s PACKAGES=./hub/...
	@.ci/test

bench: ## benchmarks beside their baselines; BENCH=regexp BIG=1
	@.ci/bench

fuzz: ## every fuzz test for FUZZTIME=10s; FUZZ=regexp
	@.ci/fuzz

mutants: ## break each invariant on purpose and see its test fail
	@.ci/with-postgres -- .ci/mutants
