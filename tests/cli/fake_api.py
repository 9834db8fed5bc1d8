"""A stand-in for edged's API: HTTP on a unix socket, with the answers that a test puts in.

    with FakeApi(folder) as api:
        api.answers["GET /v1/version"] = {"version": "0.1.0", "api": 1}
        run edgectl with --socket api.path
        assert api.requests[0].body == ...

An answer is JSON (status 200), or Answer(...) for another status, raw bytes, a broken connection.
"""
import http.server
import json
import os
import socketserver
import threading
from collections import namedtuple
from urllib.parse import unquote

Request = namedtuple("Request", "method path body headers")


class Answer:
    def __init__(self, status=200, json_body=None, raw=None, length=None, repeat=1, hang=None):
        self.status, self.repeat, self.hang = status, repeat, hang
        self.raw = raw if raw is not None else json.dumps(json_body).encode()
        self.length = len(self.raw) * repeat if length is None else length


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "unix"

    def log_message(self, *arguments):
        pass

    def respond(self):
        api = self.server.api
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        api.requests.append(Request(self.command, self.path, json.loads(body) if body else None, dict(self.headers)))
        answer = api.answers.get(f"{self.command} {self.path}")
        if answer is None:
            answer = Answer(404, {"error": f"the fake has no answer to {self.command} {unquote(self.path)}"})
        if not isinstance(answer, Answer):
            answer = Answer(json_body=answer)
        if answer.hang:
            answer.hang.wait(20)
        if answer.status == 0:  # neither status nor headers: the bytes as they are
            self.wfile.write(answer.raw)
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(answer.length))
        self.end_headers()
        try:
            for _ in range(answer.repeat):
                self.wfile.write(answer.raw)
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.close_connection = True

    do_GET = do_POST = do_DELETE = respond


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 32

    def handle_error(self, request, client_address):
        pass


class FakeApi:
    def __init__(self, folder):
        self.path = os.path.join(str(folder), "api.sock")
        self.answers, self.requests = {}, []
        self.server = Server(self.path, Handler)
        self.server.api = self
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def last(self, method, path):
        """The body of the last such request."""
        return [r for r in self.requests if (r.method, r.path) == (method, path)][-1].body
