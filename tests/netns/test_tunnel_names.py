"""Endpoints by name: looked up by a role without rights, waited for by nobody."""
import json
import os
import shutil
import sys

import pytest

from harness import CLIENT, FAR_NODE, FAR_NODE_KEY, FLOATING, WireguardPeer, config, fetch, ip, until, wg_show
from harness.wireguard import public_key

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "node3.example.net"
EXAMPLE_PEER = public_key(FAR_NODE_KEY)


class Names:
    """What the name server of the internet says."""

    def __init__(self, net, folder):
        self.path = os.path.join(folder, "names.json")
        self.set({})
        net.internet.start(sys.executable, os.path.join(HERE, "harness", "name_server.py"), self.path)
        # `ip netns exec` lays what is in this folder over /etc.
        self.folder = f"/etc/netns/{net.edge.name}"
        os.makedirs(self.folder)
        with open(os.path.join(self.folder, "resolv.conf"), "w") as file:
            file.write("nameserver 203.0.113.53\n")

    def set(self, names):
        with open(self.path + ".new", "w") as file:
            json.dump(names, file)
        os.replace(self.path + ".new", self.path)


@pytest.fixture
def names(net, site):
    held = Names(net, site.folder)
    yield held
    shutil.rmtree(held.folder)


def edge_peer(edged, key=EXAMPLE_PEER):
    return wg_show(edged.space, edged.wireguard_folder)["peers"][key]


def waiting_node(net, edged):
    """The node of the example, which knows no address of the edge: it has to be called."""
    node = net.nodes[FAR_NODE[0]].space
    ip("-n", node.name, "address", "del", f"{FAR_NODE[1]}/32", "dev", "lo", check=False)
    key = wg_show(edged.space, edged.wireguard_folder)["public_key"]
    return WireguardPeer(node, edged.folder, f"[Interface]\nPrivateKey = {FAR_NODE_KEY}\nAddress = {FAR_NODE[1]}/32\n"
                         f"ListenPort = 51820\n[Peer]\nPublicKey = {key}\nAllowedIPs = 198.18.88.0/24\n").up()


def test_a_node_is_called_by_its_name_and_found_again_when_it_moves(net, names, start):
    names.set({NAME: "198.51.101.13"})
    edged = start()
    waiting_node(net, edged)
    until(lambda: edge_peer(edged)["endpoint"] == "198.51.101.13:51820", 15)
    edged.wait_backends("https", 3)
    assert {fetch(net.internet, CLIENT, FLOATING, 443, tls=True).node for _ in range(9)} == {"k8s-1", "k8s-2", "k8s-3"}
    roles = {role: pid for pid, role in edged.roles().items()}
    with open(f"/proc/{roles['watch']}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    assert int(fields["CapEff"], 16) == 0 and fields["Uid"].split()[0] != "0"

    # It moves without a word; when it is dead, its name is asked again.
    node = net.nodes[FAR_NODE[0]].space
    ip("-n", node.name, "address", "del", "198.51.101.13/24", "dev", "eth0")
    ip("-n", node.name, "address", "add", "198.51.101.14/24", "dev", "eth0")
    ip("-n", node.name, "route", "replace", "default", "via", "198.51.101.1")
    names.set({NAME: "198.51.101.14"})
    until(lambda: edge_peer(edged)["endpoint"] == "198.51.101.14:51820", 60, "the new address to be used")
    edged.wait_backends("https", 3, seconds=30)


TWO_NAMED = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
TWO = config(nodes=None, pools=None, wireguard={"wg0": {"listen": 51820, "address": "198.18.88.1/24", "peers": {
    "named": {"public_key": TWO_NAMED, "allowed_ips": ["198.18.88.14/32"],
              "endpoint": f"{NAME}:51820"},
    FAR_NODE[0]: {"public_key": EXAMPLE_PEER, "allowed_ips": [f"{FAR_NODE[1]}/32"], "endpoint": "198.51.101.13:51820"}}}})


def test_a_silent_name_server_delays_nothing(net, names, start):
    names.set({"silent": True})
    edged = start(TWO)
    waiting_node(net, edged)

    def peers():
        return {peer["name"]: peer for peer in edged.show("show", "tunnels")[0]["peers"]}
    # It has to be called: what its neighbour waits for keeps edged from nothing.
    until(lambda: peers()[FAR_NODE[0]]["up"], 20, "the other peer to be up")
    until(lambda: "endpoint: no name server gives an answer" in peers()["named"]["why"], 30, "the reason to be shown")
    text = edged.read().replace("address: 198.18.88.1/24\n", "address: 198.18.88.1/24\n    mtu: 1380\n")
    assert text != edged.read()
    edged.write(text)
    # One question to that name server takes four seconds.
    edged.post("/v1/apply", {}, timeout=3)
    edged.get("/v1/status", timeout=3)
    assert peers()[FAR_NODE[0]]["up"] and not peers()["named"]["up"]
    names.set({NAME: "198.51.101.14"})
    until(lambda: edge_peer(edged, TWO_NAMED)["endpoint"] == "198.51.101.14:51820", 60, "it to be found when it has an answer")


def test_a_name_cannot_lead_into_this_machine_or_the_tunnel(net, names, start):
    names.set({NAME: "127.0.0.1"})
    edged = start()
    waiting_node(net, edged)
    for address, reason in (("127.0.0.1", "no other machine's"), ("198.18.88.77", "inside the tunnel")):
        names.set({NAME: address})
        until(lambda: reason in edged.show("show", "tunnels")[0]["peers"][0]["why"], 30, f"{address} to be refused")
        assert edge_peer(edged)["endpoint"] == "(none)"
    names.set({NAME: "198.51.101.13"})
    until(lambda: edge_peer(edged)["endpoint"] == "198.51.101.13:51820", 40)


def test_a_name_that_comes_later_is_used(net, names, start):
    edged = start()
    waiting_node(net, edged)
    assert edge_peer(edged)["endpoint"] == "(none)"
    names.set({NAME: "198.51.101.13"})
    until(lambda: edge_peer(edged)["endpoint"] == "198.51.101.13:51820", 40)
    until(lambda: edged.show("show", "tunnels")[0]["peers"][0]["up"], 20)
