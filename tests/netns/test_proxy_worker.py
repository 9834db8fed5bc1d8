"""The forwarder's life: reloads, limits, timeouts, the end of main, and messages that no main would send."""
import os
import resource
import signal
import threading
import time

import pytest

from harness import proxy as forwarder
from harness.client import read_exactly
from harness.namespace import process_alive
from harness.proxy import SERVERS, Listener, Proxy, dial, read_all, refusal
from harness.wait import Timeout, stays, until


@pytest.fixture(scope="module")
def site(request, root):
    site = forwarder.Site(f"{request.getfixturevalue('prefix')}-pwork")
    yield site
    site.remove()


@pytest.fixture
def proxy(site):
    proxy = Proxy(site)
    yield proxy
    proxy.stop()


@pytest.fixture
def server(site):
    server = Listener(site.server)
    yield server
    server.close()


def works(site, server, port=8000):
    client = dial(site, port=port)
    taken, header = server.take()
    assert header.client_port == client.getsockname()[1]
    client.sendall(b"ping")
    assert read_exactly(taken, 4) == b"ping"
    taken.sendall(b"pong")
    assert read_exactly(client, 4) == b"pong"
    return client, taken


def close(*pairs):
    for client, taken in pairs:
        client.close(), taken.close()


class EchoServer:
    """Takes connections for ever: reads a header and a request, sends it back, closes."""

    def __init__(self, space, address=SERVERS[0]):
        self.listener = Listener(space, address)
        self.listener.sock.settimeout(0.2)
        self.over = False
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def _loop(self):
        while not self.over:
            try:
                sock, _ = self.listener.take()
            except (TimeoutError, OSError, ConnectionError):
                continue
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    @staticmethod
    def _serve(sock):
        try:
            sock.sendall(read_exactly(sock, 100))
        except OSError:
            pass
        sock.close()

    def close(self):
        self.over = True
        self.thread.join(5)
        self.listener.close()


class Load:
    """Clients that connect, send 100 bytes and want them back, without pause, until they are told to stop."""

    def __init__(self, site, count=4):
        self.site, self.over, self.done, self.failures = site, False, 0, []
        self.threads = [threading.Thread(target=self._loop, args=(n,), daemon=True) for n in range(count)]
        for thread in self.threads:
            thread.start()

    def _loop(self, number):
        data = bytes([number]) * 100
        while not self.over:
            try:
                client = dial(self.site)
                client.sendall(data)
                assert read_all(client) == data
                client.close()
                self.done += 1
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))

    def stop(self):
        self.over = True
        for thread in self.threads:
            thread.join(15)


@pytest.mark.parametrize("workers", [1, 2])
def test_reloads_under_load_lose_nothing(site, workers):
    server = EchoServer(site.server)
    proxy = Proxy(site, workers)
    try:
        proxy.forward().commit()
        old = dial(site)
        load = Load(site)
        for number in range(200):
            extra = [(2, "any", 8001)] if number % 2 else []
            proxy.forward(header=("v1", "v2")[number % 2], balance=("source", "round_robin")[number % 2],
                          listen=[(1, "any", 8000)] + extra)
            if number % 3 == 0:
                proxy.forward("other", listen=[(3, "any", 8002)])
            proxy.commit()
        until(lambda: load.done > 200, 20, "some load")
        load.stop()
        assert not load.failures, load.failures[:3]
        old.sendall(b"z" * 100)
        assert read_all(old) == b"z" * 100
        old.close()
        proxy.wait_idle()
        assert proxy.counters()["refused"] == 0
    finally:
        proxy.stop()
        server.close()


def test_who_waits_at_a_listener_that_goes_is_served(site, proxy, server):
    proxy.forward(listen=[(1, "any", 8000), (2, "any", 8001)]).commit()
    os.kill(proxy.pids[0], signal.SIGSTOP)
    waiting = [dial(site, port=8001) for _ in range(50)]
    proxy.forward().say("commit")
    os.kill(proxy.pids[0], signal.SIGCONT)
    assert proxy._answer().startswith("applied")
    for client in waiting:
        client.sendall(b"hello")
    for _ in waiting:
        taken, _ = server.take()
        assert read_exactly(taken, 5) == b"hello"
        taken.close()
    for client in waiting:
        client.close()
    with pytest.raises(ConnectionRefusedError):
        dial(site, port=8001)


def test_a_refused_configuration_changes_nothing(site, proxy, server):
    proxy.forward().commit()
    # It names a forward twice: main would never, a broken main might.
    proxy.forward("same").forward("same")
    assert proxy.ask("commit") == "refused"
    close(works(site, server))
    assert "same" not in "".join(proxy._list("counters"))


