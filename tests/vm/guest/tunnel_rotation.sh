#!/bin/sh
# Rotation with this kernel's own WireGuard at both ends: new keys with an agent, and side by side without one.
# vm-seconds: 900
# vm-long: it takes minutes without KVM
export EDGED_TEST_SLOW=10
exec /usr/bin/python3 -B -m pytest -q --tb=short -p no:cacheprovider tests/netns/test_tunnel_rotation.py \
	-k "both_ends or without_an_agent"
