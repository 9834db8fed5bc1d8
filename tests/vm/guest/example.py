#!/usr/bin/python3
"""edged on the example configuration with this kernel's nftables: the table is loaded, both ways of forwarding work,
a foreign flush opens nothing, and a killed edged finds all as it was.

Less than tests/netns/test_example.py sees, and in seconds."""
# vm-seconds: 90
import contextlib
import os
import signal
import socket
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.join(TOP, "tests", "netns"))
sys.dont_write_bytecode = True
os.environ.setdefault("EDGED_TEST_SLOW", "10")

from harness import CLIENT, EDGE_WAN, FLOATING, Edged, Network, config, forward, readers, until  # noqa: E402

OWNED = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 9)
NODE, ADDRESS = "k8s-1", "192.0.2.11"
HEALTH = {"check": "tcp", "interval": "1s", "timeout": "1s", "rise": 1, "fall": 3}
CONFIG = config(nodes={NODE: {"address": ADDRESS}},
                pools={"web": {"nodes": [NODE], "health": HEALTH}},
                forwards={"kernel": forward(81, 30081), "header": forward(80, 30080, "v2", via="proxy")})


@contextlib.contextmanager
def backend(space, address, port):
    with space.inside():
        server = socket.create_server((address, port))
    server.settimeout(30)
    yield server
    server.close()


def say(*words):
    print(f"{time.monotonic():6.1f}", *words, flush=True)


def connect(net, port):
    with net.internet.inside():
        sock = socket.socket()
    sock.settimeout(30)
    sock.bind((CLIENT, 0))
    sock.connect((FLOATING, port))
    return sock


def talk(net, server, port, header):
    """One connection from the internet to a backend: what arrives, header first, and the answer."""
    with connect(net, port) as client:
        client.sendall(b"ping")
        while True:  # health probes come and go
            there, peer = server.accept()
            with there:
                there.settimeout(30)
                data = b""
                while len(data) < header + 4 and (more := there.recv(header + 4 - len(data))):
                    data += more
                if data.endswith(b"ping"):
                    there.sendall(b"pong")
                    break
        assert client.recv(4) == b"pong"
    return data, peer


def main():
    folder = tempfile.mkdtemp()
    say("started")
    net = Network("vm", folder, nodes=False)
    say("the network is there")
    edged = Edged(net.edge, os.path.join(folder, "edged"), None)
    edged.start()
    rules = net.edge.run("nft", "list", "table", "inet", "edged").stdout
    # nft 1.0.6 does not know persist; that the table outlives its owner is seen below.
    assert ("flags owner" in rules) == OWNED, rules[:300]
    say("the example is loaded,", "owned" if OWNED else "without an owner")

    space = net.nodes[NODE].space
    with backend(space, ADDRESS, 30080) as header, backend(space, ADDRESS, 30081) as plain:
        edged.apply(CONFIG)
        edged.wait_backends("kernel", 1)
        edged.wait_backends("header", 1)
        data, peer = talk(net, plain, 81, 0)
        assert data == b"ping" and peer[0] == CLIENT, (data, peer)
        data, _ = talk(net, header, 80, 28)
        assert data[:16] == b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", data
        assert data[16:24] == socket.inet_aton(CLIENT) + socket.inet_aton(EDGE_WAN), data
        say("forwarded by the kernel and by the forwarder, with its header")

        net.edge.run("nft", "flush", "ruleset")
        if OWNED:
            assert "chain" in net.edge.run("nft", "list", "table", "inet", "edged").stdout
        until(lambda: "chain" in net.edge.run("nft", "list", "table", "inet", "edged").stdout, 5)
        talk(net, plain, 81, 0)
        say("a foreign flush:", "refused" if OWNED else "repaired")

        before = readers.rules(net.edge)
        pid = edged.pid
        os.kill(pid, signal.SIGKILL)
        talk(net, plain, 81, 0)
        until(lambda: edged.pid not in (0, pid), 10)
        until(edged.answers, 15)
        assert readers.rules(net.edge) == before
        talk(net, plain, 81, 0)
        say("killed and back, nothing changed")
    edged.stop()
    net.remove()


main()
