"""Header injection and the largest segments there are: a first one of nearly 64 KiB, to which a header could not be added
in one IP packet, and one above 64 KiB (BIG TCP).

The client is a puppet that sends such a segment whole, as a virtual machine or GRO does; the node's TCP is real.
"""
import contextlib
import hashlib
import os
import socket
import struct

import pytest

from harness.capture import SOL_PACKET, Capture
from harness.client import checksum
from harness.conversation import conversation
from harness.header import CLIENT, CLIENT6, CLIENT_PUPPET, PUBLIC, PUBLIC6
from harness.puppet import ACK, PSH, SYN, Puppet, address
from harness.talk import ISN, v2
from harness.wait import SLOW

PACKET_VNET_HDR, NEEDS_CHECKSUM, GSO_TCP4, GSO_TCP6 = 15, 1, 1, 4
MSS, LENGTH = 1400, {4: 28, 6: 52}
RTM_NEWLINK, IFLA_GSO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE = 16, 41, 63
LOSE_THE_FIRST = """
table inet lose {
	set once { type inet_service; flags dynamic; size 8; }
	chain incoming {
		type filter hook prerouting priority -400;
		tcp dport 8080 tcp flags & (syn | ack) == ack tcp sport != @once add @once { tcp sport } drop
	}
}
"""


def take_large(space, device, size=200000):
    """Segments above 64 KiB pass this device whole. By netlink, since ip of Debian 12 does not know it for IPv4."""
    with space.inside():
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        index = socket.if_nametoindex(device)
    with sock:
        limits = b"".join(struct.pack("=HHI", 8, kind, size) for kind in (IFLA_GSO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE))
        sock.send(struct.pack("=IHHIIBxHiII", 32 + len(limits), RTM_NEWLINK, 1 | 4, 1, 0, 0, 0, index, 0, 0) + limits)
        assert struct.unpack_from("=i", sock.recv(4096), 16)[0] == 0


def send_super(space, puppet, seq, ack, payload):
    """One segment of any size, its checksum left to the device."""
    here, there = address(puppet.here[0]), address(puppet.there[0])
    v6 = len(here) == 16
    head = struct.pack("!HHIIBBHHH", puppet.here[1], puppet.there[1], seq, ack, 5 << 4, ACK | PSH, 64240, 0, 0)
    size = len(head) + len(payload)
    # Of the pseudo header alone; a length above 64 KiB counts whole in it.
    head = head[:16] + struct.pack("!H", ~checksum(here + there + struct.pack("!HI", 6, size)) & 0xffff) + head[18:]
    if v6:
        network = struct.pack("!IHBB", 6 << 28, size, 6, 64) + here + there
    else:
        network = struct.pack("!BBHHHBBH", 0x45, 0, 20 + size if 20 + size < 65536 else 0, 1, 0x4000, 64, 6, 0) + here + there
        network = network[:10] + struct.pack("!H", checksum(network)) + network[12:]
    start = 14 + len(network)
    offload = struct.pack("<BBHHHH", NEEDS_CHECKSUM, GSO_TCP6 if v6 else GSO_TCP4, start + 20, MSS, start, 16)
    with space.inside():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with sock:
        sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        with space.inside():
            sock.bind(("eth0", 0))
        ether = puppet.gateway + puppet.mac + (b"\x86\xdd" if v6 else b"\x08\x00")
        sock.send(offload + ether + network + head + payload)


class Talk:
    """A puppet that speaks with a real server on the node."""

    def __init__(self, line, family, stack):
        public = PUBLIC6 if family == 6 else PUBLIC
        self.line, self.space = line, line.client
        self.client = stack.enter_context(contextlib.closing(Puppet(
            line.client, "eth0", line.mac(line.edge, "wan"), (CLIENT_PUPPET[family], 40000), (public, 80))))
        self.header = v2(CLIENT_PUPPET[family], public, 40000, 80)
        with line.node.inside():
            self.listener = stack.enter_context(socket.create_server(("::", 8080), family=socket.AF_INET6,
                                                                     dualstack_ipv6=True))
        self.client.send(ISN, 0, SYN, options=struct.pack("!BBHBBBB", 2, 4, MSS, 1, 3, 3, 7))
        seen = self.client.expect(flags=SYN | ACK, ack=ISN + 1)
        self.ack = seen.seq + 1

    def send(self, payload, at=0):
        send_super(self.space, self.client, ISN + 1 + at, self.ack, payload)

    def acknowledged(self, at_least):
        """Waits until so many bytes are acknowledged; how many are."""
        while True:
            seen = self.client.receive()
            assert seen, "no acknowledgement came"
            if seen.ack >= ISN + 1 + at_least:
                return seen.ack - ISN - 1

    def goes_on(self, payload, got):
        """The node has got the first bytes of it; it gets the others in segments of usual size, and answers with a hash."""
        server, _ = self.listener.accept()
        with server:
            server.settimeout(10 * SLOW)
            while got < len(payload):
                self.client.send(ISN + 1 + got, self.ack, ACK | PSH, payload=payload[got:got + MSS])
                got = self.acknowledged(min(got + MSS, len(payload)))
            due, received = len(self.header) + len(payload), b""
            while len(received) < due:
                received += server.recv(due)
            assert received[:len(self.header)] == self.header
            server.sendall(hashlib.sha256(received[len(self.header):]).digest())
            while not (seen := self.client.receive()).payload:
                pass
            assert seen.payload == hashlib.sha256(payload).digest()


