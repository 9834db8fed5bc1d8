"""A line of three, and the header programs on the middle one, without edged's main.

    client eth0 --- wan edge lan --- eth0 node

The rules are plain nft: DNAT and a conntrack mark, as edged's own would set it. So what is
tested is the programs, and nothing besides.
"""
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess

from .edged import BUILD
from .namespace import Namespace, ip

CLIENT, PUBLIC, EDGE_LAN, NODE = "198.51.100.77", "198.51.100.1", "192.0.2.1", "192.0.2.11"
CLIENT6, PUBLIC6, EDGE_LAN6, NODE6 = "2001:db8:51::77", "2001:db8:51::1", "2001:db8:2::1", "2001:db8:2::11"
# Nobody's: a puppet's.
CLIENT_PUPPET, NODE_PUPPET = {4: "198.51.100.99", 6: "2001:db8:51::99"}, {4: "192.0.2.99", 6: "2001:db8:2::99"}
MARK_V1, MARK_V2, MARK_CRC, MARK_ID = 0x20000000, 0x40000000, 0x00800000, 0x00400000
SIOCETHTOOL, ETHTOOL_STXCSUM, ETHTOOL_SGRO = 0x8946, 0x17, 0x2c
UNDER = "203.0.113.1", "203.0.113.2"  # the ends of the VXLAN
TOOL, COMPLETE_TOOL = f"{BUILD}/tests/tools/header_tool", f"{BUILD}/tests/tools/complete_tool"

RULES = """
table inet edge {{
	chain choose {{
		type filter hook prerouting priority -150;
		ct state new tcp flags & (fin | syn | rst | ack) != syn drop
		iifname "wan" ct state new tcp dport 80 ct mark set {mark}
		iifname "wan" ct state new tcp dport 81 ct mark set {other}
	}}
	chain incoming {{
		type nat hook prerouting priority -100;
		iifname "wan" ip daddr {public} tcp dport {{ 80, 81 }} dnat ip to {node}:8080
		iifname "wan" ip6 daddr {public6} tcp dport {{ 80, 81 }} dnat ip6 to [{node6}]:8080
	}}
	chain outgoing {{
		type nat hook postrouting priority 100;
		{snat}
	}}
	chain passing {{
		type filter hook forward priority 0;
		ct state invalid counter drop
	}}
}}
"""


def tool(*args, space=None):
    command = ["nsenter", f"--net=/run/netns/{space.name}"] if space else []
    result = subprocess.run(command + [TOOL, *map(str, args)], capture_output=True, text=True, timeout=20,
                            stdin=subprocess.DEVNULL)
    assert result.returncode == 0, f"header_tool {' '.join(map(str, args))}: {result.stderr}"
    return result.stdout


def load(runtime, room=None, space=None):
    """The loader, as it is started before main; with room: for so many flows only."""
    if room:
        tool("load", runtime, room, space=space)
        return
    log = os.path.join(runtime, "loader.log")
    with open(log, "ab") as output:
        status = subprocess.run([f"{BUILD}/edged", "--role", "loader", "--runtime-dir", runtime], timeout=60,
                                stdin=subprocess.DEVNULL, stdout=output, stderr=output).returncode
    with open(log) as text:
        assert status == 0, text.read()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


