"""edged as its units run it: main is user edged with two capabilities and nothing else, and each other role a process that
the service manager starts for a connection, with a user of its own.

Run as a program, it is that service manager: units.py FOLDER EDGED listens below FOLDER as edged-*.socket do
(ListenSequentialPacket=, Accept=yes), until it is ended; what it has started lives on."""
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys

if __package__:
    from .edged import BUILD, Edged
    from .wait import until

USERS = {"api": "edged-api", "prober": "edged-proxy", "watch": "edged-watch", "proxy": "edged-proxy"}
CAPABILITIES = "+net_admin,+net_bind_service"


def setpriv(user, capabilities=""):
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs",
            f"--inh-caps=-all{',' if capabilities else ''}{capabilities}",
            f"--bounding-set=-all{',' if capabilities else ''}{capabilities}",
            *([f"--ambient-caps=-all,{capabilities}"] if capabilities else [])]


def become(connection, role, edged):
    os.dup2(connection.fileno(), 3)
    os.set_blocking(3, False)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    command = [*setpriv(USERS[role]), edged, "--role", role]
    os.execvp(command[0], command)


def serve(folder, edged):
    selector = selectors.DefaultSelector()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for role in USERS:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(f"{folder}/{role}")
        shutil.chown(f"{folder}/{role}", "edged")
        listener.listen(64)
        selector.register(listener, selectors.EVENT_READ, role)
    while True:
        for key, _ in selector.select():
            connection, _ = key.fileobj.accept()
            with connection:
                if os.fork() == 0:
                    become(connection, key.data, edged)


class UnitEdged(Edged if __package__ else object):
    """As Edged, under the units' rights."""

    def start(self, wait=True):
        self.role_dir = os.path.join(self.folder, "roles")
        os.makedirs(self.role_dir, exist_ok=True)
        os.makedirs(self.wireguard_folder, exist_ok=True)
        for path in (self.etc, self.state_dir, self.runtime_dir, self.wireguard_folder):
            subprocess.run(["chown", "-R", "edged:edged", path], check=True)
        self.manager = self.space.start(sys.executable, "-B", os.path.abspath(__file__), self.role_dir,
                                        os.path.join(BUILD, "edged"), log=self.log)
        until(lambda: len(os.listdir(self.role_dir)) == len(USERS), 5, "the roles' sockets")
        return super().start(wait)

    def arguments(self):
        # As udev leaves it; in mounts of its own, so that the machine's stays as it is.
        device = 'test -e "$0" || mknod -m 666 "$0" c 10 200; mount --bind "$0" /dev/net/tun && exec "$@"'
        return ["sh", "-c", device, os.path.join(self.folder, "tun"), *setpriv("edged", CAPABILITIES), *super().arguments(),
                "--role-dir", self.role_dir]

    def roles(self):
        """{pid: role} as main tells them: they are not its children."""
        return {role["pid"]: role["name"].split()[0] for role in self.get("/v1/status")["roles"] if role["pid"]}


if __name__ == "__main__":
    serve(*sys.argv[1:])
