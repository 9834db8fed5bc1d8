"""The user-space forwarder against HAProxy and nginx stream, with the same nginx behind all three.

One run, in network namespaces on this machine: client --- edge --- server, all on the same cores.
All three programs run all the time, on ports of their own; in each round each row is measured with one
after the other, in random order, so that what else happens on the machine hits all three alike. Shown
are medians, and the median of the rounds' paired ratios with a 95% bootstrap interval: above 1 means
that the forwarder is ahead.
"""
import argparse
import contextlib
import itertools
import json
import os
import random
import re
import resource
import shutil
import signal
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "netns"))
sys.dont_write_bytecode = True

from harness import proxy as forwarder  # noqa: E402
from harness.client import connect  # noqa: E402
from harness.edged import BUILD  # noqa: E402
from harness.proxy import CLIENT, EDGE, SERVERS  # noqa: E402
from harness.wait import until  # noqa: E402

HTTP, BULK = 30080, 9000
IDLE = 4000
CORES = os.cpu_count()
ROWS = {  # row: (what it is, unit, bigger is better)
    "connections": ("new connections, one request each", "1/s", True),
    "requests": ("keep-alive requests, 64 connections", "1/s", True),
    "p50": ("  p50 of these", "us", False),
    "p99": ("  p99 of these", "us", False),
    "up1": ("upload, 1 stream", "MiB/s", True),
    "down1": ("download, 1 stream", "MiB/s", True),
    "up8": ("upload, 8 streams", "MiB/s", True),
    "down8": ("download, 8 streams", "MiB/s", True),
    "cpu_connections": ("program's own CPU for a new connection", "us", False),
    "cpu_requests": ("program's own CPU for a keep-alive request", "us", False),
    "cpu_up1": ("program's own CPU for 1 GiB, upload, 1 stream", "ms", False),
    "cpu_down1": ("program's own CPU for 1 GiB, download, 1 stream", "ms", False),
    "memory": (f"memory per connection, {IDLE} idle", "B", False),
}

NGINX_BEHIND = """
user root; daemon off; worker_processes {cores}; pid {folder}/behind.pid; error_log {folder}/behind.log error;
worker_rlimit_nofile 20000;
events {{ worker_connections 16384; }}
http {{
	access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
	client_body_temp_path {folder}/b1; proxy_temp_path {folder}/b2; fastcgi_temp_path {folder}/b3;
	uwsgi_temp_path {folder}/b4; scgi_temp_path {folder}/b5;
	server {{
		listen 30080 proxy_protocol reuseport backlog=8192;
		location / {{ default_type text/plain; return 200 "{body}"; }}
	}}
}}
"""

NGINX_STREAM = """
{module}
user root; daemon off; worker_processes {cores}; worker_cpu_affinity auto; worker_rlimit_nofile 20000;
pid {folder}/stream.pid; error_log {folder}/stream.log error;
events {{ worker_connections 32768; }}
stream {{
	upstream http {{ {http} }}
	upstream bulk {{ {bulk} }}
	proxy_protocol on; proxy_timeout 1h; proxy_connect_timeout 3s;
	server {{ listen {port} reuseport backlog=8192; proxy_pass http; }}
	server {{ listen {port1} reuseport backlog=8192; proxy_pass bulk; }}
}}
"""

HAPROXY = """
global
	nbthread {cores}
	cpu-map auto:1/1-{cores} 0-{last}
	maxconn 7000
	pidfile {folder}/haproxy.pid
defaults
	mode tcp
	option splice-auto
	maxconn 7000
	backlog 8192
	timeout connect 3s
	timeout client 1h
	timeout server 1h
listen http
	bind :{port}
	balance roundrobin
{http}
listen bulk
	bind :{port1}
	balance roundrobin
{bulk}
"""


class Started:
    """Something that listens on its port (http) and the next one (bulk)."""
    port, driver = 0, None

    def wait_listening(self):
        try:
            for port in (self.port, self.port + 1):
                until(lambda at=port: connect(self.site.client, CLIENT, EDGE, at).close() or True, 20, "it to listen")
        except AssertionError:
            with open(f"{self.folder}/{self.name}.out", errors="replace") as file:
                raise AssertionError(f"{self.name} does not start: {file.read()}") from None


class Forwarder(Started):
    """Ours, with one worker per core, as main would start it."""
    name = "edged"

    def __init__(self, site, folder, port):
        self.site, self.folder, self.port = site, folder, port
        self.proxy = forwarder.Proxy(site, CORES, driver=self.driver)
        backends = [(address, True) for address in SERVERS]
        self.proxy.forward("http", port=HTTP, backends=backends, listen=[(1, "any", port)])
        self.proxy.forward("bulk", port=BULK, backends=backends, listen=[(2, "any", port + 1)])
        self.proxy.commit()
        self.wait_listening()

    def pids(self):
        return self.proxy.pids

    def stop(self):
        self.proxy.stop()


