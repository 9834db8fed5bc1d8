# The embeddable WireGuard library, compiled from Debian's wireguard-tools: daemon/kernel/tunnel_wireguard.c includes it.
WIREGUARD := build/wireguard
CFLAGS_ALL += -isystem $(WIREGUARD)
FUZZ_CFLAGS += -isystem $(WIREGUARD)

$(WIREGUARD)/wireguard.c: make/wireguard.sh
	@make/wireguard.sh $(WIREGUARD)
	@touch $@
$(BUILD)/daemon/kernel/tunnel_wireguard.o build/fuzz/daemon/kernel/tunnel_wireguard.o: $(WIREGUARD)/wireguard.c
