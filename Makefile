# `make` alone lists what there is.
PORT ?= 8080
MANAGE_PORT ?= 9090
GPU_NODES ?= 12

.PHONY: help try demo pictures test fmt schema chart

help:
	@sed -n 's/^\([a-z]*\):.*## /make \1  /p' $(MAKEFILE_LIST)

try: ## serve a recorded cluster on 127.0.0.1, without any cluster or hub; needs only Rust
	cargo build --locked
	@echo
	@echo 'Berth serves a recorded cluster of 12 nodes. Open http://127.0.0.1:$(PORT)/ and /profiles or, in another terminal:'
	@echo
	@echo '  curl -s http://127.0.0.1:$(PORT)/api/v1/gpus'
	@echo '      the GPUs by kind and node: 4 of 16 A100 80 GB are free, 1 of 6 L4, 5 of 8 shares of a T4, no H100'
	@echo "  curl -s -d '{\"user\":{\"name\":\"ada\"},\"options\":{\"profile\":\"gpu\"}}' http://127.0.0.1:$(PORT)/api/v1/hub/spawn-options"
	@echo '      the pod settings for one GPU of any kind: one nvidia.com/gpu, node l4-2 preferred, the four mounts'
	@echo
	@echo 'Ctrl-C ends it. Another port: make try PORT=8081'
	@exec target/debug/berth serve --no-auth --listen 127.0.0.1:$(PORT) --manage 127.0.0.1:$(MANAGE_PORT) --from tests/data/mixed-cluster.json

demo: ## the real hub over a real control plane with simulated GPU nodes, until Ctrl-C
	cargo build --release --locked
	"$$(python3 tests/python_environment.py)" tests/cluster/tools.py
	"$$(python3 tests/python_environment.py)" tests/cluster/demo.py --gpu-nodes $(GPU_NODES)

pictures: ## take the pictures of README.md in the demo; needs Chromium
	cargo build --release --locked
	"$$(python3 tests/python_environment.py)" tests/cluster/tools.py
	"$$(python3 tests/python_environment.py)" tests/cluster/demo.py --pictures tests/data

test: ## every check, from a bare clone; installs what it needs into the cache
	python3 tests/run.py

fmt: ## format everything
	cargo fmt
	"$$(python3 tests/python_environment.py)" -m ruff format hub-config tests
	"$$(python3 tests/python_environment.py)" -m ruff check --fix hub-config tests

schema: ## write the catalogue's JSON Schema for the chart
	BERTH_WRITE_SCHEMA=1 cargo test --locked --test service schema

chart: ## write the chart's schema and table of values, after make schema
	"$$(python3 tests/python_environment.py)" tests/chart/generate.py
