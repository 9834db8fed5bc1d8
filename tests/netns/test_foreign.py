"""Other tools: what they do to our table opens nothing, and what is theirs we do not touch."""
import os
import signal

import pytest

from harness import (CLIENT, DROPPED, FLOATING, NODES, OPEN, REFUSED, attempt, config, device_mac, flood, forward,
                     leak_counter, readers, until)

K1 = NODES["k8s-1"][0]
OPENED = config(forwards={"plain": forward(80, 30099)})
ATTACKS = {
    "flush ruleset": ["nft", "flush", "ruleset"],
    "delete table": ["nft", "delete", "table", "inet", "edged"],
    "flush table": ["nft", "flush", "table", "inet", "edged"],
    "add an accept": ["nft", "insert", "rule", "inet", "edged", "forward", "counter", "accept"],
}


@pytest.fixture
def watched(net, start):
    """edged on a plain forward, and the outside able to send to the nodes."""
    net.route_to_lan()
    edged = start(OPENED)
    edged.wait_backends("plain", 2)
    return net, edged


def leaks(net):
    return flood(net.router, "cloud", device_mac(net.edge, "ens3"), CLIENT, K1, "4444", rate=30000), leak_counter(
        net.nodes["k8s-1"].space, "eth0", "udp dport 4444")


@pytest.mark.parametrize("attack", ATTACKS)
def test_while_up(watched, attack):
    net, edged = watched
    owner = edged.get("/v1/status")["kernel"]["owner"]
    read = readers.stable_ruleset if owner else readers.rules
    before = read(net.edge)
    flooding, counting = leaks(net)
    with counting as leaked, flooding:
        for _ in range(5):
            result = net.edge.run(*ATTACKS[attack], check=False)
            until(lambda: read(net.edge) == before, 1, "the ruleset to be as it was, within a second")
            if owner:
                assert attack == "flush ruleset" or result.returncode, "the kernel refuses to touch an owned table"
        if owner:
            assert leaked() == 0
    assert attempt(net.internet, CLIENT, FLOATING, 80) == OPEN
    assert attempt(net.internet, CLIENT, FLOATING, 81, 0.4) == DROPPED


@pytest.mark.parametrize("attack", ATTACKS)
def test_while_down_the_supervisor_holds_the_table(net, start, attack):
    net.route_to_lan()
    edged = start(OPENED, restart_delay=3600)
    edged.wait_backends("plain", 2)
    if not edged.get("/v1/status")["kernel"]["owner"]:
        pytest.skip("this kernel has no owner and persist flags (6.9)")
    before = readers.stable_ruleset(net.edge)
    os.kill(edged.pid, signal.SIGKILL)
    until(lambda: edged.supervisor()["pid"] == 0, 5, "edged to be down")
    flooding, counting = leaks(net)
    with counting as leaked, flooding:
        net.edge.run(*ATTACKS[attack], check=False)
        assert readers.stable_ruleset(net.edge) == before
        assert leaked() == 0
    assert attempt(net.internet, CLIENT, FLOATING, 80) == OPEN, "the kernel goes on forwarding"


def test_orphaned_and_flushed_it_is_made_anew_at_the_start(net, start):
    edged = start(OPENED, supervised=False)
    edged.wait_backends("plain", 2)
    before = readers.rules(net.edge)
    edged.stop()
    assert readers.table_exists(net.edge), "stopping edged never removes a rule"
    assert attempt(net.internet, CLIENT, FLOATING, 80) == OPEN
    net.edge.run("nft", "flush", "ruleset")
    edged.start()
    until(lambda: readers.rules(net.edge) == before, 2, "the ruleset to be back")


def test_while_starting(watched):
    """Flushes and additions hit edged at every stage of its start; in the end all is right."""
    net, edged = watched
    before = readers.rules(net.edge)
    for turn in range(20):
        starts = edged.supervisor()["starts"]
        edged.kill("main")
        for _ in range(turn):
            net.edge.run("nft", "flush", "ruleset", check=False)
            net.edge.run("nft", "add", "table", "inet", "edged", check=False)
        until(lambda: edged.supervisor()["starts"] > starts and edged.answers(), 5, "edged to be back")
        until(lambda: readers.rules(net.edge) == before, 2, "the ruleset to be as it was")


def test_an_orphan_with_a_foreign_rule_is_put_right(net, start):
    """Nobody held the table, and somebody opened it: a starting edged closes it."""
    net.route_to_lan()
    edged = start(OPENED, supervised=False)
    edged.wait_backends("plain", 2)
    before = readers.stable_ruleset(net.edge)
    edged.stop()
    net.edge.run("nft", "insert", "rule", "inet", "edged", "early", "accept")
    net.edge.run("nft", "add", "chain", "inet", "edged", "foreign")
    net.edge.run("nft", "add", "set", "inet", "edged", "foreign_set", "{ type ipv4_addr; }")
    assert readers.stable_ruleset(net.edge) != before
    edged.start()
    until(lambda: "foreign" not in readers.stable_ruleset(net.edge), 2, "what is not ours to be gone from our table")
    assert attempt(net.internet, CLIENT, K1, 30080, 0.4) == DROPPED


def test_other_tables_are_never_touched(net, start):
    theirs = """
table ip docker { chain nat { type nat hook postrouting priority 100; ip saddr 198.18.200.0/24 masquerade; }; }
table inet theirs { set s { type ipv4_addr; flags timeout; elements = { 192.0.2.250 timeout 1h }; }
	chain c { type filter hook input priority 10; tcp dport 4711 reject with tcp reset; }; }
"""
    net.edge.nft(theirs)
    tables = "ip docker", "inet theirs"

    def state():
        return [readers.stable_ruleset(net.edge, table) for table in tables]
    before = state()
    edged = start(OPENED)
    edged.wait_backends("plain", 2)
    edged.apply(config(forwards={"other": forward(81, 30099)}))
    edged.kill("main")
    edged.wait_ready()
    edged.apply(config())
    edged.stop()
    assert state() == before
    assert attempt(net.edge, "127.0.0.1", "127.0.0.1", 4711) == REFUSED
