"""Clients: what one does from a namespace with a chosen source address."""
import contextlib
import errno
import http.client
import json
import os
import socket
import ssl
import struct

OPEN, REFUSED, PROHIBITED, DROPPED = "open", "refused", "prohibited", "dropped"


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def connect(space, source, address, port, timeout=3.0, source_port=0):
    """A connected TCP socket, made in that namespace."""
    with space.inside():
        sock = socket.socket(family(address), socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            sock.bind((source, source_port))
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def attempt(space, source, address, port, timeout=1.2):
    """What happens to a connection: OPEN, REFUSED (reset), PROHIBITED (ICMP) or DROPPED (silence)."""
    try:
        connect(space, source, address, port, timeout).close()
        return OPEN
    except (TimeoutError, socket.timeout):
        return DROPPED
    except ConnectionRefusedError:
        return REFUSED
    except OSError as error:
        if error.errno in (errno.EHOSTUNREACH, errno.EACCES, errno.ENETUNREACH, errno.EPERM):
            return PROHIBITED
        raise


class Answer:
    def __init__(self, status, headers, body, local):
        self.status, self.headers, self.body, self.local = status, headers, body, local
        with contextlib.suppress(ValueError):
            for name, value in json.loads(body).items():
                setattr(self, name, value)

    def __repr__(self):
        return f"<{self.status} from {self.local}: {self.body!r}>"


def fetch(space, source, address, port, tls=False, path="/", timeout=5.0):
    """One HTTP request; the answer has what the ingress saw as attributes, and .local, our (address, port)."""
    sock = connect(space, source, address, port, timeout)
    try:
        local = sock.getsockname()[:2]
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            sock = context.wrap_socket(sock, server_hostname="ingress.example.net")
        connection = http.client.HTTPConnection(address, port, timeout=timeout)
        connection.sock = sock
        connection.request("GET", path, headers={"Host": "ingress.example.net", "Connection": "close"})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read().decode(), local)
    finally:
        sock.close()


def read_line(sock, most=4096):
    data = b""
    while not data.endswith(b"\n") and len(data) < most:
        piece = sock.recv(1)
        if not piece:
            break
        data += piece
    return data.decode()


def read_exactly(sock, count):
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ConnectionError(f"closed after {len(data)} of {count} bytes")
        data += piece
    return bytes(data)


def greeting(space, source, address, port, timeout=5.0):
    """What the first line of a server that speaks first says: (node, client, client port, our own port)."""
    with contextlib.closing(connect(space, source, address, port, timeout)) as sock:
        _, node, client, client_port = read_line(sock).split()
        return node, client, int(client_port), sock.getsockname()[1]


def datagram(space, source, address, port, data=b"hello", timeout=1.2):
    """Send one datagram; the answer, or None for silence, or REFUSED."""
    with space.inside():
        sock = socket.socket(family(address), socket.SOCK_DGRAM)
    with contextlib.closing(sock):
        sock.settimeout(timeout)
        sock.bind((source or ("::" if ":" in address else ""), 0))
        try:
            sock.connect((address, port))
            sock.send(data)
            return sock.recv(65536)
        except (TimeoutError, socket.timeout):
            return None
        except ConnectionRefusedError:
            return REFUSED


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ping(space, source, address, count=1, timeout=1.0):
    """Send count echo requests at once; how many were answered before the time was up."""
    six = ":" in address
    with space.inside():
        sock = socket.socket(family(address), socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
    with contextlib.closing(sock):
        sock.bind((source, 0))
        identity, answers = os.getpid() & 0xFFFF, set()
        for number in range(count):
            header = struct.pack("!BBHHH", 128 if six else 8, 0, 0, identity, number)
            if not six:
                header = struct.pack("!BBHHH", 8, 0, checksum(header + b"lab"), identity, number)
            sock.sendto(header + b"lab", (address, 0))
        sock.settimeout(timeout)
        with contextlib.suppress(TimeoutError, socket.timeout):
            while len(answers) < count:
                packet = sock.recv(2048)
                body = packet if six else packet[(packet[0] & 15) * 4:]
                kind, _, _, their, number = struct.unpack("!BBHHH", body[:8])
                if kind == (129 if six else 0) and their == identity:
                    answers.add(number)
        return len(answers)
