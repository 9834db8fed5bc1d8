"""Tunnels, end to end: edged on one side, stock wg-quick on the other, with wg and ip as independent readers."""
import base64
import json
import os
import signal
import socket
import time

import pytest

from harness import (CLIENT, FAR_NODE, FAR_NODE_KEY, FAST_HEALTH, FLOATING, WireguardPeer, config, connect, fetch, forward,
                     ip, join_tunnel, until, wg_show)
from harness.wireguard import new_key, public_key

EXAMPLE_PEER = public_key(FAR_NODE_KEY)


def edge_wg(edged, device="wg0"):
    return wg_show(edged.space, edged.wireguard_folder, device)


def join(net, edged, **options):
    node = net.nodes[FAR_NODE[0]].space
    ip("-n", node.name, "address", "del", f"{FAR_NODE[1]}/32", "dev", "lo", check=False)
    return join_tunnel(node, edged.folder, edge_wg(edged)["public_key"], **options)


def addresses(edged, device="wg0"):
    found = json.loads(ip("-n", edged.space.name, "-json", "address", "show", "dev", device, check=False) or "[]")
    return sorted(f"{a['local']}/{a['prefixlen']}" for link in found if link for a in link["addr_info"]
                  if a["scope"] == "global")


def routes(edged, device="wg0"):
    text = "".join(ip("-n", edged.space.name, family, "-json", "route", "show", "dev", device, "proto", "237", check=False)
                   or "[]" for family in ("-4", "-6"))
    return sorted(route["dst"] for part in text.replace("][", "]\n[").splitlines() for route in json.loads(part))


def planned(edged):
    return edged.post("/v1/plan")["steps"]


def backends(edged):
    """pids of the wireguard-go processes in the edge's namespace."""
    found = []
    for pid in edged.space.pids():
        with open(f"/proc/{pid}/comm") as file:
            if file.read().strip() == "wireguard-go":
                found.append(pid)
    return found


def everybody_answers(net):
    seen = [fetch(net.internet, CLIENT, FLOATING, 443, tls=True) for _ in range(9)]
    assert {answer.node for answer in seen} == {"k8s-1", "k8s-2", "k8s-3"}
    assert {answer.client for answer in seen} == {CLIENT}, "the header says who the client was"


def test_the_node_of_the_example_is_reached_through_its_tunnel(net, start):
    edged = start()
    join(net, edged)
    edged.wait_backends("https", 3)
    everybody_answers(net)
    edged.apply(edged.read().replace("via: auto", "via: proxy"))
    assert [item["plane"] for item in edged.get("/v1/forwards") if item["name"] == "https"] == ["proxy"]
    everybody_answers(net)
    assert planned(edged) == [], "what is there is what is asked for"
    assert addresses(edged) == ["198.18.88.1/24"]
    tunnel = edged.show("show", "tunnels")[0]
    assert tunnel["active"] and tunnel["public_key"] == edge_wg(edged)["public_key"]
    assert tunnel["backend"] == edged.get("/v1/status")["tunnels"]["backend"]
    peer = tunnel["peers"][0]
    assert peer["handshake_age_seconds"] < 60 and peer["received"] > 0 and peer["endpoint_now"] == "198.51.101.13:51820"


WIDE = """
version: 1
interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }
wireguard:
  wg0:
    listen: 51820
    address: [198.18.88.1/24, "2001:db8:88::1/64"]
    mtu: 1400
    peers:
      one:
        public_key: %(one)s
        allowed_ips: [198.18.88.13/32, "2001:db8:88::13", 198.18.100.0/24, "2001:db8:100::/64"]
        endpoint: 198.51.101.13:51820
        keepalive: 25s
        preshared_key: true
      two: { public_key: %(two)s, allowed_ips: [198.18.101.0/24], endpoint: "[2001:db8:51::13]:51821" }
"""
KEYS = {"one": "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=", "two": "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="}


@pytest.fixture
def wide(site):
    return site.edged(site.network(nodes=False), WIDE % KEYS).start()


