#!/usr/bin/python3 -B
"""Debian's kernels in QEMU, on this machine's own user space.

The guest's root is this machine's, shared read-only by virtiofs with a tmpfs over it: all programs that are installed
here, and this tree with its build/, are there at their usual paths, and nothing that the guest writes comes back. So a
guest test is a plain script. Only the kernel is another one: a cloud kernel of Debian 12 or 13, fetched with apt.

    machine.py KERNEL [NAME...]      boot bookworm or trixie and run guest tests (names below guest/; default: all)
    machine.py KERNEL -- COMMAND     run one shell command there

One machine at a time (a lock), no network device, and everything ends with this program.
"""
import argparse
import contextlib
import ctypes
import fcntl
import glob
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
GUEST = os.path.join(HERE, "guest")
BUILD = os.path.join(TOP, "build", "vm")
KERNELS = {"bookworm": "6.1", "trixie": "6.12"}
META_PACKAGE = "linux-image-cloud-amd64"
# What mounts the root; everything else is loaded from there, on demand.
BOOT_MODULES = ["virtio_pci", "virtiofs", "overlay"]
VIRTIOFSD = ["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"]
PR_SET_PDEATHSIG = 1
MOST_OUTPUT = 48 * 1024
SKIPPED = 77
libc = ctypes.CDLL(None, use_errno=True)


class VmError(AssertionError):
    """The machine could not be made or did not answer."""


class GuestTest:
    """One script of guest/. Comment lines in its head say what it needs:

        # vm-kernels: trixie        default: all
        # vm-seconds: 60            after which it is ended; default 60
        # vm-long: why              not part of the short run
    """

    def __init__(self, path):
        self.path, self.name = path, os.path.basename(path)
        with open(path, encoding="utf-8") as file:
            head = dict(re.findall(r"^# vm-(\w+): *(.*)$", file.read(4096), re.M))
        self.kernels = head.get("kernels", " ".join(KERNELS)).split()
        self.seconds = int(head.get("seconds", 60))
        self.long = head.get("long")


def guest_tests():
    paths = sorted(path for suffix in ("sh", "py") for path in glob.glob(f"{GUEST}/*.{suffix}"))
    return [GuestTest(path) for path in paths]


class Result:
    def __init__(self, name, status, seconds, output):
        self.name, self.status, self.seconds, self.output = name, status, seconds, output

    @property
    def skipped(self):
        """The reason (the last line of its output), or None."""
        return (self.output.strip().splitlines() or ["no reason given"])[-1] if self.status == SKIPPED else None


