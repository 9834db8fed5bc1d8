"""The image with next to nothing in its roots: the boot loader, kernel, initial ram disk, verity and edgectl are the real
ones, and a script on a second disk runs in place of systemd. A boot takes seconds where the whole image takes minutes.
Where no image was built, one is assembled in the same way from this tree's edgectl, which takes a minute.
"""
import os
import re
import shutil

import machine
from slot_machine import SLOT, SlotVm

TOOLS = os.path.join(machine.TOP, "build", "image", "tools")
FOLDERS = ("usr/bin usr/lib/systemd usr/lib/x86_64-linux-gnu usr/lib64 etc/edged etc/ssh/keys etc/systemd/network proc sys dev"
           " run tmp data mnt lower boot var/lib/edged var/lib/cloud var/log home/edge-admin").split()
# What is not in the image either, or of no use here.
DRIVERS = "gpu media infiniband sound staging bluetooth wireless".split()
# It goes off when the script has ended.
INIT = """#!/usr/bin/busybox sh
/usr/bin/busybox --install -s /usr/bin
export PATH=/usr/bin
exec >/dev/ttyS0 2>&1
sed 's/.*edged.slot=\\(.\\).*/slot \\1 is up/' /proc/cmdline
mount -t erofs -o ro /dev/vdb /mnt && sh /mnt/run
sync
poweroff -f
"""


def slot_parts(folder):
    """(root with edgectl, the folder of its kernel's modules): of the image, if one was built; else what this tree's build/
    has, and Debian 13's kernel. The kernel is "vmlinuz" in folder."""
    if not os.path.exists(f"{SLOT}/root"):
        kernel = machine.Kernel("trixie")
        shutil.copy(kernel.image, f"{folder}/vmlinuz")
        return "/", kernel.modules
    whole = f"{folder}/whole"
    machine.run("fsck.erofs", f"--extract={whole}", f"{SLOT}/root")
    machine.run("mcopy", "-i", f"{SLOT}/boot", "::vmlinuz", f"{folder}/vmlinuz")
    return whole, f"{whole}/usr/lib/modules"


def fill(root):
    """With what the data partition's folders are made of."""
    files = {"etc/passwd": "root:x:0:0:::\nedged:x:900:901:::\n", "etc/edged/deep/key": "as the image has it\n"}
    for path, text in files.items():
        os.makedirs(os.path.dirname(f"{root}/{path}"), exist_ok=True)
        with open(f"{root}/{path}", "w", encoding="utf-8") as file:
            file.write(text)
    os.chmod(f"{root}/etc/edged/deep/key", 0o640)
    os.chown(f"{root}/etc/edged/deep/key", 7, 8)
    os.symlink("deep/key", f"{root}/etc/edged/link")
    os.chmod(f"{root}/var/log", 0o2755)


def make(folder):
    """image.qcow2, and slot with what a slot holds, are in the folder then."""
    machine.run(f"{machine.TOP}/image/tools.sh")
    whole, modules = slot_parts(folder)
    root = f"{folder}/root"
    for name in FOLDERS:
        os.makedirs(f"{root}/{name}")
    for name in ("bin", "lib", "lib64", "sbin"):
        os.symlink("usr/bin" if name.endswith("bin") else f"usr/{name}", f"{root}/{name}")
    edgectl = "/usr/bin/edgectl" if whole != "/" else f"{machine.TOP}/build/edgectl"
    loader = "/lib64/ld-linux-x86-64.so.2"
    listed = machine.run("chroot", whole, loader, "--list", edgectl)
    shutil.copy(f"{whole}{edgectl}", f"{root}/usr/bin/edgectl")
    shutil.copy(f"{whole}{loader}", f"{root}/usr{loader}")
    for path in re.findall(r"=> (/\S+)", listed):
        shutil.copy(f"{whole}{path}", f"{root}/usr/lib/x86_64-linux-gnu/{os.path.basename(path)}")
    shutil.copy(shutil.which("busybox"), f"{root}/usr/bin/busybox")
    fill(root)
    with open(f"{root}/usr/lib/systemd/systemd", "w", encoding="utf-8") as file:
        file.write(INIT)
    os.chmod(f"{root}/usr/lib/systemd/systemd", 0o755)
    shutil.copytree(modules, f"{root}/usr/lib/modules", symlinks=True, ignore=shutil.ignore_patterns("build", *DRIVERS))
    shutil.move(f"{folder}/vmlinuz", f"{root}/boot/vmlinuz-{os.listdir(f'{root}/usr/lib/modules')[0]}")
    shutil.rmtree(f"{folder}/whole", ignore_errors=True)
    for name in ("initrd", "boot"):
        shutil.copytree(f"{machine.TOP}/image/{name}", f"{folder}/{name}")
    shutil.copy(f"{machine.TOP}/image/assemble.sh", folder)
    machine.run("unshare", "--mount", "--fork", "sh", "-c", f"mount --bind '{folder}' '{TOOLS}/image' && "
                f"mount -t proc proc '{TOOLS}/proc' && exec chroot '{TOOLS}' sh /image/assemble.sh 1",
                env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    for name in ("root", "initrd-root", "disk", "data"):
        machine.run("rm", "-rf", f"{folder}/{name}")


class SmallVm(SlotVm):
    """disk: a copy of it, else a new one of the image in made."""

    def __init__(self, folder, made, disk=None, firmware="bios"):
        super().__init__(folder, firmware=firmware, base=f"{made}/image.qcow2")
        # Nothing here runs into a timeout, so it may run as fast as it can.
        self.made, self.counted = made, False
        if disk:
            shutil.copy(disk, self.disk)

    def put(self, script, files=()):
        """Onto the second disk."""
        shelf = f"{self.folder}/shelf"
        os.makedirs(shelf)
        with open(f"{shelf}/run", "w", encoding="utf-8") as file:
            file.write(script)
        for path in files:
            os.link(path, f"{shelf}/{os.path.basename(path)}")
        self.shelf = f"{shelf}.img"
        machine.run("mkfs.erofs", "--quiet", self.shelf, shelf)
        shutil.rmtree(shelf)

    def boot(self, script):
        """One boot with this script; what is on the console when it is off."""
        self.put(script)
        with self.power():
            self.wait_off()
        return self.console()

    def hash_tree(self):
        with open(f"{self.made}/slot/boot", "rb") as file:
            return int(re.search(rb"^set blocks=(\d+)", file.read(), re.M)[1]) * 4096
