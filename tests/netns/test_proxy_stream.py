"""The forwarder as a pipe: half-close, resets, bulk, slow readers, and random conversations compared byte for byte."""
import os
import random
import selectors
import socket
import threading

import pytest

from harness import proxy as forwarder
from harness.client import read_exactly
from harness.proxy import Listener, Proxy, dial, ending, read_all, reset
from harness.wait import stays

MIB = 1 << 20


@pytest.fixture(scope="module")
def site(request, root):
    site = forwarder.Site(f"{request.getfixturevalue('prefix')}-pstream")
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


def pair(site, server):
    """Both ends of one forwarded connection, behind the header."""
    client = dial(site)
    taken, header = server.take()
    assert header.client_port == client.getsockname()[1]
    return client, taken


def test_the_client_may_finish_first(site, proxy, server):
    proxy.forward().commit()
    client, taken = pair(site, server)
    client.sendall(b"request")
    client.shutdown(socket.SHUT_WR)
    assert read_all(taken) == b"request"
    taken.sendall(b"answer" * 100000)
    taken.close()
    assert read_all(client) == b"answer" * 100000
    client.close()
    proxy.wait_idle()


def test_the_server_may_finish_first(site, proxy, server):
    proxy.forward().commit()
    client, taken = pair(site, server)
    taken.sendall(b"all I have to say")
    taken.shutdown(socket.SHUT_WR)
    assert read_all(client) == b"all I have to say"
    client.sendall(b"but I go on" * 100000)
    client.close()
    assert read_all(taken) == b"but I go on" * 100000
    taken.close()
    proxy.wait_idle()


def test_a_client_that_finished_before_the_server_was_connected(site, proxy, server):
    proxy.forward().commit()
    for data in (b"", b"x", b"y" * 100000):
        client = dial(site)
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        taken, _ = server.take()
        assert read_all(taken) == data
        taken.sendall(b"late answer")
        taken.close()
        assert read_all(client) == b"late answer"
        client.close()
    proxy.wait_idle()


def test_half_closed_stays_open(site, proxy, server):
    proxy.forward().commit()
    client, taken = pair(site, server)
    client.shutdown(socket.SHUT_WR)
    assert taken.recv(1) == b""
    stays(lambda: proxy.open() == 1, 1.0)
    taken.sendall(b"still here")
    assert read_exactly(client, 10) == b"still here"
    client.close(), taken.close()
    proxy.wait_idle()


def test_a_reset_of_the_client_reaches_the_server(site, proxy, server):
    proxy.forward().commit()
    client, taken = pair(site, server)
    client.sendall(b"some")
    assert read_exactly(taken, 4) == b"some"
    reset(client)
    assert ending(taken) == "reset"
    proxy.wait_idle()


def test_a_reset_of_the_server_reaches_the_client(site, proxy, server):
    proxy.forward().commit()
    client, taken = pair(site, server)
    taken.sendall(b"some")
    assert read_exactly(client, 4) == b"some"
    reset(taken)
    assert ending(client) == "reset"
    proxy.wait_idle()


def test_a_reset_after_half_close_is_a_reset(site, proxy, server):
    proxy.forward().commit()
    for first, second in ((0, 1), (1, 0)):
        ends = pair(site, server)
        ends[first].shutdown(socket.SHUT_WR)
        assert ends[second].recv(1) == b""
        reset(ends[second])
        assert ending(ends[first]) == "reset"
        ends[first].close()
    proxy.wait_idle()


def test_data_before_a_reset_arrives(site, proxy, server):
    """As without the proxy in between: what the server said before it cut the connection can be read."""
    proxy.forward().commit()
    for _ in range(20):
        client, taken = pair(site, server)
        taken.sendall(b"413 too large" * 100)
        reset(taken)
        assert read_exactly(client, 1300) == b"413 too large" * 100
        assert ending(client) == "reset"
        client.close()
    proxy.wait_idle()


def test_a_reset_while_the_other_side_is_full(site, proxy, server):
    proxy.forward().commit()
    for end in (0, 1):
        ends = pair(site, server)
        fill(ends[end])
        reset(ends[end])
        # What was in flight comes first, then the cut.
        assert ending(ends[1 - end]) == "reset"
        ends[1 - end].close()
    proxy.wait_idle()


