"""edgectl check: files, names, speed, and no need of edged."""
import json
import os
import random
import subprocess

import pytest

from test_cli import EXAMPLE, HAS_CONTROL, TOP, edgectl

BASE = """\
version: 1
interfaces: { wan: ens3, lan: { device: ens4, networks: [192.0.2.0/24] } }
floating_ips: [203.0.113.10]
management: { from: [198.51.100.128/25], ssh: 22, reason: operators }
nodes: { k8s-1: { address: 192.0.2.11 } }
pools: { ingress: { nodes: [k8s-1] } }
forwards: { https: { listen: 443, to: ingress:30443, reason: web } }
expect: [{ from: 198.51.100.77, in: wan, to: "203.0.113.10:443/tcp", verdict: accept, forward: https }]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "edged.yaml").write_text(BASE)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "lists").mkdir()
    return tmp_path


def test_the_example_is_valid():
    result = edgectl("check", EXAMPLE)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{EXAMPLE}: valid: 4 forwards, 4 rules, 3 nodes, 6 expectations; ")


def test_valid(folder):
    result = edgectl("check", folder / "edged.yaml")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (f"{folder}/edged.yaml: valid: 1 forward, 0 rules, 1 node, 1 expectation; "
                             "0 warnings\n")


def test_places_are_named_as_the_user_named_the_file(folder):
    (folder / "edged.yaml").write_text(BASE.replace("listen: 443", "lsten: 443"))
    for name, cwd in ((f"{folder}/edged.yaml", "/"), ("edged.yaml", folder), ("./edged.yaml", folder),
                      (f"../{folder.name}/edged.yaml", folder)):
        result = edgectl("check", name, cwd=cwd)
        assert result.returncode == 1
        assert f"{name}:7:22: forwards.https: " in result.stderr and '"listen"' in result.stderr
        assert result.stdout.startswith(f"{name}: not valid: ")


def test_places_in_conf_d_and_blocklists(folder):
    (folder / "conf.d" / "20-a.yaml").write_text("blocklists: { a: { file: lists/a.txt, reason: x } }\n")
    (folder / "conf.d" / "30-b.yaml").write_text("rulez: []\n")
    (folder / "conf.d" / ".#30-b.yaml").write_text("rubbish: [\n")
    (folder / "conf.d" / "note.txt").write_text("rubbish: [\n")
    (folder / "lists" / "a.txt").write_text("192.0.2.1\nnonsense\n")
    result = edgectl("check", "edged.yaml", cwd=folder)
    assert result.returncode == 1
    assert "conf.d/30-b.yaml:1:1: " in result.stderr and "lists/a.txt:2" in result.stderr
    assert "rubbish" not in result.stderr


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "lists/../../secret.txt", "..", "lists/.."])
def test_a_blocklist_stays_in_the_folder(folder, name):
    (folder.parent / "secret.txt").write_text("SECRET\n")
    (folder / "conf.d" / "a.yaml").write_text(f"blocklists: {{ a: {{ file: \"{name}\", reason: x }} }}\n")
    result = edgectl("check", folder / "edged.yaml")
    assert result.returncode == 1 and "SECRET" not in result.stderr and "root:" not in result.stderr


def test_an_expectation_that_does_not_hold(folder):
    (folder / "edged.yaml").write_text(BASE.replace("verdict: accept, forward: https", "verdict: drop"))
    result = edgectl("check", folder / "edged.yaml")
    assert result.returncode == 1 and f"{folder}/edged.yaml:8:" in result.stderr


def test_json(folder):
    result = edgectl("check", folder / "edged.yaml", "--json")
    assert (result.returncode, json.loads(result.stdout)) == (0, {"ok": True, "errors": [], "warnings": []})
    (folder / "edged.yaml").write_text("nonsense: 1\n")
    result = edgectl("check", folder / "edged.yaml", "--json")
    answer = json.loads(result.stdout)
    assert result.returncode == 1 and not answer["ok"] and answer["errors"]


def test_json_keeps_what_is_not_utf8(folder):
    (folder / "edged.yaml").write_bytes(b'version: 1\nnodes: { "a\\x9b": 1 }\n')
    answer = json.loads(edgectl("check", folder / "edged.yaml", "--json").stdout)
    text = edgectl("check", folder / "edged.yaml").stderr
    assert len(answer["errors"]) + len(answer["warnings"]) == text.count("\n") > 0


def test_from_a_pipe(folder):
    result = subprocess.run(["bash", "-c", f"build/edgectl check <(cat '{folder}/edged.yaml')"], cwd=TOP,
                            capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr


def test_files_that_cannot_be_read(folder):
    result = edgectl("check", folder / "none.yaml")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"edgectl: cannot read {folder}/none.yaml: No such file or directory\n"
    assert edgectl("check", folder).stderr == f"edgectl: cannot read {folder}: Is a directory\n"
    (folder / "edged.yaml").unlink()
    os.mkfifo(folder / "edged.yaml")
    result = edgectl("check", folder / "edged.yaml")
    assert (result.returncode, result.stderr) == (
        1, f"edgectl: cannot read {folder}/edged.yaml: not a regular file within the configuration's folder\n")
    (folder / "conf.d").rmdir()
    (folder / "mine.yaml").write_text(BASE)
    assert edgectl("check", folder / "mine.yaml").returncode == 0
    (folder / "conf.d").write_text("")
    assert edgectl("check", folder / "mine.yaml").stderr == f"edgectl: cannot read {folder}/conf.d: Not a directory\n"


def test_what_an_apply_refuses_is_refused_here_too(folder, tmp_path_factory):
    """Files that are none, and links out of the folder; links within it, and the main file as a link, are fine."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.txt").write_text("198.18.5.0/24\n")
    (outside / "f.yaml").write_text("floating_ips: []\n")
    extra, blocklist = folder / "conf.d" / "f.yaml", folder / "lists" / "a.txt"
    for make in (lambda: os.mkfifo(extra), lambda: extra.symlink_to(outside / "f.yaml")):
        make()
        result = edgectl("check", folder / "edged.yaml")
        assert (result.returncode, result.stdout, result.stderr) == (
            1, "", f"edgectl: cannot read {extra}: not a regular file within the configuration's folder\n")
        extra.unlink()
    extra.write_text("blocklists: { a: { file: lists/a.txt, reason: x } }\n")
    for make in (lambda: os.mkfifo(blocklist), lambda: blocklist.symlink_to(outside / "a.txt")):
        make()
        result = edgectl("check", folder / "edged.yaml")
        assert result.returncode == 1 and 'blocklists.a.file: "lists/a.txt" is no regular file within' in result.stderr
        blocklist.unlink()
    (folder / "lists" / "b.txt").write_text("198.18.5.0/24\n")
    blocklist.symlink_to("b.txt")
    assert edgectl("check", folder / "edged.yaml").returncode == 0
    (outside / "main.yaml").write_text((folder / "edged.yaml").read_text())
    (folder / "edged.yaml").unlink()
    (folder / "edged.yaml").symlink_to(outside / "main.yaml")
    assert edgectl("check", folder / "edged.yaml").returncode == 0
    assert edgectl("check", "edged.yaml", cwd=folder).returncode == 0


