"""New keys for a tunnel: with an agent on the node while traffic flows, and killed at each step; without one."""
import contextlib
import json
import os
import socket
import threading
import time

import pytest

from harness import (CLIENT, FAR_NODE, FAR_NODE_KEY, FAST_HEALTH, FLOATING, ApiError, config, connect, forward, ip, join_tunnel,
                     rule, until, wg_show)
from harness.agent import Agent
from harness.readers import counter
from harness.wireguard import public_key
from test_kill import a_moment

EXAMPLE_PEER = public_key(FAR_NODE_KEY)


def tunnelled(agent=True, preshared=True, **tunnel):
    peer = {"public_key": EXAMPLE_PEER, "allowed_ips": ["198.18.88.13/32"], "keepalive": "1s", "agent": agent,
            "preshared_key": preshared}
    return config(
        nodes={FAR_NODE[0]: {"address": FAR_NODE[1], "tunnel": "wg0"}},
        pools={"web": {"nodes": [FAR_NODE[0]], "health": FAST_HEALTH}},
        forwards={"raw": forward(30099, 30099), "ssh": forward(30022, 30022, "v2")},
        rules=[rule("ping", **{"from": "any", "to": "self", "protocol": "icmp", "action": "accept"})],
        wireguard={"wg0": {"listen": 51820, "address": "198.18.88.1/24", "peers": {FAR_NODE[0]: peer}, **tunnel}})


def edge_wg(edged, device="wg0"):
    return wg_show(edged.space, edged.wireguard_folder, device)


def edge_keys(edged):
    """{device: (our public key, the peer's)}, for devices that are there."""
    seen = {device: edge_wg(edged, device) for device in ("wg0", "wg0-2")}
    return {device: (state["public_key"], next(iter(state["peers"]), None)) for device, state in seen.items() if state}


def preshared_of(edged, device="wg0"):
    with open(os.path.join(edged.state_dir, "keys", f"{FAR_NODE[0]}@{device}.psk")) as file:
        return file.read().strip()


def tunnel(edged):
    return edged.get("/v1/tunnels")[0]


def rotated(edged, before):
    now = tunnel(edged)
    return now["rotation"] is None and now["device"] != before


@pytest.fixture
def bring_up(net, start):
    def both(delay=0.1, **options):
        edged = start(tunnelled(**options), restart_delay=delay)
        agent = Agent(net, edged.folder, edge_wg(edged)["public_key"], preshared=preshared_of(edged), restart_delay=delay)
        agent.start()
        edged.wait_backends("raw", 1)
        return edged, agent
    return both


@pytest.fixture
def pair(bring_up):
    return bring_up()


def test_new_keys_at_both_ends(pair):
    edged, agent = pair
    before, psk = edge_keys(edged)["wg0"], preshared_of(edged)
    edged.ctl("tunnel", "rotate", "wg0")
    until(lambda: rotated(edged, "wg0"), 15, "the rotation to end")
    until(lambda: list(agent.keys()) == ["wg0-2"], 5, "the old device to go at the node")
    now = edge_keys(edged)
    assert list(now) == ["wg0-2"] and agent.keys()["wg0-2"] == now["wg0-2"][::-1]
    assert not set(now["wg0-2"]) & set(before), "both keys are new"
    assert preshared_of(edged, "wg0-2") != psk
    for folder, names in ((edged.state_dir, {"wg0-2.key", f"{FAR_NODE[0]}@wg0-2.psk", "wg0.rotation"}),
                          (agent.state_dir, {"wg0-2.key", "edge@wg0-2.psk"})):
        assert set(os.listdir(os.path.join(folder, "keys"))) == names, "the old keys are gone"
    edged.wait_backends("raw", 1)
    assert edged.post("/v1/plan")["steps"] == []
    with open(edged.log, encoding="utf-8") as log:
        assert "not as configured" not in log.read(), "its own steps are nobody else's changes"


class Probe:
    """A hundred echo requests a second from a namespace; what is measured is the longest time without an answer."""

    def __init__(self, space, to, folder):
        self.space, self.log = space, os.path.join(folder, f"ping-{space.name}.log")
        self.process = space.start("ping", "-n", "-D", "-i", "0.01", to, log=self.log)
        until(lambda: len(self.times()) > 10, 10, "the first answers")

    def times(self):
        with open(self.log) as file:
            return [float(line[1:line.index("]")]) for line in file if line.startswith("[") and "bytes from" in line]

    def stop(self):
        """The times of all answers; there is one that came after this was called."""
        now = time.time()
        until(lambda: self.times()[-1] > now, 20, f"an answer to {self.log} at the end")
        self.space.stop(self.process)
        return self.times()


