# Every target makes its own virtual environment: python3 and make are enough on a bare machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VISION ?= .venv-vision
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test check unit browser vision bench validate recipes clean

$(VENV)/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e '.[torch]'
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) install -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.core ## the whole chain on bundled digits, offline; writes limen-demo/report.html
	$(BIN)/limen demo

check: $(VENV)/.dev ## lint, format, types, layers
	$(BIN)/ruff check src tests benchmarks studies
	$(BIN)/ruff format --check src tests benchmarks studies
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check unit ## everything CI runs except the browser

unit: $(VENV)/.dev
	$(BIN)/pytest -n 2 -m "not slow and not browser"

browser: $(VENV)/.dev ## the page in Chromium (Debian: apt-get install chromium)
	$(BIN)/pytest -m browser tests

$(VISION)/.made: pyproject.toml constraints.txt constraints-vision.txt
	test -x $(VISION)/bin/python || $(PYTHON) -m venv $(VISION)
	grep -v '^torch==' constraints.txt | cat - constraints-vision.txt >$(VISION)/constraints.txt
	$(VISION)/bin/python -m pip --quiet --disable-pip-version-check install -c $(VISION)/constraints.txt \
		-e '.[hf,timm,open-clip]' torchvision pytest pytest-timeout tomli-w
	touch $@

vision: $(VISION)/.made ## timm, open_clip and transformers' encoders of images beside torchvision (6 GB, an environment of its own)
	$(VISION)/bin/python -m pytest tests/models/test_timm_models.py tests/models/test_open_clip_models.py \
		tests/models/test_hf_vision_audio.py tests/study/test_folder_encoders.py tests/study/test_vision_run.py

validate: $(VENV)/.dev ## coverage, width and power of every interval (20 minutes on 2 cores, goes on after a kill)
	$(BIN)/python -m benchmarks.validation --output build/validation.md
	$(BIN)/pytest -n 2 -m slow

bench: $(VENV)/.dev ## probes beside scikit-learn, the solver, studies killed; with DATA=folder real embeddings too
	$(BIN)/python benchmarks/probe_path.py $(if $(DATA),--data $(DATA)/banking77/minilm-train.npz)
	$(BIN)/python benchmarks/kill_resume.py
	$(BIN)/python benchmarks/probe_solver.py $(if $(DATA),--data $(DATA)/banking77/minilm-train.npz)
	$(if $(DATA),$(BIN)/python benchmarks/budget_banking77.py $(DATA))

recipes: $(VENV)/.dev ## every study of studies/, DATA=folder of their tables; goes on after a kill (FULL=--full: days)
	for recipe in studies/*.toml; do \
		$(BIN)/limen run $$recipe --workers 2 --yes $(if $(DATA),--data $(DATA)) || exit 1; \
	done
	for recipe in $$(grep -l __main__ studies/*.py studies/sgd/*.py | tr / . | sed 's/\.py$$//'); do \
		OMP_NUM_THREADS=1 $(BIN)/python -m $$recipe $(if $(DATA),--data $(DATA)) $(FULL) || exit 1; \
	done

clean:
	rm -rf $(VENV) $(VISION) build dist
