"""The api role alone: HTTP in front, and behind it a program that plays main, also a broken one.

build/tests/tools/api_driver answers each request with what main would have been told.
"""
import concurrent.futures
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile

import pytest

from harness import Namespace, until
from harness.edged import BUILD
from harness.namespace import process_alive
from harness.names import PREFIX

DRIVER = os.path.join(BUILD, "tests", "tools", "api_driver")
WRITERS, READERS = 4100, 4101
PASSWD = "root:x:0:0::/:/bin/sh\nalice:x:4001:4001::/:/bin/sh\nbob:x:4002:4002::/:/bin/sh\n"
GROUP = f"root:x:0:\nedge-viewers:x:4200:\nedge:x:{WRITERS}:alice\nedge-view:x:{READERS}:\n"
MIB = 1 << 20


class Api:
    """The role and its driver, in a namespace of their own, with users and groups of their own."""

    def __init__(self, name):
        self.folder = tempfile.mkdtemp(prefix="edged-", dir="/tmp")
        os.chmod(self.folder, 0o755)
        for file, text in (("passwd", PASSWD), ("group", GROUP)):
            with open(self.path(file), "w") as out:
                out.write(text)
        self.space = Namespace(f"{PREFIX}-{os.getpid()}-api_{name}"[:60])
        self.socket, self.log, self.process = self.path("api.sock"), self.path("log"), None

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, *options):
        command = (f"mount --bind {self.path('passwd')} /etc/passwd && mount --bind {self.path('group')} /etc/group && "
                   f"exec {DRIVER} --socket {self.socket} {' '.join(options)}")
        with open(self.log, "w") as log:
            self.process = self.space.start("sh", "-c", command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        words = self.process.stdout.readline().split()
        assert words and words[0] == b"ready", self.logged()
        self.role = int(words[1])
        return self

    def logged(self):
        with open(self.log) as file:
            return file.read()

    def alive(self):
        return self.process.poll() is None and process_alive(self.role)

    def stop(self):
        """End it in order; the driver's status says whether the role did, too."""
        self.process.stdin.close()
        return self.process.wait(15)

    def close(self):
        try:
            if self.process and self.process.poll() is None:
                assert self.stop() == 0, self.logged()
        finally:
            self.space.remove()
            shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, timeout=20):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.socket)  # waits where the queue of new connections is full
        sock.settimeout(timeout)
        return sock

    def raw(self, data, timeout=20):
        """Send bytes as they are; all that comes back until the other side closes."""
        with contextlib.closing(self.connect(timeout)) as sock:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(data)
            return read_all(sock)

    def ask(self, method, target, body=None, headers=None, timeout=40):
        """(status, headers, body) of one request as root."""
        connection = http.client.HTTPConnection("edge", timeout=timeout)
        connection.sock = self.connect(timeout)
        with contextlib.closing(connection):
            connection.request(method, target, body, headers or {}, encode_chunked=bool(headers))
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def told(self, method, target, body=None, headers=None):
        """What main was told of a request."""
        status, _, text = self.ask(method, target, body, headers)
        assert status == 200, (status, text)
        return json.loads(text)

    def curl(self, uid, gid, groups, *args):
        """(status, parsed body) by curl, as some other user."""
        result = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={gid}",
                                 "--groups=" + ",".join(map(str, groups)) if groups else "--clear-groups",
                                 "curl", "-sS", "--max-time", "20", "--unix-socket", self.socket, "-w", "\n%{http_code}",
                                 *args], capture_output=True, text=True, timeout=30, check=True)
        body, _, status = result.stdout.rpartition("\n")
        return int(status), json.loads(body)


def read_all(sock):
    data = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(1 << 20):
            data += piece
    return bytes(data)


def status_of(answer):
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


@pytest.fixture
def api(request, root):
    assert os.path.exists(DRIVER), f"{DRIVER} is not there: run make tools first"
    api = Api(request.node.name.removeprefix("test_").split("[")[0])
    yield api
    api.close()


# -- who may do what ----------------------------------------------------------

