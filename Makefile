# Two commands matter: `make demo` shows what the package does, `make test` proves that it works.
# Both share one environment in .venv, made on first use and again only when setup.py changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint colcon clean

demo: $(READY)  ## make demo [BAG=path WEIGHTS=file OUT=folder]
	$(BIN)/python -m scdepth_ros.demo --out $(or $(OUT),demo_output) \
		$(if $(BAG),--bag $(BAG)) $(if $(WEIGHTS),--weights $(WEIGHTS))

test: $(READY)  ## lint, then the whole suite; TEST="-k warp" picks some of it
	$(BIN)/ruff check .
	$(BIN)/python -m pytest $(TEST)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(READY): setup.py
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 10) <= sys.version_info[:2] <= (3, 13) else f"scdepth_ros needs Python 3.10 to 3.13, this is {sys.version.split()[0]}: run make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[ros,test]'
	touch $@

clean:
	rm -rf $(VENV) build install log demo_output *.egg-info
