"""The image in QEMU, with user networking on both legs: no privileges, no addresses but the documentation's.

The host is 198.51.100.2 on the wan and 192.0.2.2 on the lan: what the guest sends to that address in the lan arrives at
this machine's loopback, so a server here plays a node. Nothing is written to the image: each disk is an overlay.
"""
import contextlib
import glob
import os
import re
import socket
import subprocess
import sys
import time

import machine

sys.path.insert(0, os.path.join(machine.TOP, "tests", "provisioning"))
import test_provisioning as provisioning  # noqa: E402

IMAGES = os.path.join(machine.TOP, "build", "image", "edged-*.qcow2")
UEFI = "/usr/share/ovmf/OVMF.fd"
WAN_MAC, LAN_MAC = "52:54:00:00:00:01", "52:54:00:00:00:02"
HOST_WAN, HOST_LAN = "198.51.100.2", "192.0.2.2"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def seed(folder, label, files):
    """A CD with these files: label "cidata" for NoCloud, "config-2" for a config drive."""
    root = os.path.join(folder, "seed")
    for name, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
        with open(os.path.join(root, name), "w", encoding="utf-8") as file:
            file.write(text)
    machine.run("genisoimage", "-quiet", "-o", f"{folder}/seed.iso", "-V", label, "-J", "-R", root)
    return f"{folder}/seed.iso"


def user_data(edged, management):
    return provisioning.user_data(
        ssh_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP//////////////////////////////////////////// test",
        wan_mac=WAN_MAC, lan_mac=LAN_MAC, edged_yaml_base64=provisioning.base64.b64encode(edged.encode()).decode(),
        management_yaml_base64=provisioning.base64.b64encode(management.encode()).decode())


class ImageVm:
    """One machine with one disk; power() may be called again, for the next boot."""

    def __init__(self, folder, cd=None, firmware="bios", bus="virtio", memory=384):
        self.folder, self.cd, self.firmware, self.bus, self.memory = folder, cd, firmware, bus, memory
        self.disk, self.console_file = f"{folder}/disk.qcow2", f"{folder}/console"
        self.ports = {22: free_port(), 80: free_port()}
        image, = glob.glob(IMAGES)
        machine.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", self.disk)

    def _arguments(self):
        forwards = ",".join(f"hostfwd=tcp:127.0.0.1:{port}-:{guest}" for guest, port in self.ports.items())
        drive = {"virtio": ["-drive", f"file={self.disk},if=virtio,format=qcow2"],
                 "scsi": ["-drive", f"file={self.disk},if=none,id=disk,format=qcow2", "-device", "virtio-scsi-pci",
                          "-device", "scsi-hd,drive=disk"]}[self.bus]
        cd = ["-drive", f"file={self.cd},if=none,id=cd,format=raw,readonly=on", "-device", "ide-cd,drive=cd"] if self.cd else []
        bios = ["-bios", UEFI] if self.firmware == "uefi" else []
        return ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", f"q35,accel={machine.accelerator()}",
                "-cpu", "max", "-smp", "2", "-m", str(self.memory), "-display", "none", "-no-reboot", *bios,
                "-serial", f"file:{self.console_file}", *drive, *cd,
                "-netdev", f"user,id=wan,ipv6=off,net=198.51.100.0/24,host={HOST_WAN},dhcpstart=198.51.100.15,{forwards}",
                "-device", f"virtio-net-pci,netdev=wan,mac={WAN_MAC}",
                "-netdev", f"user,id=lan,ipv6=off,net=192.0.2.0/24,host={HOST_LAN},dhcpstart=192.0.2.15",
                "-device", f"virtio-net-pci,netdev=lan,mac={LAN_MAC}"]

    @contextlib.contextmanager
    def power(self):
        """On; off (as by the plug) at the end."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.console_file)
        with machine.only_one(), machine.process(self._arguments(), f"{self.folder}/qemu.log") as self.process:
            yield self

    def console(self):
        return re.sub(r"\x1b\[[0-9;?!]*[a-zA-Z]", "", machine.tail(self.console_file, 200000))

    def wait_console(self, pattern, seconds=400):
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.console()):
            assert self.process.poll() is None, f"the machine went off\n{self.console()[-4000:]}"
            assert time.monotonic() < deadline, f"no {pattern!r} within {seconds} s on\n{self.console()[-6000:]}"
            time.sleep(0.5)

    def ask(self, port, send=b"", seconds=5):
        """What a connection to the guest's port brings; None: nothing at all (the host's own side always accepts)."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ports[port]), seconds) as sock:
            sock.settimeout(seconds)
            if send:
                sock.sendall(send)
            return sock.recv(4096) or None
        return None

    def wait_answer(self, port, send=b"", seconds=200):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self.ask(port, send)
            if answer:
                return answer
        raise AssertionError(f"nothing answered on port {port}\n{self.console()[-6000:]}")