def test_groups_decide_who_may_do_what(api):
    api.start()
    assert api.told("POST", "/v1/confirm", b"{}")["user"] == "root"
    status, told = api.curl(4001, 4001, [WRITERS], "-X", "POST", "http://edge/v1/confirm")
    assert (status, told["user"], told["may_write"]) == (200, "alice", True)
    status, told = api.curl(4009, WRITERS, [], "http://edge/v1/status")
    assert (status, told["user"], told["may_write"]) == (200, "uid 4009", True), "the primary group counts"
    many = list(range(5000, 5200)) + [WRITERS]
    assert api.curl(4001, 4001, many, "-X", "POST", "http://edge/v1/confirm")[0] == 200, "any of many groups counts"

    for target in ("status", "nodes", "config", "history"):
        status, told = api.curl(4002, 4002, [READERS], f"http://edge/v1/{target}")
        assert (status, told["user"], told["may_write"]) == (200, "bob", False)
    for target in ("plan", "explain", "check"):
        assert api.curl(4002, 4002, [READERS], "-d", "{}", f"http://edge/v1/{target}")[0] == 200
    for target in ("apply", "confirm", "rollback", "flush", "bans", "nodes/k8s-1/drain"):
        status, answer = api.curl(4002, 4002, [READERS], "-d", "{}", f"http://edge/v1/{target}")
        assert (status, answer["error"]) == (403, '"bob" may only look: this needs group edge')
    assert api.curl(4002, 4002, [READERS], "-X", "DELETE", "http://edge/v1/bans/192.0.2.1")[0] == 403

    for groups in ([], [4200], [0], list(range(5000, 5200))):
        status, answer = api.curl(4002, 4002, groups, "http://edge/v1/status")
        assert (status, answer["error"]) == (
            403, '"bob" may not use this: join group edge (may change things) or edge-view (may look)')
    assert api.curl(4002, 4002, [], "http://edge/nothing")[0] == 403, "who has no right learns nothing of paths"
    assert 'refused "bob"' in api.logged()


def test_groups_that_do_not_exist_let_only_root_in(api):
    with open(api.path("group"), "w") as file:
        file.write("root:x:0:\n")
    api.start()
    assert api.ask("GET", "/v1/status")[0] == 200
    # -1 is what a missing group must not be taken for.
    assert api.curl(4001, 4001, [WRITERS, 4294967294], "http://edge/v1/status")[0] == 403


def test_web_pages_may_not_change_anything(api):
    api.start()
    assert api.ask("POST", "/v1/flush", b"{}", {"Origin": "http://example.net"})[0] == 403
    assert api.ask("GET", "/v1/status", None, {"Origin": "http://example.net"})[0] == 200


# -- HTTP ------------------------------------------------------------------------

def test_what_main_is_told(api):
    api.start()
    told = api.told("GET", "/v1/diff?from=1&to=2")
    assert told == {"may_write": True, "user": "root", "method": "GET", "target": "/v1/diff?from=1&to=2", "length": 0,
                    "sum": 0}
    told = api.told("POST", "/v1/nodes/k8s%2D1/drain", b"{}")
    assert (told["target"], told["length"], told["sum"]) == ("/v1/nodes/k8s%2D1/drain", 2, sum(b"{}"))
    assert api.told("DELETE", "/v1/bans/2001%3Adb8%3A%3A%2F64")["method"] == "DELETE"


def test_unknown_paths_and_methods(api):
    api.start()
    assert api.ask("GET", "/v1/nothing")[0] == 404
    status, headers, body = api.ask("PUT", "/v1/bans")
    assert (status, headers["Allow"]) == (405, "GET, HEAD, POST")
    assert json.loads(body)["error"]
    assert api.ask("GET", "/v1/apply")[0] == 405
    assert api.ask("GET", "/v1/status", b"{}")[0] == 400, "a body where there is none"


def test_head_is_get_without_the_body(api):
    api.start()
    status, headers, body = api.ask("HEAD", "/v1/status")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) == len(api.ask("GET", "/v1/status")[2])
    answer = api.raw(b"HEAD /v1/nothing HTTP/1.0\r\n\r\n")
    assert status_of(answer) == 404 and answer.endswith(b"\r\n\r\n")


