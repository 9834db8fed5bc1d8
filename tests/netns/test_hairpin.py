"""What goes from inside to a floating IP stays here: by forwards (the ingress sees who called, see test_example), and by
rules and management too. It must not leave by wan, where the cloud would send it back as somebody else's."""

from harness import FLOATING, NODES, ping

K1 = NODES["k8s-1"][0]


def explain(edged, source, target, leg):
    return edged.show("explain", "--from", source, "--to", target, "--in", leg)


def sent_by_wan(example):
    with example.net.edge.inside():
        with open("/proc/net/dev") as file:
            return int(next(line for line in file if "ens3:" in line).split()[10])


def test_a_rule_lets_the_nodes_ping_a_floating_ip(example):
    k1 = example.net.nodes["k8s-1"].space
    assert explain(example.edged, K1, f"{FLOATING}/icmp", "lan")["name"] == "ping"
    before = sent_by_wan(example)
    assert ping(k1, K1, FLOATING, count=5) == 5
    assert sent_by_wan(example) - before < 5, "answered here, not sent out by wan"


def test_explain_knows_the_networks_of_this_machine(example):
    for target in ("192.0.2.255/icmp", "192.0.2.1/icmp"):
        assert explain(example.edged, K1, target, "lan")["name"] == "ping"
    assert explain(example.edged, K1, "192.0.2.255:443", "lan")["by"] == "default", "no forward listens on a broadcast"
    assert explain(example.edged, K1, "192.0.2.1:443", "lan")["forward"] == "https"
    assert explain(example.edged, "192.0.2.255", f"{FLOATING}:443", "lan")["by"] == "spoofed"
