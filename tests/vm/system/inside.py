#!/usr/bin/python3
"""Inside of a Debian that systemd has booted (test_system.py): the package is installed, configured, upgraded under load and
removed, as an operator does it. A client and a node are network namespaces. Ends with the line "all as it should be"."""
import contextlib
import ctypes
import json
import os
import socket
import subprocess
import time

CONFIG = """version: 1
interfaces: {{ wan: wan, lan: {{ device: lan, networks: [192.0.2.0/24] }} }}
management: {{ from: [198.51.100.128/25], ssh: 22, reason: test }}
nodes: {{ k8s-1: {{ address: 192.0.2.11 }} }}
pools: {{ web: {{ nodes: [k8s-1], health: {{ check: tcp, interval: 1s, timeout: 5s, rise: 1, fall: 3 }} }} }}
forwards:
  proxy: {{ listen: 80, to: "web:8080", via: proxy, reason: test }}
  kernel: {{ listen: 81, to: "web:8080", via: kernel, reason: test }}
  header: {{ listen: 82, to: "web:8081", proxy_protocol: v2, reason: test }}
{more}"""
TUNNEL = """wireguard:
  wg0: {{ listen: 51820, address: 198.18.0.1/24, peers: {{ n: {{ public_key: "{key}", allowed_ips: [198.18.0.2/32] }} }} }}
"""
CLONE_NEWNET = 0x40000000
EDGE, NODE, CLIENT = "198.51.100.1", "192.0.2.11", "198.51.100.2"


def run(*command, check=True):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    print("$", *command, result.stdout[-3000:], result.stderr[-3000:], sep="\n", flush=True)
    assert not check or result.returncode == 0, f"{command}: status {result.returncode}"
    return result.stdout + result.stderr


def until(condition, what, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.2)


def setns(file):
    assert ctypes.CDLL(None).setns(file.fileno(), CLONE_NEWNET) == 0


@contextlib.contextmanager
def space(name):
    """What is opened here is in that network namespace."""
    with open("/proc/self/ns/net", encoding="utf-8") as home, open(f"/run/netns/{name}", encoding="utf-8") as there:
        setns(there)
        try:
            yield
        finally:
            setns(home)


def leg(device, name, ours, theirs, default=None):
    run("ip", "netns", "add", name)
    run("ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "addr", "add", f"{ours}/24", "dev", device)
    run("ip", "link", "set", device, "up")
    run("ip", "-n", name, "addr", "add", f"{theirs}/24", "dev", "eth0")
    run("ip", "-n", name, "link", "set", "eth0", "up")
    run("ip", "-n", name, "route", "add", "default", "via", ours)


def connect(port, seconds=10):
    with space("client"):
        sock = socket.socket()
    sock.settimeout(seconds)
    sock.connect((EDGE, port))
    return sock


def reaches(port, seconds=3):
    with contextlib.suppress(OSError):
        connect(port, seconds).close()
        return True
    return False


class Echo:
    """A server in a child: sends back what comes; one that wants a PROXY header sends the client's address first."""

    def __init__(self, where, port, header=False):
        with space(where) if where else contextlib.nullcontext():
            listener = socket.create_server(("", port), backlog=16)
        if os.fork():
            listener.close()
            return
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                if header:
                    head = connection.recv(28, socket.MSG_WAITALL)
                    connection.sendall(socket.inet_ntoa(head[16:20]).encode() if head[12:13] == b"\x21" else b"?")
                while data := connection.recv(65536):
                    connection.sendall(data)
                os._exit(0)
            connection.close()


def talks(sock, text=b"hello"):
    sock.settimeout(60)
    sock.sendall(text)
    got = b""
    while len(got) < len(text):
        more = sock.recv(65536)
        assert more, "the connection was closed"
        got += more
    return got == text


def planes():
    return {forward["name"]: {plane["plane"] for plane in forward["planes"] if plane["clients"] == "ipv4"}
            for forward in json.loads(run("edgectl", "--json", "show", "forwards"))}


def main_pid():
    return int(run("systemctl", "show", "-p", "MainPID", "--value", "edged"))


def well():
    status = json.loads(run("edgectl", "--json", "status"))
    return all(role["state"] == "running" for role in status["roles"]) and status["forwards"]["up"] == 3


def installed_without_a_configuration():
    said = run("dpkg", "-i", "/edged.deb")
    assert "no configuration yet" in said
    assert run("systemctl", "is-active", "edged", check=False).strip() == "inactive"
    assert "edged" not in run("nft", "list", "ruleset")
    assert reaches(9000), "installing must not cut anybody off"


def configured(more=""):
    with open("/etc/edged/edged.yaml", "w") as file:
        file.write(CONFIG.format(more=more))
    os.chmod("/etc/edged/edged.yaml", 0o600)
    run("edgectl", "check")
    run("systemctl", "start", "edged")
    until(well, "the roles and forwards")
    assert not reaches(9000), "what the configuration does not let in is closed"
    assert run("sysctl", "-n", "net.ipv4.ip_forward").strip() == "1"
    until(lambda: planes()["header"] == {"kernel"}, "the header programs")
    assert connect(82).recv(64) == CLIENT.encode()


def upgraded(connections):
    before = main_pid()
    run("dpkg", "-i", "/edged.deb")
    until(lambda: main_pid() not in (0, before) and well(), "the next main")
    for sock in connections:
        assert talks(sock), "an upgrade loses no connection"


def main():
    leg("wan", "client", EDGE, CLIENT)
    leg("lan", "node", "192.0.2.1", NODE)
    Echo(None, 9000)
    Echo("node", 8080)
    Echo("node", 8081, header=True)
    installed_without_a_configuration()
    key = run("wg", "genkey").strip()
    configured(TUNNEL.format(key=subprocess.run(["wg", "pubkey"], input=key, capture_output=True, text=True,
                                                check=True).stdout.strip()))
    assert "wg0" in run("ip", "link", "show", "type", "wireguard")
    connections = [connect(80), connect(81)]
    assert all(map(talks, connections))
    before = run("nft", "list", "tables")
    run("systemctl", "kill", "--kill-who=main", "--signal=SIGKILL", "edged")
    assert all(map(talks, connections))
    until(well, "main after it was killed")
    upgraded(connections)
    run("edgectl", "apply", "--confirm-within", "2s", "--message", "nothing new")
    assert not run("systemctl", "--failed", "--no-legend", "--plain").strip()
    run("dpkg", "-r", "edged")
    assert run("nft", "list", "tables") == before, "what is closed stays closed"
    assert talks(connections[1]) and not reaches(9000)
    print("all as it should be", flush=True)


try:
    main()
finally:
    run("journalctl", "-b", "--no-pager", "-u", "edged*", "-n", "60")
    os.sync()
    os.system("systemctl poweroff --force --force")
