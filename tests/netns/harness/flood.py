"""Packet floods (build/tests/tools/flood), and exact counts of what comes through them."""
import contextlib
import json
import os
import subprocess

from .edged import BUILD
from .readers import counter

TOOL = os.path.join(BUILD, "tests", "tools", "flood")


def device_mac(space, device):
    return json.loads(space.run("ip", "-j", "link", "show", "dev", device).stdout)[0]["address"]


@contextlib.contextmanager
def flood(space, device, to_mac, source, target, ports, protocol="udp", count=10_000_000, seconds=600, spoof=1,
          rate=0, shuffled=False):
    """Send from a device, as fast as it goes (or rate per second), until the block ends, count or seconds are over.

    spoof: so many source addresses, from source on; shuffled: in no order, and their ports too. Yields the process;
    .sent is there at the end.
    """
    process = space.start(TOOL, "--device", device, "--mac", to_mac, "--from", source, "--sources", spoof, "--to", target,
                          "--ports", ports, "--protocol", protocol, "--count", count, "--seconds", seconds,
                          "--rate", rate, *(["--shuffled"] if shuffled else []), stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        space.stop(process)
        words = process.stdout.read().split()
        process.sent = int(words[0]) if words else 0
        process.stdout.close()


@contextlib.contextmanager
def leak_counter(space, device, match):
    """Count, in the receiver's namespace and in the kernel, what arrives on a device. Yields a function."""
    space.nft(f"""table netdev watch {{
	counter leak {{ }}
	chain in {{ type filter hook ingress device {device} priority -400; {match} counter name leak; }}
}}""")
    try:
        yield lambda: counter(space, "leak", "netdev watch")[0]
    finally:
        space.run("nft", "delete", "table", "netdev", "watch")
