# Makefile: builds pgbalancer and runs everything that checks it. `make help` lists the targets.
#
# Non-recursive and written by hand: sources are found by their place (src/*/*.cpp, test/unit/*_test.cpp,
# test/fuzz/*_fuzz.cpp), everything generated lies in build/. make calls itself only to order the steps of a check and
# to build a variant (sanitizers, fuzzing) with the same rules in a directory of its own (BUILD=).

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

## make              build build/bin/pgbalancer; CONFIGURE_ARGS="--prefix=/usr" (and more) configure it
## make demo         a primary, two standbys and pgbalancer, installed, built, started and left running
## make demo-stop    ends them
## make check        every kind of check, bounded in time; installs what is missing
## make check-long   the rest
##
## make deps         install what building and checking need (Debian, Ubuntu)
## make check-unit check-system check-postgres     single kinds of tests
## make asan ubsan   unit and system tests with a sanitizer
## make fuzz         every fuzz target for FUZZ_SECONDS=10
## make bench        performance beside other poolers; BENCH_ARGS="..."
## make format       format the source; format-check, tidy and check-layers only look
## make generate     write the sample configuration and its manual from the parameter table
## make install      to prefix=, below DESTDIR=
## make dist         build/pgbalancer-5.0.0.tar.gz
## make clean distclean

BUILD ?= build
FUZZ_SECONDS ?= 10
# Added to every pytest command, such as PYTEST_ARGS="-k cancel -x"
PYTEST_ARGS ?=
# So many pytest processes share the system tests; most of the time they wait for a server.
PYTEST_JOBS ?= $(shell nproc)

# Goals that work before anything is installed; any other reads, and thereby makes, config.mk.
BOOTSTRAP_GOALS := help deps demo demo-stop check check-long bench dist clean distclean format format-check check-layers
ifneq ($(filter-out $(BOOTSTRAP_GOALS),$(or $(MAKECMDGOALS),all)),)
include build/config.mk
endif

# V=1 shows whole commands.
ifeq ($(V),1)
say =
else
say = @printf '  %-8s %s\n' '$(1)' '$(2)';
endif

# The steps of check and demo use all cores, unless the caller's make has its own idea of -j.
submake = $(MAKE) $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

# --- Configuration ---

build/config.mk: configure.ac config.mk.in build-aux/config.h.in
	@command -v autom4te >/dev/null || { echo "autoconf is missing: make deps"; exit 1; }
	@mkdir -p build
# What autoconf is a front of; autoconf itself would put its cache into the source tree.
	$(call say,CONFIG,$(CONFIGURE_ARGS))autom4te --language=autoconf --cache=build/autom4te.cache -o build/configure configure.ac
	@cd build && ./configure --quiet --srcdir=.. $(CONFIGURE_ARGS)
	@touch $@

# Other arguments than the last ones configure anew; none at all means the last ones.
ifneq ($(CONFIGURE_ARGS),)
build/config.mk: build/configure.args
build/configure.args: FORCE
	@mkdir -p $(@D)
	@echo "$(CONFIGURE_ARGS)" | cmp -s - $@ || echo "$(CONFIGURE_ARGS)" > $@
endif

# --- Programs ---

