"""No packet passes a half-applied ruleset: hundreds of applies under a packet flood, and a control that must leak."""
import contextlib
import re

from harness import CLIENT, CLIENT6, NODES, config, device_mac, flood, forward, leak_counter, readers, rule, until

K1, K1_6 = NODES["k8s-1"]
APPLIES = 300
FORBIDDEN = "4444"


def variant(number):
    """Two configurations that share little: other forwards, rules, sets, limits and management, in another order."""
    odd = number % 2
    names = ["a", "b", "c", "d"] if odd else ["d", "e", "b"]
    forwards = {name: forward(8000 + i + odd, 30099, limits={"new_per_source": f"{100 + odd}/second burst {200 + i}"})
                for i, name in enumerate(names)}
    rules = [rule("resolvers", **{"from": "lan", "to": "wan", "protocol": "udp", "port": 53, "action": "accept"}),
             rule("web", **{"from": "192.0.2.0/24", "to": "wan", "protocol": "tcp", "port": [80, 443], "action": "accept"})]
    if odd:
        rules.reverse()
        rules.append(rule("ping", **{"from": "any", "to": "self", "protocol": "icmp", "action": "accept",
                                     "limit": "10/second burst 20"}))
    return config(forwards=forwards, rules=rules, management={
        "from": ["198.51.100.200/32" if odd else "198.51.100.201/32"], "ssh": 22, "reason": "test"})


@contextlib.contextmanager
def flooded(net):
    """Floods of both families and protocols at a node and at the edge; yields a function that says what came through."""
    mac, space = device_mac(net.edge, "ens3"), net.nodes["k8s-1"].space
    net.edge.nft(f"""table inet watch {{
	counter leak {{ }}
	counter to-udp {{ }}
	counter to-tcp {{ }}
	counter to-udp6 {{ }}
	counter to-self {{ }}
	chain in {{ type filter hook input priority 900;
		iifname "ens3" meta l4proto {{ tcp, udp }} th dport {FORBIDDEN} counter name leak; }}
	chain arrives {{ type filter hook prerouting priority -400;
		iifname "ens3" ip daddr {K1} udp dport {FORBIDDEN} counter name to-udp
		iifname "ens3" ip daddr {K1} tcp dport {FORBIDDEN} counter name to-tcp
		iifname "ens3" ip6 daddr {K1_6} udp dport {FORBIDDEN} counter name to-udp6
		iifname "ens3" ip daddr 198.18.0.10 udp dport {FORBIDDEN} counter name to-self; }}
}}""")
    floods = [flood(net.router, "cloud", mac, CLIENT, K1, FORBIDDEN, "udp", rate=20000),
              flood(net.router, "cloud", mac, CLIENT, K1, FORBIDDEN, "tcp", rate=20000),
              flood(net.router, "cloud", mac, CLIENT6, K1_6, FORBIDDEN, "udp", rate=20000),
              flood(net.router, "cloud", mac, CLIENT, "198.18.0.10", FORBIDDEN, "udp", rate=20000)]
    with leak_counter(space, "eth0", f"meta l4proto {{ tcp, udp }} th dport {FORBIDDEN}") as at_node:
        with contextlib.ExitStack() as stack:
            for one in floods:
                stack.enter_context(one)
            yield lambda: (at_node(), readers.counter(net.edge, "leak", "inet watch")[0])
            for name in ("to-udp", "to-tcp", "to-udp6", "to-self"):
                until(lambda: readers.counter(net.edge, name, "inet watch")[0] > 1000, 60, f"the flood {name} to be one")


def test_nothing_leaks_through_300_applies(net, start):
    net.route_to_lan()
    edged = start(variant(0))
    node_arrivals = lambda: readers.counter(net.edge, "default")[0]  # noqa: E731
    with flooded(net) as leaked:
        until(lambda: node_arrivals() > 1000, 10, "the flood to reach the edge")
        before = node_arrivals()
        for number in range(1, APPLIES + 1):
            assert edged.apply(variant(number))["changed"]
        assert leaked() == (0, 0)
        assert node_arrivals() > before + APPLIES, "packets were decided meanwhile"


def test_the_control_leaks(net, start):
    """The same rules, loaded in two transactions: were it not for the one batch, the test above would see it."""
    net.route_to_lan()
    edged = start(variant(1), supervised=False)
    text = readers.ruleset(net.edge, "table", "inet", "edged")
    edged.stop()
    # What nft prints and cannot read back: the owner's flags, and expressions with types that its grammar lacks.
    text = re.sub(r"^\tflags .*$", "", text, flags=re.M)
    text = re.sub(r"fib daddr oifname vmap.*|.* map @lb.*", "", text)
    net.edge.run("nft", "flush", "ruleset")
    net.edge.nft(text)
    with flooded(net) as leaked:
        def leaks():
            net.edge.run("nft", "delete", "table", "inet", "edged")
            net.edge.nft(text)
            return all(leaked())
        until(leaks, 60, "two transactions to let packets through, to the node and to the edge")


def test_nothing_leaks_while_edged_starts_and_stops(net, start):
    """Starting on a table that is there, and leaving it, are applies too."""
    net.route_to_lan()
    edged = start(variant(1), supervised=False)
    with flooded(net) as leaked:
        for _ in range(10):
            edged.stop()
            edged.start()
        assert leaked() == (0, 0)
