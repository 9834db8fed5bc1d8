"""Random TCP conversations: a plan that both ends make from the client's port, and the two ends that follow it.

The server knows the client's port from the PROXY header alone, so a wrong header is a wrong conversation.
"""
import asyncio
import contextlib
import ipaddress
import random
import socket
import struct
import time

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
RESET = (ConnectionResetError, BrokenPipeError)
LINGER_NONE = struct.pack("ii", 1, 0)


class Plan:
    """style "turns": one speaks after the other; "both": both speak at once. end: who ends it, and how."""

    def __init__(self, seed, port):
        pick = random.Random(f"{seed}:{port}")
        self.seed, self.port = seed, port
        self.style = pick.choice(["turns", "turns", "both"])
        if self.style == "turns":
            self.turns = [(pick.choice("cs"), self.size(pick)) for _ in range(pick.randint(1, 6))]
        else:
            self.turns = [("c", self.size(pick)), ("s", self.size(pick))]
        self.ender, self.end = pick.choice("cs"), pick.choice(["close", "half", "half", "reset"])
        self.tail = self.size(pick)

    @staticmethod
    def size(pick):
        return pick.choice([1, pick.randint(1, 100), pick.randint(1, 1500), pick.randint(1, 20000), pick.randint(1, 120000)])

    def data(self, number, size):
        return random.Random(f"{self.seed}:{self.port}:{number}").randbytes(size)

    def __repr__(self):
        return f"port {self.port}: {self.style} {self.turns}, {self.ender} ends by {self.end}, tail {self.tail}"


async def read_exactly(loop, sock, size):
    data = bytearray()
    while len(data) < size:
        piece = await loop.sock_recv(sock, min(size - len(data), 65536))
        if not piece:
            raise EOFError(f"closed after {len(data)} of {size} bytes")
        data += piece
    return bytes(data)


async def read_header(loop, sock):
    """(version, client, port, server, port), and not a byte more."""
    head = await read_exactly(loop, sock, 13)
    if head[:12] == SIGNATURE:
        family, length = struct.unpack("!BH", await read_exactly(loop, sock, 3))
        body, size = await read_exactly(loop, sock, length), 16 if family == 0x21 else 4
        assert head[12] == 0x21 and family in (0x11, 0x21) and length == 2 * size + 4
        addresses = [str(ipaddress.ip_address(body[at:at + size])) for at in (0, size)]
        ports = struct.unpack("!HH", body[2 * size:])
        return "v2", addresses[0], ports[0], addresses[1], ports[1]
    while not head.endswith(b"\n"):
        head += await read_exactly(loop, sock, 1)
        assert len(head) <= 107, head
    words = head.decode().split()
    assert words[0] == "PROXY" and words[1] in ("TCP4", "TCP6") and head.endswith(b"\r\n"), head
    return ("v1", str(ipaddress.ip_address(words[2])), int(words[4]), str(ipaddress.ip_address(words[3])), int(words[5]))


async def hear(loop, sock, plan, number, size):
    assert await read_exactly(loop, sock, size) == plan.data(number, size), f"other bytes in part {number}"


async def hear_end(loop, sock):
    rest = await loop.sock_recv(sock, 1)
    assert rest == b"", "bytes after the end"


async def hear_reset(loop, sock, strict):
    """A reset may be lost, and is repeated only to who speaks."""
    try:
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                data = await asyncio.wait_for(loop.sock_recv(sock, 1), 1)
                assert data == b"" and not strict, "an end without the reset, or bytes after it"
                return
            await loop.sock_sendall(sock, b"?")
    except RESET:
        return


async def speak(loop, sock, plan, me):
    for number, (who, size) in enumerate(plan.turns):
        if who == me:
            await loop.sock_sendall(sock, plan.data(number, size))
        else:
            await hear(loop, sock, plan, number, size)


