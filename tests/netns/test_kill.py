"""kill -9 of each role, a hundred times at random moments under load."""
import contextlib
import random
import statistics
import threading
import time

import pytest

from harness import (CLIENT, DROPPED, FLOATING, NODES, attempt, config, connect, device_mac, fetch, flood, forward,
                     leak_counter, readers, until)
from harness.client import read_exactly

K1 = NODES["k8s-1"][0]
KILLS = 100
FLOWS = 6
CONFIG = config(forwards={"plain": forward(80, 30099), "web": forward(443, 30443, "v2", via="proxy")})


class Flow:
    """One connection through DNAT that talks all the time and checks every byte that comes back."""

    def __init__(self, net, number):
        self.socket = connect(net.internet, CLIENT, FLOATING, 80, timeout=10)
        self.number, self.rounds, self.error, self.ended = number, 0, None, False
        self.thread = threading.Thread(target=self.talk, daemon=True)
        self.thread.start()

    def talk(self):
        try:
            while not self.ended:
                data = f"{self.number}:{self.rounds}:".encode() * 50
                self.socket.sendall(data)
                assert read_exactly(self.socket, len(data)) == data, "other bytes came back"
                self.rounds += 1
                a_moment(0.002)  # a pace: six flows shall not be a flood
        except (OSError, AssertionError) as error:
            self.error = error

    def end(self):
        self.ended = True
        self.thread.join(15)
        self.socket.close()


def a_moment(seconds):
    """Let the load run on: the moment of the kill is what is random."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end, seconds + 1, every=0.001)


@contextlib.contextmanager
def flows(net, count=FLOWS):
    running = [Flow(net, number) for number in range(count)]
    try:
        yield running
    finally:
        for flow in running:
            flow.end()
    for flow in running:
        assert flow.error is None, f"flow {flow.number} after {flow.rounds} rounds: {flow.error}"


@pytest.mark.parametrize("role", ["main", "proxy", "api", "prober"])
def test_a_hundred_kills(net, start, role):
    net.route_to_lan()
    edged = start(CONFIG)
    edged.wait_backends("plain", 2)
    edged.wait_backends("web", 2)
    if role not in edged.roles().values():
        pytest.skip(f"edged has no role of its own that is called {role}")
    before = readers.stable_ruleset(net.edge)
    mac, randomly = device_mac(net.edge, "ens3"), random.Random(role)
    times = []
    with readers.nft_events(net.edge, net.folder) as events, flows(net) as running, \
            leak_counter(net.nodes["k8s-1"].space, "eth0", "udp dport 4444") as leaked, \
            flood(net.router, "cloud", mac, CLIENT, K1, "4444", rate=5000):
        rounds = [flow.rounds for flow in running]
        for number in range(KILLS):
            a_moment(randomly.random() * 0.1)
            killed = edged.kill(role)
            assert killed, f"kill {number}: there is no {role}"
            begun = time.monotonic()
            until(lambda: edged.ctl("status", check=False).returncode == 0, 10, "edgectl to work again", every=0.005)
            times.append(time.monotonic() - begun)
            until(lambda: any(name == role and pid not in killed for pid, name in edged.roles().items()), 5,
                  f"a new {role}")
        assert leaked() == 0, "nothing opened"
    assert readers.stable_ruleset(net.edge) == before
    assert events == [], "a restarted edged changes nothing that was right"
    assert all(flow.rounds > count + KILLS for flow, count in zip(running, rounds)), "the flows talked all the while"
    # Half of them: how long the slowest wait for a core says nothing of edged.
    assert statistics.median(times) < 1.0, f"edgectl works again within a second: {sorted(times)}"
    assert attempt(net.internet, CLIENT, FLOATING, 81, 0.4) == DROPPED
    assert until(lambda: fetch(net.internet, CLIENT, FLOATING, 443, tls=True), 5).client == CLIENT


def test_killed_in_the_middle_of_applies(net, start):
    """Each kill hits an apply somewhere; what is in the kernel afterwards is the old or the new ruleset, whole."""
    net.route_to_lan()
    one, other = CONFIG, config(forwards={"plain": forward(80, 30099), "more": forward("8000-8010", 30099)},
                                management={"from": ["198.51.100.200"], "ssh": 22, "reason": "test"})
    edged = start(one)
    edged.wait_backends("plain", 2)
    rulesets = {}
    for text in (one, other):
        edged.apply(text)
        until(lambda: edged.get("/v1/status")["kernel"]["in_sync"], 5)
        rulesets[text] = readers.rules(net.edge)
    randomly = random.Random(1)
    with flows(net, 3), leak_counter(net.nodes["k8s-1"].space, "eth0", "udp dport 4444") as leaked, \
            flood(net.router, "cloud", device_mac(net.edge, "ens3"), CLIENT, K1, "4444", rate=5000):
        for number in range(60):
            edged.write(one if number % 2 else other)
            applying = threading.Thread(target=edged.ctl, args=("apply",), kwargs={"check": False}, daemon=True)
            applying.start()
            a_moment(randomly.random() * 0.06)
            edged.kill("main")
            applying.join(30)
            until(edged.answers, 10, "edged to answer again")
            committed = edged.get("/v1/config")["files"][0]["text"]
            until(lambda: readers.rules(net.edge) == rulesets[committed], 5,
                  "the kernel to hold exactly the committed configuration")
        assert leaked() == 0
