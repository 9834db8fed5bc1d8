"""Tunnels of edged beside those that stock wg-quick makes with the same settings, on the same cores: alone, and with the
least of a firewall that keeps states, since edged has its whole one.

Each has a network of its own: two namespaces, an edge and a node, with a veth between them; the node's end is wg-quick's
in all. In each round each row is measured with one after the other, in random order. Which WireGuard it is depends on the
machine: the kernel's where it has one (`make bench-tunnels` boots Debian's kernel for that), else wireguard-go. The CPU is
that of both ends' wireguard-go, or, where the kernel does the work, of the whole machine. Shown are medians, and the median
of the rounds' paired ratios with a 95% bootstrap interval: above 1 means that edged is ahead. Then what an apply takes,
from outside, `edgectl` included.
"""
import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "netns")]
sys.dont_write_bytecode = True

import forwarder as bench  # noqa: E402
from harness import Edged, WireguardPeer, config, ip, rule, until, wg_show  # noqa: E402
from harness.edged import BUILD  # noqa: E402
from harness.namespace import Namespace  # noqa: E402
from harness.wireguard import new_key, public_key  # noqa: E402
from planes import cpu_of_the_machine  # noqa: E402

EDGE, NODE, EDGE_IN, NODE_IN, PORT = "192.0.2.1", "192.0.2.2", "198.18.88.1", "198.18.88.13", 9001
PEERS = 200
BARE = {"interfaces": {"wan": "wan", "lan": {"device": "lan", "networks": ["198.18.100.0/24"]}}, "nodes": None, "pools": None,
        "floating_ips": None}
ROWS = {  # row: (what it is, unit, bigger is better)
    "up1": ("edge to node, 1 stream", "MiB/s", True),
    "cpu_up1": ("  CPU seconds for 1 GiB", "s", False),
    "down1": ("node to edge, 1 stream", "MiB/s", True),
    "cpu_down1": ("  CPU seconds for 1 GiB", "s", False),
    "rtt": ("round trip, 64 bytes, median", "us", False),
}
MEASURED = ["up1", "down1", "rtt"]


def settings(key, peers=None, **more):
    """edged's side. The same as in Stock, and nothing is asked of the rules but to let the node's echo requests in."""
    node = {"public_key": key, "allowed_ips": [f"{NODE_IN}/32"], "endpoint": f"{NODE}:51820", "keepalive": "25s", **more}
    node = {name: value for name, value in node.items() if value}
    return config(**BARE, rules=[rule("ping", **{"from": "wg0", "to": "self", "protocol": "icmp", "action": "accept"})],
                  wireguard={"wg0": {"listen": 51820, "address": f"{EDGE_IN}/24", "peers": {"node": node, **(peers or {})}}})


class Place:
    """An edge and a node; wg-quick at the node's end."""

    def __init__(self, number):
        name = f"{os.environ.get('EDGED_TEST_PREFIX', 'edgedtest')}-{os.getpid()}-wg{number}"
        self.folder = tempfile.mkdtemp(prefix="edged-bench-")
        os.chmod(self.folder, 0o755)
        self.edge, self.node = Namespace(f"{name}-edge"), Namespace(f"{name}-node")
        ip(batch=[f"link add name wan index 11 netns {self.edge.name} type veth peer name eth0 index 12 "
                  f"netns {self.node.name}",
                  f"link add name lan index 13 netns {self.edge.name} type veth peer name lan2 index 14 "
                  f"netns {self.edge.name}"])
        ip("-n", self.edge.name, batch=[f"address add {EDGE}/24 dev wan", "link set wan up", "link set lan up",
                                        "link set lan2 up", "address add 198.18.100.1/24 dev lan"])
        ip("-n", self.node.name, batch=[f"address add {NODE}/24 dev eth0", "link set eth0 up"])
        self.edge_key, self.node_key = new_key(), new_key()

    def node_up(self, edge_public):
        self.peer = WireguardPeer(self.node, self.folder, f"[Interface]\nPrivateKey = {self.node_key}\nMTU = 1420\n"
                                  f"Address = {NODE_IN}/32\nListenPort = 51820\n[Peer]\nPublicKey = {edge_public}\n"
                                  "AllowedIPs = 198.18.88.0/24\n").up()
        self.node.start(f"{BUILD}/tests/tools/bulk", "serve", PORT, "plain", log=f"{self.folder}/bulk.log")
        until(lambda: self.edge.run("ping", "-c", "1", "-W", "1", NODE_IN, check=False).returncode == 0, 30, "the tunnel")

    def cpu(self):
        ticks = []
        for pid in self.edge.pids() + self.node.pids():
            with open(f"/proc/{pid}/stat") as file:
                name, fields = re.match(r"\d+ \((.*)\) (.*)", file.read()).groups()
            if name == "wireguard-go":
                ticks.append(sum(int(field) for field in fields.split()[11:13]))
        return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else cpu_of_the_machine()

    def stream(self, row, seconds, results):
        before = self.cpu()
        out = self.edge.run(f"{BUILD}/tests/tools/bulk", row[:-1], NODE_IN, PORT, row[-1], seconds, timeout=seconds + 60).stdout
        results[row] = float(out) / (1 << 20)
        results[f"cpu_{row}"] = (self.cpu() - before) / (results[row] * seconds / 1024)

    def measure(self, row, seconds, results):
        if row != "rtt":
            return self.stream(row, seconds, results)
        out = self.edge.run("ping", "-n", "-c", "200", "-i", "0.003", NODE_IN).stdout
        results[row] = statistics.median(float(found) for found in re.findall(r"time=([\d.]+) ms", out)) * 1000

    def remove(self):
        for space in (self.edge, self.node):
            space.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