class Line:
    """mark: of flows to port 80; other: to port 81. offload: the transmit checksum of the two inner devices.
    puppet: flows go to the node's puppet. room: for so many flows. complete: what comes from the node has had its checksum
    summed up (CHECKSUM_COMPLETE): edge and node speak through a VXLAN with a checksum, which the kernel verifies."""

    def __init__(self, name, folder, mark=MARK_V2, other=0, snat=False, mtu=1500, offload=True, puppet=False, room=None,
                 complete=False):
        self.folder, self.runtime, self.puppet = folder, os.path.join(folder, "run"), puppet
        os.makedirs(self.runtime, exist_ok=True)
        self.namespaces, self.macs = [], {}
        try:
            self._build(name, mtu, complete)
            if not offload:
                self.checksum_offload(self.edge, "lan", False)
                self.checksum_offload(self.node, "eth0", False)
            self.rules(mark, other, snat)
            load(self.runtime, room)
            tool("attach", self.runtime, "lan", space=self.edge)
            if complete:
                self._watch()
        except BaseException:
            self.remove()
            raise

    def _tunnel(self):
        """lan and the node's eth0 become VXLAN devices above what had these names. The outer checksum is whole, so the
        kernel sums up what arrives, and GRO, which would make a partial one of it, is off."""
        for space, device, own, other in ((self.edge, "lan", *UNDER), (self.node, "eth0", *reversed(UNDER))):
            ip("-n", space.name, batch=[f"link set {device} name under", f"address add {own}/24 dev under",
                                        "link set under mtu 2000", "link set under up",
                                        f"link add {device} mtu 1500 type vxlan id 7 local {own} remote {other} dstport 4789 "
                                        "udpcsum dev under"])
            self.offload(space, "under", ETHTOOL_STXCSUM, False)
            self.offload(space, device, ETHTOOL_SGRO, False)

    def _watch(self):
        """What had its checksum summed up gets a mark ahead of the header programs; one whose sum conntrack could not believe
        behind them goes no further than wan."""
        for verb, device in (("mark", "lan"), ("judge", "wan")):
            result = subprocess.run(["nsenter", f"--net=/run/netns/{self.edge.name}", COMPLETE_TOOL, verb, device], timeout=20,
                                    capture_output=True, text=True, stdin=subprocess.DEVNULL)
            assert result.returncode == 0, result.stderr
        self.edge.nft("table inet complete { chain seen { type filter hook prerouting priority -300; "
                      "meta l4proto != { tcp, icmp, icmpv6 } meta mark set 0 accept; "  # conntrack looks at the sum of these
                      "iifname lan meta mark != 0x52 counter; iifname lan meta mark 0x52 counter; }; }")

    def _build(self, name, mtu, complete):
        for role in ("client", "edge", "node"):
            space = Namespace(f"{name}-{role}")
            self.namespaces.append(space)
            setattr(self, role, space)
        ip(batch=[f"link add wan index 11 netns {self.edge.name} type veth peer name eth0 index 12 netns {self.client.name}",
                  f"link add lan index 13 mtu {mtu} netns {self.edge.name} type veth "
                  f"peer name eth0 index 14 mtu {mtu} netns {self.node.name}"])
        if complete:
            self._tunnel()
        for space, device, addresses in ((self.client, "eth0", (f"{CLIENT}/24", f"{CLIENT6}/64")),
                                         (self.edge, "wan", (f"{PUBLIC}/24", f"{PUBLIC6}/64")),
                                         (self.edge, "lan", (f"{EDGE_LAN}/24", f"{EDGE_LAN6}/64")),
                                         (self.node, "eth0", (f"{NODE}/24", f"{NODE6}/64"))):
            ip("-n", space.name, batch=[f"address add {a} dev {device}" + (" nodad" if ":" in a else "")
                                        for a in addresses] + [f"link set {device} up"])
        ip("-n", self.client.name, batch=[f"route add default via {PUBLIC}", f"route add ::/0 via {PUBLIC6}"])
        ip("-n", self.node.name, batch=[f"route add default via {EDGE_LAN}", f"route add ::/0 via {EDGE_LAN6}"])
        for family in (4, 6):
            for puppet, space, device in ((CLIENT_PUPPET, self.client, "wan"), (NODE_PUPPET, self.node, "lan")):
                ip("-n", self.edge.name, "neigh", "add", puppet[family], "lladdr", self.mac(space, "eth0"), "dev", device)
        self.edge.sysctl("net.ipv4.ip_forward", 1)
        self.edge.sysctl("net.ipv6.conf.all.forwarding", 1)

    def rules(self, mark, other=0, snat=False):
        self.edge.nft("table inet edge\ndelete table inet edge\n" + RULES.format(
            mark=mark, other=other, public=PUBLIC, public6=PUBLIC6,
            node=NODE_PUPPET[4] if self.puppet else NODE, node6=NODE_PUPPET[6] if self.puppet else NODE6,
            snat='oifname "lan" masquerade' if snat else ""))

    def mac(self, space, device):
        if (space.name, device) not in self.macs:
            self.macs[space.name, device] = json.loads(ip("-n", space.name, "-j", "link", "show", "dev", device))[0]["address"]
        return self.macs[space.name, device]

    @classmethod
    def checksum_offload(cls, space, device, on):
        """Without it every packet has its whole checksum, and a wrong one is seen."""
        cls.offload(space, device, ETHTOOL_STXCSUM, on)

    @staticmethod
    def offload(space, device, which, on):
        with space.inside():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            value = bytearray(struct.pack("II", which, int(on)))
            buffer = (ctypes.c_char * len(value)).from_buffer(value)
            fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP", device.encode(), ctypes.addressof(buffer)) + bytes(16))

    def counters(self):
        return {name: int(value) for name, value in map(str.split, tool("counters", self.runtime).splitlines())}

    def flows(self):
        names = ("node", "node_port", "peer", "peer_port", "state", "length", "id", "derived")
        return [dict(zip(names, line.split())) for line in tool("flows", self.runtime).splitlines()]

    def usage(self):
        return {name: int(value) for name, value in map(str.split, tool("usage", self.runtime).splitlines())}

    def checksum_errors(self):
        """Of the TCP stacks of both ends."""
        total = 0
        for space in (self.client, self.node):
            for line in space.run("nstat", "-az", "TcpInCsumErrors").stdout.splitlines():
                words = line.split()
                if words and words[0] == "TcpInCsumErrors":
                    total += int(words[1])
        return total

    def summed_up(self):
        """Packets of the node by the state of their checksum: (other, complete, complete and not believed)."""
        rules = json.loads(self.edge.run("nft", "-j", "list", "table", "inet", "complete").stdout)["nftables"]
        other, complete = (part["counter"]["packets"] for entry in rules for part in entry.get("rule", {}).get("expr", ())
                           if "counter" in part)
        wrong = json.loads(self.edge.run("tc", "-j", "-s", "qdisc", "show", "dev", "wan", "clsact").stdout)
        return other, complete, wrong[0]["drops"]

    def remove(self):
        if os.path.exists(os.path.join(self.runtime, "bpf")):
            tool("unload", self.runtime)
        for space in reversed(self.namespaces):
            space.remove()
        self.namespaces = []

