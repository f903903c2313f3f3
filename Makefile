# Everything starts here: `make run` and `make test` set up what they need on a fresh machine.
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock

.PHONY: help install run test lint types docs notebooks tests bench cold evidence crossing price imputation nhanes calibrate coverage oldest wheel lock clean

help:  ## Show what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed  ## Set up .venv with the tested versions

$(VENV)/.installed: $(LOCK) pyproject.toml tools/find_python.sh
	@python="$$(sh tools/find_python.sh)" || exit 1; \
	echo "Setting up $(VENV) with $$($$python --version)"; started=$$(date +%s); \
	rm -rf $(VENV) && "$$python" -m venv $(VENV) && echo $$started > $(VENV)/.started
	@if command -v uv >/dev/null && uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes --no-deps -r $(LOCK); \
	then echo "Installed by uv"; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(LOCK); fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@echo "Set up in $$(( $$(date +%s) - $$(cat $(VENV)/.started) )) s"
	@touch $@

run: install  ## Run the default plans, print the ledger and where the reports are (bayesdep reproduce --all: every plan)
	@$(BIN)/bayesdep reproduce

test: install  ## Style, types, documentation, tests (fast and sampling tiers), notebooks executed: what CI runs, each part with its time
	@bash tools/in_parts.sh lint types docs tests

lint: install  ## Style and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos

types: install  ## Types
	$(BIN)/mypy

docs: install  ## The documentation site, in build/site/index.html: every warning is an error, links and figures are checked
	$(BIN)/python -m sphinx -W --keep-going -q -b html -d build/doctrees docs build/site
	$(BIN)/python tools/check_site.py build/site

notebooks: install  ## Execute the notebooks and keep their outputs, which the site shows
	$(BIN)/python tools/run_notebooks.py

tests: install  ## Tests of the fast and sampling tiers, notebooks executed
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

coverage: install  ## Share of lines that the tests of make test reach
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -m "not slow" -n 2 --dist loadfile $(UNMEASURED); tests=$$?; \
	$(BIN)/python -m coverage combine --quiet && $(BIN)/python -m coverage report --skip-covered --sort=cover; exit $$tests

# Not measured: tests that limit files and memory, or kill processes, so that no data of coverage could be written either.
UNMEASURED := --ignore=tests/hostile --ignore=tests/test_killed.py

wheel: install  ## Build the wheel and try it in an empty environment, from an empty directory
	sh tools/test_wheel.sh $(BIN)/python

bench: install  ## Measure against named alternatives
	$(BIN)/python benchmarks/run.py

cold: install  ## Where the time of a run goes by stage, cold and warm, for every shipped plan (an hour; goes on where it was stopped)
	$(BIN)/python benchmarks/cold_start.py

evidence: install  ## What the treatment of non-detects and the law of effects do to conclusions (hours)
	$(BIN)/python benchmarks/evidence.py
	$(BIN)/python benchmarks/sparse_effects.py

crossing: install  ## How often a trial like Raison's finds where its arms cross (half an hour)
	$(BIN)/python benchmarks/crossing.py

price: install  ## Whether intervals of patient-level meta-analyses hold, and what M* is worth elsewhere (a quarter of an hour)
	$(BIN)/python benchmarks/price.py

imputation: install  ## What leaving out patients without a moderator costs, beside imputing it (half an hour)
	$(BIN)/python benchmarks/imputation.py

nhanes: install  ## The same on real data, the NHANES table at DATA=...
	$(BIN)/python benchmarks/nhanes.py "$(DATA)"

calibrate: install  ## Simulation-based calibration and coverage, and the oldest allowed versions (hours)
	$(BIN)/python -m pytest -m slow

oldest:  ## The fast tests with the oldest versions that pyproject.toml allows, in an environment of their own (needs uv)
	sh tools/test_versions.sh lowest-direct 3.12

lock:  ## Renew the lock from the ranges in pyproject.toml (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.12 \
		--generate-hashes --no-emit-index-url --no-header --quiet -o $(LOCK)

clean:  ## Remove the environment and all results
	rm -rf $(VENV) results build *.egg-info
