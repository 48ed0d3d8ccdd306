# Two commands for a new machine: `make demo` and `make test`. Both are idempotent and say what they do.
SHELL := /bin/bash
VENV := .venv
ANALYSIS := .venv-analysis
PYTHON ?= python3
UV := $(VENV)/bin/python -m uv
FIND_LINKS := $(if $(PIP_FIND_LINKS),--find-links "$(PIP_FIND_LINKS)")
LABWRIGHT := $(VENV)/bin/labwright
OBJECTIVE := Does a gene-expression signature of the primary tumour predict distant metastasis in node-negative breast cancer?
# Unit tests that need the engine or a model run one after the other: beside other work a model is many times slower.
# So do the integration tests marked `alone`; the others wait for containers and libraries to start, two at a time.
ALONE := docker or embedded or bubblewrap
REQUIRED := LABWRIGHT_REQUIRE_ENGINE=1 LABWRIGHT_REQUIRE_MODEL=1
export PYTHONSAFEPATH := 1

.PHONY: demo test test-analysis test-objectives lint bench bench-run bench-judges bench-sandbox bench-retrieval bench-objectives bench-ensemble bench-fusion bench-safety bench-safety-real bench-stack bench-vision bench-web engine bubblewrap image models venv venv-dev unit integration clean

demo: venv engine image models  ## A real objective through all five agents, to a report
	@echo "== run: $(OBJECTIVE)"
	$(LABWRIGHT) run "$(OBJECTIVE)" --out .demo
	@$(LABWRIGHT) runs --out .demo
	@echo "== the report is the newest of: $$(ls -d $(CURDIR)/.demo/*/report.html | tail -n 1)"

test: venv-dev engine bubblewrap image models-test lint test-analysis  ## Lint, types, unit and integration tests
	OMP_NUM_THREADS=1 $(VENV)/bin/pytest -q -n 2 tests/unit --ignore tests/unit/tools/analysis -m "not ($(ALONE))"
	$(REQUIRED) $(VENV)/bin/pytest -q tests/unit --ignore tests/unit/tools/analysis -m "$(ALONE)"
	$(REQUIRED) $(VENV)/bin/pytest -q -n 2 --dist loadgroup --durations 20 tests/integration -m "not alone"
	$(REQUIRED) $(VENV)/bin/pytest -q --durations 10 tests/integration -m alone
	$(LABWRIGHT) bench verify run
	$(LABWRIGHT) bench verify judges
	$(LABWRIGHT) bench verify sandbox
	$(LABWRIGHT) bench verify retrieval
	$(LABWRIGHT) bench verify objectives
	$(LABWRIGHT) bench verify fusion
	$(LABWRIGHT) bench verify ensemble
	$(LABWRIGHT) bench verify vision
	$(LABWRIGHT) bench verify web
	$(LABWRIGHT) bench verify safety

# The operators run in the sandbox, on the packages of its image; their unit tests get the same ones.
test-analysis: $(ANALYSIS)/.installed  ## Unit tests of the analysis operators
	$(ANALYSIS)/bin/pytest -q -n 2 tests/unit/tools/analysis

lint: venv-dev  ## Style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: bench-run bench-judges bench-sandbox bench-retrieval bench-objectives bench-ensemble bench-fusion bench-safety bench-vision bench-stack bench-web  ## Every benchmark there is

bench-run: venv engine image models  ## The main job, measured; writes docs/benchmarks/run.json
	mkdir -p docs/benchmarks/raw
	$(LABWRIGHT) bench run --json > docs/benchmarks/run.json.new
	mv docs/benchmarks/run.json.new docs/benchmarks/run.json
	$(LABWRIGHT) bench publish

bench-judges: venv models  ## Judges and protocol metrics, measured; writes docs/benchmarks/judges.json
	mkdir -p docs/benchmarks/raw
	$(LABWRIGHT) bench judges --json > docs/benchmarks/judges.json.new
	mv docs/benchmarks/judges.json.new docs/benchmarks/judges.json
	$(LABWRIGHT) bench publish

bench-sandbox: venv engine image  ## Attacks and times of the sandbox, measured; writes docs/benchmarks/sandbox.json
	mkdir -p docs/benchmarks/raw
	$(LABWRIGHT) bench sandbox --json > docs/benchmarks/sandbox.json.new
	mv docs/benchmarks/sandbox.json.new docs/benchmarks/sandbox.json
	$(LABWRIGHT) bench publish

bench-retrieval: venv models  ## Search and quotes, measured on LABWRIGHT_TEST_DATA; writes docs/benchmarks/retrieval.json
	mkdir -p docs/benchmarks/raw
	$(LABWRIGHT) bench retrieval --json > docs/benchmarks/retrieval.json.new
	mv docs/benchmarks/retrieval.json.new docs/benchmarks/retrieval.json
	$(LABWRIGHT) bench publish

# Tunes members and asks models for hours; what is measured already is not measured again.
bench-ensemble: venv-dev models  ## Learned ensembles, measured on LABWRIGHT_TEST_DATA; writes docs/benchmarks/ensemble.json
	mkdir -p docs/benchmarks/raw
	$(LABWRIGHT) bench ensemble --json > docs/benchmarks/ensemble.json.new
	mv docs/benchmarks/ensemble.json.new docs/benchmarks/ensemble.json
	$(LABWRIGHT) bench publish

