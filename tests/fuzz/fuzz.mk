# Fuzzers; included by the Makefile. tests/fuzz/fuzz_NAME.c feeds one reader and starts from
# tests/fuzz/corpus/NAME. The libraries are built once more, instrumented, in build/fuzz; what a run
# discovers goes to build/fuzz/corpus/NAME, an input that fails to build/fuzz/NAME-crash-...

FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
SECONDS ?= 60
FUZZ_BYTES_MAX ?= 65536

$(B)/fuzz/%.o: tests/fuzz/%.c | $(B)/proto/onnx.pb-c.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(PROTO_CPP) -iquote server -c $< -o $@
# Of the server only what reads bytes and does nothing else.
$(B)/fuzz/fuzz_http $(B)/fuzz/replay_http: $(patsubst %,$(B)/server/http_%.o,accept head target)
$(B)/fuzz/fuzz_%: $(B)/fuzz/fuzz_%.o $(B)/libproto.a $(B)/libcore.a
	$(Q)$(CC) $(CFLAGS) $(SAN) -fsanitize=fuzzer -fopenmp -pthread -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)
$(B)/fuzz/replay_%: $(B)/fuzz/fuzz_%.o $(B)/fuzz/replay.o $(B)/libproto.a $(B)/libcore.a
	$(Q)$(CC) $(CFLAGS) $(SAN) -fopenmp -pthread -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)
.PRECIOUS: $(B)/fuzz/%.o

.PHONY: fuzzers
fuzzers: $(FUZZERS:%=$(B)/fuzz/fuzz_%)

# fuzz-NAME runs one of them.
.PHONY: $(FUZZERS:%=fuzz-%)
$(FUZZERS:%=fuzz-%): fuzz-%: fuzz-build
	@mkdir -p build/fuzz/corpus/$*
	build/fuzz/fuzz/fuzz_$* -max_total_time=$(SECONDS) -max_len=$(FUZZ_BYTES_MAX) -timeout=10 \
	    -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix=build/fuzz/$*- \
	    build/fuzz/corpus/$* tests/fuzz/corpus/$*

# The kernels compute on what the readers made: instrumenting them costs minutes and finds nothing.
.PHONY: fuzz-build
fuzz-build: deps
	@$(MAKE) --no-print-directory -j2 fuzzers CC=clang B=build/fuzz CFLAGS="-O1 -g" \
	    SAN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" \
	    KERNEL_FLAGS="-O1 -fno-sanitize=all"

.PHONY: fuzz
fuzz: ## every reader of untrusted bytes under libFuzzer, SECONDS=60 each, one after the other
	@for name in $(FUZZERS); do $(MAKE) --no-print-directory fuzz-$$name || exit 1; done

# With any compiler and sanitizer, in seconds; part of `make asan` and, for the warnings, of lint.
.PHONY: replays fuzz-corpus
replays: $(FUZZERS:%=$(B)/fuzz/replay_%)
fuzz-corpus: replays ## the kept corpus through every target once
	@for name in $(FUZZERS); do \
	    $(B)/fuzz/replay_$$name tests/fuzz/corpus/$$name/* > $(B)/fuzz/replay.log || \
	    { tail -n 1 $(B)/fuzz/replay.log; exit 1; }; \
	done

-include $(FUZZERS:%=$(B)/fuzz/fuzz_%.d) $(B)/fuzz/replay.d