def test_hostile_messages_change_nothing(site, proxy, server):
    proxy.forward().commit()
    alive = works(site, server)
    for kind in range(1, 14):
        if kind == 1:
            continue  # MSG_STOP is obeyed, whatever it carries
        for payload in ("-", "00", "ff" * 100, "0100000001", "01ffffffff", "02" + "00" * 8, "41" * 32768):
            for suffix in ("", " fd"):
                proxy.ask(f"raw {kind} {payload}{suffix}")
    for kind in (0, 14, 99, -1, 2 ** 31 - 1):
        proxy.ask(f"raw {kind} -")
        proxy.ask(f"raw {kind} 00 fd")
    alive[0].sendall(b"still")
    assert read_exactly(alive[1], 5) == b"still"
    close(alive, works(site, server))
    assert proxy.alive() == [True]
    proxy.forward().commit()
    fds = len(os.listdir(f"/proc/{proxy.pids[0]}/fd"))
    for _ in range(100):
        proxy.ask("raw 5 0100000009 fd")
        proxy.ask("raw 4 - fd")
    close(works(site, server))
    proxy.wait_idle()
    assert len(os.listdir(f"/proc/{proxy.pids[0]}/fd")) <= fds + 1, "descriptors of refused messages stay open"


def test_stop_serves_what_is_open(site, server):
    proxy = Proxy(site, 2)
    try:
        proxy.forward().commit()
        pairs = [works(site, server) for _ in range(10)]
        proxy.ask("stop")
        until(lambda: refused(site), 5, "the listeners to close")
        server.drop_waiting()
        for client, taken in pairs[:9]:
            client.sendall(b"bye")
            assert read_exactly(taken, 3) == b"bye"
            client.close(), taken.close()
        client, taken = pairs[9]
        stays(lambda: any(proxy.alive()), 0.5)
        taken.sendall(b"last words")
        taken.close()
        assert read_all(client) == b"last words"
        client.close()
        until(lambda: not any(proxy.alive()), 5, "the workers to end")
    finally:
        proxy.stop()


def refused(site, port=8000):
    try:
        dial(site, port=port).close()
        return False
    except ConnectionRefusedError:
        return True


@pytest.mark.parametrize("how", ["SIGUSR1", "SIGTERM"])
def test_workers_outlive_main(site, server, how):
    proxy = Proxy(site, 2)
    pids = list(proxy.pids)
    try:
        proxy.forward().commit()
        old = works(site, server)
        proxy.say("leave")
        proxy.process.wait(5)
        new = works(site, server)
        for client, taken in (old, new):
            client.sendall(b"without main")
            assert read_exactly(taken, 12) == b"without main"
        for pid in pids:
            os.kill(pid, getattr(signal, how))
        until(lambda: refused(site), 5, "the listeners to close")
        if how == "SIGUSR1":
            for client, taken in (old, new):
                client.sendall(b"goes on")
                assert read_exactly(taken, 7) == b"goes on"
        close(old, new)
        server.drop_waiting()
        until(lambda: not any(process_alive(pid) for pid in pids), 5, "the workers to end")
    finally:
        for pid in pids:
            if process_alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_an_idle_connection_is_closed(site, proxy, server):
    proxy.forward(idle=1000, connect=500).commit()
    client, taken = works(site, server)
    start = time.monotonic()
    assert client.recv(1) == b"" and taken.recv(1) == b""
    assert 0.8 < time.monotonic() - start < 2.5
    close((client, taken))


def test_traffic_in_one_direction_keeps_it_open(site, proxy, server):
    """A long poll or an upload: nothing comes back for many times the time that would be idle."""
    proxy.forward(idle=1000, connect=500).commit()
    client, taken = works(site, server)
    for _ in range(8):
        client.sendall(b"x")
        assert read_exactly(taken, 1) == b"x"
        with pytest.raises(Timeout):
            until(lambda: proxy.open() == 0, 0.4)
    taken.sendall(b"done")
    assert read_exactly(client, 4) == b"done"
    close((client, taken))


def test_a_quiet_connection_is_not_cut(site, proxy, server):
    """Far longer than the connect timeout and the wheel's first turns, with the default of an hour."""
    proxy.forward(connect=200).commit()
    client, taken = works(site, server)
    stays(lambda: proxy.open() == 1, 4)
    # A configuration with a shorter limit counts for it too.
    taken.sendall(b"here")
    assert read_exactly(client, 4) == b"here"
    close((client, taken))