def test_connections_are_kept_and_requests_queue(api):
    api.start()
    request = b"GET /v1/status?n=%d HTTP/1.1\r\nHost: x\r\n\r\n"
    with contextlib.closing(api.connect()) as sock:
        last = b"GET /v1/nodes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        sock.sendall(b"".join(request % n for n in range(200)) + last)
        answers = read_all(sock).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert len(answers) == 201
    assert all(b"status?n=%d\"" % n in answers[n] for n in range(200)), "answers come in the requests' order"
    answer = api.raw(b"GET /v1/status HTTP/1.0\r\n\r\n")
    assert b"Connection: close" in answer


def test_a_client_that_only_stops_sending_gets_its_answer(api):
    api.start()
    with contextlib.closing(api.connect()) as sock:
        sock.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert status_of(read_all(sock)) == 200


MALFORMED = [
    (b"nonsense\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", None), (b"\0" * 100, 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505), (b"GET /\r\n\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505), (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414), (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000, 431),
    (b"A" * 100000, 431), (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 100000, 431),
    (b"POST /v1/plan HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST /v1/plan HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", 400),
    (b"POST /v1/plan HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"POST /v1/plan HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400),
    (b"POST /v1/plan HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 1000, 400),
    (b"POST /v1/plan HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n", 501),
    (b"POST /v1/plan HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n", 417),
    (b"GET /v1/status HTTP/1.1\r\nHost: x\r\n continued\r\n\r\n", 400),
    (b"CONNECT edge:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400), (b"TRACE /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    (b"GET http://edge/v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
    (b"GET /v1/status?x=%0d%0aSet-Cookie:a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
]


def test_malformed_requests_are_refused_and_harm_nobody(api):
    api.start()
    for data, expected in MALFORMED:
        if expected is None:
            with contextlib.closing(api.connect()) as sock:
                sock.sendall(data)  # a beginning that waits for more: ended by whoever gives up first
            continue
        # TRACE keeps the connection: say that this is all.
        with contextlib.closing(api.connect()) as sock:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            answer = read_all(sock)
        assert status_of(answer) == expected, (data[:80], answer[:200])
        assert b"Set-Cookie" not in answer.split(b"\r\n\r\n")[0]
        assert api.alive()
    assert api.ask("GET", "/v1/status")[0] == 200


# -- bodies -----------------------------------------------------------------------

def test_large_bodies_arrive_whole(api):
    api.start()
    body = bytes(range(256)) * (60 * MIB // 256)
    expected = (len(body), sum(range(256)) * (60 * MIB // 256))
    told = api.told("POST", "/v1/plan", body)
    assert (told["length"], told["sum"]) == expected
    pieces = (body[at:at + 100001] for at in range(0, len(body), 100001))
    told = api.told("POST", "/v1/plan", pieces, {"Transfer-Encoding": "chunked"})
    assert (told["length"], told["sum"]) == expected
    assert api.told("POST", "/v1/plan", b"")["length"] == 0
    answer = api.raw(b"POST /v1/plan HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
                     b"Expect: 100-continue\r\n\r\nok")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


def test_too_large_bodies_are_refused(api):
    api.start()
    head = b"POST /v1/plan HTTP/1.1\r\nHost: x\r\n"
    for length in (64 * MIB + 1, 10 ** 17):
        answer = api.raw(head + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % length)
        assert status_of(answer) == 413, "before any of it is read"
    chunk = b"100000\r\n" + b"x" * MIB + b"\r\n"
    assert status_of(api.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 65)) == 413
    assert status_of(api.raw(head.replace(b"plan", b"nothing") + b"Content-Length: 50000000\r\n\r\n")) == 404
    assert api.told("POST", "/v1/plan", b"x" * 64 * MIB)["length"] == 64 * MIB, "exactly as much is fine"


def test_all_bodies_together_are_bounded(api):
    """Three clients hold back the last byte of 50 MiB: for the third there is no room."""
    api.start()
    size = 50 * MIB
    head = b"POST /v1/plan HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
    piece = b"x" * (size - 1)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(contextlib.closing(api.connect())) for _ in range(3)]
        for sock in socks[:2]:
            sock.sendall(head + piece)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            socks[2].sendall(head + piece)
        assert status_of(read_all(socks[2])) == 503
        assert api.ask("GET", "/v1/status")[0] == 200
        for sock in socks[:2]:
            sock.sendall(b"x")
            assert status_of(read_all(sock)) == 200
    assert api.told("POST", "/v1/plan", b"x" * 60 * MIB)["length"] == 60 * MIB, "the room is given back"


def test_large_answers_wait_for_slow_readers(api):
    api.start()
    with contextlib.closing(api.connect()) as sock:
        sock.sendall(b"GET /v1/config?main=large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        first = sock.recv(1000)
        assert api.ask("GET", "/v1/status")[0] == 200, "others are served meanwhile"
        assert len(first) + len(read_all(sock)) > 48 * MIB


# -- slow and many ------------------------------------------------------------------

def drip(api, start, drop):
    """Send start, then drop again and again as long as the other side takes it; what it said."""
    with contextlib.closing(api.connect(0.2)) as sock:
        answer = b""

        def ended():
            nonlocal answer
            try:
                sock.sendall(drop)
                piece = sock.recv(65536)
                answer += piece
                return not piece
            except (TimeoutError, socket.timeout):
                return False
            except (BrokenPipeError, ConnectionResetError):
                return True

        sock.sendall(start)
        until(ended, 45, "the api to give up", every=0.2)
        with contextlib.suppress(OSError):
            answer += read_all(sock)
        return answer


def test_slow_clients_and_a_silent_main_meet_deadlines(api):
    """All at once, since each takes as long as its deadline."""
    api.start()
    head = b"POST /v1/plan HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n"
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        slow_head = pool.submit(drip, api, b"GET /v1/status HTTP/1.1\r\n", b"A: b\r\n")
        slow_body = pool.submit(drip, api, head, b"x")
        empty_lines = pool.submit(drip, api, b"\r\n", b"")
        silent = pool.submit(api.ask, "GET", "/v1/status?main=never")
        denied = pool.submit(api.curl, 4002, 4002, [], "http://edge/v1/status")
        while not silent.done():
            assert api.ask("GET", "/v1/status", timeout=5)[0] == 200, "nobody else has to wait"
            concurrent.futures.wait([silent], timeout=1)
        assert status_of(slow_head.result()) == 408
        assert status_of(slow_body.result()) == 408
        assert status_of(empty_lines.result()) == 408
        assert denied.result()[0] == 403
        status, _, body = silent.result()
        assert status == 504 and "did not answer in time" in json.loads(body)["error"]
    assert api.alive()


def descriptors(api):
    return len(os.listdir(f"/proc/{api.role}/fd"))


def test_many_idle_clients_make_room(api):
    api.start()
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(contextlib.closing(api.connect()))
        until(lambda: api.ask("GET", "/v1/status")[0] == 200, 5, "who is idle longest to make room")
        assert descriptors(api) < 100, "for 300 clients"


def test_many_busy_clients_are_bounded(api):
    api.start()
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(contextlib.closing(api.connect())) for _ in range(64)]
        for sock in busy:
            sock.sendall(b"GET /v1/status?main=never HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: status_of(api.raw(b"GET /v1/status HTTP/1.0\r\n\r\n")) == 503, 5, "all places to be busy")
        # Others have places of their own.
        assert api.curl(4002, 4002, [READERS], "http://edge/v1/status")[0] == 200
        assert descriptors(api) < 100
    until(lambda: api.ask("GET", "/v1/status")[0] == 200, 10, "places to be free again")


def test_who_has_no_right_keeps_nobody_out(api):
    api.start()
    flood = subprocess.Popen(["setpriv", "--reuid=4002", "--regid=4002", "--clear-groups", "/usr/bin/python3", "-c", f"""
import socket, sys
socks = []
for i in range(500):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect({api.socket!r})
    try: sock.sendall(b"POST /v1/apply HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 60000000\\r\\n\\r\\n")
    except OSError: pass
    socks.append(sock)
print("all", flush=True)
sys.stdin.read()
"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert flood.stdout.readline() == b"all\n"
        for _ in range(20):
            assert api.ask("GET", "/v1/status", timeout=5)[0] == 200
        assert descriptors(api) < 60
    finally:
        flood.stdin.close()
        flood.wait(10)


# -- main -----------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["garbage", "status", "split", "unsealed"])
def test_a_main_that_talks_nonsense(api, how):
    api.start()
    status, headers, body = api.ask("GET", f"/v1/status?main={how}")
    assert status == 502 and "makes no sense" in json.loads(body)["error"]
    assert "Set-Cookie" not in headers
    assert api.ask("GET", "/v1/status")[0] == 200
    assert "log: api: main" in api.logged()


def test_answers_without_body_and_answers_twice(api):
    api.start()
    assert api.ask("GET", "/v1/status?main=empty")[::2] == (204, b"")
    for _ in range(3):
        assert api.ask("GET", "/v1/status?main=twice")[::2] == (200, b"{}")
    assert api.told("GET", "/v1/nodes")["target"] == "/v1/nodes", "the second answer went to nobody"


def test_when_main_ends_the_role_ends(api):
    api.start()
    with contextlib.closing(api.connect()) as sock:
        sock.sendall(b"GET /v1/status?main=never HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: api.ask("GET", "/v1/status")[0] == 200)
        os.kill(api.process.pid, signal.SIGKILL)
        answer = read_all(sock)
    assert status_of(answer) == 503 and b"edged is stopping" in answer
    until(lambda: not process_alive(api.role), 10, "the role to end")


def test_the_role_gives_up_its_rights(api):
    api.start()
    with open(f"/proc/{api.role}/status") as file:
        facts = dict(line.split(":\t", 1) for line in file.read().splitlines())
    assert facts["Uid"].split() == ["65534"] * 4
    assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    assert os.stat(f"/proc/{api.role}/fd").st_uid == 0, "not dumpable: its memory is nobody else's"


# -- TLS ------------------------------------------------------------------------------

def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


# What Python 3.13 wants to see in a certificate.
LEAF = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"


def make_ca(folder, name):
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-addext",
            "keyUsage=critical,keyCertSign,cRLSign")


def make_request(folder, name, subject=None):
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-utf8", "-keyout",
            f"{name}.key", "-out", f"{name}.csr", "-subj", subject or f"/CN={name}")


def make_certificate(folder, ca, name, subject=None):
    make_request(folder, name, subject)
    (folder / "leaf.conf").write_text(LEAF)
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
            "-days", "2", "-extfile", "leaf.conf", "-out", f"{name}.pem")


def make_expired(folder, ca, name, subject):
    """Only `openssl ca` takes dates in every version."""
    make_request(folder, name, subject)
    (folder / "ca.conf").write_text("[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\n"
                                    "default_md=sha256\npolicy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n"
                                    "[x]\n" + LEAF)
    (folder / "index").write_text("")
    (folder / "serial").write_text("77\n")
    openssl(folder, "ca", "-batch", "-config", "ca.conf", "-in", f"{name}.csr", "-cert", f"{ca}.pem", "-keyfile",
            f"{ca}.key", "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-notext", "-out", f"{name}.pem")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "otherca"):
        make_ca(folder, name)
    for name in ("server", "writer", "reader", "stranger"):
        make_certificate(folder, "ca", name)
    make_certificate(folder, "otherca", "foreign", "/CN=writer")
    make_expired(folder, "ca", "expired", "/CN=writer")
    make_certificate(folder, "ca", "double", "/CN=stranger/CN=writer")
    return folder


@pytest.fixture
def tls(api, certificates):
    shutil.copytree(certificates, api.folder, dirs_exist_ok=True)
    os.chmod(api.folder, 0o755)
    return api.start("--tls 192.0.2.1:8443", *(api.path(file) for file in ("server.pem", "server.key", "ca.pem")),
                     "--writer writer --reader reader")


@pytest.fixture(autouse=True)
def loopback_address(request):
    if "api" in request.fixturenames:
        request.getfixturevalue("api").space.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")


def ask_tls(api, certificate, method="GET", target="/v1/status", version=None):
    """(status, parsed body) over TLS."""
    context = ssl.create_default_context(cafile=api.path("ca.pem"))
    context.check_hostname = False
    if version:
        context.maximum_version = version
    if certificate:
        context.load_cert_chain(api.path(f"{certificate}.pem"), api.path(f"{certificate}.key"))
    with api.space.inside():
        plain = socket.create_connection(("192.0.2.1", 8443), 10)
    connection = http.client.HTTPConnection("edge")
    with contextlib.closing(plain):
        connection.sock = context.wrap_socket(plain)
        assert connection.sock.version() == "TLSv1.3"
        connection.request(method, target, b"{}" if method == "POST" else None)
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        return response.status, body


def test_certificates_decide_who_may_do_what(tls):
    status, told = ask_tls(tls, "writer", "POST", "/v1/confirm")
    assert (status, told["user"], told["may_write"]) == (200, "tls:writer", True)
    status, told = ask_tls(tls, "reader")
    assert (status, told["user"], told["may_write"]) == (200, "tls:reader", False)
    status, answer = ask_tls(tls, "reader", "POST", "/v1/confirm")
    assert (status, answer["error"]) == (
        403, 'the certificate "reader" may only look: this needs one that api.writers names')
    status, answer = ask_tls(tls, "stranger")
    assert (status, answer["error"]) == (
        403, 'the certificate "stranger" is named in neither api.writers nor api.readers')
    assert ask_tls(tls, "writer", "GET", "/metrics")[0] == 200


@pytest.mark.parametrize("certificate", [None, "foreign", "expired", "double"])
def test_wrong_certificates_are_refused(tls, certificate):
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        ask_tls(tls, certificate)
    assert ask_tls(tls, "reader")[0] == 200
    assert tls.alive()


def test_old_tls_and_no_tls_are_refused(tls):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask_tls(tls, "writer", version=ssl.TLSVersion.TLSv1_2)
    with tls.space.inside():
        plain = socket.create_connection(("192.0.2.1", 8443), 10)
    with contextlib.closing(plain):
        plain.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP" not in read_all(plain)
    assert ask_tls(tls, "writer")[0] == 200


def test_silent_handshakes_keep_nobody_out(tls):
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            with tls.space.inside():
                stack.enter_context(contextlib.closing(socket.create_connection(("192.0.2.1", 8443), 10)))
        assert ask_tls(tls, "writer")[0] == 200


def test_the_key_leaks_nowhere(tls):
    """Not into the log, not into an answer; and the process that holds it cannot be read by its own user."""
    with open(tls.path("server.key")) as file:
        secret = file.read().splitlines()[1]
    assert secret not in tls.logged()
    assert secret not in json.dumps(ask_tls(tls, "writer")[1])
    look = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "head", "-c1", f"/proc/{tls.role}/maps"]
    assert subprocess.run(look, capture_output=True, check=False).returncode != 0


# -- metrics over TCP -------------------------------------------------------------------

def test_the_metrics_listener_gives_only_metrics(api):
    api.start("--metrics 192.0.2.1:9550")

    def ask(data):
        with api.space.inside():
            sock = socket.create_connection(("192.0.2.1", 9550), 10)
        with contextlib.closing(sock):
            sock.sendall(data + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return read_all(sock)

    answer = ask(b"GET /metrics")
    assert status_of(answer) == 200
    told = json.loads(answer.split(b"\r\n\r\n")[1])
    assert (told["user"], told["may_write"]) == ("metrics", False)
    assert status_of(ask(b"HEAD /metrics?x")) == 200
    assert status_of(ask(b"POST /metrics")) == 405
    for target in (b"GET /v1/status", b"GET /v1/config", b"POST /v1/apply", b"POST /v1/plan", b"GET /", b"GET /metrics/",
                   b"GET /metricsx"):
        assert status_of(ask(target)) == 404
