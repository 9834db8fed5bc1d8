"""The node's end of a tunnel, run by `edgectl agent`, which is started again when it ends, as systemd would."""
import contextlib
import os
import signal

from .edged import BUILD
from .namespace import ip
from .network import FAR_NODE
from .wireguard import FAR_NODE_KEY, wg_show, within_folder

# What systemd does with Restart=always; the node's own addresses and routes are the agent's.
KEEP = 'delay=$0; while :; do "$@"; sleep "$delay"; done'


class Agent:
    """In the example's far node, dialling the edge."""

    def __init__(self, net, folder, edge_key, private=FAR_NODE_KEY, preshared=None, address=FAR_NODE[1], keepalive=1,
                 restart_delay=0.1):
        self.space = net.nodes[FAR_NODE[0]].space
        ip("-n", self.space.name, "address", "del", f"{FAR_NODE[1]}/32", "dev", "lo", check=False)
        self.folder = os.path.join(folder, "agent")
        self.wireguard, self.state_dir = os.path.join(self.folder, "wireguard"), os.path.join(self.folder, "state")
        self.log, self.config = os.path.join(self.folder, "agent.log"), os.path.join(self.folder, "wg0.conf")
        os.makedirs(self.wireguard, exist_ok=True)
        self.process, self.restart_delay = None, restart_delay
        self.configure(f"[Interface]\nPrivateKey = {private}\nAddress = {address}/32\nMTU = 1420\n[Peer]\n"
                       f"PublicKey = {edge_key}\nAllowedIPs = 198.18.88.0/24\nEndpoint = 203.0.113.10:51820\n"
                       f"PersistentKeepalive = {keepalive}\n" + (f"PresharedKey = {preshared}\n" if preshared else ""))

    def configure(self, text):
        with open(os.open(self.config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)

    def start(self):
        command = [os.path.join(BUILD, "edgectl"), "agent", self.config, "--state-dir", self.state_dir]
        keep = ["sh", "-c", KEEP, str(self.restart_delay), *command]
        self.process = self.space.start(*within_folder(self.wireguard, keep), log=self.log)
        return self

    def pids(self):
        found = []
        for pid in self.space.pids():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm") as file:
                if file.read().strip() == "edged":
                    found.append(pid)
        return found

    def kill(self):
        pids = self.pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pids

    def stop(self):
        self.space.stop(self.process)
        self.kill()

    def show(self, device="wg0"):
        return wg_show(self.space, self.wireguard, device)

    def keys(self):
        """{device: (our public key, the edge's)}, for devices that are there."""
        seen = {device: self.show(device) for device in ("wg0", "wg0-2")}
        return {device: (state["public_key"], next(iter(state["peers"]), None)) for device, state in seen.items() if state}
