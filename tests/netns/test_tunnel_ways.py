"""The other end, made from what `peer export` prints and nothing else: stock wg-quick, wireguard-go by hand, and a real
systemd-networkd. Over IPv4, with both families and a preshared key inside; full-size packets must come through."""
import grp
import os
import re
import subprocess

import pytest

from harness import FAR_NODE, WireguardPeer, config, ip, until, wg_show

ADDRESSES = [f"{FAR_NODE[1]}/32", "2001:db8:88::13/128"]
NETWORKD = "/usr/lib/systemd/systemd-networkd"
CONFIG = config(nodes=None, pools=None, wireguard={"wg0": {
    "listen": 51820, "address": ["198.18.88.1/24", "2001:db8:88::1/64"], "mtu": 1380, "peers": {FAR_NODE[0]: {
        "public_key": "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=", "allowed_ips": ADDRESSES, "preshared_key": True}}}})


def wg_quick(node, folder, text):
    WireguardPeer(node, folder, text).up()


def wireguard_go(node, folder, text):
    """What wg-quick would do, with wireguard-go also where the kernel has WireGuard."""
    peer = WireguardPeer(node, folder, text)
    log = os.path.join(folder, "wireguard-go.log")
    node.start("sh", "-c", 'mkdir -p /run/wireguard; mount --bind "$0" /run/wireguard; exec wireguard-go -f wg0', peer.folder,
               log=log)
    until(lambda: wg_show(node, peer.folder), 20, "wireguard-go to answer")
    with open(peer.config + ".stripped", "w") as file:
        file.write(peer.run("wg-quick", "strip", peer.config).stdout)
    peer.run("wg", "setconf", "wg0", peer.config + ".stripped")
    device = [f"link set wg0 mtu {re.search('MTU = (.*)', text)[1]} up"]
    device += [f"address add {a} dev wg0" for a in re.search("Address = (.*)", text)[1].split(", ")]
    device += [f"route add {a} dev wg0" for a in re.search("AllowedIPs = (.*)", text)[1].split(", ")]
    ip("-n", node.name, batch=device)


def networkd(node, folder, text):
    """The two files, as docs/tunnels.md says, for a systemd-networkd of the node's own."""
    units = os.path.join(folder, "networkd")
    os.mkdir(units)
    os.chmod(units, 0o755)
    netdev, network = re.split("(?=# /etc/systemd/network/50-wg0.network)", text)
    for name, part in (("50-wg0.netdev", netdev), ("50-wg0.network", network)):
        with open(os.open(f"{units}/{name}", os.O_WRONLY | os.O_CREAT, 0o640), "w") as file:
            file.write(part)
        os.chown(f"{units}/{name}", 0, grp.getgrnam("systemd-network").gr_gid)
    # A read-only /sys tells it that nobody else (udev) has to see a device first. `ip netns exec` has it alone in these.
    script = """set -e
mkdir -p /etc/systemd/network /run/systemd/netif
mount --bind "$0" /etc/systemd/network
mount -t tmpfs -o mode=755 tmpfs /run/systemd/netif
chown systemd-network:systemd-network /run/systemd/netif
[ ! -d /run/dbus ] || mount -t tmpfs tmpfs /run/dbus
mount -o remount,ro /sys
exec """ + NETWORKD
    node.start("sh", "-c", script, units, log=os.path.join(folder, "networkd.log"))


WAYS = {"wg-quick": wg_quick, "wireguard-go": wireguard_go, "networkd": networkd}


def kernel_has_wireguard(node):
    added = subprocess.run(["ip", "-n", node.name, "link", "add", "wg-try", "type", "wireguard"], capture_output=True,
                           check=False).returncode == 0
    if added:
        ip("-n", node.name, "link", "del", "wg-try")
    return added


@pytest.mark.parametrize("way", WAYS)
def test_what_is_exported_is_all_the_other_end_needs(site, way):
    net = site.network(nodes=False)
    edged = site.edged(net, CONFIG).start()
    node = net.nodes[FAR_NODE[0]].space
    if way == "networkd" and not (os.path.exists(NETWORKD) and kernel_has_wireguard(node)):
        pytest.skip("systemd-networkd needs the kernel's WireGuard (make vm-test has it)")
    ip("-n", node.name, "address", "del", f"{FAR_NODE[1]}/32", "dev", "lo")
    options = ("--format", "networkd") if way == "networkd" else ()
    text = edged.ctl("peer", "export", FAR_NODE[0], "--new-key", "--state-dir", edged.state_dir, *options).stdout
    WAYS[way](node, edged.folder, text)

    def state():
        return edged.show("show", "tunnels")[0]["peers"][0]
    until(lambda: state()["up"] and "full-size packets come through" in state()["why"], 40, "the tunnel to carry full packets")
    device = wg_show(edged.space, edged.wireguard_folder)
    assert [peer["endpoint"].split(":")[0] for peer in device["peers"].values()] == ["198.51.101.13"]
    assert [peer["preshared_key"] == "(none)" for peer in device["peers"].values()] == [False]
    assert "mtu 1380" in ip("-n", node.name, "link", "show", "wg0")
    # The node reaches the edge's own addresses inside, in both families: a port that nobody has opened says nothing, so
    # it is the counter of what came in that tells.
    for family, address in (("-4", "198.18.88.1"), ("-6", "2001:db8:88::1")):
        assert "dev wg0" in ip("-n", node.name, family, "route", "get", address)
        before = state()["received"]
        for _ in range(20):
            node.run("ping", "-c", "1", "-W", "0.05", "-s", "1000", address, check=False)
        until(lambda: state()["received"] >= before + 20 * 1000, 10, f"what was sent to {address} to come in")