async def speak_at_once(loop, sock, plan, me):
    mine, other = (0, 1) if me == "c" else (1, 0)
    await asyncio.gather(loop.sock_sendall(sock, plan.data(mine, plan.turns[mine][1])),
                         hear(loop, sock, plan, other, plan.turns[other][1]))


async def end(loop, sock, plan, me, strict):
    if plan.end == "reset":
        # The last word is the other's: what was said before has arrived.
        if me != plan.ender:
            await loop.sock_sendall(sock, b".")
            await hear_reset(loop, sock, strict)
        else:
            assert await read_exactly(loop, sock, 1) == b"."
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        return
    if me == plan.ender:
        sock.shutdown(socket.SHUT_WR)
    else:
        await hear_end(loop, sock)
        if plan.end == "half":
            await loop.sock_sendall(sock, plan.data("tail", plan.tail))
        sock.shutdown(socket.SHUT_WR)
        return
    if plan.end == "half":
        await hear(loop, sock, plan, "tail", plan.tail)
    await hear_end(loop, sock)


async def follow(loop, sock, plan, me, strict):
    await (speak if plan.style == "turns" else speak_at_once)(loop, sock, plan, me)
    await end(loop, sock, plan, me, strict)


class Conversations:
    """count conversations, so many at once. listener: the server's socket; dial(port): a socket of the client's, bound to
    that port, not yet connected. expected(port): the header's fields, None for no header. strict: a reset arrives as one."""

    def __init__(self, seed, listener, dial, target, expected, strict=True):
        self.seed, self.listener, self.dial, self.target = seed, listener, dial, target
        self.expected, self.strict, self.served, self.errors = expected, strict, {}, []
        self.took = {}  # port: seconds

    async def serve(self, loop):
        tasks = set()
        while True:
            sock, peer = await loop.sock_accept(self.listener)
            sock.setblocking(False)
            task = asyncio.ensure_future(self.serve_one(loop, sock, peer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def serve_one(self, loop, sock, peer):
        port = peer[1]
        try:
            with contextlib.closing(sock):
                if self.expected(0):
                    header = await read_header(loop, sock)
                    port = header[2]
                    assert header == self.expected(port), f"header {header}, due is {self.expected(port)}"
                await follow(loop, sock, Plan(self.seed, port), "s", self.strict)
            self.served[port].set_result(None)
        except (OSError, AssertionError, EOFError, ValueError) as error:
            if port in self.served and not self.served[port].done():
                self.served[port].set_exception(AssertionError(f"the server: {error!r}"))
            else:
                self.errors.append(f"{peer}: {error!r}")

    async def one(self, loop, port, limit):
        plan, began = Plan(self.seed, port), time.monotonic()
        self.served[port] = loop.create_future()
        try:
            with contextlib.closing(self.dial(port)) as sock:
                sock.setblocking(False)
                await asyncio.wait_for(loop.sock_connect(sock, self.target), limit)
                await asyncio.wait_for(follow(loop, sock, plan, "c", self.strict), limit)
            await asyncio.wait_for(asyncio.shield(self.served[port]), limit)
            self.took[port] = time.monotonic() - began
        except (OSError, AssertionError, EOFError, asyncio.TimeoutError) as error:
            self.errors.append(f"{plan}: {error!r}")
        if self.served[port].done():
            self.served[port].exception()  # seen, whatever became of it

    async def all(self, ports, at_once, limit):
        loop = asyncio.get_running_loop()
        server = asyncio.ensure_future(self.serve(loop))
        waiting = list(ports)

        async def worker():
            while waiting and len(self.errors) < 5:
                await self.one(loop, waiting.pop(), limit)
        await asyncio.gather(*(worker() for _ in range(at_once)))
        server.cancel()

    def run(self, ports, at_once=150, limit=90):
        asyncio.run(self.all(ports, at_once, limit))
        assert not self.errors, f"seed {self.seed}:\n" + "\n".join(self.errors)