def test_what_is_configured_is_what_wg_and_ip_show(wide):
    device = edge_wg(wide)
    assert device["listen"] == 51820 and set(device["peers"]) == set(KEYS.values())
    one, two = (device["peers"][KEYS[name]] for name in ("one", "two"))
    assert one["allowed_ips"] == sorted(["198.18.88.13/32", "2001:db8:88::13/128", "198.18.100.0/24", "2001:db8:100::/64"])
    assert (one["endpoint"], one["keepalive"]) == ("198.51.101.13:51820", "25")
    assert one["preshared_key"] != "(none)" and two["preshared_key"] == "(none)"
    assert (two["endpoint"], two["keepalive"]) == ("[2001:db8:51::13]:51821", "off")
    assert addresses(wide) == ["198.18.88.1/24", "2001:db8:88::1/64"]
    assert routes(wide) == ["198.18.100.0/24", "198.18.101.0/24", "2001:db8:100::/64"]
    assert json.loads(ip("-n", wide.space.name, "-json", "link", "show", "wg0"))[0]["mtu"] == 1400
    assert planned(wide) == []
    backend = wide.get("/v1/status")["tunnels"]["backend"]
    assert (backend == "userspace") == bool(backends(wide)), "status names the backend that is there"
    assert backend == "kernel" or not os.environ.get("EDGED_VM_GUEST"), "Debian's kernels have WireGuard"
    assert not wide.apply()["changed"], "a second apply writes nothing"


def test_what_is_removed_is_really_removed(wide):
    text = wide.read().replace("        keepalive: 25s\n        preshared_key: true\n", "")
    wide.apply("\n".join(line for line in text.splitlines() if "two:" not in line) + "\n")
    device = edge_wg(wide)
    assert list(device["peers"]) == [KEYS["one"]]
    one = device["peers"][KEYS["one"]]
    assert (one["keepalive"], one["preshared_key"]) == ("off", "(none)")
    assert routes(wide) == ["198.18.100.0/24", "2001:db8:100::/64"]
    before = device["public_key"]
    wide.apply("version: 1\ninterfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }\n")
    assert edge_wg(wide) is None and not backends(wide), "a tunnel that is no longer configured is gone"
    wide.apply(WIDE % KEYS)
    assert edge_wg(wide)["public_key"] == before, "the key outlives the device"


FOREIGN = {
    "the private key": lambda e: wg(e, "set", "wg0", "private-key", write_key(e, new_key())),
    "a peer removed": lambda e: wg(e, "set", "wg0", "peer", KEYS["two"], "remove"),
    "a peer added": lambda e: wg(e, "set", "wg0", "peer", public_key(new_key()), "allowed-ips", "198.18.102.0/24"),
    "allowed IPs": lambda e: wg(e, "set", "wg0", "peer", KEYS["two"], "allowed-ips", "198.18.103.0/24"),
    "a preshared key": lambda e: wg(e, "set", "wg0", "peer", KEYS["one"], "preshared-key", write_key(e, new_key("genpsk"))),
    "the port": lambda e: wg(e, "set", "wg0", "listen-port", "51899"),
    "an address": lambda e: ip("-n", e.space.name, "address", "del", "198.18.88.1/24", "dev", "wg0"),
    "another address": lambda e: ip("-n", e.space.name, "address", "add", "198.18.89.1/24", "dev", "wg0"),
    "a route": lambda e: ip("-n", e.space.name, "route", "del", "198.18.101.0/24"),
    "down": lambda e: ip("-n", e.space.name, "link", "set", "wg0", "down"),
    "the MTU": lambda e: ip("-n", e.space.name, "link", "set", "wg0", "mtu", "1300"),
    "the device": lambda e: ip("-n", e.space.name, "link", "del", "wg0"),
}


def wg(edged, *arguments):
    edged.space.run("sh", "-c", 'mount --bind "$0" /run/wireguard && exec wg "$@"', edged.wireguard_folder, *arguments)


def write_key(edged, key):
    path = os.path.join(edged.folder, "foreign.key")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(key + "\n")
    return path


def view(edged):
    device = edge_wg(edged)
    for peer in device["peers"].values() if device else []:
        for what in ("handshake", "received", "sent"):
            del peer[what]
    return (device, addresses(edged), routes(edged),
            [(link["mtu"], "UP" in link["flags"]) for link in
             json.loads(ip("-n", edged.space.name, "-json", "link", "show", "wg0", check=False) or "[]")])


def repairs_told(edged):
    with open(edged.log, encoding="utf-8", errors="replace") as log:
        return log.read().count("tunnels were in the kernel not as configured (another program's change")


