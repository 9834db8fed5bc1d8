#!/usr/bin/python3
"""Inside of a Debian that systemd has booted (test_system.py): the package is installed, configured, upgraded under load,
removed, installed again and purged, as an operator does it. A client and a node are network namespaces; the client is a
tunnel's other end, too, with the node agent's unit. Ends with the line "all as it should be"."""
import contextlib
import ctypes
import json
import mmap
import os
import re
import signal
import socket
import struct
import subprocess
import time

CONFIG = """version: 1
interfaces: {{ wan: wan, lan: {{ device: lan, networks: [192.0.2.0/24] }} }}
management: {{ from: [198.51.100.128/25], ssh: 22, reason: test }}
nodes: {{ k8s-1: {{ address: 192.0.2.11 }} }}
pools: {{ web: {{ nodes: [k8s-1], health: {{ check: tcp, interval: 5s, timeout: 5s, rise: 1, fall: 3 }} }} }}
forwards:
  proxy: {{ listen: 80, to: "web:8080", via: proxy, reason: test }}
  kernel: {{ listen: 81, to: "web:8080", via: kernel, reason: test }}
  header: {{ listen: 82, to: "web:8081", proxy_protocol: v2, reason: test }}
{more}"""
TUNNEL = """wireguard:
  wg0: {{ listen: 51820, address: 198.18.0.1/24, peers: {{ n: {{ public_key: "{key}", allowed_ips: [198.18.0.2/32],
    agent: true }} }} }}
"""
PEER = """[Interface]
PrivateKey = {private}
Address = 198.18.0.2/32
[Peer]
PublicKey = {public}
AllowedIPs = 198.18.0.0/24
Endpoint = {edge}:51820
PersistentKeepalive = 1
"""
# The documentation's addresses are none that are private; and the agent is another machine's.
DROP_IN = "[Service]\nIPAddressAllow=any\nNetworkNamespacePath=/run/netns/client\n"
ROLES = {"api": "edged-api", "prober": "edged-proxy", "proxy": "edged-proxy", "watch": "edged-watch"}
# The loader mounts and loads programs into the kernel, and is gone then.
MOST_EXPOSURE = {"edged.service": 2.0, "edged-loader.service": 10.0}
MOST_EXPOSURE_OF_OTHERS = 1.5
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


class Load:
    """A client that never rests: on each port a connection that stays, and new ones, one after the other. On port 82 the
    server begins with the address that the header told."""

    def __init__(self, ports):
        self.ports, self.shared = ports, mmap.mmap(-1, 4096)
        self.pid = os.fork()
        if self.pid == 0:
            self._run()
        until(lambda: self.rounds() > 2, "the load")

    def rounds(self):
        return struct.unpack_from("i", self.shared)[0]

    def open(self, port):
        sock = connect(port, 60)
        if port == 82:
            assert sock.recv(len(CLIENT), socket.MSG_WAITALL) == CLIENT.encode(), "the header names another client"
        return sock

    def _run(self):
        ended, lost, rounds = [], [], 0
        signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
        try:
            live = {port: self.open(port) for port in self.ports}
            while not ended:
                for port in self.ports:
                    talks(live[port], os.urandom(3000))
                    with self.open(port) as new:
                        talks(new)
                rounds += 1
                struct.pack_into("i", self.shared, 0, rounds)
        except (OSError, AssertionError) as error:
            lost.append(f"after {rounds} rounds, port {port}: {error!r}")
        struct.pack_into("i", self.shared, 4, not lost)
        self.shared[16:16 + 512] = "".join(lost).encode()[:512].ljust(512)
        os._exit(0)

    def stop(self):
        """How often it went round; nothing may have been lost."""
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)
        assert struct.unpack_from("i", self.shared, 4)[0], self.shared[16:528].decode().strip()
        return self.rounds()


def planes():
    return {forward["name"]: {plane["plane"] for plane in forward["planes"] if plane["clients"] == "ipv4"}
            for forward in json.loads(run("edgectl", "--json", "show", "forwards"))}


