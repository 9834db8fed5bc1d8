#!/bin/sh
# The header programs load where conntrack is a module, and carry a header.
# vm-seconds: 90
set -e
export EDGED_TEST_SLOW=10 EDGED_TEST_PREFIX=vmhdr
build/edged --role loader --runtime-dir /run/header
ls /run/header/bpf
exec /usr/bin/python3 -B -m pytest -q --tb=short tests/netns/test_header_segments.py \
	-k "bare_ack_carries or data_with_the_first_ack or dsack or retransmission"