class Stock(Place):
    name = "wg-quick"

    def __init__(self, number):
        super().__init__(number)
        peer = WireguardPeer(self.edge, self.folder, f"[Interface]\nPrivateKey = {self.edge_key}\nMTU = 1420\n"
                      f"Address = {EDGE_IN}/24\nListenPort = 51820\n[Peer]\nPublicKey = {public_key(self.node_key)}\n"
                      f"AllowedIPs = {NODE_IN}/32\nEndpoint = {NODE}:51820\nPersistentKeepalive = 25\n")
        # A session of its own, as edged's has: the scheduler may give shares to sessions (sched_autogroup_enabled).
        log = os.path.join(self.folder, "wg-quick.log")
        peer.run("sh", "-c", 'exec >"$0" 2>&1 </dev/null; exec setsid --wait wg-quick up "$1"', log, peer.config)
        self.node_up(public_key(self.edge_key))


class Guarded(Stock):
    """Stock, and the least of a firewall with states that one would put before it by hand."""
    name = "wg-quick, nft"
    rules = ("\tchain in {\n\t\ttype filter hook input priority 0; policy drop;\n"
             "\t\tct state established,related accept\n\t\tiif lo accept\n\t\tudp dport 51820 accept\n"
             "\t\ticmp type echo-request accept\n\t}\n")

    def __init__(self, number):
        super().__init__(number)
        self.edge.nft(f"table inet guard {{\n{self.rules}}}\n")


class Ours(Place):
    name = "edged"

    def __init__(self, number, text=None):
        super().__init__(number)
        self.edged = Edged(self.edge, os.path.join(self.folder, "edged"),
                           text or settings(public_key(self.node_key)), supervised=False).start()
        if not text:
            self.node_up(wg_show(self.edge, self.edged.wireguard_folder)["public_key"])

    def remove(self):
        self.edged.stop()
        super().remove()


def run(options):
    places, rounds = [], []
    try:
        for number, kind in enumerate((Ours, Stock, Guarded)):
            places.append(kind(number))
        backend = places[0].edged.get("/v1/status")["tunnels"]["backend"]
        for number in range(options.rounds):
            results = {place.name: {} for place in places}
            for row in MEASURED:
                for place in random.sample(places, len(places)):
                    place.measure(row, options.seconds, results[place.name])
            rounds.append(results)
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    finally:
        for place in places:
            place.remove()
    return rounds, backend