def test_keepalive_is_on_for_both_sides_of_what_lasts(site, proxy, server):
    proxy.forward(connect=200).commit()
    pair = works(site, server)

    def timers():
        lines = site.edge.run("ss", "-Htno", "state", "established").stdout.splitlines()
        return sum("timer:(keepalive," in line for line in lines) == 2
    until(timers, 5, "keepalive on two sockets")
    close(pair)


def test_no_descriptors_left(site, server):
    """256 of them: the worker serves what fits, refuses the rest soon, and takes new ones when there is room."""
    proxy = Proxy(site, 1, 256)
    socks = []
    try:
        proxy.forward().commit()
        pairs = [works(site, server) for _ in range(40)]
        socks = [dial(site) for _ in range(150)]
        room = proxy.open()
        assert 40 < room < 120
        assert refusal(site) < 1.5
        assert any("no room" in line for line in proxy.logged)
        # Those that are served are not harmed, and nothing spins.
        pairs[0][0].sendall(b"alive")
        assert read_exactly(pairs[0][1], 5) == b"alive"
        assert cpu_share(proxy.pids[0], 1.0) < 0.2
        close(*pairs)
        for sock in socks:
            sock.close()
        server.drop_waiting()
        proxy.wait_idle()
        close(*[works(site, server) for _ in range(10)])
    finally:
        for sock in socks:
            sock.close()
        proxy.stop()


def test_descriptors_taken_away(site, proxy, server):
    """EMFILE while the worker believes that there is room."""
    proxy.forward().commit()
    first = works(site, server)
    used = len(os.listdir(f"/proc/{proxy.pids[0]}/fd"))
    resource.prlimit(proxy.pids[0], resource.RLIMIT_NOFILE, (used + 1, 20000))
    for _ in range(5):
        assert refusal(site) < 1.5
    assert cpu_share(proxy.pids[0], 1.0) < 0.2
    first[0].sendall(b"alive")
    assert read_exactly(first[1], 5) == b"alive"
    resource.prlimit(proxy.pids[0], resource.RLIMIT_NOFILE, (20000, 20000))
    until(lambda: not refused_late(site), 5, "accepting again")
    close(first)


def refused_late(site):
    try:
        client = dial(site, timeout=1)
        client.settimeout(0.5)
        client.recv(1)
    except TimeoutError:
        client.close()
        return False
    except ConnectionResetError:
        pass
    return True


def cpu_share(pid, seconds):
    def ticks():
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    before, start = ticks(), time.monotonic()
    stays(lambda: True, seconds)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - start)


def test_idle_workers_sleep(site, proxy, server):
    proxy.forward().commit()
    pairs = [works(site, server) for _ in range(20)]
    with open(f"/proc/{proxy.pids[0]}/status") as file:
        before = [line for line in file if line.startswith("voluntary")]
    assert cpu_share(proxy.pids[0], 2.0) < 0.01
    with open(f"/proc/{proxy.pids[0]}/status") as file:
        after = [line for line in file if line.startswith("voluntary")]
    assert int(after[0].split()[1]) - int(before[0].split()[1]) < 20
    close(*pairs)


def test_the_sandbox(site, proxy):
    with open(f"/proc/{proxy.pids[0]}/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
    assert status["NoNewPrivs"] == "1"
    if "san/" not in os.environ.get("PROXY_DRIVER", ""):
        assert status["Seccomp"] == "2"


def test_counters_and_connections(site, proxy, server):
    proxy.forward().commit()
    client, taken = works(site, server)
    line = proxy.connections()[0].split()
    assert line[1:5] == ["web", "198.51.100.77", str(client.getsockname()[1]), "->"]
    assert line[5:7] == ["k8s-1", SERVERS[0]] and "in=4" in line and "out=4" in line
    assert proxy.counters() == {"accepted": 1, "open": 1, "in": 4, "out": 4, "refused": 0, "connect_failures": 0,
                                "header_errors": 0}
    close((client, taken))
    proxy.wait_idle()
    assert proxy.connections() == []
    assert proxy.counters()["in"] == 4


def test_idle_connections_are_small(site, server):
    """Private memory of the worker for 1,000 idle connections, both sockets' kernel memory aside."""
    proxy = Proxy(site, 1)
    try:
        proxy.forward().commit()
        close(works(site, server))
        before = proxy.memory()
        pairs = [works(site, server) for _ in range(1000)]
        each = (proxy.memory() - before) / 1000
        assert each < 512, f"{each} bytes per connection"
        close(*pairs)
    finally:
        proxy.stop()
