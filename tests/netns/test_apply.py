"""Applies: what a second one writes, what survives one, what a refused one changes."""
import json
import re
import threading
import time

import pytest

from harness import (CLIENT, DROPPED, EDGE_WAN, FLOATING, OPEN, OPERATOR, ApiError, attempt, config, connect, device_mac,
                     flood, forward, readers, rule, until)
from harness.client import read_exactly

PLAIN = forward(80, 30099)
PING = rule("ping", **{"from": "any", "to": "self", "protocol": "icmp", "action": "accept"})


def is_dead(flow):
    """Nothing comes back any more: silence, a reset or an end."""
    flow.settimeout(0.5)
    try:
        flow.sendall(b"hello?")
        return flow.recv(10) == b""
    except OSError:
        return True


@pytest.fixture
def running(net, start):
    edged = start(config(forwards={"plain": PLAIN}))
    edged.wait_backends("plain", 2)
    return net, edged


def test_a_second_apply_writes_nothing(running):
    net, edged = running
    with readers.nft_events(net.edge, net.folder) as events:
        for _ in range(3):
            answer = edged.apply()
            assert not answer["changed"]
        edged.ctl("apply")
    assert events == []


def test_a_restart_writes_nothing(running):
    net, edged = running
    applied_at = edged.get("/v1/status")["applied_at"]
    until(lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) > applied_at, 3, "the clock to go on")
    with readers.nft_events(net.edge, net.folder) as events:
        edged.kill("main")
        edged.wait_ready()
        edged.wait_backends("plain", 2)
    assert events == []
    with readers.nft_events(net.edge, net.folder) as events:
        edged.stop()
        edged.start()
        edged.wait_backends("plain", 2)
    assert set(events) <= {"add table inet edged"}, "with its supervisor gone, it takes the orphaned table, and no more"
    until(lambda: edged.get("/v1/status")["applied_at"] == applied_at, 3, "the time of the apply to be what it was")


def test_counters_survive_what_does_not_concern_them(running):
    net, edged = running
    for _ in range(3):
        assert attempt(net.internet, CLIENT, FLOATING, 80) == OPEN
        assert attempt(net.internet, CLIENT, FLOATING, 81, 0.2) == DROPPED
    before = {name: readers.counter(net.edge, name) for name in ("fwd-plain", "default")}
    assert before["fwd-plain"][0] >= 3 and before["default"][0] >= 3
    edged.apply(config(forwards={"plain": PLAIN, "another": forward(82, 30099)}, rules=[PING]))
    after = {name: readers.counter(net.edge, name) for name in before}
    assert all(after[name] >= before[name] for name in before), f"{before} -> {after}"
    edged.kill("main")
    edged.wait_ready()
    assert readers.counter(net.edge, "fwd-plain") >= before["fwd-plain"]


def test_dynamic_sets_survive_what_does_not_concern_them(net, start):
    limited = forward(80, 30099, limits={"new_per_source": "1/hour burst 3"})
    edged = start(config(forwards={"plain": limited}))
    edged.wait_backends("plain", 2)
    outcomes = [attempt(net.internet, CLIENT, FLOATING, 80, 0.3) for _ in range(5)]
    assert outcomes == [OPEN] * 3 + [DROPPED] * 2
    edged.apply(config(forwards={"plain": limited, "another": forward(82, 30099)}, rules=[PING]))
    assert attempt(net.internet, CLIENT, FLOATING, 80, 0.3) == DROPPED, "who had used up his share has still"


def test_an_operators_ban_survives_applies_restarts_and_cuts_what_is_open(running):
    net, edged = running
    with connect(net.internet, CLIENT, FLOATING, 80) as flow:
        flow.sendall(b"before")
        assert read_exactly(flow, 6) == b"before"
        edged.ctl("ban", CLIENT, "--for", "1h")
        assert attempt(net.internet, CLIENT, FLOATING, 80, 0.3) == DROPPED
        assert is_dead(flow)
    edged.apply(config(forwards={"plain": PLAIN, "another": forward(82, 30099)}))
    edged.kill("main")
    edged.wait_ready()
    assert attempt(net.internet, CLIENT, FLOATING, 80, 0.3) == DROPPED
    assert attempt(net.internet, OPERATOR, FLOATING, 80) == OPEN
    assert [ban["address"] for ban in edged.show("show", "bans")] == [CLIENT]
    edged.ctl("unban", CLIENT)
    assert attempt(net.internet, CLIENT, FLOATING, 80) == OPEN