def fill(sock):
    """Send until nothing more is taken; how many bytes it were."""
    sent, block = 0, b"\xa5" * 65536
    sock.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        while selector.select(0.5):
            sent += sock.send(block)
    sock.setblocking(True)
    sock.settimeout(10)
    return sent


def test_a_server_that_speaks_first(site, proxy, server):
    proxy.forward().commit()
    client = dial(site)
    taken, _ = server.take()
    taken.sendall(b"SSH-2.0-server\r\n")
    assert read_exactly(client, 16) == b"SSH-2.0-server\r\n"
    client.sendall(b"SSH-2.0-client\r\n")
    assert read_exactly(taken, 16) == b"SSH-2.0-client\r\n"
    client.close(), taken.close()


def test_small_messages_are_not_delayed(site, proxy, server):
    """Not by Nagle's algorithm on any of the four sockets: 200 exchanges of two small writes each."""
    proxy.forward().commit()
    client, taken = pair(site, server)

    def exchange():
        for here, there in ((client, taken), (taken, client)):
            here.sendall(b"a")
            here.sendall(b"b")
            assert read_exactly(there, 2) == b"ab"
    exchange()
    thread = threading.Thread(target=lambda: [exchange() for _ in range(200)], daemon=True)
    thread.start()
    thread.join(4)
    assert not thread.is_alive(), "200 exchanges took more than 4 s"
    client.close(), taken.close()


def test_urgent_data_neither_stalls_nor_gets_lost(site, proxy, server):
    proxy.forward().commit()
    client, taken = pair(site, server)
    expected = b""
    for number in range(50):
        client.sendall(b"before%03d" % number)
        client.send(b"!", socket.MSG_OOB)
        client.sendall(b"after%03d" % number)
        expected += b"before%03d!after%03d" % (number, number)
    assert read_exactly(taken, len(expected)) == expected
    client.send(b"!", socket.MSG_OOB)
    client.shutdown(socket.SHUT_WR)
    assert read_all(taken) == b"!"
    client.close(), taken.close()


def pump(sock, data, errors):
    """Send data and the end of the stream."""
    try:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
    except OSError as error:
        errors.append(error)


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_200_megabytes(site, proxy, server, direction):
    proxy.forward().commit()
    block = os.urandom(MIB)
    data = b"".join(block[i % 1000:] + block[:i % 1000] for i in range(200))
    client, taken = pair(site, server)
    client.settimeout(120), taken.settimeout(120)
    errors, threads, results = [], [], {}
    ways = {"up": [(client, taken)], "down": [(taken, client)], "both": [(client, taken), (taken, client)]}[direction]
    for number, (source, sink) in enumerate(ways):
        threads.append(threading.Thread(target=pump, args=(source, data, errors)))
        threads.append(threading.Thread(target=lambda n=number, s=sink: results.update({n: read_all(s)})))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors
    for number in range(len(ways)):
        assert len(results[number]) == len(data) and results[number] == data
    client.close(), taken.close()
    proxy.wait_idle()
    counters = proxy.counters()
    assert counters["in"] == (len(data) if direction in ("up", "both") else 0)
    assert counters["out"] == (len(data) if direction in ("down", "both") else 0)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_slow_readers_cost_bounded_memory(site, proxy, server, direction):
    """60 connections, each stuffed until nothing goes in any more: little of it stays in the worker."""
    proxy.forward().commit()
    before = proxy.memory()
    pairs = [pair(site, server) for _ in range(60)]
    sources = [ends[0 if direction == "up" else 1] for ends in pairs]
    sent = stuff(sources)
    held = proxy.memory() - before
    assert held < 60 * 24 * 1024, f"{held} bytes for 60 connections"
    # And all of it arrives when they read at last.
    for number, ends in enumerate(pairs):
        sources[number].shutdown(socket.SHUT_WR)
        assert len(read_all(ends[1 if direction == "up" else 0])) == sent[sources[number]]
    for ends in pairs:
        ends[0].close(), ends[1].close()
    proxy.wait_idle()


def stuff(socks):
    """Write to all until none takes more for half a second; bytes by socket."""
    sent, block = dict.fromkeys(socks, 0), b"\x5a" * 65536
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            selector.register(sock, selectors.EVENT_WRITE)
        while ready := selector.select(0.5):
            for key, _ in ready:
                sent[key.fileobj] += key.fileobj.send(block)
                if sent[key.fileobj] > 64 * MIB:
                    raise AssertionError("it swallows everything")
    for sock in socks:
        sock.setblocking(True)
        sock.settimeout(10)
    return sent


