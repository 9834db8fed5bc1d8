"""Established flows below the ruleset, where the kernel has flowtables: the header is there, and bans and blocks cut them.

Skipped where the kernel has none; tests/vm runs this file on Debian's.
"""
import contextlib
import os

import pytest

from harness import CLIENT, FLOATING, NODES, SCANNER, config, connect, forward, until
from harness.client import read_exactly

NODE = {"k8s-1": {"address": NODES["k8s-1"][0]}}
POOLS = {"web": {"nodes": ["k8s-1"], "health": {"check": "none"}}}
LENGTH = 28  # of the header


def site(**more):
    return config(flowtable=True, nodes=NODE, pools=POOLS, forwards={"web": forward(80, 30099, "v2", via="kernel")}, **more)


def say(sock, size=1000):
    data = os.urandom(size)
    sock.sendall(data)
    assert read_exactly(sock, size) == data


def offloaded(net, source):
    return any("OFFLOAD" in line and f"src={source} " in line for line in net.edge.run("conntrack", "-L").stdout.splitlines())


@contextlib.contextmanager
def flow(net, source):
    """A connection that the flowtable has."""
    with contextlib.closing(connect(net.internet, source, FLOATING, 80)) as sock:
        sock.sendall(b"x")
        assert len(read_exactly(sock, LENGTH + 1)) == LENGTH + 1
        for _ in range(5):
            say(sock)
        until(lambda: offloaded(net, source), 5, "the flow to be offloaded")
        say(sock, 300000)
        yield sock


def is_cut(sock):
    """True when nothing comes back any more."""
    sock.settimeout(3)
    try:
        sock.sendall(b"y" * 1000)
        return not sock.recv(1)
    except OSError:
        return True


@pytest.fixture
def edged(net, start):
    edged = start(site())
    edged.wait_plane("kernel")
    if "flowtable offload" not in net.edge.run("nft", "list", "table", "inet", "edged").stdout:
        pytest.skip("this kernel has no flowtables")
    return edged


def test_each_byte_and_a_second_apply_writes_nothing(net, edged):
    with flow(net, CLIENT) as sock:
        assert edged.apply()["steps"] == 0
        shown = [c for c in edged.get("/v1/connections") if c["client"].startswith(f"{CLIENT}:")][0]
        assert shown["header"] == "delivered" and shown["bytes_in"] > 300000, "what the flowtable carries is counted"
        edged.kill("main")
        until(edged.answers, 10)
        say(sock)


def test_a_ban_and_a_block_cut_what_is_offloaded(net, edged):
    with flow(net, CLIENT) as first, flow(net, SCANNER) as second:
        edged.ctl("ban", CLIENT)
        assert is_cut(first)
        say(second)
        edged.apply(site(rules=[{"name": "no", "from": SCANNER, "to": "self", "protocol": "tcp", "port": 80,
                                 "action": "drop"}]))
        until(lambda: is_cut(second), 15, "the flow to be cut")


def test_without_the_header_programs_nothing_is_offloaded(net, edged):
    """An offloaded flow meets no rule that would drop it: so it must not stay one."""
    with flow(net, CLIENT) as sock:
        net.edge.run("tc", "filter", "del", "dev", "ens4", "egress")
        until(lambda: net.edge.run("tc", "filter", "show", "dev", "ens4", "egress").stdout, 10, "the programs to be back")
        edged.wait_plane("kernel")
        say(sock)


def test_off_again(net, edged):
    with flow(net, CLIENT) as sock:
        edged.apply(config(nodes=NODE, pools=POOLS, forwards={"web": forward(80, 30099, "v2", via="kernel")}))
        assert "flowtable" not in net.edge.run("nft", "list", "table", "inet", "edged").stdout
        say(sock, 300000)
