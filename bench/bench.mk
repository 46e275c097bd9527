# Benchmarks; included by the Makefile. Their peers are installed by these targets alone.

BENCH_CPP := $(CORE_CPP) -iquote bench
BENCH_CASES := $(B)/bench/cases.o $(B)/bench/measure.o
BENCH_OBJ := $(patsubst %,$(B)/bench/%.o,main layers nets peak) $(BENCH_CASES) \
    $(foreach isa,$(ISAS),$(B)/bench/peak_loop.$(isa).o)
BENCH_PROGRAMS := $(patsubst %,$(B)/bench/%,bench export peer_onednn)
PROTO_BENCHES := $(patsubst %,$(B)/bench/%,export json)

$(B)/bench/%.o: bench/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -fopenmp $(BENCH_CPP) -c $< -o $@
$(PROTO_BENCHES:=.o): BENCH_CPP := $(PROTO_CPP) -iquote bench

define bench_isa_rule
$(B)/bench/peak_loop.$(1).o: bench/peak_loop.c
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(BASE) $$(KERNEL_FLAGS) $$(ISA_$(1)) -DKERNEL_ISA=$(1) $$(BENCH_CPP) -c $$< -o $$@
endef
$(foreach isa,$(ISAS),$(eval $(call bench_isa_rule,$(isa))))

$(B)/bench/bench: $(BENCH_OBJ) $(B)/libcore.a
	$(Q)$(CC) $(CFLAGS) $(SAN) -fopenmp -pthread -o $@ $^ -lm
$(B)/bench/export: $(B)/bench/cases.o
$(PROTO_BENCHES): %: %.o $(B)/libproto.a $(B)/libcore.a
	$(Q)$(CC) $(CFLAGS) $(SAN) -fopenmp -pthread -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)
$(B)/bench/peer_onednn: $(B)/bench/peer_onednn.o $(BENCH_CASES) $(B)/libcore.a
	$(Q)$(CC) $(CFLAGS) $(SAN) -fopenmp -pthread -o $@ $^ -ldnnl -lm

$(B)/bench/overload: $(B)/bench/overload.o
	$(Q)$(CC) $(CFLAGS) $(SAN) -o $@ $^

# What builds without the peers; part of `make lint`.
.PHONY: bench-programs
bench-programs: $(B)/bench/bench $(PROTO_BENCHES)

-include $(BENCH_OBJ:.o=.d) $(PROTO_BENCHES:=.d) $(B)/bench/peer_onednn.d

# ---- for people --------------------------------------------------------------------------------

.PHONY: bench
bench: deps ## kernels against the FMA peak, nets, memory: a table (KINDS="peak layers" BENCH_SECONDS=.2)
	@$(MAKE) --no-print-directory -j2 $(B)/bench/bench
	@for kind in $(KINDS); do GOMP_SPINCOUNT=3000 $(B)/bench/bench $$kind || exit 1; done > $(B)/bench/bench.csv
	@bench/table.py $(B)/bench/bench.csv
KINDS ?= peak layers train infer memory

.PHONY: bench-json
bench-json: deps ## number arrays in JSON against cJSON, strtof and raw bodies: a table
	@$(MAKE) --no-print-directory -j2 $(B)/bench/json
	@$(B)/bench/json

.PHONY: bench-overload
bench-overload: deps ## predictions at five times what the daemon can: honest 503s, bounded times
	@$(MAKE) --no-print-directory -j2 all $(B)/bench/export $(B)/bench/overload
	bench/overload.sh $(B)

.PHONY: bench-slow
bench-slow: deps ## 1000 slow clients in three ways beside a normal one (CLIENTS= SECONDS_EACH=)
	@$(MAKE) --no-print-directory deps DEPS="slowhttptest curl"
	@$(MAKE) --no-print-directory -j2 all
	bench/slow.sh $(B)

PEER_DEPS := libdnnl-dev python3-torch libopenblas0-openmp
.PHONY: bench-peers
bench-peers: deps ## strided against oneDNN, PyTorch, onnxruntime (ONLY=layers|train|infer ISA=avx2 QUICK=1)
	@$(MAKE) --no-print-directory deps DEPS="$(PEER_DEPS)"
	@bench/onnxruntime.sh
	@$(MAKE) --no-print-directory -j2 $(BENCH_PROGRAMS)
	@$(B)/bench/export $(B)/bench
	@bench/peers.py $(B) $(if $(ONLY),--only $(ONLY)) $(if $(ISA),--isa $(ISA)) $(if $(QUICK),--quick)

HTTP_DEPS := wrk python3-torch libopenblas0-openmp python3-fastapi python3-uvicorn python3-uvloop \
    python3-httptools python3-ujson python3-pil python3-onnx
.PHONY: bench-http
bench-http: deps ## predictions over HTTP against Node + onnxruntime, FastAPI + PyTorch (ONLY=peers|alone ROUNDS= SECONDS_EACH=)
	@$(MAKE) --no-print-directory deps DEPS="$(HTTP_DEPS)"
	@bench/onnxruntime.sh
	@$(MAKE) --no-print-directory -j2 all $(B)/bench/export $(B)/bench/overload
	@$(B)/bench/export $(B)/bench
	@bench/http/run.py $(B) $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	    $(if $(SECONDS_EACH),--seconds $(SECONDS_EACH))

.PHONY: bench-mnist
bench-mnist: deps data ## train on MNIST over HTTP, hold accuracy and pictures to their figures
	@$(MAKE) --no-print-directory -j2 all
	bench/mnist.sh

.PHONY: bench-modelnet
bench-modelnet: deps ## train on ModelNet10's voxel grids over HTTP, predict its meshes (SEEDS="0 1" TEN_SEEDS=0)
	@$(MAKE) --no-print-directory -j2 all
	bench/modelnet.sh

.PHONY: bench-soak
bench-soak: deps ## ten minutes of mixed load: memory and descriptors stay where they are (MINUTES=10)
	@$(MAKE) --no-print-directory -j2 all
	@bench/soak.py $(B) --minutes $(or $(MINUTES),10)

.PHONY: bench-watch
bench-watch: deps ## memory and latency with 100 watchers of a job, and with 1000 jobs
	@$(MAKE) --no-print-directory -j2 all
	bench/watch.py

.PHONY: bench-check
bench-check: deps data ## same answers as onnxruntime (scores) and PyTorch (a training run)?
	@$(MAKE) --no-print-directory deps DEPS="$(PEER_DEPS)"
	@$(MAKE) --no-print-directory -j2 all
	bench/onnx_check.sh
	bench/reference.sh
