"""Forwards with a PROXY header by the kernel: attached, adopted, closed where the programs are missing."""
import contextlib
import ipaddress
import json
import struct
import threading

import pytest

from harness import (CLIENT, CLIENT6, EDGE_LAN, EDGE_WAN, EDGE_WAN6, FLOATING, NODES, OPEN, REFUSED, attempt, config,
                     connect, fetch, forward, ip, readers, until)
from harness.client import read_exactly, read_line

K1 = NODES["k8s-1"][0]
DUAL = {"k8s-1": {"address": K1}, "k8s-1-six": {"address": NODES["k8s-1"][1]}}
POOLS = {"web": {"nodes": list(DUAL), "health": {"check": "none"}}}
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")


def site(*versions, via="kernel", **more):
    """Forwards to the raw echo: what comes back begins with the header that the node got."""
    return config(nodes=DUAL, pools=POOLS, forwards={
        f"{version}": forward(port, 30099, version, via=via) for port, version in zip((80, 81), versions)}, **more)


def v2_header(sock):
    """(client, port, server, port) of the header that the echo server sends back."""
    head = read_exactly(sock, 16)
    assert head[:12] == SIGNATURE and head[12] == 0x21, head
    length = struct.unpack("!H", head[14:])[0]
    body = read_exactly(sock, length)
    assert head[13] == 0x11
    return (".".join(map(str, body[:4])), *struct.unpack("!H", body[8:10]), ".".join(map(str, body[4:8])),
            *struct.unpack("!H", body[10:12]))


@contextlib.contextmanager
def conversation(net, port=80, source=CLIENT):
    """An open connection through the kernel whose header was right."""
    with contextlib.closing(connect(net.internet, source, FLOATING, port)) as sock:
        sock.sendall(b"first")
        assert v2_header(sock) == (source, sock.getsockname()[1], EDGE_WAN, port)
        assert read_exactly(sock, 5) == b"first"
        yield sock


def still_talks(sock):
    data = bytes(range(256)) * 20
    sock.sendall(data)
    return read_exactly(sock, len(data)) == data


def filters(space, device="ens4"):
    return [f for side in ("ingress", "egress") for f in json.loads(
        space.run("tc", "-j", "filter", "show", "dev", device, side).stdout or "[]") if f.get("options")]


def test_both_versions_and_families(net, start):
    edged = start(site("v2", "v1"))
    edged.wait_plane("kernel")
    with conversation(net) as sock:
        assert still_talks(sock)
        shown = [c for c in edged.get("/v1/connections") if c["client"] == f"{CLIENT}:{sock.getsockname()[1]}"][0]
        assert (shown["plane"], shown["header"], shown["forward"]) == ("kernel", "delivered", "v2")
    for source, address, server in ((CLIENT, FLOATING, EDGE_WAN), (CLIENT6, EDGE_WAN6, EDGE_WAN6)):
        with contextlib.closing(connect(net.internet, source, address, 81)) as sock:
            sock.sendall(b"x")
            words = read_line(sock).split()
            assert words[:2] == ["PROXY", f"TCP{6 if ':' in source else 4}"]
            assert [str(ipaddress.ip_address(word)) for word in words[2:4]] == [source, server]
            assert words[4:] == [str(sock.getsockname()[1]), "81"]
            assert read_exactly(sock, 1) == b"x"
    assert readers.counter(net.edge, "header-detached")[0] == 0


def test_a_second_apply_and_a_restart_write_nothing(net, start):
    edged = start(site("v2"))
    edged.wait_plane("kernel")
    before, attached = readers.stable_ruleset(net.edge), filters(net.edge)
    assert len(attached) == 2
    assert edged.apply()["steps"] == 0
    with conversation(net) as sock:
        edged.kill("main")
        until(edged.answers, 10)
        edged.wait_plane("kernel")
        assert still_talks(sock)
        assert filters(net.edge) == attached, "the very programs that were there"
        assert readers.stable_ruleset(net.edge) == before
        assert edged.apply()["steps"] == 0


def test_no_listener_for_what_the_kernel_serves(net, start):
    edged = start(config(nodes={"k8s-1": DUAL["k8s-1"]}, pools={"web": {"nodes": ["k8s-1"], "health": {"check": "none"}}},
                         forwards={"web": forward("203.0.113.10:80", 30099, "v2")}))
    edged.wait_plane("kernel")
    until(lambda: ":80 " not in net.edge.run("ss", "-Hltn").stdout, 15, "the forwarder's listener to be closed")
    assert edged.show("status")["planes"]["kernel"] == 1


@pytest.mark.parametrize("via", ["kernel", "auto"])
def test_a_filter_that_vanishes_closes_until_it_is_back(net, start, via):
    edged = start(site("v2", via=via))
    edged.wait_plane("kernel")
    with conversation(net) as sock:
        for side in ("egress", "ingress"):
            net.edge.run("tc", "filter", "del", "dev", "ens4", side)
            until(lambda: len(filters(net.edge)) == 2, 5, "the programs to be attached again")
            edged.wait_plane("kernel")
            assert still_talks(sock)
        with conversation(net):
            pass