def table(rounds):
    others = [Stock.name, Guarded.name]
    lines = ["| | unit | edged | " + " | ".join(others) + " | " + " | ".join(f"edged against {name}" for name in others) + " |",
             "|---|---|---:|" + "---:|" * len(others) + "---|" * len(others)]
    for row, (what, unit, bigger) in ROWS.items():
        medians = [statistics.median(one[name][row] for one in rounds) for name in (Ours.name, *others)]
        cells = [f"{value:,.0f}" if value >= 100 else f"{value:.2f}" for value in medians]
        for name in others:
            pairs = [(one[Ours.name][row], one[name][row]) for one in rounds]
            found = [(a / b if bigger else b / a) for a, b in pairs]
            low, high = bench.interval(found)
            cells.append(f"{statistics.median(found):.2f} ({low:.2f} to {high:.2f})")
        lines.append(f"| {what} | {unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def timed(action):
    begun = time.monotonic()
    action()
    return (time.monotonic() - begun) * 1000


def applied(edged, text):
    edged.write(text)
    return timed(lambda: edged.ctl("apply"))


def many_peers(count):
    keys = subprocess.run(["sh", "-c", f"for i in $(seq {count}); do wg genkey | wg pubkey; done"], capture_output=True,
                          text=True, check=True).stdout.split()
    return {f"p{i}": {"public_key": key, "allowed_ips": [f"198.18.{120 + i // 250}.{i % 250 + 1}/32"]}
            for i, key in enumerate(keys)}


def handshake(place):
    """Of edged's apply of the node's tunnel: until `wg` shows the first handshake. The node waits to be called."""
    key = public_key(place.node_key)

    def shaken(since):
        device = wg_show(place.edge, place.edged.wireguard_folder)
        return device and device["peers"][key]["handshake"] >= since

    def once(more):
        applied(place.edged, config(**BARE))
        since, begun = int(time.time()), time.monotonic()
        applied(place.edged, settings(key, **more))
        until(lambda: shaken(since), 30, "the first handshake", every=0.005)
        return (time.monotonic() - begun) * 1000
    return once


def silent_names(place):
    """A name server that takes every question and answers none."""
    place.node.nft("table inet silent { chain in { type filter hook input priority 0; udp dport 53 drop; }; }")
    folder = f"/etc/netns/{place.edge.name}"
    os.makedirs(folder)
    with open(os.path.join(folder, "resolv.conf"), "w") as file:
        file.write(f"nameserver {NODE}\n")
    return folder


def applies(options):
    """Rows of (what, milliseconds, ...)."""
    place, netns = Ours(7), None
    try:
        key, many, names = public_key(place.node_key), many_peers(PEERS), {
            f"n{i}": {"public_key": public_key(new_key()), "allowed_ips": [f"198.18.119.{i + 1}/32"],
                      "endpoint": f"node{i}.example.net:51820"} for i in range(20)}
        once = handshake(place)
        times = {what: [] for what in ("all", "one", "plain", "named", "first", "first_no_keepalive", "first_beside")}
        for _ in range(options.rounds):
            applied(place.edged, settings(key))
            times["all"].append(applied(place.edged, settings(key, many)))
            assert len(wg_show(place.edge, place.edged.wireguard_folder)["peers"]) == PEERS + 1
            changed = dict(many, p7=dict(many["p7"], keepalive="20s"))
            times["one"].append(applied(place.edged, settings(key, changed)))
            times["first"].append(once({}))
            times["first_no_keepalive"].append(once({"keepalive": None}))
            times["plain"].append(applied(place.edged, settings(key, mtu_of(names, False))))
        place.edged.stop()
        netns = silent_names(place)
        place.edged.start()
        for _ in range(options.rounds):
            applied(place.edged, settings(key))
            times["named"].append(applied(place.edged, settings(key, names)))
            times["first_beside"].append(once({"peers": names}))
    finally:
        place.remove()
        if netns:
            shutil.rmtree(netns)
    return times


def mtu_of(names, named):
    return {name: {key: value for key, value in peer.items() if named or key != "endpoint"} for name, peer in names.items()}


APPLIES = {
    "all": f"{PEERS} peers more, until `edgectl` has the answer", "one": f"one of {PEERS + 1} peers changed",
    "first": "a new tunnel, until `wg` shows its first handshake", "first_no_keepalive": "the same without a keepalive",
    "plain": "20 peers more, without endpoints", "named": "the same with names, and a name server that answers nothing",
    "first_beside": "the first handshake of a peer beside those 20 names",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--only", choices=("throughput", "applies"))
    options = parser.parse_args()
    if options.only != "applies":
        rounds, backend = run(options)
        print(f"{backend} WireGuard, {os.uname().release}, {bench.CORES} cores, {options.rounds} rounds of {options.seconds} s"
              f"\n\n{table(rounds)}\n", flush=True)
    if options.only != "throughput":
        times = applies(options)
        print("| | median | slowest |\n|---|---:|---:|")
        for what, text in APPLIES.items():
            print(f"| {text} | {statistics.median(times[what]):.0f} ms | {max(times[what]):.0f} ms |")


if __name__ == "__main__":
    main()
