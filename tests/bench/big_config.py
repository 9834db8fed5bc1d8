#!/usr/bin/python3
"""Write a large configuration: FORWARDS forwards, RULES rules and a blocklist of PREFIXES prefixes.

usage: big_config.py FOLDER [FORWARDS RULES PREFIXES]     (default 1000 5000 1000000)

The same numbers give the same bytes. Every address is of the documentation and benchmarking ranges,
the blocklist's apart: it needs a million prefixes, which no such range has.
"""
import os
import random
import sys


def main():
    folder = sys.argv[1]
    forwards, rules, prefixes = (int(n) for n in (sys.argv[2:] or ["1000", "5000", "1000000"]))
    rng = random.Random(7)
    os.makedirs(f"{folder}/blocklists", exist_ok=True)
    with open(f"{folder}/edged.yaml", "w", encoding="ascii") as out:
        out.write("version: 1\ninterfaces:\n  wan: ens3\n  lan: { device: ens4, networks: [192.0.2.0/24] }\n")
        out.write("floating_ips: [203.0.113.10]\n")
        out.write("management: { from: [198.51.100.128/25], ssh: 22, reason: bastion }\n")
        out.write("nodes:\n")
        for node in range(3):
            out.write(f"  k8s-{node + 1}: {{ address: 192.0.2.{11 + node} }}\n")
        out.write("pools:\n  ingress: { nodes: [k8s-1, k8s-2, k8s-3], health: { check: none } }\n")
        out.write("forwards:\n")
        for i in range(forwards):
            out.write(f"  f{i}: {{ listen: {2000 + i}, to: ingress:{30000 + i}, proxy_protocol: none, reason: bench }}\n")
        out.write("blocklists:\n  big: { file: blocklists/big.txt, reason: bench }\n")
        out.write("rules:\n")
        for i in range(rules):
            source = f"198.18.{rng.randrange(256)}.{rng.randrange(256)}"
            action = rng.choice(["accept", "drop", "reject"])
            out.write(f"  - {{ name: r{i}, from: {source}, to: self, protocol: tcp, port: {rng.randrange(1, 65535)}, "
                      f"action: {action}, reason: bench }}\n")
    with open(f"{folder}/blocklists/big.txt", "w", encoding="ascii") as out:
        # Every other /31 from 11.0.0.0 on: no two of them touch, so that none are merged.
        for i in range(prefixes):
            value = (11 << 24) + i * 4
            out.write(f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}/31\n")


main()