def main_pid(unit="edged"):
    return int(run("systemctl", "show", "-p", "MainPID", "--value", unit))


def agent_pid():
    return main_pid("edged-agent@wg0")


def active():
    return run("systemctl", "is-active", "edged", check=False).strip() == "active"


def well():
    said = run("edgectl", "--json", "status", check=False)
    if not said.startswith("{"):
        return False  # the API is not there yet
    status = json.loads(said)
    return all(role["state"] == "running" for role in status["roles"]) and status["forwards"]["up"] == 3


def tunnel():
    return json.loads(run("edgectl", "--json", "show", "tunnels"))[0]


def units(pattern="edged*"):
    """{unit: "active running"}"""
    lines = run("systemctl", "list-units", "--plain", "--no-legend", "--no-pager", pattern).splitlines()
    return {fields[0]: " ".join(fields[2:4]) for fields in map(str.split, lines) if len(fields) > 3}


def the_units_are_well():
    seen = units()
    assert seen.pop("edged.service") == "active running" and seen.pop("edged-loader.service") == "active exited", seen
    for role, user in ROLES.items():
        assert seen.pop(f"edged-{role}.socket").startswith("active"), role
        instances = [unit for unit in seen if unit.startswith(f"edged-{role}@")]
        assert instances, f"{role} does not run"
        for unit in instances:
            assert seen.pop(unit) == "active running", unit
            assert run("systemctl", "show", "-p", "User", "--value", unit).strip() == user
    assert not [unit for unit in seen if not unit.startswith(("edged-agent@", "system-edged"))], seen
    run("systemctl", "--no-pager", "status", "edged")
    assert not run("systemctl", "--failed", "--no-legend", "--plain").strip()


def little_is_exposed():
    """What the service manager says of the units as they run; one of each kind."""
    kinds = {re.sub("@.*", "@", unit): unit for unit in units("edged*.service")}
    assert len(kinds) >= 2 + len(ROLES), kinds
    for unit in kinds.values():
        said = run("systemd-analyze", "security", "--no-pager", unit)
        level = float(re.search(r"Overall exposure level.*: ([\d.]+)", said)[1])
        most = MOST_EXPOSURE.get(unit, MOST_EXPOSURE_OF_OTHERS)
        print(f"exposure of {unit}: {level}", flush=True)
        assert level <= most, f"{unit}: {level}"


def installed_without_a_configuration():
    said = run("dpkg", "-i", "/edged.deb")
    assert "no configuration yet" in said
    assert not active()
    assert "edged" not in run("nft", "list", "ruleset")
    assert reaches(9000), "installing must not cut anybody off"
    run("systemctl", "start", "edged")
    assert not active() and reaches(9000), "without a configuration it does not start"


def configured(more):
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
    the_units_are_well()


