"""TLVs of a version 2 header, by both data planes alike: the checksum is right, and the unique id is what the edge knows
the connection by."""
import contextlib
import re
import struct

import pytest

from harness import CLIENT, CLIENT6, EDGE_WAN6, FLOATING, NODES, config, connect, forward, until
from harness.client import read_exactly
from harness.header import crc32c

DUAL = {"k8s-1": {"address": NODES["k8s-1"][0]}, "k8s-1-six": {"address": NODES["k8s-1"][1]}}
POOLS = {"web": {"nodes": list(DUAL), "health": {"check": "none"}}}
CRC32C, UNIQUE_ID = 3, 5


def site(via, *tlvs):
    more = {"proxy_tlvs": list(tlvs)} if tlvs else {}
    return config(nodes=DUAL, pools=POOLS, forwards={"web": forward(80, 30099, "v2", via=via, **more)})


def tlvs_of(sock):
    """{type: value} of the header that the raw echo server sends back, once its checksum is found right."""
    head = read_exactly(sock, 16)
    body = read_exactly(sock, struct.unpack("!H", head[14:])[0])
    at, found = {0x11: 12, 0x21: 36}[head[13]], {}
    while at < len(body):
        kind, size = struct.unpack_from("!BH", body, at)
        found[kind] = body[at + 3:at + 3 + size]
        if kind == CRC32C:
            covered = head + body[:at + 3] + bytes(4) + body[at + 7:]
            assert struct.unpack("!I", found[kind])[0] == crc32c(covered)
        at += 3 + size
    return found


@pytest.mark.parametrize("via", ["kernel", "proxy"])
def test_the_node_and_the_edge_name_a_connection_alike(net, start, via):
    edged = start(site(via, "crc32c", "unique-id"))
    for clients in ("ipv4", "ipv6"):
        edged.wait_plane(via, clients=clients)
    seen = set()
    for source, address in ((CLIENT, FLOATING), (CLIENT6, EDGE_WAN6), (CLIENT, FLOATING)):
        with contextlib.closing(connect(net.internet, source, address, 80)) as sock:
            sock.sendall(b"first")
            told = tlvs_of(sock)
            assert set(told) == {CRC32C, UNIQUE_ID} and read_exactly(sock, 5) == b"first"
            name = told[UNIQUE_ID].decode()
            assert len(name) == 16 and int(name, 16) and name not in seen
            seen.add(name)
            end = f"[{source}]" if ":" in source else source
            shown = [c for c in edged.get("/v1/connections") if c["client"] == f"{end}:{sock.getsockname()[1]}"]
            assert [(c["plane"], c["unique_id"]) for c in shown] == [(via, name)]
            assert name in edged.ctl("show", "connections").stdout
    assert edged.get("/v1/forwards")[0]["proxy_tlvs"] == ["crc32c", "unique-id"]


@pytest.mark.parametrize("via", ["kernel", "proxy"])
def test_each_alone_and_none_after_a_change(net, start, via):
    edged = start(site(via, "crc32c"))
    edged.wait_plane(via)
    for tlvs, kinds in ((["crc32c"], {CRC32C}), (["unique-id"], {UNIQUE_ID}), ([], set())):
        edged.apply(site(via, *tlvs))
        until(lambda: edged.planes()["web"][0] == via, 10)

        def told():
            with contextlib.closing(connect(net.internet, CLIENT, FLOATING, 80)) as sock:
                sock.sendall(b"first")
                return set(tlvs_of(sock))
        until(lambda: told() == kinds, 10, "the forwarder's workers to have the new configuration")
        with contextlib.closing(connect(net.internet, CLIENT, FLOATING, 80)) as sock:
            sock.sendall(b"first")
            assert set(tlvs_of(sock)) == kinds and read_exactly(sock, 5) == b"first"
            shown = [c["unique_id"] for c in edged.get("/v1/connections")
                     if c["client"] == f"{CLIENT}:{sock.getsockname()[1]}"]
            assert [bool(name) for name in shown] == [UNIQUE_ID in kinds], "null when the node was told none"


@pytest.mark.parametrize("via", ["kernel", "proxy"])
def test_each_connection_is_in_the_log_by_that_name(net, start, via):
    edged = start(config(nodes=DUAL, pools=POOLS, forwards={
        "web": forward(80, 30099, "v2", via=via, proxy_tlvs=["unique-id"], log=True),
        "silent": forward(81, 30099, "v2", via=via, proxy_tlvs=["unique-id"])}))
    for clients in ("ipv4", "ipv6"):
        edged.wait_plane(via, clients=clients)

    def lines(port):
        return re.findall(rf"flow: (\S+): (\S+):{port} to (\S+) \((\S+)\) by the (\S+), unique id (\w+)",
                          edged.log_tail(400))
    for source, address in ((CLIENT, FLOATING), (CLIENT6, EDGE_WAN6)):
        for public in (81, 80):
            with contextlib.closing(connect(net.internet, source, address, public)) as sock:
                sock.sendall(b"first")
                name, port = tlvs_of(sock)[UNIQUE_ID].decode(), sock.getsockname()[1]
                shown = [c["node"] for c in edged.get("/v1/connections") if c["client"].endswith(f":{port}")]
                if public == 81:
                    silent = port
        until(lambda: lines(port), 20, "the line")
        end = f"[{source}]" if ":" in source else source
        plane = "kernel" if via == "kernel" else "forwarder"
        # The forwarder reaches a node of either family for any client: which one it took, the listing knows.
        (node,) = shown
        assert lines(port) == [("web", end, node, DUAL[node]["address"], plane, name)]
        assert via == "proxy" or node == ("k8s-1-six" if ":" in source else "k8s-1")
        assert not lines(silent)
