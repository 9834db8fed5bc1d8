"""Random configurations that load: one per seed, using every feature of forwards, rules, blocklists, tunnels and
SNAT, with prefixes and ports that overlap. write_config() puts edged.yaml, blocklists and settings.txt into a folder.

By hand: /usr/bin/python3 tests/netns/random_config.py SEED FOLDER"""

import ipaddress
import json
import pathlib
import random
import re
import sys

LAN4 = "192.0.2.0/24"
LAN6 = "2001:db8:10::/64"
LAN_MORE = "198.18.16.0/20"
OUTSIDE = ["198.51.100.0/24", "203.0.113.128/25", "198.19.0.0/16", "2001:db8:f00::/48", "2001:db8:f01:2::/64"]
FLOATING = ["203.0.113.10", "203.0.113.11", "2001:db8:1::10"]
ELSEWHERE = ["203.0.113.77", "2001:db8:1::77"]  # addresses of others that a forward may listen for
PORTS = [1, 22, 25, 53, 80, 443, 444, 3000, 8000, 8005, 8010, 8443, 30022, 65535]


class Config:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lists = {}
        self.lan = [LAN4]
        if self.chance(70):
            self.lan.append(LAN6)
        if self.chance(30):
            self.lan.append(LAN_MORE)
        self.addresses = [("wan", "203.0.113.2/27"), ("wan", "2001:db8:1::2/64"), ("lan", "192.0.2.1/24")]
        if LAN6 in self.lan:
            self.addresses.append(("lan", "2001:db8:10::1/64"))
        self.floating = [addr for addr in FLOATING if self.chance(60)]
        if self.floating and self.chance(30):  # a cloud that assigns it to the machine instead of mapping it
            addr = self.random.choice(self.floating)
            self.addresses.append(("wan", addr + ("/128" if ":" in addr else "/32")))
        self.tunnels = self.make_tunnels()
        self.nodes = self.make_nodes()
        self.pools = self.make_pools()
        self.blocklists = self.make_blocklists()
        self.forwards = self.make_forwards()
        self.rules = self.make_rules()

    def chance(self, percent):
        return self.random.randrange(100) < percent

    def some(self, items, least=1, most=3):
        items = list(items)
        return self.random.sample(items, min(len(items), self.random.randint(least, most)))

    def prefix(self, within=None, spread=10):
        """A random prefix inside another: often short ones, so that they overlap."""
        within = ipaddress.ip_network(within or self.random.choice(OUTSIDE + self.lan))
        length = min(within.max_prefixlen, within.prefixlen + self.random.choice([0, 1, 2, 3, spread, 128]))
        room = within.num_addresses
        address = within.network_address + self.random.randrange(room)
        return str(ipaddress.ip_network((address, length), strict=False))

    def make_tunnels(self):
        tunnels = {}
        for i in range(self.random.choice([0, 1, 1, 2])):
            peers = {}
            for j in range(self.random.randint(1, 3)):
                allowed = [f"198.18.{88 + i}.{16 + j}/32"]
                if self.chance(40):
                    allowed.append(f"198.18.{100 + 10 * i + j}.0/24")
                key = bytes(self.random.randrange(256) for _ in range(32))
                peers[f"peer{j}"] = {"public_key": b64(key), "allowed_ips": allowed}
            tunnels[f"wg{i}"] = {"listen": 51820 + i, "address": f"198.18.{88 + i}.1/24", "peers": peers}
        return tunnels

    def make_nodes(self):
        nodes = {}
        for i in range(self.random.randint(1, 5)):
            kind = self.random.choice(["lan4", "lan4", "lan6", "tunnel"])
            if kind == "lan6" and LAN6 in self.lan:
                nodes[f"n{i}"] = {"address": f"2001:db8:10::{16 + i:x}"}
            elif kind == "tunnel" and self.tunnels:
                name = self.random.choice(sorted(self.tunnels))
                peer = self.random.choice(sorted(self.tunnels[name]["peers"]))
                address = self.tunnels[name]["peers"][peer]["allowed_ips"][0].split("/")[0]
                if address not in [node["address"] for node in nodes.values()]:
                    nodes[f"n{i}"] = {"address": address, "tunnel": name}
            if f"n{i}" not in nodes:
                nodes[f"n{i}"] = {"address": f"192.0.2.{16 + i}"}
        return nodes

    def make_pools(self):
        pools = {}
        for i in range(self.random.randint(1, 3)):
            pool = {"nodes": self.some(sorted(self.nodes), 1, 4)}
            if self.chance(60):
                pool["balance"] = self.random.choice(["round_robin", "source", "least_connections"])
            if self.chance(70):
                pool["health"] = {"check": "tcp"}
            pools[f"pool{i}"] = pool
        return pools

    def make_blocklists(self):
        blocklists = {}
        for i in range(self.random.choice([0, 1, 2])):
            entries = [self.prefix(spread=16) for _ in range(self.random.randint(1, 12))]
            if self.chance(80):  # else a list that blocks most of the world
                entries = [entry for entry in entries if ipaddress.ip_network(entry).num_addresses < 256] or ["198.51.100.66"]
            self.lists[f"lists/l{i}.txt"] = "".join(f"{entry}\n" for entry in entries)
            blocklists[f"block{i}"] = {"file": f"lists/l{i}.txt", "reason": "test"}
        return blocklists

    def legs(self):
        return ["wan", "lan", *self.tunnels]

    def place(self, to):
        kind = self.random.randrange(10)
        if kind < 2:
            return "any"
        if kind < 5:
            return self.random.choice(self.legs() + (["self", "self"] if to else []))
        if kind == 5 and self.blocklists:
            return self.random.choice(sorted(self.blocklists))
        if to and kind < 8:
            return self.random.choice(self.floating + ["203.0.113.2", "192.0.2.1", "203.0.113.0/24"])
        return self.prefix()

    def places(self, to):
        places = list(dict.fromkeys(self.place(to) for _ in range(self.random.choice([1, 1, 2, 3]))))
        return ["any"] if "any" in places else places

    def ports(self):
        kind = self.random.randrange(4)
        if kind < 2:
            return self.random.choice(PORTS)
        if kind == 2:
            return self.some(PORTS, 2, 5)
        first = self.random.choice(PORTS)
        return f"{first}-{min(65535, first + self.random.randint(1, 3000))}"

    def make_rules(self):
        rules = []
        for i in range(self.random.randint(0, 14)):
            action = self.random.choice(["accept", "accept", "accept", "drop", "reject"])
            rule = {"name": f"r{i}", "from": self.places(False), "to": self.places(True), "action": action, "reason": "test"}
            if not families(rule["from"]) & families(rule["to"]):
                rule["to"] = ["any"]
            if self.chance(80):
                rule["protocol"] = self.random.choice(["tcp", "tcp", "udp", "icmp"])
            if rule.get("protocol") in ("tcp", "udp") and self.chance(60):
                rule["port"] = self.ports()
            if self.chance(20):
                rule["log"] = True
            if action == "accept" and self.chance(20):
                rule["limit"] = "1000000/second burst 1000000"
            rules.append(rule)
        return rules

    def free_ports(self, taken, protocol, address):
        """Ports that no forward of this protocol and address listens on yet."""
        for _ in range(20):
            ports = self.ports()
            numbers = port_numbers(ports)
            key = (protocol, address)
            if not numbers & taken.setdefault(key, set()) and not (protocol == "tcp" and 22 in numbers) \
                    and not (protocol == "udp" and numbers & {51820, 51821}):
                taken[key] |= numbers
                return ports
        return None

    def kernel_can_serve(self, pool, address):
        """The kernel keeps the family and knows no least_connections: elsewhere such a forward is refused."""
        families = {":" in self.nodes[node]["address"] for node in self.pools[pool]["nodes"]}
        return self.pools[pool].get("balance") != "least_connections" and (not address or (":" in address) in families)

    def make_forwards(self):
        forwards, taken = {}, {}
        for i in range(self.random.randint(0, 10)):
            protocol = self.random.choice(["tcp", "tcp", "udp"])
            address = self.random.choice(["", "", *FLOATING, *ELSEWHERE, "203.0.113.2"])
            ports = self.free_ports(taken, protocol, address)
            if ports is None:
                continue
            many = len(port_numbers(ports)) > 1
            listen = ports_text(ports) + ("/udp" if protocol == "udp" else self.random.choice(["", "/tcp"]))
            if address:
                listen = f"[{address}]:{listen}" if ":" in address else f"{address}:{listen}"
            pool = self.random.choice(sorted(self.pools))
            via = self.random.choice(["auto", "kernel", "proxy"]) if protocol == "tcp" and self.chance(40) else None
            if (protocol == "udp" or via == "kernel") and not self.kernel_can_serve(pool, address):
                continue
            forward = {"listen": listen, "reason": "test", "to": pool}
            if not many or self.chance(50):
                forward["to"] = f"{pool}:{self.random.choice([30080, 30443, 80, 8443])}"
            if protocol == "tcp":
                if self.chance(50):
                    forward["proxy_protocol"] = self.random.choice(["none", "v1", "v2"])
                if via:
                    forward["via"] = via
            if self.chance(40):
                forward["snat"] = self.random.choice(["auto", "on", "off"])
            if self.chance(40):
                forward["from"] = self.places(False)
            if self.chance(30):
                forward["limits"] = {"new_total": "1000000/second burst 1000000"}
                if self.chance(50):
                    forward["limits"]["new_per_source"] = "1000000/second burst 1000000"
                if self.chance(50):
                    forward["limits"]["open_per_source"] = 100000
                if protocol == "tcp" and "new_per_source" in forward["limits"] and self.chance(50):
                    forward["limits"]["ban"] = "10m"
            forwards[f"f{i}"] = forward
        return forwards

    def snat(self):
        rules = {}
        for i in range(self.random.choice([0, 1, 2])):
            out = self.random.choice(self.legs())
            inside = self.random.choice([LAN4, "192.0.2.0/25", "0.0.0.0/0", LAN6, "::/0", "198.51.100.0/24"])
            masquerade = self.chance(60) or ":" in inside
            rules[f"s{i}"] = {"from": [inside], "out": out, "to": "masquerade" if masquerade else "203.0.113.9",
                              "reason": "test"}
        return rules

    def yaml(self):
        root = {
            "version": 1,
            "interfaces": {"wan": "ens3", "lan": {"device": "ens4", "networks": self.lan}},
            "nodes": self.nodes,
            "pools": self.pools,
        }
        if self.floating:
            root["floating_ips"] = self.floating
        if self.chance(70):
            sources = list(dict.fromkeys(self.prefix() for _ in range(self.random.randint(1, 3))))
            root["management"] = {"from": sources, "ssh": 22, "reason": "test"}
        for key, value in (("wireguard", self.tunnels), ("blocklists", self.blocklists), ("forwards", self.forwards),
                           ("snat", self.snat()), ("rules", self.rules)):
            if value:
                root[key] = value
        return "".join(render(key, value) for key, value in root.items())

    def settings(self):
        lines = [f"address {leg} {address}" for leg, address in self.addresses]
        healthy = self.random.choice([0, 60, 90, 100])
        ports = {(node, port) for forward in self.forwards.values() for node in self.nodes for port in target_ports(forward)}
        lines += [f"up {node} {port}" for node, port in sorted(ports) if self.chance(healthy)]
        lines += [f"drain {node}" for node in self.nodes if self.chance(10)]
        if self.chance(40):
            lines += [f"ban {self.prefix(spread=8)}" for _ in range(self.random.randint(1, 3))]
        if self.chance(50):
            lines.append("injection")
        return "".join(f"{line}\n" for line in lines)