def test_foreign_changes_are_repaired(wide):
    before = view(wide)
    for name, change in FOREIGN.items():
        told = repairs_told(wide)
        change(wide)
        until(lambda: view(wide) == before, 15, f"repair of: {name}")
        until(lambda: repairs_told(wide) > told, 5, f"it to be told of: {name}")
    until(lambda: planned(wide) == [], 5)


def test_a_restart_adopts_and_a_killed_backend_is_started_again(net, start):
    edged = start()
    peer = join(net, edged)
    edged.wait_backends("https", 3)
    before, processes = edge_wg(edged), backends(edged)
    starts = edged.supervisor()["starts"]
    edged.kill("main")
    until(lambda: edged.supervisor()["starts"] > starts and edged.answers(), 15, "another main")
    assert planned(edged) == [] and backends(edged) == processes
    assert edge_wg(edged)["peers"][EXAMPLE_PEER]["handshake"] >= before["peers"][EXAMPLE_PEER]["handshake"] > 0
    for pid in processes:
        os.kill(pid, 9)
        until(lambda: edge_wg(edged) and edge_wg(edged)["public_key"] == before["public_key"] and not planned(edged), 15,
              "a new wireguard-go with the same configuration")
    until(lambda: edge_wg(edged)["peers"][EXAMPLE_PEER]["handshake"] > 0, 20, "the peer to come back by itself")
    assert peer.show()["peers"][before["public_key"]]["received"] > 0
    edged.wait_backends("https", 3, seconds=30)
    until(lambda: everybody_answers(net) is None, 20, "forwards to go on through the device that was made anew")


def test_a_backend_that_hangs_is_replaced_and_holds_up_nobody(wide):
    if not backends(wide):
        pytest.skip("the kernel's WireGuard does not hang")
    before, (pid,) = view(wide), backends(wide)
    os.kill(pid, signal.SIGSTOP)
    until(lambda: backends(wide) not in ([pid], []), 20, "another process")
    until(lambda: view(wide) == before and not planned(wide), 10)


def test_what_cannot_be_had_fails_the_apply_and_names_the_line(wide):
    before = wide.get("/v1/status")["revision"]
    ip("-n", wide.space.name, "link", "add", "wg1", "type", "veth", "peer", "name", "other")
    text = wide.read() + "  wg1: { listen: 51821, address: 198.18.90.1/24 }\n"
    with pytest.raises(AssertionError) as refused:
        wide.apply(text)
    assert "wg1" in str(refused.value) and f"edged.yaml:{text.count(chr(10))}" in str(refused.value)
    assert wide.get("/v1/status")["revision"] == before
    assert edge_wg(wide)["listen"] == 51820 and wide.get("/v1/status")["kernel"]["in_sync"]
    ip("-n", wide.space.name, "link", "del", "wg1")
    wide.apply(text)
    assert edge_wg(wide, "wg1")["listen"] == 51821


def contains(path, needles):
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return False
    return any(needle in text for needle in needles)


def test_keys_are_made_where_nobody_else_can_read_them(wide):
    folder = os.path.join(wide.state_dir, "keys")
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert {"one@wg0.psk", "wg0.key"} <= set(os.listdir(folder))
    for name in os.listdir(folder):
        assert os.stat(os.path.join(folder, name)).st_mode & 0o777 == 0o600
    with open(os.path.join(folder, "wg0.key")) as file:
        assert file.read().strip() == edge_wg(wide)["private_key"]


