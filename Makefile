# Everything that CI and the nightly workflow do, by the same names. `make help` lists it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where the other interpreters are built, and the other Python. Only those in `.` are found without --interpreter.
OTHERS ?= .
# How many processes the tests run in: two at most, for many tests start several more.
TEST_JOBS ?= 2
IN_PROCESSES = -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder
# A nightly run. Each step that measures writes a part of the report, a folder of its own; the report takes all there are.
SHARD ?= 1/1
OUTPUT ?= reports/shards/matrix
SHARDS ?= reports/shards/*
NIGHTLY_STEPS ?= nightly-tests selftest nightly-run nightly-growth nightly-speed
# What the matrix tries: seconds for the timed rounds of one model, new interpreters, and anything else.
BUDGET ?= 60
COLD_STARTS ?= some
MATRIX ?= --backend all --condition all --life full --traits --probes
# How costs grow: seconds, and the largest model; backends that write it in seconds (torchscript, minutes for 10,000
# modules, comes last).
GROWTH_BUDGET ?= 900
MAX_BYTES ?= 1GB
MAX_MODULES ?= 10000
GROWTH_BACKENDS ?= pickle cloudpickle joblib torch_save torch_save_mmap torch_package state_dict safetensors tensorizer \
	json_spec json_spec_source bentoml torchscript
# A factor on the time of json_spec's speed, about 5 minutes.
SPEED ?= 1
PYTHON312 ?= python3.12

.PHONY: chromium languages vendor help bench bench-json-spec quick test lint nightly nightly-tests nightly-run nightly-growth nightly-speed nightly-report selftest fuzz allow-list golden interpreters bench-interpreters clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

bench: $(VENV)/.ready  ## the main job: the matrix without its slow backends, tables in reports/runs/<id>/
	$(BIN)/python -m pytest benchmarks/

quick: $(VENV)/.ready  ## a part of the matrix in about a minute: small models, three conditions, few rounds
	$(BIN)/python -m pytest benchmarks/ --quick

bench-json-spec: $(VENV)/.ready  ## json_spec's speed against its targets (5 minutes); tables in reports/runs/<id>/
	$(BIN)/python -m pytest benchmarks/test_json_spec_speed.py -q

test: $(VENV)/.ready  ## the tests, in TEST_JOBS processes
	$(BIN)/python -m pytest $(IN_PROCESSES)

lint: $(VENV)/.ready  ## style and the workflow files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --quiet --offline .github

# A step that fails is named at the end; the others and the report go on without it.
nightly: $(VENV)/.ready  ## what the nightly workflow runs, on one machine (1 to 2 hours); begins with no parts
	rm -rf reports/shards
	@failed=; for step in $(NIGHTLY_STEPS) nightly-report; do \
		echo "== $$step, $$(date -u +%H:%M:%S)"; $(MAKE) --no-print-directory $$step || failed="$$failed $$step"; done; \
	echo "== end, $$(date -u +%H:%M:%S)"; [ -z "$$failed" ] || { echo "These steps failed:$$failed"; exit 1; }

selftest: $(VENV)/.ready  ## measure what is known, and see whether it is found
	$(BIN)/roundtrip selftest

nightly-run: $(VENV)/.ready  ## everything that can be tried here, into OUTPUT; SHARD=K/N for a part of it, BUDGET=seconds
	$(BIN)/roundtrip bench $(MATRIX) --budget $(BUDGET) --cold-starts $(COLD_STARTS) --shard $(SHARD) --output $(OUTPUT)

nightly-growth: $(VENV)/.ready  ## models up to MAX_BYTES and MAX_MODULES; again: goes on where it ended
	$(BIN)/roundtrip growth $(GROWTH_BACKENDS:%=--backend %) --max-bytes $(MAX_BYTES) --max-modules $(MAX_MODULES) \
		--budget-s $(GROWTH_BUDGET) --output reports/shards/growth

nightly-speed: $(VENV)/.ready  ## json_spec's speed against its targets, as a part of the report
	rm -rf reports/shards/json_spec_speed
	ROUNDTRIP_SPEED_BUDGET=$(SPEED) $(BIN)/python -m pytest benchmarks/test_json_spec_speed.py -v \
		--output reports/shards/json_spec_speed

nightly-report: $(VENV)/.ready  ## SHARDS as one report in reports/nightly, in the history, and what changed since the last
	rm -rf reports/nightly
	$(BIN)/roundtrip merge $(SHARDS) --output reports/nightly
	$(BIN)/roundtrip history --add reports/nightly --page reports/nightly/trend.html
	$(BIN)/roundtrip report reports/nightly
	if [ -d reports/last ]; then $(BIN)/roundtrip compare reports/last reports/nightly | tee reports/nightly/changes.txt; fi
	rm -rf reports/last && cp -R reports/nightly reports/last

nightly-tests: $(VENV)/.ready  ## the long tests too
	$(BIN)/python -m pytest -m "nightly or not nightly" $(IN_PROCESSES)

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

interpreters: $(OTHERS)/.venv-py312/.ready $(OTHERS)/.venv-torch213/.ready  ## another Python and another torch, to load what is made here (4 GB)

bench-interpreters: interpreters  ## the matrix, loaded under those
	$(BIN)/python -m pytest benchmarks/ --rounds 0 --condition fresh_process --condition other_interpreter

languages: $(VENV)/.ready  ## C++ and JavaScript, to try whether an artifact runs without Python (g++, node and npm; 300 MB)
	mkdir -p .languages && cd .languages && npm install --silent --no-save --ignore-scripts --prefix . onnxruntime-node@1.30.0
	torch=$$($(BIN)/python -c 'import torch; print(torch.__path__[0])') && g++ -std=c++20 -O1 \
		-I$$torch/include -I$$torch/include/torch/csrc/api/include harness/safety/languages/run_torchscript.cpp \
		-o .languages/run_torchscript -L$$torch/lib -Wl,-rpath,$$torch/lib -ltorch -ltorch_cpu -lc10

clean:  ## remove the environments and all runs
	rm -rf $(VENV) .languages .venv-py312 .venv-torch213 reports/runs reports/shards reports/nightly reports/last

# The environment, made again when what it holds changes.
$(VENV)/.ready: pyproject.toml constraints.txt build-constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet pip==26.3  # older ones do not know --build-constraint
	$(BIN)/python -m pip install --quiet -c constraints.txt --build-constraint build-constraints.txt -e '.[all,dev]'
	@touch $@

# Another interpreter: the same versions of everything, with its own Python or torch. The libraries of CUDA (3 GB) are
# no Python: they are shared with the first environment where it has them. `===`: no local build such as 2.13.0+cpu.
define interpreter
	$(1) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet pip==26.3
	grep -vE '^(#|torch==|torchvision==|nvidia-|cuda-|triton)' constraints.txt > $(@D)/libraries.txt
	$(@D)/bin/python -m pip install --quiet --no-deps --build-constraint build-constraints.txt $(2) -r $(@D)/libraries.txt
	@site=$$(echo $(abspath $(@D))/lib/python3*/site-packages); \
	first=$$($(BIN)/python -c 'from importlib.util import find_spec; print(find_spec("torch").origin)' | sed 's,/torch/.*,,'); \
	if [ -d $$first/nvidia ] && ! [ -e $$site/nvidia ]; then ln -s $$first/nvidia $$site/nvidia; fi
	$(@D)/bin/python -I -c 'import torch, torchvision'
	@touch $@
endef

$(OTHERS)/.venv-py312/.ready: constraints.txt | $(VENV)/.ready
	$(call interpreter,$(PYTHON312),$(shell sed -nE 's/^(torch|torchvision)==/\1===/p' constraints.txt))

$(OTHERS)/.venv-torch213/.ready: constraints.txt | $(VENV)/.ready
	$(call interpreter,$(BIN)/python,torch===2.13.0 torchvision===0.28.0)
