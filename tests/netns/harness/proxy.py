"""The forwarder by itself: client, edge and server namespaces, the workers run by
proxy_driver (which plays main), and sockets on both sides that a test holds.

    client 198.51.100.77, 2001:db8:51::77 --- edge --- server 192.0.2.11 .. .13, 2001:db8:2::11 .. ::13
"""
import contextlib
import ipaddress
import os
import signal
import socket
import struct
import subprocess
import time

from .client import connect, read_exactly
from .edged import BUILD
from .namespace import Namespace, ip, process_alive
from .wait import until

CLIENT, CLIENT6 = "198.51.100.77", "2001:db8:51::77"
EDGE, EDGE6 = "198.51.100.1", "2001:db8:51::1"
EDGE_LAN, EDGE_LAN6 = "192.0.2.1", "2001:db8:2::1"
SERVERS = ["192.0.2.11", "192.0.2.12", "192.0.2.13"]
SERVERS6 = ["2001:db8:2::11", "2001:db8:2::12", "2001:db8:2::13"]
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


class Site:
    """Three namespaces in a row."""

    def __init__(self, name):
        self.spaces = []
        try:
            self.client, self.edge, self.server = (self._space(f"{name}-{role}") for role in ("client", "edge", "server"))
            ip(batch=[
                f"link add name eth0 index 11 netns {self.client.name} type veth peer name wan index 12 "
                f"netns {self.edge.name}",
                f"link add name lan index 13 netns {self.edge.name} type veth peer name eth0 index 14 "
                f"netns {self.server.name}"])
            self._addresses(self.client, "eth0", [f"{CLIENT}/24", f"{CLIENT6}/64"])
            self._addresses(self.edge, "wan", [f"{EDGE}/24", f"{EDGE6}/64"])
            self._addresses(self.edge, "lan", [f"{EDGE_LAN}/24", f"{EDGE_LAN6}/64"])
            self._addresses(self.server, "eth0", [f"{a}/24" for a in SERVERS] + [f"{a}/64" for a in SERVERS6])
            ip("-n", self.client.name, batch=[f"route add default via {EDGE}", f"route add ::/0 via {EDGE6}"])
        except BaseException:
            self.remove()
            raise

    def _space(self, name):
        self.spaces.append(Namespace(name))
        return self.spaces[-1]

    @staticmethod
    def _addresses(space, device, addresses):
        ip("-n", space.name, batch=[f"address add {a} dev {device}" + (" nodad" if ":" in a else "") for a in addresses]
           + [f"link set {device} up"])

    def remove(self):
        for space in self.spaces:
            space.remove()


