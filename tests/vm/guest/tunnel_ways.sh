#!/bin/sh
# What `peer export` prints makes the other end: wg-quick in this kernel, wireguard-go, and a real systemd-networkd.
# vm-seconds: 600
# vm-long: it takes a minute and more without KVM
modprobe tun
export EDGED_TEST_SLOW=10 EDGED_TEST_PREFIX=vmways
exec /usr/bin/python3 -B -m pytest -q -rs --tb=short tests/netns/test_tunnel_ways.py