def test_a_file_that_is_too_large(folder):
    with open(folder / "edged.yaml", "wb") as file:
        file.truncate((16 << 20) + 1)
    assert edgectl("check", folder / "edged.yaml").stderr == f"edgectl: {folder}/edged.yaml is larger than 16 MiB\n"


def test_an_endless_file(folder):
    result = edgectl("check", "/dev/zero")
    assert (result.returncode, result.stderr) == (1, "edgectl: /dev/zero is larger than 16 MiB\n")


def test_hostile_bytes_stay_off_the_terminal(folder):
    for text in (b"\x1b]0;x\x07: 1\n", b"\xc2\x9b31m: 1\n", "\u202e: 1\n".encode(), b"a\x00b: 1\n", b"\xff\xfe\x00",
                 b'"\\e[2J": 1\n', b'version: 1\nnodes: { "\\x9b": 1 }\n'):
        (folder / "edged.yaml").write_bytes(text)
        result = edgectl("check", folder / "edged.yaml", hostile=True)
        assert result.returncode == 1 and not HAS_CONTROL.search(result.stderr + result.stdout)


def test_a_thousand_forwards_and_a_million_addresses_take_no_time(tmp_path):
    """The bound is wide, since the machine may be busy; make bench measures."""
    shuffled = random.Random(1)
    forwards = "".join(f"  f{i}: {{ listen: {10000 + i}, to: ingress:{30000 + i}, reason: forward {i} }}\n"
                       for i in range(1000))
    rules = "".join(f"  - {{ name: r{i}, from: 198.18.{i % 256}.{i // 256 * 8}/29, to: wan, protocol: tcp, "
                    f"port: {1000 + i}, action: accept, reason: rule {i} }}\n" for i in range(5000))
    (tmp_path / "edged.yaml").write_text(
        BASE.split("forwards:", maxsplit=1)[0] + f"forwards:\n{forwards}rules:\n{rules}"
        "blocklists: { big: { file: big.txt, reason: x } }\n")
    (tmp_path / "big.txt").write_text("".join(f"{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}.0/25\n" for i in
                                              shuffled.sample(range(1 << 16, 223 << 16), 1000000)))
    before = os.times()
    result = edgectl("check", tmp_path / "edged.yaml")
    used = os.times().children_user - before.children_user
    assert result.returncode == 0, result.stderr
    assert used < 2, f"{used:.2f} s of processor time"
