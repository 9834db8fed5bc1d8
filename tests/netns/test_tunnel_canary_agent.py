"""The canary at the node's end: the keys of a node with the agent are in their files alone, after a rotation, a restart and
whatever makes the agent fall."""
import os
import signal
import subprocess
import sys

import pytest

from harness import until
from harness.agent import Agent
from harness.wireguard import new_key, public_key
from test_tunnel_canary import Canary, cores, cores_allowed, forms  # noqa: F401
from test_tunnel_rotation import EXAMPLE_PEER, edge_wg, preshared_of, rotated, tunnelled


class NodesCanary(Canary):
    """What the node has: its private keys, and the preshared ones."""

    def __init__(self, net, edged, key):
        self.private, self.preshared, self.edged = key, preshared_of(edged), edged
        self.needles = forms(self.private) + forms(self.preshared)
        self.agent = Agent(net, edged.folder, edge_wg(edged)["public_key"], private=key, preshared=self.preshared)
        self.keys = os.path.join(self.agent.state_dir, "keys")

    def rotate(self):
        (old,) = self.agent.keys()
        self.edged.ctl("tunnel", "rotate", "wg0")
        until(lambda: rotated(self.edged, old), 20, "the rotation to end")
        until(lambda: old not in self.agent.keys(), 10, "the node's old device to go")
        before = len(self.needles)
        self.learn(self.keys)
        assert len(self.needles) > before, "the rotation made keys"


@pytest.fixture
def canary(net, start, cores_allowed):  # noqa: F811
    key = new_key()
    edged = start(tunnelled().replace(EXAMPLE_PEER, public_key(key)))
    canary = NodesCanary(net, edged, key)
    canary.agent.start()
    edged.wait_backends("raw", 1)
    assert canary.agent.show()["public_key"] == public_key(key)
    yield canary
    canary.agent.stop()


def test_the_agent_wipes_what_it_has_used(canary):
    def searched():
        pids = canary.agent.pids()
        for pid in pids:
            assert not canary.in_memory(pid), canary.in_memory(pid)
            for what in ("cmdline", "environ"):
                assert not canary.in_file(f"/proc/{pid}/{what}")
        return pids

    assert searched()
    canary.rotate()
    assert searched(), "the one that agreed on new keys"
    before = canary.agent.kill()
    until(lambda: canary.agent.pids() and canary.agent.pids() != before, 10, "another agent")
    canary.rotate()
    assert searched()
    keepers = [os.path.join(root, name) for root, _, names in os.walk(canary.agent.folder) for name in names
               if canary.in_file(os.path.join(root, name))]
    assert {os.path.dirname(path) for path in keepers} == {canary.agent.folder, canary.keys}
    assert [path for path in keepers if not path.startswith(canary.keys)] == [canary.agent.config]
    assert all(os.stat(path).st_mode & 0o777 == 0o600 for path in keepers), keepers
    # The control: who has the key in memory is found.
    process = subprocess.Popen([sys.executable, "-c", "import sys; key = input(); print(1, flush=True); input()"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write(canary.private + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "1\n" and canary.in_memory(process.pid)
    process.kill()
    process.wait()


def test_the_agent_leaves_no_core_file(canary):
    with open("/proc/sys/kernel/core_pattern") as file:
        pattern = file.read().strip()
    if "/" in pattern or "|" in pattern or not pattern.startswith("core"):
        pytest.skip(f"core files do not come into the current folder here: {pattern}")
    folders = {os.readlink(f"/proc/{pid}/cwd") for pid in canary.agent.pids()}
    before = cores(folders)
    for number in (signal.SIGABRT, signal.SIGSEGV):
        canary.rotate()
        fallen = canary.agent.pids()
        for pid in fallen:
            os.kill(pid, number)
        until(lambda: canary.agent.pids() and not set(fallen) & set(canary.agent.pids()), 10, "another agent")
    assert cores(folders) == before and not canary.in_file(canary.agent.log)
