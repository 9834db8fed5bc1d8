"""kill -9 of each role, and of wireguard-go, while connections run through a tunnel: no connection is lost, and what is
right is not touched."""
import os
import random

from harness import FAR_NODE, FAR_NODE_KEY, FAST_HEALTH, config, forward, ip, join_tunnel, until, wg_show
from harness.wireguard import public_key
from test_kill import a_moment, flows

KILLS = 20
CONFIG = config(
    nodes={FAR_NODE[0]: {"address": FAR_NODE[1], "tunnel": "wg0"}},
    pools={"far": {"nodes": [FAR_NODE[0]], "health": FAST_HEALTH}}, forwards={"far": forward(80, 30099, pool="far")},
    wireguard={"wg0": {"listen": 51820, "address": "198.18.88.1/24", "peers": {
        FAR_NODE[0]: {"public_key": public_key(FAR_NODE_KEY), "allowed_ips": [f"{FAR_NODE[1]}/32"]}}}})


def view(edged):
    device = wg_show(edged.space, edged.wireguard_folder)
    for peer in device["peers"].values() if device else []:
        for what in ("received", "sent", "handshake"):
            del peer[what]
    return device


def backends(edged):
    return [pid for pid in edged.space.pids() if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "wireguard-go"]


def begin(net, start):
    edged = start(CONFIG)
    node = net.nodes[FAR_NODE[0]].space
    ip("-n", node.name, "address", "del", f"{FAR_NODE[1]}/32", "dev", "lo", check=False)
    join_tunnel(node, edged.folder, view(edged)["public_key"])
    edged.wait_forwards_up("far")
    return edged


def test_no_role_s_death_reaches_a_tunnel(net, start):
    edged = begin(net, start)
    assert {"main", "api", "prober", "watch"} <= set(edged.roles().values())
    before, processes, randomly = view(edged), backends(edged), random.Random(1)
    index = ip("-n", edged.space.name, "link", "show", "wg0").split(":")[0]
    with flows(net) as running:
        for role in ("watch", "main", "api", "prober"):
            rounds = [flow.rounds for flow in running]
            for number in range(KILLS):
                a_moment(randomly.random() * 0.1)
                killed = edged.kill(role)
                assert killed, f"kill {number}: there is no {role}"
                until(edged.answers, 10, "edged to answer again", every=0.005)
                until(lambda: any(name == role and pid not in killed for pid, name in edged.roles().items()), 5,
                      f"a new {role}")
            assert all(flow.rounds > count for flow, count in zip(running, rounds)), f"they talked while {role} died"
    assert view(edged) == before and backends(edged) == processes
    assert ip("-n", edged.space.name, "link", "show", "wg0").split(":")[0] == index, "the device is the same one"
    assert edged.post("/v1/plan")["steps"] == []


def test_connections_outlive_wireguard_go(net, start):
    edged = begin(net, start)
    before = view(edged)
    for _ in range(5 if backends(edged) else 0):
        with flows(net, 3) as running:
            (pid,) = backends(edged)
            os.kill(pid, 9)
            until(lambda: view(edged) == before and backends(edged) != [pid], 10, "another wireguard-go")
            rounds = [flow.rounds for flow in running]
            until(lambda: all(flow.rounds > count for flow, count in zip(running, rounds)), 9, "the connections to go on")
