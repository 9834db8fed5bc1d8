"""A name server for tests: name_server.py FILE. FILE holds {"name": "address"}, read anew for each question; a name that
is not in it does not exist; with {"silent": true} nothing is answered. Listens on 203.0.113.53."""
import json
import socket
import struct
import sys


def question(packet):
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode().lower())
        at += packet[at] + 1
    return ".".join(labels), packet[12:at + 5], struct.unpack("!H", packet[at + 1:at + 3])[0]


def main(path):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("203.0.113.53", 53))
    while True:
        packet, client = server.recvfrom(4096)
        with open(path) as file:
            names = json.load(file)
        if names.get("silent") or len(packet) < 17:
            continue
        name, asked, kind = question(packet)
        address = names.get(name)
        answers = [address] if address and kind == 1 else []
        head = packet[:2] + struct.pack("!HHHHH", 0x8180 if address else 0x8183, 1, len(answers), 0, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + socket.inet_aton(item) for item in answers)
        server.sendto(head + asked + body, client)


main(sys.argv[1])
