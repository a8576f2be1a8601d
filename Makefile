# Two commands: `make reproduce` (everything, from photographs to the report) and `make test`.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
PROFILE ?=
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH :=
STAMP := .venv/.complete
# For its reference functions (tests, `jscgc bench scan`) and, on a GPU, its Triton kernels: nothing is compiled for CUDA, and
# what else its metadata ask for (compilers of the kernels of Mamba-3) is not needed.
MAMBA := mamba-ssm==2.3.2.post1

help:  ## What there is
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# rapidocr-onnxruntime asks for opencv-python; its headless twin is the same cv2 without a window system.
# The stamp is written last: an interrupted installation has none and is mended by running the command again.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Installing into .venv (minutes, several GB) ..."
	@rm -f $(STAMP); .venv/bin/python -m pip --version >/dev/null 2>&1 || { rm -rf .venv; $(PYTHON) -m venv .venv; }
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps setuptools==84.2.1 -r requirements.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	MAMBA_FORCE_BUILD=TRUE MAMBA_SKIP_CUDA_BUILD=TRUE .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(MAMBA)
	@.venv/bin/python -m pip check | { ! grep -v -e '^mamba-ssm ' -e '^rapidocr-onnxruntime .* requires opencv-python,' -e '^No broken'; }
	@.venv/bin/jscgc weights fetch lpips_alex lpips_vgg dists || echo "LPIPS and DISTS, by which the default run scores, are missing; run: .venv/bin/jscgc weights fetch lpips_alex lpips_vgg dists" >&2
	@touch $(STAMP)

install: $(STAMP)  ## The environment in .venv, and nothing else

reproduce: $(STAMP)  ## Environment, then dvc repro; prints the results (PROFILE=smoke for a tiny run of 2 to 3 minutes)
	@$(if $(PROFILE),python -m pipeline.profile $(PROFILE))
	@python -m pipeline.reproduce

profile: $(STAMP)  ## Select a profile: make profile PROFILE=smoke (nano goes back)
	@python -m pipeline.profile $(PROFILE)

lint: $(STAMP)  ## Lint and types
	ruff check .
	ruff format --check .
	mypy

test: lint  ## Lint, types, tests
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

quick: lint  ## Lint, types, and the tests of files that take less than half a minute each
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow and not long'

plots: $(STAMP)  ## dvc plots show, on a page that needs no network (DIFF=HEAD~1: beside another commit's)
	@python -m pipeline.plots

experiments: $(STAMP)  ## dvc exp show in short (METHOD=jscgc, METRICS=..., ALL=1)
	@python -m pipeline.experiments

resume: $(STAMP)  ## Go on from a checkpoint in MLflow, on any machine: make resume RUN=... [STEP=...]
	@python -m pipeline.resume

dashboard: $(STAMP)  ## MLflow on http://127.0.0.1:5000
	@python -m pipeline.dashboard

ship: $(STAMP)  ## The trained models in data/models as those that come with the package
	@python -m pipeline.ship

# In an environment of its own: pip-audit's needs are not ours.
audit: $(STAMP)  ## Known vulnerabilities of the pinned packages, by the package index
	@.jscgc/audit/bin/pip-audit --version >/dev/null 2>&1 || { $(PYTHON) -m venv .jscgc/audit && .jscgc/audit/bin/pip install --quiet --disable-pip-version-check pip-audit==2.10.1; }
	.jscgc/audit/bin/pip-audit --requirement requirements.lock --no-deps --disable-pip --strict --progress-spinner off $(AUDIT)

lock: $(STAMP)  ## Pin what .venv holds now in requirements.lock
	@python -m pipeline.lock

clean:  ## Remove what stages made (not .venv, MLflow's runs and finished evaluation jobs)
	rm -rf data/photos data/latents data/models reports/results.csv reports/by_snr.csv reports/protocol.json reports/pictures reports/timing.json reports/theory.json reports/curves reports/metrics reports/index.html reports/grid.png reports/paired.csv reports/bd_rate.csv reports/figures reports/tables reports/report.pdf reports/summary.json dvc_plots .jscgc/runs

.PHONY: help install reproduce profile lint test quick plots experiments resume dashboard ship audit lock clean
