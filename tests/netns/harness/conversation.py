"""One real TCP connection through a Line, with everything that the node read."""
import contextlib
import os
import socket
import threading


def serve_once(listener, amount, result):
    """Reads a header and `amount` bytes, answers with as many."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(30)
        data = b""
        while len(data) < 130 + amount and not data.endswith(b"END"):
            part = connection.recv(1 << 20)
            if not part:
                break
            data += part
        result.append(data)
        connection.sendall(bytes(amount) + b"END")


@contextlib.contextmanager
def conversation(line, destination, amount):
    """A real connection with `amount` random bytes up and as many zeros down; yields what the node read, what was sent,
    and the client's port."""
    with line.node.inside():
        listener = socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True)
    result, sent = [], os.urandom(amount) + b"END"
    with listener:
        thread = threading.Thread(target=serve_once, args=(listener, amount, result), daemon=True)
        thread.start()
        with line.client.inside():
            client = socket.create_connection((destination, 80), 10)
        with client:
            client.settimeout(30)
            port = client.getsockname()[1]
            client.sendall(sent)
            received = b""
            while len(received) < amount + 3:
                part = client.recv(1 << 20)
                assert part
                received += part
            assert received == bytes(amount) + b"END"
        thread.join(30)
    yield result[0], sent, port
