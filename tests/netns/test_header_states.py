"""Header injection where entries come and go: ports used again, full maps, lost entries,
expiry without edged, restarts and upgrades of the loader.
"""
import os
import socket

import pytest

from harness.header import CLIENT, PUBLIC, load, tool
from harness.puppet import ACK, PSH, RST, SYN, timestamps
from harness.talk import Talk, v2


@pytest.fixture(autouse=True)
def one_cpu():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture
def line(make_line):
    return make_line(puppet=True)


def forget(line):
    """Conntrack's entries go; so ends every flow."""
    line.edge.run("conntrack", "-F")


def close(talk):
    """Both ends have said FIN, and the client is in TIME_WAIT."""
    talk.to_node(flags=ACK | 1)
    talk.at_node(seq=28)
    talk.to_client(flags=ACK | 1, ack=29)
    talk.at_client(ack=1)
    talk.to_node(seq=1, ack=1)
    talk.at_node(seq=29, ack=1)


@pytest.mark.parametrize("isn, stamp", [(900000, 500), (900000, 10)])
def test_port_is_used_again_in_time_wait(line, isn, stamp):
    """The new flow's numbers are its own; the old entry gives way at the SYN-ACK."""
    with Talk(line) as talk:
        talk.stamps = True
        close(talk.open(options=timestamps(90, 0)))
        talk.isn, talk.node_isn = isn, 7000000
        talk.open(options=timestamps(stamp, 0))
        talk.to_node(payload=b"GET /")
        talk.at_node(seq=28, payload=b"GET /")
        talk.to_client(ack=33)
        talk.at_client(ack=5)


def test_stale_ack_of_the_predecessor_and_the_reset_that_answers_it(line):
    """A node that still knows the old flow answers the SYN with an ACK of old numbers; the client's reset has to have
    the number that the node waits for, and the SYN comes again."""
    with Talk(line) as talk:
        close(talk.open())
        talk.client.send(900000, 0, SYN)
        talk.node.expect(seq=900000, flags=SYN)
        talk.to_client(seq=1, ack=29)
        stale = talk.client.expect(seq=talk.node_isn + 2, flags=ACK)
        talk.client.send(stale.ack, 0, RST)
        talk.node.expect(seq=talk.isn + 1 + 29, flags=RST)
        talk.isn, talk.node_isn = 900000, 7000000
        talk.open()


def test_stale_ack_without_an_entry(line):
    """The same where the old flow is no longer known: both numbers pass as they are."""
    with Talk(line) as talk:
        close(talk.open())
        tool("lose", line.runtime)
        forget(line)
        talk.client.send(900000, 0, SYN)
        talk.node.expect(seq=900000, flags=SYN)
        talk.to_client(seq=1, ack=29)
        stale = talk.client.expect(seq=talk.node_isn + 2, ack=talk.isn + 1 + 29)
        talk.client.send(stale.ack, 0, RST)
        talk.node.expect(seq=stale.ack, flags=RST)
        talk.isn, talk.node_isn = 900000, 7000000
        talk.open()


@pytest.mark.parametrize("old", [900000, 1000 - 2 ** 20, 0x80001000])
def test_stale_segments_behind_the_syn_ack(line, old):
    """Reordered: what acknowledges numbers of another flow says nothing of this one's header."""
    with Talk(line) as talk:
        talk.syn()
        talk.node.send(talk.node_isn + 1, old, ACK)
        talk.node.send(talk.node_isn + 1, old, SYN | ACK)
        talk.to_node()
        talk.at_node(seq=0, ack=0, payload=talk.header)
        talk.node.send(talk.node_isn + 1, old, ACK)
        talk.to_node(payload=b"GET /")
        talk.at_node(seq=28, payload=b"GET /")
        talk.to_node(payload=b"GET /")
        talk.at_node(seq=0, ack=0, payload=talk.header)
        talk.at_node(seq=28, payload=b"GET /")


