# make demo and make test need only Python 3.11, Git and make: they build .venv for themselves.

# Not just any program of that name: pyenv has some that only say which versions there are.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do "$$name" -Ec "" 2>/dev/null && command -v "$$name" && break; done || echo python3)
# With the usual shell, the make of macOS (3.81) does not look for programs in the PATH that is exported here.
SHELL := sh
export PATH := $(CURDIR)/.venv/bin:$(PATH)
UV ?= uv==0.13.9
READY := .venv/ready
# Some containers switch byte code off; tests would then pay for it at every start. Others name another Python's packages.
unexport PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH

.PHONY: help demo test test-unit weekly joints lint wheel lock bench repositories documents

help:
	@echo "make demo       generate a project into build/, rebuild, vary, search, locate and prove (five minutes);"
	@echo "                PROJECT_TASK=regression: the other kind of project"
	@echo "make test       check style, then test the package and the projects that the template generates"
	@echo "make test-unit  test the package alone, in a minute or two"
	@echo "make weekly     the tests that CI runs once a week"
	@echo "make joints     test the joints with other tools, each in an environment of its own (45 minutes);"
	@echo "                JOINTS=\"wandb aim\": only these"
	@echo "make lint       check style and types"
	@echo "make wheel      build the wheel of src/locatable that generated projects carry"
	@echo "make lock       resolve the template's and the generated projects' locks again"
	@echo "make bench      measure what the tools cost, as ratios (half an hour)"
	@echo "make documents  build papers, slides and pages with other tools, and score what locate finds in them (an hour);"
	@echo "                ROWS=\"vector texts\": only these; python -m tools.documents --help names what Debian has to have"
	@echo "make repositories FROM=\"URL-OR-FOLDER ...\"  compare what the tools read of their commits with what DVC says"

demo: $(READY)
	@tools/demo.sh

test: lint
	@# One more than there are processors: tests also wait.
	pytest -n $$(python -c "import os; print((os.cpu_count() or 1) + 1)")

test-unit: $(READY)
	pytest -n auto tests/unit

weekly: $(READY)
	pytest -m weekly tests/projects

joints: $(READY)
	@python -m tools.joints $(JOINTS)

lint: $(READY)
	ruff check bench examples hooks src tests tools
	ruff format --check bench examples hooks src tests tools
	mypy
	@rm -rf build/lint
	@for task in classification regression; do \
		cookiecutter --no-input --default-config --output-dir build/lint . task=$$task project_name="Lint $$task" >/dev/null && \
		(cd build/lint/lint-$$task && ruff check && ruff format --check) && \
		cookiecutter --no-input --default-config --output-dir build/lint . task=$$task project_name="A $$task of Many Words and Letters" >/dev/null && \
		(cd build/lint/a-$$task-of-many-words-and-letters && ruff check) || exit 1; \
	done

wheel: $(READY)
	@python tools/wheel.py

bench: $(READY)
	@tools/bench.sh

repositories: $(READY)
	@PYTHONPATH=src python -m tools.repositories $(FROM)

documents: $(READY)
	@PYTHONPATH=src python -m tools.documents $(ROWS)

lock: $(READY)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--extra archive --extra documents --extra mlflow --extra page --extra search requirements.in pyproject.toml --output-file requirements.lock
	python tools/lock.py

$(READY): requirements.lock
	@"$(PYTHON)" -c 'import sys; (3, 11) <= sys.version_info[:2] <= (3, 13) or sys.exit("This template needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is %d.%d; name another one: make demo PYTHON=python3.11" % sys.version_info[:2])'
	@echo "Building .venv for the template's own tools, a minute or two ..."
	@"$(PYTHON)" -m venv .venv
	@command -v uv >/dev/null || python -m pip install --quiet --disable-pip-version-check "$(UV)" 2>/dev/null || true
	@VIRTUAL_ENV="$(CURDIR)/.venv" "$$(command -v uv || echo false)" pip sync --quiet --require-hashes requirements.lock || \
		python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $(READY)
