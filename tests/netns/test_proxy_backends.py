"""The forwarder's choice of a backend: refusing, trying again, balancing, draining."""
import time
from collections import Counter

import pytest

from harness import proxy as forwarder
from harness.client import connect, read_exactly
from harness.proxy import SERVERS, SERVERS6, Header, Listener, Proxy, dial, refusal
from harness.wait import until

ALL = [(address, True) for address in SERVERS]


@pytest.fixture(scope="module")
def site(request, root):
    site = forwarder.Site(f"{request.getfixturevalue('prefix')}-pback")
    yield site
    site.remove()


@pytest.fixture
def proxy(site):
    proxy = Proxy(site)
    yield proxy
    proxy.stop()


@pytest.fixture
def servers(site):
    servers = [Listener(site.server, address) for address in SERVERS]
    yield servers
    for server in servers:
        server.close()


def used(servers, site, count, **options):
    """Dial count times, one after the other; how often each server got it. The sockets stay open."""
    hits, socks = Counter(), []
    for server in servers:
        server.sock.setblocking(False)
    for _ in range(count):
        client = dial(site, **options)
        at, sock = until(lambda: taken(servers), 5, "a server to get the connection", every=0.001)
        hits[at] += 1
        socks.append((client, sock, at))
    return hits, socks


def taken(servers):
    for number, server in enumerate(servers):
        try:
            sock, _ = server.sock.accept()
            sock.settimeout(5)
            Header(sock)
            return number, sock
        except BlockingIOError:
            pass
    return None


def close_all(socks):
    for client, sock, _ in socks:
        client.close(), sock.close()


def refused_at_once(site):
    assert refusal(site) < 0.5


def test_all_down_is_refused_at_once(site, proxy, servers):
    proxy.forward(backends=[(address, False) for address in SERVERS]).commit()
    for _ in range(10):
        refused_at_once(site)
    assert proxy.counters()["refused"] == 10 and proxy.open() == 0
    proxy.forward(backends=[]).commit()
    refused_at_once(site)


def test_all_refusing_is_refused_at_once(site, proxy):
    proxy.forward(backends=ALL).commit()
    refused_at_once(site)
    counters = proxy.counters()
    assert counters["connect_failures"] == 3 and counters["refused"] == 1


def test_a_backend_that_refuses_is_passed_over(site, proxy, servers):
    servers[1].close()
    proxy.forward(backends=ALL).commit()
    hits, socks = used([servers[0], servers[2]], site, 20)
    assert hits[0] == 10 and hits[1] == 10
    # Within a second of its failure it is not even tried.
    assert proxy.counters()["connect_failures"] in (1, 2)
    close_all(socks)


def test_a_backend_that_does_not_answer_is_passed_over(site, proxy, servers):
    site.server.nft("table inet hole {\n chain in { type filter hook input priority 0; ip daddr 192.0.2.12 drop; }\n}")
    try:
        proxy.forward(backends=ALL[1:], connect=300).commit()
        start = time.monotonic()
        hits, socks = used([servers[2]], site, 2)
        assert hits[0] == 2 and 0.25 < time.monotonic() - start < 3
        close_all(socks)
        proxy.forward(backends=ALL[1:2], connect=300).commit()
        assert 0.25 < refusal(site) < 2
    finally:
        site.server.run("nft", "delete", "table", "inet", "hole")


def test_at_most_three_backends_are_tried(site, proxy):
    proxy.forward(backends=[(a, True) for a in SERVERS + SERVERS6]).commit()
    refused_at_once(site)
    assert proxy.counters()["connect_failures"] == 3


def test_what_the_client_sent_is_not_lost_by_another_attempt(site, proxy, servers):
    servers[0].close()
    proxy.forward(backends=ALL[:2]).commit()
    for _ in range(4):
        client = dial(site)
        client.sendall(b"x" * 100000)
        sock, _ = servers[1].take()
        assert read_exactly(sock, 100000) == b"x" * 100000
        client.close(), sock.close()


def test_a_client_that_leaves_while_it_waits(site, proxy):
    site.server.nft("table inet hole {\n chain in { type filter hook input priority 0; tcp dport 9000 drop; }\n}")
    try:
        proxy.forward(connect=500).commit()
        for _ in range(20):
            forwarder.reset(dial(site))
        proxy.wait_idle()
    finally:
        site.server.run("nft", "delete", "table", "inet", "hole")


