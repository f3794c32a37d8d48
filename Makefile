# `make demo` runs the whole study in minutes on two cores, `make test` checks it. Both make .venv first.

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export COVERAGE_FILE := $(CURDIR)/.coverage

# Three files of tests at a time, on any number of cores: they mostly wait for processes to start.
SIDE_BY_SIDE := -n 3 --dist loadfile --no-loadscope-reorder
MINUTES ?= inf

.PHONY: help install demo slurm-demo check test test-all coverage lint types lowest mutation gpu docs site lock sbom licences audit clean

help:
	@echo "make install   make .venv with the locked dependencies"
	@echo "make demo      run the study of config/demo.yaml: snakemake --profile local"
	@echo "make slurm-demo  the same on a Slurm of two nodes on this machine, started for it: root and Debian's slurm-wlm are needed"
	@echo "make check     in 90 seconds: format, lint, types, import contracts, tests of the mathematics and the parts"
	@echo "make test      in twenty minutes: these, and the pipeline for real"
	@echo "make test-all  all tests: also faults, Slurm, a browser; MINUTES=40 begins no long test after forty minutes"
	@echo "make coverage  run the tests of make test under coverage, and list the lines that none runs"
	@echo "make lowest    the tests of the mathematics and the parts, with the lowest versions that pyproject.toml allows"
	@echo "make mutation  change the mathematics in a thousand places, and list the changes that no test notices"
	@echo "make gpu       on a machine with a GPU: test and measure everything there, into docs/results/gpu.md"
	@echo "make docs      rebuild the pages that are made: config/README.md and docs/reruns.md"
	@echo "make site      in seconds: build the documentation into site/, with every link checked"
	@echo "make lock      rewrite requirements.lock after a change of the dependencies in pyproject.toml"
	@echo "make sbom      write what is installed as CycloneDX into sbom.cdx.json"
	@echo "make licences  list the licences of what is installed; unknown ones and strong copyleft fail"
	@echo "make audit     ask for known vulnerabilities of what requirements.lock names: needs the internet"
	@echo "make clean     remove what runs leave behind: data, results, logs"

install: .venv/installed

.venv/installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	command -v uv > /dev/null || $(BIN)/python -m pip install --quiet "uv>=0.9"
	uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

mutation: install
	PYTHONPATH=.:tests python tests/mutation.py

lowest: .venv-lowest/installed
	.venv-lowest/bin/python -m pytest --core -m "not pipeline and not long" -n auto --dist worksteal

.venv-lowest/installed: pyproject.toml .venv/installed
	uv venv --quiet --clear --python 3.11 .venv-lowest
	uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --group test --editable .
	touch $@

gpu: install
	python benchmarks/gpu.py --output docs/results/gpu.md

demo: install
	snakemake --profile local
	@echo
	@echo "The report:    $(CURDIR)/results/demo/report.html"
	@echo "The MLflow UI: $(BIN)/mlflow ui --backend-store-uri sqlite:///results/mlflow.db, then http://localhost:5000"

slurm-demo: install
	tests/cluster/slurm.sh up
	snakemake --profile slurm --workflow-profile tests/cluster/site --configfile config/demo.yaml; \
	status=$$?; tests/cluster/slurm.sh down; exit $$status

docs: install
	python -m fig.study.reference config/README.md
	PYTHONPATH=.:tests python -m support.reruns_page > docs/reruns.md.new && mv docs/reruns.md.new docs/reruns.md

site: install
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
	@echo "The site: $(CURDIR)/site/index.html, or with its search: python3 -m http.server --directory site"

lock: install
	uv pip compile --quiet --universal --all-extras --group dev pyproject.toml --no-annotate \
	  --generate-hashes --custom-compile-command "make lock" --output-file requirements.lock

sbom: install
	cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o sbom.cdx.json $(BIN)/python

licences: install
	pip-licenses  # [tool.pip-licenses] of pyproject.toml says what fails

# pip-audit fails alike where it finds something, which it prints, and where it gets no answer, which it does not.
audit: install
	@found=$$(pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock 2> /dev/null) \
	  || found=$${found:-make audit: not every package could be asked for: this needs the internet}; \
	  if [ -n "$$found" ]; then echo "$$found" >&2; exit 1; else echo "no known vulnerabilities"; fi

types: install
	mypy

lint: install
	ruff check
	ruff format --check
	lint-imports
	python tests/words.py
	snakefmt --check Snakefile workflow
	snakemake --lint --configfile config/demo.yaml

# Processes side by side have one thread each: several would wait for each other.
check test test-all coverage lowest mutation: export OMP_NUM_THREADS := 1

check: lint types
	pytest -m "not pipeline and not slow and not long" -n auto --dist worksteal

test: lint types
	pytest -m "not long" $(SIDE_BY_SIDE)

test-all: lint types
	pytest --durations=25 -rs --minutes $(MINUTES) $(SIDE_BY_SIDE)

coverage: install
	rm -f .coverage*
	coverage run -m pytest -m "not long" $(SIDE_BY_SIDE)
	coverage combine --quiet
	coverage report

clean:
	rm -rf data/[0-9]* results logs .snakemake
