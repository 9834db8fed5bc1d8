"""Limits: what one client may take, what a ban is, and full tables that fail closed."""
import pytest

from harness import (CLIENT, CLIENT6, CLIENT6_OTHER, DROPPED, EDGE_WAN, EDGE_WAN6, FLOATING, NODES, OPEN, OPERATOR,
                     attempt, config, connect, device_mac, flood, forward, leak_counter, readers, until)

OTHER = "198.51.100.78"
DUAL = {"k8s-1": {"address": "192.0.2.11"}, "k8s-1-six": {"address": NODES["k8s-1"][1]}}


@pytest.fixture
def limited(net, start):
    """limited(limits) runs a plain forward on port 80 with these limits, for both families."""
    def run(limits, **more):
        health = {"check": "none"}
        edged = start(config(nodes=DUAL, pools={"web": {"nodes": list(DUAL), "health": health}},
                             forwards={"plain": forward(80, 30099, limits=limits, synproxy="off")}, **more))
        return edged
    return run


def outcomes(net, source, count, address=FLOATING, timeout=0.25):
    return [attempt(net.internet, source, address, 80, timeout) for _ in range(count)]


def test_new_connections_per_source(net, limited):
    limited({"new_per_source": "1/hour burst 4"})
    assert outcomes(net, CLIENT, 6) == [OPEN] * 4 + [DROPPED] * 2
    assert outcomes(net, OTHER, 2) == [OPEN] * 2, "another source has a share of its own"
    assert readers.counter(net.edge, "fwd-plain-limit")[0] >= 2, "what is limited is counted"


def test_ipv6_sources_are_limited_per_64(net, limited):
    limited({"new_per_source": "1/hour burst 4"})
    assert outcomes(net, CLIENT6, 2, EDGE_WAN6) == [OPEN] * 2
    assert outcomes(net, "2001:db8:51::78", 3, EDGE_WAN6) == [OPEN] * 2 + [DROPPED], "the same /64"
    assert outcomes(net, CLIENT6_OTHER, 2, EDGE_WAN6) == [OPEN] * 2, "another /64"


def test_open_connections_per_source(net, limited):
    limited({"open_per_source": 3})
    held = [connect(net.internet, CLIENT, FLOATING, 80) for _ in range(3)]
    assert attempt(net.internet, CLIENT, FLOATING, 80, 0.25) == DROPPED
    assert attempt(net.internet, OTHER, FLOATING, 80) == OPEN
    held.pop().close()
    until(lambda: attempt(net.internet, CLIENT, FLOATING, 80, 0.25) == OPEN, 15, "a closed one to make room")
    for sock in held:
        sock.close()


def test_new_connections_in_total(net, limited):
    limited({"new_total": "1/hour burst 5"})
    results = outcomes(net, CLIENT, 3) + outcomes(net, OTHER, 4)
    assert results == [OPEN] * 5 + [DROPPED] * 2


def test_established_flows_are_not_limited(net, limited):
    limited({"new_per_source": "1/hour burst 1"})
    with connect(net.internet, CLIENT, FLOATING, 80) as flow:
        assert attempt(net.internet, CLIENT, FLOATING, 80, 0.25) == DROPPED
        for _ in range(100):
            flow.sendall(b"x" * 1000)
            flow.recv(4096, 0)


def keep_knocking(net, source):
    """One connection after the other, without waiting for an answer that does not come."""
    return attempt(net.internet, source, FLOATING, 80, 0.05)


def test_who_keeps_exceeding_the_limit_is_banned_for_a_time(net, limited):
    edged = limited({"new_per_source": "20/second burst 3", "ban": "10s"}, management={
        "from": [OPERATOR], "ssh": 22, "reason": "test"})

    def banned():
        for _ in range(20):
            attempt(net.internet, CLIENT, FLOATING, 80, 0.002)
            keep_knocking(net, CLIENT)
        return [ban for ban in edged.get("/v1/bans") if ban["address"] == CLIENT]
    ban = until(banned, 30, "the client to be banned")[0]
    assert ban["by"] == "limit"
    assert attempt(net.internet, CLIENT, FLOATING, 80, 0.25) == DROPPED
    assert attempt(net.internet, OTHER, FLOATING, 80) == OPEN
    until(lambda: attempt(net.internet, CLIENT, FLOATING, 80, 0.25) == OPEN, 30, "the ban to end by itself")


