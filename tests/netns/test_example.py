"""The example configuration, end to end: what its comments promise, on real packets."""
import contextlib
import socket
import threading

from harness import (CLIENT, CLIENT6, DROPPED, EDGE_LAN, EDGE_WAN, EDGE_WAN6, FLOATING, NODES, OPEN, OPERATOR, REFUSED,
                     SCANNER, SCANNER6, attempt, datagram, device_mac, fetch, flood, greeting, ping, readers, until)

K1 = NODES["k8s-1"][0]


@contextlib.contextmanager
def listening(space, address, port, seen=None):
    """A TCP listener that takes connections and notes who called."""
    with space.inside():
        server = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    server.settimeout(30)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, peer = server.accept()
                if seen is not None:
                    seen.append(peer[0])
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)


def test_http_and_https_reach_the_ingress_with_the_clients_address(example):
    for port, tls in ((80, False), (443, True)):
        seen = fetch(example.net.internet, CLIENT, FLOATING, port, tls)
        assert (seen.status, seen.by) == (200, "nginx")
        assert (seen.client, seen.client_port) == seen.local, "who the client was, its port too"
        assert (seen.server, seen.server_port) == (EDGE_WAN, port), "the floating IP arrives as the machine's own address"


def test_every_healthy_node_gets_its_turn(example):
    seen = {fetch(example.net.internet, CLIENT, FLOATING, 80).node for _ in range(12)}
    assert seen == {"k8s-1", "k8s-2"}, "k8s-3 is behind a tunnel that is not there"


def test_git_over_ssh_where_the_server_speaks_first(example):
    node, client, port, own_port = greeting(example.net.internet, CLIENT, FLOATING, 30022)
    assert node in ("k8s-1", "k8s-2")
    assert (client, port) == (CLIENT, own_port)


def test_an_ipv6_client_reaches_the_ipv4_nodes(example):
    seen = fetch(example.net.internet, CLIENT6, EDGE_WAN6, 443, tls=True)
    assert (seen.client, seen.client_port) == seen.local
    assert (seen.server, seen.server_port) == (EDGE_WAN6, 443)


def test_hairpin(example):
    for name, (address, _) in NODES.items():
        seen = fetch(example.net.nodes[name].space, address, FLOATING, 443, tls=True)
        assert (seen.client, seen.client_port) == seen.local
        assert (seen.server, seen.server_port) == (FLOATING, 443)


def test_a_forward_for_the_private_network_is_not_for_the_public(example):
    assert fetch(example.net.nodes["k8s-1"].space, K1, FLOATING, 8443, tls=True).client == K1
    assert attempt(example.net.internet, CLIENT, FLOATING, 8443) == DROPPED


def test_default_deny(example):
    example.net.route_to_lan()
    for source, address, port in ((CLIENT, FLOATING, 6443), (CLIENT, FLOATING, 22), (CLIENT, EDGE_WAN, 6443),
                                  (CLIENT, EDGE_LAN, 6443), (CLIENT, K1, 30080), (CLIENT, K1, 443),
                                  (CLIENT6, EDGE_WAN6, 6443), (CLIENT6, NODES["k8s-1"][1], 30080)):
        assert attempt(example.net.internet, source, address, port, 0.4) == DROPPED, f"{source} -> {address}:{port}"
    assert datagram(example.net.internet, CLIENT, FLOATING, 53, timeout=0.4) is None
    assert ping(example.net.internet, CLIENT, K1, timeout=0.4) == 0
    assert readers.counter(example.net.edge, "default")[0] > 0
    space, address = example.net.nodes["k8s-1"].space, K1
    assert attempt(space, address, "203.0.113.25", 8080, 0.4) == DROPPED, "nor may the nodes do what no rule says"
    assert attempt(space, address, EDGE_LAN, 22, 0.4) == DROPPED


def test_management_is_for_the_operators(example):
    with listening(example.net.edge, "0.0.0.0", 22):
        assert attempt(example.net.internet, OPERATOR, FLOATING, 22) == OPEN
        assert attempt(example.net.internet, CLIENT, FLOATING, 22, 0.4) == DROPPED
        assert attempt(example.net.nodes["k8s-1"].space, K1, EDGE_LAN, 22, 0.4) == DROPPED


