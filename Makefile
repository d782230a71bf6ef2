# `make demo` and `make test` need Python >= 3.10, make and git; what else they
# need they install into .venv, once. PYTHON=... names the interpreter.
DEMO := configs/fbnetv3/faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py
DEMO_IS := configs/fbnetv3/mask-rcnn_fbnetv3-a-dsmask-c4_1xb4-2k_digits.py
# A worker keeps to its files, whose fixtures are shared, until others are idle.
WORKERS := -n auto --dist worksteal
INPUTS := .ci/venv pyproject.toml constraints.txt

unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help demo demo-is bench bench-gpu playground test test-all test-upstream test-lowest lint format venv

help:  ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1:	\2/p' Makefile | expand -t 24

# Threads that wait spin by default: beside other work a step takes ten times
# as long.
demo: config = $(DEMO)
demo: .venv/.stamp  ## train on drawn scenes, evaluate and draw detections
	$(run_demo)

demo-is: config = $(DEMO_IS)
demo-is: .venv/.stamp  ## the same with masks
	$(run_demo)

# Interrupted, it continues where it stopped. Threads that wait spin by default:
# beside other work a step takes ten times as long.
define run_demo
export OMP_WAIT_POLICY=PASSIVE && \
    .venv/bin/python tools/train.py $(config) --work-dir work_dirs/$@ --resume
.venv/bin/python tools/report.py work_dirs/$@
endef

playground: .venv/.stamp  ## the page to set, train, watch and ship, on DigitScenes
	.venv/bin/python -m fbnetv3_mmdet playground --watch work_dirs

bench: .venv/.stamp  ## speed and memory, all engines side by side, into work_dirs/bench
	.venv/bin/python -m benchmarks

bench-gpu: .venv/.stamp  ## images a second of training on a GPU, with and without AMP
	.venv/bin/python -m benchmarks.gpu

test: lint  ## lint, the fast tests, one training; where CI is set, all there are
ifeq ($(CI),)
	.venv/bin/python -m pytest $(WORKERS) -m 'not slow or end_to_end'
else
	$(MAKE) --jobs=3 test-all test-upstream test-lowest

# One after the other: the next environment is installed meanwhile.
test-upstream: | test-all
test-lowest: | test-upstream
endif

test-all: .venv/.stamp
	.venv/bin/python -m pytest $(WORKERS)

test-upstream: .venv-upstream/.stamp  ## fast tests, OpenMMLab's MMDetection, the oldest PyTorch
	.venv-upstream/bin/python -m pytest $(WORKERS) \
	    -m 'not slow and not same_on_upstream'

test-lowest: .venv-lowest/.stamp  ## the runtime with the oldest packages that it takes
	.venv-lowest/bin/python -m pytest --noconftest -p no:cacheprovider \
	    tests/test_runtime.py tests/test_runtime_files.py

lint: .venv/.stamp  ## ruff, which room imports which, whether imports are declared
	.venv/bin/python -m ruff check
	.venv/bin/python -m ruff format --check
	.venv/bin/lint-imports --no-cache >/dev/null || .venv/bin/lint-imports
	.venv/bin/deptry .

format: .venv/.stamp  ## let ruff repair what it can
	.venv/bin/python -m ruff check --fix
	.venv/bin/python -m ruff format

venv: .venv/.stamp  ## only install

.venv/.stamp: $(INPUTS)
	@.ci/venv .venv

.venv-upstream/.stamp: $(INPUTS) requirements-upstream.txt
	@.ci/venv .venv-upstream upstream

.venv-lowest/.stamp: .ci/venv requirements-lowest.txt
	@.ci/venv .venv-lowest lowest
