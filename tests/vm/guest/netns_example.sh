#!/bin/sh
# The end-to-end test of the example configuration, on this kernel.
# vm-seconds: 900
# vm-long: it takes minutes without KVM
export EDGED_TEST_SLOW=10
exec /usr/bin/python3 -B -m pytest -q --tb=short tests/netns/test_example.py
