"""Real clients under a flood of SYNs from random sources, as fast as this machine can send them.

    client --- edge --- node          the flood leaves by the client's device

For each way to answer (synproxy on, auto, off) and each family: the flood runs for some seconds, and meanwhile so many
clients connect, each from its first SYN to the first byte that the node's echo sends back, header and all. A client that
is not served within a second counts as not served. The flood shares the cores with everything else here, and ends by
itself. `sudo make bench-flood`.
"""
import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "netns")]
sys.dont_write_bytecode = True

from harness import Edged, config, device_mac, flood, forward, ip, leak_counter, readers, until  # noqa: E402
from harness.proxy import CLIENT, CLIENT6, EDGE, EDGE6, EDGE_LAN, EDGE_LAN6, SERVERS, SERVERS6, SIGNATURE, Site  # noqa: E402

PORT, TARGET = 443, 30443
SOURCES, SOURCES6, HOW_MANY = "198.18.0.1", "2001:db8:8000::1", 65000
SERVED_WITHIN = 1.0


class Place:
    """A site whose edge sends what it has for anybody to the client's side, where nobody answers for the flood."""

    def __init__(self, number, synproxy):
        self.site = Site(f"{os.environ.get('EDGED_TEST_PREFIX', 'edgedtest')}-{os.getpid()}-flood{number}")
        self.edged = None
        for family, gateway, lan in (("", CLIENT, EDGE_LAN), ("-6", CLIENT6, EDGE_LAN6)):
            word = [family] if family else []
            ip(*word, "-n", self.site.edge.name, "route", "add", "default", "via", gateway)
            ip(*word, "-n", self.site.server.name, "route", "add", "default", "via", lan)
        folder = tempfile.mkdtemp(prefix="edged-bench-")
        os.chmod(folder, 0o755)
        self.edged = Edged(self.site.edge, os.path.join(folder, "edged"), config(
            interfaces={"wan": "wan", "lan": {"device": "lan", "networks": ["192.0.2.0/24", "2001:db8:2::/64"]}},
            floating_ips=None, nodes={"four": {"address": SERVERS[0]}, "six": {"address": SERVERS6[0]}},
            pools={"web": {"nodes": ["four", "six"], "health": {"check": "none"}}},
            forwards={"web": forward(PORT, TARGET, "v2", via="kernel", snat="off", synproxy=synproxy)}),
            supervised=False).start()
        for clients in ("ipv4", "ipv6"):
            self.edged.wait_plane("kernel", clients=clients)

    def active(self):
        return self.edged.get("/v1/forwards")[0]["synproxy"]["on"]

    def remove(self):
        if self.edged:
            self.edged.stop()
        self.site.remove()


async def echo(loop, listener):
    async def one(sock):
        with contextlib.closing(sock), contextlib.suppress(OSError):
            while data := await loop.sock_recv(sock, 4096):
                await loop.sock_sendall(sock, data)
    while True:
        sock, _ = await loop.sock_accept(listener)
        sock.setblocking(False)
        asyncio.ensure_future(one(sock))


async def client(loop, space, address):
    """Seconds until the node's first bytes came back, or None."""
    with space.inside():
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.setblocking(False)
    began = time.monotonic()

    async def talk():
        await loop.sock_connect(sock, (address, PORT))
        await loop.sock_sendall(sock, b"hello")
        return await loop.sock_recv(sock, 4096)
    with contextlib.closing(sock):
        try:
            data = await asyncio.wait_for(talk(), 3)
        except (OSError, asyncio.TimeoutError):
            return None
    return time.monotonic() - began if data.startswith(SIGNATURE) else None


async def clients(place, address, listener, count, seconds):
    loop = asyncio.get_running_loop()
    server = asyncio.ensure_future(echo(loop, listener))

    async def later(number):
        await asyncio.sleep(seconds * number / count)
        return await client(loop, place.site.client, address)
    times = await asyncio.gather(*(later(number) for number in range(count)))
    server.cancel()
    return times


def listen(space, address):
    with space.inside():
        listener = socket.create_server((address, TARGET), family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                                        backlog=1024)
    listener.setblocking(False)
    return listener


def measure(place, family, count, seconds, rate, wait_on):
    """One flood: what was sent, and how the clients fared."""
    source, address, node = (SOURCES, EDGE, SERVERS[0]) if family == 4 else (SOURCES6, EDGE6, SERVERS6[0])
    before = readers.counter(place.site.edge, "syn-web")[0]
    mac = device_mac(place.site.edge, "wan")
    with contextlib.closing(listen(place.site.server, node)) as listener, \
            leak_counter(place.site.server, "eth0", "tcp flags & (syn|ack) == syn") as syns:
        began = time.monotonic()
        with flood(place.site.client, "eth0", mac, source, address, str(PORT), "tcp", seconds=seconds + 20,
                   spoof=HOW_MANY, rate=rate, shuffled=True) as process:
            if wait_on:
                until(place.active, 20, "synproxy to be on")
            until(lambda: readers.counter(place.site.edge, "syn-web" if wait_on else "fwd-web")[0] > 1000, 10, "the flood")
            at_node = syns()
            times = asyncio.run(clients(place, address, listener, count, seconds))
            at_node = syns() - at_node
            lasted = time.monotonic() - began
    served = sorted(value for value in times if value is not None and value <= SERVED_WITHIN)
    return {"sent": process.sent / lasted, "answered": (readers.counter(place.site.edge, "syn-web")[0] - before) / lasted,
            "served": len(served), "median": statistics.median(served) * 1000 if served else None,
            "worst": served[-1] * 1000 if served else None, "node": at_node,
            "entries": int(place.site.edge.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count").stdout)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=5, help="over which the clients come")
    parser.add_argument("--rate", type=int, default=0, help="of the flood, per second; 0: as fast as it goes")
    options = parser.parse_args()
    print(f"{options.clients} clients within {options.seconds} s of a SYN flood from {HOW_MANY} random sources; via: kernel, "
          f"header v2, {os.cpu_count()} cores for everything\n")
    print("| synproxy | family | SYNs sent 1/s | answered 1/s | served within 1 s | median ms | slowest ms | SYNs at the node "
          "| conntrack entries |\n|---|---|---|---|---|---|---|---|---|")
    for number, synproxy in enumerate(("on", "auto", "off")):
        place = Place(number, synproxy)
        try:
            for family in (4, 6):
                found = measure(place, family, options.clients, options.seconds, options.rate, synproxy != "off")
                median, worst = (f"{found[name]:.1f}" if found[name] else "-" for name in ("median", "worst"))
                print(f"| {synproxy} | IPv{family} | {found['sent']:,.0f} | {found['answered']:,.0f} | {found['served']} of "
                      f"{options.clients} | {median} | {worst} | {found['node']} | {found['entries']:,} |", flush=True)
        finally:
            place.remove()


if __name__ == "__main__":
    main()
