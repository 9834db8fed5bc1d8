"""Both data planes against plain DNAT, HAProxy and nginx stream: rates, latencies, and what the whole machine pays.

Each has a network of its own (client --- edge --- server, in namespaces), all on the same cores: what one loads (a
ruleset, conntrack, programs on a device) costs nobody else anything. In each round each row is measured with one after
the other, in random order. The CPU is that of the whole machine, since the kernel plane works in softirq. Shown are
medians, and the median of the rounds' paired ratios of one of them (edged's kernel plane, unless --of names another) with
a 95% bootstrap interval: above 1 means that it is ahead.
"""
import argparse
import contextlib
import json
import os
import random
import re
import resource
import shutil
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "netns")]
sys.dont_write_bytecode = True

import forwarder as bench  # noqa: E402
from harness import Edged, config, forward, ip  # noqa: E402
from harness.edged import BUILD  # noqa: E402
from harness.proxy import CLIENT, EDGE, EDGE_LAN, SERVERS, Site  # noqa: E402

PORT, PLAIN_HTTP, PLAIN_BULK = 8000, 30081, 9001
PACE = 20000  # requests a second: what each of them does without queues
FIRST = "edged kernel"
ROWS = {  # row: (what it is, unit, bigger is better)
    "connections": ("new connections, one request each", "1/s", True),
    "cpu_connections": ("  CPU seconds for 100,000 of them", "s", False),
    "p50_connections": ("  p50 of these", "us", False),
    "p99_connections": ("  p99 of these", "us", False),
    "requests": ("keep-alive requests, 64 connections", "1/s", True),
    "cpu_requests": ("  CPU seconds for 100,000 of them", "s", False),
    "p50": ("  p50 of these", "us", False),
    "p99": ("  p99 of these", "us", False),
    "p999": ("  p99.9 of these", "us", False),
    "cpu_paced": (f"{PACE:,} requests a second, CPU seconds for 100,000", "s", False),
    "p50_paced": ("  p50 of these", "us", False),
    "p99_paced": ("  p99 of these", "us", False),
    "p999_paced": ("  p99.9 of these", "us", False),
    "up1": ("upload, 1 stream", "MiB/s", True),
    "cpu_up1": ("  CPU seconds for 1 GiB", "s", False),
    "down1": ("download, 1 stream", "MiB/s", True),
    "cpu_down1": ("  CPU seconds for 1 GiB", "s", False),
    "up8": ("upload, 8 streams", "MiB/s", True),
    "cpu_up8": ("  CPU seconds for 1 GiB", "s", False),
    "down8": ("download, 8 streams", "MiB/s", True),
    "cpu_down8": ("  CPU seconds for 1 GiB", "s", False),
}
DNAT = """table inet bench {{
	chain incoming {{
		type nat hook prerouting priority -100;
		iifname "wan" tcp dport {port} dnat ip to numgen inc mod {count} map {{ {servers} }}:{http}
		iifname "wan" tcp dport {port1} dnat ip to numgen inc mod {count} map {{ {servers} }}:{bulk}
	}}
	chain passing {{
		type filter hook forward priority 0; policy drop;
		ct state established accept
		ct status dnat accept
	}}
}}
"""


class Dnat:
    """The least that forwarding can cost: no header, no policy."""
    name = "DNAT"
    http = PLAIN_HTTP

    def __init__(self, site, folder, port):
        servers = ", ".join(f"{number} : {address}" for number, address in enumerate(SERVERS))
        site.edge.nft(DNAT.format(port=port, port1=port + 1, count=len(SERVERS), servers=servers, http=self.http,
                                  bulk=PLAIN_BULK))
        site.edge.sysctl("net.ipv4.ip_forward", 1)

    def stop(self):
        pass


class ClientHeader(Dnat):
    """New connections only: the client sends the header. What remains are the two ends' costs of it, whoever adds it."""
    name = "DNAT, header by the client"
    http = bench.HTTP
    measured = ["connections"]
    dial = ["header"]


