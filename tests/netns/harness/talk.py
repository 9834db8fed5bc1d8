"""A TCP conversation through the header programs, both ends played by puppets."""
from .header import CLIENT_PUPPET, NODE_PUPPET, PUBLIC, PUBLIC6
from .puppet import ACK, PSH, SYN, Puppet, address, timestamps

V2 = b"\r\n\r\n\0\r\nQUIT\n\x21"
ISN, NODE_ISN = 1000, 500000


def v2(source, destination, sport, dport, rest=b""):
    """The version 2 header, without TLVs or with these."""
    body = address(source) + address(destination) + sport.to_bytes(2, "big") + dport.to_bytes(2, "big") + rest
    return V2 + (b"\x21" if ":" in source else b"\x11") + len(body).to_bytes(2, "big") + body


class Talk:
    """Numbers are relative: client bytes count from 0 at ISN + 1, node bytes at NODE_ISN + 1.

    to_node, to_client: send. at_node, at_client: expect the next segment there, with these (relative, as that end
    counts) fields."""

    def __init__(self, line, family=4, sport=40000, port=80, isn=ISN, node_isn=NODE_ISN, stamps=False, snat=False):
        self.line, self.family, self.isn, self.node_isn = line, family, isn, node_isn
        self.stamps = stamps
        public = PUBLIC6 if family == 6 else PUBLIC
        self.client = Puppet(line.client, "eth0", line.mac(line.edge, "wan"), (CLIENT_PUPPET[family], sport), (public, port))
        self.node = Puppet(line.node, "eth0", line.mac(line.edge, "lan"), (NODE_PUPPET[family], 8080),
                           None if snat else self.client.here)
        self.header = v2(CLIENT_PUPPET[family], public, sport, port)

    def close(self):
        self.client.close()
        self.node.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _send(self, puppet, seq, ack, flags, more):
        if self.stamps and "options" not in more:
            more["options"] = timestamps(*((100, 900) if puppet is self.client else (900, 100)))
        puppet.send(seq, ack, flags, **more)

    def to_node(self, seq=0, ack=0, flags=ACK, **more):
        self._send(self.client, self.isn + 1 + seq, self.node_isn + 1 + ack, flags, more)

    def to_client(self, seq=0, ack=0, flags=ACK, **more):
        self._send(self.node, self.node_isn + 1 + seq, self.isn + 1 + ack, flags, more)

    @staticmethod
    def _relative(fields, own, other):
        for name, base in (("seq", own), ("ack", other)):
            if name in fields:
                fields[name] = (fields[name] + base + 1) & 0xffffffff
        return fields

    def at_node(self, seconds=3.0, **fields):
        return self.node.expect(seconds, **self._relative(fields, self.isn, self.node_isn))

    def at_client(self, seconds=3.0, **fields):
        return self.client.expect(seconds, **self._relative(fields, self.node_isn, self.isn))

    def nothing_at_node(self):
        self.node.nothing(self.client)

    def nothing_at_client(self):
        self.client.nothing(self.node)

    def syn(self, options=b"", **more):
        """The handshake's first two segments."""
        self.client.send(self.isn, 0, SYN, options=options, **more)
        seen = self.at_node(seq=-1, flags=SYN, payload=b"")
        self.node.send(self.node_isn, self.isn + 1, SYN | ACK, options=options)
        self.at_client(seq=-1, ack=0, flags=SYN | ACK)
        return seen

    def open(self, options=b"", sent=True, acknowledged=True):
        """The handshake, with the bare ACK that carries the header (sent); the node acknowledges it."""
        self.syn(options)
        if sent:
            self.to_node()
            self.at_node(seq=0, ack=0, flags=ACK | PSH, payload=self.header)
        if acknowledged:
            self.to_client(ack=len(self.header))
        return self
