#!/bin/sh
# The header programs beside a flowtable, and on a VLAN device.
# vm-seconds: 120
export EDGED_TEST_SLOW=10 EDGED_TEST_PREFIX=vmhdr
exec /usr/bin/python3 -B -m pytest -q -rs --tb=short tests/netns/test_header_modules.py
