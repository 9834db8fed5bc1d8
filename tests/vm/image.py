"""The image in QEMU, with user networking on both legs: no privileges, no addresses but the documentation's.

The host is 198.51.100.2 on the wan and 192.0.2.2 on the lan: what the guest sends to that address in the lan arrives at
this machine's loopback, so a server here plays a node. Nothing is written to the image: each disk is an overlay.
"""
import base64
import contextlib
import glob
import json
import os
import re
import socket
import subprocess
import sys
import time

import machine

sys.path.insert(0, os.path.join(machine.TOP, "tests", "provisioning"))
import test_provisioning as provisioning  # noqa: E402

IMAGES = os.path.join(machine.TOP, os.environ.get("EDGED_IMAGE", "build/image"), "edged-*.qcow2")
# Without KVM, and beside other work, a boot takes minutes.
PATIENCE = 1800
UEFI = "/usr/share/ovmf/OVMF.fd"
# "Enhanced rep movsb" is a processor's way to copy fast; QEMU's own goes byte by byte, where the kernel would copy words.
CPU = "max,-erms"
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


def ssh_key(folder):
    """A key of the operator: its public half."""
    machine.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "operator", "-f", f"{folder}/key")
    with open(f"{folder}/key.pub", encoding="utf-8") as file:
        return file.read().strip()


def user_data(edged, management, key, wan_mac=WAN_MAC, lan_mac=LAN_MAC):
    return provisioning.user_data(
        ssh_key=key, wan_mac=wan_mac, lan_mac=lan_mac, edged_yaml_base64=provisioning.base64.b64encode(edged.encode()).decode(),
        management_yaml_base64=provisioning.base64.b64encode(management.encode()).decode())


def speed(counted):
    """Without KVM, counted: the guest's clock counts instructions, one each nanosecond, so nothing in it runs into a timeout,
    however much else this machine has to do, and its uptimes can be compared. Else (or with EDGED_VM_UNCOUNTED=1, on a machine
    that has nothing else to do) two processors, as fast as they come."""
    counted = counted and not os.environ.get("EDGED_VM_UNCOUNTED")
    if machine.accelerator() == "kvm":
        return ["-accel", "kvm", "-smp", "2"]
    return (["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on", "-smp", "1"] if counted else
            ["-accel", "tcg,thread=multi", "-smp", "2"])


class ImageVm:
    """One machine with one disk; power() may be called again, for the next boot."""

    def __init__(self, folder, cd=None, firmware="bios", bus="virtio", memory=384, wan="198.51.100", lan=True, metadata=None,
                 base=None):
        """wan: the first three numbers of its network. lan False: there is none until plug_lan(). metadata: the port of a
        server here that is OpenStack's for it. base: another image than the one in build/."""
        self.folder, self.cd, self.firmware, self.bus, self.memory = folder, cd, firmware, bus, memory
        self.wan, self.lan, self.metadata, self.wire = wan, lan, metadata, None
        # OVMF waits for a TPM by reading a port millions of times, which takes minutes when instructions are counted.
        self.counted = firmware != "uefi"
        self.disk, self.console_file = f"{folder}/disk.qcow2", f"{folder}/console"
        self.ports = {22: free_port(), 80: free_port()}
        self.drop_ins = {}
        base, = [base] if base else glob.glob(IMAGES)
        machine.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", self.disk)

    def _arguments(self):
        forwards = ",".join(f"hostfwd=tcp:127.0.0.1:{port}-:{guest}" for guest, port in self.ports.items())
        drive = {"virtio": ["-drive", f"file={self.disk},if=virtio,format=qcow2"],
                 "scsi": ["-drive", f"file={self.disk},if=none,id=disk,format=qcow2", "-device", "virtio-scsi-pci",
                          "-device", "scsi-hd,drive=disk"]}[self.bus]
        cd = ["-drive", f"file={self.cd},if=none,id=cd,format=raw,readonly=on", "-device", "ide-cd,drive=cd"] if self.cd else []
        more = (["-bios", UEFI] if self.firmware == "uefi" else []) + (
            ["-smbios", "type=1,product=OpenStack Nova"] if self.metadata else [])
        if self.metadata:
            forwards += f",guestfwd=tcp:169.254.169.254:80-cmd:socat - TCP:127.0.0.1:{self.metadata}"
        # The service manager takes more of a unit from the firmware (systemd-debug-generator(8)).
        for unit, text in self.drop_ins.items():
            code = base64.b64encode(text.encode()).decode()
            more += ["-smbios", f"type=11,value=io.systemd.credential.binary:systemd.unit-dropin.{unit}={code}"]
        lan = ["-device", f"virtio-net-pci,netdev=lan,mac={LAN_MAC},bus=late,id=lan"] if self.lan else []
        return ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-machine", "q35", *speed(self.counted),
                "-cpu", CPU, "-m", str(self.memory), "-display", "none", "-no-reboot", *more,
                "-serial", f"file:{self.console_file}", "-qmp", f"unix:{self.folder}/qmp,server=on,wait=off", *drive, *cd,
                "-netdev", f"user,id=wan,ipv6=off,net={self.wan}.0/24,host={self.wan}.2,dhcpstart={self.wan}.15,{forwards}",
                "-device", f"virtio-net-pci,netdev=wan,mac={WAN_MAC}",
                # A slot of its own: it may be plugged in later.
                "-device", "pcie-root-port,id=late,chassis=1",
                "-netdev", f"user,id=lan,ipv6=off,net=192.0.2.0/24,host={HOST_LAN},dhcpstart=192.0.2.15", *lan,
                *(self.wire.arguments() if self.wire else [])]

    @contextlib.contextmanager
    def power(self):
        """On; off (as by the plug) at the end."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.console_file)
        with machine.only_one(), machine.process(self._arguments(), f"{self.folder}/qemu.log") as self.process:
            yield self

    def qmp(self, command, **arguments):
        """A command to QEMU itself: stop, cont."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            sock.connect(f"{self.folder}/qmp")
            with sock.makefile("rw", encoding="utf-8") as file:
                # What is said before its greeting is lost.
                file.readline()
                for words in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                    file.write(json.dumps(words) + "\n")
                    file.flush()
                    while "return" not in (answer := json.loads(file.readline())):
                        assert "error" not in answer, answer

    def plug_lan(self):
        self.qmp("device_add", driver="virtio-net-pci", netdev="lan", id="lan", mac=LAN_MAC, bus="late")

    def ssh(self, command, check=True):
        """As the operator does it."""
        result = subprocess.run(
            ["ssh", "-i", f"{self.folder}/key", "-p", str(self.ports[22]), "-o", "StrictHostKeyChecking=no",
             "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=120", "-o", "LogLevel=ERROR",
             "edge-admin@127.0.0.1", command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
            check=False)
        assert not check or result.returncode == 0, f"{command}: status {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout + result.stderr

    def console(self):
        return re.sub(r"\x1b\[[0-9;?!]*[a-zA-Z]", "", machine.tail(self.console_file, 200000))

    def wait_console(self, pattern, seconds=PATIENCE):
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

    def wait_answer(self, port, send=b"", seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self.ask(port, send)
            if answer:
                return answer
            # A refusal comes at once: asked again without a pause, the machine would have time for nothing else.
            time.sleep(0.5)
            assert self.process.poll() is None, f"the machine went off\n{self.console()[-6000:]}"
        raise AssertionError(f"nothing answered on port {port}\n{self.console()[-6000:]}")