def test_refusal_where_an_old_entry_stands(line):
    """The node's reset acknowledges the new SYN: the old entry must not shift it, or the client would wait."""
    with Talk(line) as talk:
        close(talk.open())
        talk.client.send(900000, 0, SYN)
        talk.node.expect(seq=900000)
        talk.node.send(0, 900001, RST | ACK)
        talk.client.expect(ack=900001, flags=RST | ACK)


def test_plain_flow_where_an_old_entry_stands(line):
    """The same addresses, now without a header: the entry of the flow before it means nothing."""
    with Talk(line) as talk:
        close(talk.open())
        forget(line)
        line.rules(0)
        talk.isn, talk.node_isn = 900000, 7000000
        talk.syn()
        talk.to_node()
        talk.at_node(seq=0, payload=b"")
        talk.to_node(payload=b"GET /")
        talk.at_node(seq=0, payload=b"GET /")
        talk.to_client(ack=5)
        talk.at_client(ack=5)


def test_map_is_full(make_line):
    """The SYN-ACK is dropped, and never a flow let through without its header; when others end, there is room."""
    line = make_line(puppet=True, room=3)
    talks = [Talk(line, sport=40000 + i) for i in range(4)]
    try:
        for talk in talks[:3]:
            talk.open()
        last = talks[3]
        last.client.send(last.isn, 0, SYN)
        last.at_node(seq=-1)
        last.node.send(last.node_isn, last.isn + 1, SYN | ACK)
        last.nothing_at_client()
        assert line.counters()["drop-full"] == 1
        talks[0].to_node(payload=b"still here")
        talks[0].at_node(seq=28, payload=b"still here")
        forget(line)
        last.client.send(last.isn, 0, SYN)
        last.at_node(seq=-1)
        last.node.send(last.node_isn, last.isn + 1, SYN | ACK)
        last.at_client(seq=-1)
        last.to_node()
        last.at_node(payload=last.header)
    finally:
        for talk in talks:
            talk.close()


@pytest.mark.parametrize("first", ["client", "node"])
def test_entry_is_lost(line, first):
    with Talk(line) as talk:
        talk.open()
        talk.to_node(payload=b"GET /")
        talk.at_node(seq=28)
        talk.to_client(ack=33)
        talk.at_client(ack=5)
        if first == "client":
            tool("lose", line.runtime)
        else:
            # As an upgrade to another layout does it: new maps, and flows that live.
            tool("unload", line.runtime)
            load(line.runtime, 1000, line.edge)
            tool("attach", line.runtime, "lan", space=line.edge)
            talk.to_client(ack=33, payload=b"200")
            talk.at_client(seq=0, ack=5, payload=b"200")
        talk.to_node(seq=5, payload=b"more")
        talk.at_node(seq=33, payload=b"more")
        talk.to_client(ack=37)
        talk.at_client(ack=9)
        assert line.counters()["derived"] == 1
        assert line.flows()[0]["derived"] == "1"


def test_entry_is_lost_before_the_header_was_sent(line):
    """Whether the node has the header is not known: what follows is shifted, and it never reads payload first."""
    with Talk(line) as talk:
        talk.syn()
        tool("lose", line.runtime)
        talk.to_node(payload=b"GET /")
        talk.at_node(seq=28, payload=b"GET /")
        talk.nothing_at_node()


def test_segment_that_nothing_explains_is_dropped(line):
    """A simultaneous open, which conntrack allows: the client's numbers are never acknowledged by a SYN-ACK."""
    with Talk(line) as talk:
        talk.client.send(talk.isn, 0, SYN)
        talk.at_node(seq=-1)
        talk.node.send(talk.node_isn, 0, SYN)
        talk.client.expect(flags=SYN)
        talk.to_node(seq=-1, flags=SYN | ACK)
        talk.nothing_at_node()
        assert line.counters()["drop-state"] == 1


def connect(line, port=80):
    """One real connection; returns what the node received."""
    with line.node.inside():
        server = socket.create_server(("192.0.2.11", 8080))
    with line.client.inside():
        client = socket.create_connection((PUBLIC, port), 5)
    with server, client:
        client.sendall(b"x")
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(5)
            received = b""
            while not received.endswith(b"x"):
                received += accepted.recv(100)
            assert received == v2(CLIENT, PUBLIC, client.getsockname()[1], port) + b"x"


