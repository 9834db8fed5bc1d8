"""The canary: a known private key, and a known preshared one, are found nowhere but in their files. Searched: logs,
answers, histories, every file that edged writes, command lines and environments, the memory of each of its processes
after use, and what these leave behind when they abort where core files are allowed."""
import base64
import contextlib
import fcntl
import json
import os
import re
import resource
import signal
import subprocess
import sys

import pytest

from harness import ip, until, wg_show
from harness.edged import BUILD
from harness.wireguard import new_key, public_key

F_SETPIPE_SZ = 1031
CONFIG = """
version: 1
interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }
floating_ips: [203.0.113.10]
wireguard:
  wg0:
    listen: 51820
    address: 198.18.88.1/24
    peers:
      one:
        public_key: HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=
        allowed_ips: [198.18.88.13/32]
        endpoint: 198.51.101.13:51820
        preshared_key: true
"""


def forms(key):
    """base64 with and without its end, the bytes, and hex in both cases: whatever may have been made of it."""
    raw = base64.b64decode(key)
    return [key.rstrip("=").encode(), raw, raw.hex().encode(), raw.hex().upper().encode()]


class Canary:
    def __init__(self):
        self.private, self.preshared = new_key(), new_key("genpsk")
        self.needles = forms(self.private) + forms(self.preshared)

    def learn(self, folder):
        """What was made meanwhile (a rotation's new keys) is no less secret."""
        for name in os.listdir(folder):
            with open(os.path.join(folder, name)) as file:
                text = file.read().strip()
            if re.fullmatch(r"[A-Za-z0-9+/]{43}=", text):
                self.needles += forms(text)

    def within(self, data):
        return any(needle in data for needle in self.needles)

    def in_file(self, path):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            return self.within(file.read())
        return False

    def in_memory(self, pid):
        """All that a core file of it would hold, and more."""
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                begin, end, rights, name = re.match(r"(\w+)-(\w+) (\S+) \S+ \S+ \S+ *(.*)", line).groups()
                if rights[0] == "r" and not name.startswith("[v"):
                    with contextlib.suppress(OSError):
                        memory.seek(int(begin, 16))
                        if self.within(memory.read(int(end, 16) - int(begin, 16))):
                            return name or "anonymous memory"
        return None


