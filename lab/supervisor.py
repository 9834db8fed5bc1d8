"""A small supervisor for one program, as systemd does it for Type=notify services.

    supervisor.py --state FILE [--delay SECONDS] [--watchdog SECONDS] -- COMMAND...

What it takes from sd_notify(3): READY=1, WATCHDOG=1, STOPPING=1, STATUS=, and the
file-descriptor store: FDSTORE=1 with FDNAME= keeps the descriptors that came along,
FDSTOREREMOVE=1 drops them. A new process finds them with sd_listen_fds_with_names(3).
As systemd does, it drops a stored descriptor that reports an error or a hang-up,
unless FDPOLL=0 was said. The program is started again whenever it ends, until this
one gets SIGTERM. FILE always holds, as JSON: pid, ready, starts, status, fds, last_exit.
"""
import argparse
import array
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time

PR_SET_PDEATHSIG = 1
MOST_FDS = 64
# So many ends of its own accord within a second each, before it was ready, and it is given up: it cannot start.
MOST_QUICK_ENDS = 5


class Supervisor:
    def __init__(self, options):
        self.command, self.state_file = options.command, options.state
        self.delay, self.watchdog = options.delay, options.watchdog
        self.stored = []  # (name, descriptor, polled)
        self.pid, self.pidfd, self.ready, self.starts = 0, -1, False, 0
        self.status, self.last_exit, self.quick_ends = "", None, 0
        self.stopping = False
        self.started_at = self.alive_at = self.start_at = time.monotonic()
        self.notify_path = self.state_file + ".notify"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.notify_path)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.notify.bind(self.notify_path)
        os.chmod(self.notify_path, 0o666)  # the program need not be ours
        self.wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.ask_to_stop)

    def ask_to_stop(self, *_):
        self.stopping = True

    def save(self):
        state = {"supervisor": os.getpid(), "pid": self.pid, "ready": self.ready, "starts": self.starts,
                 "status": self.status, "fds": [name for name, _, _ in self.stored], "last_exit": self.last_exit}
        with open(self.state_file + ".new", "w") as file:
            json.dump(state, file)
        os.replace(self.state_file + ".new", self.state_file)

    def start(self):
        self.ready, self.status = False, ""
        self.starts += 1
        self.started_at = self.alive_at = time.monotonic()
        pid = os.fork()
        if pid == 0:
            try:
                self.become_program()
            except OSError as error:
                print(f"supervisor: {self.command[0]}: {error}", file=sys.stderr, flush=True)
            finally:
                os._exit(127)
        self.pid, self.pidfd = pid, os.pidfd_open(pid)
        self.save()

    def become_program(self):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        environment = dict(os.environ, NOTIFY_SOCKET=self.notify_path)
        for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"):
            environment.pop(name, None)
        if self.watchdog:
            environment.update(WATCHDOG_USEC=str(int(self.watchdog * 1e6)), WATCHDOG_PID=str(os.getpid()))
        if self.stored:
            # First out of the way of their final places, so that none overwrites another.
            moved = [os.dup2(fd, 3 + MOST_FDS + i, inheritable=False) for i, (_, fd, _) in enumerate(self.stored)]
            for i, fd in enumerate(moved):
                os.dup2(fd, 3 + i, inheritable=True)
            environment.update(LISTEN_FDS=str(len(moved)), LISTEN_PID=str(os.getpid()),
                               LISTEN_FDNAMES=":".join(name for name, _, _ in self.stored))
        os.execvpe(self.command[0], self.command, environment)

    def receive(self):
        while True:
            try:
                data, ancillary, _, _ = self.notify.recvmsg(65536, socket.CMSG_SPACE(MOST_FDS * 4),
                                                            socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            fds = array.array("i")
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
            self.handle(dict(line.split("=", 1) for line in data.decode("utf-8", "replace").splitlines()
                             if "=" in line), list(fds))
            self.save()

    def handle(self, message, fds):
        name = message.get("FDNAME", "stored")
        if message.get("FDSTORE") == "1":
            for fd in fds:
                self.store(name, fd, message.get("FDPOLL") != "0")
            fds = []
        if message.get("FDSTOREREMOVE") == "1":
            for entry in [entry for entry in self.stored if entry[0] == name]:
                self.drop(entry)
        for fd in fds:
            os.close(fd)
        if message.get("READY") == "1":
            self.ready = True
        self.status = message.get("STATUS", self.status)
        if "WATCHDOG" in message or "READY" in message:
            self.alive_at = time.monotonic()

    def store(self, name, fd, polled):
        """The same file twice is kept once, as systemd does (it compares with kcmp)."""
        mine = os.fstat(fd)
        for _, other, _ in self.stored:
            there = os.fstat(other)
            if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                os.close(fd)
                return
        if len(self.stored) >= MOST_FDS:
            os.close(fd)
            return
        self.stored.append((name, fd, polled))

    def drop(self, entry):
        os.close(entry[1])
        self.stored.remove(entry)

    def reap(self):
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        code = os.waitstatus_to_exitcode(status)
        self.last_exit = f"signal {-code}" if code < 0 else f"status {code}"
        print(f"supervisor: {self.command[0]} ({self.pid}) ended: {self.last_exit}", file=sys.stderr, flush=True)
        quick = code >= 0 and not self.ready and time.monotonic() - self.started_at < 1
        self.quick_ends = self.quick_ends + 1 if quick else 0
        self.pid, self.pidfd, self.ready = 0, -1, False
        self.start_at = time.monotonic() + self.delay
        self.save()

    def wait(self):
        poll = select.poll()
        poll.register(self.notify, select.POLLIN)
        poll.register(self.wake_read, select.POLLIN)
        if self.pid:
            poll.register(self.pidfd, select.POLLIN)
            until = self.alive_at + self.watchdog if self.watchdog and self.ready else None
        else:
            until = self.start_at
        for _, fd, polled in self.stored:
            if polled:
                poll.register(fd, 0)  # errors and hang-ups are always reported
        timeout = None if until is None else max(0, (until - time.monotonic()) * 1000 + 1)
        return {fd for fd, _ in poll.poll(timeout)}

    def run(self):
        self.start()
        while not self.stopping:
            events = self.wait()
            self.receive()
            with contextlib.suppress(BlockingIOError):
                os.read(self.wake_read, 512)
            for entry in [entry for entry in self.stored if entry[2] and entry[1] in events]:
                print(f"supervisor: dropping descriptor {entry[0]}: it reports an error", file=sys.stderr, flush=True)
                self.drop(entry)
                self.save()
            if self.pid and self.pidfd in events:
                self.reap()
                if self.quick_ends >= MOST_QUICK_ENDS:
                    print("supervisor: it ends at once, again and again; giving up", file=sys.stderr, flush=True)
                    return 1
            now = time.monotonic()
            if not self.pid and now >= self.start_at and not self.stopping:
                self.start()
            elif self.pid and self.watchdog and self.ready and now >= self.alive_at + self.watchdog:
                print("supervisor: no sign of life, killing it", file=sys.stderr, flush=True)
                os.kill(self.pid, signal.SIGABRT)
                self.alive_at = now
        return self.stop()

    def stop(self):
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            poll = select.poll()
            poll.register(self.pidfd, select.POLLIN)
            if not poll.poll(10000):
                os.kill(self.pid, signal.SIGKILL)
            self.reap()
        os.unlink(self.notify_path)
        return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", required=True)
    parser.add_argument("--delay", type=float, default=0.1)
    parser.add_argument("--watchdog", type=float, default=0)
    parser.add_argument("command", nargs="+")
    sys.exit(Supervisor(parser.parse_args()).run())


if __name__ == "__main__":
    main()
