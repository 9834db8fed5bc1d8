"""TCP segments made and read by hand, on a device of a namespace (AF_PACKET).

A Puppet plays one end of a conversation: nothing is sent but what the test says, and what
arrives is looked at segment by segment. Its address belongs to nobody, so no kernel answers.
Every checksum that arrives is verified.
"""
import collections
import contextlib
import select
import socket
import struct
import time

from .client import checksum
from .wait import SLOW

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ETH_IP, ETH_IP6, ETH_VLAN = 0x0800, 0x86DD, 0x8100
SO_RCVBUFFORCE = 33
NOP = b"\x01"
Segment = collections.namedtuple("Segment", "source destination sport dport seq ack flags window options payload frame")


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def timestamps(value, echo):
    return NOP + NOP + struct.pack("!BBII", 8, 10, value, echo)


def sack(*blocks):
    return NOP + NOP + struct.pack("!BB", 5, 2 + 8 * len(blocks)) + b"".join(
        struct.pack("!II", left & 0xffffffff, right & 0xffffffff) for left, right in blocks)


def blocks_of(options):
    """The SACK blocks in TCP options."""
    data = option(options, 5)
    return [struct.unpack_from("!II", data, at) for at in range(0, len(data or b""), 8)]


def option(options, kind):
    """The content of an option, None when it is not there."""
    at = 0
    while at < len(options) and options[at]:
        if options[at] == 1:
            at += 1
            continue
        length = options[at + 1]
        assert length >= 2, options
        if options[at] == kind:
            return options[at + 2:at + length]
        at += length
    return None


def pseudo(source, destination, length, protocol=6):
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, protocol, length)
    return source + destination + struct.pack("!II", length, protocol)


def tcp(source, destination, sport, dport, seq, ack=0, flags=ACK, window=64240, options=b"", payload=b""):
    """A TCP segment with its checksum."""
    options += b"\0" * (-len(options) % 4)
    head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xffffffff, ack & 0xffffffff,
                       (5 + len(options) // 4) << 4, flags, window, 0, 0) + options
    value = checksum(pseudo(source, destination, len(head) + len(payload)) + head + payload)
    return head[:16] + struct.pack("!H", value) + head[18:] + payload


def packet(source, destination, body, protocol=6, fragment=0x4000, identity=1):
    """An IP packet around a body."""
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + source + destination + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), identity, fragment, 64, protocol, 0) + source + destination
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def read_packet(data, frame=b""):
    """The Segment in an IP packet, None when it is no TCP; asserts that the checksums are right."""
    if data[0] >> 4 == 4:
        size, total = (data[0] & 15) * 4, struct.unpack_from("!H", data, 2)[0]
        assert checksum(data[:size]) == 0, "the checksum of the IP header is wrong"
        source, destination, protocol, body = data[12:16], data[16:20], data[9], data[size:total]
    else:
        source, destination, protocol = data[8:24], data[24:40], data[6]
        body = data[40:40 + struct.unpack_from("!H", data, 4)[0]]
    if protocol != 6:
        return None
    assert checksum(pseudo(source, destination, len(body)) + body) == 0, "the TCP checksum is wrong"
    sport, dport, seq, ack, offset, flags, window = struct.unpack_from("!HHIIBBH", body)
    size = (offset >> 4) * 4
    family = socket.AF_INET if len(source) == 4 else socket.AF_INET6
    return Segment(socket.inet_ntop(family, source), socket.inet_ntop(family, destination), sport, dport, seq, ack,
                   flags & 63, window, body[20:size], body[size:], frame)


class Puppet:
    """One end: here and there are (address, port). there None: where the first segment comes from."""

    def __init__(self, space, device, gateway_mac, here, there=None):
        with space.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
            self.socket.bind((device, 0))
        self.mac = self.socket.getsockname()[4]
        self.gateway = bytes.fromhex(gateway_mac.replace(":", ""))
        self.here, self.there = here, there
        self.tag = b""

    def close(self):
        self.socket.close()

    def send_packet(self, data):
        kind = ETH_IP if data[0] >> 4 == 4 else ETH_IP6
        self.socket.send(self.gateway + self.mac + self.tag + struct.pack("!H", kind) + data)

    def segment(self, seq, ack=0, flags=ACK, **more):
        return tcp(address(self.here[0]), address(self.there[0]), self.here[1], self.there[1], seq, ack, flags, **more)

    def send(self, seq, ack=0, flags=ACK, **more):
        self.send_packet(packet(address(self.here[0]), address(self.there[0]), self.segment(seq, ack, flags, **more)))

    def _packets(self, seconds):
        deadline = time.monotonic() + seconds * SLOW
        while True:
            if not select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
                return
            frame, where = self.socket.recvfrom(65536)
            if where[2] != socket.PACKET_OUTGOING:
                kind, at = struct.unpack_from("!H", frame, 12)[0], 14
                while kind == ETH_VLAN:
                    kind, at = struct.unpack_from("!H", frame, at + 2)[0], at + 4
                if kind in (ETH_IP, ETH_IP6):
                    yield frame[at:], frame

    def receive_packet(self, wanted, seconds=3.0):
        """The next IP packet for which wanted(data) holds."""
        for data, _ in self._packets(seconds):
            if wanted(data):
                return data
        raise AssertionError("the packet did not come")

    def _mine(self, data, frame=b""):
        segment = read_packet(data, frame)
        if segment and segment.destination == self.here[0] and segment.dport == self.here[1] and (
                not self.there or segment.sport == self.there[1]):
            return segment
        return None

    def receive(self, seconds=3.0):
        """The next segment to this end; None when there is none in time."""
        for data, frame in self._packets(seconds):
            segment = self._mine(data, frame)
            if segment:
                self.there = self.there or (segment.source, segment.sport)
                return segment
        return None

    def expect(self, seconds=3.0, **fields):
        """The next segment, which has these fields."""
        segment = self.receive(seconds)
        assert segment, f"no segment came; expected {fields}"
        for name, value in fields.items():
            assert getattr(segment, name) == value, f"{name} is {getattr(segment, name)!r}, not {value!r}: {segment[:10]}"
        return segment

    def nothing(self, other):
        """No segment is on its way here: a packet that `other` sends now is the next thing that arrives."""
        token = struct.pack("!d", time.monotonic())
        other.send_packet(packet(address(other.here[0]), address(self.here[0]), token, protocol=253))
        for data, _ in self._packets(3.0):
            if data.endswith(token):
                return
            assert not self._mine(data), f"a segment came: {self._mine(data)[:10]}"
        raise AssertionError("the packet that was to be the next did not come")


@contextlib.contextmanager
def closing_all(*ends):
    try:
        yield ends
    finally:
        for end in ends:
            end.close()
