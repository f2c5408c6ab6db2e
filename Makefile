# make book   computes the paper on this machine and builds it
# make test   runs the tests
SHELL  := /bin/bash
STUDY  ?= demo
DATA   ?=
JOBS   ?= 2
PYTHON ?= $(shell for v in 3.11 3.12 3.13; do "python$$v" -c "" 2>/dev/null && command -v "python$$v" && break; done || command -v python3)
BIN    := .venv/bin
export EXE_DATA := $(if $(DATA),$(or $(shell cd "$(DATA)" 2>/dev/null && pwd),$(DATA)),$(EXE_DATA))
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup book pdf lab test lint lock audit clean

help:  ## list the tasks
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 10
	@echo "STUDY=$(STUDY) (of $(basename $(notdir $(wildcard configs/*.yml)))), DATA=<folder>, JOBS=$(JOBS)"

setup: $(BIN)/.complete  ## make the environment in .venv from the hashed lock

$(BIN)/.complete: requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11, 5) <= sys.version_info[:3] < (3, 14))' || { echo "Python 3.11 (from 3.11.5), 3.12 or 3.13 is needed: install one, or say PYTHON=<path>"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module: install it (Debian: apt-get install python3-venv)"; exit 1; }
	@rm -f $@
	@if command -v uv >/dev/null; then \
	  echo "installing with uv"; \
	  uv venv --quiet --allow-existing --seed --python "$(PYTHON)" .venv && \
	  uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
	  echo "installing with pip, 2 to 5 minutes"; \
	  "$(PYTHON)" -m venv .venv && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	@touch $@

book: setup  ## compute a study and build its book: STUDY=demo|smoke|film|real|exe|rafdb|sentiment DATA=<folder> JOBS=n
	@exe build $(STUDY) --jobs $(JOBS)

pdf: book  ## print the book as one PDF, _build/book.pdf; needs Chromium
	@EXE_STUDY=$(STUDY) jupyter-book build . --builder singlehtml --quiet > _build/pdf.log 2>&1 || { cat _build/pdf.log; exit 1; }
	@cp _build/singlehtml/book/index.html _build/singlehtml/book.html
	@chromium --headless --no-sandbox --disable-gpu --no-pdf-header-footer --virtual-time-budget=60000 \
	  --print-to-pdf=_build/book.pdf "_build/singlehtml/book.html" 2>> _build/pdf.log || { cat _build/pdf.log; exit 1; }
	@echo "the book to print: $(CURDIR)/_build/book.pdf"

lab: setup  ## open the notebooks in JupyterLab (installs it first)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check jupyterlab
	@jupyter lab notebooks

test: setup  ## run the quick tests; SLOW=1 runs all
	@pytest $(if $(SLOW),,-m "not slow")

lint: setup  ## check style and types
	@ruff check . && ruff format --check . && mypy

lock:  ## make requirements.lock anew from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv"; exit 1; }
	uv pip compile --universal --python-version 3.11 --generate-hashes --extra study --extra book \
	  --extra test --extra slurm \
	  --no-emit-index-url --no-header --no-annotate -q --upgrade -o requirements.lock pyproject.toml

audit:  ## look the packages of the lock up among known weaknesses (needs uv and the network)
	@command -v uvx >/dev/null || { echo "make audit needs uv: pip install uv"; exit 1; }
	uvx pip-audit --require-hashes --disable-pip -r requirements.lock

clean:  ## remove what was computed; .venv stays
	rm -rf _build book/executed data/raw data/processed data/results .snakemake