class Kernel:
    """edged itself, with its whole ruleset, and the header."""
    name = FIRST
    header, http, bulk = "v2", bench.HTTP, bench.BULK

    def __init__(self, site, folder, port):
        more = {"pool": "web", "via": "kernel", "synproxy": "off", "snat": "off"}
        self.edged = Edged(site.edge, os.path.join(folder, "edged"), config(
            interfaces={"wan": "wan", "lan": {"device": "lan", "networks": ["192.0.2.0/24"]}}, floating_ips=None,
            nodes={f"k8s-{number + 1}": {"address": address} for number, address in enumerate(SERVERS)},
            pools={"web": {"nodes": [f"k8s-{n + 1}" for n in range(len(SERVERS))], "health": {"check": "none"}}},
            forwards={"http": forward(port, self.http, self.header, **more),
                      "bulk": forward(port + 1, self.bulk, self.header, **more)}), supervised=False).start()
        self.edged.wait_plane("kernel")

    def stop(self):
        self.edged.stop()


class Headerless(Kernel):
    """The same without a header: what of the difference to DNAT is the ruleset's."""
    name = "edged, no header"
    header, http, bulk = "none", PLAIN_HTTP, PLAIN_BULK


class Proxy(bench.Forwarder):
    name = "edged proxy"


class Haproxy(bench.Haproxy):
    name = "HAProxy"


class NginxStream(bench.NginxStream):
    name = "nginx stream"


KINDS = [Kernel, Headerless, Dnat, ClientHeader, Proxy, Haproxy, NginxStream]


def cpu_of_the_machine():
    """Busy CPU seconds of all cores since the start."""
    with open("/proc/stat") as file:
        fields = [int(word) for word in file.readline().split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4] - fields[7]) / os.sysconf("SC_CLK_TCK")


def costs(action):
    before = cpu_of_the_machine()
    result = action()
    return result, cpu_of_the_machine() - before


class Place:
    """One competitor in a network of its own."""

    def __init__(self, kind, number):
        self.name = kind.name
        self.folder = tempfile.mkdtemp(prefix="edged-bench-")
        self.site = Site(f"{os.environ.get('EDGED_TEST_PREFIX', 'edgedtest')}-{os.getpid()}-bench{number}")
        self.program = None
        for space in (self.site.client, self.site.edge, self.site.server):
            space.sysctl("net.ipv4.ip_local_port_range", "16384 65535")
            space.sysctl("net.core.somaxconn", 8192)
        ip("-n", self.site.server.name, "route", "add", "default", "via", EDGE_LAN)
        self.serve()
        self.program = kind(self.site, self.folder, PORT)

    def serve(self):
        os.chmod(self.folder, 0o755)
        behind = bench.NGINX_BEHIND.replace("backlog=8192;", f"backlog=8192;\n\t\tlisten {PLAIN_HTTP} reuseport backlog=8192;")
        path = os.path.join(self.folder, "behind.conf")
        with open(path, "w") as out:
            out.write(behind.format(cores=bench.CORES, folder=self.folder, body="x" * 200))
        server = self.site.server
        server.start("nginx", "-p", self.folder, "-c", path, "-e", f"{self.folder}/behind.log", log=f"{self.folder}/behind.out")
        server.start(f"{BUILD}/tests/tools/bulk", "serve", bench.BULK, log=f"{self.folder}/bulk.out")
        server.start(f"{BUILD}/tests/tools/bulk", "serve", PLAIN_BULK, "plain", log=f"{self.folder}/plain.out")

    def dial(self, seconds, how):
        """Requests a second, and three latencies in microseconds."""
        out = self.site.client.run(f"{BUILD}/tests/tools/dial", EDGE, PORT, 64, seconds, how,
                                   *getattr(self.program, "dial", []), timeout=seconds + 60).stdout
        rate, *latencies = out.split()
        return float(rate), [int(word) for word in latencies]

    def connections(self, seconds, results):
        (rate, (results["p50_connections"], results["p99_connections"], _)), cpu = costs(lambda: self.dial(seconds, "close"))
        results["connections"], results["cpu_connections"] = rate, cpu / (rate * seconds) * 1e5

    def requests(self, seconds, results):
        (rate, (results["p50"], results["p99"], results["p999"])), cpu = costs(lambda: self.dial(seconds, "keep"))
        results["requests"], results["cpu_requests"] = rate, cpu / (rate * seconds) * 1e5

    def paced(self, seconds, results):
        (rate, (results["p50_paced"], results["p99_paced"], results["p999_paced"])), cpu = costs(
            lambda: self.dial(seconds, PACE))
        results["cpu_paced"] = cpu / (rate * seconds) * 1e5

    def stream(self, row, seconds, results):
        results[row], cpu = costs(lambda: bench.bulk(self.site, PORT, row[:-1], int(row[-1]), seconds))
        results[f"cpu_{row}"] = cpu / (results[row] * seconds / 1024)

    def measure(self, row, seconds, results):
        if row in ("connections", "requests", "paced"):
            getattr(self, row)(seconds, results)
        else:
            self.stream(row, seconds, results)

    def remove(self):
        with contextlib.suppress(AssertionError):
            if self.program:
                self.program.stop()
        self.site.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


