PYTHON ?= python3
BIN := .venv/bin
WORKERS := --numprocesses auto --dist loadfile # a file's fixtures are made once
SOURCES := src/hardedge models train export deploy tests benchmarks docker

help: ## what the targets do
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: .venv/installed ## everything once: street scenes to verified engines and a report, in runs/demo
	$(BIN)/hardedge run --out runs/demo --force

test: lint ## lint, then the tests
	$(BIN)/python -m pytest -m "not slow and not gpu" $(WORKERS)

test-all: lint ## lint, then every test, the slow ones too
	$(BIN)/python -m pytest $(WORKERS)

test-gpu: .venv/installed ## what only a GPU shows: its tests, and the acceptance of every engine; says why one was skipped
	$(BIN)/python -m pytest -m gpu -rs
	$(BIN)/hardedge acceptance --out build/acceptance.json --force

lint: .venv/installed ## format, lint, types, import contracts, the edge side's Python, the pages' script
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vermin --quiet --violations --target=3.10- deploy src/hardedge
	$(BIN)/oxlint --deny-warnings src/hardedge/pages

docs: .venv/installed ## the pages of docs/ as a site in build/site, every link checked
	$(BIN)/zensical build --strict

IMAGES ?= edge nvidia
SOURCE ?=
images: .venv/installed ## the container images, built and tested with docker or podman; IMAGES="edge nvidia train"
	$(BIN)/python docker/images.py $(IMAGES) --source "$(SOURCE)"
	$(BIN)/python -m pytest -m slow tests/test_images.py

release-check: .venv/installed ## wheel and sdist: built, checked, installed in empty environments, in build/release
	$(BIN)/python docker/constraints.py
	$(BIN)/python -m pytest -m "slow or not slow" tests/test_release.py tests/test_packaging.py

bench: .venv/installed ## docs/performance.md: every speed target measured, but for results that runs/bench has
	$(BIN)/python benchmarks/performance.py --out docs/performance.md

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

.PHONY: help demo test test-all test-gpu lint docs images release-check bench