def families(places):
    """The families that packets of these places can have."""
    found = set()
    for place in places:
        found |= {4, 6} if not re.match(r"[0-9a-f]*[.:]", place) else {6} if ":" in place else {4}
    return found


def b64(data):
    import base64
    return base64.b64encode(data).decode()


def port_numbers(ports):
    if isinstance(ports, int):
        return {ports}
    if isinstance(ports, list):
        return set(ports)
    first, last = map(int, ports.split("-"))
    return set(range(first, last + 1))


def ports_text(ports):
    return ",".join(map(str, ports)) if isinstance(ports, list) else str(ports)


def target_ports(forward):
    """Where health of its nodes is asked: the target port, or the lowest port listened on."""
    if ":" in forward["to"]:
        return {int(forward["to"].split(":")[1])}
    text = forward["listen"].split("/")[0].rsplit(":", 1)[-1]
    return {min(int(part) for part in text.replace("-", ",").split(","))}


def render(key, value):
    """One section; each entry on a line of its own, so that errors and reports name it."""
    if isinstance(value, dict) and all(isinstance(item, dict) for item in value.values()):
        return f"{key}:\n" + "".join(f"  {name}: {json.dumps(item)}\n" for name, item in value.items())
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return f"{key}:\n" + "".join(f"  - {json.dumps(item)}\n" for item in value)
    return f"{key}: {json.dumps(value)}\n"


def write_config(seed, folder):
    folder = pathlib.Path(folder)
    config = Config(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "edged.yaml").write_text(config.yaml())
    (folder / "settings.txt").write_text(config.settings())
    for name, text in config.lists.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


if __name__ == "__main__":
    write_config(int(sys.argv[1]), sys.argv[2])