class Proxy:
    """Workers and the main that is played for them."""

    def __init__(self, site, workers=1, nofile=None, driver=None):
        self.site, self.count = site, workers
        driver = driver or os.environ.get("PROXY_DRIVER", f"{BUILD}/tests/tools/proxy_driver")
        self.process = site.edge.start(driver, workers, *([nofile] if nofile else []), stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=None, text=True)
        self.logged, self.lines = [], []
        self.pids = [int(self._answer().split()[2]) for _ in range(workers)]

    def _answer(self):
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"proxy_driver has ended: {self.process.wait(5)}")
            if not line.startswith("log "):
                return line.rstrip("\n")
            self.logged.append(line.rstrip("\n"))

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, line):
        self.say(line)
        return self._answer()

    def forward(self, name="web", header="v2", balance="round_robin", connect=1000, idle=3600000, port=9000,
                backends=((SERVERS[0], True),), listen=((1, "any", 8000),)):
        """Add to the next configuration."""
        self.say(f"forward {name} {header} {balance} {connect} {idle} {port}")
        for number, (address, up) in enumerate(backends):
            self.say(f"backend k8s-{number + 1} {address} {'up' if up else 'down'}")
        for number, address, at in listen:
            self.say(f"listen {number} {address} {at}")
        return self

    def commit(self):
        answer = self.ask("commit")
        assert answer.startswith("applied"), (answer, self.logged)

    def counters(self, forward="web"):
        """The sum over the workers."""
        total = {}
        for line in self._list("counters"):
            _, name, *fields = line.split()
            if name == forward:
                for key, value in (field.split("=") for field in fields):
                    total[key] = total.get(key, 0) + int(value)
        return total

    def connections(self):
        return self._list("connections")

    def _list(self, what):
        self.say(what)
        lines = []
        while (line := self._answer()) != "end":
            lines.append(line)
        return lines

    def open(self, forward="web"):
        return self.counters(forward).get("open", 0)

    def wait_idle(self, forward="web"):
        until(lambda: self.open(forward) == 0, 10, "all connections to end")

    def memory(self):
        """Resident bytes of all workers that are theirs alone."""
        total = 0
        for pid in self.pids:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                for line in file:
                    if line.startswith(("Private_Clean", "Private_Dirty")):
                        total += int(line.split()[1]) * 1024
        return total

    def alive(self):
        return [os.path.exists(f"/proc/{pid}/stat") and open(f"/proc/{pid}/stat").read().split(") ")[1][0] not in "ZX"
                for pid in self.pids]

    def stop(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        for pid in self.pids:  # a driver that died leaves them behind, as a main would
            if process_alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.stdout.close()


class Header:
    """A PROXY header, version 1 or 2, as it was read from a socket."""

    def __init__(self, sock):
        start = read_exactly(sock, 12)
        if start == SIGNATURE:
            self._binary(sock)
        else:
            self._text(sock, start)

    def _binary(self, sock):
        self.version, rest = 2, read_exactly(sock, 4)
        command, family, length = struct.unpack("!BBH", rest)
        body = read_exactly(sock, length)
        assert command in (0x20, 0x21), command
        self.local, self.family = command == 0x20, {0: None, 0x11: 4, 0x21: 6}[family]
        if self.family:
            size = 4 if self.family == 4 else 16
            self.client = str(ipaddress.ip_address(body[:size]))
            self.server = str(ipaddress.ip_address(body[size:2 * size]))
            self.client_port, self.server_port = struct.unpack("!HH", body[2 * size:])

    def _text(self, sock, start):
        while not start.endswith(b"\r\n"):
            start += read_exactly(sock, 1)
            assert len(start) <= 107
        self.version, words = 1, start.decode("ascii").split()
        assert words[0] == "PROXY"
        self.local, self.family = words[1] == "UNKNOWN", {"TCP4": 4, "TCP6": 6, "UNKNOWN": None}[words[1]]
        if self.family:
            self.client, self.server, self.client_port, self.server_port = words[2], words[3], int(words[4]), int(words[5])

    def __repr__(self):
        return f"<PROXY {vars(self)}>"


class Listener:
    """A listening socket in the server namespace whose connections the test takes one by one."""

    def __init__(self, space, address=SERVERS[0], port=9000, backlog=4096, buffer=None):
        with space.inside():
            self.sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        self.sock.bind((address, port))
        self.sock.listen(backlog)
        self.sock.settimeout(5)

    def accept(self):
        sock, _ = self.sock.accept()
        sock.settimeout(10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def take(self):
        """A connection, and the header that it began with."""
        sock = self.accept()
        return sock, Header(sock)

    def drop_waiting(self):
        """End all connections that nobody has taken."""
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.sock.accept()[0].close()
        self.sock.settimeout(5)

    def close(self):
        self.sock.close()


def dial(site, address=EDGE, port=8000, source=None, timeout=10.0):
    return connect(site.client, source or (CLIENT6 if ":" in address else CLIENT), address, port, timeout)


def reset(sock):
    """Close with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def ending(sock):
    """How the stream ends, whatever comes before: "fin" or "reset"."""
    try:
        while sock.recv(65536):
            pass
        return "fin"
    except ConnectionResetError:
        return "reset"


def refusal(site):
    """Dial, and expect a RST; the seconds that it took."""
    start = time.monotonic()
    try:
        client = dial(site)
    except ConnectionResetError:
        pass  # so fast that connect() has not returned yet
    else:
        assert ending(client) == "reset"
        client.close()
    return time.monotonic() - start


def read_all(sock):
    data = bytearray()
    while piece := sock.recv(1 << 20):
        data += piece
    return bytes(data)
