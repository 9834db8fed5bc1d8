"""edged with the rights that its units have: main is no root and starts no process of another user. All works as it does
with more; a main or a role that is killed loses nothing."""
import os
import signal
import subprocess

import pytest

from harness import CLIENT, FAR_NODE_KEY, FLOATING, config, connect, fetch, forward, until
from harness.edged import BUILD
from harness.namespace import process_alive
from harness.units import USERS, UnitEdged

FORWARDS = {"web": forward(443, 30443, "v2", via="proxy"), "auto": forward(80, 30080, "v2")}
NET_ADMIN_AND_BIND = 1 << 12 | 1 << 10


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)


def user_id(name):
    import pwd  # not on every machine that only collects this
    return pwd.getpwnam(name).pw_uid


@pytest.fixture
def edged(site, net):
    folder = os.path.join(site.folder, "units")
    net.route_to_lan()
    edged = UnitEdged(net.edge, folder, config(forwards=FORWARDS))
    site.instances.append(edged)
    yield edged.start()


def all_run(edged):
    return all(role["state"] == "running" and role["pid"] for role in edged.get("/v1/status")["roles"])


def test_main_has_two_rights_and_the_roles_none(net, edged):
    until(lambda: all_run(edged), 20, "the roles to run")
    for pid, role in edged.roles().items():
        status = status_of(pid)
        assert int(status["Uid"].split()[0]) == user_id("edged" if role == "main" else USERS[role]), role
        assert int(status["CapEff"], 16) == (NET_ADMIN_AND_BIND if role == "main" else 0), role
    assert net.edge.sysctl("net.ipv4.ip_forward") == "1"
    edged.wait_backends("web", 2)
    assert fetch(net.internet, CLIENT, FLOATING, 443, tls=True).status == 200
    # The loader is another unit, and root's; main takes its programs up.
    assert edged.planes()["auto"][0] == "proxy"
    subprocess.run(["nsenter", f"--target={edged.pid}", "--mount", "--net", f"{BUILD}/edged", "--role", "loader",
                    "--runtime-dir", edged.runtime_dir], stdin=subprocess.DEVNULL, check=True, timeout=60)
    edged.wait_plane("kernel", "auto")
    assert fetch(net.internet, CLIENT, FLOATING, 80).client == CLIENT


def test_a_tunnel_comes_up(net, edged):
    """By wireguard-go where the kernel has none: main starts it, and it keeps main's rights."""
    edged.apply(config(forwards=FORWARDS, wireguard={"wg0": {
        "listen": 51820, "address": "198.18.88.1/24", "peers": {"far": {
            "public_key": FAR_NODE_KEY, "allowed_ips": ["198.18.88.13/32"]}}}}))
    assert "198.18.88.1/24" in net.edge.run("ip", "address", "show", "dev", "wg0").stdout
    assert edged.get("/v1/status")["tunnels"]["total"] == 1


def test_killed_roles_come_back(net, edged):
    edged.wait_backends("web", 2)
    for role in USERS:
        until(lambda: all_run(edged), 20, "the roles to run")
        before = [pid for pid, name in edged.roles().items() if name == role]
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(lambda: all_run(edged) and not set(before) & set(edged.roles()), 20, f"{role} to be back")
    assert fetch(net.internet, CLIENT, FLOATING, 443, tls=True).status == 200


def test_a_killed_main_loses_no_connection_of_the_forwarder(net, edged):
    edged.wait_backends("web", 2)
    until(lambda: all_run(edged), 20, "the roles to run")
    workers = [pid for pid, role in edged.roles().items() if role == "proxy"]
    held = connect(net.internet, CLIENT, FLOATING, 443)
    pid = edged.pid
    os.kill(pid, signal.SIGKILL)
    # Doors stay open meanwhile: the former workers accept until the next main's do.
    connect(net.internet, CLIENT, FLOATING, 443).close()
    until(lambda: edged.pid not in (0, pid) and edged.answers() and all_run(edged), 20, "the next main to serve")
    # Those without a connection end, the one that serves ours goes on.
    until(lambda: sum(map(process_alive, workers)) == 1, 20, "former workers to end")
    held.close()
    until(lambda: not any(map(process_alive, workers)), 20, "the last former worker to end")
    assert fetch(net.internet, CLIENT, FLOATING, 443, tls=True).status == 200
    assert [name for name in edged.supervisor()["fds"] if name.startswith("worker-")] == \
        [f"worker-{edged.pid}"] * len(workers), "the store holds the present workers only"
