"""A client on the internet that sends to a machine from power-on, and a record of what arrives on the nodes' side.

QEMU writes the record (filter-dump) with the machine's own clock, whose zero is power-on: seconds in it are the guest's.
"""
import contextlib
import os
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
        self.frames = [link / scapy.IP(src=CLIENT, dst=where) / scapy.TCP(dport=port, flags="S")
                       for where, port in [*((EDGE, port) for port in ports), (EDGE, CLOSED_PORT), (node, CLOSED_PORT)]]

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
                    for frame in self.frames:
                        frame[scapy.TCP].sport = 20000 + self.rounds % 16
                        raw = scapy.raw(frame)
                        with contextlib.suppress(OSError):  # the machine went off
                            sock.sendall(struct.pack("!I", len(raw)) + raw)
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

    def record(self, leg):
        """Of IPv4, [(seconds since power-on, packet)]."""
        path = f"{self.folder}/{leg}.pcap"
        assert os.path.getsize(path), path
        with scapy.PcapReader(path) as reader:
            return [(float(frame.time) - self.zero, frame[scapy.IP]) for frame in reader if scapy.IP in frame]

    def arrived(self):
        """What came from the client to the nodes' side: [(seconds since power-on, port)]."""
        return [(when, packet.dport if scapy.TCP in packet else None)
                for when, packet in self.record("lan") if packet.src == CLIENT]

    def answered(self):
        """What the edge said to the client: [(seconds since power-on, port of the edge or None)]."""
        return [(when, packet.sport if scapy.TCP in packet else None)
                for when, packet in self.record("wan") if packet.dst == CLIENT]