def the_agent_takes_new_keys(private):
    """The client's end of the tunnel is the agent's unit."""
    folder = "/etc/systemd/system/edged-agent@wg0.service.d"
    os.makedirs(folder)
    with open(f"{folder}/test.conf", "w") as file:
        file.write(DROP_IN)
    os.makedirs("/etc/wireguard", exist_ok=True)
    with open(os.open("/etc/wireguard/wg0.conf", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(PEER.format(private=private, public=tunnel()["public_key"], edge=EDGE))
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", "edged-agent@wg0")
    until(lambda: tunnel()["peers"][0]["up"], "the agent's handshake")
    run("edgectl", "tunnel", "rotate", "wg0")
    until(lambda: tunnel()["rotation"] is None and tunnel()["device"] == "wg0-2", "new keys at both ends")
    until(lambda: tunnel()["peers"][0]["up"], "the tunnel with new keys")
    assert units("edged-agent@wg0.service") == {"edged-agent@wg0.service": "active running"}


def killed():
    load, before = Load([80, 81, 82]), main_pid()
    run("systemctl", "kill", "--kill-who=main", "--signal=SIGKILL", "edged")
    until(lambda: main_pid() not in (0, before) and well(), "main after it was killed")
    load.stop()


def upgraded(tunnels):
    """To the next version, under load; every process but those with connections of before is of it."""
    load, before, agent = Load([80, 81, 82]), main_pid(), agent_pid()
    rounds = load.rounds()
    said = run("dpkg", "-i", "/next.deb")
    assert "the daemon was replaced" in said
    until(lambda: main_pid() not in (0, before) and well(), "the next main")
    until(lambda: load.rounds() > rounds + 2, "the load to go on")
    load.stop()
    assert "deleted" not in os.readlink(f"/proc/{main_pid()}/exe"), "main is of the version before"
    if tunnels:
        assert agent_pid() != agent, "the agent is of the version before"
        until(lambda: tunnel()["peers"][0]["up"], "the tunnel")
    the_units_are_well()


def removed(connections):
    before = run("nft", "list", "tables")
    said = run("dpkg", "-r", "edged")
    assert "the rules stay" in said
    assert run("nft", "list", "tables") == before, "what is closed stays closed"
    assert all(map(talks, connections)) and not reaches(9000)
    assert not [unit for unit, state in units().items() if state == "active running" and "-proxy@" not in unit]
    assert os.path.exists("/etc/edged/edged.yaml") and os.listdir("/var/lib/edged/revisions")


def installed_with_a_configuration(revisions):
    """Starts closed, and says so; with a file that was never applied, and with revisions."""
    if not revisions:
        run("dpkg", "-P", "edged")
        assert not os.path.exists("/var/lib/edged") and not os.path.exists("/var/lib/private/edged-agent")
        assert os.path.exists("/etc/edged/edged.yaml"), "what somebody wrote is his"
        assert not run("systemctl", "list-unit-files", "--no-legend", "edged*", check=False).strip()
        assert not reaches(9000)
        run("nft", "delete", "table", "inet", "edged")
        assert reaches(9000), "the way back that the documentation names"
    said = run("dpkg", "-i", "/edged.deb" if revisions else "/next.deb")
    assert "what it does not allow is closed now" in said and active()
    assert not reaches(9000), "it starts closed"
    until(well, "the roles and forwards")
    until(lambda: planes()["header"] == {"kernel"}, "the header programs")
    Load([80, 81, 82]).stop()


def installed_with_a_broken_configuration():
    """Closed as after a boot with it, but for management; says what is wrong with it."""
    run("dpkg", "-P", "edged")
    run("nft", "delete", "table", "inet", "edged")
    with open("/etc/edged/edged.yaml", "a") as file:
        file.write("nonsense: 1\n")
    said = run("dpkg", "-i", "/edged.deb")
    assert "nonsense" in said and "closed now but management" in said, said
    assert not reaches(9000)
    until(lambda: "the configuration has errors" in run("edgectl", "status", check=False), "the status")


def main():
    # A container on a kernel without has no tunnel.
    tunnels = not subprocess.run(["ip", "link", "add", "probe", "type", "wireguard"], check=False).returncode
    leg("wan", "client", EDGE, CLIENT)
    leg("lan", "node", "192.0.2.1", NODE)
    Echo(None, 9000)
    Echo("node", 8080)
    Echo("node", 8081, header=True)
    installed_without_a_configuration()
    key = run("wg", "genkey").strip()
    configured(TUNNEL.format(key=subprocess.run(["wg", "pubkey"], input=key, capture_output=True, text=True,
                                                check=True).stdout.strip()) if tunnels else "")
    if tunnels:
        the_agent_takes_new_keys(key)
    little_is_exposed()
    killed()
    upgraded(tunnels)
    run("edgectl", "apply", "--confirm-within", "2s", "--message", "nothing new")
    connections = [connect(80), connect(81)]
    assert all(map(talks, connections))
    removed(connections)
    installed_with_a_configuration(revisions=True)
    installed_with_a_configuration(revisions=False)
    installed_with_a_broken_configuration()
    print("all as it should be", flush=True)


try:
    main()
finally:
    run("journalctl", "-b", "--no-pager", "-n", "150", check=False)
    os.sync()
    os.system("systemctl poweroff --force --force")
