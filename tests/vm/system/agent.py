#!/usr/bin/python3
"""Inside of a Debian that systemd has booted (test_agent_unit.py): this machine is a node, its end of the tunnel is kept by
edged-agent@wg0.service, hardening and all; the edge is a network namespace. Ends with the line "all as it should be"."""
import contextlib
import ctypes
import json
import os
import re
import socket
import subprocess
import sys
import time
import traceback

CLONE_NEWNET = 0x40000000
EDGE, NODE, EDGE_IN, NODE_IN = "198.51.100.1", "198.51.100.2", "198.18.88.1", "198.18.88.13"
UNIT, SECRET = "edged-agent@wg0", re.compile(r"(?:PrivateKey|PresharedKey) = \S+")
CONFIG = """version: 1
interfaces: {{ wan: wan, lan: {{ device: lan, networks: [192.0.2.0/24] }} }}
wireguard:
  wg0:
    listen: 51820
    address: 198.18.88.1/24
    peers:
      node: {{ public_key: "{key}", allowed_ips: [198.18.88.13/32], agent: true, preshared_key: true, keepalive: 5s }}
rules:
  - {{ name: knock, from: wg0, to: self, protocol: tcp, port: 9000, action: accept, reason: test }}
"""
# The documentation's networks are no private ones: the unit's own list would keep the agent from speaking with them.
ALLOW = "[Service]\nIPAddressAllow=198.18.88.0/24\n"


def run(*command, check=True, quiet=False):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if not quiet:
        print("$", *command, SECRET.sub("(key)", (result.stdout + result.stderr)[-3000:]), sep="\n", flush=True)
    assert not check or result.returncode == 0, f"{command}: status {result.returncode}"
    return result.stdout


def until(condition, what, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)


@contextlib.contextmanager
def in_edge():
    """What is opened here is in the edge's network namespace."""
    libc = ctypes.CDLL(None)
    with open("/proc/self/ns/net", encoding="utf-8") as home, open("/run/netns/edge", encoding="utf-8") as there:
        assert libc.setns(there.fileno(), CLONE_NEWNET) == 0
        try:
            yield
        finally:
            assert libc.setns(home.fileno(), CLONE_NEWNET) == 0


def edgectl(*arguments, **options):
    return run("edgectl", "--socket", "/run/edge/api.sock", *arguments, **options)


def tunnel():
    return json.loads(edgectl("--json", "show", "tunnels", quiet=True))[0]


