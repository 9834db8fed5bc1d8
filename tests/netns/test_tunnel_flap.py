"""Peers that move, die and flap: where a roamed peer is called, and what pools make of a tunnel that comes and goes."""
import pytest

from harness import (CLIENT, FAR_NODE, FAR_NODE_KEY, FAST_HEALTH, FLOATING, NODES, REFUSED, attempt, config, fetch, forward, ip,
                     join_tunnel, readers, until, wg_show)
from harness.wireguard import public_key
from test_kill import a_moment

KEY = public_key(FAR_NODE_KEY)
BOTH = ["k8s-1", FAR_NODE[0]]


def site_config(health, **peer):
    return config(
        nodes={"k8s-1": {"address": NODES["k8s-1"][0]}, FAR_NODE[0]: {"address": FAR_NODE[1], "tunnel": "wg0"}},
        pools={"checked": {"nodes": BOTH, "health": health},
               "unchecked": {"nodes": [FAR_NODE[0]], "health": {"check": "none"}}},
        forwards={"web": forward(80, 30080, "v2", pool="checked"), "raw": forward(82, 30099, pool="unchecked")},
        wireguard={"wg0": {"listen": 51820, "address": "198.18.88.1/24", "peers": {
            FAR_NODE[0]: {"public_key": KEY, "allowed_ips": [f"{FAR_NODE[1]}/32"], **peer}}}})


@pytest.fixture
def begin(net, start):
    def begin_with(health, **peer):
        edged = start(site_config(health, **peer))
        node = net.nodes[FAR_NODE[0]].space
        ip("-n", node.name, "address", "del", f"{FAR_NODE[1]}/32", "dev", "lo", check=False)
        peer = join_tunnel(node, edged.folder, wg_show(edged.space, edged.wireguard_folder)["public_key"])
        until(lambda: edged.show("show", "tunnels")[0]["peers"][0]["up"], 20)
        edged.wait_backends("web", 2)
        return edged, peer
    return begin_with


def called_at(edged):
    return wg_show(edged.space, edged.wireguard_folder)["peers"][KEY]["endpoint"]


def test_a_peer_that_roamed_keeps_its_address_until_it_is_dead(net, begin):
    edged, peer = begin(FAST_HEALTH, endpoint="198.51.101.13:51820", keepalive="1s")
    node = peer.space
    assert called_at(edged) == "198.51.101.13:51820"
    ip("-n", node.name, batch=["address del 198.51.101.13/24 dev eth0",
                               "address add 198.51.101.14/24 dev eth0", "route replace default via 198.51.101.1"])
    # The node's wireguard-go goes on sending from the address that is gone, which fails, and by chance for minutes.
    peer.run("wg", "set", "wg0", "peer", wg_show(edged.space, edged.wireguard_folder)["public_key"], "endpoint",
             f"{FLOATING}:51820")
    until(lambda: called_at(edged) == "198.51.101.14:51820", 20, "edged's end to follow")
    # Neither an apply, nor a repair, nor another main calls it where it is not.
    edged.apply(edged.read().replace("keepalive: 1s", "keepalive: 2s"))
    assert called_at(edged) == "198.51.101.14:51820"
    ip("-n", edged.space.name, "address", "del", "198.18.88.1/24", "dev", "wg0")
    until(lambda: "198.18.88.1" in ip("-n", edged.space.name, "address", "show", "wg0"), 15)
    assert called_at(edged) == "198.51.101.14:51820"
    starts = edged.supervisor()["starts"]
    edged.kill("main")
    until(lambda: edged.supervisor()["starts"] > starts and edged.answers(), 15)
    assert edged.post("/v1/plan")["steps"] == [] and called_at(edged) == "198.51.101.14:51820"
    until(lambda: edged.show("show", "tunnels")[0]["peers"][0]["up"], 20)

    # It dies. The pool with a check notices in the check's own time, the one without has the tunnel's word for it.
    ip("-n", node.name, "link", "set", "eth0", "down")
    edged.wait_backends("web", 1, seconds=10)
    assert edged.show("show", "tunnels")[0]["peers"][0]["up"], "long before the tunnel itself is taken for dead"
    assert {fetch(net.internet, CLIENT, FLOATING, 80).node for _ in range(4)} == {"k8s-1"}
    until(lambda: called_at(edged) == "198.51.101.13:51820", 60, "the dead peer to be looked for where the file says")
    peer = edged.show("show", "tunnels")[0]["peers"][0]
    assert not peer["up"] and peer["failed"] == "receive"
    edged.wait_backends("raw", 0)
    assert attempt(net.internet, CLIENT, FLOATING, 82) == REFUSED


def test_a_flapping_tunnel_does_not_make_pools_flap(net, begin):
    edged, _ = begin({"check": "tcp", "interval": "1s", "timeout": "900ms", "rise": 1, "fall": 4})
    drop = "table inet flap { chain forward { type filter hook forward priority 0; udp dport 51820 drop; }; }\n"
    with readers.nft_events(net.edge, net.folder) as events:
        for _ in range(10):
            net.router.nft(drop)
            net.internet.nft(drop)
            a_moment(0.3)
            net.router.nft("delete table inet flap\n")
            net.internet.nft("delete table inet flap\n")
            a_moment(0.9)
        assert edged.show("show", "tunnels")[0]["peers"][0]["up"]
    assert events == [], "no backend came or went"
    # The control: when it stays away, the pool says so.
    net.router.nft(drop)
    net.internet.nft(drop)
    edged.wait_backends("web", 1)