class Program(Started):
    """Another program, by its configuration file."""

    def __init__(self, site, folder, port):
        self.site, self.folder, self.port = site, folder, port
        path = os.path.join(folder, f"{self.name}.conf")
        with open(path, "w") as file:
            file.write(self.config(folder))
        before = set(site.edge.pids())
        self.process = site.edge.start(*self.command(path, folder), log=f"{folder}/{self.name}.out")
        self.wait_listening()
        self.own = set(site.edge.pids()) - before

    def pids(self):
        return self.own

    def stop(self):
        for pid in self.own:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(60)
        until(lambda: not self.own & set(self.site.edge.pids()), 60, f"{self.name} to end")


class Haproxy(Program):
    name = "haproxy"

    def config(self, folder):
        def servers(port):
            return "\n".join(f"\tserver s{n} {a}:{port} send-proxy-v2" for n, a in enumerate(SERVERS))
        return HAPROXY.format(cores=CORES, last=CORES - 1, folder=folder, http=servers(HTTP), bulk=servers(BULK),
                              port=self.port, port1=self.port + 1)

    def command(self, path, folder):
        return ["haproxy", "-db", "-f", path]


class NginxStream(Program):
    name = "nginx"

    def config(self, folder):
        def servers(port):
            return " ".join(f"server {a}:{port};" for a in SERVERS)
        module = "/usr/lib/nginx/modules/ngx_stream_module.so"
        return NGINX_STREAM.format(cores=CORES, folder=folder, http=servers(HTTP), bulk=servers(BULK), port=self.port,
                                   port1=self.port + 1, module=f"load_module {module};" if os.path.exists(module) else "")

    def command(self, path, folder):
        return ["nginx", "-p", folder, "-c", path, "-e", f"{folder}/stream.log"]


PROGRAMS = [Forwarder, Haproxy, NginxStream]


def wrk(site, port, seconds, *options):
    """Requests per second, and the latencies in microseconds; what goes wrong is counted too."""
    result = site.client.run("wrk", "-t2", "-c64", f"-d{seconds}s", "--latency", *options, f"http://{EDGE}:{port}/",
                             timeout=seconds + 60)
    scale = {"us": 1, "ms": 1e3, "s": 1e6}

    def percentile(which):
        value, unit = re.search(rf"{which}%\s+([\d.]+)(us|ms|s)", result.stdout).groups()
        return float(value) * scale[unit]
    errors = re.search(r"Socket errors: (.*)", result.stdout)
    if errors and "connect 0, read 0" not in errors[1] or "Non-2xx" in result.stdout:
        raise AssertionError(result.stdout)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", result.stdout)[1]), percentile(50), percentile(99)


def bulk(site, port, way, streams, seconds):
    result = site.client.run(f"{BUILD}/tests/tools/bulk", way, EDGE, port + 1, streams, seconds, timeout=seconds + 60)
    return float(result.stdout) / (1 << 20)


