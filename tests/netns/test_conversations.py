"""Random conversations through both data planes over bad lines: every byte and every header is as it was sent.

    client eth0 --- relay --- wan edge lan --- relay --- eth0 server

CONVERSATIONS=n for more of each kind, SEED=n for others.
"""
import contextlib
import os
import socket
import subprocess

import pytest

from harness import Edged, Namespace, config, forward, ip
from harness.dialogue import Conversations
from harness.edged import BUILD
from harness.header import Line

COUNT, SEED = int(os.environ.get("CONVERSATIONS", "600")), int(os.environ.get("SEED", "1"))
CLIENT, EDGE, EDGE_LAN, SERVER = "198.51.100.77", "198.51.100.1", "192.0.2.1", "192.0.2.11"
CLIENT6, EDGE6, EDGE_LAN6, SERVER6 = "2001:db8:51::77", "2001:db8:51::1", "2001:db8:2::1", "2001:db8:2::11"
RELAY = f"{BUILD}/tests/tools/relay"
OTHER = 8080


class BadLine:
    """Client, edge and server with a relay on each side of the edge."""

    def __init__(self, prefix):
        self.spaces, self.relays = [], []
        try:
            self.client, self.near, self.edge, self.far, self.server = (
                self._space(f"{prefix}-{name}") for name in ("client", "near", "edge", "far", "server"))
            self._wires()
        except BaseException:
            self.remove()
            raise

    def _space(self, name):
        self.spaces.append(Namespace(name))
        return self.spaces[-1]

    def _wires(self):
        pairs = [(self.client, "eth0", self.near, "left"), (self.edge, "wan", self.near, "right"),
                 (self.edge, "lan", self.far, "left"), (self.server, "eth0", self.far, "right")]
        ip(batch=[f"link add name {device} index {11 + 2 * n} netns {here.name} type veth peer name {peer} "
                  f"index {12 + 2 * n} netns {there.name}" for n, (here, device, there, peer) in enumerate(pairs)])
        for space in (self.near, self.far):
            space.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
            ip("-n", space.name, batch=["link set left up", "link set right up"])
        for space, device, addresses, routes in (
                (self.client, "eth0", (f"{CLIENT}/24", f"{CLIENT6}/64"), (EDGE, EDGE6)),
                (self.edge, "wan", (f"{EDGE}/24", f"{EDGE6}/64"), ()),
                (self.edge, "lan", (f"{EDGE_LAN}/24", f"{EDGE_LAN6}/64"), ()),
                (self.server, "eth0", (f"{SERVER}/24", f"{SERVER6}/64"), (EDGE_LAN, EDGE_LAN6))):
            ip("-n", space.name, batch=[f"address add {a} dev {device}" + (" nodad" if ":" in a else "") for a in addresses]
               + [f"link set {device} up"])
            for gateway in routes:
                ip("-n", space.name, "route", "add", "::/0" if ":" in gateway else "default", "via", gateway)

    def spoil(self, seed=SEED, by_flow=False, **rates):
        options = [word for name, rate in rates.items() for word in (f"--{name}", rate)] + ["--by-flow"] * by_flow
        for number, space in enumerate((self.near, self.far)):
            process = space.start(RELAY, "left", "right", *options, "--seed", seed + number, stdout=subprocess.PIPE, text=True)
            assert process.stdout.readline() == "ready\n"
            self.relays.append((space, process))

    def checksum_errors(self):
        total = 0
        for space in (self.client, self.server):
            with space.inside(), open("/proc/thread-self/net/snmp") as file:
                head, values = [line.split() for line in file if line.startswith("Tcp:")]
            total += int(dict(zip(head, values))["InCsumErrors"])
        return total

    def what_relays_did(self):
        """Sums over both of what they printed at their end."""
        total = {}
        for space, process in self.relays:
            space.stop(process)
            words = process.stdout.read().split()
            process.stdout.close()
            for name, value in zip(words[::2], words[1::2]):
                total[name] = total.get(name, 0) + int(value)
        self.relays = []
        return total

    def remove(self):
        for space in self.spaces:
            space.remove()


@pytest.fixture
def line(request, prefix, root, tmp_path):
    line = BadLine(f"{prefix}-talk")
    line.edged = None
    try:
        yield line
    finally:
        if line.edged:
            line.edged.stop()
        line.remove()


def listen(space, address):
    with space.inside():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.create_server((address, OTHER), family=family, backlog=1024)
    sock.setblocking(False)
    return sock


def dialler(space, address):
    def dial(port):
        with space.inside():
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        return sock
    return dial


def start(line, folder, header, via):
    os.chmod(folder, 0o755)
    line.edged = Edged(line.edge, str(folder / "edged"), config(
        interfaces={"wan": "wan", "lan": {"device": "lan", "networks": ["192.0.2.0/24", "2001:db8:2::/64"]}},
        floating_ips=None, nodes={"four": {"address": SERVER}, "six": {"address": SERVER6}},
        pools={"web": {"nodes": ["four", "six"], "health": {"check": "none"}}},
        forwards={"web": forward(80, OTHER, header, via=via, snat="off", synproxy="off")}), supervised=False).start()
    for clients in ("ipv4", "ipv6"):
        line.edged.wait_plane(via, clients=clients)


@pytest.mark.parametrize("offload", [True, False], ids=["offload", "checksummed"])
@pytest.mark.parametrize("via, header, family", [("kernel", "v2", 4), ("kernel", "v1", 6), ("proxy", "v2", 4)])
def test_every_byte_and_every_header(line, tmp_path, via, header, family, offload):
    start(line, tmp_path, header, via)
    if not offload:
        for space, device in ((line.client, "eth0"), (line.edge, "wan"), (line.edge, "lan"), (line.server, "eth0")):
            Line.checksum_offload(space, device, False)
    line.spoil(loss=25, duplicate=10, reorder=25)  # on each of the two lines: 5% lost and 5% late between the ends
    client, edge, server = (CLIENT, EDGE, SERVER) if family == 4 else (CLIENT6, EDGE6, SERVER6)
    with contextlib.closing(listen(line.server, server)) as listener:
        Conversations(SEED, listener, dialler(line.client, client), (edge, 80),
                      lambda port: (header, client, port, edge, 80), strict=via == "kernel").run(range(10000, 10000 + COUNT))
    did = line.what_relays_did()
    assert line.checksum_errors() == 0
    assert did["lost"] > COUNT / 4 and did["late"] > COUNT / 4 and did["twice"] > 0 and did["unsent"] == 0, did