# Builds two stacks first, which takes an hour or two; what was built is used again.
bench-stack: venv-dev engine image models-test  ## Stacks of tuned models, measured; writes docs/benchmarks/stack.json
	mkdir -p docs/benchmarks/raw
	$(LABWRIGHT) bench stack --json > docs/benchmarks/stack.json.new
	mv docs/benchmarks/stack.json.new docs/benchmarks/stack.json
	$(LABWRIGHT) bench publish

bench-vision: venv-dev engine image  ## Steering, figure reading and masks of faces, measured; writes docs/benchmarks/vision.json
	mkdir -p docs/benchmarks/raw
	$(LABWRIGHT) bench vision --json > docs/benchmarks/vision.json.new
	mv docs/benchmarks/vision.json.new docs/benchmarks/vision.json
	$(LABWRIGHT) bench publish

test-objectives: venv-dev engine image  ## Every offline objective against its reference script; a few of them are in `test`
	LABWRIGHT_ALL_OBJECTIVES=1 $(REQUIRED) $(VENV)/bin/pytest -q -n 2 tests/integration/test_reference.py

# Needs the extra `ray` too; a table that was interrupted goes on where it stopped.
bench-objectives: test-objectives models  ## Workflows compared, measured; writes docs/benchmarks/objectives.json
	mkdir -p docs/benchmarks/raw
	$(LABWRIGHT) bench objectives --json > docs/benchmarks/objectives.json.new
	mv docs/benchmarks/objectives.json.new docs/benchmarks/objectives.json
	$(LABWRIGHT) bench publish

bench-fusion: venv-dev  ## Fusions of aligned models, measured; writes docs/benchmarks/fusion.json
	mkdir -p docs/benchmarks/raw
	$(LABWRIGHT) bench fusion --json > docs/benchmarks/fusion.json.new
	mv docs/benchmarks/fusion.json.new docs/benchmarks/fusion.json
	$(LABWRIGHT) bench publish

bench-safety: venv-dev  ## Attacks by fine-tuning and defences, measured; writes docs/benchmarks/safety.json
	mkdir -p docs/benchmarks/raw
	$(LABWRIGHT) bench safety --json > docs/benchmarks/safety.json.new
	mv docs/benchmarks/safety.json.new docs/benchmarks/safety.json
	$(LABWRIGHT) bench publish

bench-safety-real: models-test  ## The same on a model of 135 million weights, an hour or more; adds to safety.json
	mkdir -p docs/benchmarks/raw
	$(LABWRIGHT) bench safety --parts real --json > docs/benchmarks/safety.json.new
	mv docs/benchmarks/safety.json.new docs/benchmarks/safety.json
	$(LABWRIGHT) bench publish

# Needs Chromium too (apt-get install chromium).
bench-web: venv-dev engine image models-test  ## The web page, measured; writes docs/benchmarks/web.json
	mkdir -p docs/benchmarks/raw
	$(LABWRIGHT) bench web --json > docs/benchmarks/web.json.new
	mv docs/benchmarks/web.json.new docs/benchmarks/web.json
	$(LABWRIGHT) bench publish

venv: $(VENV)/.installed  ## The environment of a user
venv-dev: $(VENV)/.installed-dev  ## The environment of a developer

$(VENV)/bin/python:
	@echo "== making $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet uv

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "== installing labwright"
	$(UV) pip install --quiet --python $(VENV)/bin/python $(FIND_LINKS) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	@echo "== installing labwright and its development tools"
	$(UV) pip install --quiet --python $(VENV)/bin/python $(FIND_LINKS) -e . --group dev
	@touch $@ $(VENV)/.installed

$(ANALYSIS)/.installed: pyproject.toml sandbox/requirements.txt | $(VENV)/bin/python
	@echo "== making $(ANALYSIS)"
	$(PYTHON) -m venv $(ANALYSIS)
	$(UV) pip install --quiet --python $(ANALYSIS)/bin/python -r sandbox/requirements.txt
	$(UV) pip install --quiet --python $(ANALYSIS)/bin/python $(FIND_LINKS) -e . --group dev
	@touch $@

engine:  ## A container engine: the reachable one, else a private one of our own
	@bash sandbox/engine.sh start

bubblewrap:  ## The second backend of the sandbox, installed where Debian packages can be
	@bash sandbox/engine.sh bwrap

image: venv  ## The image that analyses run in, built when it is not there
	@$(LABWRIGHT) sandbox build

models: venv  ## The embedded model and the sentence encoder
	@$(LABWRIGHT) models pull all-minilm-l6-v2 qwen2.5-coder-1.5b-instruct

models-test: venv-dev  ## The models that the tests use
	@$(LABWRIGHT) models pull all-minilm-l6-v2 smollm2-135m-instruct qwen2.5-coder-1.5b-instruct

clean:  ## Remove the environment and the demo's runs
	rm -rf $(VENV) $(ANALYSIS) .demo build
