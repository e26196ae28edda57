# Yipan Hub. `make` lists the targets; each sets up what it needs, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ROOMS := canonical_model connectors flows hub_api mappings vision_adapter
ODBC := unixodbc odbc-postgresql odbc-mariadb libsqliteodbc
SOAK_TIMEOUT_S ?= 7200

.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak serve lock clean odbc

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) odbc ## Run orders through a legacy estate with faults on, then compare the books
	$(BIN)/yipan demo

test: $(READY) odbc ## Run every test, with samples of the long ones
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

check: $(READY) ## Lint, format, types, imports, exported schemas
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(ROOMS) benchmarks tests
	$(BIN)/lint-imports
	$(BIN)/python -m canonical_model.schema_export --check

bench: $(READY) ## Run every benchmark; one JSON document each
	@for file in $$(grep -l '__main__' benchmarks/*.py); do \
		$(BIN)/python -m benchmarks.$$(basename $$file .py) --json || exit 1; \
	done

soak: $(READY) odbc ## Run the long crash, seed and load tests
	$(BIN)/python -m pytest -m soak --timeout $(SOAK_TIMEOUT_S)

serve: $(READY) ## Open the doors on this machine
	$(BIN)/yipan serve

lock: $(READY) ## Pin every dependency again, with hashes
	$(PIP) install uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra bench --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --output-file requirements.lock

clean: ## Remove what the targets made, except the embedded database's data
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

odbc:
	@tools/install_system.sh $(ODBC)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || tools/install_system.sh python3-venv
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes --requirement requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