def test_a_device_made_anew_is_closed_until_it_is_attached(net, start):
    edged = start(site("v2"))
    edged.wait_plane("kernel")
    ip("-n", net.edge.name, "link", "del", "ens4")
    until(lambda: edged.planes()["v2"][0] == "none", 5, "the forward to be closed")
    assert "not attached" in edged.planes()["v2"][1]
    assert attempt(net.internet, CLIENT, FLOATING, 80) == REFUSED, "via: kernel is closed, and at once"
    ip(batch=[f"link add name ens4 netns {net.edge.name} type veth peer name edge netns {net.switch.name}"])
    ip("-n", net.switch.name, batch=["link set edge master lan up"])
    ip("-n", net.edge.name, batch=[f"address add {EDGE_LAN}/24 dev ens4", "link set ens4 up"])
    edged.wait_plane("kernel", clients="ipv4")
    until(lambda: attempt(net.internet, CLIENT, FLOATING, 80) == OPEN, 10)
    with conversation(net):
        pass


def test_unattached_devices_pass_no_marked_flow(net, start):
    """The ruleset itself is closed, whoever takes the programs away, and while edged is down."""
    edged = start(site("v2"), restart_delay=600)
    edged.wait_plane("kernel")
    with conversation(net) as sock:
        edged.kill("main")
        ip("-n", net.edge.name, batch=["link set ens4 down", "link set ens4 name was", "link set was up"])
        assert readers.set_elements(net.edge, "header-devices"), "by index: the device is the same"
        ip("-n", net.edge.name, batch=["link set was down", "link set was name ens4", "link set ens4 up",
                                       "route replace 2001:db8:2::/64 dev ens4"])
        assert still_talks(sock)


def test_switching_the_plane_keeps_what_is_open(net, start):
    edged = start(site("v2", via="proxy"))
    edged.wait_plane("proxy")
    with conversation(net) as proxied:
        edged.apply(site("v2", via="kernel"))
        edged.wait_plane("kernel")
        assert still_talks(proxied)
        with conversation(net) as direct:
            edged.apply(site("v2", via="proxy"))
            edged.wait_plane("proxy")
            assert still_talks(proxied) and still_talks(direct)
            planes = {c["client"]: c["plane"] for c in edged.get("/v1/connections")}
            assert planes[f"{CLIENT}:{proxied.getsockname()[1]}"] == "proxy"
            assert planes[f"{CLIENT}:{direct.getsockname()[1]}"] == "kernel"
        with conversation(net):
            pass


def test_switching_refuses_nobody(net, start):
    edged = start(site("v2"))
    edged.wait_plane("kernel")
    done, failures, ended, phase = [], [], threading.Event(), [""]

    def knock():
        while not ended.is_set():
            try:
                with conversation(net):
                    done.append(1)
            except (OSError, AssertionError) as error:
                failures.append((phase[0], repr(error)))
    threads = [threading.Thread(target=knock, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(8):
        via = "kernel" if number % 2 else "proxy"
        phase[0] = f"to {via}, {number}"
        edged.apply(site("v2", via=via))
        edged.wait_plane(via)
        before = len(done)
        until(lambda: len(done) > before + 20 or failures, 10)
    ended.set()
    for thread in threads:
        thread.join(10)
    assert not failures, (len(failures), failures[:5])


def test_draining_and_all_down(net, start):
    nodes = {"k8s-1": {"address": K1}, "k8s-2": {"address": NODES["k8s-2"][0]}}
    edged = start(config(nodes=nodes, forwards={"web": forward(80, 30080, "v2", via="kernel")}))
    edged.wait_backends("web", 2)
    edged.wait_plane("kernel")
    assert {fetch(net.internet, CLIENT, FLOATING, 80).node for _ in range(8)} == {"k8s-1", "k8s-2"}
    edged.post("/v1/nodes/k8s-1/drain")
    assert {fetch(net.internet, CLIENT, FLOATING, 80).node for _ in range(8)} == {"k8s-2"}
    net.nodes["k8s-2"].stop("nginx")
    edged.wait_backends("web", 0)
    assert attempt(net.internet, CLIENT, FLOATING, 80) == REFUSED
    edged.post("/v1/nodes/k8s-1/undrain")
    assert fetch(net.internet, CLIENT, FLOATING, 80).node == "k8s-1"


def test_flush_takes_the_programs_off(net, start):
    edged = start(site("v2"))
    edged.wait_plane("kernel")
    edged.ctl("flush", "--yes")
    assert filters(net.edge) == []
    edged.apply()
    edged.wait_plane("kernel")
    with conversation(net):
        pass
