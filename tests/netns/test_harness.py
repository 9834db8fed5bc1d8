"""The tests' own tools: a test that rests on them may fail only for the edge's sake."""
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys

import pytest

from harness import (CLIENT, DROPPED, EDGE_WAN, FLOATING, NODES, OPEN, PROHIBITED, REFUSED, Capture, Namespace, attempt,
                     connect, datagram, device_mac, flood, leak_counter, ping, readers, stays, until)
from harness.client import read_exactly, read_line
from harness.edged import TOP


@pytest.fixture
def routed(net):
    """The network with an edge that only routes: nothing but the harness is under test."""
    net.edge.sysctl("net.ipv4.ip_forward", 1)
    net.edge.sysctl("net.ipv6.conf.all.forwarding", 1)
    net.route_to_lan()
    return net


def test_the_path_is_complete(routed):
    node, node6 = NODES["k8s-1"]
    assert ping(routed.internet, CLIENT, node) == 1
    assert ping(routed.internet, "2001:db8:51::77", node6) == 1
    assert ping(routed.internet, CLIENT, FLOATING) == 1, "the router maps the floating IP to the edge"
    with Capture(routed.internet, "eth0", "icmp") as seen:
        assert ping(routed.edge, EDGE_WAN, CLIENT) == 1
    assert {packet["IP"].src for packet in seen.packets} == {FLOATING, CLIENT}, "and back"


def test_outcomes_of_attempts_are_told_apart(routed):
    node = NODES["k8s-1"][0]
    assert attempt(routed.internet, CLIENT, node, 30099) == OPEN
    assert attempt(routed.internet, CLIENT, node, 9) == REFUSED
    routed.edge.nft("""table inet t { chain f { type filter hook forward priority 0;
        tcp dport 7 drop; tcp dport 8 reject with icmpx admin-prohibited; }; }""")
    assert attempt(routed.internet, CLIENT, node, 7) == DROPPED
    assert attempt(routed.internet, CLIENT, node, 8) == PROHIBITED


def test_nodes_demand_the_proxy_protocol(routed):
    node = NODES["k8s-1"][0]
    header = b"PROXY TCP4 198.51.100.1 203.0.113.10 1234 80\r\n"
    two = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H4s4sHH", 12, socket.inet_aton("198.51.100.1"),
                                                      socket.inet_aton("203.0.113.10"), 1234, 80)
    for port in (30080, 31080):
        for start in (header, two):
            with connect(routed.internet, CLIENT, node, port) as sock:
                sock.sendall(start + b"GET / HTTP/1.0\r\n\r\n")
                answer = json.loads(sock.makefile("rb").read().split(b"\r\n\r\n")[1])
            assert (answer["client"], answer["client_port"]) == ("198.51.100.1", 1234)
            assert (answer["server"], answer["server_port"]) == ("203.0.113.10", 80)
        with connect(routed.internet, CLIENT, node, port) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1000) == b"", f"port {port} answers without a header"
    with connect(routed.internet, CLIENT, node, 30022) as sock:
        sock.sendall(header)
        assert read_line(sock) == "SSH-2.0-lab k8s-1 198.51.100.1 1234\r\n"
        sock.sendall(b"and back")
        assert read_exactly(sock, 8) == b"and back"
    assert datagram(routed.internet, CLIENT, node, 30053, b"x").startswith(b"k8s-1 198.51.100.77 ")


def test_the_leak_counter_counts_what_the_flood_sends(routed):
    node = NODES["k8s-1"][0]
    mac = device_mac(routed.edge, "ens3")
    for protocol in ("udp", "tcp"):
        with leak_counter(routed.nodes["k8s-1"].space, "eth0", f"{protocol} dport 4444") as leaked:
            with flood(routed.router, "cloud", mac, CLIENT, node, "4444", protocol, count=5000, rate=50000) as process:
                until(lambda: process.poll() is not None, 20, "the flood to end")
            until(lambda: leaked() == 5000, 5, "every packet to be counted")
    routed.edge.nft("table inet t { chain f { type filter hook forward priority 0; policy drop; }; }")
    with leak_counter(routed.nodes["k8s-1"].space, "eth0", "udp dport 4444") as leaked:
        with flood(routed.router, "cloud", mac, CLIENT, node, "4444", count=5000) as process:
            until(lambda: process.poll() is not None, 20, "the flood to end")
        assert leaked() == 0
    assert process.sent == 5000


def test_nft_events_are_seen_and_silence_is_silence(net):
    with readers.nft_events(net.edge, net.folder) as events:
        pass
    assert events == []
    with readers.nft_events(net.edge, net.folder) as events:
        net.edge.run("nft", "add", "table", "inet", "other")
    assert events == ["add table inet other"]


STORING = """
import array, os, socket, sys, time
def notify(text, *fds):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([text.encode()], ancillary, 0, os.environ["NOTIFY_SOCKET"])
count = int(os.environ.get("LISTEN_FDS", 0))
if count:
    assert os.environ["LISTEN_PID"] == str(os.getpid())
    assert os.environ["LISTEN_FDNAMES"] == "owner", os.environ["LISTEN_FDNAMES"]
    kept = socket.socket(fileno=3)
    status = f"took {kept.getsockname()}"
else:
    kept = socket.socket()
    kept.bind(("127.0.0.1", 0))
    kept.listen()
    status = f"made {kept.getsockname()}"
for _ in range(2):
    notify("FDSTORE=1\\nFDNAME=owner\\nFDPOLL=0", kept.fileno())
notify(f"READY=1\\nSTATUS={status}")
sys.stdin.read() or time.sleep(60)
"""


def test_the_supervisor_keeps_descriptors(tmp_path, root):
    state = tmp_path / "state.json"
    process = subprocess.Popen([sys.executable, f"{TOP}/lab/supervisor.py", "--state", str(state), "--",
                                sys.executable, "-c", STORING], stdin=subprocess.DEVNULL)

    def ready(starts):
        def check():
            now = json.loads(state.read_text())
            return now if now["ready"] and now["starts"] == starts else None
        return until(check, 10, f"start number {starts} to be ready")

    try:
        first = ready(1)
        assert first["fds"] == ["owner"], "the same descriptor twice is kept once"
        for starts in (2, 3):
            os.kill(json.loads(state.read_text())["pid"], 9)
            again = ready(starts)
            assert again["status"] == first["status"].replace("made", "took")
            assert again["fds"] == ["owner"] and again["last_exit"] == "signal 9"
    finally:
        process.terminate()
        assert process.wait(10) == 0
    assert not os.path.exists(f"/proc/{again['pid']}"), "it ends with its supervisor"


def test_namespaces_are_removed_with_their_processes(root):
    space = Namespace(f"edgedtest-{os.getpid()}-short")
    process = space.start("sleep", "600")
    until(lambda: process.pid in space.pids(), 5)
    space.remove()
    assert process.poll() is not None
    assert not os.path.exists(f"/run/netns/edgedtest-{os.getpid()}-short")


def test_waiting_ends_at_its_deadline():
    with pytest.raises(AssertionError, match="waited 0.1 s for: the moon"):
        until(lambda: False, 0.1, "the moon")
    with pytest.raises(AssertionError):
        stays(lambda: False, 0.1)
