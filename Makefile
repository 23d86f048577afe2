.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help install demo test test-builds test-slow test-postgres bench lint format dev reference docs bi bi-export lock wheel clean

help: ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+): .*## (.*)/  make \1\t\2/' | expand -t 20

install: .venv/installed ## everything into .venv

# uv installs the lock in seconds where pip takes minutes. It reads no configuration of pip's, so the
# index and the certificates that pip is configured with are handed on, unless uv has its own.
.venv/installed: requirements.lock requirements-uv.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "testruns needs Python 3.11 or newer; name one with make PYTHON=python3.12"; exit 2; }
	@set -e; pip_config() { $(PYTHON) -m pip config get "global.$$1" 2>/dev/null || true; }; \
	index=$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$(pip_config index-url)}}; \
	cert=$${SSL_CERT_FILE:-$${PIP_CERT:-$$(pip_config cert)}}; \
	[ -z "$$index" ] || export UV_DEFAULT_INDEX="$$index"; \
	[ -z "$$cert" ] || export SSL_CERT_FILE="$$cert"; \
	if uv=$$(command -v uv); then \
		uv venv --quiet --allow-existing --no-python-downloads \
			--python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv; \
	else \
		$(PYTHON) -m venv .venv; uv=$(BIN)/uv; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check \
			--require-hashes -r requirements-uv.txt; \
	fi; \
	install() { "$$uv" pip install --quiet --python $(BIN)/python "$$@"; }; \
	install --require-hashes -r requirements.lock; \
	install --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pipelines.transform.manifest
	@touch $@

demo: install ## the nightly job end to end: embedded Postgres, bundled sandbox APIs
	@$(BIN)/testruns demo

PARALLEL := -n logical --dist loadfile --no-loadscope-reorder

test: install ## the suite, but for the two that follow
	$(BIN)/python -m pytest $(PARALLEL) -m "not builds and not slow"

test-builds: install ## tests that run dbt, or whole nights
	$(BIN)/python -m pytest $(PARALLEL) -m "builds and not slow"

test-slow: install ## tests that take minutes: random kills, thousands of faults
	$(BIN)/python -m pytest -m slow

test-postgres: install ## migrations, loads and models on TESTRUNS_TEST_WAREHOUSE_URL
	$(BIN)/python -m pytest -m "not slow" tests/transform/test_dbt_models.py tests/warehouse/test_migrations.py \
	  tests/transform/test_what_people_build.py tests/warehouse/test_replace_relation.py \
	  tests/warehouse/test_writer.py tests/warehouse/test_ledger.py tests/ingest/test_load*.py \
	  tests/ingest/test_reconciliation.py tests/ingest/test_audit.py tests/ingest/test_backfill.py \
	  tests/ingest/test_reparse.py tests/ingest/test_lies.py tests/ingest/test_import*.py

bench: install ## the product against its floors, its budgets and its peers; some 35 quiet minutes
	$(BIN)/python -m bench

lint: install ## ruff, mypy, sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --disable-progress-bar --templater placeholder sql
	$(BIN)/sqlfluff lint --disable-progress-bar dbt_project

format: install ## what the linters can mend themselves
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix --disable-progress-bar --templater placeholder sql
	$(BIN)/sqlfluff fix --disable-progress-bar dbt_project

dev: install ## Dagster's UI and daemon on http://127.0.0.1:3000
	@$(BIN)/testruns dev

reference: install ## docs/commands.md and docs/tables.md, from the code
	@PYTHONPATH=. $(BIN)/python docs/reference.py

# Tools of the site have an environment of their own; dbt describes an empty warehouse that ends with it.
docs: reference ## site/: the pages of docs/, and dbt's documentation in site/dbt
	@test -d .venv-docs || $(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.txt
	.venv-docs/bin/mkdocs build --quiet
	@set -e; export TESTRUNS_HOME=$$(mktemp -d) TESTRUNS_WAREHOUSE_URL= ; \
	trap '$(BIN)/testruns warehouse stop >/dev/null; rm -rf "$$TESTRUNS_HOME"' EXIT; \
	$(BIN)/testruns warehouse start >/dev/null; \
	$(BIN)/testruns dbt -- --quiet docs generate --static; \
	mkdir -p site/dbt; cp "$$TESTRUNS_HOME/dbt/target/static_index.html" site/dbt/index.html

bi: install ## Superset with both dashboards on http://127.0.0.1:8088
	@$(BIN)/python -m bi serve $(if $(PORT),--port $(PORT))

bi-export: install ## dashboards as they are in Superset now, into bi/superset
	@$(BIN)/python -m bi export

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile --universal --generate-hashes --no-strip-extras --no-emit-index-url \
		--no-header --no-annotate --python-version 3.11 --extra ui --group dev \
		--output-file requirements.lock pyproject.toml
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--python-version 3.11 --group docs --output-file requirements-docs.txt
	echo uv | uv pip compile --universal --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --python-version 3.11 --output-file requirements-uv.txt -

wheel: install ## dist/*.whl, with sql/ and the parsed dbt_project/ inside
	@$(BIN)/python -m pipelines.transform.manifest
	$(BIN)/python -m hatchling build -t wheel

clean: ## what can be made again; never .testruns, where runs may be
	rm -rf .venv .venv-docs site dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