def test_what_export_hands_out_is_all_a_peer_needs(net, start):
    edged = start()
    text = edged.read().replace("        keepalive: 25s\n", "        keepalive: 25s\n        preshared_key: true\n")
    edged.apply(text)
    options = ("peer", "export", "k8s-3", "--state-dir", edged.state_dir)
    assert "PrivateKey = (the private key that the peer has made" in edged.ctl(*options).stdout
    assert "without a private key is of no use" in edged.ctl(*options, "--qr", check=False).stderr
    exported = edged.ctl(*options, "--new-key").stdout
    private = next(line.split(" = ")[1] for line in exported.splitlines() if line.startswith("PrivateKey"))
    assert public_key(private) in edged.read() and public_key(private) in edge_wg(edged)["peers"]
    node = net.nodes[FAR_NODE[0]].space
    ip("-n", node.name, "address", "del", f"{FAR_NODE[1]}/32", "dev", "lo", check=False)
    WireguardPeer(node, edged.folder, exported).up()
    edged.wait_backends("https", 3, seconds=30)
    for root, _, names in os.walk(edged.folder):
        for name in names:
            path = os.path.join(root, name)
            assert "wireguard-" in root or not contains(path, [private.encode()]), path
    units = edged.ctl(*options, "--format", "networkd").stdout
    netdev, network = units.split("# /etc/systemd/network/50-wg0.network")
    assert "Kind=wireguard\n" in netdev and f"Address={FAR_NODE[1]}/32\n" in network
    picture = edged.ctl(*options, "--new-key", "--qr").stdout
    assert len(picture.splitlines()) > 20 and "\u2588" in picture
    edged.write(edged.read() + "# edited, not applied\n")
    assert "PublicKey = " in edged.ctl(*options).stdout, "what changes nothing does not mind"
    assert "edited and not applied yet" in edged.ctl(*options, "--new-key", check=False).stderr


def test_a_forward_by_the_kernel_reaches_the_node_with_segments_that_fit(net, start):
    edged = start(config(
        nodes={"k8s-1": {"address": "192.0.2.11"}, FAR_NODE[0]: {"address": FAR_NODE[1], "tunnel": "wg0"}},
        pools={"near": {"nodes": ["k8s-1"], "health": FAST_HEALTH}, "far": {"nodes": [FAR_NODE[0]], "health": FAST_HEALTH}},
        forwards={"near": forward(81, 30099, pool="near"), "far": forward(82, 30099, pool="far")},
        wireguard={"wg0": {"listen": 51820, "address": "198.18.88.1/24", "peers": {
            FAR_NODE[0]: {"public_key": EXAMPLE_PEER, "allowed_ips": [f"{FAR_NODE[1]}/32"]}}}}))
    join(net, edged)
    edged.wait_forwards_up("near", "far")
    planes = {item["name"]: item["plane"] for item in edged.get("/v1/forwards")}
    assert planes == {"near": "kernel", "far": "kernel"}
    segments = {}
    for port in (81, 82):
        with connect(net.internet, CLIENT, FLOATING, port) as sock:
            sock.sendall(b"hello\n")
            assert sock.recv(100)
            segments[port] = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    assert segments[82] <= 1420 - 40 < segments[81], "clamped in the tunnel, and nowhere else"


def test_many_peers_and_a_quick_first_handshake(net, start):
    edged = start()
    keys = [os.urandom(32) for _ in range(200)]
    peers = "".join(f"      p{i}: {{ public_key: \"{base64.b64encode(key).decode()}\", "
                    f"allowed_ips: [198.18.{120 + i // 250}.{i % 250 + 1}/32] }}\n" for i, key in enumerate(keys))
    edged.apply(edged.read().replace("    peers:\n", "    peers:\n" + peers))
    assert len(edge_wg(edged)["peers"]) == 201 and len(routes(edged)) == 200
    assert planned(edged) == []
    began = time.time()
    join(net, edged)
    until(lambda: edge_wg(edged)["peers"][EXAMPLE_PEER]["handshake"] >= int(began), 10, "the first handshake")


def test_a_key_whose_file_is_gone_is_made_anew_and_one_that_others_may_read_is_refused(wide):
    before = edge_wg(wide)["public_key"]
    path = os.path.join(wide.state_dir, "keys", "wg0.key")

    def restart():
        starts = wide.supervisor()["starts"]
        wide.kill("main")
        until(lambda: wide.supervisor()["starts"] > starts and wide.answers(), 15, "another main")
    os.unlink(path)
    restart()
    until(lambda: edge_wg(wide)["public_key"] != before, 10, "a new key")
    with open(path) as file:
        assert public_key(file.read()) == edge_wg(wide)["public_key"]
    os.chmod(path, 0o640)
    restart()
    assert "key" in until(lambda: wide.get("/v1/status")["tunnels"]["why"], 10, "the reason to be shown")
    os.chmod(path, 0o600)
    restart()
    until(lambda: wide.get("/v1/status")["tunnels"]["why"] is None and not planned(wide), 10)