def edge_up():
    run("ip", "netns", "add", "edge")
    run("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "wan", "netns", "edge")
    run("ip", "addr", "add", f"{NODE}/24", "dev", "uplink")
    run("ip", "link", "set", "uplink", "up")
    for line in (f"addr add {EDGE}/24 dev wan", "link set wan up", "link set lo up",
                 "link add lan type veth peer name lan2", "addr add 192.0.2.1/24 dev lan", "link set lan up",
                 "link set lan2 up"):
        run("ip", "-n", "edge", *line.split())
    os.makedirs("/etc/edge")
    key = run("sh", "-c", "wg genkey | wg pubkey").strip()  # of nobody: the node gets its own
    with open(os.open("/etc/edge/edged.yaml", os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        file.write(CONFIG.format(key=key))
    # Where the kernel has no WireGuard, each end has sockets of the same name.
    alone = 'mkdir -p /run/wireguard && mount -t tmpfs none /run/wireguard && exec "$@"'
    command = ["nsenter", "--net=/run/netns/edge", "unshare", "--mount", "sh", "-c", alone, "edge", "edged", "--config",
               "/etc/edge/edged.yaml", "--state-dir", "/var/lib/edge", "--runtime-dir", "/run/edge"]
    with open("/run/edge.log", "wb") as log:
        edge = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    until(lambda: os.path.exists("/run/edge/api.sock") and edgectl("status", check=False), "the edge")
    return edge


def onboard():
    """As docs/tunnels.md says, but for the ssh."""
    text = edgectl("peer", "export", "node", "--new-key", "--endpoint", f"{EDGE}:51820", "--state-dir", "/var/lib/edge",
                   quiet=True)
    os.makedirs("/etc/wireguard", exist_ok=True)
    with open(os.open("/etc/wireguard/wg0.conf", os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.makedirs(f"/etc/systemd/system/{UNIT}.service.d")
    with open(f"/etc/systemd/system/{UNIT}.service.d/test.conf", "w", encoding="utf-8") as file:
        file.write(ALLOW)
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", UNIT)
    until(lambda: tunnel()["peers"][0]["up"], "the tunnel to be up")


def passes():
    """Each end reaches the other."""
    with contextlib.suppress(OSError):
        socket.create_connection((EDGE_IN, 9000), 30).close()
        with in_edge():
            socket.create_connection((NODE_IN, 9000), 30).close()
        return True
    return False


def main_pid():
    return int(run("systemctl", "show", "-p", "MainPID", "--value", UNIT, quiet=True))


def hardened():
    """What the unit says is in force, as the kernel sees it."""
    with open(f"/proc/{main_pid()}/status", encoding="utf-8") as file:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in file)
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 1 << 12 | 1 << 10, fields
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2" and fields["Uid"].split()[0] != "0"
    for folder, _, names in os.walk("/var/lib/private/edged-agent/wg0"):
        for name in names:
            assert os.stat(os.path.join(folder, name)).st_mode & 0o077 == 0, name


def devices():
    """{device: (our public key, the edge's)}"""
    fields = [line.split("\t") for line in run("wg", "show", "all", "dump", quiet=True).splitlines()]
    own = {line[0]: line[2] for line in fields if len(line) == 5}
    return {line[0]: (own[line[0]], line[1]) for line in fields if len(line) == 9}


def rotated():
    """New keys at both ends, and the old device gone."""
    before = devices()
    (old,) = before
    edgectl("tunnel", "rotate", "wg0")
    until(lambda: tunnel()["rotation"] is None and tunnel()["device"] != old, "the rotation to end")
    until(lambda: list(devices()) == [tunnel()["device"]], "the old device to go at the node")
    (now,) = devices().values()
    assert not set(now) & set(before[old]), "both keys are new"
    assert passes()


def connection():
    """From the edge to this machine, through the tunnel; each byte comes back."""
    listener = socket.create_server(("", 8080))
    with in_edge():
        sock = socket.create_connection((NODE_IN, 8080), 60)
    other, _ = listener.accept()

    def exactly(end, size):
        """With a timeout set, a socket takes MSG_WAITALL for what is there already."""
        got = b""
        while len(got) < size and (more := end.recv(size - len(got))):
            got += more
        return got

    def talks():
        text = os.urandom(3000)
        sock.sendall(text)
        other.sendall(exactly(other, 3000))
        return exactly(sock, 3000) == text
    return talks


def main():
    run("dpkg", "-i", "/edged.deb")
    edge = edge_up()
    onboard()
    knocked = [socket.create_server(("", 9000), backlog=100)]
    with in_edge():
        knocked.append(socket.create_server(("", 9000), backlog=100))
    assert "wg0" in run("ip", "link", "show", "type", "wireguard") and passes()
    hardened()
    talks = connection()
    assert talks()
    rotated()
    assert talks()
    run("systemctl", "stop", UNIT)
    assert passes() and talks(), "without the agent the tunnel works"
    run("systemctl", "start", UNIT)
    before = devices()
    run("systemctl", "restart", UNIT)
    assert devices() == before
    assert passes() and talks()
    pid = main_pid()
    run("systemctl", "kill", "--kill-who=main", "--signal=SIGKILL", UNIT)
    assert passes() and talks()
    until(lambda: main_pid() not in (0, pid) and run("systemctl", "is-active", UNIT, check=False, quiet=True) == "active\n",
          "another agent")
    assert devices() == before
    hardened()
    rotated()
    assert talks() and list(devices()) == ["wg0"], "the devices take turns"
    assert not run("systemctl", "--failed", "--no-legend", "--plain").strip()
    edge.terminate()
    edge.wait(60)
    assert passes() and talks(), "without the edge's daemon, too"
    print("all as it should be", flush=True)


try:
    main()
except Exception:
    traceback.print_exc(file=sys.stdout)
finally:
    run("journalctl", "-b", "--no-pager", "-u", UNIT, "-n", "60", check=False)
    run("tail", "-n", "40", "/run/edge.log", check=False)
    os.sync()
    os.system("systemctl poweroff --force --force")
