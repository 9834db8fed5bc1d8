#!/usr/bin/python3
"""Apply a large configuration with edged and load the same ruleset with `nft -f`, interleaved.

usage: apply.py [ROUNDS [FORWARDS RULES PREFIXES]]        (default 3; `make bench-apply`)

1,000 forwards, 5,000 rules and a blocklist of 1,000,000 prefixes. Per round, each in a namespace of its own:
edged: from a small configuration to the large one, as `edgectl apply` measures it from outside;
nft:   `nft -f` of what `nft list ruleset` printed of edged's table.
Then a change of one forward, `edgectl check`, and the memory of all roles. Prints medians and the paired ratio.
"""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EDGED, EDGECTL = f"{TOP}/build/edged", f"{TOP}/build/edgectl"
SMALL = """version: 1
interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }
management: { from: [198.51.100.128/25], ssh: 22, reason: bastion }
"""
CHANGES = 11


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


class Namespace:
    def __init__(self, name):
        self.name = f"bench-{os.getpid()}-{name}"
        run("ip", "netns", "add", self.name)
        self.inside = ["nsenter", f"--net=/run/netns/{self.name}"]
        for command in ("ip link set lo up", "ip link add ens3 type veth peer name wan0",
                        "ip link add ens4 type veth peer name lan0", "ip addr add 198.51.100.2/24 dev ens3",
                        "ip addr add 192.0.2.1/24 dev ens4", "ip link set ens3 up", "ip link set ens4 up",
                        "ip link set wan0 up", "ip link set lan0 up"):
            run(*self.inside, *command.split())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        run("ip", "netns", "del", self.name)


class Edged:
    def __init__(self, namespace, folder):
        self.folder = folder
        os.makedirs(f"{folder}/etc")
        with open(f"{folder}/etc/edged.yaml", "w", encoding="ascii") as out:
            out.write(SMALL)
        self.log = open(f"{folder}/log", "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [*namespace.inside, EDGED, "--config", f"{folder}/etc/edged.yaml", "--state-dir", f"{folder}/state",
             "--runtime-dir", f"{folder}/run", "--foreground"], stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        while subprocess.run(self.ctl("status"), capture_output=True, check=False).returncode == 3:
            if time.monotonic() > deadline:
                raise RuntimeError(open(f"{folder}/log", encoding="utf-8").read())
            time.sleep(0.05)

    def ctl(self, *arguments):
        return [EDGECTL, "--socket", f"{self.folder}/run/api.sock", *arguments]

    def apply(self):
        """Seconds from outside, and what edged says of it."""
        start = time.monotonic()
        answer = json.loads(run(*self.ctl("--json", "apply")))
        return time.monotonic() - start, answer["took_ms"]

    def memory(self):
        """PSS of all roles in MiB (shared pages are divided among those that share them)."""
        total = 0
        roles = json.loads(run(*self.ctl("--json", "status")))["roles"]
        for role in roles:
            with open(f"/proc/{role['pid']}/smaps_rollup", encoding="ascii") as lines:
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total / 1024, len(roles)

    def stop(self):
        roles = json.loads(run(*self.ctl("--json", "status")))["roles"]
        self.process.kill()
        self.process.wait()
        for role in roles:
            try:
                os.kill(role["pid"], 15)
            except ProcessLookupError:
                pass
        self.log.close()


def change(folder, number):
    path = f"{folder}/etc/edged.yaml"
    with open(path, encoding="ascii") as file:
        text = file.read()
    with open(path, "w", encoding="ascii") as file:
        file.write(text.replace(f"ingress:{30500 + number},", f"ingress:{40500 + number},"))


def one_round(number, folder, big, ruleset, results):
    with Namespace(f"e{number}") as namespace:
        edged = Edged(namespace, f"{folder}/edged{number}")
        if number == 0:
            results["memory"], results["roles"] = edged.memory()
        shutil.copytree(big, f"{edged.folder}/etc", dirs_exist_ok=True)
        seconds, took = edged.apply()
        results["edged"].append(seconds)
        results["edged commit"].append(took["commit"] / 1000)
        if number == 0:
            with open(ruleset, "w", encoding="utf-8") as out:
                subprocess.run([*namespace.inside, "nft", "list", "table", "inet", "edged"], stdout=out, check=True)
            loadable(ruleset)
            for i in range(CHANGES):
                change(edged.folder, i)
                seconds, took = edged.apply()
                results["change"].append(seconds * 1000)
                results["change commit"].append(took["commit"])
        edged.stop()
    with Namespace(f"n{number}") as namespace:
        start = time.monotonic()
        run(*namespace.inside, "nft", "-f", ruleset)
        results["nft"].append(time.monotonic() - start)


def loadable(ruleset):
    """What `nft list` prints and `nft -f` does not read again: the owner flags, and some prints of nft 1.0."""
    with open(ruleset, encoding="utf-8") as file:
        text = file.read()
    for old, new in (("flags owner,persist", ""), ("flags 0x6", ""), ("# progname", "#"),
                     ("fib daddr type 2-5", "fib daddr type { local, broadcast, anycast, multicast }"),
                     ("type ifname : verdict", "typeof fib daddr oifname : verdict"),
                     ("fib daddr type 2-2", "fib daddr type local"), ("type 3-5", "type { broadcast, anycast, multicast }"),
                     ("type mark : ipv4_addr", "typeof numgen inc mod 3 : ip daddr")):
        text = text.replace(old, new)
    text = re.sub(r"(dnat ip6? to numgen)", r"meta l4proto tcp \1", text)
    with open(ruleset, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    size = sys.argv[2:5] or ["1000", "5000", "1000000"]
    results = {name: [] for name in ("edged", "edged commit", "nft", "change", "change commit", "check")}
    with tempfile.TemporaryDirectory(prefix="edged-bench-") as folder:
        big = f"{folder}/big"
        run("/usr/bin/python3", f"{TOP}/tests/bench/big_config.py", big, *size)
        for _ in range(rounds):
            start = time.monotonic()
            run(EDGECTL, "check", f"{big}/edged.yaml")
            results["check"].append(time.monotonic() - start)
        ruleset = f"{folder}/ruleset.nft"
        for number in range(rounds):
            one_round_safely(number, folder, big, ruleset, results)
    median = statistics.median
    ratio = median(n / e for n, e in zip(results["nft"], results["edged"]))
    print("{} rounds, medians; {:,} forwards, {:,} rules, {:,} prefixes".format(rounds, *map(int, size)))
    print(f"  edged, apply, `edgectl` to answer   {median(results['edged']):8.2f} s")
    print(f"    of it the transaction             {median(results['edged commit']):8.2f} s")
    print(f"  nft -f of the same                  {median(results['nft']):8.2f} s   {ratio:.2f} of edged's time")
    print(f"  one forward changed, answer         {median(results['change']):8.0f} ms")
    print(f"    of it the transaction             {median(results['change commit']):8.0f} ms")
    print(f"  edgectl check                       {median(results['check']):8.2f} s")
    print(f"  memory of {results['roles']} processes, small configuration {results['memory']:5.1f} MiB (PSS)")


def one_round_safely(number, folder, big, ruleset, results):
    try:
        one_round(number, folder, big, ruleset, results)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))}: {error.stderr[-2000:] if error.stderr else error}")


main()