def private_memory(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_"))
    return total


def idle_memory(site, program):
    """Of the program's processes, private, for each of many connections that have had one request and are idle."""
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    socks = []

    def open_one():
        sock = connect(site.client, CLIENT, EDGE, program.port)
        sock.sendall(request)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        socks.append(sock)
    try:
        for _ in range(8):
            open_one()
        before = private_memory(program.pids())
        for _ in range(IDLE):
            open_one()
        return (private_memory(program.pids()) - before) / IDLE
    finally:
        for sock in socks:
            sock.close()


def cpu_seconds(pids):
    """Time on a CPU of all threads, by the scheduler's own account."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
    return total / 1e9


def costs(program, action):
    """What an action gives, and the CPU seconds that the program spent on it."""
    before = cpu_seconds(program.pids())
    result = action()
    return result, cpu_seconds(program.pids()) - before


def connections(site, program, seconds, results):
    (rate, _, _), cpu = costs(program, lambda: wrk(site, program.port, seconds, "-H", "Connection: close"))
    results["connections"], results["cpu_connections"] = rate, cpu / (rate * seconds) * 1e6


def requests(site, program, seconds, results):
    (rate, results["p50"], results["p99"]), cpu = costs(program, lambda: wrk(site, program.port, seconds))
    results["requests"], results["cpu_requests"] = rate, cpu / (rate * seconds) * 1e6


def stream(way, streams):
    def measure(site, program, seconds, results):
        row = f"{way}{streams}"
        results[row], cpu = costs(program, lambda: bulk(site, program.port, way, streams, seconds))
        results[f"cpu_{row}"] = cpu / (results[row] * seconds / 1024) * 1e3
    return measure


MEASURES = {"connections": connections, "requests": requests, "up1": stream("up", 1), "down1": stream("down", 1),
            "up8": stream("up", 8), "down8": stream("down", 8)}


def run_round(site, programs, rows, seconds):
    results = {program.name: {} for program in programs}
    for row in rows:
        for program in random.sample(programs, len(programs)):
            MEASURES[row](site, program, seconds, results[program.name])
    return results


def measure_memory(site, folder, kinds, times):
    """Of programs that have just been started: one that has served a load has memory in reserve. Each has ports
    of its own, since the sockets of one that was killed may still be there for a moment."""
    figures, ports = [], itertools.count(9100, 2)
    for _ in range(times):
        one = {}
        for kind in random.sample(kinds, len(kinds)):
            program = kind(site, folder, next(ports))
            try:
                one[kind.name] = {"memory": idle_memory(site, program)}
            finally:
                program.stop()
        figures.append(one)
    return figures


def interval(values, rounds=2000):
    """95% of the median, by bootstrap."""
    source = random.Random(1)
    medians = sorted(statistics.median(source.choices(values, k=len(values))) for _ in range(rounds))
    return medians[int(rounds * 0.025)], medians[int(rounds * 0.975)]


def table(rounds):
    names = [kind.name for kind in PROGRAMS if kind.name in rounds[0]]
    first, others = names[0], names[1:]
    lines = ["| | unit | " + " | ".join(names) + " | " + " | ".join(f"against {name}" for name in others) + " |",
             "|---|---|" + "---:|" * len(names) + "---|" * len(others)]
    for row, (what, unit, bigger) in ROWS.items():
        values = {name: [one[name][row] for one in rounds if row in one[name]] for name in names}
        if not values[first]:
            continue
        cells = [f"{statistics.median(values[name]):,.0f}" for name in names]
        for other in others:
            ratios = [(a / b if bigger else b / a) for a, b in zip(values[first], values[other])]
            low, high = interval(ratios)
            mark = "ahead" if low > 1 else "behind" if high < 1 else "even"
            cells.append(f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f}) {mark}")
        lines.append(f"| {what} | {unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def prefer(pids, nice):
    """Where the scheduler groups processes by session, a nice value counts only within its group: set the group's."""
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/autogroup", "w") as file:
            file.write(str(nice))


@contextlib.contextmanager
def laboratory(cores):
    """The three namespaces with the servers in place, and a folder."""
    folder = tempfile.mkdtemp(prefix="edged-bench-")
    site = forwarder.Site(f"{os.environ.get('EDGED_TEST_PREFIX', 'edgedtest')}-{os.getpid()}-bench")
    try:
        for space in (site.client, site.edge, site.server):
            space.sysctl("net.ipv4.ip_local_port_range", "16384 65535")
            space.sysctl("net.core.somaxconn", 8192)
        path = os.path.join(folder, "behind.conf")
        with open(path, "w") as file:
            file.write(NGINX_BEHIND.format(cores=cores, folder=folder, body="x" * 200))
        site.server.start("nginx", "-p", folder, "-c", path, "-e", f"{folder}/behind.log", log=f"{folder}/behind.out")
        site.server.start(f"{BUILD}/tests/tools/bulk", "serve", BULK, log=f"{folder}/bulk.out")
        yield site, folder
    finally:
        site.remove()
        shutil.rmtree(folder, ignore_errors=True)


def run(options, kinds):
    rounds, programs = [], []
    rows = [row for row in MEASURES if row in options.rows.split(",")]
    with laboratory(CORES) as (site, folder):
        if "memory" in options.rows.split(","):
            rounds += measure_memory(site, folder, kinds, 3)
        try:
            for number, kind in enumerate(kinds):
                programs.append(kind(site, folder, 8000 + 10 * number))
            prefer([os.getpid(), *site.edge.pids(), *site.server.pids()], options.nice)
            for number in range(options.rounds if rows else 0):
                rounds.append(run_round(site, programs, rows, options.seconds))
                print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        finally:
            for program in programs:
                program.stop()
    return rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--rows", default=",".join([*MEASURES, "memory"]))
    parser.add_argument("--programs", default=",".join(kind.name for kind in PROGRAMS))
    parser.add_argument("--raw", help="write every single figure to this file, as JSON")
    parser.add_argument("--nice", type=int, default=0, help="priority of everything that is measured")
    options = parser.parse_args()
    os.nice(options.nice)
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
    rounds = run(options, [kind for kind in PROGRAMS if kind.name in options.programs.split(",")])
    if options.raw:
        with open(options.raw, "w") as file:
            json.dump(rounds, file, indent=1)
    print(table(rounds))


if __name__ == "__main__":
    main()