@pytest.fixture
def talk_over(make_line):
    """talk_over(family, offload): over a line with room for what is large, both in the node and on the client's device."""
    with contextlib.ExitStack() as stack:
        def make(family, offload, lose=False):
            line = make_line(offload=offload)
            line.checksum_offload(line.node, "eth0", False)  # the puppet looks at checksums
            line.node.sysctl("net.ipv4.tcp_rmem", "4096 2000000 6291456")
            take_large(line.client, "eth0")
            if lose:
                line.node.nft(LOSE_THE_FIRST)
            return Talk(line, family, stack)
        yield make


# The most that IP can say, and that the node's first window (65535, header and all) lets in.
NEARLY_64K = {4: 65535 - 20 - 20, 6: 65535 - 52}


@pytest.mark.parametrize("first", ["behind-the-header", "with-the-first-ack", "header-lost"])
@pytest.mark.parametrize("offload", [True, False])
@pytest.mark.parametrize("family", [4, 6])
def test_first_segment_of_nearly_64_kib(talk_over, family, offload, first):
    """With a header in front it would not fit into an IP packet. The header is a packet of its own, always."""
    talk = talk_over(family, offload, lose=first == "header-lost")
    payload = os.urandom(NEARLY_64K[family])
    assert LENGTH[family] + len(payload) + (40 if family == 4 else 20) > 65535
    if first != "with-the-first-ack":
        talk.client.send(ISN + 1, talk.ack, ACK)
    talk.send(payload)
    if first == "header-lost":
        talk.send(payload)
    talk.goes_on(payload, talk.acknowledged(len(payload)))
    counters = talk.line.counters()
    assert counters["sent"] >= 1 and (counters["again"] > 0) == (first == "header-lost")
    assert counters["drop-shape"] == 0 and counters["drop-state"] == 0 and talk.line.checksum_errors() == 0


@pytest.mark.parametrize("first", ["behind-the-header", "with-the-first-ack"])
def test_first_segment_above_64_kib(talk_over, first):
    """BIG TCP: the IP header says no length; that of a copy with the header alone does. (IPv6 has none: what a packet socket
    sends loses its jumbogram's option on the way.)"""
    talk = talk_over(4, True)
    payload = os.urandom(150000)
    if first == "behind-the-header":
        talk.client.send(ISN + 1, talk.ack, ACK)
    talk.send(payload)
    talk.goes_on(payload, talk.acknowledged(1))
    counters = talk.line.counters()
    assert counters["sent"] == 1 and counters["drop-shape"] == 0 and talk.line.checksum_errors() == 0


@pytest.mark.parametrize("destination, source", [(PUBLIC, CLIENT), (PUBLIC6, CLIENT6)])
def test_segments_above_64_kib_of_a_real_client(make_line, destination, source):
    line = make_line()
    for space, device in ((line.client, "eth0"), (line.edge, "lan"), (line.edge, "wan"), (line.node, "eth0")):
        take_large(space, device)
    line.node.sysctl("net.ipv4.tcp_rmem", "4096 2000000 6291456")
    with Capture(line.edge, "wan", "dst port 80 or (ip6 and ip6[6] = 0)", incoming_only=True) as seen:
        with conversation(line, destination, 4000000) as (data, sent, port):
            assert data == v2(source, destination, port, 80) + sent
    length = 18 if ":" in source else 16
    assert any(frame[length:length + 2] == b"\0\0" for frame in seen.frames), "no segment was that large"
    counters = line.counters()
    assert counters["sent"] == 1 and counters["drop-shape"] == 0 and line.checksum_errors() == 0
