# make run     builds what it needs in .venv and answers a prompt with the built-in model
# make test    the tests, without the slow tiers     make test-all   with them
# make check   lint, types and format                make wheel      a wheel in dist/
# make gpu-check   CUDA without a card: tests, every kernel for every card
# make gpu-test    tests on a card               make gpu-bench   everything to be measured on a card

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROMPT ?= What is the capital of France?
NATIVE := $(shell find native CMakeLists.txt tools/emit.py -type f) $(shell find src -name '*_table.py')

.PHONY: run test test-all check tidy format wheel clean native gpu-check gpu-kernels gpu-test gpu-bench

run: $(VENV)/installed
	$(BIN)/ostinato run "$(PROMPT)" < /dev/null

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -q -m "not slow"

test-all: $(VENV)/installed-test
	$(BIN)/python -m pytest -q

check: $(VENV)/installed-check tidy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files '*.h' '*.cpp' '*.cu' '*.cuh' ':!native/tokenizer/unicode_tables.h' | xargs $(BIN)/clang-format --dry-run --Werror

format: $(VENV)/installed-check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	git ls-files '*.h' '*.cpp' '*.cu' '*.cuh' ':!native/tokenizer/unicode_tables.h' | xargs $(BIN)/clang-format -i

wheel: $(VENV)/bin/python
	$(BIN)/pip -q wheel --no-deps -w dist .

gpu-check: gpu-kernels
	$(BIN)/python -m pytest -q tests/backends/cuda
	$(BIN)/python tools/kernel_resources.py

# The quick part of gpu-check that is not in `make test`: Triton's interpreter, and whether the cubins and docs/kernels.md
# (every kernel compiled for every card, ten minutes) were made of these sources.
gpu-kernels: $(VENV)/installed-gpu-check
	TRITON_INTERPRET=1 $(BIN)/python -m pytest -q tests/backends/cuda/test_prompt.py
	$(BIN)/python tools/cubins.py --check
	$(BIN)/python tools/kernel_resources.py --check

gpu-test: $(VENV)/installed-test
	$(BIN)/python -m pytest -q tests/gpu
	$(BIN)/python -m pytest -q tests/backends tests/golden --ignore=tests/backends/cuda -k "cuda and not cuda-host"

gpu-bench: $(VENV)/installed-test
	$(BIN)/python -m bench.gpu.run --out bench/results

# clang-tidy reads what does not need its own instruction-set flags or Python's headers.
TIDIED := $(shell git ls-files 'native/*.cpp' | grep -vE 'binding|module|test|fuzz|avx|amx|neon|portable')
tidy: build/dev/build.ninja
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --build build/dev --target tables
	echo $(TIDIED) | xargs -P2 -n4 $(BIN)/clang-tidy -p build/dev --quiet

# An incremental build of the native modules into src/ostinato, for work on C++ (PYTHONPATH=src uses it).
native: build/dev/build.ninja
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --build build/dev

build/dev/build.ninja: $(VENV)/installed-check
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -G Ninja -S . -B build/dev -DOSTINATO_INPLACE=ON \
	    -DPython_EXECUTABLE="$(CURDIR)/$(BIN)/python"

clean:
	rm -rf build dist $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import ensurepip, sysconfig, os, sys; \
	    os.path.exists(sysconfig.get_paths()["include"] + "/Python.h") or sys.exit(1)' || \
	    { echo "make: $(PYTHON) lacks venv or its headers; on Debian: apt install python3-venv python3-dev" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(BIN)/python pyproject.toml $(NATIVE)
	$(BIN)/pip -q install -e .
	@touch $@

$(VENV)/installed-test: $(BIN)/python pyproject.toml $(NATIVE)
	$(BIN)/pip -q install -e ".[test]"
	@touch $@ $(VENV)/installed

# Only what the extra lists: naming the project again would build it again.
$(VENV)/installed-gpu-check: $(VENV)/installed-test
	$(BIN)/python -c 'import tomllib; extras = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	    print(*extras["optional-dependencies"]["gpu-check"], sep="\n")' | $(BIN)/pip -q install -r /dev/stdin
	@touch $@

$(VENV)/installed-check: $(BIN)/python pyproject.toml $(NATIVE)
	$(BIN)/pip -q install -e ".[test,check]" cmake ninja nanobind
	@touch $@ $(VENV)/installed-test $(VENV)/installed
