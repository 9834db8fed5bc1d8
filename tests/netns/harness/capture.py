"""Packets as they pass a device, recorded by a packet socket: none is missing at the end of the block."""
import ctypes
import socket
import struct
import subprocess

ETH_P_ALL = 3
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
ROOM = 256 << 20


class Capture:
    """with Capture(space, device, "tcp port 80") as seen: ...; then seen.frames, or seen.packets for scapy's."""

    def __init__(self, space, device, expression, incoming_only=False):
        self.space, self.device, self.expression = space, device, expression
        self.incoming_only, self.frames = incoming_only, []

    def __enter__(self):
        program = subprocess.run(["tcpdump", "-y", "EN10MB", "-ddd", self.expression], capture_output=True, text=True,
                                 check=True).stdout.split("\n")[1:]
        code = b"".join(struct.pack("HBBI", *map(int, line.split())) for line in program if line)
        keep = ctypes.create_string_buffer(code)
        with self.space.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER,
                               struct.pack("HL", len(code) // 8, ctypes.addressof(keep)))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, int(self.incoming_only))
        with self.space.inside():
            self.socket.bind((self.device, ETH_P_ALL))
        self.socket.setblocking(False)
        return self

    def __exit__(self, *_):
        self.read()
        self.socket.close()

    def read(self):
        """Take in what has passed so far."""
        try:
            while True:
                self.frames.append(self.socket.recv(65536))
        except BlockingIOError:
            return self.frames

    @property
    def packets(self):
        from scapy.all import Ether  # slow to load: only where it is used
        return [Ether(frame) for frame in self.frames]
