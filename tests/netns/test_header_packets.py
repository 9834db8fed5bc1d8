"""Header injection and what else packets come with: fragments, VLAN tags, ICMP errors,
devices without Ethernet header, offloads, SYN cookies.
"""
import fcntl
import hashlib
import os
import select
import socket
import struct

import pytest

from harness.capture import Capture
from harness.client import checksum
from harness.conversation import conversation
from harness.header import (CLIENT, CLIENT6, CLIENT_PUPPET, EDGE_LAN, MARK_CRC, MARK_ID, MARK_V1, MARK_V2, NODE_PUPPET,
                            PUBLIC, PUBLIC6, crc32c, tool)
from harness.namespace import ip
from harness.puppet import ACK, SYN, address, packet, pseudo, read_packet, tcp
from harness.talk import Talk, v2
from harness.wait import until


def icmp_error(source, destination, kind, code, quoted):
    """An ICMP error with its checksum."""
    body = struct.pack("!BBHI", kind, code, 0, 1280) + quoted
    cover = pseudo(source, destination, len(body), 58) if len(source) == 16 else b""
    return body[:2] + struct.pack("!H", checksum(cover + body)) + body[4:]


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("family, length, kind, code", [(4, 28, 3, 4), (6, 52, 2, 0)])
def test_icmp_error_quotes_the_clients_own_number(make_line, family, length, kind, code, complete):
    line = make_line(puppet=True, mtu=1280, complete=complete)
    with Talk(line, family) as talk:
        talk.open()
        talk.to_node(seq=700, payload=b"x" * 500)
        seen = talk.at_node(seq=length + 700)
        inner = packet(address(CLIENT_PUPPET[family]), address(NODE_PUPPET[family]),
                       tcp(address(CLIENT_PUPPET[family]), address(NODE_PUPPET[family]), seen.sport, 8080, seen.seq,
                           seen.ack))[:48 if family == 6 else 28]
        inner += b"\0" * (-len(inner) % 4)
        here, there = address(NODE_PUPPET[family]), address(CLIENT_PUPPET[family])
        protocol = 58 if family == 6 else 1
        talk.node.send_packet(packet(here, there, icmp_error(here, there, kind, code, inner), protocol=protocol))
        at = 40 if family == 6 else 20
        got = talk.client.receive_packet(lambda data: data[6 if family == 6 else 9] == protocol
                                         and data[at] == kind)
        quote = got[at + 8 + at:]
        assert struct.unpack_from("!HHI", quote)[2] == talk.isn + 1 + 700
        cover = pseudo(got[8:24], got[24:40], len(got) - 40, 58) if family == 6 else b""
        assert checksum(cover + got[at:]) == 0
        assert line.counters()["icmp"] == 1
    assert not complete or line.summed_up()[2] == 0


def test_fragments_of_a_segment(make_line):
    """The first fragment is renumbered, the others have no number."""
    line = make_line(puppet=True)
    with Talk(line) as talk:
        talk.open()
        here, there = address(CLIENT_PUPPET[4]), address(PUBLIC)
        body = talk.client.segment(talk.isn + 1, talk.node_isn + 1, ACK, payload=bytes(range(200)))
        talk.client.send_packet(packet(here, there, body[:104], fragment=0x2000, identity=77))
        talk.client.send_packet(packet(here, there, body[104:], fragment=13, identity=77))
        first = talk.node.receive_packet(lambda data: data[9] == 6)
        if struct.unpack_from("!H", first, 6)[0] & 0x2000:
            second = talk.node.receive_packet(lambda data: data[9] == 6)
            first = first[:6] + b"\0\0" + first[8:] + second[20:]
            head = first[:2] + struct.pack("!HHHBBH", len(first), 77, 0, 63, 6, 0) + first[12:20]
            first = head[:10] + struct.pack("!H", checksum(head)) + first[12:]
        segment = read_packet(first)
        assert segment.seq == talk.isn + 1 + 28 and segment.payload == bytes(range(200))
        # The other way: the node's acknowledgement in fragments.
        body = talk.node.segment(talk.node_isn + 1, talk.isn + 1 + 228, ACK, payload=bytes(range(200)))
        here, there = address(NODE_PUPPET[4]), address(CLIENT_PUPPET[4])
        talk.node.send_packet(packet(here, there, body[:104], fragment=0x2000, identity=78))
        talk.node.send_packet(packet(here, there, body[104:], fragment=13, identity=78))
        seen = talk.client.receive_packet(lambda data: data[9] == 6)
        assert struct.unpack_from("!I", seen, 28)[0] == talk.isn + 1 + 200


