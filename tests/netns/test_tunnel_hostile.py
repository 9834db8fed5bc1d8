"""Whoever stands behind a tunnel's socket in wireguard-go's place, and whatever happens to edged while it asks: the
device is put right, nobody waits for long, and what works is not taken for broken."""
import contextlib
import os
import resource
import signal
import sys

import pytest

from harness import ip, until, wg_show

WIDE = """
version: 1
interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }
wireguard:
  wg0:
    listen: 51820
    address: 198.18.88.1/24
    peers:
      one: { public_key: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=, allowed_ips: [198.18.88.13/32] }
"""
# Each is what follows a connection; {hex} is 64 digits. Bounded, all of them: they end when edged hangs up.
IMPOSTORS = {
    "closes at once": "pass",
    "ends in a line": "say('private_key=00')",
    "half an answer": "say('listen_port=51820\\nfwmark=')",
    "no memory": "say('errno=12\\n\\n')",
    "no such device": "say('errno=19\\n\\n')",
    "an unknown error": "say('errno=4095\\n\\n')",
    "no number": "say('errno=0x0\\n\\n')",
    "empty, but good": "say('errno=0\\n\\n')",
    "twice the end": "say('errno=0\\n\\nerrno=0\\n\\n')",
    "a peer twice": "say('public_key=' + 'ab' * 32 + '\\npublic_key=' + 'ab' * 32 + '\\nerrno=0\\n\\n')",
    "no text": "c.sendall(bytes(range(256)) * 100 + b'\\n\\n')",
    "for ever, in one line": "[c.sendall(b'x' * 65536) for _ in range(10000)]",
    "drop by drop": "[(c.sendall(b'a=1\\n'), select.select([], [], [], 0.01)) for _ in range(3000)]",
    "silence": "c.recv(1); select.select([c], [], [], 30)",
}
PROGRAM = """
import os, select, signal, socket, sys
path, what = sys.argv[1:]
signal.alarm(60)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path + ".new")
listener.listen(8)
os.rename(path + ".new", path)
while True:
    c = listener.accept()[0]
    say = lambda text: c.sendall(text.encode())
    try:
        exec(what)
    except OSError:
        pass
    c.close()
"""


@pytest.fixture
def edged(site):
    edged = site.edged(site.network(nodes=False), WIDE, environment={"EDGED_WIREGUARD": "userspace"})
    return edged.start()


def backends(edged):
    found = []
    for pid in edged.space.pids():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as file:
            if file.read().strip() == "wireguard-go":
                found.append(pid)
    return found


def is_right(edged):
    device = wg_show(edged.space, edged.wireguard_folder)
    return device and device["listen"] == 51820 and len(device["peers"]) == 1 and not edged.post("/v1/plan")["steps"]


def test_impostors_are_replaced_and_hold_up_nobody(edged):
    key = wg_show(edged.space, edged.wireguard_folder)["public_key"]
    for name, what in IMPOSTORS.items():
        before, socket = backends(edged), os.path.join(edged.wireguard_folder, "wg0.sock")
        impostor = edged.space.start(sys.executable, "-c", PROGRAM, socket, what,
                                     log=os.path.join(edged.folder, "impostor.log"))
        until(lambda: not (set(backends(edged)) & set(before)) and backends(edged), 20, f"another process: {name}")
        until(lambda: is_right(edged), 15, f"the tunnel to be right again: {name}")
        assert wg_show(edged.space, edged.wireguard_folder)["public_key"] == key
        impostor.kill()
        impostor.wait(5)
    assert len(backends(edged)) == 1, "none is left behind"


def waits_in_poll(pid):
    """poll(2) is number 7 on x86-64; the loop itself waits in epoll_wait."""
    with open(f"/proc/{pid}/syscall") as file:
        return file.read().split()[0] == "7"


def test_a_signal_while_it_waits_breaks_nothing(edged):
    before = backends(edged)
    os.kill(before[0], signal.SIGSTOP)
    try:
        # The end of a role is a signal to main. The second one meets it when it has looked again, to be sure.
        for role in ("api", "prober"):
            until(lambda: waits_in_poll(edged.pid), 10, "main to wait for wireguard-go", every=0.005)
            assert edged.kill(role)
            until(lambda: role not in edged.roles().values() or not waits_in_poll(edged.pid), 0.3, every=0.005)
    finally:
        os.kill(before[0], signal.SIGCONT)
    until(edged.answers, 10)
    until(lambda: is_right(edged), 10)
    assert backends(edged) == before, "it was slow, not broken"


def test_without_descriptors_nothing_is_torn_down(edged):
    before, pid = backends(edged), edged.pid
    index = ip("-n", edged.space.name, "link", "show", "wg0").split(":")[0]
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    # One is free, for the client that comes with a request.
    free = next(number for number in range(len(used) + 1) if number not in used)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free + 1, limits[1]))
    try:
        # It looks at the tunnels, and would put them right at once; its answer may have to wait for a descriptor.
        with contextlib.suppress(OSError, AssertionError):
            edged.post("/v1/bans", {"address": "203.0.113.200"}, timeout=2)
        until(lambda: "Too many open files" in edged.log_tail(), 10)
        assert backends(edged) == before
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    until(edged.answers, 10)
    until(lambda: is_right(edged), 10)
    assert backends(edged) == before and ip("-n", edged.space.name, "link", "show", "wg0").split(":")[0] == index