def run(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if result.returncode:
        raise VmError(f"{' '.join(command)}: status {result.returncode}\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.stdout


def missing_tools():
    tools = [tool for tool in ("qemu-system-x86_64", "cpio", "busybox", "depmod", "xz") if not shutil.which(tool)]
    return tools + ([] if any(map(os.path.exists, VIRTIOFSD)) else ["virtiofsd"])


class Kernel:
    """A kernel package, unpacked in build/vm/SUITE, and its initramfs."""

    def __init__(self, suite):
        self.suite, self.folder = suite, os.path.join(BUILD, suite)
        self.root = os.path.join(self.folder, "root")
        if not glob.glob(f"{self.folder}/linux-image-[0-9]*.deb"):
            run(os.path.join(TOP, "image", "suite.sh"), "download", suite, self.folder, META_PACKAGE)
        if not os.path.exists(f"{self.folder}/unpacked"):
            shutil.rmtree(self.root, ignore_errors=True)
            run("dpkg-deb", "-x", glob.glob(f"{self.folder}/linux-image-[0-9]*.deb")[0], self.root)
        self.image = glob.glob(f"{self.root}/boot/vmlinuz-*")[0]
        self.release = os.path.basename(self.image).removeprefix("vmlinuz-")
        # Debian 13's packages have it below usr/ only.
        self.modules = next(path for path in (f"{self.root}/usr/lib/modules", f"{self.root}/lib/modules")
                            if os.path.isdir(path))
        if not os.path.exists(f"{self.folder}/unpacked"):
            run("depmod", "-b", self.modules.removesuffix("/lib/modules"), self.release)
            with open(f"{self.folder}/unpacked", "w", encoding="utf-8") as file:
                file.write(self.release + "\n")
        self.initramfs = os.path.join(self.folder, "initramfs")
        self._make_initramfs()

    def boot_modules(self):
        """The files of BOOT_MODULES below modules/RELEASE, each after what it needs; without what is built in."""
        needs = {}
        with open(f"{self.modules}/{self.release}/modules.dep", encoding="utf-8") as lines:
            for line in lines:
                file, _, rest = line.partition(":")
                needs[os.path.basename(file).split(".")[0].replace("-", "_")] = [file, *rest.split()]
        with open(f"{self.modules}/{self.release}/modules.builtin", encoding="utf-8") as lines:
            builtin = {os.path.basename(line.strip()).split(".")[0].replace("-", "_") for line in lines}
        order = []
        for name in BOOT_MODULES:
            if name not in needs and name not in builtin:
                raise VmError(f"{self.release} has no module {name}")
            # modules.dep names the nearest first; what it needs in turn comes after it.
            order += [file for file in reversed(needs.get(name, [])) if file not in order]
        return order

    def _make_initramfs(self):
        with tempfile.TemporaryDirectory(prefix="edged-vm-") as folder:
            for name in ("bin", "modules", "proc", "sys", "dev", "new", "lower", "upper"):
                os.makedirs(f"{folder}/{name}")
            shutil.copy(shutil.which("busybox"), f"{folder}/bin/busybox")
            order = []
            for file in self.boot_modules():
                name = os.path.basename(file).split(".")[0] + ".ko"
                shutil.copy(f"{self.modules}/{self.release}/{file}", f"{folder}/modules/{os.path.basename(file)}")
                if file.endswith(".xz"):
                    run("xz", "-d", f"{folder}/modules/{os.path.basename(file)}")
                order.append(name + "\n")
            with open(f"{folder}/modules/order", "w", encoding="utf-8") as file:
                file.writelines(order)
            shutil.copy(os.path.join(HERE, "initramfs-init"), f"{folder}/init")
            names = run("find", ".", cwd=folder)
            with open(self.initramfs + ".new", "wb") as file:
                subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], input=names.encode(), cwd=folder, stdout=file,
                               check=True)
        os.replace(self.initramfs + ".new", self.initramfs)


def _die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def only_one():
    """One machine at a time on this host: without KVM two make each other miss their deadlines."""
    with open("/run/lock/edged-vm.lock" if os.access("/run/lock", os.W_OK) else "/tmp/edged-vm.lock", "w",
              encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def process(command, log):
    with open(log, "wb") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                 preexec_fn=_die_with_parent)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def tail(path, size=4000):
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - size))
        return file.read().decode("utf-8", "replace")
    return ""


def parse(data):
    """What the guest wrote: "@test NAME STATUS MILLISECONDS BYTES\\n", so many bytes of output, and so on."""
    results = []
    for match in re.finditer(rb"^@test (\S+) (\d+) (\d+) (\d+)\n", data, re.M):
        if results and match.start() < results[-1][1]:
            continue  # a test that prints such a line
        end = match.end() + int(match[4])
        output = data[match.end():end].decode("utf-8", "replace")
        results.append((Result(match[1].decode(), int(match[2]), int(match[3]) / 1000, output), end))
    return [result for result, _ in results]


def accelerator():
    return "kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"


@contextlib.contextmanager
def started(folder, kernel, shared, command_line, cpus, memory, counted=None):
    """The machine whose root is the folder shared, read-only with a tmpfs over it. Yields its process; the console and the
    second serial port are the files "console" and "results" in folder. counted: the guest's clock counts its instructions,
    each 2^counted nanoseconds; for one processor."""
    daemon = next(path for path in VIRTIOFSD if os.path.exists(path))
    options = (["-o", f"source={shared},cache=always,sandbox=chroot"] if daemon.startswith("/usr/lib/qemu") else
               [f"--shared-dir={shared}", "--cache=always", "--sandbox=chroot"])
    clock = (["-machine", f"q35,accel={accelerator()}"] if counted is None else
             ["-machine", "q35", "-accel", "tcg,thread=single", "-icount", f"shift={counted},sleep=on"])
    qemu = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", *clock, "-cpu", "max", "-smp", str(cpus),
            "-m", f"{memory}M", "-display", "none", "-no-reboot",
            "-object", f"memory-backend-memfd,id=mem,size={memory}M,share=on", "-numa", "node,memdev=mem",
            "-chardev", f"socket,id=root,path={folder}/root.sock",
            "-device", "vhost-user-fs-pci,chardev=root,tag=root",
            "-kernel", kernel.image, "-initrd", kernel.initramfs,
            "-serial", f"file:{folder}/console", "-serial", f"file:{folder}/results",
            # Without no_timer_check a kernel that got no processor for a moment takes its timer for broken, and panics.
            "-append", "console=ttyS0 panic=-1 oops=panic quiet loglevel=4 mitigations=off audit=0 no_timer_check "
                       + command_line]
    with process([daemon, f"--socket-path={folder}/root.sock", *options], f"{folder}/virtiofsd.log"):
        until(lambda: os.path.exists(f"{folder}/root.sock"), f"virtiofsd to listen: {tail(f'{folder}/virtiofsd.log')}")
        with process(qemu, f"{folder}/qemu.log") as running:
            yield running


