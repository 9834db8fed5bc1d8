"""The forwarder's PROXY header, as real receivers and raw sockets read it."""
import json
import subprocess

import pytest

from harness import proxy as forwarder
from harness.client import fetch, read_exactly
from harness.node import Node, make_certificate
from harness.proxy import (CLIENT, CLIENT6, EDGE, EDGE6, EDGE_LAN, SERVERS, SERVERS6, SIGNATURE, Listener, Proxy, dial,
                           read_all)
from harness.wait import until


@pytest.fixture(scope="module")
def site(request, root, tmp_path_factory):
    prefix = request.getfixturevalue("prefix")
    site = forwarder.Site(f"{prefix}-phead")
    try:
        folder = str(tmp_path_factory.mktemp("node"))
        site.node = Node("k8s-1", site.server, folder, make_certificate(folder))
        site.node.wait_ready()
        yield site
    finally:
        site.remove()


@pytest.fixture
def proxy(site):
    proxy = Proxy(site)
    yield proxy
    proxy.stop()


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("receiver", ["nginx", "haproxy"])
@pytest.mark.parametrize("client", [4, 6])
@pytest.mark.parametrize("server", [4, 6])
def test_receivers_see_the_client(site, proxy, version, receiver, client, server):
    port = {"nginx": 30080, "haproxy": 31080}[receiver]
    proxy.forward(header=version, port=port, backends=[((SERVERS if server == 4 else SERVERS6)[0], True)]).commit()
    address = EDGE if client == 4 else EDGE6
    for _ in range(3):
        answer = fetch(site.client, CLIENT if client == 4 else CLIENT6, address, 8000)
        assert answer.status == 200 and answer.by == receiver
        assert answer.client == answer.local[0] and int(answer.client_port) == answer.local[1]
        assert answer.server == address and int(answer.server_port) == 8000


def test_tls_goes_through_untouched(site, proxy):
    proxy.forward(port=30443).commit()
    answer = fetch(site.client, CLIENT, EDGE, 8000, tls=True)
    assert answer.scheme == "https" and answer.client == CLIENT


def test_curl(site, proxy):
    proxy.forward(port=30080).commit()
    result = site.client.run("curl", "-sS", "--max-time", "5", f"http://{EDGE}:8000/", f"http://{EDGE}:8000/")
    for line in result.stdout.splitlines():
        assert json.loads(line)["client"] == CLIENT


def test_none_adds_nothing(site, proxy):
    server = Listener(site.server)
    proxy.forward(header="none").commit()
    client = dial(site)
    client.sendall(b"first bytes")
    taken = server.accept()
    assert read_exactly(taken, 11) == b"first bytes"
    client.close(), taken.close(), server.close()


@pytest.mark.parametrize("fake", [
    SIGNATURE + b"\x21\x11\x00\x0c" + bytes([203, 0, 113, 66, 203, 0, 113, 67, 1, 2, 3, 4]),
    b"PROXY TCP4 203.0.113.66 203.0.113.67 1 2\r\n",
])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_header_from_the_client_is_payload(site, proxy, version, fake):
    server = Listener(site.server)
    proxy.forward(header=version).commit()
    client = dial(site)
    client.sendall(fake + b"hello")
    taken, header = server.take()
    assert header.client == CLIENT and header.client_port == client.getsockname()[1]
    assert read_exactly(taken, len(fake) + 5) == fake + b"hello"
    client.close(), taken.close(), server.close()


def test_nginx_refuses_what_a_client_fakes(site, proxy):
    proxy.forward(port=30080).commit()
    client = dial(site)
    client.sendall(b"PROXY TCP4 203.0.113.66 203.0.113.67 1 2\r\nGET / HTTP/1.0\r\n\r\n")
    assert b" 400 " in read_all(client).split(b"\r\n")[0]
    client.close()


def redirect(site, text):
    site.edge.nft("table inet redirected {\n chain in { type nat hook prerouting priority dstnat;\n" + text + "\n }\n}")


