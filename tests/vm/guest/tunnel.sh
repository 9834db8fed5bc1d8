#!/bin/sh
# Tunnels by this kernel's own WireGuard, with wg and ip as readers: what is configured is there, foreign changes are
# repaired, what is removed is gone.
# vm-seconds: 900
# vm-long: it takes minutes without KVM
export EDGED_TEST_SLOW=10
exec /usr/bin/python3 -B -m pytest -q --tb=short -p no:cacheprovider tests/netns/test_tunnel.py \
	-k "configured or removed or foreign or cannot_be_had or segments or restart"
