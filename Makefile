# The one entry point. `make` builds build/edged and build/edgectl; `make help` lists the rest.
# SAN=1 builds the same with ASan and UBSan into build/san.

VERSION := 0.1.0
PACKAGES := libnftnl libmnl libnetfilter_conntrack yaml-0.1 jansson libevent libevent_openssl openssl libcurl libsystemd libbpf

CC ?= gcc
OPT ?= -O2
BUILD := build$(if $(SAN),/san)
WARN := -Wall -Wextra -Wformat=2 -Wconversion -Wvla -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection -ftrivial-auto-var-init=zero -fPIE
ifeq ($(SAN),)
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
else
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
endif
CFLAGS_ALL = -std=gnu17 $(OPT) -g $(WARN) $(HARDEN) $(SANITIZE) -D_GNU_SOURCE -DEDGED_VERSION='"$(VERSION)"' \
	-MMD -MP $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null) $(CFLAGS)
LDFLAGS_ALL = -pie -Wl,-z,relro,-z,now,-z,noexecstack $(SANITIZE) $(LDFLAGS)
LIBS = $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lcap -lpthread
RULES_LIBS := $(shell pkg-config --libs yaml-0.1 openssl 2>/dev/null)
CTL_LIBS = $(shell pkg-config --libs yaml-0.1 jansson libcurl openssl libqrencode 2>/dev/null)

objects = $(patsubst %.c,$(BUILD)/%.o,$(1))
RULES := $(call objects,$(sort $(wildcard rules/*/*.c)))
DAEMON := $(call objects,$(sort $(filter-out daemon/main.c daemon/when_closed.c,$(wildcard daemon/*.c daemon/kernel/*.c daemon/proxy/*.c daemon/api/*.c daemon/watch/*.c daemon/agent/*.c))))
CLI := $(call objects,$(sort $(filter-out cli/main.c,$(wildcard cli/*.c))))
UNIT := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/unit/*_test.c)))
UNIT_HELP := $(call objects,$(sort $(filter-out %_test.c,$(wildcard tests/unit/*.c))))
TOOLS := $(patsubst tests/tools/%.c,$(BUILD)/tests/tools/%,$(sort $(wildcard tests/tools/*.c)))

all: $(BUILD)/edged $(BUILD)/edgectl $(BUILD)/when-closed

$(BUILD)/librules.a: $(RULES)
$(BUILD)/libdaemon.a: $(DAEMON)
$(BUILD)/libcli.a: $(CLI)
$(BUILD)/%.a:
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/edged: $(BUILD)/daemon/main.o $(BUILD)/libdaemon.a $(BUILD)/librules.a
	@$(if $(V),,echo "  LD $@";) $(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)
$(BUILD)/edgectl: $(BUILD)/cli/main.o $(BUILD)/libcli.a $(BUILD)/librules.a
	@$(if $(V),,echo "  LD $@";) $(CC) $(LDFLAGS_ALL) -o $@ $^ $(CTL_LIBS)

$(BUILD)/when-closed: $(BUILD)/daemon/when_closed.o $(BUILD)/libdaemon.a
	@$(if $(V),,echo "  LD $@";) $(CC) $(LDFLAGS_ALL) -o $@ $^ $(shell pkg-config --libs libmnl 2>/dev/null)

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC $@";) $(CC) $(CFLAGS_ALL) -c -o $@ $<

# Unit tests: one program per file, with cmocka; tests/tools: small programs that network tests run.
$(BUILD)/tests/unit/%_test: $(BUILD)/tests/unit/%_test.o $(UNIT_HELP) $(BUILD)/libdaemon.a $(BUILD)/libcli.a $(BUILD)/librules.a
	@$(if $(V),,echo "  LD $@";) $(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS) $(CTL_LIBS) -lcmocka
$(BUILD)/tests/tools/%: $(BUILD)/tests/tools/%.o $(BUILD)/libdaemon.a $(BUILD)/librules.a
	@$(if $(V),,echo "  LD $@";) $(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)
.PRECIOUS: $(BUILD)/%.o
unit: $(UNIT)
tools: $(TOOLS)

include $(wildcard make/*.mk)

help:
	@echo "make                build build/edged and build/edgectl"
	@echo "sudo make lab       the whole thing in network namespaces; sudo make lab-down removes it"
	@echo "sudo make test      every test that needs no VM; T=name runs one"
	@echo "sudo make bench     the benchmark tables"
	@echo "sudo make vm-test   tests in QEMU on the kernels of Debian 12 and 13"
	@echo "make fuzz T=name    run one fuzz target"
	@echo "sudo make deb        the Debian package; SUITE=bookworm or trixie, default: this machine's"
	@echo "sudo make image      the image for a cloud: build/image/edged-VERSION.qcow2"
	@echo "sudo make deps      install what is missing (apt-get)"

clean:
	rm -rf build

# build/deb, build/image and build/vm hold whole root folders.
-include $(shell find $(BUILD) \( -path '$(BUILD)/deb' -o -path '$(BUILD)/image' -o -path '$(BUILD)/vm' \) -prune -o -name '*.d' -type f -print 2>/dev/null)
.PHONY: all unit tools help clean
