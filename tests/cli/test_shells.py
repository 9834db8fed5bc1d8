"""Completion in the shells themselves, and edgectl from afar by TLS."""
import os
import shutil
import ssl
import subprocess
import threading
from http.server import ThreadingHTTPServer

import pytest

import answers
from fake_api import Handler
from test_cli import EDGECTL, api, edgectl  # noqa: F401 (a fixture)


def bash(words, folder):
    array = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    script = (f"source <('{EDGECTL}' completion bash); COMP_WORDS=('{EDGECTL}' {array}); COMP_CWORD={len(words)}; "
              f"_edgectl '{EDGECTL}' 2>&1; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    return subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=60, check=False,
                          cwd=folder).stdout.split()


def test_bash(api, tmp_path):
    socket = ["--socket", api.path]
    assert bash(["sta"], tmp_path) == ["status"]
    assert bash([*socket, "show", "forwards", ""], tmp_path) == ["http", "https", "git-ssh"]
    assert bash([*socket, "node", "drain", "k8s-"], tmp_path) == ["k8s-1", "k8s-2", "k8s-3"]
    assert bash([*socket, "forward", "set", ""], tmp_path) == ["https"]
    assert bash([*socket, "rule", "remove", "n"], tmp_path) == ["node-dns"]
    assert bash([*socket, "peer", "remove", ""], tmp_path) == ["k8s-3"]
    assert bash([*socket, "blocklist", "remove", ""], tmp_path) == ["abuse"]
    assert bash([*socket, "diff", ""], tmp_path) == ["13", "12", "9"]
    assert bash([*socket, "unban", ""], tmp_path) == ["198.51.100.7", "2001:db8:7::/64"]
    assert bash(["rule", "add", "x", "--action", ""], tmp_path) == ["accept", "drop", "reject"]


def test_nobody_to_ask_is_no_candidates(tmp_path):
    result = edgectl("__complete", "--", "--socket", tmp_path / "none", "show", "nodes", "")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_what_a_shell_could_take_for_a_command_is_not_offered(api):
    api.answers["GET /v1/nodes"] = [dict(answers.NODES[0], name=name) for name in (
        "$(touch /tmp/x)", "`id`", "a;b", "-rf", "a b", "a\nb", "\x1b[2J", "x" * 65, "", "good-1")]
    result = edgectl("__complete", "--", "--socket", api.path, "show", "nodes", "")
    assert result.stdout == "good-1\n"


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_takes_the_script(api, tmp_path):
    script = ("autoload -Uz compinit; compinit -u -d $PWD/dump; source <($EDGECTL completion zsh); "
              "_describe() { print -l -- ${(P)2} }; words=($EDGECTL --socket $SOCKET show forwards ''); CURRENT=6; _edgectl; "
              "words=($EDGECTL sta); CURRENT=2; _edgectl")
    result = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
                            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "EDGECTL": EDGECTL, "SOCKET": api.path})
    assert result.stdout.splitlines() == [
        "http", "https", "git-ssh", "status:Say whether all is well, what is not, and what to do next"], result.stderr


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_takes_the_script(api, tmp_path):
    script = (f"{EDGECTL} completion fish | source; complete -C '{EDGECTL} --socket {api.path} show forwards '; "
              f"complete -C '{EDGECTL} sta'")
    result = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, timeout=60, check=False,
                            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    assert sorted(line.split("\t")[0] for line in result.stdout.splitlines()) == [
        "git-ssh", "http", "https", "status"], result.stderr


# From afar

def certificate(folder, name, issuer=None):
    path = folder / name
    signed = ["-CA", f"{folder / issuer}.pem", "-CAkey", f"{folder / issuer}.key"] if issuer else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost", "-keyout", f"{path}.key", "-out",
                    f"{path}.pem", *signed], capture_output=True, check=True)
    return f"{path}.pem", f"{path}.key"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    certificate(folder, "ca")
    certificate(folder, "stranger")
    return {"folder": folder, "server": certificate(folder, "server", "ca"), "client": certificate(folder, "client", "ca")}


class Remote:
    def __init__(self, keys, newest=ssl.TLSVersion.TLSv1_3):
        self.answers, self.requests = dict(answers.ALL), []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.api = self
        self.server.handle_error = lambda *arguments: None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = newest
        context.load_cert_chain(*keys["server"])
        context.load_verify_locations(keys["folder"] / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.host = f"localhost:{self.server.server_address[1]}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.server.server_close()


def from_afar(remote, keys, client="client", ca="ca"):
    folder = keys["folder"]
    return edgectl("version", "--host", remote.host, "--cert", folder / f"{client}.pem", "--key", folder / f"{client}.key",
                   "--ca", folder / f"{ca}.pem"), edgectl(
        "show", "bans", "--host", remote.host, "--cert", folder / f"{client}.pem", "--key", folder / f"{client}.key",
        "--ca", folder / f"{ca}.pem")


def test_from_afar(keys):
    with Remote(keys) as remote:
        version, bans = from_afar(remote, keys)
    assert version.stdout == "edgectl 0.1.0\nedged 0.1.0\n"
    assert bans.returncode == 0 and "operator" in bans.stdout


def test_from_afar_nothing_older_than_tls_1_3(keys):
    with Remote(keys, ssl.TLSVersion.TLSv1_2) as remote:
        _, bans = from_afar(remote, keys)
        assert bans.returncode == 3 and "no TLS with localhost:" in bans.stderr and not remote.requests


def test_from_afar_the_server_must_be_known(keys):
    with Remote(keys) as remote:
        _, bans = from_afar(remote, keys, ca="stranger")
        assert bans.returncode == 3 and "no TLS with localhost:" in bans.stderr and not remote.requests


def test_from_afar_the_client_must_be_known(keys):
    with Remote(keys) as remote:
        _, bans = from_afar(remote, keys, client="stranger")
        assert bans.returncode == 3 and not remote.requests


def test_from_afar_nobody_there(keys):
    with Remote(keys) as remote:
        pass
    _, bans = from_afar(remote, keys)
    assert bans.returncode == 3 and f"edged does not answer on {remote.host}" in bans.stderr