def test_an_operator_is_never_banned(net, limited):
    edged = limited({"new_per_source": "5/second burst 2", "ban": "1h"}, management={
        "from": [OPERATOR], "ssh": 22, "reason": "test"})
    for _ in range(100):
        keep_knocking(net, OPERATOR)
    assert edged.get("/v1/bans") == []


def test_spoofed_syns_ban_nobody(net, limited):
    edged = limited({"new_per_source": "5/second burst 2", "ban": "1h"})
    with flood(net.router, "cloud", device_mac(net.edge, "ens3"), CLIENT, EDGE_WAN, "80", "tcp", count=20000,
               rate=10000) as process:
        until(lambda: process.poll() is not None, 20)
    assert edged.get("/v1/bans") == [], "no handshake was completed"
    until(lambda: attempt(net.internet, CLIENT, FLOATING, 80, 0.25) == OPEN, 15, "the true owner of the address to get in")


@pytest.mark.parametrize("six", [False, True], ids=["ipv4", "ipv6"])
def test_a_full_set_of_sources_does_not_open(net, limited, six):
    """More sources than the set holds: each may have one, and those that do not fit share one bucket."""
    edged = limited({"new_per_source": "1/hour burst 1"})
    room = [limit for limit in edged.get("/v1/limits") if limit["limit"] == "new_per_source"][0]["size"]
    count = room * 2
    node = net.nodes["k8s-1"].space
    match = ("ip6 nexthdr" if six else "ip protocol") + " tcp tcp dport 30099"
    source, target = ("2001:db8:5100::1", EDGE_WAN6) if six else ("198.18.128.0", EDGE_WAN)
    before = readers.counter(net.edge, "fwd-plain-limit")[0]
    with leak_counter(node, "eth0", match) as passed:
        with flood(net.router, "cloud", device_mac(net.edge, "ens3"), source, target, "80", "tcp", count=count,
                   spoof=count, rate=40000) as process:
            until(lambda: process.poll() is not None, 60, "the flood to end")
        assert process.sent == count
        until(lambda: passed() + readers.counter(net.edge, "fwd-plain-limit")[0] - before >= count * 0.98, 5)
        assert room * 0.9 <= passed() <= room + 100, "the set is full, and what does not fit is not let through"
    assert len(readers.set_elements(net.edge, "new6-plain" if six else "new4-plain")) <= room


def test_with_a_full_set_known_sources_keep_their_share_and_others_have_one_bucket(net, limited):
    edged = limited({"new_per_source": "10/second burst 10"})
    assert attempt(net.internet, CLIENT, FLOATING, 80) == OPEN
    room = [limit for limit in edged.get("/v1/limits") if limit["limit"] == "new_per_source"][0]["size"]
    mac = device_mac(net.edge, "ens3")
    with flood(net.router, "cloud", mac, "198.18.128.0", EDGE_WAN, "80", "tcp", count=room, spoof=room,
               rate=60000) as process:
        until(lambda: process.poll() is not None, 60, "the set to be filled")
    assert attempt(net.internet, CLIENT, FLOATING, 80, 0.5) == OPEN, "who was known before is not hurt"
    results = outcomes(net, OTHER, 8)
    assert OPEN in results, "a new one shares the bucket of all that do not fit"
    with leak_counter(net.nodes["k8s-1"].space, "eth0", "ip protocol tcp tcp dport 30099") as passed:
        with flood(net.router, "cloud", mac, "198.19.200.0", EDGE_WAN, "80", "tcp", count=5000, spoof=5000,
                   rate=5000) as process:
            until(lambda: process.poll() is not None, 60)
        assert passed() <= 10 + 10 * 3, "which is of the same rate"


def test_limits_are_shown(net, limited):
    edged = limited({"new_per_source": "1/hour burst 2", "open_per_source": 5, "new_total": "100/second burst 100"})
    outcomes(net, CLIENT, 4)
    shown = {limit["limit"]: limit for limit in edged.show("show", "limits") if limit["forward"] == "plain"
             and limit.get("family") in (4, "ipv4", "4", None)}
    assert {"new_per_source", "open_per_source", "new_total"} <= set(shown)
    assert shown["new_per_source"]["sources"] >= 1
    assert sum(limit["dropped"] for limit in shown.values()) >= 2
    assert shown["new_per_source"]["size"] > 1000