MAINS := src/main/main.cpp src/bctl/main.cpp
SOURCES := $(sort $(wildcard src/*/*.cpp))
LIBRARY := $(BUILD)/libpgbalancer.a
LIBRARY_OBJECTS := $(patsubst %.cpp,$(BUILD)/obj/%.o,$(filter-out $(MAINS),$(SOURCES)))
PROGRAMS := $(BUILD)/bin/pgbalancer $(if $(wildcard src/bctl/main.cpp),$(BUILD)/bin/bctl)
UNIT_TESTS := $(patsubst test/unit/%.cpp,$(BUILD)/test/unit/%,$(sort $(wildcard test/unit/*_test.cpp)))
FUZZERS := $(patsubst test/fuzz/%.cpp,$(BUILD)/test/fuzz/%,$(sort $(wildcard test/fuzz/*_fuzz.cpp)))

# SANITIZE names what -fsanitize takes; a fuzzer's main() comes from the compiler, at link time only.
SANITIZE ?=
sanitize_flags := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
# Instrumented code gives g++ wrong ideas of what is uninitialised; what is to be said was said of the plain build.
warnings := $(if $(SANITIZE),-w,-Wall -Wextra -Werror)
compile_flags = -std=c++20 $(warnings) -Isrc/include -Isrc -Ibuild $(PACKAGE_CPPFLAGS) $(CPPFLAGS) $(CXXFLAGS) $(sanitize_flags)
link = $(CXX) $(CXXFLAGS) $(sanitize_flags) $(LDFLAGS) -Wl,-z,relro,-z,now -Wl,--as-needed
# The same file is the prerequisite of its object and of its clang-tidy run.
dependency_flags = -MMD -MP -MT $@ -MT $(@:$(BUILD)/obj/%.o=$(BUILD)/tidy/%.ok) -MF $(@:.o=.d)

.PHONY: all
all: $(PROGRAMS)

$(BUILD)/bin/pgbalancer: $(BUILD)/obj/src/main/main.o
$(BUILD)/bin/bctl: $(BUILD)/obj/src/bctl/main.o
$(PROGRAMS): $(LIBRARY)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(link) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(PACKAGE_LIBS)

# The list of objects is a file, so that a source that goes takes its object out of the archive.
$(LIBRARY): $(LIBRARY_OBJECTS) $(BUILD)/objects.list
	@rm -f $@
	$(call say,AR,$@)ar rcs $@ $(LIBRARY_OBJECTS)
$(BUILD)/objects.list: FORCE
	@mkdir -p $(@D)
	@echo '$(LIBRARY_OBJECTS)' | cmp -s - $@ || echo '$(LIBRARY_OBJECTS)' > $@
.PHONY: FORCE
FORCE:

$(BUILD)/obj/src/%.o: src/%.cpp build/config.mk
	@mkdir -p $(@D)
	$(call say,CXX,$<)$(CXX) $(compile_flags) $(dependency_flags) -c -o $@ $<
$(BUILD)/obj/test/%.o: test/%.cpp build/config.mk
	@mkdir -p $(@D)
	$(call say,CXX,$<)$(CXX) $(compile_flags) -Itest $(CMOCKA_CFLAGS) $(dependency_flags) -c -o $@ $<

$(BUILD)/test/unit/%: $(BUILD)/obj/test/unit/%.o $(LIBRARY)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(link) -o $@ $^ $(PACKAGE_LIBS) $(CMOCKA_LIBS)
$(BUILD)/test/fuzz/%: $(BUILD)/obj/test/fuzz/%.o $(LIBRARY)
	@mkdir -p $(@D)
	$(call say,LINK,$@)$(link) -fsanitize=fuzzer -o $@ $^ $(PACKAGE_LIBS)

.SECONDARY:
-include $(wildcard $(BUILD)/obj/*/*/*.d)

# --- Checks of the source ---

.PHONY: format format-check check-layers tidy generate check-generated
format:
	scripts/format apply
format-check:
	scripts/format check
check-layers:
	scripts/check-layers

# One run of clang-tidy per source that changed, or includes what changed.
tidy: $(patsubst %.cpp,$(BUILD)/tidy/%.ok,$(SOURCES))
$(BUILD)/tidy/%.ok: %.cpp .clang-tidy build/config.mk
	@mkdir -p $(@D)
	$(call say,TIDY,$<)scripts/tidy "$(CLANG_TIDY)" $< -std=c++20 -Isrc/include -Isrc -Ibuild $(PACKAGE_CPPFLAGS) && touch $@

# The parameter table in src/config is the only place where parameters are written down.
generate: $(BUILD)/bin/pgbalancer
	$(BUILD)/bin/pgbalancer --print-sample-config > conf/pgbalancer.conf.sample
	$(BUILD)/bin/pgbalancer --print-config-manual > doc/CONFIGURATION.md
check-generated: $(BUILD)/bin/pgbalancer
	@$(BUILD)/bin/pgbalancer --print-sample-config | diff -u conf/pgbalancer.conf.sample - && \
	$(BUILD)/bin/pgbalancer --print-config-manual | diff -u doc/CONFIGURATION.md - || \
	{ echo "the parameter table has changed: make generate"; exit 1; }

# --- Tests ---

# Nothing of Python's may be left beside the tests.
pytest = PYTHONPYCACHEPREFIX=$(CURDIR)/build/pycache PGBALANCER_BIN=$(abspath $(BUILD))/bin/pgbalancer \
	/usr/bin/python3 -m pytest -p no:cacheprovider
python = PYTHONPYCACHEPREFIX=$(CURDIR)/build/pycache /usr/bin/python3

.PHONY: unit-tests fuzzers check-unit check-system check-system-long check-postgres fuzz asan ubsan bench
unit-tests: $(UNIT_TESTS)
fuzzers: $(FUZZERS)

check-unit: $(UNIT_TESTS)
	@scripts/run-unit-tests $(BUILD)/unit-tests.summary $^

check-system: $(PROGRAMS)
	$(pytest) test/system -m "not long" -n $(PYTEST_JOBS) --dist loadfile $(PYTEST_ARGS)
check-system-long: $(PROGRAMS)
	$(pytest) test/system -m long $(PYTEST_ARGS)

# PostgreSQL's own suites, through pgbalancer and directly.
check-postgres: $(PROGRAMS)
	$(python) test/postgres/run.py $(POSTGRES_ARGS)

# What a sanitizer says in a worker goes to a file: the supervisor would only see that it died. The undefined-behaviour one
# alone reads its options too late, from an environment that the process's title has been written over; with the other it does not.
asan: SANITIZER := address
ubsan: SANITIZER := address,undefined
asan ubsan:
	+@$(submake) BUILD=build/$@ SANITIZE=$(SANITIZER) all unit-tests
	@rm -f build/$@/report.*
	@ASAN_OPTIONS=log_path=$(CURDIR)/build/$@/report UBSAN_OPTIONS=print_stacktrace=1 \
	$(MAKE) BUILD=build/$@ SANITIZE=$(SANITIZER) check-unit check-system; status=$$?; \
	if ls build/$@/report.* >/dev/null 2>&1; then cat build/$@/report.*; exit 1; fi; exit $$status

fuzz: fuzz-build
	@scripts/run-fuzzers $(FUZZ_SECONDS) build/fuzz
.PHONY: fuzz-build
fuzz-build:
	@test -n "$(CLANGXX)" || { echo "clang is missing: make deps"; exit 1; }
	+@$(submake) BUILD=build/fuzz CXX=$(CLANGXX) CXXFLAGS="-O1 -gline-tables-only" SANITIZE=address,fuzzer-no-link fuzzers

bench:
	@scripts/install-dependencies pgbouncer haproxy pgpool2
	+@$(submake) all
	$(python) test/bench/run.py $(BENCH_ARGS)

# --- The two commands ---

.PHONY: deps check check-long demo demo-stop help
deps:
	@scripts/install-dependencies

step = @printf '\n== %s\n' "$(1)"

check: deps
	$(call step,build)
	+@$(submake) all unit-tests
	+@$(submake) fuzz-build
	$(call step,format; layers; generated files; clang-tidy)
	+@$(submake) format-check check-layers check-generated tidy
	$(call step,fuzzing; a few seconds each)
	@FUZZ_SEED=1 $(MAKE) fuzz FUZZ_SECONDS=1
	$(call step,PostgreSQL's own tests; a selection)
	@$(MAKE) check-postgres POSTGRES_ARGS=--quick
	$(call step,unit tests)
	@$(MAKE) check-unit
	@$(python) test/bench/figures_test.py
	$(call step,system tests)
	@$(MAKE) check-system
	@cat $(BUILD)/unit-tests.summary

check-long: deps
	+@$(submake) all unit-tests
	@$(MAKE) check-system-long
	@$(MAKE) check-postgres
	@$(MAKE) fuzz FUZZ_SECONDS=60
	@$(MAKE) asan
	@$(MAKE) ubsan

demo: deps
	+@$(submake) all
	@$(python) scripts/demo.py start
demo-stop:
	@$(python) scripts/demo.py stop

help:
	@sed -n 's/^## //p' $(firstword $(MAKEFILE_LIST))

# --- Installation and distribution ---

.PHONY: install dist clean distclean
install: all
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(sysconfdir)/pgbalancer $(DESTDIR)$(docdir) $(DESTDIR)$(systemdsystemunitdir)
	install -m 755 $(PROGRAMS) $(DESTDIR)$(bindir)
	install -m 644 conf/pgbalancer.conf.sample $(DESTDIR)$(sysconfdir)/pgbalancer
	install -m 644 README.md LICENSE $(wildcard doc/*.md) $(DESTDIR)$(docdir)
	for file in init service; do \
	    sed -e 's,@bindir@,$(bindir),g' -e 's,@sysconfdir@,$(sysconfdir),g' -e 's,@docdir@,$(docdir),g' \
	        -e 's,@SERVICE_TYPE@,$(SERVICE_TYPE),g' conf/pgbalancer.$$file.in > $(BUILD)/pgbalancer.$$file || exit 1; done
	install -m 755 $(BUILD)/pgbalancer.init $(DESTDIR)$(docdir)
	install -m 644 $(BUILD)/pgbalancer.service $(DESTDIR)$(systemdsystemunitdir)

# Made from the tree as it is, with or without git.
dist:
	@scripts/make-tarball build

clean:
	rm -rf build/obj build/tidy build/test build/bin build/asan build/ubsan build/fuzz build/bench build/postgres build/pycache build/*.a build/*.list
distclean: demo-stop
	rm -rf build