MEASURED = ["connections", "requests", "paced", "up1", "down1", "up8", "down8"]


def run(options):
    places, rounds = [], []
    try:
        for number, kind in enumerate(KINDS):
            if kind.name in options.programs.split(";"):
                places.append(Place(kind, number))
        for number in range(options.rounds):
            results = {place.name: {} for place in places}
            for row in MEASURED:
                if row in options.rows.split(","):
                    able = [place for place in places if row in getattr(place.program, "measured", MEASURED)]
                    for place in random.sample(able, len(able)):
                        place.measure(row, options.seconds, results[place.name])
            rounds.append(results)
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    finally:
        for place in places:
            place.remove()
    return rounds


def ratios(rounds, row, first, other):
    """Of each round: how far the first is ahead."""
    bigger = ROWS[row][2]
    pairs = [(one[first][row], one[other][row]) for one in rounds if row in one[first] and one[other].get(row)]
    return [(a / b if bigger else b / a) for a, b in pairs if a and b]


def median(rounds, name, row):
    found = [one[name][row] for one in rounds if row in one[name]]
    return statistics.median(found) if found else None


def table(rounds, first):
    names = list(rounds[0])
    others = [name for name in names if name != first] if first in names else []
    lines = ["| | unit | " + " | ".join(names) + " | " + " | ".join(f"{first} against {name}" for name in others) + " |",
             "|---|---|" + "---:|" * len(names) + "---|" * len(others)]
    for row, (what, unit, _) in ROWS.items():
        if row not in rounds[0][names[0]]:
            continue
        medians = [median(rounds, name, row) for name in names]
        cells = ["" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.2f}" for value in medians]
        for other in others:
            found = ratios(rounds, row, first, other)
            low, high = bench.interval(found) if found else (0, 0)
            cells.append(f"{statistics.median(found):.2f} ({low:.2f} to {high:.2f})" if found else "")
        lines.append(f"| {what} | {unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture(rounds):
    """Bars of the medians, each row in parts of its longest, as SVG."""
    names, colours = list(rounds[0]), ["#1f6feb", "#8b949e", "#3fb950", "#d29922", "#a371f7", "#db6d28", "#57606a"]
    rows = [row for row in ROWS if row in rounds[0][names[0]]]
    high, out = 12 * len(names) + 14, []
    for at, row in enumerate(rows):
        medians = [median(rounds, name, row) or 0 for name in names]
        out.append(f'<text x="0" y="{at * high + 26}" font-weight="bold">{ROWS[row][0].strip()}, {ROWS[row][1]}'
                   f' ({"more" if ROWS[row][2] else "less"} is better)</text>')
        for number, (name, value) in enumerate(zip(names, medians)):
            y, width = at * high + 30 + 12 * number, 420 * value / (max(medians) or 1)
            out.append(f'<rect x="150" y="{y}" width="{width:.1f}" height="10" fill="{colours[number % 7]}"/>'
                       f'<text x="0" y="{y + 9}">{name}</text><text x="{156 + width:.1f}" y="{y + 9}">'
                       f'{value:,.{0 if value >= 100 else 2}f}</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{len(rows) * high + 20}" font-family="sans-serif" '
            'font-size="10">\n<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(out) + "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=1, help="of each measurement")
    parser.add_argument("--rows", default=",".join(MEASURED))
    parser.add_argument("--programs", default=";".join(kind.name for kind in KINDS), help="between semicolons")
    parser.add_argument("--of", default=FIRST, help="the program whose ratios to the others are shown")
    parser.add_argument("--raw", help="write every single figure to this file, as JSON")
    parser.add_argument("--svg", help="draw the medians into this file")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
    rounds = run(options)
    for path, text in ((options.raw, json.dumps(rounds, indent=1)), (options.svg, picture(rounds))):
        if path:
            with open(path, "w") as file:
                file.write(text)
    print(f"client {CLIENT}, edge {EDGE}, servers {', '.join(SERVERS)}: {bench.CORES} cores, {options.rounds} rounds of "
          f"{options.seconds} s\n\n{table(rounds, options.of)}")


if __name__ == "__main__":
    main()
