# Benchmarks; included by the Makefile. Their peers are installed by these targets alone.

BENCH_OBJ := $(patsubst %,$(B)/bench/%.o,main layers nets peak cases measure) \
    $(foreach isa,$(ISAS),$(B)/bench/peak_loop.$(isa).o)

$(B)/bench/%.o: bench/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -fopenmp $(CORE_CPP) -iquote bench -c $< -o $@

define bench_isa_rule
$(B)/bench/peak_loop.$(1).o: bench/peak_loop.c
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(BASE) -O3 -ffp-contract=fast $$(ISA_$(1)) -DKERNEL_ISA=$(1) $$(CORE_CPP) \
	    -iquote bench -c $$< -o $$@
endef
$(foreach isa,$(ISAS),$(eval $(call bench_isa_rule,$(isa))))

$(B)/bench/bench: $(BENCH_OBJ) $(B)/libcore.a
	$(Q)$(CC) $(CFLAGS) $(SAN) -fopenmp -pthread -o $@ $^ -lm

-include $(BENCH_OBJ:.o=.d)

.PHONY: bench
bench: deps ## our kernels against the FMA peak
	@$(MAKE) --no-print-directory -j2 $(B)/bench/bench
	$(B)/bench/bench peak
	$(B)/bench/bench layers

.PHONY: bench-mnist
bench-mnist: deps data ## train on MNIST over HTTP, hold accuracy and pictures to their figures
	@$(MAKE) --no-print-directory -j2 all
	bench/mnist.sh

.PHONY: bench-peers
bench-peers: deps data ## compare with onnxruntime (scores) and PyTorch (a training run)
	@$(MAKE) --no-print-directory -j2 all
	bench/onnx_check.sh
	bench/reference.sh
