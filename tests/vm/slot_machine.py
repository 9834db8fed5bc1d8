"""A machine of two slots that is in use, and ways to look at its disk and to damage it from outside."""
import contextlib
import json
import os
import re
import shutil
import socketserver
import struct
import subprocess
import threading

import image
import machine
import test_image

SLOT = os.path.join(os.path.dirname(image.IMAGES), "slot")
# The second disk. A bundle would take SSH minutes in an emulated machine.
MOUNT = "doas mount -t iso9660 -o ro /dev/vdb /mnt"


class Node(socketserver.BaseRequestHandler):
    """Says something to whoever connects."""

    def handle(self):
        self.request.settimeout(20)
        with contextlib.suppress(OSError):
            if self.request.recv(4096):
                self.request.sendall(b"here\n")


@contextlib.contextmanager
def node_server():
    """A node on this machine's loopback: its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Node) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def make_bundle(folder, slot):
    """A signed bundle of version 2, and its public key."""
    key, bundle = f"{folder}/image.key", f"{folder}/two"
    machine.run("openssl", "genpkey", "-algorithm", "ED25519", "-out", key)
    machine.run(f"{machine.TOP}/image/bundle.sh", bundle, "2", f"{slot}/boot", f"{slot}/root")
    machine.run(f"{machine.TOP}/image/sign.sh", bundle, key)
    return bundle, machine.run("openssl", "pkey", "-in", key, "-pubout")


class SlotVm(image.ImageVm):
    """A restart of the guest ends QEMU, so that each power() is one boot."""

    def __init__(self, folder, **more):
        super().__init__(folder, **more)
        self.shelf, self.lan_is_cut = None, False

    @classmethod
    def in_use(cls, folder, node_port):
        """With a configuration, an operator's SSH key and one for bundles on its data partition: no cloud is asked."""
        vm = cls(folder)
        bundle, public = make_bundle(folder, SLOT)
        vm.shelf = f"{folder}/shelf.iso"
        machine.run("genisoimage", "-quiet", "-o", vm.shelf, "-V", "SHELF", "-J", "-R", bundle)
        os.unlink(bundle)
        files = {"home/edge-admin/.ssh/authorized_keys": image.ssh_key(folder), "etc/image-keys/test.pem": public,
                 "etc/edged/edged.yaml": test_image.configuration(node_port)}
        for leg, mac in (("wan", image.WAN_MAC), ("lan", image.LAN_MAC)):
            files[f"etc/systemd/network/10-{leg}.link"] = f"[Match]\nMACAddress={mac}\nType=ether\n\n[Link]\nName={leg}\n"
        vm.fill_data(files)
        return vm

    @classmethod
    def copy_of(cls, other, disk, folder, firmware="bios"):
        vm = cls(folder, firmware=firmware)
        shutil.copy(f"{other.folder}/key", f"{folder}/key")
        shutil.copy(disk, vm.disk)
        return vm

    def _arguments(self):
        arguments = super()._arguments()
        if self.lan_is_cut:
            arguments = [word + ",restrict=on" if word.startswith("user,id=lan,") else word for word in arguments]
        shelf = ["-drive", f"file={self.shelf},if=virtio,format=raw,readonly=on"] if self.shelf else []
        return arguments + shelf

    def status(self):
        self.wait_answer(22)
        return json.loads(self.ssh("doas edgectl image status --json"))

    def wait_off(self, seconds=image.PATIENCE):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still on after {seconds} s\n{self.console()[-6000:]}") from None

    def operator(self, command, seconds=image.PATIENCE, status=0):
        """As ssh(), with a patience of its own; status None: whatever it is."""
        with self.operator_process(command) as running:
            running.wait(seconds)
            output = machine.tail(f"{self.folder}/ssh.log", 20000)
            assert status is None or running.returncode == status, f"{command}: status {running.returncode}\n{output}"
        return output

    def operator_process(self, command):
        return machine.process(
            ["ssh", "-i", f"{self.folder}/key", "-p", str(self.ports[22]), "-o", "StrictHostKeyChecking=no",
             "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=120", "-o", "LogLevel=ERROR",
             "edge-admin@127.0.0.1", command], f"{self.folder}/ssh.log")

    def read(self, offset, size, raw=None):
        """Of the disk, also while the machine is on (and stopped). With raw, into that file."""
        into, raw = raw, raw or f"{self.folder}/part"
        machine.run("qemu-img", "convert", "-U", "-O", "raw", "--image-opts", f"driver=raw,offset={offset},size={size},"
                    f"file.driver=qcow2,file.file.driver=file,file.file.filename={self.disk}", raw)
        if into:
            return None
        with open(raw, "rb") as file:
            return file.read()

    def partition(self, name):
        """(offset, size) in bytes of a partition, from the disk's GPT (UEFI specification, 5.3)."""
        table = self.read(0, 34 * 512)
        for at in range(1024, len(table), 128):
            first, last = struct.unpack("<QQ", table[at + 32:at + 48])
            if table[at + 56:at + 128].decode("utf-16-le").rstrip("\0") == name:
                return first * 512, (last - first + 1) * 512
        raise AssertionError(f"no partition {name}")

    def read_partition(self, name, size=None):
        start, whole = self.partition(name)
        return self.read(start, (size or whole) + 511 & ~511)[:size]

    def boot_state(self):
        return dict(re.findall(r"^(\w+)=(.*)$", self.read_partition("state", 8192)[4096:].decode(), re.M))

    def set_boot_state(self, **values):
        """Of a machine that is off."""
        text = self.read_partition("state", 8192)[4096:5120].decode()
        for name, value in values.items():
            text, count = re.subn(rf"^{name}=.*$", f"{name}={value}", text, flags=re.M)
            assert count == 1, name
        block = text.rstrip("#").ljust(1024, "#")
        with open(f"{self.folder}/block", "w", encoding="utf-8") as file:
            file.write(block)
        start, _ = self.partition("state")
        machine.run("qemu-io", "-f", "qcow2", "-c", f"write -q -s {self.folder}/block {start + 4096} 1024", self.disk)

    def fill_data(self, files):
        """A new file system on the data partition, with these files {path: text}."""
        start, size = self.partition("data")
        tree, data, raw = f"{self.folder}/tree", f"{self.folder}/data", f"{self.folder}/raw"
        for name, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
            with open(os.path.join(tree, name), "w", encoding="utf-8") as file:
                file.write(text)
        machine.run("chown", "-R", "1000:1000", f"{tree}/home/edge-admin")
        with open(data, "wb") as file:
            file.truncate(size)
        machine.run("mke2fs", "-q", "-t", "ext4", "-L", "data", "-d", tree, data)
        machine.run("qemu-img", "convert", "-O", "raw", self.disk, raw)
        machine.run("fallocate", "--punch-hole", "-o", str(start), "-l", str(size), raw)
        machine.run("dd", f"if={data}", f"of={raw}", "bs=1M", f"seek={start >> 20}", "conv=notrunc,sparse")
        machine.run("qemu-img", "convert", "-O", "qcow2", raw, self.disk)
        shutil.rmtree(tree)
        os.unlink(data)
        os.unlink(raw)

    def damage(self, name, offset, size):
        """Zeros on a partition of a machine that is off."""
        start, _ = self.partition(name)
        machine.run("qemu-io", "-f", "qcow2", "-c", f"write -q -z {start + offset} {size}", self.disk)
