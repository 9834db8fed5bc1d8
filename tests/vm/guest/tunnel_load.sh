#!/bin/sh
# Rotation under load with this kernel's own WireGuard at both ends: to the second device and back to the first, while
# connections carry bytes and a hundred probes a second go each way; and what a node begins while the ends differ.
# vm-seconds: 600
# vm-long: it takes minutes without KVM
export EDGED_TEST_SLOW=10 EDGED_TEST_PREFIX=vmload EDGED_ROTATIONS="${EDGED_ROTATIONS:-2}"
exec /usr/bin/python3 -B -m pytest -q -rP --tb=short -p no:cacheprovider tests/netns/test_tunnel_rotation.py \
	-k "under_load or ends_differ"
