# SPDX-License-Identifier: MIT
# Top Makefile: short, dispatches.  Nothing is written outside build/.
#
#   make                the daemon and command line: build/automation
#   make extension      the PostgreSQL extension: build/automation.so
#   make demo           install what is missing, build, show an automation run on this machine
#   make demo-pg        the same for the PostgreSQL extension, in a throw-away cluster
#   make check          install what is missing, build, pass every test
#   make install | uninstall     the daemon, its manual page, completions and units (PREFIX, DESTDIR)
#   make install-extension       the extension, into the PostgreSQL of PG_CONFIG (DESTDIR)
#   make soak           minutes of kill -9: nothing lost, nothing twice
#   make soak-cloud     the same with a sandbox of the stand-in for each run
#   make check-unit | check-store | check-sql | check-api | check-tap | fuzz-smoke   one layer
#   make SAN=address,undefined …   the same with sanitizers (in build/san)
#   make CC=clang …                with clang (use a build folder of its own: B=build/clang)

VERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" extension/automation.control)
PG_CONFIG ?= pg_config

B := build
ifdef SAN
B := build/san
SANFLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer -DAUT_CHECK_ABORT
endif

PKGS := libuv libcurl libmicrohttpd jansson libarchive libcrypto libpcre2-8
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) sqlite3 2>/dev/null)
CORE_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lunistring
LIBS := $(CORE_LIBS) $(shell pkg-config --libs sqlite3 2>/dev/null) -lm

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wcast-qual -Wimplicit-fallthrough \
	-Wno-declaration-after-statement -Wconversion -Wswitch-enum
ifdef CI
WARN += -Werror
endif
OPT ?= -O2 -g
CPPFLAGS += -Iinclude -I. -D_GNU_SOURCE -DAUT_VERSION='"$(VERSION)"' $(PKG_CFLAGS)
CFLAGS += -std=gnu11 $(OPT) -fPIC -fvisibility=hidden $(WARN) $(SANFLAGS)
LDFLAGS += $(SANFLAGS)

CORE_SRC := $(sort $(wildcard core/*/*.c))
CORE_OBJ := $(CORE_SRC:%.c=$(B)/obj/%.o) $(B)/obj/gen/preset_files.o
# the program of prompt automations, as it goes into their tarballs
PRESET_FILES := core/service/preset/finish_tool_hook.py core/service/preset/main.py core/service/preset/setup.sh
HOST_SRC := $(sort $(wildcard standalone/*.c))
HOST_OBJ := $(HOST_SRC:%.c=$(B)/obj/%.o)
# what tests of the host's parts may link: everything but main()
HOST_LIB_OBJ := $(filter-out $(B)/obj/standalone/main.o,$(HOST_OBJ))

.PHONY: all extension demo demo-pg clean help
all: $(B)/automation

$(B)/libautomation.a: $(CORE_OBJ)
	@rm -f $@
	@$(AR) rcs $@ $^

$(B)/automation: $(HOST_OBJ) $(B)/libautomation.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/gen/preset_files.c: core/service/preset/embed.sh $(PRESET_FILES)
	@mkdir -p $(@D)
	@sh core/service/preset/embed.sh $(PRESET_FILES) > $@.new && mv $@.new $@

$(B)/obj/gen/%.o: $(B)/gen/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

extension: $(B)/libautomation.a
	$(MAKE) -C extension B=$(abspath $(B)) PG_CONFIG=$(PG_CONFIG) CORE_LIBS="$(CORE_LIBS)" all

demo:
	@test/install-deps build
	@$(MAKE) --no-print-directory -s all
	@examples/demo

demo-pg:
	@test/install-deps check
	@$(MAKE) --no-print-directory -s all install-extension-private
	@AUTOMATION=$(B)/automation examples/demo-pg

clean:
	rm -rf build

help:
	@sed -n '2,16s/^# \{0,1\}//p' Makefile

include packaging/Makefile.inc
include test/Makefile.inc

-include $(CORE_OBJ:.o=.d) $(HOST_OBJ:.o=.d)
