# Neural volumes for ParaView. `make` alone lists what there is; each target is a small script in scripts/.

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench lint format plugin-path clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing, make .venv, build the plugin (TORCH=cpu|pypi|URL chooses the PyTorch build)
	@scripts/setup.sh

demo: ## simulate a flow, learn it, and look at it in ParaView
	@scripts/demo.sh

test: ## run every check and test (ARGS="-k reader" is passed to pytest)
	@scripts/test.sh $(ARGS)

bench: ## measure speed and memory, into benchmarks/results/ (ARGS="inference" for a part)
	@scripts/bench.sh $(ARGS)

lint: ## check style and types
	@scripts/setup.sh --quiet
	@scripts/lint.sh

format: ## format the sources
	@scripts/setup.sh --quiet
	@scripts/format.sh

plugin-path: ## print the one file to load in ParaView
	@scripts/plugin_path.sh

clean: ## remove everything that was built; the installed Debian packages stay
	rm -rf build amgsrn_core/kernels/*.so .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