@pytest.fixture
def cores_allowed():
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.fixture
def canary(site, cores_allowed):
    """edged with keys that are known, started where core files are allowed."""
    canary = Canary()
    canary.edged = site.edged(site.network(nodes=False), CONFIG)
    canary.folder = os.path.join(canary.edged.state_dir, "keys")
    os.mkdir(canary.folder, 0o700)
    for name, key in (("wg0.key", canary.private), ("one@wg0.psk", canary.preshared)):
        with open(os.open(os.path.join(canary.folder, name), os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(key + "\n")
    canary.edged.start()
    device = wg_show(canary.edged.space, canary.edged.wireguard_folder)
    assert device["public_key"] == public_key(canary.private), "the keys that were there are used"
    return canary


def use(edged):
    """Everything that has to do with a key: another apply, a repair, a restart, a refused apply, an export."""
    text, links = edged.read(), len(json.loads(ip("-n", edged.space.name, "-json", "link")))
    edged.apply(text.replace("    peers:", "    mtu: 1400\n    peers:"))
    ip("-n", edged.space.name, "link", "del", "wg0")
    until(lambda: wg_show(edged.space, edged.wireguard_folder) and not edged.post("/v1/plan")["steps"], 15)
    with pytest.raises(AssertionError):
        edged.apply(text.replace("listen: 51820", "listen: 51820x"))
    edged.write(text)
    starts = edged.supervisor()["starts"]
    edged.kill("main")
    until(lambda: edged.supervisor()["starts"] > starts and edged.answers(), 15)
    edged.ctl("rollback", "1")
    edged.ctl("peer", "export", "one", "--state-dir", edged.state_dir)
    edged.ctl("tunnel", "rotate", "wg0")
    until(lambda: len(json.loads(ip("-n", edged.space.name, "-json", "link"))) > links, 15, "a device for the new key")


def processes(edged):
    """{pid: what it is} of all of edged's, and wireguard-go."""
    found = dict(edged.roles())
    for pid in edged.space.pids():
        with open(f"/proc/{pid}/comm") as file:
            if file.read().strip() == "wireguard-go":
                found[pid] = "wireguard-go"
    return found


def test_a_known_key_is_nowhere_but_in_its_file(canary):
    edged = canary.edged
    use(edged)
    canary.learn(canary.folder)
    assert len(canary.needles) > 8, "the rotation made a key"
    for command in (["status"], ["show", "tunnels"], ["show", "config"], ["show", "nodes"], ["plan"], ["history"],
                    ["diff", "1"], ["show", "rules"]):
        for options in ([], ["--json"]):
            result = edged.ctl(*options, *command, check=False)
            assert not canary.within((result.stdout + result.stderr).encode()), command
    for path in ("/v1/status", "/v1/tunnels", "/v1/config", "/v1/history", "/v1/nodes", "/metrics"):
        assert not canary.within(str(edged.get(path)).encode()), path
    searched, keepers = 0, []
    for root, _, names in os.walk(edged.folder):
        for path in (os.path.join(root, name) for name in names):
            searched += 1
            if canary.in_file(path):
                keepers.append(path)
                assert root == canary.folder and os.stat(path).st_mode & 0o777 == 0o600, path
    assert {os.path.join(canary.folder, name) for name in ("wg0.key", "one@wg0.psk")} <= set(keepers)
    assert searched > len(keepers) + 5 and edged.log in [os.path.join(edged.folder, name) for name in os.listdir(edged.folder)]
    for pid, name in processes(edged).items():
        for what in ("cmdline", "environ"):
            assert not canary.in_file(f"/proc/{pid}/{what}"), f"{what} of {name}"


def test_memory_is_wiped_after_use(canary):
    edged = canary.edged
    use(edged)
    canary.learn(canary.folder)
    assert len(canary.needles) > 8, "the rotation made a key"
    found = processes(edged)
    assert {"main", "api", "prober", "proxy", "watch"} <= set(found.values())
    for pid, name in found.items():
        if name == "wireguard-go":
            assert canary.in_memory(pid), "who needs it all the time has it: the search finds what there is"
        else:
            assert not canary.in_memory(pid), f"{name}: {canary.in_memory(pid)}"


def cores(folders):
    return {os.path.join(folder, name) for folder in folders for name in os.listdir(folder)
            if re.fullmatch(r"core(\.\d+)?", name)}


def end_with_core(pid, number=signal.SIGSEGV):
    """As a fault would; Go handles SIGABRT itself, and other programs may."""
    os.kill(pid, number)


def test_no_core_file_has_it(canary, tmp_path):
    edged = canary.edged
    with open("/proc/sys/kernel/core_pattern") as file:
        pattern = file.read().strip()
    if "/" in pattern or "|" in pattern or not pattern.startswith("core"):
        pytest.skip(f"core files do not come into the current folder here: {pattern}")
    control = subprocess.Popen([sys.executable, "-c", "import sys; key = input(); print(1, flush=True); input()"],
                               cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    control.stdin.write(canary.private + "\n")
    control.stdin.flush()
    assert control.stdout.readline() == "1\n"
    control.send_signal(signal.SIGSEGV)
    control.wait(20)
    (core,) = cores([tmp_path])
    assert canary.in_file(core), "a core file is made here, and what it holds is found"
    os.unlink(core)

    folders = {os.readlink(f"/proc/{pid}/cwd") for pid in processes(edged)}
    before = cores(folders)
    for name in ("wireguard-go", "watch", "prober", "api", "proxy", "main"):
        for number in (signal.SIGABRT, signal.SIGSEGV):
            pids = [pid for pid, found in processes(edged).items() if found == name]
            if name == "wireguard-go" and not pids:
                continue
            assert pids, f"there is no {name}"
            end_with_core(pids[0], number)
            until(lambda: pids[0] not in processes(edged) and name in processes(edged).values() and edged.answers(), 20,
                  f"another {name} after signal {number}")
    assert cores(folders) == before, "nobody left one"
    assert not canary.in_file(edged.log), "nor said anything of it when it ended"


def writes(pid):
    """In write(2) to standard output (number 1 on x86-64)."""
    with open(f"/proc/{pid}/syscall") as file:
        return file.read().startswith("1 0x1 ")


def test_no_core_file_has_the_key_that_is_handed_out(canary, tmp_path):
    """edgectl peer export, held up where it has the new key and cannot print it."""
    edged = canary.edged
    reading, writing = os.pipe()
    fcntl.fcntl(writing, F_SETPIPE_SZ, 4096)
    os.write(writing, b"x" * 4096)
    process = subprocess.Popen([f"{BUILD}/edgectl", "--socket", edged.socket, "peer", "export", "one", "--new-key",
                                "--state-dir", edged.state_dir], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=writing)
    os.close(writing)
    try:
        until(lambda: writes(process.pid), 20, "it to print")
        assert canary.in_memory(process.pid), "it has the preshared key, too"
        process.send_signal(signal.SIGSEGV)
        process.wait(20)
        assert process.returncode == -signal.SIGSEGV and not cores([tmp_path])
    finally:
        process.kill()
        os.close(reading)
