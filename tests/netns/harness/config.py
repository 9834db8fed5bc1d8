"""Configurations for tests: a small one that a test changes where it needs to."""
import copy

import yaml

FAST_HEALTH = {"check": "tcp", "interval": "250ms", "timeout": "200ms", "rise": 1, "fall": 2}
BASE = {
    "version": 1,
    "interfaces": {"wan": "ens3", "lan": {"device": "ens4", "networks": ["192.0.2.0/24", "2001:db8:2::/64"]}},
    "floating_ips": ["203.0.113.10"],
    "nodes": {"k8s-1": {"address": "192.0.2.11"}, "k8s-2": {"address": "192.0.2.12"}},
    "pools": {"web": {"nodes": ["k8s-1", "k8s-2"], "balance": "round_robin", "health": FAST_HEALTH}},
}


class _Plain(yaml.SafeDumper):
    """Without anchors and aliases: edged refuses them."""

    def ignore_aliases(self, data):
        return True


def forward(listen, port, header="none", pool="web", **more):
    return {"listen": listen, "to": f"{pool}:{port}", "proxy_protocol": header, "reason": "test", **more}


def rule(name, **keys):
    return {"name": name, "reason": "test", **keys}


def config(**sections):
    """The base with these sections in place of its own; None leaves one out."""
    whole = copy.deepcopy(BASE)
    whole.update(sections)
    return yaml.dump({key: value for key, value in whole.items() if value is not None}, Dumper=_Plain, sort_keys=False)