def test_round_robin(site, proxy, servers):
    proxy.forward(backends=ALL).commit()
    hits, socks = used(servers, site, 30)
    assert hits == {0: 10, 1: 10, 2: 10}
    close_all(socks)


def test_least_connections(site, proxy, servers):
    proxy.forward(backends=ALL, balance="least_connections").commit()
    hits, socks = used(servers, site, 30)
    assert hits == {0: 10, 1: 10, 2: 10}
    gone = [entry for entry in socks if entry[2] == 1]
    close_all(gone)
    until(lambda: proxy.open() == 20, what="those of the second server to end")
    hits, more = used(servers, site, 10)
    assert hits == {1: 10}
    close_all(more), close_all(entry for entry in socks if entry[2] != 1)


def test_source_keeps_a_client_at_its_server(site, proxy, servers):
    forwarder.ip("-n", site.client.name, batch=[f"address add 198.51.100.{n}/24 dev eth0" for n in range(101, 141)])
    proxy.forward(backends=ALL, balance="source").commit()
    home = {}
    for last in range(101, 141):
        hits, socks = used(servers, site, 2, source=f"198.51.100.{last}")
        assert len(hits) == 1
        home[last] = next(iter(hits))
        close_all(socks)
    assert min(Counter(home.values()).values()) >= 5
    # One goes: only its clients move.
    proxy.forward(backends=[ALL[0], (SERVERS[1], False), ALL[2]], balance="source").commit()
    for last, before in home.items():
        hits, socks = used(servers, site, 1, source=f"198.51.100.{last}")
        assert (before in hits) == (before != 1)
        close_all(socks)


def test_draining_takes_nothing_new_and_cuts_nothing(site, proxy, servers):
    proxy.forward(backends=ALL[:2]).commit()
    hits, socks = used(servers, site, 10)
    assert hits == {0: 5, 1: 5}
    proxy.forward(backends=[ALL[0], (SERVERS[1], False)]).commit()
    hits, more = used(servers, site, 10)
    assert hits == {0: 10}
    for client, sock, _ in socks:
        client.sendall(b"alive")
        assert read_exactly(sock, 5) == b"alive"
    # The node leaves the configuration altogether, and so does the forward.
    proxy.forward(backends=ALL[:1]).commit()
    proxy.ask("commit")
    for client, sock, _ in socks + more:
        sock.sendall(b"alive")
        assert read_exactly(client, 5) == b"alive"
    assert proxy.counters()["open"] == 20
    close_all(socks), close_all(more)
    until(lambda: proxy.counters() == {}, what="the last trace of the forward to go")


def test_a_backend_that_is_killed_under_way(site, proxy, tmp_path):
    """Its connections are cut at once; new ones go to the others although nobody has marked it down yet."""
    nodes = []
    for number in (0, 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        nodes.append(site.server.start("nginx", "-p", str(folder), "-c", nginx(folder, SERVERS[number]), "-e",
                                       f"{folder}/error.log", log=f"{folder}/out"))
    for number in (0, 1):
        until(lambda n=number: connect(site.edge, None, SERVERS[n], 30080).close() or True, 10, "nginx to listen")
    proxy.forward(backends=ALL[:2], port=30080).commit()
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    clients = []
    for _ in range(20):
        client = dial(site)
        client.sendall(request)
        assert b"200 OK" in client.recv(4096)
        clients.append(client)
    nodes[0].kill()
    nodes[0].wait(5)
    ended = 0
    for client in clients:
        try:
            client.sendall(request)
            ended += client.recv(4096) == b""
        except (ConnectionResetError, BrokenPipeError):
            ended += 1
    assert ended == 10
    for _ in range(20):
        client = dial(site)
        client.sendall(request)
        assert b"200 OK" in client.recv(4096)
        client.close()
    assert proxy.counters()["connect_failures"] in range(1, 5)
    site.server.stop(nodes[1])
    for client in clients:
        client.close()


def nginx(folder, address):
    """A minimal nginx on that address alone, one process, so that killing it leaves nobody behind."""
    path = folder / "nginx.conf"
    temp = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    path.write_text(f"""
user root; daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{ access_log off; {temp} server {{ listen {address}:30080 proxy_protocol; return 200 "ok"; }} }}
""")
    return str(path)