REFUSED_FILES = {
    "unknown key": ("forwards:", "forwardz:", "forwards"),
    "a port out of range": ("to: web:30099", "to: web:70000", "1"),
    "no such pool": ("to: web:30099", "to: wed:30099", "web"),
    "an anchor": ("version: 1", "version: &v 1", "anchor"),
    "not YAML": ("nodes:", "nodes: [", ""),
}


@pytest.mark.parametrize("what", REFUSED_FILES)
def test_a_refused_configuration_changes_nothing(running, what):
    net, edged = running
    before, old = readers.stable_ruleset(net.edge), edged.read()
    wrong, right, word = REFUSED_FILES[what]
    assert wrong in old
    with readers.nft_events(net.edge, net.folder) as events:
        edged.write(old.replace(wrong, right, 1))
        result = edged.ctl("apply", check=False)
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if re.match(r"edged\.yaml:\d+:\d+: ", line)]
    assert lines and word in lines[0], result.stderr
    assert events == [] and readers.stable_ruleset(net.edge) == before
    assert attempt(net.internet, CLIENT, FLOATING, 80) == OPEN
    assert edged.get("/v1/config")["files"][0]["text"] == old


def test_a_broken_expectation_refuses_the_apply(running):
    net, edged = running
    expectation = {"from": CLIENT, "in": "wan", "to": f"{FLOATING}:82/tcp", "verdict": "drop"}
    good = config(forwards={"plain": PLAIN}, expect=[expectation])
    edged.apply(good)
    edged.write(config(forwards={"plain": PLAIN, "another": forward(82, 30099)}, expect=[expectation]))
    result = edged.ctl("apply", check=False)
    assert result.returncode == 1 and "expect" in result.stderr
    assert attempt(net.internet, CLIENT, FLOATING, 82, 0.3) == DROPPED


def test_access_that_a_commit_takes_away_ends_at_once(running):
    net, edged = running
    edged.apply(config(forwards={"plain": PLAIN, "gone": forward(82, 30099), "web": forward(443, 30443, "v2", via="proxy")}))
    edged.wait_backends("gone", 2)
    edged.wait_backends("web", 2)
    with connect(net.internet, CLIENT, FLOATING, 80) as stays, connect(net.internet, CLIENT, FLOATING, 82) as goes, \
            connect(net.internet, CLIENT, FLOATING, 443) as proxied:
        for flow in (stays, goes):
            flow.sendall(b"one")
            assert read_exactly(flow, 3) == b"one"
        edged.apply(config(forwards={"plain": PLAIN}))
        entries = [e for e in readers.conntrack(net.edge, "-p", "tcp", "-d", EDGE_WAN) if e["state"] == "ESTABLISHED"]
        assert {entry["dport"] for entry in entries} == {"80"}, "conntrack holds nothing that the configuration refuses"
        stays.sendall(b"two")
        assert read_exactly(stays, 3) == b"two"
        assert is_dead(goes) and is_dead(proxied)


def test_drained_nodes_keep_what_they_have(running):
    net, edged = running
    flows = [connect(net.internet, CLIENT, FLOATING, 80) for _ in range(6)]
    edged.ctl("node", "drain", "k8s-1")
    assert [n["draining"] for n in edged.show("show", "nodes") if n["name"] == "k8s-1"] == [True]
    before = readers.conntrack(net.edge, "-p", "tcp", "-d", EDGE_WAN)
    for _ in range(8):
        assert attempt(net.internet, CLIENT, FLOATING, 80) == OPEN
    known = {entry["sport"] for entry in before}
    fresh = [e for e in readers.conntrack(net.edge, "-p", "tcp", "-d", EDGE_WAN) if e["sport"] not in known]
    assert {entry["reply-src"] for entry in fresh} == {"192.0.2.12"}
    edged.kill("main")
    edged.wait_ready()
    assert [n["draining"] for n in edged.show("show", "nodes") if n["name"] == "k8s-1"] == [True], "and after a restart"
    for flow in flows:
        flow.sendall(b"alive")
        assert read_exactly(flow, 5) == b"alive"
        flow.close()
    edged.ctl("node", "undrain", "k8s-1")