def test_vlan_tagged_frames_of_the_node(make_line):
    """A priority tag (VLAN 0): the kernel takes it for its own device's. A VLAN's tag: another device's."""
    line = make_line(puppet=True)
    with Talk(line) as talk:
        talk.open(acknowledged=False)
        talk.node.tag = struct.pack("!HH", 0x8100, 0x2064)
        talk.to_client(ack=28)
        talk.node.tag = b""
        talk.nothing_at_client()
        assert line.flows()[0]["state"] == "unacknowledged"
        talk.node.tag = struct.pack("!HH", 0x8100, 0x2000)
        talk.to_client(ack=28, payload=b"tagged")
        talk.at_client(ack=0, payload=b"tagged")
        # And one that asks for the header again: it goes back with the tag, or without one.
        with Talk(line, sport=40001) as other:
            other.open(acknowledged=False)
            other.node.tag = talk.node.tag
            other.to_client(ack=0)
            other.at_node(seq=0, payload=other.header)


class Tun:
    """A device without an Ethernet header as the edge's lan; the node's end is read and written here."""

    def __init__(self, line):
        with line.edge.inside():
            self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            fcntl.ioctl(self.fd, 0x400454ca, struct.pack("16sH", b"tun0", 0x1001) + bytes(22))
        ip("-n", line.edge.name, batch=["link set tun0 up", f"route replace {NODE_PUPPET[4]}/32 dev tun0",
                                        f"route replace {NODE_PUPPET[6]}/128 dev tun0"])

    def send(self, data):
        os.write(self.fd, data)

    def receive(self):
        def segment():
            if not select.select([self.fd], [], [], 0)[0]:
                return None
            data = os.read(self.fd, 65536)
            return read_packet(data) if data[0] >> 4 in (4, 6) else None
        return until(segment, 3, "a segment on the tun device", every=0.001)


@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="no /dev/net/tun")
@pytest.mark.parametrize("family, length", [(4, 28), (6, 52)])
def test_device_without_an_ethernet_header(make_line, family, length):
    line = make_line(puppet=True)
    tun = Tun(line)
    tool("attach", line.runtime, "tun0", space=line.edge)
    assert tool("check", line.runtime, "tun0", space=line.edge) == "right\n"
    here, there = address(NODE_PUPPET[family]), address(CLIENT_PUPPET[family])
    with Talk(line, family) as talk:
        def answer(seq, ack, flags, payload=b""):
            tun.send(packet(here, there, tcp(here, there, 8080, 40000, seq, ack, flags, payload=payload)))
        talk.client.send(talk.isn, 0, SYN)
        assert tun.receive().flags == SYN
        answer(talk.node_isn, talk.isn + 1, SYN | ACK)
        talk.at_client(seq=-1, ack=0)
        talk.to_node()
        seen = tun.receive()
        assert (seen.seq, seen.payload) == (talk.isn + 1, talk.header)
        answer(talk.node_isn + 1, talk.isn + 1, ACK)
        again = tun.receive()
        assert (again.seq, again.payload) == (talk.isn + 1, talk.header)
        talk.to_node(payload=b"first")
        assert tun.receive().seq == talk.isn + 1 + length
        talk.to_node(payload=b"first")
        assert tun.receive().payload == talk.header
        assert tun.receive().payload == b"first"
        answer(talk.node_isn + 1, talk.isn + 1 + length + 5, ACK, b"ok")
        talk.at_client(ack=5, payload=b"ok")
    os.close(tun.fd)


def header_of(received, version, source, port, destination):
    """What stands before the payload, and the payload's start."""
    if version == 1:
        line, _, rest = received.partition(b"\r\n")
        words = line.decode().split()
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        assert words[:2] == ["PROXY", "TCP6" if ":" in source else "TCP4"]
        assert [socket.inet_pton(family, word) for word in words[2:4]] == [address(source), address(destination)]
        assert words[4:] == [str(port), "80"]
        return rest
    length = 16 + struct.unpack_from("!H", received, 14)[0]
    plain = v2(source, destination, port, 80)
    assert received[:14] == plain[:14] and received[16:len(plain)] == plain[16:]
    tlvs, at = {}, len(plain)
    while at < length:
        kind, size = struct.unpack_from("!BH", received, at)
        tlvs[kind] = received[at + 3:at + 3 + size]
        if kind == 3:
            covered = received[:at + 3] + bytes(4) + received[at + 7:length]
            assert struct.unpack("!I", tlvs[3])[0] == crc32c(covered)
        at += 3 + size
    return received[length:], tlvs


