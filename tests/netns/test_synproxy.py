"""SYN proxy: under a flood of SYNs real clients get in, and nodes see only handshakes that were completed."""
import contextlib
import ipaddress
import os
import socket
import struct
import threading
import time

import pytest

from harness import (CLIENT, CLIENT6, DROPPED, EDGE_WAN, EDGE_WAN6, FLOATING, NODES, OPEN, SCANNER, attempt, config,
                     connect, device_mac, fetch, flood, forward, leak_counter, readers, until)
from harness.client import read_exactly, read_line

SIGNATURE, OTHER = bytes.fromhex("0d0a0d0a000d0a515549540a"), 31555
ANYBODY = "198.18.128.1"  # the flood's first source; 60,000 follow
DUAL = {"k8s-1": {"address": "192.0.2.11"}, "k8s-1-six": {"address": NODES["k8s-1"][1]}}
POOLS = {"web": {"nodes": list(DUAL), "health": {"check": "none"}}}


def protected(header="none", port=30099, synproxy="on", **more):
    more = {key: value for key, value in more.items() if value is not None}
    return config(nodes=DUAL, pools=POOLS, forwards={"web": forward(443, port, header, synproxy=synproxy, **more)})


@contextlib.contextmanager
def syn_flood(net, seconds=20, rate=0):
    with flood(net.router, "cloud", device_mac(net.edge, "ens3"), ANYBODY, EDGE_WAN, "443", "tcp", seconds=seconds,
               spoof=60000, rate=rate) as process:
        yield process


