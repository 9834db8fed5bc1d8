"""What edged would answer, as docs/api.md says, for a small cluster."""

EDGED_YAML = """\
# The edge of the test cluster.
version: 1
interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }
nodes:
  k8s-1: { address: 192.0.2.11 }
  k8s-2: 192.0.2.12            # the second
pools:
  ingress:
    nodes: [k8s-1, k8s-2]
forwards:
  https:                       # the web
    listen: 443
    to: ingress:30443
    proxy_protocol: v2
    limits: { new_per_source: 50/second burst 100 }
    reason: public web
wireguard:
  wg0:
    listen: 51820
    address: 198.18.88.1/24
    peers:
      k8s-3: { public_key: "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=", allowed_ips: [198.18.88.13/32] }
rules:
  - { name: ping, from: any, to: self, protocol: icmp, action: accept, reason: path debugging }
  # the nodes' resolvers
  - { name: node-dns, from: lan, to: wan, protocol: udp, port: 53, action: accept, reason: resolvers }
"""
EXTRA_YAML = """\
blocklists:
  abuse: { file: blocklists/abuse.txt, reason: known scanners }
"""

STATUS = {
    "version": "0.1.0", "revision": 12, "applied_at": "2025-03-01T12:30:00Z", "pending": None, "warnings": [],
    "inactive": [{"section": "forwards.*.synproxy", "why": "this kernel has no synproxy (nft_synproxy)"}],
    "tunnels": {"total": 2, "up": 1, "backend": "userspace", "why": None},
    "planes": {"kernel": 1, "proxy": 2, "why": [
        {"plane": "kernel", "clients": "ipv4", "why": "the kernel can serve it", "forwards": ["git-ssh"]},
        {"plane": "proxy", "clients": "ipv6", "why": "the nodes that are up have no address of the client's family",
         "forwards": ["git-ssh"]},
        {"plane": "proxy", "clients": "all", "why": "via: proxy", "forwards": ["http", "https"]}]},
    "headers": {"loaded": True, "devices": ["ens4"], "why": None, "flows": 3, "room": 262144, "counters": {"sent": 12}},
    "synproxy": ["https"],
    "kernel": {"owner": True, "generation": 42, "in_sync": True},
    "roles": [{"name": "main", "pid": 100, "state": "running"}, {"name": "proxy-0", "pid": 101, "state": "running"},
              {"name": "api", "pid": 102, "state": "running"}],
    "nodes": {"up": 2, "down": 0, "draining": 0},
    "forwards": {"total": 3, "up": 3, "down": 0},
}
FORWARDS = [
    {"name": "http", "listen": "80", "protocol": "tcp", "pool": "ingress", "target_port": 30080, "proxy_protocol": "v2",
     "plane": "proxy", "why": "via: proxy", "planes": [
         {"clients": "ipv4", "plane": "proxy", "why": "via: proxy"},
         {"clients": "ipv6", "plane": "proxy", "why": "via: proxy"}],
     "synproxy": {"mode": "auto", "on": False}, "backends": {"up": 2, "total": 2},
     "connections": {"open": 3, "total": 1234567}, "packets": 20, "bytes": 123456789, "limited": 0, "refused": 0,
     "line": 28, "file": "edged.yaml", "reason": "redirect to https, ACME challenges"},
    {"name": "https", "listen": "443", "protocol": "tcp", "pool": "ingress", "target_port": 30443,
     "proxy_protocol": "v2", "plane": "proxy", "why": None,
     "planes": [
         {"clients": "ipv4", "plane": "proxy", "why": "via: proxy"}], "synproxy": {"mode": "on", "on": True},
     "backends": {"up": 1, "total": 2},
     "connections": {"open": 120, "total": 99999}, "packets": 5, "bytes": 512, "limited": 17, "refused": 2,
     "line": 33, "file": "edged.yaml", "reason": "public web"},
    {"name": "git-ssh", "listen": "203.0.113.10:30022", "protocol": "tcp", "pool": "ingress", "target_port": 30022,
     "proxy_protocol": "v2", "plane": "kernel", "why": "", "planes": [
         {"clients": "ipv4", "plane": "kernel", "why": "the kernel can serve it"},
         {"clients": "ipv6", "plane": "none", "why": "no backend is up"}],
     "synproxy": {"mode": "auto", "on": False}, "backends": {"up": 0, "total": 2},
     "connections": {"open": 0, "total": 0}, "packets": 0, "bytes": 0, "limited": 0, "refused": 250,
     "line": 46, "file": "conf.d/10-git.yaml", "reason": "git over ssh"},
]
NODES_WELL = [
    {"name": "k8s-1", "address": "192.0.2.11", "tunnel": None, "draining": False, "pools": ["ingress"],
     "ports": [{"port": 30443, "up": True, "why": "", "since": "2025-03-01T12:30:02Z"}]}]
