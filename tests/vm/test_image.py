"""The image, from power-on: closed before a configuration, in force after it, and again after a reboot."""
import contextlib
import glob
import os
import socket
import struct
import subprocess
import threading

import image
import machine
import pytest

pytestmark = pytest.mark.skipif(os.environ.get("EDGED_VM") != "image", reason="builds and boots the image: make image-test")

MANAGEMENT = """version: 1
interfaces: { wan: wan }
management: { from: [198.51.100.0/25], ssh: 22, reason: test }
"""
BROKEN = "version: 1\ninterfaces: { wan: wan }\nforwards:\n  web: { listen: 80, to: nowhere:1, reason: test }\n"


def configuration(node_port):
    return f"""version: 1
interfaces:
  wan: wan
  lan: {{ device: lan, networks: [192.0.2.0/24] }}
management: {{ from: [198.51.100.0/25], ssh: 22, reason: test }}
nodes:
  k8s-1: {{ address: {image.HOST_LAN} }}
pools:
  ingress: {{ nodes: [k8s-1], health: {{ check: tcp, interval: 2s, timeout: 2s, rise: 1, fall: 3 }} }}
forwards:
  web: {{ listen: 80, to: "ingress:{node_port}", proxy_protocol: v2, via: proxy, reason: test }}
"""


@pytest.fixture(scope="module", autouse=True)
def built(root):
    missing = machine.missing_tools()
    if missing:
        pytest.skip(f"needs {' '.join(missing)}")
    assert glob.glob(image.IMAGES), "make image comes first"


@pytest.fixture
def node():
    """A node on this machine's loopback: answers with the address that the PROXY header told."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(20)
                    head = connection.recv(28, socket.MSG_WAITALL)
                    if head[:12] == b"\r\n\r\n\0\r\nQUIT\n" and head[12:14] == b"\x21\x11":
                        port, = struct.unpack("!H", head[26:28])
                        client, asked = socket.inet_ntoa(head[16:20]), socket.inet_ntoa(head[20:24])
                        connection.sendall(f"{client} asked {asked}:{port}\n".encode())
    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


def test_first_boot_and_reboot(tmp_path, node):
    cd = image.seed(str(tmp_path), "cidata", {"meta-data": "instance-id: one\n",
                                              "user-data": image.user_data(configuration(node), MANAGEMENT)})
    vm = image.ImageVm(str(tmp_path), cd)
    with vm.power():
        vm.wait_console("the configuration of the user-data is in force")
        assert vm.wait_answer(22).startswith(b"SSH-2.0")
        assert vm.wait_answer(80, b"hello").decode().startswith(f"{image.HOST_WAN} asked 198.51.100.15:80")
    # The plug was pulled; what is committed comes back, and the cloud is not asked for it.
    vm.cd = None
    with vm.power():
        assert vm.wait_answer(80, b"hello", 400).decode().startswith(f"{image.HOST_WAN} asked 198.51.100.15:80")
        assert vm.wait_answer(22).startswith(b"SSH-2.0")


def test_broken_user_data_leaves_management_open_with_uefi_and_scsi(tmp_path):
    cd = image.seed(str(tmp_path), "config-2", {
        "openstack/latest/meta_data.json": '{"uuid": "two", "hostname": "edge"}',
        "openstack/latest/user_data": image.user_data(BROKEN, MANAGEMENT)})
    vm = image.ImageVm(str(tmp_path), cd, firmware="uefi", bus="scsi")
    with vm.power():
        vm.wait_console("only management is open")
        assert "edged.yaml:4:" in vm.console(), "the error and its line are on the console"
        assert vm.wait_answer(22).startswith(b"SSH-2.0")
        assert vm.ask(80, b"hello") is None


def test_without_a_configuration_it_is_closed(tmp_path):
    vm = image.ImageVm(str(tmp_path), memory=256)
    with vm.power():
        vm.wait_console("there is no configuration yet")
        # Until the first configuration, ssh is open, to nobody's key; nothing else is.
        assert vm.ask(80, b"hello") is None


def test_nothing_of_the_build_is_in_it():
    mirrors = {line.split()[1] for line in machine.run("image/suite.sh", "sources", "trixie", cwd=machine.TOP).splitlines()
               if line.startswith("URIs:")}
    slot = glob.glob(os.path.join(machine.TOP, "build", "image", "slot", "root"))[0]
    listed = subprocess.run(["dump.erofs", "--ls", "--path=/etc/apt", slot], capture_output=True, text=True, check=True).stdout
    assert mirrors and "sources.list" not in listed
    assert "ssh_host" not in subprocess.run(["dump.erofs", "--ls", "--path=/etc/ssh", slot], capture_output=True, text=True,
                                            check=True).stdout
    assert os.path.getsize(glob.glob(image.IMAGES)[0]) <= 115 * 10**6