def boot_system(kernel, root, seconds, memory=768):
    """A whole Debian in the folder root, with its own systemd; what it wrote to its second serial port until it went off.
    Without KVM its clock counts instructions: nothing in it runs into a timeout, whatever else this machine does."""
    cpus, counted = (2, None) if accelerator() == "kvm" else (1, 0)
    with tempfile.TemporaryDirectory(prefix="edged-vm-") as folder, only_one():
        with started(folder, kernel, root, "edged.init=/sbin/init systemd.gpt_auto=0", cpus, memory, counted) as running, \
                contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(seconds)
        return tail(f"{folder}/qemu.log") + tail(f"{folder}/console") + "\n" + tail(f"{folder}/results", 200000)


def boot(kernel, jobs, boot_seconds=90, cpus=1, memory=768, preload=True, counted=False):
    """Boot and run jobs, a list of (name, seconds, shell command); returns their results, missing ones last.
    preload: the modules of image/edged.modules are loaded, as on a machine with the package. counted: the guest's clock
    counts its instructions (4 ns each), so that what it measures does not depend on what else this machine does.

    seconds count on a quiet machine without KVM."""
    with tempfile.TemporaryDirectory(prefix="edged-vm-") as folder, only_one():
        with open(f"{folder}/jobs", "w", encoding="utf-8") as file:
            file.writelines(f"{name}\t{seconds}\t{command}\n" for name, seconds, command in jobs)
        deadline = boot_seconds + sum(seconds for _, seconds, _ in jobs)
        command_line = (f"edged.jobs={folder}/jobs edged.top={TOP} edged.modules={kernel.modules}"
                        + (" edged.preload" if preload else ""))
        with started(folder, kernel, "/", command_line, cpus, memory, 2 if counted else None) as running, \
                contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(deadline)
        with open(f"{folder}/results", "rb") as file:
            results = parse(file.read())
        console = tail(f"{folder}/qemu.log") + tail(f"{folder}/console")
        seen = {result.name for result in results}
        results += [Result(name, 1, 0, f"it never reported (the machine had {deadline} s); console:\n{console}")
                    for name, _, _ in jobs if name not in seen]
        return results


def until(condition, what, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise VmError(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)


def jobs_of(tests):
    return [(test.name, test.seconds, shlex.quote(test.path)) for test in tests]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernel", choices=KERNELS)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--counted", action="store_true", help="the guest's clock counts instructions: for benchmarks")
    parser.add_argument("names", nargs="*")
    argv = sys.argv[1:]
    command = None
    if "--" in argv:
        argv, command = argv[:argv.index("--")], " ".join(argv[argv.index("--") + 1:])
    options = parser.parse_args(argv)
    if missing_tools():
        sys.exit(f"missing: {' '.join(missing_tools())} (sudo make deps-vm)")
    tests = [test for test in guest_tests() if options.kernel in test.kernels
             and (not options.names or test.name in options.names or test.name.rsplit(".", 1)[0] in options.names)]
    jobs = [("command", options.seconds, command)] if command else jobs_of(tests)
    if not jobs:
        sys.exit(f"no guest test of that name: {' '.join(test.name for test in guest_tests())}")
    failed = 0
    for result in boot(Kernel(options.kernel), jobs, cpus=options.cpus, counted=options.counted):
        print(result.output, end="")
        print(f"{options.kernel}/{result.name}: status {result.status}, {result.seconds:.1f} s", flush=True)
        failed |= result.status not in (0, SKIPPED)
    sys.exit(failed)


if __name__ == "__main__":
    main()