class Talk:
    """One random conversation: each end has a list of things to do; what arrives is compared with what was sent."""

    def __init__(self, site, server, seed):
        self.random = random.Random(seed)
        self.seed = seed
        self.client = dial(site)
        self.server, self.header = server.take()
        self.ends = [self.client, self.server]
        self.plans = [self._plan(), self._plan()]
        self.sent, self.got, self.over, self.cut = [bytearray(), bytearray()], [bytearray(), bytearray()], [False] * 2, False
        for end in self.ends:
            end.setblocking(False)

    def _plan(self):
        sizes = [0, 1, 2, 100, 1000, 1460, 4096, 16383, 16384, 16385, 65536, 300000, 1000000]
        plan = [self.random.choice(sizes) for _ in range(self.random.randrange(8))]
        return plan + [self.random.choice(["finish"] * 6 + ["reset"])]

    def step(self, side):
        """One turn of an end: read some, or write some. False when this end has nothing left to do."""
        sock, plan = self.ends[side], self.plans[side]
        if not self.over[side] and self.random.random() < 0.7:
            self._read(side)
        if plan and not self.cut and self.random.random() < 0.7:
            self._write(sock, side, plan)
        return not self.cut and (bool(plan) or not self.over[side])

    def _read(self, side):
        try:
            data = self.ends[side].recv(self.random.choice([1, 100, 5000, 65536, 1 << 20]))
        except BlockingIOError:
            return
        except ConnectionResetError:
            assert self.cut, f"seed {self.seed}: a reset that nobody sent"
            self.over[side] = True
            return
        self.over[side] |= not data
        self.got[side] += data

    def _write(self, sock, side, plan):
        what = plan[0]
        if what == "finish":
            sock.shutdown(socket.SHUT_WR)
            plan.pop(0)
        elif what == "reset":
            self.cut = True
            reset(sock)
            self.over[side] = True
            plan.clear()
        else:
            data = self.random.randbytes(what)
            try:
                count = sock.send(data) if data else 0
            except BlockingIOError:
                return
            self.sent[side] += data[:count]
            if count == what:
                plan.pop(0)
            else:
                plan[0] = what - count

    def check(self):
        if self.cut:
            left = [end for end in self.ends if end.fileno() >= 0][0]
            left.settimeout(10)
            side = self.ends.index(left)
            try:
                while data := left.recv(65536):
                    self.got[side] += data
                assert self.over[side], f"seed {self.seed}: a reset that arrives as an end"
            except ConnectionResetError:
                pass
        for side in (0, 1):
            sent, got = self.sent[1 - side], self.got[side]
            if self.cut:
                assert sent.startswith(got), f"seed {self.seed}: other bytes than were sent"
            else:
                assert got == sent, f"seed {self.seed}: {len(got)} of {len(sent)} bytes, side {side}"
        for end in self.ends:
            end.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_random_conversations(site, server, workers):
    """400 of them, 40 at a time: sizes, directions, half-closes and resets at random; every byte is compared."""
    proxy = Proxy(site, workers)
    try:
        proxy.forward().commit()
        start = random.randrange(1 << 30)
        for batch in range(10):
            talks = [Talk(site, server, start + batch * 40 + i) for i in range(40)]
            order = random.Random(start + batch)
            active = list(talks)
            turns = 0
            while active:
                order.shuffle(active)
                active = [talk for talk in active if [talk.step(0), talk.step(1)] != [False, False]]
                turns += 1
                assert turns < 200000, [talk.seed for talk in active]
            for talk in talks:
                talk.check()
        proxy.wait_idle()
    finally:
        proxy.stop()


def test_thousands_at_once(site, server):
    """4,000 connections at the same time over two workers, all of them alive."""
    proxy = Proxy(site, 2)
    try:
        proxy.forward().commit()
        pairs = [pair(site, server) for _ in range(4000)]
        assert proxy.open() == 4000
        for number, (client, _) in enumerate(pairs):
            client.sendall(b"%d\n" % number)
        for number, (client, taken) in enumerate(pairs):
            line = b"%d\n" % number
            assert read_exactly(taken, len(line)) == line
            taken.sendall(line)
            assert read_exactly(client, len(line)) == line
        for client, taken in pairs:
            client.close(), taken.close()
        proxy.wait_idle()
        assert proxy.counters()["accepted"] == 4000
    finally:
        proxy.stop()
