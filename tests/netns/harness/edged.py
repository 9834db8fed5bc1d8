"""edged in the edge's namespace, with folders of its own, and edgectl beside it.

With supervised=True (the default) it runs under lab/supervisor.py, which starts it
again when it ends and keeps what it stores, as systemd would.
"""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import uuid

from .namespace import process_alive
from .wait import until
from .wireguard import within_folder

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILD = os.environ.get("EDGED_BUILD", os.path.join(TOP, "build"))
EXAMPLE = os.path.join(TOP, "examples")


class ApiError(AssertionError):
    def __init__(self, status, answer):
        super().__init__(f"{status}: {json.dumps(answer)}")
        self.status, self.answer = status, answer


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Edged:
    """folder: where its configuration, state and runtime folders are made. restart_delay: the supervisor's."""

    def __init__(self, space, folder, config=None, supervised=True, environment=None, restart_delay=0.1):
        self.space, self.supervised, self.environment = space, supervised, environment or {}
        self.restart_delay, self.folder, self.boot_id = restart_delay, folder, None
        self.etc, self.state_dir = os.path.join(folder, "etc"), os.path.join(folder, "state")
        self.runtime_dir, self.log = os.path.join(folder, "run"), os.path.join(folder, "edged.log")
        self.config, self.socket = os.path.join(self.etc, "edged.yaml"), os.path.join(self.runtime_dir, "api.sock")
        self.supervisor_state = os.path.join(folder, "supervisor.json")
        self.wireguard_folder = os.path.join(folder, "wireguard")
        self.process = None
        for path in (self.etc, self.state_dir, self.runtime_dir):
            os.makedirs(path, mode=0o755, exist_ok=True)
        if config is None:
            shutil.copytree(EXAMPLE, self.etc, dirs_exist_ok=True)
        else:
            self.write(config)

    def write(self, text, name="edged.yaml"):
        path = os.path.join(self.etc, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)

    def read(self, name="edged.yaml"):
        with open(os.path.join(self.etc, name)) as file:
            return file.read()

    def arguments(self):
        return [os.path.join(BUILD, "edged"), "--config", self.config, "--state-dir", self.state_dir,
                "--runtime-dir", self.runtime_dir, "--foreground"]

    def start(self, wait=True):
        command, environment = self.arguments(), dict(os.environ, **self.environment)
        environment.pop("NOTIFY_SOCKET", None)
        if self.supervised:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.supervisor_state)
            command = [sys.executable, os.path.join(TOP, "lab", "supervisor.py"), "--state", self.supervisor_state,
                       "--watchdog", "30", "--delay", str(self.restart_delay), "--", *command]
        # Userspace WireGuard has its sockets in one folder of the machine: each edged here has one of its own.
        os.makedirs(self.wireguard_folder, exist_ok=True)
        command = within_folder(self.wireguard_folder, command)
        if self.boot_id:
            # `ip netns exec` gives it mounts of its own, so this reaches nobody else.
            command = ["sh", "-c", 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"', self.boot_id, *command]
        self.process = self.space.start(*command, log=self.log, env=environment)
        if wait:
            self.wait_ready()
            assert self.get("/v1/status")["revision"], f"the configuration was refused:\n{self.log_tail()}"
        return self

    def wait_ready(self, seconds=15):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"edged ended with status {self.process.returncode}:\n{self.log_tail()}")
            return self.answers()
        try:
            until(ready, seconds, "edged to answer on its local socket")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_tail()}") from None
        return self

    def answers(self):
        with contextlib.suppress(OSError, http.client.HTTPException, ApiError):
            return self.get("/v1/status", timeout=2)
        return None

    def log_tail(self, lines=40):
        with contextlib.suppress(FileNotFoundError), open(self.log, errors="replace") as file:
            return "".join(file.readlines()[-lines:])
        return ""

    def supervisor(self):
        """What the supervisor knows: pid, ready, starts, fds."""
        with open(self.supervisor_state) as file:
            return json.load(file)

    @property
    def pid(self):
        """Of main; 0 while there is none."""
        if self.process is None or self.process.poll() is not None:
            return 0
        return self.supervisor()["pid"] if self.supervised else self.process.pid

    def roles(self):
        """{pid: role name} of main's children, as the process table has them."""
        pid, found = self.pid, {}
        if pid:
            found[pid] = "main"
            for child in subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True,
                                        check=False).stdout.splitlines():
                number, arguments = child.split(None, 1)
                role = re.search(r"--role[ =](\w+)", arguments)
                found[int(number)] = role[1] if role else arguments
        return found

    def kill(self, role="main", number=signal.SIGKILL):
        """Signal every process of a role; returns their pids."""
        pids = [pid for pid, name in self.roles().items() if name == role]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    def stop(self):
        if self.process is not None:
            # Forwarder workers may stay: they serve the connections that are open.
            pids = [pid for pid, role in self.roles().items() if role != "proxy"] if self.process.poll() is None else []
            self.space.stop(self.process, 15)
            self.process = None
            until(lambda: not [pid for pid in pids if process_alive(pid)], 5, "edged's roles to end with it")

    def power_off(self):
        """All processes at once, with no chance to say goodbye."""
        pids = list(self.roles())
        for pid in (self.process.pid, *pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        until(lambda: not any(process_alive(pid) for pid in pids), 5, "edged to be gone")

    def boot(self, space):
        """Start in another namespace, as after a reboot: nothing in the kernel, and another boot id."""
        self.space, self.boot_id = space, os.path.join(self.folder, "boot_id")
        with open(self.boot_id, "w") as file:
            file.write(f"{uuid.uuid4()}\n")
        return self.start()

    # -- the API, spoken directly -------------------------------------------------

    def request(self, method, path, body=None, timeout=30):
        connection = UnixConnection(self.socket, timeout)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        answer = json.loads(text) if "json" in (response.getheader("Content-Type") or "") and text else text
        if response.status >= 400:
            raise ApiError(response.status, answer)
        return answer

    def get(self, path, timeout=30):
        return self.request("GET", path, timeout=timeout)

    def post(self, path, body=None, timeout=60):
        return self.request("POST", path, {} if body is None else body, timeout=timeout)

    # -- edgectl ------------------------------------------------------------------

    def ctl(self, *args, check=True, timeout=60, text_input=None):
        """Run edgectl; the result has .returncode, .stdout, .stderr."""
        result = subprocess.run([os.path.join(BUILD, "edgectl"), "--socket", self.socket, *map(str, args)],
                                capture_output=True, text=True, timeout=timeout, input=text_input)
        if check and result.returncode:
            raise AssertionError(f"edgectl {' '.join(map(str, args))}: status {result.returncode}\n"
                                 f"{result.stdout}{result.stderr}{self.log_tail(15)}")
        return result

    def show(self, *args):
        """edgectl --json, parsed."""
        return json.loads(self.ctl("--json", *args).stdout)

    def apply(self, config=None, **options):
        """Write the configuration (when given) and apply what lies in the folder."""
        if config is not None:
            self.write(config)
        return self.post("/v1/apply", options)

    def wait_forwards_up(self, *names, seconds=20):
        """Until every named forward (default: all whose pool is local) has a backend."""
        def up():
            found = {forward["name"]: forward["backends"]["up"] for forward in self.get("/v1/forwards")}
            return all(found[name] > 0 for name in (names or found))
        until(up, seconds, f"forwards {names or 'all'} to have a backend")

    def planes(self, clients="ipv4"):
        """{forward: (plane, why)} for clients of one family."""
        return {forward["name"]: (plane["plane"], plane["why"]) for forward in self.get("/v1/forwards")
                for plane in forward["planes"] if plane["clients"] == clients}

    def wait_plane(self, plane, *names, clients="ipv4", seconds=30):
        """Until these forwards (default: all) are served by that data plane. The loader takes a second or two."""
        def served():
            found = self.planes(clients)
            return all(found[name][0] == plane for name in (names or found))
        until(served, seconds, f"forwards {names or 'all'} to be served by the {plane} plane")

    def wait_backends(self, forward, count, seconds=20):
        def reached():
            return [f for f in self.get("/v1/forwards") if f["name"] == forward][0]["backends"]["up"] == count
        until(reached, seconds, f"{forward} to have {count} backends up")
