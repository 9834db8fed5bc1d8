"""A client on the internet that sends to a machine from power-on, and a record of what arrives on the nodes' side.

QEMU writes the record (filter-dump) with the machine's own clock, whose zero is power-on: seconds in it are the guest's.
"""
import contextlib
import socket
import struct
import threading
import time

import scapy.all as scapy

CLIENT, EDGE = "203.0.113.77", "198.51.100.15"
CLOSED_PORT = 81


class Wire:
    """arguments() are for QEMU. sending() sends while it is entered; each round is one SYN to the edge's ports given, to a
    port of it that is closed, and one to a node's address, as if the edge were a plain router."""

    def __init__(self, folder, edge_mac, node, ports):
        self.folder, self.rounds, self.zero = folder, 0, 0.0
        link = scapy.Ether(src="52:54:00:00:00:77", dst=edge_mac)
        targets = [*((EDGE, port) for port in ports), (EDGE, CLOSED_PORT), (node, CLOSED_PORT)]
        frames = ([scapy.raw(link / scapy.IP(src=CLIENT, dst=where) / scapy.TCP(sport=20000 + i, dport=port, flags="S"))
                   for where, port in targets] for i in range(16))
        self.frames = [b"".join(struct.pack("!I", len(frame)) + frame for frame in each) for each in frames]

    def arguments(self):
        now = time.gmtime()
        self.zero = time.mktime(now)  # net/dump.c takes it for local time
        return ["-rtc", time.strftime("base=%Y-%m-%dT%H:%M:%S", now),
                "-chardev", f"socket,id=client,path={self.folder}/client,server=on,wait=off",
                "-object", "filter-redirector,id=client,netdev=wan,queue=tx,indev=client",
                *(word for leg in ("wan", "lan")
                  for word in ("-object", f"filter-dump,id={leg}-record,netdev={leg},file={self.folder}/{leg}.pcap"))]

    @contextlib.contextmanager
    def sending(self, seconds=0.2):
        self.rounds, stop = 0, threading.Event()
        with socket.socket(socket.AF_UNIX) as sock:
            self._connect(sock, stop)

            def send():
                while not stop.wait(seconds):
                    with contextlib.suppress(OSError):  # the machine went off
                        sock.sendall(self.frames[self.rounds % len(self.frames)])
                    self.rounds += 1
            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            try:
                yield
            finally:
                stop.set()
                sender.join(60)

    def _connect(self, sock, stop):
        for _ in range(600):
            with contextlib.suppress(OSError):
                sock.connect(f"{self.folder}/client")
                return
            stop.wait(0.05)
        raise AssertionError("QEMU does not listen")

    def _record(self, leg):
        """Of IPv4: (seconds since power-on, source, destination, ports if it is TCP else None). Read while QEMU writes it."""
        with open(f"{self.folder}/{leg}.pcap", "rb") as file:
            data = file.read()
        at = 24  # of the file's header; then records (pcap-savefile(5))
        while at + 16 <= len(data):
            seconds, fraction, size, _ = struct.unpack_from("<IIII", data, at)
            frame = data[at + 16:at + 16 + size]
            at += 16 + size
            if len(frame) == size >= 54 and frame[12:15] == b"\x08\x00\x45":
                yield (seconds - self.zero + fraction / 1e6, socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34]),
                       struct.unpack_from("!HH", frame, 34) if frame[23] == socket.IPPROTO_TCP else None)

    def arrived(self):
        """What came from the client to the nodes' side: [(seconds since power-on, its port there)]."""
        return [(when, ports and ports[1]) for when, source, _, ports in self._record("lan") if source == CLIENT]

    def answered(self):
        """What the edge said to the client: [(seconds since power-on, the edge's port)]."""
        return [(when, ports and ports[0]) for when, _, to, ports in self._record("wan") if to == CLIENT]
