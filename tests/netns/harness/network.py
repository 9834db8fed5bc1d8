"""The network around the edge, in namespaces.

    internet --- router (1:1 NAT, as a cloud does) --- ens3 edge ens4 --- switch --- k8s-1, k8s-2
        |                                                                            (nodes)
      k8s-3 (198.18.88.13: only a tunnel would reach it)

All addresses come from the documentation ranges. IPv6 is routed, not translated.
"""
import itertools

from .namespace import Namespace, ip
from .node import Node, make_certificate

CLIENT = "198.51.100.77"
OPERATOR = "198.51.100.200"          # inside management.from of the example
SCANNER = "198.51.100.66"            # in the example's blocklist
INTERNET = ["198.51.100.2", CLIENT, "198.51.100.78", "198.51.100.79", OPERATOR, SCANNER,
            "203.0.113.25", "203.0.113.53"]
CLIENT6, CLIENT6_OTHER, SCANNER6 = "2001:db8:51::77", "2001:db8:52::77", "2001:db8:bad::66"
INTERNET6 = ["2001:db8:51::2", CLIENT6, "2001:db8:51::78"]
FLOATING = "203.0.113.10"
EDGE_WAN, EDGE_LAN = "198.18.0.10", "192.0.2.1"
EDGE_WAN6, EDGE_LAN6 = "2001:db8:18::10", "2001:db8:2::1"
NODES = {"k8s-1": ("192.0.2.11", "2001:db8:2::11"), "k8s-2": ("192.0.2.12", "2001:db8:2::12")}
FAR_NODE = ("k8s-3", "198.18.88.13")

ROUTER_NAT = f"""
table ip cloud {{
	chain in {{
		type nat hook prerouting priority -100;
		ip daddr {FLOATING} dnat to {EDGE_WAN}
	}}
	chain out {{
		type nat hook postrouting priority 100;
		oifname "inet" ip saddr {EDGE_WAN} snat to {FLOATING}
	}}
}}
"""


class Network:
    """nodes: False leaves the servers out (their namespaces are there). pid_folder: as for Namespace."""

    def __init__(self, name, folder, nodes=True, pid_folder=None):
        self.name, self.folder, self.pid_folder = name, folder, pid_folder
        self.namespaces, self.nodes = [], {}
        try:
            self._build(nodes)
        except BaseException:
            self.remove()
            raise

    def _namespace(self, role):
        namespace = Namespace(f"{self.name}-{role}", self.pid_folder)
        self.namespaces.append(namespace)
        return namespace

    def _build(self, servers):
        self.internet = self._namespace("internet")
        self.router = self._namespace("router")
        self.edge = self._namespace("edge")
        self.switch = self._namespace("switch")
        node_spaces = {name: self._namespace(name) for name in (*NODES, FAR_NODE[0])}
        self._links(node_spaces)
        self._addresses()
        for name, space in node_spaces.items():
            self._node_addresses(name, space)
        self.router.nft(ROUTER_NAT)
        if servers:
            certificate = make_certificate(self.folder)
            for name, space in node_spaces.items():
                self.nodes[name] = Node(name, space, self.folder, certificate)
            for node in self.nodes.values():
                node.wait_ready()
        else:
            self.nodes = {name: Node(name, space, self.folder, None) for name, space in node_spaces.items()}

    def _links(self, node_spaces):
        # Every device has an index of its own: the kernel reports a carrier up to a second late
        # where both ends happen to have the same one.
        index = itertools.count(11)

        def veth(here, device, there, peer):
            return (f"link add name {device} index {next(index)} netns {here.name} type veth "
                    f"peer name {peer} index {next(index)} netns {there.name}")
        lines = [veth(self.internet, "eth0", self.router, "inet"),
                 veth(self.edge, "ens3", self.router, "cloud"),
                 veth(self.edge, "ens4", self.switch, "edge")]
        lines += [veth(node_spaces[name], "eth0", self.switch, name) for name in NODES]
        lines.append(veth(node_spaces[FAR_NODE[0]], "eth0", self.internet, FAR_NODE[0]))
        ip(batch=lines)
        ip("-n", self.switch.name, batch=["link add name lan type bridge mcast_snooping 0", "link set lan up"] + [
            f"link set {port} master lan up" for port in ("edge", *NODES)])

    @staticmethod
    def _address(space, device, addresses):
        return [f"address add {address} dev {device}" + (" nodad" if ":" in address else "") for address in addresses
                ] + [f"link set {device} up"]

    def _addresses(self):
        ip("-n", self.internet.name, batch=self._address(
            self.internet, "eth0", [f"{a}/{24 if a.startswith('198') else 32}" for a in INTERNET]
            + [f"{a}/64" for a in INTERNET6] + [f"{CLIENT6_OTHER}/128", f"{SCANNER6}/128"]) + [
                "address add 198.51.101.1/24 dev k8s-3", "link set k8s-3 up", "route add default via 198.51.100.1",
                "route add ::/0 via 2001:db8:51::1"])
        self.internet.sysctl("net.ipv4.ip_forward", 1)
        ip("-n", self.router.name, batch=self._address(self.router, "inet", ["198.51.100.1/24", "2001:db8:51::1/64"])
           + self._address(self.router, "cloud", ["198.18.0.1/24", "2001:db8:18::1/64"]) + [
               "route add default via 198.51.100.2", "route add ::/0 via 2001:db8:51::2",
               f"route add 2001:db8:2::/64 via {EDGE_WAN6}"])
        self.router.sysctl("net.ipv4.ip_forward", 1)
        self.router.sysctl("net.ipv6.conf.all.forwarding", 1)
        ip("-n", self.edge.name, batch=self._address(self.edge, "ens3", [f"{EDGE_WAN}/24", f"{EDGE_WAN6}/64"])
           + self._address(self.edge, "ens4", [f"{EDGE_LAN}/24", f"{EDGE_LAN6}/64"]) + [
               "route add default via 198.18.0.1", "route add ::/0 via 2001:db8:18::1"])

    def _node_addresses(self, name, space):
        if name in NODES:
            four, six = NODES[name]
            ip("-n", space.name, batch=self._address(space, "eth0", [f"{four}/24", f"{six}/64"]) + [
                f"route add default via {EDGE_LAN}", f"route add ::/0 via {EDGE_LAN6}"])
        else:
            ip("-n", space.name, batch=self._address(space, "eth0", ["198.51.101.13/24"]) + [
                f"address add {FAR_NODE[1]}/32 dev lo", "route add default via 198.51.101.1"])

    def route_to_lan(self):
        """Let the outside send to the nodes' private addresses: the worst a neighbour in the cloud can do."""
        ip("-n", self.router.name, "route", "replace", "192.0.2.0/24", "via", EDGE_WAN)

    def remove(self):
        for namespace in reversed(self.namespaces):
            namespace.remove()
        self.namespaces = []