def gaps(times):
    return list(zip(times, times[1:]))


def own_gap(times, plain):
    """(longest gap in ms, the longest less what a probe past the edge missed at that time: the machine stood)."""
    stood = [gap for gap in gaps(plain) if gap[1] - gap[0] > 0.1]
    own = (b - a - max((min(b, d) - max(a, c) for c, d in stood if c < b and d > a), default=0) for a, b in gaps(times))
    return round(1000 * max(b - a for a, b in gaps(times))), round(1000 * max(own))


def kind(space, device):
    """tun is wireguard-go's."""
    return json.loads(ip("-n", space.name, "-d", "-j", "link", "show", device))[0]["linkinfo"]["info_kind"]


class Streams:
    """Connections that were open before and carry bytes all the time, each way; every byte comes back."""

    def __init__(self, net, count):
        self.net, self.ended, self.errors, self.rounds = net, False, [], [0] * count
        self.threads = [threading.Thread(target=self._talk, args=(i,)) for i in range(count)]
        for thread in self.threads:
            thread.start()
        until(lambda: all(self.rounds), 20, "all connections to carry bytes")

    def _talk(self, i):
        try:
            with connect(self.net.internet, CLIENT, FLOATING, 30099, timeout=20) as stream:
                while not self.ended:
                    block = os.urandom(3000)
                    stream.sendall(block)
                    back = b""
                    while len(back) < len(block):
                        part = stream.recv(65536)
                        if not part:
                            raise ConnectionError("closed")
                        back += part
                    assert back == block
                    self.rounds[i] += 1
                    time.sleep(0.005)  # a load that leaves the machine to others
        except (OSError, AssertionError) as error:
            self.errors.append(f"{i}: {error!r}")

    def stop(self):
        self.ended = True
        for thread in self.threads:
            thread.join(30)
        return self.errors


ROUNDS = int(os.environ.get("EDGED_ROTATIONS", 5))
KILLS = int(os.environ.get("EDGED_ROTATION_KILLS", 10))


def test_rotations_under_load_lose_no_connection(net, pair, record_property):
    edged, agent = pair
    node = net.nodes[FAR_NODE[0]].space
    streams = Streams(net, 4)
    probes = {"edge": Probe(edged.space, FAR_NODE[1], edged.folder), "node": Probe(node, "198.18.88.1", edged.folder)}
    plain = Probe(net.internet, "198.51.101.13", edged.folder)
    seen, device = {edge_keys(edged)["wg0"]}, "wg0"
    for _ in range(ROUNDS):
        edged.ctl("tunnel", "rotate", "wg0")
        until(lambda: rotated(edged, device), 20, "the rotation to end")
        device = tunnel(edged)["device"]
        until(lambda: list(agent.keys()) == [device], 10, "the old device to go at the node")
        seen.add(edge_keys(edged)[device])
    assert len({key for pair_of in seen for key in pair_of}) == 2 * (ROUNDS + 1), "every key of every rotation is new"
    times = {side: probe.stop() for side, probe in probes.items()}
    past = plain.stop()
    longest = {side: own_gap(answers, past) for side, answers in times.items()}
    print(f"{ROUNDS} rotations in {past[-1] - past[0]:.0f} s, devices of kind {kind(edged.space, device)}; answers "
          f"{ {side: len(answers) for side, answers in times.items()} }, longest gap in ms, and less the machine's: {longest}; "
          f"past the edge: {len(past)} answers, {own_gap(past, [])[0]} ms; rounds of the streams: {streams.rounds}")
    record_property("gaps_ms", str(longest))
    assert streams.stop() == [], "established connections live through it"
    assert all(own < 1000 for _, own in longest.values()), longest


def passes(space, to):
    return space.run("ping", "-n", "-c", "1", "-W", "1", to, check=False).returncode == 0


