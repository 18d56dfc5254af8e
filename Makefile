# Short names for what people do; meson and ninja do the work. `make help` lists them.
BUILD   := build
PYTHON  ?= python3
NINJA   := ninja -C $(BUILD)

.DEFAULT_GOAL := all
.PHONY: all help test-clients test-arm deps deps-all model run test sanitize asan tsan fuzz bench bench-kernels \
        bench-alloc bench-texts bench-peers bench-serve soak spin lint format install uninstall clean

all: $(BUILD)/build.ninja ## build the command: build/forebay
	@$(NINJA) -n forebay | grep -q 'no work to do' || $(NINJA) forebay

.PHONY: everything
everything: all # tests, libraries and benches too
	@$(NINJA) -n | grep -q 'no work to do' || $(NINJA)

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

$(BUILD)/build.ninja: | deps
	@meson setup $(BUILD) $(MESON_FLAGS) >/dev/null || { cat $(BUILD)/meson-logs/meson-log.txt; exit 1; }

deps: ## install what building and running need (Debian packages)
	@scripts/deps run

deps-all: ## install what tests, lint and benches need as well
	@scripts/deps run test lint bench clients

model: ## fetch all-MiniLM-L6-v2 into models/
	@scripts/get-model

run: all model ## the main job, shown on real text
	@$(PYTHON) scripts/demo.py $(BUILD)/forebay

test: deps-test everything model ## unit, integration and reference tests, a short run of each fuzz target
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs --no-suite spin
	@$(MAKE) --no-print-directory fuzz SECONDS_EACH=$(or $(SECONDS_EACH),5)

.PHONY: deps-test deps-lint deps-bench deps-clients
deps-test deps-lint deps-bench deps-clients: deps-%: deps
	@scripts/deps $*

sanitize: asan tsan ## unit tests under ASan + UBSan, then under TSan

asan tsan: deps-test model
	@scripts/sanitize $@

test-clients: deps-test deps-clients everything model ## real clients of the server, real programs under libforebay-malloc.so
	@tests/clients/setup
	@cd tests/clients && FBY_TEST_COMMAND=$(CURDIR)/$(BUILD)/forebay ../../.venv-clients/bin/python -B -m unittest
	@$(PYTHON) tests/clients/malloc_programs.py $(BUILD)/src/memory/allocator/libforebay-malloc.so

test-arm: deps ## build for ARM64, tests of kernels and of small models under qemu-user
	@scripts/test-arm

fuzz: deps-test ## run each fuzz target for SECONDS_EACH (60)
	@scripts/fuzz $(or $(SECONDS_EACH),60)

SOAK_SECONDS ?= 600
soak: deps-test all model ## the server among clients of which half are broken, for SOAK_SECONDS (600) and 100,000 requests
	@FBY_TEST_COMMAND=$(BUILD)/forebay FBY_TEST_MODEL=models/all-MiniLM-L6-v2 \
		$(PYTHON) -B tests/serve/soak.py --seconds $(SOAK_SECONDS) --requests $(or $(SOAK_REQUESTS),100000)

spin: deps-test everything ## check the models of the concurrent protocols, and that their broken twins fail
	@meson test -C $(BUILD) --no-rebuild --print-errorlogs --suite spin

bench-texts: all model deps-bench ## make bench/texts/{short,medium,long,mixed}.txt
	@$(PYTHON) bench/make_texts.py $(BUILD)/forebay

bench: bench-texts ## speed on the four text files, start-up, memory
	@$(PYTHON) bench/suite.py $(BUILD)/forebay

PEERS_MODEL := $(CURDIR)/models/all-MiniLM-L6-v2
bench-peers: bench-texts everything ## Forebay beside onnxruntime, OpenVINO, torch, llama.cpp (PEERS="--peers openvino" TORCH=no)
	@TORCH=$(TORCH) bench/peers/setup $(PEERS_MODEL) $(CURDIR)/$(BUILD)/peers
	@.venv-peers/bin/python bench/peers/compare.py --command $(CURDIR)/$(BUILD)/forebay \
		--library $(CURDIR)/$(BUILD)/libforebay.so --exported $(CURDIR)/$(BUILD)/peers $(PEERS)

bench-kernels: deps-bench everything ## each product beside oneDNN, OpenBLAS, BLIS and the peak
	@meson setup --reconfigure $(BUILD) >/dev/null && $(NINJA) bench/bench_kernels bench/kernel_peers
	@$(BUILD)/bench/kernel_peers $(BENCH_ARGS)
	@for p in f32 bf16 int8; do $(BUILD)/bench/bench_kernels --precision $$p attention norm encoder; done

bench-alloc: everything deps-bench ## the allocator beside glibc, jemalloc, tcmalloc, mimalloc (BENCH_ARGS="--what speed --threads 1")
	@$(PYTHON) bench/alloc_traces.py $(BUILD)
	@$(PYTHON) bench/alloc_peers.py $(BUILD) $(BENCH_ARGS)

.PHONY: bench-workers
bench-workers: all model deps-bench ## workers apart and in teams (BENCH_ARGS="--batch 1 --length 64")
	@$(PYTHON) bench/workers.py $(BUILD)/forebay $(BENCH_ARGS)

.PHONY: bench-ring
bench-ring: everything deps-bench ## ring pools beside bare cursors (BENCH_ARGS="--largest 64M")
	@$(PYTHON) bench/ring_pool.py $(BUILD)/forebay $(BENCH_ARGS)

.PHONY: bench-heap
bench-heap: bench-texts ## heap pools beside mmap and the device's allocation (BENCH_ARGS="--only mixed raw")
	@$(PYTHON) bench/heap.py $(BUILD)/forebay $(BENCH_ARGS)

bench-serve: bench-texts ## the server under load beside the library (BENCH_ARGS="--rows throughput,tail")
	@$(PYTHON) bench/serve.py $(BUILD)/forebay $(BENCH_ARGS)

lint: deps-lint deps-test ## both compilers without a warning, formatting, spelling, shell scripts
	@scripts/lint

.PHONY: tidy
tidy: lint ## clang-tidy over every source
	@git ls-files 'src/*.c' | xargs -P 2 -n 1 clang-tidy --quiet -p build-lint-clang 2>/dev/null

format: ## clang-format every C file
	@git ls-files '*.c' '*.h' | xargs clang-format -i

PREFIX ?= /usr/local
LIBDIR ?= lib
install: all model ## install under PREFIX (/usr/local), below DESTDIR if given
	@meson configure $(BUILD) -Dprefix=$(PREFIX) -Dlibdir=$(LIBDIR)
	@$(NINJA) --quiet
	@meson install -C $(BUILD) --no-rebuild --quiet $(if $(DESTDIR),--destdir $(DESTDIR))
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || ldconfig
	@echo "forebay is in $(DESTDIR)$(PREFIX)/bin; make uninstall removes what was installed"

uninstall: ## remove what the last make install put in place
	@$(NINJA) --quiet uninstall

clean: ## remove what was built; models/ stays
	@rm -rf $(BUILD) build-*
