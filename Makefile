# make demo | make test | make test-unit | make krew-test | make image | make clean-cluster
#
# All that is built lies outside the checkout, so that a fresh clone on the same machine is quick.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kubectl-etcdbackup
export CARGO_TARGET_DIR ?= $(CACHE)/target

# One target and one profile for tests, demo and image. On Linux the binary is static, because the image
# holds nothing else; an explicit target keeps build scripts and procedural macros dynamic.
host := $(shell rustc -vV | sed -n 's/^host: //p')
export CARGO_BUILD_TARGET ?= $(host)
ifneq (,$(findstring linux,$(host)))
export CARGO_TARGET_$(shell tr 'a-z-' 'A-Z_' <<< '$(host)')_RUSTFLAGS := -C target-feature=+crt-static
endif
export PLUGIN := $(CARGO_TARGET_DIR)/$(CARGO_BUILD_TARGET)/debug/kubectl-etcdbackup

.PHONY: help
help:
	@echo 'make demo           watch a backup and its way back on a real Kubernetes (root, Debian)'
	@echo 'make test           everything, on the real cluster (root, Debian)'
	@echo 'make test-unit      what needs no cluster and no root'
	@echo 'make krew-test      install, use, upgrade and remove the plugin by the real krew (root, Debian)'
	@echo 'make soak           what takes longer than make test may'
	@echo 'make bench          measure against peers; builds the binary of a release first, which takes long'
	@echo 'make image          build the image and give it to the test cluster'
	@echo 'make clean-cluster  take the test cluster down and delete its state'

.PHONY: demo test test-unit krew-test soak
demo:
	@demo/run
test test-unit krew-test soak:
	@tests/run $@

.PHONY: bench
bench:
	cargo build --profile dist --bin kubectl-etcdbackup
	PLUGIN="$(CARGO_TARGET_DIR)/$(CARGO_BUILD_TARGET)/dist/kubectl-etcdbackup" bash -c "benches/run && benches/verify && benches/newest && benches/cluster"

.PHONY: build image
build:
	cargo build
image: build
	tests/cluster/image "$(PLUGIN)"

.PHONY: clean-cluster
clean-cluster:
	tests/cluster/down --purge