def test_ping_is_answered_up_to_its_limit(example):
    assert ping(example.net.internet, OPERATOR, FLOATING) == 1
    assert 15 <= ping(example.net.internet, CLIENT, FLOATING, count=200, timeout=0.5) <= 40, "10/second burst 20"


def test_the_blocklist_is_refused_everything(example):
    assert attempt(example.net.internet, SCANNER, FLOATING, 443, 0.4) == DROPPED
    assert attempt(example.net.internet, SCANNER6, EDGE_WAN6, 443, 0.4) == DROPPED
    assert ping(example.net.internet, SCANNER, FLOATING, timeout=0.4) == 0
    assert readers.counter(example.net.edge, "blocklist-abuse")[0] >= 3


def test_the_nodes_way_out_is_masqueraded(example):
    callers = []
    with listening(example.net.internet, "203.0.113.25", 443, callers):
        assert attempt(example.net.nodes["k8s-1"].space, K1, "203.0.113.25", 443) == OPEN
        until(lambda: callers, 5)
    assert callers == [FLOATING]
    entry = [e for e in readers.conntrack(example.net.edge, "-p", "tcp") if e.get("dst") == "203.0.113.25"][0]
    assert entry["reply-dst"] == EDGE_WAN


def test_no_mail_leaves_and_the_node_is_told_so(example):
    with listening(example.net.internet, "203.0.113.25", 25):
        assert attempt(example.net.nodes["k8s-1"].space, K1, "203.0.113.25", 25) == REFUSED


def test_a_private_source_from_outside_is_spoofed(example):
    before = readers.counter(example.net.edge, "spoofed")[0]
    with flood(example.net.router, "cloud", device_mac(example.net.edge, "ens3"), "192.0.2.50", EDGE_WAN, "443", "tcp",
               count=20) as process:
        until(lambda: process.poll() is not None, 10)
    until(lambda: readers.counter(example.net.edge, "spoofed")[0] == before + 20, 5, "twenty spoofed packets counted")


def test_status_says_what_is_and_what_is_not(example):
    status = example.edged.show("status")
    assert status["nodes"] == {"up": 2, "down": 1, "draining": 0}
    assert status["forwards"]["total"] == 4
    assert (status["tunnels"]["total"], status["tunnels"]["up"], status["tunnels"]["why"]) == (1, 1, None)
    assert status["pending"] is None and status["kernel"]["in_sync"]
    down = [node for node in example.edged.show("show", "nodes") if node["name"] == "k8s-3"][0]
    assert all(not port["up"] and port["why"] for port in down["ports"])


def test_explain_says_what_the_packets_showed(example):
    def explain(source, target, leg="wan"):
        return example.edged.show("explain", "--from", source, "--to", target, "--in", leg)
    assert explain(CLIENT, f"{FLOATING}:443/tcp")["forward"] == "https"
    assert explain(CLIENT, f"{FLOATING}:6443/tcp")["verdict"] == "drop"
    assert explain(SCANNER, f"{FLOATING}:443/tcp")["by"] == "blocklist"
    refused = explain(K1, "203.0.113.25:25/tcp", "lan")
    assert (refused["verdict"], refused["name"]) == ("reject", "no-smtp")
    assert refused["line"] == 1 + example.edged.read().split("\n").index(
        next(line for line in example.edged.read().split("\n") if "no-smtp" in line))


def test_metrics_are_there(example):
    text = example.edged.get("/metrics")
    assert "edged_" in text and "# TYPE" in text
    seen = fetch(example.net.edge, "127.0.0.1", "127.0.0.1", 9550, path="/metrics")
    assert seen.status == 200 and "edged_" in seen.body


def test_the_roles_have_no_rights(example):
    roles = example.edged.roles()
    assert {"main", "proxy", "api"} <= set(roles.values())
    for pid, role in roles.items():
        with open(f"/proc/{pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        if role == "main":
            continue
        assert int(fields["CapEff"], 16) == 0 and int(fields["CapPrm"], 16) == 0, role
        assert fields["Uid"].split()[0] != "0", role
        assert fields["NoNewPrivs"].strip() == "1", role