def test_entries_expire_without_edged(make_line):
    """Three times the map's size in connections, and nobody but the programs to make room."""
    line = make_line(room=20)
    for number in range(60):
        connect(line)
        if number % 5 == 4:
            forget(line)
        assert line.usage()["entries"] <= 20
    counters = line.counters()
    assert counters["flows"] == 60 and counters["expired"] >= 40 and counters["drop-full"] == 0


def test_live_entries_survive_the_sweep(make_line):
    """Old flows that live are not taken for dead ones."""
    line = make_line(puppet=True, room=20)
    old = [Talk(line, sport=41000 + i) for i in range(5)]
    try:
        for talk in old:
            talk.open()
        for number in range(60):
            with Talk(line, sport=42000 + number) as talk:
                talk.open()
            line.edge.run("conntrack", "-D", "-p", "tcp", "--orig-port-src", 42000 + number)
        for talk in old:
            talk.to_node(payload=b"alive")
            talk.at_node(seq=28, payload=b"alive")
        assert line.counters()["derived"] == 0
    finally:
        for talk in old:
            talk.close()


def test_loader_runs_again_under_live_flows(line):
    """An upgrade: new programs, the old map. What is attached works on, and is replaced when main attaches."""
    with Talk(line) as talk:
        talk.open(acknowledged=False)
        load(line.runtime)
        assert tool("check", line.runtime, "lan", space=line.edge) == "other\n"
        talk.to_node(payload=b"a")
        talk.at_node(seq=28, payload=b"a")
        tool("attach", line.runtime, "lan", space=line.edge)
        assert tool("check", line.runtime, "lan", space=line.edge) == "right\n"
        talk.to_client(ack=29)
        talk.at_client(ack=1)
        talk.to_node(seq=1, payload=b"b")
        talk.at_node(seq=29, payload=b"b")
        assert line.counters()["derived"] == 0 and line.counters()["flows"] == 1


def test_attach_changes_nothing_that_is_right(line):
    def filters():
        return line.edge.run("tc", "filter", "show", "dev", "lan", "egress").stdout
    before = filters()
    tool("attach", line.runtime, "lan", space=line.edge)
    assert filters() == before and "to_node_ether" in before


def test_detached_and_made_anew(line):
    tool("detach", "lan", space=line.edge)
    assert tool("check", line.runtime, "lan", space=line.edge) == "missing\n"
    tool("detach", "lan", space=line.edge)
    line.edge.run("tc", "qdisc", "del", "dev", "lan", "clsact")
    assert tool("check", line.runtime, "lan", space=line.edge) == "missing\n"
    tool("attach", line.runtime, "lan", space=line.edge)
    assert tool("check", line.runtime, "lan", space=line.edge) == "right\n"


def test_filters_of_others_stay(line):
    """Ours come last; detach takes only ours."""
    line.edge.run(*"tc filter add dev lan egress protocol all prio 5 u32 match u32 0 0".split())
    tool("detach", "lan", space=line.edge)
    tool("attach", line.runtime, "lan", space=line.edge)
    seen = line.edge.run("tc", "filter", "show", "dev", "lan", "egress").stdout
    assert "pref 5" in seen and seen.index("pref 5") < seen.index("to_node_ether")


def test_flows_are_listed(line):
    with Talk(line) as talk:
        talk.syn()
        assert [flow["state"] for flow in line.flows()] == ["waiting"]
        talk.to_node()
        talk.at_node(flags=ACK | PSH)
        assert [flow["state"] for flow in line.flows()] == ["unacknowledged"]
        talk.to_client(ack=28)
        talk.nothing_at_client()
        flow, = line.flows()
        assert flow["state"] == "delivered" and flow["length"] == "28" and flow["peer_port"] == "40000"
        assert (flow["node"], flow["node_port"], flow["peer"]) == ("192.0.2.99", "8080", "198.51.100.99")
    assert line.usage()["entries"] == 1
