# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

RESUMED := test_a_resumed_run_with_everything_on_equals_an_uninterrupted_one
ON_BACKENDS := tests/conformance tests/pages/test_gradcam.py tests/exporting/test_parity.py \
	tests/tasks/detection/test_assignment.py tests/tasks/detection/test_losses.py \
	tests/tasks/segmentation/test_losses.py \
	tests/training/test_loop.py::$(RESUMED)

.PHONY: demo test test-slow test-backends test-runtime clients object-server database-server check \
	lint types clean

demo: .venv/train.done  ## the main job on handwritten digits
	$(BIN)/pplcnet demo --overwrite

test: .venv/dev.done  ## the fast tests, a file at a time in each of two processes
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

test-slow: .venv/dev.done  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

test-backends: .venv/backends.done  ## the networks and the main job on JAX and PyTorch
	KERAS_BACKEND=jax $(BIN)/python -m pytest $(ON_BACKENDS) -m "not slow" -n 2 --dist loadfile
	KERAS_BACKEND=torch $(BIN)/python -m pytest $(ON_BACKENDS) -m "not slow" -n 2 --dist loadfile
	$(BIN)/python -m pytest tests/runs/test_backends.py -k "not killed"

test-runtime: .venv/dev.done .venv-runtime/done  ## the runtime alone, without any training framework
	$(BIN)/python -m tests.runtime_only.make_bundle .venv-runtime/tiny.zip
	PPLCNET_TEST_BUNDLE=.venv-runtime/tiny.zip .venv-runtime/bin/python -m pytest \
		--confcutdir tests/runtime_only tests/runtime_only

clients: .venv-clients/done  ## clients of Triton and KServe, which `make test` then runs against the server

object-server: .venv-storage/done  ## a server of S3, which `make test` then runs object storage against

database-server: .venv-postgresql/done  ## PostgreSQL, which `make test` then runs searches against

check: lint types test  ## what has to pass before anything lands

lint: .venv/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev.done
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-runtime .venv-clients .venv-storage .venv-postgresql build dist src/*.egg-info

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pplcnet needs Python 3.11 or later; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv-runtime/done: requirements/runtime.txt requirements/runtime-tests.txt pyproject.toml \
		$(shell find src/pplcnet -name "*.py")
	$(PYTHON) -m venv .venv-runtime
	.venv-runtime/bin/python -m pip install --quiet --disable-pip-version-check \
		-r requirements/runtime-tests.txt
	.venv-runtime/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-deps --no-build-isolation --force-reinstall .
	touch $@

.venv-clients/done: requirements/clients.txt
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

.venv-storage/done: requirements/object-server.txt
	$(PYTHON) -m venv .venv-storage
	.venv-storage/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

.venv-postgresql/done: requirements/database-server.txt
	$(PYTHON) -m venv .venv-postgresql
	.venv-postgresql/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

.venv/%.done: .venv/bin/python requirements/*.txt pyproject.toml
	$(PIP) -r requirements/$*.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@