def edge_step(edged):
    """How far the edge says it is: 0 begun, 1 the node's key known, 2 our packets moved, 3 the node's too, 4 finished."""
    with open(os.path.join(edged.state_dir, "keys", "wg0.rotation")) as file:
        state = json.load(file)
    if not state["rotating"]:
        return 4
    peer = state["peers"][0]
    return peer["next"]["known"] + peer["moved"] + peer["done"]


def agent_step(agent, slot):
    """The node: 0 idle, 1 prepared, 2 both devices, 3 moved, 4 finished."""
    with open(os.path.join(agent.state_dir, "wg0.state")) as file:
        state = json.load(file)
    return 4 if state["slot"] != slot else state["phase"]


UP, MOVE = 4, 5
# Who is killed, and when: at a step of its own, or of the other's.
MOMENTS = [(who, side, step) for step in range(5) for side in ("edge", "node") for who in ("edge", "node", "both")]


def test_a_kill_at_any_step_leaves_a_working_tunnel(net, bring_up):
    """Whoever is killed stays away for a second: it is the devices alone that the tunnel works with."""
    edged, agent = bring_up(delay=1)
    node, device, met = net.nodes[FAR_NODE[0]].space, "wg0", set()
    for i in range(KILLS):
        who, side, step = MOMENTS[i * 7 % len(MOMENTS)]  # 7: all of them in turn, and a few of each
        slot, starts = int(device != "wg0"), edged.supervisor()["starts"]
        edged.ctl("tunnel", "rotate", "wg0")
        deadline = time.monotonic() + 20
        while (edge_step(edged) if side == "edge" else agent_step(agent, slot)) < step and time.monotonic() < deadline:
            pass
        if who != "node":
            edged.kill("main")
        if who != "edge":
            agent.kill()
        met.add((edge_step(edged), agent_step(agent, slot)))
        assert passes(edged.space, FAR_NODE[1]) and passes(node, "198.18.88.1"), f"kill {i}, {who} at {side} {step}: it works"
        until(lambda: who == "node" or edged.supervisor()["starts"] > starts, 15, "another main")
        until(lambda: edged.answers() and agent.pids(), 15, "both to be back")
        until(lambda: rotated(edged, device), 30, f"kill {i}, {who} at {side} {step}: the rotation to go on to its end")
        device = tunnel(edged)["device"]
        until(lambda: list(agent.keys()) == [device], 30, "the node to have the new keys alone")
        assert agent.keys()[device] == edge_keys(edged)[device][::-1]
    print(f"{KILLS} kills; steps of edge and node when they came: {sorted(met)}")


@contextlib.contextmanager
def unsaid(space, verb):
    """What says this (enum agent_verb in daemon/agent_message.h, the tenth byte) neither comes to this node nor leaves it."""
    drop = f"udp dport 851 @th,136,8 {verb} counter drop"
    space.run("nft", "add table inet unsaid; "
              f"add chain inet unsaid in {{ type filter hook input priority 0; }}; add rule inet unsaid in {drop}; "
              f"add chain inet unsaid out {{ type filter hook output priority 0; }}; add rule inet unsaid out {drop}")
    yield
    space.run("nft", "delete table inet unsaid")


def test_a_node_begins_connections_while_the_ends_differ(net, bring_up):
    """The edge's packets have moved, the node's have not, and its agent is gone: what the node begins comes by another device
    than the answer takes."""
    edged, agent = bring_up(delay=1)
    node = net.nodes[FAR_NODE[0]].space
    with unsaid(node, MOVE):
        edged.ctl("tunnel", "rotate", "wg0")
        until(lambda: edge_step(edged) >= 2, 20, "the edge's packets to move")
        agent.kill()
        assert (edge_step(edged), agent_step(agent, 0)) == (2, 2)
        assert passes(node, "198.18.88.1") and passes(edged.space, FAR_NODE[1])
    assert counter(edged.space, "spoofed")[0] == 0
    # The control: by no device of the tunnel, it is spoofed.
    ip("-n", net.internet.name, "address", "add", f"{FAR_NODE[1]}/32", "dev", "lo")
    net.internet.run("ping", "-n", "-c", "1", "-W", "1", "-I", FAR_NODE[1], FLOATING, check=False)
    assert counter(edged.space, "spoofed")[0] == 1
    until(lambda: rotated(edged, "wg0"), 30, "the rotation to go on to its end")