def test_all_nodes_down_is_a_refusal_at_once_and_up_again_is_up(running):
    net, edged = running
    for node in net.nodes.values():
        node.stop("echo")
    edged.wait_backends("plain", 0)
    assert attempt(net.internet, CLIENT, FLOATING, 80) == "refused"
    assert edged.get("/v1/status")["forwards"]["down"] == 1
    net.nodes["k8s-2"].start_echo()
    edged.wait_backends("plain", 1)
    assert attempt(net.internet, CLIENT, FLOATING, 80) == OPEN


def test_two_applies_at_once_are_two_revisions_or_one_refusal(running):
    _, edged = running
    results = []

    def apply(number):
        files = [{"name": "edged.yaml", "text": config(forwards={"plain": PLAIN, f"x{number}": forward(90 + number, 30099)})}]
        try:
            results.append(edged.post("/v1/apply", {"files": files})["revision"])
        except ApiError as error:
            results.append(error.status)
    threads = [threading.Thread(target=apply, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 4
    history = [entry["revision"] for entry in edged.get("/v1/history")]
    assert history == sorted(history, reverse=True) and len(set(history)) == len(history)
    assert edged.get("/v1/status")["kernel"]["in_sync"]


def test_edits_by_edgectl_keep_comments_and_take_effect(running):
    net, edged = running
    edged.write("# our edge\n" + edged.read().replace("plain:", "plain:   # the first one"))
    edged.ctl("apply")
    edged.ctl("forward", "add", "second", "--listen", "83", "--to", "web:30099", "--reason", "a test")
    text = edged.read()
    assert text.startswith("# our edge\n") and "plain:   # the first one" in text
    edged.wait_backends("second", 2)
    assert attempt(net.internet, CLIENT, FLOATING, 83) == OPEN
    edged.ctl("forward", "remove", "second")
    assert attempt(net.internet, CLIENT, FLOATING, 83, 0.3) == DROPPED


def test_history_rollback_and_diff(running):
    net, edged = running
    first = edged.get("/v1/status")["revision"]
    old = edged.read()
    edged.write(config(forwards={"plain": PLAIN, "second": forward(83, 30099)}))
    edged.ctl("apply", "--message", "a second door")
    newest = edged.show("history")[0]
    assert (newest["message"], newest["user"], newest["current"]) == ("a second door", "root", True)
    assert "83" in edged.ctl("diff", first).stdout
    edged.ctl("rollback", first)
    assert edged.read() == old, "the file too"
    assert attempt(net.internet, CLIENT, FLOATING, 83, 0.3) == DROPPED


def test_plan_says_what_an_apply_would_do_and_does_nothing(running):
    net, edged = running
    assert not edged.post("/v1/plan")["changes"]
    edged.write(config(forwards={"plain": PLAIN, "second": forward(83, 30099)}))
    with readers.nft_events(net.edge, net.folder) as events:
        plan = edged.post("/v1/plan")
    assert plan["changes"] and "second" in json.dumps(plan) and events == []


def test_a_flood_of_applies_with_health_changes_stays_in_step(running):
    """Backends come and go while applies run; at the end kernel and configuration agree."""
    net, edged = running
    with flood(net.router, "cloud", device_mac(net.edge, "ens3"), "198.51.100.78", EDGE_WAN, "80", "tcp", rate=500):
        for number in range(10):
            net.nodes["k8s-1"].stop("echo")
            edged.apply(config(forwards={"plain": PLAIN, f"x{number}": forward(90, 30099)}))
            net.nodes["k8s-1"].start_echo()
    edged.apply(config(forwards={"plain": PLAIN}))
    edged.wait_backends("plain", 2)
    until(lambda: edged.get("/v1/status")["kernel"]["in_sync"], 5)
    assert not edged.post("/v1/plan")["changes"]
