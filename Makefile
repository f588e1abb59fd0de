# Every target does its own set-up. Needs Python 3.11 or later, a C++20 compiler, git and make; the rest comes from PyPI.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python,$(if \
  $(shell $(p) -c 'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),$(p))))
VENV ?= .venv
FUZZ_SECONDS ?= 40
BIN := $(VENV)/bin
CXX_FILES := $(shell find runtime -name "*.cc" -o -name "*.h")
BUILD_INPUTS := pyproject.toml constraints.txt CMakeLists.txt $(filter-out runtime/tests/% runtime/fuzz/%,$(CXX_FILES))
# What is never imported need not be compiled to bytecode.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --editable

# For the isolated build too; pip 25.3 and later read the second name there.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: picture test lint layout types-and-objects types objects cpp fuzz lines pytest bench aot mutants families format stub clean distclean
.NOTPARALLEL:

picture: $(VENV)/.base
	mkdir -p out
	$(BIN)/fewstep generate -m toons16 -p "green critter on purple" -n 4 --steps 2 --seed 7 --layout sheet -o out/picture.png

test: types-and-objects lint layout cpp fuzz lines pytest

# pip and mypy use one core each: C++ is compiled beside them.
types-and-objects: $(VENV)/.tools
	$(MAKE) objects & objects=$$!; $(MAKE) types; types=$$?; wait $$objects && exit $$types

lint: $(VENV)/.dev
	$(BIN)/ruff check

layout: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)

types: $(VENV)/.dev
	$(BIN)/mypy

objects: $(VENV)/.tools
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/cmake -G Ninja -S . -B build/cpp -Wno-dev \
	  -DFEWSTEP_SANITIZE=ON -DFEWSTEP_FUZZ=ON -DCMAKE_COMPILE_WARNING_AS_ERROR=ON
	$(BIN)/cmake --build build/cpp --target all fuzzers

cpp: objects
	$(BIN)/ctest --test-dir build/cpp --output-on-failure --parallel $(shell nproc)

# What reads plans, against inputs that nobody wrote. One that ends it is left in build/fuzz/*/crash-input.
fuzz: objects
	for name in container program; do mkdir -p build/fuzz/$$name/kept && (cd build/fuzz/$$name && ../../cpp/$${name}_fuzz \
	  kept ../../../runtime/fuzz/corpus/$$name -max_total_time=$(FUZZ_SECONDS)) & pids="$$pids $$!"; done; \
	  for pid in $$pids; do wait $$pid || exit 1; done

lines: $(VENV)/.dev
	$(BIN)/python .ci/lines.py

pytest: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(shell nproc) --dist loadfile --no-loadscope-reorder

bench: $(VENV)/.bench
	set -e; for file in $$(grep -l __main__ benchmarks/*.py); do \
	  $(BIN)/python -m benchmarks.$$(basename $$file .py); done

aot: $(VENV)/.dev
	$(BIN)/python -m benchmarks.aot

mutants: $(VENV)/.dev
	$(BIN)/python tests/mutants.py

families: $(VENV)/.dev
	$(BIN)/python tests/family_coverage.py
	$(BIN)/python tests/folder_parity.py
	$(BIN)/python tests/half_parity.py
	$(BIN)/python tests/editing_parity.py
	$(BIN)/python -m pytest -m slow

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CXX_FILES)

stub: $(VENV)/.dev
	$(BIN)/python -m nanobind.stubgen -q -m fewstep._runtime -o src/fewstep/_runtime.pyi

clean:
	rm -rf build dist out .mypy_cache .ruff_cache .pytest_cache .hypothesis

distclean: clean
	rm -rf $(VENV)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "fewstep needs Python 3.11 or later: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.tools: constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile cmake ninja
	touch $@

$(VENV)/.base: $(BUILD_INPUTS) | $(BIN)/python
	$(INSTALL) .
	touch $@

$(VENV)/.dev: $(BUILD_INPUTS) | $(BIN)/python
	$(INSTALL) ".[dev]"
	touch $@ $(VENV)/.base

$(VENV)/.bench: $(VENV)/.dev
	$(INSTALL) ".[dev,bench]"
	touch $@