def test_a_handshake_is_not_yet_a_device_that_works(net, bring_up):
    """As after a kill of the agent between the keys of its next device and its address."""
    edged, agent = bring_up(delay=1)
    node = net.nodes[FAR_NODE[0]].space
    with unsaid(node, UP):
        edged.ctl("tunnel", "rotate", "wg0")
        until(lambda: agent_step(agent, 0) == 2, 20, "both devices at the node")
        until(lambda: any(peer["handshake"] for peer in edge_wg(edged, "wg0-2")["peers"].values()), 20, "the handshake")
        dropped = "nft list chain inet unsaid out"
        until(lambda: "packets 0" not in node.run(*dropped.split()).stdout, 20, "the agent's answer")
        edged.kill("main")
        until(lambda: edged.answers() and waits(edged), 15, "the next main to know what it waits for")
        assert edge_step(edged) == 1 and passes(edged.space, FAR_NODE[1])
    until(lambda: rotated(edged, "wg0"), 30, "the rotation to go on to its end")


def test_a_next_device_that_is_deleted_is_back_at_once(net, bring_up):
    """Its peers call us: where they were seen on that device is all that is known of them."""
    peers = {FAR_NODE[0]: {"public_key": EXAMPLE_PEER, "allowed_ips": [f"{FAR_NODE[1]}/32"], "agent": True,
                           "preshared_key": True},
             "gone": {"public_key": "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "allowed_ips": ["198.18.88.99/32"]}}
    edged, _ = bring_up(peers=peers)
    edged.ctl("tunnel", "rotate", "wg0")
    until(lambda: list(waits(edged)) == ["gone"], 20, "the node with an agent to move")
    streams = Streams(net, 2)
    for device in ("wg0-2", "wg0"):
        until(lambda: not edged.post("/v1/plan")["steps"], 10)
        a_moment(3)  # a look at the tunnels, which is every two seconds
        ip("-n", edged.space.name, "link", "del", device)
        until(lambda: edge_wg(edged, device), 10, "the device to be made anew")
        rounds = list(streams.rounds)
        until(lambda: all(now > before for now, before in zip(streams.rounds, rounds)), 9, "the connections to go on")
    assert streams.stop() == []


def waits(edged):
    found = tunnel(edged)["rotation"]
    return {item["peer"]: item["why"] for item in found["waits_for"]} if found else None


def test_without_an_agent_both_keys_work_until_the_node_was_changed(net, start):
    edged = start(tunnelled(agent=False))
    node = net.nodes[FAR_NODE[0]].space
    ip("-n", node.name, "address", "del", f"{FAR_NODE[1]}/32", "dev", "lo", check=False)
    peer = join_tunnel(node, edged.folder, edge_wg(edged)["public_key"], preshared=preshared_of(edged))
    edged.wait_backends("raw", 1)
    old, streams = edge_keys(edged)["wg0"][0], Streams(net, 2)
    edged.ctl("tunnel", "rotate", "wg0")
    assert waits(edged) == {FAR_NODE[0]: "no handshake with the new key yet"}
    assert FAR_NODE[0] in edged.ctl("show", "tunnels").stdout and FAR_NODE[0] in edged.ctl("status", check=False).stdout
    assert edge_keys(edged)["wg0"][0] == old and edge_wg(edged, "wg0-2")["listen"] == 51821
    with pytest.raises(ApiError) as refused:
        edged.post("/v1/tunnels/wg0/rotate")
    assert refused.value.status == 409

    # A restart goes on waiting, with the same keys.
    now = edge_keys(edged)
    starts = edged.supervisor()["starts"]
    edged.kill("main")
    until(lambda: edged.supervisor()["starts"] > starts and edged.answers(), 15, "another main")
    assert edge_keys(edged) == now and waits(edged) == {FAR_NODE[0]: "no handshake with the new key yet"}
    assert passes(edged.space, FAR_NODE[1])

    # The operator changes the node: what peer export says now has the new key, port and preshared key.
    text = edged.ctl("peer", "export", FAR_NODE[0], "--state-dir", edged.state_dir).stdout
    assert f"PublicKey = {now['wg0-2'][0]}" in text and ":51821" in text and preshared_of(edged, "wg0-2") in text
    path = os.path.join(edged.folder, "new.psk")
    with open(path, "w") as file:
        file.write(preshared_of(edged, "wg0-2"))
    # One peer has an allowed IP: the new one takes it from the old one.
    peer.run("wg", "set", "wg0", "peer", now["wg0-2"][0], "preshared-key", path, "endpoint", f"{FLOATING}:51821",
             "persistent-keepalive", "1", "allowed-ips", "198.18.88.0/24")
    until(lambda: rotated(edged, "wg0"), 20, "the rotation to end")
    assert list(edge_keys(edged)) == ["wg0-2"]
    until(lambda: passes(edged.space, FAR_NODE[1]), 5)
    assert streams.stop() == [], "connections live through it"


def change(path, **values):
    with open(path) as file:
        state = json.load(file)
    state.update(values)
    with open(path, "w") as file:
        json.dump(state, file)


def test_keys_are_changed_by_their_age(pair):
    edged, agent = pair
    edged.stop()
    state = os.path.join(edged.state_dir, "keys", "wg0.rotation")
    change(state, since=int(time.time()) - 3601)
    edged.write(edged.read().replace("    listen: 51820\n", "    listen: 51820\n    rotate_every: 1h\n"))
    edged.start()
    edged.apply()
    until(lambda: rotated(edged, "wg0"), 20, "a rotation that nobody asked for")
    until(lambda: list(agent.keys()) == ["wg0-2"], 10)
    with open(state) as file:
        assert time.time() - json.load(file)["since"] < 60, "the next one is in an hour"


@pytest.mark.skipif(os.path.exists("/run/systemd/timesync/synchronized"), reason="this machine's clock is kept, and believed")
def test_a_clock_that_is_not_right_makes_no_keys(pair):
    edged, agent = pair
    later, state = int(time.time()) + 86400, os.path.join(edged.state_dir, "keys", "wg0.rotation")
    edged.stop()
    change(state, since=later)
    edged.start()
    refused = edged.ctl("tunnel", "rotate", "wg0", check=False)
    assert refused.returncode == 1 and "clock" in refused.stderr and list(edge_keys(edged)) == ["wg0"]
    # The node's: its keys were made in what is the future to it now.
    edged.stop()
    change(state, since=later - 2 * 86400)
    change(os.path.join(agent.state_dir, "wg0.state"), since=later)
    agent.kill()
    edged.start()
    edged.ctl("tunnel", "rotate", "wg0")
    until(lambda: waits(edged) == {FAR_NODE[0]: "its agent's clock is not right yet"}, 10)
    assert list(agent.keys()) == ["wg0"] and passes(edged.space, FAR_NODE[1])
    change(os.path.join(agent.state_dir, "wg0.state"), since=later - 2 * 86400)
    agent.kill()
    until(lambda: rotated(edged, "wg0"), 20, "the rotation to go on")


def test_who_is_not_the_edge_is_not_heard(net, pair):
    """The same bytes from the edge's own machine, but without its port or its hop limit; and bytes that are no message."""
    edged, agent = pair
    state = os.path.join(agent.state_dir, "wg0.state")
    with open(state) as file:
        before = file.read()
    offer = (b"edgedkey" + bytes([1, 1, 0, 0]) + (51821).to_bytes(2, "big") + bytes(2) + (7).to_bytes(8, "big") + b"k" * 32
             + bytes(32))
    with edged.space.inside():
        def sender(port, hops):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
            made.bind(("198.18.88.1", port))
            made.settimeout(0.3)
            return made
        senders = [(sender(0, 255), offer), (sender(851, 254), offer), (sender(851, 255), offer[:-1]),
                   (sender(851, 255), os.urandom(88)), (sender(851, 255), b"")]
    for made, message in senders:
        with made:
            for _ in range(20):
                made.sendto(message, (FAR_NODE[1], 851))
            with pytest.raises(OSError):
                made.recv(100)
    with open(state) as file:
        assert file.read() == before and list(agent.keys()) == ["wg0"]
    # The control: with both it is heard, and nothing comes of an offer that is not gone on with.
    with edged.space.inside():
        made = sender(851, 255)
    with made:
        made.sendto(offer, (FAR_NODE[1], 851))
        assert made.recv(100)[9] == 2
    edged.ctl("tunnel", "rotate", "wg0")
    until(lambda: rotated(edged, "wg0"), 20, "the edge's own to be taken in its place")
