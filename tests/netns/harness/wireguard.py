"""WireGuard at the other end, and as an independent reader: stock wg-quick and wg, with wireguard-go where the kernel
has none. Userspace implementations have their sockets in /run/wireguard: each end gets a folder of its own mounted
there, which only its processes see (`ip netns exec` gives a command mounts of its own)."""
import os
import subprocess

# The private key that belongs to the peer of examples/edged.yaml; both stand in WireGuard's public documentation.
FAR_NODE_KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="


def within_folder(folder, command):
    script = 'mkdir -p /run/wireguard && mount --bind "$0" /run/wireguard && exec "$@"'
    return ["sh", "-c", script, folder, *command]


def public_key(private):
    return subprocess.run(["wg", "pubkey"], input=private, capture_output=True, text=True, check=True).stdout.strip()


def new_key(what="genkey"):
    return subprocess.run(["wg", what], capture_output=True, text=True, check=True).stdout.strip()


def wg_show(space, folder, device="wg0"):
    """What `wg show DEVICE dump` says: {listen, public_key, peers: {key: {...}}}; None when there is no such device."""
    result = space.run(*within_folder(folder, ["wg", "show", device, "dump"]), check=False)
    if result.returncode:
        return None
    head, *lines = [line.split("\t") for line in result.stdout.splitlines()]
    names = ("preshared_key", "endpoint", "allowed_ips", "handshake", "received", "sent", "keepalive")
    peers = {fields[0]: dict(zip(names, fields[1:])) for fields in lines}
    for peer in peers.values():
        peer["allowed_ips"] = sorted(peer["allowed_ips"].split(","))
        peer.update({name: int(peer[name]) for name in ("handshake", "received", "sent")})
    return {"private_key": head[0], "public_key": head[1], "listen": int(head[2]), "peers": peers}


class WireguardPeer:
    """The other end, in a namespace: set up by wg-quick from a configuration as an operator would write it."""

    def __init__(self, space, folder, config, device="wg0"):
        self.space, self.device = space, device
        self.folder = os.path.join(folder, f"wireguard-{space.name}-{device}")
        os.makedirs(self.folder, exist_ok=True)
        self.config = os.path.join(self.folder, f"{device}.conf")
        self.write(config)

    def write(self, config):
        with open(os.open(self.config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(config)

    def run(self, *command, check=True):
        return self.space.run(*within_folder(self.folder, command), check=check)

    def up(self):
        # What it starts in the background must not hold the pipes that run() reads.
        log = os.path.join(self.folder, "wg-quick.log")
        self.run("sh", "-c", 'exec >"$0" 2>&1 </dev/null; exec wg-quick up "$1"', log, self.config)
        return self

    def down(self):
        self.run("wg-quick", "down", self.config)

    def show(self):
        return wg_show(self.space, self.folder, self.device)


def join_tunnel(space, folder, edge_key, private=FAR_NODE_KEY, preshared=None, address="198.18.88.13"):
    """The node of the example, on the far side of the internet, dials in."""
    config = (f"[Interface]\nPrivateKey = {private}\nAddress = {address}/32\nListenPort = 51820\n[Peer]\n"
              f"PublicKey = {edge_key}\nAllowedIPs = 198.18.88.0/24\nEndpoint = 203.0.113.10:51820\n"
              "PersistentKeepalive = 1\n" + (f"PresharedKey = {preshared}\n" if preshared else ""))
    return WireguardPeer(space, folder, config).up()
