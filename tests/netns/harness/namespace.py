"""Network namespaces: made, entered and removed with the processes in them.

A Namespace knows nothing of what it is for; network.py gives it its place.
"""
import contextlib
import ctypes
import os
import signal
import subprocess

from .wait import until

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


def ip(*args, batch=None, check=True):
    """Run ip(8); batch is a list of lines for one `ip -batch`."""
    if batch is not None:
        args = (*args, "-batch", "-")
    result = subprocess.run(["ip", *args], input="\n".join(batch) if batch else None,
                            capture_output=True, text=True, timeout=60)
    if check and result.returncode:
        raise OSError(f"ip {' '.join(args)}: {result.stderr.strip()}\n{batch or ''}")
    return result.stdout


def setns(fd):
    if libc.setns(fd, CLONE_NEWNET):
        errno = ctypes.get_errno()
        raise OSError(errno, f"setns: {os.strerror(errno)}")


def _die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def process_started(pid):
    """When it was started (in clock ticks since boot), None when it has ended: tells a reused pid from the old one."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except OSError:
        return None


def process_alive(pid):
    return process_started(pid) is not None


class Namespace:
    """One network namespace. With pid_folder (the lab) its processes outlive this program, and each has a file
    there that says who it is; else they end with it."""

    def __init__(self, name, pid_folder=None):
        self.name, self.pid_folder, self.processes = name, pid_folder, []
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
        # Addresses are ours alone: usable at once, without duplicate detection.
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)
        self.sysctl("net.ipv6.conf.default.dad_transmits", 0)

    def __repr__(self):
        return f"<netns {self.name}>"

    def command(self, args):
        return ["ip", "netns", "exec", self.name, *map(str, args)]

    def run(self, *args, check=True, text_input=None, timeout=60, env=None):
        """Run a command to its end; its output is in .stdout and .stderr."""
        result = subprocess.run(self.command(args), input=text_input, capture_output=True, text=True,
                                timeout=timeout, env=env)
        if check and result.returncode:
            raise AssertionError(f"{self.name}: {' '.join(map(str, args))}: status {result.returncode}\n"
                                 f"{result.stdout}{result.stderr}")
        return result

    def start(self, *args, log=None, env=None, **options):
        """Start a command in the background; log is a file name (default: nowhere)."""
        output = open(log, "ab") if log else subprocess.DEVNULL
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", output)
        options.setdefault("stderr", output)
        process = subprocess.Popen(self.command(args), env=env, start_new_session=True,
                                   preexec_fn=None if self.pid_folder else _die_with_parent, **options)
        if log:
            output.close()
        self.processes.append(process)
        if self.pid_folder:
            with open(os.path.join(self.pid_folder, str(process.pid)), "w") as file:
                file.write(f"{process_started(process.pid)} {' '.join(map(str, args))}\n")
        return process

    def sysctl(self, name, value=None):
        path = "/proc/sys/" + name.replace(".", "/")
        with self.inside():
            if value is None:
                with open(path) as file:
                    return file.read().strip()
            with open(path, "w") as file:
                file.write(str(value))
        return str(value)

    def nft(self, text, check=True):
        return self.run("nft", "-f", "-", text_input=text, check=check)

    @contextlib.contextmanager
    def inside(self):
        """The calling thread is in this namespace: what it opens stays there."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            setns(there)
            try:
                yield self
            finally:
                setns(home)
        finally:
            os.close(there)
            os.close(home)

    def pids(self):
        return [int(pid) for pid in ip("netns", "pids", self.name, check=False).split()]

    def stop(self, process, seconds=5.0):
        """SIGTERM, then SIGKILL when it does not end in time."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(seconds)
        if process in self.processes:
            self.processes.remove(process)

    def remove(self):
        for process in list(self.processes):
            self.stop(process)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(AssertionError):
            until(lambda: not self.pids(), 5, f"processes of {self.name} to end")
        ip("netns", "del", self.name, check=False)


def sweep(prefix):
    """Remove what a test run left behind that was killed: names are PREFIX-PID-..."""
    for line in ip("netns", "list").splitlines():
        name = line.split()[0] if line else ""
        if not name.startswith(prefix + "-"):
            continue
        owner = name[len(prefix) + 1:].split("-")[0]
        if not owner.isdigit() or process_alive(int(owner)):
            continue
        for pid in ip("netns", "pids", name, check=False).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        ip("netns", "del", name, check=False)
