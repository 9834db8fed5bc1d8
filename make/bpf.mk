# The header-injection programs: one object for all kernels (CO-RE), carried inside edged as a skeleton.
# -g is what makes the BTF that CO-RE needs; -mcpu=v3 has 32-bit jumps and atomics (kernel 5.12).
BPF_CLANG ?= clang
BPF_OBJECT := $(BUILD)/bpf/header.bpf.o
BPF_SKELETON := $(BUILD)/bpf/header.skel.h
BPFTOOL ?= $(or $(shell command -v bpftool 2>/dev/null),/usr/sbin/bpftool)

$(BPF_OBJECT): daemon/bpf/header.bpf.c $(wildcard daemon/bpf/*.h) make/bpf.mk
	@mkdir -p $(@D)
	@$(if $(V),,echo "  BPF $@";) \
		$(BPF_CLANG) -O2 -g -ffile-prefix-map=$(CURDIR)=. -target bpf -mcpu=v3 -Wall -Wextra -Werror \
		-I/usr/include/$(shell $(CC) -print-multiarch) -c -o $@ $<
$(BPF_SKELETON): $(BPF_OBJECT)
	@$(if $(V),,echo "  GEN $@";) $(BPFTOOL) gen skeleton $< name header_bpf >$@.new && mv $@.new $@
$(BUILD)/daemon/kernel/header_load.o: $(BPF_SKELETON)
$(BUILD)/daemon/kernel/header_load.o: CFLAGS += -isystem $(BUILD)/bpf
bpf: $(BPF_OBJECT)
.PHONY: bpf