def listen(space, address):
    with space.inside():
        listener = socket.create_server((address, OTHER), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.settimeout(10)
    return listener


def header_of(sock):
    """(version, client, port, server, port), and not a byte more."""
    head = read_exactly(sock, 13)
    if head[:12] == SIGNATURE:
        family, length = struct.unpack("!BH", read_exactly(sock, 3))
        body, size = read_exactly(sock, length), 16 if family == 0x21 else 4
        return ("v2", str(ipaddress.ip_address(body[:size])), *struct.unpack_from("!H", body, 2 * size),
                str(ipaddress.ip_address(body[size:2 * size])), *struct.unpack_from("!H", body, 2 * size + 2))
    words = (head.decode() + read_line(sock)).split()
    return ("v1", str(ipaddress.ip_address(words[2])), int(words[4]), str(ipaddress.ip_address(words[3])), int(words[5]))


def echo(net, source, address, size=200000):
    """A conversation: what is sent comes back, and then the end."""
    data = os.urandom(size)
    with contextlib.closing(connect(net.internet, source, address, 443, timeout=10)) as sock:
        sender = threading.Thread(target=sock.sendall, args=(data,))
        sender.start()
        assert read_exactly(sock, size) == data
        sender.join()


def syns_at_node(net):
    return leak_counter(net.nodes["k8s-1"].space, "eth0", "tcp flags & (syn|ack) == syn")


@pytest.mark.parametrize("via", ["kernel", "proxy"])
def test_a_handshake_is_answered_by_the_edge_first(net, start, via):
    start(protected(via=via))
    with syns_at_node(net) as seen:
        for source, address in ((CLIENT, FLOATING), (CLIENT6, EDGE_WAN6)):
            echo(net, source, address)
        assert seen() == 2
        assert readers.counter(net.edge, "syn-web")[0] == 2, "SYNs that were answered in the node's place"
        assert readers.counter(net.edge, "fwd-web")[0] == 2, "clients that were let in"


def retransmissions(space):
    with space.inside(), open("/proc/thread-self/net/snmp") as file:
        head, values = [line.split() for line in file if line.startswith("Tcp:")]
    return int(dict(zip(head, values))["RetransSegs"])


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("first", ["client", "server"])
def test_header_programs_below_it(net, start, version, first):
    """Each conversation is right, and nobody sends anything twice: neither header nor handshake had to wait for that."""
    edged = start(protected(version, OTHER, via="kernel", proxy_tlvs=["crc32c"] if version == "v2" else None))
    node, count = net.nodes["k8s-1"].space, 40
    for clients in ("ipv4", "ipv6"):
        edged.wait_plane("kernel", clients=clients)
    before = retransmissions(node) + retransmissions(net.internet)
    for source, address, server, at in ((CLIENT, FLOATING, EDGE_WAN, NODES["k8s-1"][0]),
                                        (CLIENT6, EDGE_WAN6, EDGE_WAN6, NODES["k8s-1"][1])):
        with contextlib.closing(listen(node, at)) as listener:
            for _ in range(count):
                with contextlib.closing(connect(net.internet, source, address, 443, timeout=10)) as client:
                    if first == "client":
                        client.sendall(b"hello")
                    served, _ = listener.accept()
                    with served:
                        served.settimeout(10)
                        assert header_of(served) == (version, source, client.getsockname()[1], server, 443)
                        if first == "server":
                            served.sendall(b"banner")
                            assert read_exactly(client, 6) == b"banner"
                            client.sendall(b"hello")
                        assert read_exactly(served, 5) == b"hello"
                        served.sendall(b"bye")
                        assert read_exactly(client, 3) == b"bye"
    assert readers.counter(net.edge, "syn-web")[0] == 2 * count
    assert retransmissions(node) + retransmissions(net.internet) == before


def test_the_ingress_learns_the_clients_address(net, start):
    start(protected("v2", 30443))
    for source, address, server in ((CLIENT, FLOATING, EDGE_WAN), (CLIENT6, EDGE_WAN6, EDGE_WAN6)):
        seen = fetch(net.internet, source, address, 443, tls=True)
        assert (seen.client, seen.client_port) == seen.local
        assert (seen.server, seen.server_port) == (server, 443)


@pytest.mark.parametrize("via", ["kernel", "proxy"])
def test_a_flood_reaches_no_node_and_real_clients_get_in(net, start, via):
    start(protected(via=via))
    with syns_at_node(net) as seen, syn_flood(net):
        until(lambda: readers.counter(net.edge, "syn-web")[0] > 20000, 20, "the flood to be under way")
        served = 0
        for _ in range(50):
            began = time.monotonic()
            served += attempt(net.internet, CLIENT, FLOATING, 443, 3) == OPEN and time.monotonic() - began < 1
        assert served >= 49
        assert seen() <= 55, "nodes see those who completed the handshake, and nobody else"
    entries = int(net.edge.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count").stdout)
    assert entries < 2000, "the flood leaves nothing in conntrack"


def test_what_rules_and_from_refuse_is_not_answered(net, start):
    start(config(nodes=DUAL, pools=POOLS, forwards={
        "web": forward(443, 30099, synproxy="on", **{"from": [CLIENT, "2001:db8:51::/64"]}),
        "other": forward(444, 30099, synproxy="on")},
        rules=[{"name": "no", "from": SCANNER, "to": "self", "protocol": "tcp", "port": 444, "action": "drop"}]))
    assert attempt(net.internet, CLIENT, FLOATING, 443) == OPEN
    assert attempt(net.internet, SCANNER, FLOATING, 443, 0.4) == DROPPED
    assert attempt(net.internet, SCANNER, FLOATING, 444, 0.4) == DROPPED
    echo(net, CLIENT, FLOATING, 1000)
    assert readers.counter(net.edge, "syn-other")[0] == 0


def test_from_is_asked_again_of_who_has_a_cookie(net, start):
    """A client that the forward on the address is not for gets the other one, as without synproxy."""
    start(config(nodes=DUAL, pools=POOLS, forwards={
        "own": forward(f"{EDGE_WAN}:443", 30099, synproxy="on", **{"from": [SCANNER]}),
        "web": forward(443, 30099, synproxy="on")}))
    echo(net, CLIENT, FLOATING, 1000)
    assert (readers.counter(net.edge, "fwd-own")[0], readers.counter(net.edge, "fwd-web")[0]) == (0, 1)
    echo(net, SCANNER, FLOATING, 1000)
    assert (readers.counter(net.edge, "fwd-own")[0], readers.counter(net.edge, "fwd-web")[0]) == (1, 1)


def test_limits_count_completed_handshakes_only(net, start):
    edged = start(protected(limits={"new_per_source": "1/hour burst 3"}))
    mac = device_mac(net.edge, "ens3")
    with flood(net.router, "cloud", mac, CLIENT, EDGE_WAN, "443", "tcp", count=50) as process:
        until(lambda: process.poll() is not None, 10)
    for _ in range(3):
        echo(net, CLIENT, FLOATING, 1000)
    assert readers.counter(net.edge, "fwd-web-limit")[0] == 0
    # Its handshake is with the edge, so a client over its limit is connected to nobody.
    with contextlib.closing(connect(net.internet, CLIENT, FLOATING, 443)):
        until(lambda: readers.counter(net.edge, "fwd-web-limit")[0] > 0, 5)
    assert [f for f in edged.get("/v1/forwards") if f["name"] == "web"][0]["limited"] > 0


def test_who_has_a_cookie_gets_in_after_synproxy_is_off(net, start):
    edged = start(protected())
    edged.apply(protected(synproxy="auto"))
    echo(net, CLIENT, FLOATING, 1000)
    assert readers.counter(net.edge, "syn-web")[0] == 0, "off again: nobody is answered by the edge"
    edged.apply(protected())
    echo(net, CLIENT, FLOATING, 1000)
    assert readers.counter(net.edge, "syn-web")[0] > 0


def test_auto_is_on_under_pressure_and_off_again(net, start):
    edged = start(protected(synproxy="auto"))

    def active():
        return [f["synproxy"] for f in edged.get("/v1/forwards") if f["name"] == "web"][0]
    assert active() == {"mode": "auto", "on": False}
    echo(net, CLIENT, FLOATING, 1000)
    assert readers.counter(net.edge, "syn-web")[0] == 0
    with syn_flood(net, rate=5000):
        until(lambda: active()["on"], 15, "the flood to turn it on")
        until(lambda: readers.counter(net.edge, "syn-web")[0] > 1000, 10)
        assert [attempt(net.internet, CLIENT, FLOATING, 443) for _ in range(10)] == [OPEN] * 10
        assert "synproxy" in edged.ctl("status").stdout
    until(lambda: not active()["on"], 40, "the calm to turn it off")
    echo(net, CLIENT, FLOATING, 1000)
