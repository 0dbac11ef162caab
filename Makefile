# make            lists the targets
# make PYTHON=…   uses another Python than python3

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
REST := slow or browser or emulator
THINGS := models/efficientnet_lite0/build/efficientnet_lite0.float16.tflite
LOCK = $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-find-links --no-header $(UPGRADE)

.PHONY: help setup android demo test test-rest test-all lint docs bench lock clean
.DELETE_ON_ERROR:

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED)  ## install edgekit and all it needs into .venv, from the locks

$(INSTALLED): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "The locks are for Python 3.11 to 3.13; '$(PYTHON)' is missing or another version."; \
		echo "Install one (Debian 12: apt-get install python3 python3-venv) and name it: make PYTHON=python3.11 $(MAKECMDGOALS)"; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

android:  ## the template of `edgekit package android`, with JDK and Maven; RUNTIME=x.y.z takes another TensorFlow Lite
	@$(PYTHON) -m android_demo.tools.template $(if $(RUNTIME),--runtime "$(RUNTIME)")

demo: setup  ## digits: train, convert, quantize, validate, package for a Raspberry Pi; a pretrained network as an Android app
	$(BIN)/edgekit build models/digits
	$(BIN)/edgekit predict models/digits/build/digits.int8.tflite models/digits/seven.png
	$(BIN)/edgekit build models/efficientnet_lite0
	$(BIN)/edgekit predict $(THINGS) models/efficientnet_lite0/cat.jpg
	$(BIN)/edgekit package pi models/digits/build/digits.int8.tflite -o models/digits/build/digits.tar.gz
	@if command -v javac > /dev/null && command -v mvn > /dev/null; then \
		$(MAKE) --no-print-directory android && set -x && \
		$(BIN)/edgekit package android $(THINGS) -o $(THINGS:.float16.tflite=.apk) --name Things --ungated; \
	else \
		echo "Left out: the app for a phone. A JDK and Maven make its template (Debian: apt-get install default-jdk-headless maven)."; \
	fi

test: setup  ## the tests that need no browser or emulator and take less than 10 s each
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not ($(REST))"

test-rest: setup  ## the other tests
	$(BIN)/python -m pytest -m "$(REST)"

test-all: test test-rest  ## all tests; EDGEKIT_REQUIRE_ALL=1 fails those that this machine would leave out

lint: setup  ## ruff, mypy --strict, and docs/cli.md against the command line
	$(BIN)/ruff check
	$(BIN)/mypy
	@$(BIN)/python -m edgekit.cli.docs | diff -u docs/cli.md - || { echo "docs/cli.md is out of date: make docs"; exit 1; }

docs: setup  ## write docs/cli.md from the command line's own help
	$(BIN)/python -m edgekit.cli.docs > docs/cli.md.part
	@mv docs/cli.md.part docs/cli.md

bench: setup  ## measure; DATA=DIR (photos, in a folder for each class) measures learning from them, too
	$(BIN)/python -m benchmarks $(if $(DATA),--data "$(DATA)")

lock: setup  ## write the locks anew; UPGRADE="--upgrade" or "--upgrade-package NAME" takes newer versions
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "The locks are made with Python 3.11: make clean, then make PYTHON=python3.11 lock"; exit 1; }
	$(LOCK) --extra keras --extra onnx --extra serve --extra dev -o requirements/dev.txt pyproject.toml
	$(LOCK) -c requirements/dev.txt --extra keras --extra onnx --extra serve -o requirements/all.txt pyproject.toml
	$(LOCK) -c requirements/dev.txt -o requirements/core.txt pyproject.toml

clean:  ## remove what these targets made
	rm -rf $(VENV) android_demo/build edgekit/package/android/template.zip build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