@pytest.mark.parametrize("mark, version, mtu, state", [
    (MARK_V1, 1, 1500, "partial"), (MARK_V1, 1, 1500, "whole"), (MARK_V1, 1, 1500, "complete"),
    (MARK_V2, 2, 1500, "partial"), (MARK_V2, 2, 1500, "whole"), (MARK_V2, 2, 1500, "complete"),
    (MARK_V2, 2, 1280, "partial"), (MARK_V2, 2, 1280, "whole"),
    (MARK_V2 | MARK_CRC | MARK_ID, 2, 65535, "partial"), (MARK_V2 | MARK_CRC | MARK_ID, 2, 65535, "whole")])
def test_real_connections(make_line, mark, version, mtu, state):
    """Real TCP at both ends, checksums in each state that devices know, segments up to 64 KiB."""
    line = make_line(mark=mark, mtu=mtu, offload=state != "whole", complete=state == "complete")
    for source, destination in ((CLIENT, PUBLIC), (CLIENT6, PUBLIC6)):
        for amount in (1, 70000, 3000000):
            with conversation(line, destination, amount) as (data, sent, port):
                rest = header_of(data, version, source, port, destination)
                if version == 2:
                    rest, tlvs = rest
                    assert set(tlvs) == ({3, 5} if mark & MARK_CRC else set())
                    if tlvs:
                        assert tlvs[5].decode() in [flow["id"] for flow in line.flows()]
                assert hashlib.sha256(rest).digest() == hashlib.sha256(sent).digest()
    assert line.checksum_errors() == 0
    counters = line.counters()
    assert counters["again"] == 0 and counters["drop-shape"] == 0 and counters["flows"] == 6
    if state == "complete":
        other, seen, wrong = line.summed_up()
        assert (other, wrong) == (0, 0) and seen > 1000


def test_snat_keeps_the_clients_address_in_the_header(make_line):
    line = make_line(snat=True)
    with conversation(line, PUBLIC, 1000) as (data, sent, port):
        rest, _ = header_of(data, 2, CLIENT, port, PUBLIC)
        assert rest == sent
    assert line.flows()[0]["peer"] == EDGE_LAN


LOSE_FIRST_ACK = """
table inet lose {
	set once {
		type inet_service
		flags dynamic
		size 8
	}
	chain incoming {
		type filter hook prerouting priority -400;
		tcp dport 8080 tcp flags & (syn | ack) == ack tcp sport != @once add @once { tcp sport } drop
	}
}
"""


@pytest.mark.parametrize("lose", [False, True], ids=["behind-the-header", "header-ahead"])
@pytest.mark.parametrize("offload", [True, False])
@pytest.mark.parametrize("source, destination", [(CLIENT, PUBLIC), (CLIENT6, PUBLIC6)])
def test_first_data_is_a_super_segment(make_line, source, destination, offload, lose):
    """A client with a large first window sends packets of half the node's, which is the most for Linux: some 31 KiB. Behind
    the header the first is renumbered; where the ACK with the header is lost, a copy of it is cut down to the header."""
    line = make_line(offload=offload)
    ip(*(["-6"] if ":" in source else []), "-n", line.client.name, "route", "add", destination, "dev", "eth0", "initcwnd",
       "100")
    if lose:
        line.edge.nft(LOSE_FIRST_ACK.replace("dport 8080", "dport 80"))
    with Capture(line.edge, "wan", "(tcp or ip6 proto 6) and dst port 80", incoming_only=True) as seen:
        with conversation(line, destination, 64000) as (data, sent, port):
            rest, _ = header_of(data, 2, source, port, destination)
            assert rest == sent
    first = next(frame for frame in seen.frames if len(frame) > 200)
    assert len(first) > 30000, "this client's first data is no super-segment"
    counters = line.counters()
    assert counters["sent"] == 1 and counters["again"] == 0 and counters["drop-shape"] == 0
    assert line.checksum_errors() == 0


@pytest.mark.parametrize("lose", [False, True])
def test_node_with_syn_cookies(make_line, lose):
    """The node knows the flow by its first segment alone; it can be lost."""
    line = make_line()
    line.node.sysctl("net.ipv4.tcp_syncookies", 2)
    if lose:
        line.node.nft(LOSE_FIRST_ACK)
    with conversation(line, PUBLIC, 1000) as (data, sent, port):
        rest, _ = header_of(data, 2, CLIENT, port, PUBLIC)
        assert rest == sent
    assert "0" not in [line.node.run("nstat", "-az", "TcpExtSyncookiesRecv").stdout.split()[-2]]
    assert (line.counters()["reset-held"] == 1) == lose
