"""Health of tunnels: which check fails when a node dies, when large packets vanish on the way; and IPv6 outside."""
from harness import FAR_NODE, FAR_NODE_KEY, WireguardPeer, config, ip, join_tunnel, until, wg_show
from harness.wireguard import public_key

EXAMPLE_PEER = public_key(FAR_NODE_KEY)


def edge_key(edged):
    return wg_show(edged.space, edged.wireguard_folder)["public_key"]


def join(net, edged):
    node = net.nodes[FAR_NODE[0]].space
    ip("-n", node.name, "address", "del", f"{FAR_NODE[1]}/32", "dev", "lo", check=False)
    return join_tunnel(node, edged.folder, edge_key(edged))


def peer(edged):
    return edged.show("show", "tunnels")[0]["peers"][0]


def test_what_fails_is_named(net, start):
    edged = start()
    assert peer(edged)["failed"] in ("handshake", None) and not peer(edged)["up"]
    join(net, edged)
    until(lambda: peer(edged)["up"] and "full-size packets come through" in peer(edged)["why"], 30)
    edged.wait_backends("https", 3)

    # Large packets vanish without a word, as behind a broken firewall.
    net.router.nft("table inet hole {\n\tchain forward {\n\t\ttype filter hook forward priority 0;\n"
                   "\t\tudp dport 51820 meta length > 1350 drop\n\t}\n}\n")
    until(lambda: peer(edged)["failed"] == "path_mtu", 60, "the path MTU to be named")
    assert peer(edged)["up"] and "1420" in peer(edged)["why"]
    assert 'check="path_mtu"} 1' in edged.get("/metrics")
    edged.apply(edged.read().replace("    listen: 51820\n", "    listen: 51820\n    mtu: 1280\n"))
    until(lambda: peer(edged)["failed"] is None, 40, "packets of 1280 bytes to come through")

    # The node is gone; the pools notice in their own time, and the tunnel says why.
    ip("-n", net.nodes[FAR_NODE[0]].space.name, "link", "set", "eth0", "down")
    edged.wait_backends("https", 2)
    until(lambda: peer(edged)["failed"] == "receive" and not peer(edged)["up"], 60)
    assert 'check="receive"} 0' in edged.get("/metrics")
    node = next(node for node in edged.get("/v1/nodes") if node["name"] == FAR_NODE[0])
    assert all(f": tunnel wg0: {peer(edged)['why']}"[:40] in port["why"] for port in node["ports"] if not port["up"]), node
    assert "tunnel wg0" in edged.ctl("status", check=False).stdout


def test_ipv6_outside_and_inside(net, start):
    node = net.nodes[FAR_NODE[0]].space
    ip("-n", net.internet.name, "address", "add", "2001:db8:53::1/64", "dev", "k8s-3", "nodad")
    ip("-n", node.name, "address", "add", "2001:db8:53::13/64", "dev", "eth0", "nodad")
    ip("-n", node.name, "route", "add", "::/0", "via", "2001:db8:53::1")
    ip("-n", net.router.name, "route", "add", "2001:db8:53::/64", "via", "2001:db8:51::2")
    net.internet.sysctl("net.ipv6.conf.all.forwarding", 1)
    edged = start(config(wireguard={"wg0": {"listen": 51820, "address": "2001:db8:88::1/64", "peers": {
        FAR_NODE[0]: {"public_key": EXAMPLE_PEER, "allowed_ips": ["2001:db8:88::13"],
                      "endpoint": "[2001:db8:53::13]:51820", "keepalive": "1s"}}}}))
    WireguardPeer(node, edged.folder, f"[Interface]\nPrivateKey = {FAR_NODE_KEY}\nAddress = 2001:db8:88::13/128\n"
                  f"ListenPort = 51820\n[Peer]\nPublicKey = {edge_key(edged)}\nAllowedIPs = 2001:db8:88::/64\n").up()
    until(lambda: peer(edged)["up"] and "full-size packets come through" in peer(edged)["why"], 40)
    assert peer(edged)["endpoint_now"] == "[2001:db8:53::13]:51820"
