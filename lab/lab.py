"""The lab: lab.py [--name NAME] up|show|down.

up    a cloud in network namespaces (tests/netns/harness/network.py has the picture), edged in
      it on a copy of the example configuration under the supervisor, then what `show` shows
show  requests that go through, with the client's address as the ingress saw it, and others that do not
down  removes all that up made: processes by their pid files, namespaces, the folder /run/NAME
"""
import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "netns"))

from harness import CLIENT, FAR_NODE, FLOATING, NODES, OPERATOR, Edged, Network, ip, join_tunnel, until  # noqa: E402
from harness.namespace import process_started  # noqa: E402


class Lab:
    def __init__(self, name):
        self.name, self.folder = name, f"/run/{name}"
        self.pids = os.path.join(self.folder, "pids")
        self.socket = os.path.join(self.folder, "run", "api.sock")
        self.failed = []

    # -- up and down ---------------------------------------------------------------

    def up(self):
        self.down(quiet=True)
        os.makedirs(self.pids, mode=0o755)
        print("Building the network: internet, cloud router with the floating IP, edge, nodes ...", flush=True)
        network = Network(self.name, self.folder, pid_folder=self.pids)
        print("Starting edged on examples/edged.yaml ...", flush=True)
        edged = Edged(network.edge, self.folder).start()
        edged.wait_forwards_up("http", "https", "git-ssh")
        print("Bringing up the third node behind its WireGuard tunnel, with wg-quick ...", flush=True)
        node = network.nodes[FAR_NODE[0]].space
        ip("-n", node.name, "address", "del", f"{FAR_NODE[1]}/32", "dev", "lo")
        join_tunnel(node, self.folder, edged.show("show", "tunnels")[0]["public_key"])
        edged.wait_backends("https", 3)

    def recorded(self):
        """(pid, start) of what was started and still runs, the youngest first."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.pids):
                with open(os.path.join(self.pids, name)) as file:
                    start = file.read().split()[0]
                if name.isdigit() and str(process_started(int(name))) == start:
                    found.append((int(name), int(start)))
        return sorted(found, key=lambda entry: -entry[1])

    def down(self, quiet=False):
        running = self.recorded()
        for number, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
            for pid, start in running:
                if process_started(pid) == start:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            with contextlib.suppress(AssertionError):
                until(lambda: not self.recorded(), seconds, "the lab's processes to end")
        names = [line.split()[0] for line in ip("netns", "list").splitlines() if line.startswith(self.name + "-")]
        for name in names:
            # Userspace WireGuard has no file there: it outlives who started it, as it should.
            for pid in ip("netns", "pids", name, check=False).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            ip("netns", "del", name, check=False)
        known = os.path.isdir(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        if not quiet:
            print(f"The lab {self.name} is gone." if known or names else f"There is no lab {self.name}.")

    # -- show ----------------------------------------------------------------------

    def show(self):
        if not self.recorded():
            sys.exit(f"There is no lab {self.name}: run 'sudo make lab' first.")
        node, address = "k8s-1", NODES["k8s-1"][0]
        self.say(f"A client on the internet, {CLIENT}, opens http://{FLOATING}/; the ingress says what it saw:")
        self.run("internet", f"curl -sS -m 5 --interface {CLIENT} http://{FLOATING}/", f'"client":"{CLIENT}"')
        self.say("https, on another address:")
        self.run("internet", f"curl -sSk -m 5 --interface 198.51.100.78 https://{FLOATING}/", '"client":"198.51.100.78"')
        self.say("git over ssh, where the server speaks first:")
        self.run("internet", f"socat -T 1 -,ignoreeof!!STDOUT TCP:{FLOATING}:30022,bind={CLIENT}", CLIENT)
        self.say(f"A pod on {node} calls the public address (hairpin):")
        self.run(node, f"curl -sSk -m 5 https://{FLOATING}/", f'"client":"{address}"')
        self.say("The third node is behind a WireGuard tunnel; requests reach it as they reach the others:")
        self.run(None, f"{self.edgectl()} show tunnels", "k8s-3")
        self.run("internet", f"sh -c 'for i in 1 2 3; do curl -sS -m 5 --interface {CLIENT} http://{FLOATING}/; done'",
                 '"node":"k8s-3"')
        self.say("Whatever is not in the configuration is dropped: the Kubernetes API from the internet, a dashboard,")
        self.run("internet", f"curl -sSk -m 2 --interface {CLIENT} https://{FLOATING}:6443/", "timed out", status=28)
        self.run("internet", f"curl -sSk -m 2 --interface {CLIENT} https://{FLOATING}:8443/", "timed out", status=28)
        self.say("which is there for the private network:")
        self.run(node, f"curl -sSk -m 5 https://{FLOATING}:8443/", f'"client":"{address}"')
        self.say("No mail leaves the cluster; the node is told so at once:")
        self.run(node, "curl -sS -m 2 telnet://203.0.113.25:25", "connect", status=7)
        self.say("How it stands:")
        self.run(None, f"{self.edgectl()} status", "nodes")
        self.run(None, f"{self.edgectl()} show forwards", "https")
        self.say("Why the dashboard is closed to the internet:")
        self.run(None, f"{self.edgectl()} explain --from {CLIENT} --to {FLOATING}:8443/tcp --in wan", "drop")
        self.around()
        if self.failed:
            sys.exit("The lab did not show what it should: " + "; ".join(self.failed))

    def edgectl(self):
        return f"{os.path.relpath(TOP)}/build/edgectl --socket {self.socket}".removeprefix("./")

    @staticmethod
    def say(text):
        print(f"\n# {text}", flush=True)

    def run(self, space, command, expected, status=0):
        """Show a command and its output, which must hold what was expected."""
        full = f"ip netns exec {self.name}-{space} {command}" if space else command
        print(f"$ sudo {full}", flush=True)
        result = subprocess.run(shlex.split(full), capture_output=True, text=True, timeout=60, cwd=os.getcwd(),
                                stdin=subprocess.DEVNULL)
        output = (result.stdout + result.stderr).rstrip()
        print(output, flush=True)
        if result.returncode != status or expected not in output:
            self.failed.append(f"'{command}' ended with status {result.returncode}")

    def around(self):
        look = [
            (f"sudo {self.edgectl()} status", "and: show nodes, show rules, history, ..."),
            (f"sudo ip netns exec {self.name}-edge nft list table inet edged", "the ruleset in the kernel"),
            (f"sudo ip netns exec {self.name}-internet bash", f"a client's shell ({CLIENT}; operator: {OPERATOR})"),
            (f"sudo ip netns exec {self.name}-edge tcpdump -ni ens4", "what reaches the nodes"),
            (f"sudo {self.edgectl()} apply", f"after a change in {self.folder}/etc/edged.yaml"),
            (f"less {self.folder}/edged.log", "what edged says"),
            ("sudo make lab-down", "removes all of it"),
        ]
        print("\nThe lab keeps running; the supervisor starts edged again when it ends. To look around:")
        width = max(len(command) for command, _ in look)
        for command, why in look:
            print(f"  {command:<{width}}  # {why}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="edged-lab")
    parser.add_argument("verb", choices=("up", "show", "down"))
    options = parser.parse_args()
    if os.geteuid():
        sys.exit(f"The lab needs root: sudo make lab{'-down' if options.verb == 'down' else ''}")
    if not options.name.replace("-", "").replace("_", "").isalnum():
        sys.exit("--name: letters, digits, - and _")
    lab = Lab(options.name)
    if options.verb == "up":
        try:
            lab.up()
        except BaseException:
            lab.down(quiet=True)
            raise
    getattr(lab, "show" if options.verb == "up" else options.verb)()


if __name__ == "__main__":
    main()