NODES = [
    {"name": "k8s-1", "address": "192.0.2.11", "tunnel": None, "draining": False, "pools": ["ingress"],
     "ports": [{"port": 30080, "up": True, "why": "", "since": "2025-03-01T12:30:02Z"},
               {"port": 30443, "up": False, "why": "connection refused", "since": "2025-03-01T14:00:00Z"}]},
    {"name": "k8s-2", "address": "192.0.2.12", "tunnel": None, "draining": True, "pools": ["ingress", "mail"],
     "ports": [{"port": 30080, "up": True, "why": "", "since": "2025-03-01T12:30:02Z"}]},
    {"name": "k8s-3", "address": "198.18.88.13", "tunnel": "wg0", "draining": False, "pools": [], "ports": []},
]
NODES_DOWN = [dict(NODES[0], name=f"k8s-{i}", ports=[{"port": port, "up": False, "why": "timeout", "since": None}
                                                       for port in (30080, 30443)]) for i in range(12)]
RULES = [
    {"name": "dhcp", "implied": True, "from": "wan, lan", "to": "self", "protocol": "udp", "ports": "68", "limit": None,
     "action": "accept", "packets": 2, "bytes": 600, "limited": 0, "line": 0, "file": None, "reason": "own addresses"},
    {"name": "management", "implied": False, "from": "198.51.100.128/25", "to": "self", "protocol": "tcp",
     "ports": "22", "limit": None, "action": "accept", "packets": 40, "bytes": 6000, "limited": 0, "line": 10,
     "file": "edged.yaml", "reason": "operators' bastion"},
    {"name": "no-smtp", "implied": False, "from": "lan", "to": "wan", "protocol": "tcp", "ports": "25",
     "limit": "10/second burst 20", "action": "reject", "packets": 123456789, "bytes": 1, "limited": 7, "line": 80,
     "file": "edged.yaml", "reason": "no mail from the cluster"},
]
TUNNELS = [{"name": "wg0", "listen": 51820, "addresses": ["198.18.88.1/24"], "active": True, "why": None,
            "public_key": "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", "backend": "userspace", "mtu": 1420,
            "peers": [{"name": "k8s-3", "endpoint": "node3.example.net:51820", "allowed_ips": ["198.18.88.13/32"],
                       "public_key": "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=", "preshared_key": False,
                       "keepalive_seconds": 25, "endpoint_now": "198.51.101.13:51820", "handshake_age_seconds": 61,
                       "received": 1500, "sent": 3000, "up": True, "why": "handshake 61 s ago"}]},
           {"name": "wg1", "listen": 51821, "addresses": [], "active": False, "why": "the device is not there",
            "public_key": None, "backend": None, "mtu": 0, "peers": []}]
LIMITS = [{"forward": "https", "limit": "new_per_source", "value": "50/second burst 100", "family": "ipv4",
           "sources": 12, "size": 65536, "dropped": 17},
          {"forward": "https", "limit": "open_per_source", "value": "400", "family": "ipv6", "sources": 65536,
           "size": 65536, "dropped": 0}]
BANS = [{"address": "198.51.100.7", "by": "operator", "forward": None, "expires": None, "seconds_left": None},
        {"address": "2001:db8:7::/64", "by": "limit", "forward": "git-ssh", "expires": "2025-03-01T15:00:00Z",
         "seconds_left": 540}]
CONNECTIONS = [{"protocol": "tcp", "client": "198.51.100.77:40000", "forward": "https", "node": "k8s-1",
                "node_address": "192.0.2.11:30443", "plane": "proxy", "state": "established", "age_seconds": 7300,
                "bytes_in": 1000, "bytes_out": 5000000, "header": "delivered", "unique_id": "18a6b2f0c1d2e3f4"}]
