# Everything that CI and the nightly workflow do, by the same names. `make help` lists it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: chromium vendor help bench bench-json-spec quick test lint nightly nightly-tests fuzz allow-list golden clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

bench: $(VENV)/.ready  ## the main job: the whole matrix, tables in reports/runs/<id>/
	$(BIN)/python -m pytest benchmarks/

quick: $(VENV)/.ready  ## the matrix in under a minute: small models, few rounds
	$(BIN)/python -m pytest benchmarks/ --quick

bench-json-spec: $(VENV)/.ready  ## json_spec's speed against its targets (minutes); speed.csv in reports/runs/<id>/
	$(BIN)/python -m pytest benchmarks/test_json_spec_speed.py -q

test: $(VENV)/.ready  ## the tests
	$(BIN)/python -m pytest

lint: $(VENV)/.ready  ## style and the workflow files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

nightly: nightly-tests bench  ## what the nightly workflow runs

nightly-tests: $(VENV)/.ready  ## the long tests too
	$(BIN)/python -m pytest -m "nightly or not nightly"

chromium:  ## the browser that the page's tests drive, if there is none (Debian's packages)
	@{ command -v chromium || command -v google-chrome; } >/dev/null && command -v chromedriver >/dev/null || \
		{ apt-get update --quiet && \
		apt-get install --yes --quiet --no-install-recommends chromium chromium-driver; } >/dev/null

vendor:  ## take the page's charting libraries from npm again; versions are listed in harness/page/vendor/README.md
	cd harness/page/vendor && npm pack --silent @observablehq/plot@0.6.17 d3@7.9.2 >/dev/null && \
		tar xzf observablehq-plot-*.tgz --strip-components=2 package/dist/plot.umd.min.js && \
		tar xzf observablehq-plot-*.tgz --strip-components=1 package/LICENSE && mv LICENSE LICENSE.plot && \
		tar xzf d3-*.tgz --strip-components=2 package/dist/d3.min.js && \
		tar xzf d3-*.tgz --strip-components=1 package/LICENSE && mv LICENSE LICENSE.d3 && rm -f *.tgz

fuzz: $(VENV)/.ready  ## mutated artifacts against json_spec's loader, FUZZ_MINUTES (5) of them
	$(BIN)/python -m pytest -m nightly tests/json_spec/test_fuzz.py

allow-list: $(VENV)/.ready  ## make again the names that any json_spec file may use
	$(BIN)/python -m tests.json_spec.allowed_lists

golden: $(VENV)/.ready  ## artifacts of the present version that later ones must read; writes none again
	$(BIN)/python -m tests.json_spec.golden

clean:  ## remove the environment and all runs
	rm -rf $(VENV) reports/runs

# The environment, made again when what it holds changes.
$(VENV)/.ready: pyproject.toml constraints.txt build-constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet pip==26.3  # older ones do not know --build-constraint
	$(BIN)/python -m pip install --quiet -c constraints.txt --build-constraint build-constraints.txt -e '.[all,dev]'
	@touch $@
