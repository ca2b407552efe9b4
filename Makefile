# `make demo` shows what it is for; `make test` checks everything. Both start from nothing but
# Python 3.11 or newer with venv, a Rust toolchain and a C linker.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md \
	$(shell find src python -type f -not -name '*.pyc' -not -name '*.so')

# One interpreter for every build, or cargo would build the binding again for each.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1

say = @printf '\n==> %s\n' "$(1)"

.PHONY: demo test bench fmt lint rust wheel types python fuzz faults removed integrations strangers docs clean

demo: $(VENV)/.langchain ## An agent pays invoices; every cent can be answered for
	$(call say,demo)
	$(BIN)/python examples/accounts_payable.py

test: lint rust types python docs ## All checks
	$(call say,all checks passed)

lint: $(VENV)/.test
	$(call say,format and lint)
	cargo fmt --check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --features python -- -D warnings

# The binding is tested from Python: with pyo3 a Rust test would have to embed an interpreter.
rust: $(VENV)/.python
	$(call say,Rust tests)
	cargo test --locked

types: $(VENV)/.test
	$(call say,types)
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml answerable._core

python: $(VENV)/.test
	$(call say,Python tests)
	$(BIN)/python -m pytest
	$(BIN)/python benches/guard.py --smoke
	$(BIN)/python benches/policies.py --smoke
	$(BIN)/python benches/trail.py --smoke
	$(BIN)/python benches/analysis.py --smoke
	cargo bench --locked --profile dev --bench engine -- --smoke
	cargo bench --locked --profile dev --bench policy -- --smoke
	cargo bench --locked --profile dev --bench scale -- --smoke

docs: $(VENV)/.python
	$(call say,Rust documentation)
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

fuzz: $(VENV)/.test ## What reads bytes from outside, against a million changed ones
	$(call say,changed bytes)
	ANSWERABLE_CASES=full $(BIN)/python -m pytest tests/python/test_hostile_bytes.py

faults: $(VENV)/.test ## Attacks, and failing disks
	$(call say,attacks and faults)
	cargo test --locked --release fault
	$(BIN)/python -m pytest tests/attacks

integrations: $(VENV)/.wheel ## Each adapter against the real package, newest and oldest
	$(call say,integrations)
	$(BIN)/python tests/integrations/matrix.py

strangers: $(VENV)/.test ## Archives before Go's library for transparency logs (golang-go, golang-golang-x-mod-dev)
	$(call say,strangers)
	$(BIN)/python -m pytest -rs tests/strangers

removed: $(VENV)/.test ## Each check removed in turn: its attempt succeeds
	$(call say,attempts without their checks)
	nice -n 15 $(BIN)/python tests/attacks/remove_checks.py

bench: $(VENV)/.test
	$(call say,benchmarks)
	cargo bench --locked --bench engine
	cargo bench --locked --bench policy
	cargo bench --locked --bench scale
	$(BIN)/python benches/guard.py
	$(BIN)/python benches/policies.py
	$(BIN)/python benches/trail.py
	$(BIN)/python benches/frameworks.py
	$(BIN)/python benches/analysis.py

fmt: $(VENV)/.test
	cargo fmt
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf target dist $(VENV) .integrations .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-*

wheel: $(VENV)/.wheel

$(VENV)/.python:
	$(call say,virtual environment)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'maturin>=1.16,<2'
	@touch $@

# One build for the demo and the tests, in release: it is what ships, and debug cryptography is slow.
$(VENV)/.wheel: $(VENV)/.python $(SOURCES)
	$(call say,wheel: the first time it takes minutes)
	rm -rf dist
	$(BIN)/maturin build --release --locked --interpreter $(BIN)/python --out dist
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps dist/*.whl
	@touch $@

$(VENV)/.langchain: $(VENV)/.wheel
	$(call say,LangChain)
	$(BIN)/python -m pip install --quiet "$$(ls dist/*.whl)[langchain]"
	@touch $@

$(VENV)/.test: $(VENV)/.wheel
	$(call say,test tools)
	$(BIN)/python -m pip install --quiet "$$(ls dist/*.whl)[test]"
	@touch $@
