# Thin targets; what they do is in `swot-vre` (hub/swotvre_hub/cli) and in tests/run.py.
PYTHON ?= python3
PORT ?=
ARGS ?=
STATE := $(or $(SWOTVRE_STATE),.vre)
BOOTSTRAP = $(PYTHON) hub/swotvre_hub/bootstrap.py --state $(STATE)
DEV = $(STATE)/env/dev/bin

.PHONY: up down test lint types format bench bench-data docs locks clean help dev

help:
	@echo "make up      install what is missing, start the hub on this machine; Ctrl-C stops it"
	@echo "make test    every test, installing what they need      make lint types   the same checks as CI"
	@echo "make docs    the documentation site                     make bench        speed, as ratios"
	@echo "make bench-data   reductions over 10,512 files (40 GB of disk; ARGS=--quick for a few)"
	@echo "make locks   resolve the requirement locks anew         make clean        remove .vre"

up:
	@$(BOOTSTRAP) hub
	@exec $(STATE)/env/hub/bin/swot-vre up --state $(STATE) $(if $(PORT),--port $(PORT))

down:
	@$(STATE)/env/hub/bin/swot-vre down --state $(STATE)

dev:
	@$(BOOTSTRAP) hub dev

test: dev
	@exec $(DEV)/python tests/run.py

lint: dev
	@$(DEV)/ruff check . && $(DEV)/ruff format --check . && PYTHONPATH=hub:kernels:catalogs:extensions/swotvre-lab $(DEV)/lint-imports

types: dev
	@$(DEV)/mypy

format: dev
	@$(DEV)/ruff check --fix . && $(DEV)/ruff format .

bench: dev
	@exec $(DEV)/python tests/run.py --bench

bench-data: dev
	@exec $(DEV)/python tests/run.py --bench-data $(ARGS)

docs: dev
	@exec $(DEV)/python docs/build.py

locks: dev
	@exec $(DEV)/python locks/resolve.py

clean:
	@$(BOOTSTRAP) --remove
