"""Header injection with what is a module of Debian's kernels, and not everywhere: flowtables
and VLAN devices. Skipped where they are missing; tests/vm runs this file.
"""
import socket

import pytest

from harness.conversation import conversation
from harness.header import CLIENT, EDGE_LAN, NODE, PUBLIC, tool
from harness.namespace import ip
from harness.talk import v2
from harness.wait import until

FLOWTABLE = """
table inet edge {
	flowtable fast {
		hook ingress priority 0
		devices = { wan, lan }
	}
	chain passing {
		ct state established flow add @fast
	}
}
"""


def test_flowtable_above(make_line):
    """Its packets have no conntrack entry with them; the header is there, and so is each byte."""
    line = make_line(offload=False)
    if line.edge.nft(FLOWTABLE, check=False).returncode:
        pytest.skip("this kernel has no flowtables")
    with line.node.inside():
        listener = socket.create_server((NODE, 8080))
    with line.client.inside():
        client = socket.create_connection((PUBLIC, 80), 10)
    with listener, client:
        server, _ = listener.accept()
        with server:
            header = v2(CLIENT, PUBLIC, client.getsockname()[1], 80)
            received = b""
            for number in range(20):
                client.sendall(b"ping %02d" % number)
                received += server.recv(1000)
                server.sendall(b"pong")
                assert client.recv(100) == b"pong"
            until(lambda: "OFFLOAD" in line.edge.run("conntrack", "-L").stdout, 5, "the flow to be offloaded")
            client.sendall(b"end")
            server.settimeout(10)
            while not received.endswith(b"end"):
                received += server.recv(1000)
            assert received == header + b"".join(b"ping %02d" % number for number in range(20)) + b"end"
    counters = line.counters()
    assert counters["sent"] == 1 and counters["derived"] == 0 and counters["drop-state"] == 0
    with conversation(line, PUBLIC, 2000000) as (data, sent, port):
        assert data == v2(CLIENT, PUBLIC, port, 80) + sent
    assert line.checksum_errors() == 0


def test_lan_is_a_vlan(make_line):
    line = make_line()
    try:
        ip("-n", line.edge.name, "link", "add", "link", "lan", "name", "lan100", "type", "vlan", "id", "100")
    except OSError:
        pytest.skip("this kernel has no VLAN devices")
    ip("-n", line.node.name, "link", "add", "link", "eth0", "name", "eth100", "type", "vlan", "id", "100")
    for space, device, parent, address in ((line.edge, "lan100", "lan", EDGE_LAN), (line.node, "eth100", "eth0", NODE)):
        ip("-n", space.name, batch=[f"address del {address}/24 dev {parent}", f"address add {address}/24 dev {device}",
                                    f"link set {device} up"])
    ip("-n", line.node.name, "route", "replace", "default", "via", EDGE_LAN)
    tool("detach", "lan", space=line.edge)
    tool("attach", line.runtime, "lan100", space=line.edge)
    with conversation(line, PUBLIC, 200000) as (data, sent, port):
        assert data == v2(CLIENT, PUBLIC, port, 80) + sent