@pytest.mark.parametrize("address,floating,client", [(4, "203.0.113.10", CLIENT), (6, "2001:db8:f::10", CLIENT6)])
@pytest.mark.parametrize("listen", ["any", "own"])
def test_the_destination_is_what_was_dialled_before_a_redirect(site, proxy, address, floating, client, listen):
    """Hairpin: a floating IP that is not this machine's own is redirected to it."""
    redirect(site, f"ip{'6' if address == 6 else ''} daddr {floating} tcp dport 443 redirect to :8000")
    server = Listener(site.server)
    try:
        own = EDGE if address == 4 else EDGE6
        proxy.forward(listen=[(1, "any" if listen == "any" else own, 8000)]).commit()
        sock = dial(site, floating, 443)
        taken, header = server.take()
        assert (header.client, header.server, header.server_port) == (client, floating, 443)
        assert header.client_port == sock.getsockname()[1]
        sock.close(), taken.close()
    finally:
        site.edge.run("nft", "delete", "table", "inet", "redirected")
        server.close()


def test_a_redirected_connection_finds_the_forward_of_its_address(site, proxy):
    """Two forwards on the same port, of different floating addresses, and one that takes the rest."""
    redirect(site, "ip daddr { 203.0.113.10, 203.0.113.11, 203.0.113.12 } tcp dport 8000 redirect")
    server = Listener(site.server, "192.0.2.11"), Listener(site.server, "192.0.2.12"), Listener(site.server, "192.0.2.13")
    site.edge.sysctl("net.ipv4.ip_nonlocal_bind", 1)
    try:
        proxy.forward("one", backends=[(SERVERS[0], True)], listen=[(1, "203.0.113.10", 8000)])
        proxy.forward("two", backends=[(SERVERS[1], True)], listen=[(2, "203.0.113.11", 8000)])
        proxy.say("listen 3 any 8000 none")
        proxy.commit()
        for number, address in enumerate(["203.0.113.10", "203.0.113.11"]):
            sock = dial(site, address)
            taken, header = server[number].take()
            assert header.server == address
            sock.close(), taken.close()
        sock = dial(site, "203.0.113.12")
        assert forwarder.ending(sock) == "reset"
        sock.close()
        proxy.forward("one", backends=[(SERVERS[0], True)], listen=[(1, "203.0.113.10", 8000)])
        proxy.forward("rest", backends=[(SERVERS[2], True)], listen=[(3, "any", 8000)])
        proxy.commit()
        for number, address in [(0, "203.0.113.10"), (2, "203.0.113.11"), (2, "203.0.113.12"), (2, EDGE)]:
            sock = dial(site, address)
            taken, header = server[number].take()
            assert header.server == address
            sock.close(), taken.close()
    finally:
        site.edge.run("nft", "delete", "table", "inet", "redirected")
        for one in server:
            one.close()


def test_header_and_first_data_leave_in_one_segment(site, proxy):
    """On the handshake's ACK. The first SYN is lost, so that the client's data is there before the connection is."""
    server = Listener(site.server)
    proxy.forward(connect=5000).commit()
    capture = site.edge.start("tcpdump", "-i", "lan", "-n", "-U", "--immediate-mode", "-c", "3", "tcp dst port 9000",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "listening on" not in capture.stderr.readline():
        pass
    site.server.nft("table inet lossy {\n chain in { type filter hook input priority 0; tcp flags syn drop; }\n}")
    client = dial(site)
    client.sendall(b"x" * 1000)
    until(lambda: "connecting" in proxy.connections()[0], what="the edge to wait for the server")
    site.server.run("nft", "delete", "table", "inet", "lossy")
    taken, _ = server.take()
    assert read_exactly(taken, 1000) == b"x" * 1000
    client.close(), taken.close(), server.close()
    output, _ = capture.communicate(timeout=10)
    sizes = [int(line.rsplit("length ", 1)[1].split()[0].rstrip(":")) for line in output.splitlines()]
    assert sizes == [0, 0, 1028], output
    assert EDGE_LAN in output
