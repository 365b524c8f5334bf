# Everything a checkout needs. `make setup` once (any target does it too); what is done already costs a second.
#
#   make setup        .venv, packages of the system (the sandbox's, PostgreSQL), weights for the tests
#   make test         every test: test-plain (ARGS= goes to its pytest), then test-sglang
#   make test-sglang  those that start a real SGLang server on the CPU (ARGS= goes to pytest)
#   make sglang-env   the environment they run in, 3 GB, built once (outside the tree, as weights are)
#   make test-peers   those of benchmarks beside other projects, in the environment that has these (.venv-bench)
#   make lint         ruff, formatting, types
#   make demo         the demonstration on a real model (QUICK=1 for the short one)
#   make bench-setup  .venv-bench: what benchmarks compare with (dspy, torch, transformers)
#   make bench-NAME   one benchmark (ARGS= goes to it)
#   make clean        both environments and all caches in the tree
#
# Weights lie outside the tree, in $FLOPWISE_HOME or ~/.cache/flopwise.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export PIP_NO_INPUT := 1

VENV := .venv
BENCH := .venv-bench
TEST_MODEL := smollm2-135m-instruct
TEST_EMBEDDER := all-minilm-l6-v2
DEMO_MODEL := qwen2.5-coder-1.5b-instruct
CODE := flopwise tests benchmarks examples
STAND_INS := flopwise/backends/engines/sglang/cpu
EXTRAS := openvino,sglang,openai,pandas,postgres,asp,mcp,serve,dev,demo
BENCH_EXTRAS := openvino,serve,asp,bench,demo

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
# An environment is made again when what it was made from has changed.
STAMP := installed-$(shell cksum < pyproject.toml | cut -d" " -f1)

.PHONY: setup system weights test test-plain test-sglang test-peers sglang-env lint demo bench-setup clean

setup: weights
	@echo "setup: done"

system:
	@[ -n "$(PYTHON)" ] || { echo "setup: Python 3.11 or later is needed; install it, or name it: make PYTHON=..."; exit 1; }
	@missing=; command -v bwrap >/dev/null || missing="bubblewrap"; \
	  command -v initdb /usr/lib/postgresql/*/bin/initdb >/dev/null || missing="$$missing postgresql"; \
	  [ -x $(VENV)/bin/python ] || $(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
	  [ -z "$$missing" ] || $(call apt,$$missing)

# $(call apt,PACKAGES): install Debian packages, or say which are needed.
define apt
{ if [ "$$(id -u)" = 0 ]; then as=; elif sudo -n true 2>/dev/null; then as="sudo -n"; \
    else echo "setup: these packages are needed:" $(1) "; install them as root, then run make again"; exit 1; fi; \
  echo "setup: installing" $(1); \
  $$as apt-get -qq update >/dev/null; \
  $$as env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(1) >/dev/null; }
endef

# $(call environment,FOLDER,REQUIREMENTS): a fresh environment; kept only where all of it was installed.
define environment
	@echo "setup: $(1) with $(2) (minutes, the first time)"
	@[ -x $(1)/bin/python ] && $(1)/bin/python -c '' 2>/dev/null || { rm -rf $(1); $(PYTHON) -m venv $(1); }
	@rm -f $(1)/installed-*
	@$(1)/bin/python -m pip install -qq $(2)
	@touch $@
endef

$(VENV)/$(STAMP): | system
	$(call environment,$(VENV),-e '.[$(EXTRAS)]')

$(BENCH)/$(STAMP): | system
	$(call environment,$(BENCH),-e '.[$(BENCH_EXTRAS)]')

# $(call pull,MODEL): get weights; nothing to do where they are here and whole.
define pull
@$(VENV)/bin/flopwise models pull $(1)
endef

weights: system $(VENV)/$(STAMP)
	$(call pull,$(TEST_MODEL))
	$(call pull,$(TEST_EMBEDDER))

test: test-plain
	@$(MAKE) test-sglang ARGS=

test-plain: setup
	@$(VENV)/bin/python -m pytest $(ARGS)

sglang-env: setup
	@$(VENV)/bin/flopwise sglang setup $(TEST_MODEL) >/dev/null || { \
	  echo "test: SGLANG IS NOT SET UP, so nothing here was tested against a real server"; exit 1; }

# All checkouts share the environment: it has no flopwise of its own, and gets this one by its path. What stands in
# for SGLang's kernels is on the path, too, for the tests that run SGLang in their own process.
test-sglang: sglang-env
	@PYTHONUNBUFFERED=1 PYTHONPATH=$(CURDIR):$(CURDIR)/$(STAND_INS) SGLANG_USE_CPU_ENGINE=1 HF_HUB_OFFLINE=1 \
	  "$$($(VENV)/bin/flopwise sglang setup)" -m pytest tests/sglang $(ARGS)

lint: $(VENV)/$(STAMP)
	@$(VENV)/bin/ruff check $(CODE)
	@$(VENV)/bin/ruff format --check $(CODE)
	@$(VENV)/bin/mypy

demo: setup
	$(call pull,$(DEMO_MODEL))
	@$(VENV)/bin/python examples/demo.py $(if $(QUICK),--quick) $(ARGS)

bench-setup: system $(BENCH)/$(STAMP)

test-peers: bench-setup
	@$(BENCH)/bin/python -m pytest tests/peers $(ARGS)

bench-%: bench-setup
	@$(BENCH)/bin/python -m benchmarks $* $(ARGS)

clean:
	@rm -rf $(VENV) $(BENCH) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
