"""The prober alone, with a program that plays main: real servers that demand the PROXY protocol, and servers that
no probe should ever meet."""
import contextlib
import json
import os
import queue
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from harness import NODES, Namespace, until
from harness.edged import BUILD
from harness.namespace import process_alive
from harness.node import make_certificate
from harness.names import PREFIX, short_name

DRIVER = os.path.join(BUILD, "tests", "tools", "probe_driver")
CHECKED = os.path.join(BUILD, "san", "tests", "tools", "probe_driver")  # with ASan and UBSan, as make test builds it
V2_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"
V1_UNKNOWN = b"PROXY UNKNOWN\r\n"


def probe(node, address, port, check="tcp", **more):
    return {"node": node, "address": address, "port": port, "check": check, "interval": 400, "timeout": 300, "rise": 1,
            "fall": 1, **more}


class Prober:
    def __init__(self, space, driver=DRIVER):
        assert os.path.exists(driver), f"{driver} is not there: run make tools first"
        self.process = space.start(driver, "--uid", 65534, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.seen, self.logs, self.applied, self.generation = [], [], [], 0
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            if message["type"] == "health":
                self.seen.append((time.monotonic(), message["node"], message["port"], message["up"], message["why"]))
            elif message["type"] == "applied":
                self.applied.append(message["generation"])
            elif message["type"] == "log":
                self.logs.append(message["text"])

    def send(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def give(self, *probes):
        """A new configuration; returns once it is in force."""
        self.generation += 1
        self.send({"generation": self.generation, "probes": probes})
        until(lambda: self.generation in self.applied, 10, "the configuration to be in force")
        return self

    def news(self, node, port=None):
        """[(up, why), ...] of a pair, in order."""
        return [(up, why) for _, name, at, up, why in list(self.seen) if name == node and port in (None, at)]

    def wait(self, node, up, why=None, port=None, seconds=10):
        def told():
            news = self.news(node, port)
            return news and news[-1][0] == up and (why is None or why in news[-1][1])
        until(told, seconds, f"{node} to be {'up' if up else 'down'} ({why})")
        return self

    def alive(self):
        return self.process.poll() is None

    def close(self):
        self.process.stdin.close()
        status = self.process.wait(10)
        self.reader.join(10)
        assert status == 0, self.process.stderr.read().decode()


@pytest.fixture
def here(request, root):
    """A namespace of the test's own, for servers on 192.0.2.1."""
    space = Namespace(f"{PREFIX}-{os.getpid()}-{short_name(request.node.name)}"[:60])
    space.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
    space.run("ip", "address", "add", "2001:db8::1/128", "dev", "lo")
    yield space
    space.remove()


@pytest.fixture
def prober(here):
    with contextlib.closing(Prober(here)) as prober:
        yield prober


class Server:
    """A server whose every connection is handled by a function of its own, in a thread."""

    def __init__(self, space, port, handle, address="192.0.2.1"):
        with space.inside():
            self.sock = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                                             backlog=128)
        self.handle, self.connections, self.got, self.ended = handle, 0, queue.Queue(), threading.Event()
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self):
        self.sock.settimeout(0.1)
        while not self.ended.is_set():
            with contextlib.suppress(TimeoutError, socket.timeout):
                connection, _ = self.sock.accept()
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(connection,))
                self.threads.append(thread)
                thread.start()

    def _serve(self, connection):
        connection.settimeout(5)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            self.handle(self, connection)

    def close(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(10)
        self.sock.close()


@pytest.fixture
def serve(here):
    """serve(port, handle): a Server; handle(server, connection)."""
    servers = []

    def start(port, handle, **options):
        servers.append(Server(here, port, handle, **options))
        return servers[-1]
    yield start
    for server in servers:
        server.close()


def answer(text, keep=True):
    def handle(server, connection):
        server.got.put(connection.recv(65536))
        connection.sendall(text)
        if keep:
            connection.recv(65536)
    return handle


def silent(server, connection):
    server.got.put(connection.recv(65536))
    server.ended.wait(5)


# -- real servers -----------------------------------------------------------------

def test_real_servers_that_demand_a_header(site):
    """nginx and HAProxy, http, https and tcp, IPv4 and IPv6: up with the header, and not without it."""
    net = site.network()
    with contextlib.closing(Prober(net.edge)) as prober:
        probes = []
        for port, check in ((30080, "http"), (30443, "https"), (31080, "http"), (31443, "https"), (30022, "proxy"),
                            (30080, "proxy"), (31080, "proxy"), (30080, "tcp")):
            for header in ("v1", "v2"):
                for address in NODES["k8s-1"]:
                    probes.append(probe(f"n{len(probes)}", address, port, check, header=header, timeout=2000, rise=2))
        prober.give(*probes)
        for one in probes:
            prober.wait(one["node"], True, "HTTP 200" if one["check"].startswith("http") else None)
        assert all(len(prober.news(one["node"])) == 1 for one in probes), "told once"
        assert not [path for path in logs(net) if b"broken header" in open(path, "rb").read()]
        prober.give(probe("none-80", NODES["k8s-1"][0], 30080, "http", timeout=2000),
                    probe("none-443", NODES["k8s-1"][0], 30443, "https", timeout=2000),
                    probe("down", NODES["k8s-1"][0], 9, "tcp"))
        prober.wait("none-80", False).wait("none-443", False).wait("down", False, "connection refused")
        assert [path for path in logs(net) if b"broken header" in open(path, "rb").read()], "nginx would have said so"


def logs(net):
    return [os.path.join(folder, file) for folder, _, files in os.walk(net.folder) for file in files if file.endswith(".log")]


def test_the_header_is_local_and_comes_first(prober, serve):
    servers = {header: serve(8000 + number, answer(b"HTTP/1.1 200 OK\r\n\r\n"))
               for number, header in enumerate(("none", "v1", "v2"))}
    tcp = serve(8010, silent)
    prober.give(*(probe(header, "192.0.2.1", 8000 + number, "http", header=header, path="/healthz?a=b", host="ingress.example")
                  for number, header in enumerate(servers)), probe("tcp", "192.0.2.1", 8010, header="v2"))
    starts = {"none": b"", "v1": V1_UNKNOWN, "v2": V2_LOCAL}
    for header, server in servers.items():
        request = server.got.get(timeout=10)
        if request == starts[header] and request:
            continue  # the header alone was read: the request follows
        assert request.startswith(starts[header] + b"GET /healthz?a=b HTTP/1.1\r\nHost: ingress.example\r\n"), request
    assert tcp.got.get(timeout=10) == V2_LOCAL
    for name in (*servers, "tcp"):
        prober.wait(name, True)


def test_host_and_server_name(prober, serve, here, tmp_path):
    certificate = make_certificate(str(tmp_path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    names = queue.Queue()
    context.sni_callback = lambda sock, name, _: names.put(name)

    def handle(server, connection):
        with context.wrap_socket(connection, server_side=True) as secure:
            server.got.put(secure.recv(65536))
            secure.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            secure.recv(1)

    named, bare = serve(8443, handle), serve(8444, handle)
    six = serve(8445, answer(b"HTTP/1.1 200 OK\r\n\r\n"), address="2001:db8::1")
    prober.give(probe("named", "192.0.2.1", 8443, "https", host="ingress.example", timeout=2000))
    prober.wait("named", True, "HTTP 204")
    assert names.get(timeout=1) == "ingress.example"
    assert b"\r\nHost: ingress.example\r\n" in named.got.get(timeout=1)
    prober.give(probe("bare", "192.0.2.1", 8444, "https", timeout=2000), probe("six", "2001:db8::1", 8445, "http"))
    prober.wait("bare", True, "HTTP 204").wait("six", True)
    assert b"\r\nHost: 192.0.2.1\r\n" in bare.got.get(timeout=1)
    assert b"\r\nHost: [2001:db8::1]\r\n" in six.got.get(timeout=1)
    assert list(names.queue).count(None) >= 1, "an address is no server name"


# -- hostile servers ------------------------------------------------------------------

def endless_headers(server, connection):
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 100 Continue\r\n")
    while not server.ended.is_set():
        connection.sendall(b"X-Header: " + b"a" * 1000 + b"\r\n")


def flood_of_bytes(server, connection):
    while not server.ended.is_set():
        connection.sendall(b"A" * 65536)


def drip(server, connection):
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\n\r\n":
        if server.ended.wait(0.1):
            return
        connection.sendall(bytes([byte]))


def reset(server, connection):
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close_at_once(server, connection):
    pass


def close_after_reading(server, connection):
    connection.recv(65536)


def reset_after_reading(server, connection):
    reset(server, connection)


HOSTILE = [
    ("http", endless_headers, "what it answers is not HTTP"), ("http", flood_of_bytes, "what it answers is not HTTP"),
    ("http", drip, "timeout after 300ms"), ("http", reset, "connection reset"),
    ("http", close_after_reading, "closed without an answer"), ("http", silent, "timeout after 300ms"),
    ("http", answer(b"SSH-2.0-server\r\n"), "what it answers is not HTTP"),
    ("http", answer(b"HTTP/1.1 503 no\r\n\r\n"), "HTTP 503"),
    ("http", answer(b"HTTP/1.1 404 \x1b[31m\xff\r\n\r\n"), "HTTP 404"),
    ("http", answer(b"HTTP/1.1 101 Switching\r\n\r\n"), "what it answers is not HTTP"),
    ("http", answer(b"HTTP/1.1 100 C\r\n\r\n" * 3000), "what it answers is not HTTP"),
    ("https", flood_of_bytes, "TLS: "), ("https", silent, "timeout after 300ms"), ("https", close_at_once, "TLS: "),
    ("https", answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "TLS: "), ("https", endless_headers, "TLS: "),
    ("proxy", close_after_reading, "closed after the PROXY header"), ("proxy", reset_after_reading, "reset after the PROXY"),
    ("proxy", answer(b"HTTP/1.1 400 Bad Request\r\n\r\n", keep=False), "HTTP 400 in answer to a PROXY header"),
]


def test_hostile_servers(prober, serve):
    """All at once; each is down for its own reason, and a good one beside them stays up."""
    serve(9000, answer(b"HTTP/1.1 200 OK\r\n\r\n"))
    probes = [probe("good", "192.0.2.1", 9000, "http", timeout=2000)]
    for number, (check, handle, _) in enumerate(HOSTILE, 1):
        serve(9000 + number, handle)
        probes.append(probe(f"bad{number}", "192.0.2.1", 9000 + number, check, timeout=300 if "300ms" in HOSTILE[number - 1][2]
                            else 3000))
    prober.give(*probes)
    for number, (_, _, why) in enumerate(HOSTILE, 1):
        prober.wait(f"bad{number}", False, why)
    prober.wait("good", True, "HTTP 200")
    assert len(prober.news("good")) == 1
    assert prober.alive() and not prober.logs
    with open(f"/proc/{child_of(prober)}/status") as file:
        resident = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    assert resident < 60000, f"{resident} KiB"


def child_of(prober):
    """The prober's own process: below `ip netns exec`, which is the driver itself, its one child."""
    def child():
        with open(f"/proc/{prober.process.pid}/task/{prober.process.pid}/children") as file:
            return int(file.read().split()[0])
    return until(child, 5, "the prober's process")


def test_servers_that_greet_take_the_header(prober, serve):
    serve(9001, answer(b"SSH-2.0-server\r\n"))
    serve(9002, silent)
    prober.give(probe("greets", "192.0.2.1", 9001, "proxy"), probe("waits", "192.0.2.1", 9002, "proxy"))
    prober.wait("greets", True, "takes the PROXY header").wait("waits", True, "takes the PROXY header")


# -- rise, fall and time ---------------------------------------------------------------------

def test_rise_and_fall_against_a_server_that_changes(prober, serve):
    state = {"answer": b"HTTP/1.1 500 no\r\n\r\n"}

    def handle(server, connection):
        connection.recv(65536)
        connection.sendall(state["answer"])
        connection.recv(1)

    server = serve(9001, handle)
    prober.give(probe("n", "192.0.2.1", 9001, "http", interval=100, rise=3, fall=2))
    prober.wait("n", False, "HTTP 500")
    state["answer"] = b"HTTP/1.1 200 OK\r\n\r\n"
    before = server.connections
    prober.wait("n", True, "HTTP 200")
    assert server.connections - before >= 3
    state["answer"] = b"HTTP/1.1 503 no\r\n\r\n"
    prober.wait("n", False, "HTTP 503")
    assert [up for up, _ in prober.news("n")] == [False, True, False]


def test_a_start_is_quick_and_then_regular(prober, serve):
    """With an interval of 2 s and rise 3, up after some 400 ms; then one probe each interval, evenly."""
    times = []

    def handle(server, connection):
        times.append(time.monotonic())

    serve(9001, handle)
    begun = time.monotonic()
    prober.give(probe("n", "192.0.2.1", 9001, interval=2000, rise=3))
    prober.wait("n", True, "connected")
    assert time.monotonic() - begun < 1.5
    until(lambda: len(times) >= 6, 10, "three regular probes")
    gaps = [later - earlier for earlier, later in zip(times[3:], times[4:])]
    assert all(1.9 < gap < 2.2 for gap in gaps), gaps


def test_an_adopted_state_holds_until_it_falls(prober, serve):
    prober.give(probe("n", "192.0.2.1", 9001, up=True, interval=100, fall=5), probe("new", "192.0.2.1", 9002, interval=100))
    prober.wait("new", False).wait("n", False, "connection refused")
    assert [node for _, node, *_ in prober.seen] == ["new", "n"], "five failures take longer than one"
    assert prober.news("n") == [(False, "connection refused")]
    serve(9003, silent)
    prober.give(probe("good", "192.0.2.1", 9003, up=True, interval=60000))
    prober.wait("good", True, "connected")


def test_pairs_that_stay_keep_state_and_timers(prober, serve):
    server = serve(9001, silent)
    stays = probe("stays", "192.0.2.1", 9001, interval=60000, rise=1)
    prober.give(stays, probe("goes", "192.0.2.1", 9002))
    prober.wait("stays", True).wait("goes", False)
    until(lambda: server.connections == 1, 5, "the server to have taken the connection that the kernel made")
    count = server.connections
    for _ in range(50):
        prober.give(stays, probe(f"new{prober.generation}", "192.0.2.1", 9002))
    prober.wait(f"new{prober.generation - 1}", False)
    assert server.connections == count, "50 configurations cost it no probe"
    assert prober.news("stays") == [(True, "connected")]
    prober.give(dict(stays, check="proxy"))
    until(lambda: server.connections > count, 5, "another question to be asked at once")
    prober.give()
    prober.give(stays)
    until(lambda: len(prober.news("stays")) == 2, 5, "a pair that came back to be told anew")


def test_swaps_in_the_middle_of_probes(here, serve):
    """With the sanitizers where they are built: what goes wrong here is a pointer into a former configuration."""
    serve(9001, silent)
    with contextlib.closing(Prober(here, CHECKED if os.path.exists(CHECKED) else DRIVER)) as prober:
        swap(prober)


def swap(prober):
    for round_number in range(60):
        prober.give(*(probe(f"n{i}", "192.0.2.1", 9001, ("http", "https", "proxy")[(i + round_number // 7) % 3], interval=50,
                            timeout=200 + round_number // 20) for i in range(round_number % 5, 20)))
    assert prober.alive()
    prober.give(probe("n10", "192.0.2.1", 9001, "tcp", interval=50))
    prober.wait("n10", True)


def test_a_thousand_pairs_of_dead_nodes_delay_nobody_for_long(prober, serve, here):
    """More probes at once than may be under way, none of which is ever answered."""
    here.nft("table inet t { chain o { type filter hook output priority 0; tcp dport 10000-11999 drop; }; }")
    serve(9001, silent)
    prober.give(*(probe(f"dead{port}", "192.0.2.1", port, interval=1000, timeout=500, fall=2) for port in range(10000, 11500)),
                probe("z", "192.0.2.1", 9001))
    prober.wait("z", True, seconds=20)
    until(lambda: len(prober.seen) == 1501, 30, "all to be known")
    assert prober.alive()


# -- a broken main ----------------------------------------------------------------------------

def test_broken_configurations_change_nothing(prober, serve):
    serve(9001, silent)
    prober.give(probe("n", "192.0.2.1", 9001, interval=100))
    prober.wait("n", True)
    for raw in ("", "nonsense", "\x01" * 1000, "\x02" + "z" * 50):
        prober.send({"raw": raw})
    prober.send({"generation": 99, "probes": [probe("n", "192.0.2.1", 0)]})
    prober.send({"generation": 98, "probes": [probe("n", "192.0.2.1", 9001, interval=0)]})
    prober.send({"generation": 97, "probes": [probe("n" * 1000, "192.0.2.1", 9001)]})
    until(lambda: len(prober.logs) == 7, 10, "each to be complained about")
    assert prober.applied == [1]
    prober.give(probe("m", "192.0.2.1", 9001)).wait("m", True)


def test_the_prober_ends_with_main(here):
    prober = Prober(here)
    child = child_of(prober)
    prober.process.kill()
    until(lambda: not process_alive(child), 10, "the prober to end")
    prober.process.wait()
    prober.reader.join(10)
