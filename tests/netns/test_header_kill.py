"""A thousand connections with a header through the kernel, and new ones all the time, while edged is restarted and
killed: none is lost, none is corrupted."""
import os
import random
import selectors
import socket
import struct
import threading

import pytest

from harness import CLIENT, EDGE_WAN, FLOATING, NODES, config, forward, until

FLOWS = int(os.environ.get("FLOWS", "1000"))
TIMES = int(os.environ.get("TIMES", "100"))
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a2111000c")
POOLS = {"web": {"nodes": ["k8s-1"], "health": {"check": "none"}}}
SITE = config(nodes={"k8s-1": {"address": NODES["k8s-1"][0]}}, pools=POOLS,
              forwards={"web": forward(80, 30099, "v2", via="kernel")})


def header(sock):
    """What the node must have read first, and so what its echo begins with."""
    port = sock.getsockname()[1]
    return SIGNATURE + socket.inet_aton(CLIENT) + socket.inet_aton(EDGE_WAN) + struct.pack("!HH", port, 80)


class Crowd(threading.Thread):
    """Connections of one thread: each sends a block, checks what comes back, and sends the next."""

    def __init__(self, space, count):
        super().__init__(daemon=True)
        self.space, self.count, self.errors, self.rounds, self.opened, self.ended = space, count, [], 0, 0, False
        self.selector, self.due = selectors.DefaultSelector(), {}
        self.random, self.ready, self.least = random.Random(1), threading.Event(), 0

    def open(self):
        sock = socket.socket()
        sock.settimeout(20)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.bind((CLIENT, 0))
        sock.connect((FLOATING, 80))
        sock.setblocking(False)
        self.due[sock] = [bytearray(header(sock)), 0]
        self.say(sock)
        self.selector.register(sock, selectors.EVENT_READ)
        self.opened += 1
        return sock

    def say(self, sock):
        block = self.random.randbytes(self.random.randint(1, 1200))
        assert sock.send(block) == len(block)
        self.due[sock][0] += block
        self.due[sock][1] += 1

    def hear(self, sock):
        data, due = sock.recv(65536), self.due[sock][0]
        assert data, "the connection was closed"
        assert due.startswith(data), f"other bytes came back in round {self.due[sock][1]}"
        del due[:len(data)]
        if not due:
            self.rounds += 1
            self.say(sock)

    def close(self, sock):
        self.selector.unregister(sock)
        del self.due[sock]
        sock.close()

    def run(self):
        with self.space.inside():
            try:
                lasting = [self.open() for _ in range(self.count)]
                self.ready.set()
                fresh = []
                while not self.ended:
                    for key, _ in self.selector.select(0.05):
                        self.hear(key.fileobj)
                    fresh.append(self.open())  # and new ones all the time
                    if len(fresh) > 20:
                        oldest = next((s for s in fresh if self.due[s][1] > 1), None)
                        if oldest:
                            fresh.remove(oldest)
                            self.close(oldest)
                        assert len(fresh) < 200, "new connections are not answered"
                until(lambda: self.finish(), 20, "what is under way to come back")
                self.least = min(self.due[sock][1] for sock in lasting)
            except (OSError, AssertionError) as error:
                self.errors.append(repr(error))
            finally:
                self.ready.set()
                for sock in list(self.due):
                    sock.close()

    def finish(self):
        """True once every byte that was sent has come back."""
        for key, _ in self.selector.select(0.05):
            data, due = key.fileobj.recv(65536), self.due[key.fileobj][0]
            assert data and due.startswith(data)
            del due[:len(data)]
        return not any(due for due, _ in self.due.values())


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_no_connection_is_lost(net, start, how):
    edged = start(SITE)
    edged.wait_plane("kernel")
    crowd = Crowd(net.internet, FLOWS)
    crowd.start()
    assert crowd.ready.wait(60) and not crowd.errors, crowd.errors
    randomly = random.Random(how)
    for number in range(TIMES):
        rounds, opened, before = crowd.rounds, crowd.opened, edged.pid
        edged.kill("main", 15 if how == "restart" else 9)
        until(lambda: edged.pid not in (0, before) and edged.answers(), 15, f"edged after {how} {number}")
        until(lambda: crowd.errors or (crowd.rounds > rounds + randomly.randint(0, 30) and crowd.opened > opened), 10,
              "the connections to go on, and new ones to come")
        assert not crowd.errors, f"{how} {number}: {crowd.errors}"
    crowd.ended = True
    crowd.join(60)
    assert not crowd.errors, crowd.errors
    assert crowd.least > 1, "every one of them talked after the first word"
    assert edged.planes()["web"][0] == "kernel"
