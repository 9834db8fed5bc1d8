#!/bin/sh
# edged with a flowtable: headers, a ban and a block.
# vm-seconds: 1000
# vm-long: some minutes without KVM
export EDGED_TEST_SLOW=10 EDGED_TEST_PREFIX=vmflow
exec /usr/bin/python3 -B -m pytest -q -x -rs --tb=short tests/netns/test_flowtable.py
