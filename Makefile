# Two commands: `make demo` measures this machine, searches and exports; `make test` is what CI runs.
# Both make .venv and install into it first, and need only Python 3.11+ and make.

PYTHON ?= python3
RUN := .venv/bin/python
# pip compiles modules on one core, COMPILE on all; packages hold files for other Pythons, which fail to compile.
# What tests the packages themselves, a fifth of it all, is never imported
INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check --no-compile
COMPILE := $(RUN) -m compileall -qq -j 0 -x /tests/ .venv/lib || true
OUT := out/demo

.PHONY: demo test lint types unit lock clean

demo: .venv/demo
	$(RUN) -m profilers.cpu --space mbv3-w1.0 --resolutions 128,160,192,224 --quick --overwrite --out $(OUT)/this-machine.csv
	$(RUN) -m ofa.search --table $(OUT)/this-machine.csv --out $(OUT)/this-machine
	$(RUN) -m ofa.search --table note10 --latency 15 20 25 30 --out $(OUT)/note10
	$(RUN) -m profilers.cpu --space mbv3-w0.35 --num-classes 10 --resolutions 48,60,72,84,96 --quick --overwrite --out $(OUT)/small.csv
	$(RUN) -m ofa.search --table $(OUT)/small.csv --out $(OUT)/small
	-$(RUN) -m profilers.verify --table $(OUT)/small.csv --result $(OUT)/small/result.json --limits 3 --near 2 --quick --overwrite
	$(RUN) -m ofa.export --subnet $(OUT)/small/verified.json --limit 100 --format onnx --out $(OUT)/small/network.onnx
	$(RUN) -m ofa.report $(OUT)/this-machine $(OUT)/note10 $(OUT)/small --out $(OUT)/report.html

# types beside tests: one core would wait for the other
test: lint
	$(MAKE) --jobs=2 types unit

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	.venv/bin/zizmor --quiet --offline --strict-collection .github/workflows

types: .venv/installed
	.venv/bin/mypy

# one process a core: each with one thread; and nobody compiles a module twice, wherever Python is told not to keep them
unit: .venv/installed
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --dist worksteal

# torch first and alone: with it there, nothing else can pull in another build
.venv/torch: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
ifdef LOCKED
# every file is checked against requirements.lock, whose Python is 3.11, and what builds a source package too
	PIP_CONSTRAINT=requirements.lock $(INSTALL) --require-hashes --no-deps -r requirements.lock
	$(INSTALL) -c constraints.txt torch
else
	$(INSTALL) -c constraints.txt torch 'setuptools>=77'
endif
	touch $@

# what the demo needs, and everything
.venv/demo: EXTRAS := onnxruntime,report
.venv/installed: EXTRAS := dev
.venv/demo .venv/installed: .venv/torch
# what is there is compiled while pip works on one core
	$(COMPILE) & $(INSTALL) $(if $(LOCKED),--no-deps,-c constraints.txt) --no-build-isolation -e '.[$(EXTRAS)]' && wait
	$(COMPILE)
	touch .venv/demo $@

# requirements.lock anew, by pip-tools in an environment of its own
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check pip-tools==7.6.2
	head -4 requirements.lock > .venv-lock/lock
	.venv-lock/bin/pip-compile --quiet --generate-hashes --strip-extras --no-header --no-emit-index-url \
	  --no-emit-find-links --unsafe-package torch --extra dev --build-deps-for editable -c constraints.txt \
	  -o .venv-lock/out pyproject.toml
	sed -e '/^# WARNING: The following/,$$d' -e '/^# WARNING: pip install/,/^    # via/d' .venv-lock/out >> .venv-lock/lock
	mv .venv-lock/lock requirements.lock
	rm -r .venv-lock

clean:
	rm -rf .venv out