HISTORY = [
    {"revision": 13, "time": "2025-03-01T14:30:00Z", "user": "root", "message": "", "current": False, "pending": True,
     "lapsed": False, "summary": "forward git-ssh: listen 30022 -> 22"},
    {"revision": 12, "time": "2025-03-01T12:30:00Z", "user": "ada", "message": "Grüße", "current": True,
     "pending": False, "lapsed": False, "summary": ["forward https added"]},
    {"revision": 9, "time": "2025-02-01T00:00:00Z", "user": "root", "message": "first", "current": False,
     "pending": False, "lapsed": True, "summary": ""},
]
DIFF = {"from": 9, "to": 12, "diff": "--- edged.yaml\n+++ edged.yaml\n@@ -1,2 +1,2 @@\n version: 1\n-a: 1\n+a: 2\n",
        "changes": ["forward https added"]}
EXPLAIN = {"verdict": "accept", "by": "forward", "name": "https", "file": "edged.yaml", "line": 33, "forward": "https",
           "plane": "proxy", "nodes": ["k8s-1", "k8s-2"], "target_port": 30443, "snat": False, "snat_rule": None,
           "steps": ["198.51.100.77 belongs on wan", "no ban, no blocklist", "rule ping: protocol is not icmp",
                     "forward https listens on 443"]}
EXPLAIN_DROP = {"verdict": "drop", "by": "default", "name": None, "file": None, "line": 0, "forward": None,
                "plane": None, "nodes": [], "target_port": 0, "snat": False, "snat_rule": None, "steps": []}
PLAN = {"changes": True, "summary": ["forward https: new_per_source 50/second burst 100 -> 60/second burst 100"],
        "steps": ["replace rule in chain forwards", "delete element"],
        "warnings": ["edged.yaml:60:9: warning: peer k8s-3 has a well-known key"]}
APPLY = {"revision": 13, "changed": True, "summary": ["forward web added"], "steps": 1, "warnings": [],
         "pending": None, "took_ms": {"load": 1, "diff": 2, "commit": 9, "verify": 3}}
APPLY_PENDING = dict(APPLY, pending={"deadline": "2025-03-01T14:31:00Z", "seconds_left": 60},
                     warnings=["clock is not synchronised"])
RUNNING = {"revision": 12, "differs": [], "files": [{"name": "edged.yaml", "text": EDGED_YAML},
                                                    {"name": "conf.d/20-lists.yaml", "text": EXTRA_YAML}]}
CONFIG = {"revision": 12, "files": RUNNING["files"]}

ALL = {
    "GET /v1/version": {"version": "0.1.0", "api": 1},
    "GET /v1/status": STATUS, "GET /v1/forwards": FORWARDS, "GET /v1/nodes": NODES, "GET /v1/rules": RULES,
    "GET /v1/tunnels": TUNNELS, "GET /v1/limits": LIMITS, "GET /v1/bans": BANS, "GET /v1/connections": CONNECTIONS,
    "GET /v1/connections?forward=https": CONNECTIONS, "GET /v1/history": HISTORY,
    "GET /v1/diff?from=9&to=12": DIFF, "GET /v1/diff?from=9": DIFF, "POST /v1/explain": EXPLAIN,
    "POST /v1/plan": PLAN, "POST /v1/apply": APPLY, "POST /v1/rollback": APPLY, "POST /v1/confirm": {"revision": 13},
    "GET /v1/config?blocklists=no": CONFIG, "GET /v1/config": CONFIG, "GET /v1/config?revision=9": CONFIG,
    "GET /v1/config?revision=9&blocklists=no": CONFIG,
    "GET /v1/config/running?blocklists=no": RUNNING,
    "POST /v1/nodes/k8s-1/drain": {"node": "k8s-1", "draining": True},
    "POST /v1/nodes/k8s-1/undrain": {"node": "k8s-1", "draining": False},
    "POST /v1/bans": {"address": "198.51.100.0/24", "expires": "2025-03-01T15:00:00Z"},
    "DELETE /v1/bans/2001%3Adb8%3A%3A%2F64": {"address": "2001:db8::/64"},
    "POST /v1/flush": {},
}
