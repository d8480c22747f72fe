# Two commands matter: `make demo` shows what the package does, `make test` proves that it works.
# Both share one environment in .venv, made on first use and again only when setup.py changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= demo_output

.PHONY: help demo test lint colcon clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST)

demo: $(READY)  ## a bag through depth_node, pictures and figures in demo_output; BAG=path WEIGHTS=file OUT=folder
	$(BIN)/python -m scdepth_ros.demo --out '$(OUT)' $(if $(BAG),--bag '$(BAG)') $(if $(WEIGHTS),--weights '$(WEIGHTS)')

test: $(READY)  ## lint, then the whole suite; TEST="-k warp" picks some of it
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder $(TEST)

lint: $(READY)  ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

colcon: $(READY)  ## build into ./install as a ROS 2 workspace does, and run the installed node
	$(BIN)/colcon build --paths .
	$(BIN)/python test/installed_node.py install

clean:  ## remove whatever these commands made
	rm -rf $(VENV) build install log demo_output *.egg-info

$(READY): setup.py
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 10) <= sys.version_info[:2] <= (3, 13) else "scdepth_ros needs Python 3.10 to 3.13 and found " + sys.version.split()[0] + " – name another: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@touch $(VENV)/COLCON_IGNORE
	@echo "installing into $(VENV), a few GB with PyTorch: minutes on a fresh machine"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[ros,test]'
	@touch $@
