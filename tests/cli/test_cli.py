"""edgectl against a fake API: what it prints, what it sends, how it fails."""
import copy
import json
import os
import re
import shutil
import stat
import subprocess
import threading

import pytest

import answers
from fake_api import Answer, FakeApi

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
GOLDEN = os.path.join(TOP, "tests", "golden", "cli")
EDGECTL = os.environ.get("EDGECTL", os.path.join(TOP, "build", "edgectl"))
SANITIZED = os.path.join(TOP, "build", "san", "edgectl")
EXAMPLE = os.path.join(TOP, "examples", "edged.yaml")
HAS_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def edgectl(*arguments, socket=None, environment=None, hostile=False, program=None, **options):
    """Run it. hostile: with the sanitizers where that build is there, since the input is meant to break it."""
    program = program or (SANITIZED if hostile and os.path.exists(SANITIZED) else EDGECTL)
    command = [program, *(["--socket", str(socket)] if socket else []), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False,
                          env={"PATH": os.environ["PATH"], **(environment or {})}, **options)


@pytest.fixture
def api(tmp_path):
    with FakeApi(tmp_path) as fake:
        fake.answers.update(copy.deepcopy(answers.ALL))
        yield fake


def golden(name, text):
    """Compare with tests/golden/cli/NAME; UPDATE_GOLDEN=1 writes it."""
    path = os.path.join(GOLDEN, name)
    text = re.sub(r"\(\d+ (s|min|h|days) ago\)", "(N days ago)", text)
    if os.environ.get("UPDATE_GOLDEN"):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    with open(path, encoding="utf-8") as file:
        assert text == file.read()


SHOWN = {
    "status": ["status"],
    "forwards": ["show", "forwards"],
    "forward-http": ["show", "forwards", "http"],
    "nodes": ["show", "nodes"],
    "rules": ["show", "rules"],
    "tunnels": ["show", "tunnels"],
    "limits": ["show", "limits"],
    "bans": ["show", "bans"],
    "connections": ["show", "connections"],
    "connections-https": ["show", "connections", "https"],
    "config": ["show", "config"],
    "config-extra": ["show", "config", "conf.d/20-lists.yaml"],
    "config-9": ["show", "config", "--revision", "9"],
    "history": ["history"],
    "diff": ["diff", "9", "12"],
    "explain": ["explain", "--from", "198.51.100.77", "--to", "203.0.113.10:443", "--in", "wan"],
    "plan": ["plan"],
    "apply": ["apply"],
    "confirm": ["confirm"],
    "rollback": ["rollback", "9"],
    "drain": ["node", "drain", "k8s-1"],
    "undrain": ["node", "undrain", "k8s-1"],
    "ban": ["ban", "198.51.100.0/24", "--for", "1h"],
    "unban": ["unban", "2001:db8::/64"],
    "flush": ["flush", "--yes"],
    "version": ["version"],
}


@pytest.mark.parametrize("name", SHOWN)
def test_text(api, name):
    if name == "status":
        api.answers["GET /v1/nodes"] = answers.NODES_WELL
    result = edgectl(*SHOWN[name], socket=api.path)
    assert (result.returncode, result.stderr) == (0, "")
    golden(name + ".txt", result.stdout)


@pytest.mark.parametrize("name", SHOWN)
def test_json(api, name):
    result = edgectl(*SHOWN[name], "--json", socket=api.path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.isascii()
    golden(name + ".json", result.stdout)


def test_json_is_the_answer_itself(api):
    assert json.loads(edgectl("show", "forwards", "--json", socket=api.path).stdout) == answers.FORWARDS
    assert json.loads(edgectl("show", "nodes", "k8s-3", "--json", socket=api.path).stdout) == [answers.NODES[2]]


def test_no_colour_without_a_terminal_and_colour_on_one(api):
    plain = edgectl("status", socket=api.path, environment={"TERM": "xterm"})
    assert "\033" not in plain.stdout

    def on_terminal(**environment):
        script = subprocess.run(["script", "-qec", f"{EDGECTL} --socket {api.path} show forwards", "/dev/null"],
                                capture_output=True, text=True, timeout=60, check=True, stdin=subprocess.DEVNULL,
                                env={"PATH": os.environ["PATH"], "TERM": "xterm", **environment})
        return script.stdout
    assert "\033[" in on_terminal()
    assert "\033" not in on_terminal(NO_COLOR="1")
    assert "\033" not in on_terminal(TERM="dumb")


# What is sent

def test_apply_sends_the_files_under_their_own_names(api, tmp_path):
    folder = tmp_path / "new"
    (folder / "conf.d").mkdir(parents=True)
    (folder / "lists").mkdir()
    (folder / "mine.yaml").write_text("version: 1\nblocklists: { a: { file: lists/a.txt, reason: x } }\n")
    (folder / "conf.d" / "20.yaml").write_text("forwards: {}\n")
    (folder / "conf.d" / "10.yaml").write_text("blocklists: { b: { file: ../secret, reason: x } }\n")
    (folder / "conf.d" / ".hidden.yaml").write_text("x: 1\n")
    (folder / "conf.d" / "readme.txt").write_text("no\n")
    (folder / "lists" / "a.txt").write_text("192.0.2.1\n")
    (tmp_path / "secret").write_text("192.0.2.2\n")
    result = edgectl("apply", folder / "mine.yaml", "--confirm-within", "2m", "-m", "why", socket=api.path)
    assert result.returncode == 0, result.stderr
    body = api.last("POST", "/v1/apply")
    assert [file["name"] for file in body["files"]] == ["edged.yaml", "conf.d/10.yaml", "conf.d/20.yaml", "lists/a.txt"]
    assert body["files"][3]["text"] == "192.0.2.1\n"
    assert (body["confirm_within_seconds"], body["message"]) == (120, "why")


def test_apply_without_a_file_sends_none(api):
    edgectl("apply", socket=api.path)
    assert api.last("POST", "/v1/apply") == {}


def test_pending_says_how_to_confirm_and_when_it_goes_back(api):
    api.answers["POST /v1/apply"] = answers.APPLY_PENDING
    result = edgectl("apply", "--confirm-within", "60s", socket=api.path)
    golden("apply-pending.txt", result.stdout)


def test_refusal_prints_every_line_with_the_names_that_the_user_knows(api, tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("version: 1\n")
    api.answers["POST /v1/apply"] = Answer(422, {"error": "the configuration is not valid", "diagnostics": [
        "edged.yaml:3:1: forwards: no", "blocklists/abuse.txt:7:1: no address"]})
    result = edgectl("apply", file, socket=api.path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == ("edgectl: the configuration is not valid\n"
                             f"{file}:3:1: forwards: no\nblocklists/abuse.txt:7:1: no address\n")


def test_refusal_as_json(api):
    refusal = {"error": "no", "diagnostics": ["edged.yaml:3:1: forwards: no"]}
    api.answers["POST /v1/apply"] = Answer(422, refusal)
    result = edgectl("apply", "--json", socket=api.path)
    assert result.returncode == 1 and json.loads(result.stdout) == refusal


def test_names_and_addresses_are_encoded(api):
    assert edgectl("node", "drain", "../../v1/flush?x", socket=api.path).returncode == 1
    assert api.requests[-1].path == "/v1/nodes/..%2F..%2Fv1%2Fflush%3Fx/drain"
    edgectl("show", "connections", "a&b=c", socket=api.path)
    assert api.requests[-1].path == "/v1/connections?forward=a%26b%3Dc"


def test_explain_sends_the_question(api):
    edgectl("explain", "--from", "192.0.2.1", "--to", "self:22", socket=api.path)
    assert api.last("POST", "/v1/explain") == {"from": "192.0.2.1", "to": "self:22"}
    edgectl("explain", "--from", "192.0.2.1", "--to", "self:22", "--in", "lan", socket=api.path)
    assert api.last("POST", "/v1/explain")["in"] == "lan"


def test_explain_a_drop(api):
    api.answers["POST /v1/explain"] = answers.EXPLAIN_DROP
    golden("explain-drop.txt", edgectl("explain", "--from", "192.0.2.1", "--to", "self:22", socket=api.path).stdout)


def test_status_when_all_is_wrong(api):
    status = copy.deepcopy(answers.STATUS)
    status.update(pending={"revision": 13, "deadline": "2025-03-01T14:31:00Z", "seconds_left": 42},
                  warnings=["edged.yaml:60:9: peer k8s-3 has a well-known key"])
    status["kernel"].update(in_sync=False, owner=False)
    status["roles"][1]["state"] = "restarting"
    status["nodes"], status["forwards"] = {"up": 1, "down": 1, "draining": 1}, {"total": 3, "up": 2, "down": 1}
    api.answers["GET /v1/status"] = status
    result = edgectl("status", socket=api.path)
    assert result.returncode == 0
    golden("status-wrong.txt", result.stdout)


def test_status_when_one_port_does_not_answer(api):
    golden("status-port.txt", edgectl("status", socket=api.path).stdout)


def test_status_when_many_nodes_are_down(api):
    api.answers["GET /v1/nodes"] = answers.NODES_DOWN + answers.NODES[:1]
    api.answers["GET /v1/status"] = dict(answers.STATUS, nodes={"up": 1, "down": 12, "draining": 0})
    line = edgectl("status", socket=api.path).stdout.splitlines()[1]
    assert line == ("  1. 12 nodes answer on no port: " +
                    ", ".join(f"k8s-{i} (timeout)" for i in range(8)) + " and more")


def test_status_when_many_nodes_wait_for_new_keys(api):
    """A line for each tunnel, not for each node."""
    waits = [{"tunnel": "wg0", "peer": f"far-{i}", "why": "no handshake"} for i in range(12)]
    waits.append({"tunnel": "wg1", "peer": "home", "why": "no handshake with its next key"})
    api.answers["GET /v1/status"] = dict(answers.STATUS, tunnels=dict(answers.STATUS["tunnels"], rotation_waits=waits))
    lines = edgectl("status", socket=api.path).stdout.splitlines()
    assert ("  1. the change of wg0's keys waits for " + ", ".join(f"far-{i}" for i in range(8)) + " and 4 more") in lines
    assert "  2. the change of wg1's keys waits for home: no handshake with its next key" in lines


def test_status_without_the_second_look(api):
    """What only names things more exactly may fail: the first answer is still told."""
    for path in ("nodes", "forwards"):
        api.answers["GET /v1/" + path] = Answer(500, raw=b"x")
    api.answers["GET /v1/status"] = dict(answers.STATUS, forwards={"total": 3, "up": 2, "down": 1})
    result = edgectl("status", socket=api.path)
    assert result.returncode == 0 and "1 of 3 forwards has no node" in result.stdout


def test_status_before_the_first_apply(api):
    api.answers["GET /v1/nodes"] = []
    api.answers["GET /v1/status"] = dict(answers.STATUS, revision=0, applied_at=None)
    golden("status-first.txt", edgectl("status", socket=api.path).stdout)


def test_a_name_that_is_not_there(api):
    result = edgectl("show", "nodes", "k8s-l", socket=api.path)
    assert (result.returncode, result.stderr) == (1, 'edgectl: there is no "k8s-l": did you mean "k8s-1"?\n')
    result = edgectl("show", "config", "nope.yaml", socket=api.path)
    assert (result.returncode, result.stderr) == (1, 'edgectl: revision 12 has no file "nope.yaml"\n')


# Wrong usage: one line, exit 2, nothing sent

USAGE = [
    ([], "a command is missing (edgectl help lists all commands)"),
    (["stauts"], 'unknown command "stauts": did you mean "status"? (edgectl help lists all commands)'),
    (["stat"], 'unknown command "stat": did you mean "status"? (edgectl help lists all commands)'),
    (["drain", "k8s-1"], 'unknown command "drain": did you mean "node drain"?'),
    (["config"], 'unknown command "config": did you mean "show config"?'),
    (["export"], 'unknown command "export": did you mean "peer export"?'),
    (["status", "--version"], 'unknown option "--version" (edgectl help status lists what there is)'),
    (["frobnicate"], 'unknown command "frobnicate" (edgectl help lists all commands)'),
    (["show"], '"show" needs one of: forwards, nodes, rules, tunnels, limits, bans, connections, config'),
    (["show", "fowards"], 'unknown command "show fowards": did you mean "show forwards"?'),
    (["show", "xyzzy"], 'unknown command "show xyzzy" (known: forwards, nodes, rules, tunnels, limits, bans, '
     'connections, config)'),
    (["forward"], '"forward" needs one of: add, set, remove'),
    (["node", "drian", "k8s-1"], 'unknown command "node drian": did you mean "node drain"?'),
    (["status", "now"], '"status" takes no argument, but got "now"'),
    (["plan", "a", "b"], '"plan": one argument too many: "b" (edgectl help plan)'),
    (["status", "--jsn"], 'unknown option "--jsn": did you mean "--json"?'),
    (["status", "--frobnicate"], 'unknown option "--frobnicate" (edgectl help status lists what there is)'),
    (["--frobnicate"], 'unknown option "--frobnicate" (edgectl help lists what there is)'),
    (["status", "-x"], 'unknown option "-x" (edgectl help status lists what there is)'),
    (["status", "--json=yes"], "--json takes no value"),
    (["status", "--socket"], "--socket needs a value: --socket PATH"),
    (["status", "--socket", ""], "--socket must not be empty"),
    (["status", "--socket", "/a", "--socket", "/b"], "--socket is given twice"),
    (["apply", "--confirm-within", "60"], '--confirm-within: "60" is not a duration (250ms, 60s, 10m, 1h, 30d)'),
    (["apply", "--confirm-within", "0s"], '--confirm-within: 0s is too short (at least 1s, at most 7d)'),
    (["apply", "--confirm-within", "500ms"], '--confirm-within: 500ms is too short (at least 1s, at most 7d)'),
    (["apply", "--confirm-within", "400d"], '--confirm-within: 400d is too long (at least 1s, at most 7d)'),
    (["forward", "set", "x", "listen=1", "--confirm-within=8d"],
     '--confirm-within: 8d is too long (at least 1s, at most 7d)'),
    (["apply", "--confirm-within", "99999999999999999999d"],
     '--confirm-within: "99999999999999999999d" is not a duration (250ms, 60s, 10m, 1h, 30d)'),
    (["apply", "--confirm-within", "1500ms"], "--confirm-within counts in whole seconds"),
    (["apply", "--comfirm-within", "60s"], 'unknown option "--comfirm-within": did you mean "--confirm-within"?'),
    (["ban", "192.0.2.1", "--for", "4000d"], "--for: 4000d is too long (at least 1s, at most 3650d)"),
    (["ban", "192.0.2.1", "--for", "1500ms"], "--for counts in whole seconds"),
    (["diff"], '"diff" needs N: the older revision (edgectl help diff)'),
    (["diff", "x"], 'N: "x" is not a number (0 to 2147483647)'),
    (["rollback", "-1"], 'unknown option "-1" (edgectl help rollback lists what there is)'),
    (["rollback", "99999999999"], 'N: "99999999999" is not a number (0 to 2147483647)'),
    (["ban"], '"ban" needs ADDR: the address or prefix (edgectl help ban)'),
    (["ban", "nonsense"], 'ADDR: "nonsense" is not an address or prefix (192.0.2.1, 192.0.2.0/24, 2001:db8::/64)'),
    (["ban", "192.0.2.1/24"], 'ADDR: "192.0.2.1/24" has bits set behind its length (192.0.2.0/24)'),
    (["explain", "--from", "192.0.2.1"], '"explain" needs --to ADDR:PORT[/PROTO]: the destination; PROTO is tcp '
     '(default) or udp; ADDR/icmp; self:PORT is this machine'),
    (["flush"], '"flush" needs --yes: yes, this machine shall filter and forward nothing any more'),
    (["completion", "tcsh"], 'SHELL: "tcsh" is unknown (known: bash, zsh, fish)'),
    (["completion", "bsh"], 'SHELL: "bsh" is unknown: did you mean "bash"?'),
    (["help", "aply"], 'unknown command "aply": did you mean "apply"? (edgectl help lists all commands)'),
    (["help", "show", "noeds"], 'unknown command "show noeds": did you mean "show nodes"?'),
    (["status", "--host", "edge.example.net:9443"], "--host needs --cert FILE, --key FILE and --ca FILE"),
    (["--", "status"], 'a command must stand before "--" (edgectl help lists all commands)'),
    (["status", "\x1b[2J"], '"status" takes no argument, but got "\\x1b[2J"'),
]


@pytest.mark.parametrize("arguments,line", USAGE, ids=[" ".join(a) or "nothing" for a, _ in USAGE])
def test_usage(api, arguments, line):
    socket = None if any("--socket" in a or a == "--" or "--host" in a for a in arguments) else api.path
    result = edgectl(*arguments, socket=socket)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"edgectl: {line}\n")
    assert not api.requests


def test_version_is_an_option_too(api):
    plain = edgectl("version", socket=api.path)
    for arguments in (["--version"], ["--version", "--timeout", "5s"]):
        result = edgectl(*arguments, socket=api.path)
        assert (result.returncode, result.stdout, result.stderr) == (0, plain.stdout, "")


def test_help(api):
    golden("help.txt", edgectl("help").stdout)
    assert edgectl("--help").stdout == edgectl("help").stdout == edgectl("-h").stdout
    golden("help-apply.txt", edgectl("help", "apply").stdout)
    assert edgectl("apply", "--help").stdout == edgectl("help", "apply").stdout
    golden("help-show.txt", edgectl("show", "--help").stdout)
    assert edgectl("help", "show").stdout == edgectl("show", "--help").stdout
    assert edgectl("help", "forward", "add").stdout == edgectl("forward", "add", "--help").stdout
    assert not api.requests


def test_manual_page_is_that_of_the_tables():
    with open(os.path.join(TOP, "docs", "edgectl.8"), encoding="utf-8") as file:
        assert edgectl("help", "--man").stdout == file.read(), "make it anew: build/edgectl help --man > docs/edgectl.8"


# The daemon is gone, or is not what it should be

def test_nobody_there(tmp_path):
    path = tmp_path / "none.sock"
    result = edgectl("status", socket=path)
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr == f"edgectl: edged does not answer on {path}: is it running? (systemctl status edged)\n"


def test_socket_of_a_dead_daemon(tmp_path):
    with FakeApi(tmp_path) as fake:
        path = fake.path
    assert edgectl("status", socket=path).returncode == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_permission_denied_names_the_group(api, tmp_path):
    os.chmod(api.path, stat.S_IRUSR | stat.S_IWUSR)
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        os.chmod(folder, 0o755)
    # The build may lie where only root can go.
    program = shutil.copy(EDGECTL, tmp_path)
    result = edgectl("status", socket=api.path, program=program, user=65534, cwd="/")
    assert result.returncode == 3
    assert result.stderr == (f"edgectl: no permission to open {api.path}: your user must be in group edge (may change) "
                             "or edge-view (may look): adduser NAME edge, then log in again\n")


GARBAGE = {
    "empty": b"", "not-json": b"<html>hello</html>", "truncated": b'[{"name": "a"', "number": b"17", "text": b'"x"',
    "list-of-numbers": b"[1,2,3]", "null": b"null", "not-utf8": b'["\xff\xfe"]', "deep": b"[" * 100000,
    "nul": b'[{"name": "a\\u0000b"}]', "two": b"[] []", "huge-number": b"[1e999]",
}
READERS = ["status", "forwards", "nodes", "rules", "tunnels", "limits", "bans", "connections", "config", "history", "diff",
           "explain", "plan", "apply"]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_is_refused(api, garbage):
    for key in list(api.answers):
        api.answers[key] = Answer(raw=GARBAGE[garbage])
    for name in READERS:
        result = edgectl(*SHOWN[name], socket=api.path, hostile=True)
        assert result.returncode == 1, (name, result.stdout, result.stderr)
        assert result.stderr.startswith("edgectl: edged's answer"), name
        assert not HAS_CONTROL.search(result.stdout + result.stderr)


@pytest.mark.parametrize("value", [None, True, -1, 1e300, "x", [], {}, [{}]])
def test_wrong_kinds_never_crash(api, value):
    """Every field of every answer replaced by something of another kind."""
    def spoil(answer):
        if isinstance(answer, list):
            return [spoil(answer[0])] if answer else value
        return {key: value for key in answer} if isinstance(answer, dict) else value
    for key, answer in answers.ALL.items():
        api.answers[key] = spoil(answer)
    for name, arguments in SHOWN.items():
        result = edgectl(*arguments, socket=api.path, hostile=True)
        assert result.returncode in (0, 1), (name, result.returncode, result.stderr)
        assert not HAS_CONTROL.search(result.stdout + result.stderr)


def test_what_is_no_http(api):
    api.answers["GET /v1/status"] = Answer(0, raw=b"SSH-2.0-OpenSSH_9.2\r\n")
    result = edgectl("status", socket=api.path)
    assert (result.returncode, result.stderr) == (
        1, f"edgectl: what listens on {api.path} does not speak HTTP: is it edged's socket?\n")


def test_broken_off(api):
    api.answers["POST /v1/apply"] = Answer(raw=b'{"revision"', length=5000)
    result = edgectl("apply", socket=api.path)
    assert result.returncode == 3
    assert "broke the connection" in result.stderr and "edgectl history tell" in result.stderr
    api.answers["POST /v1/apply"] = Answer(0, raw=b"")
    assert edgectl("apply", socket=api.path).returncode == 3


def test_no_answer_in_time(api):
    done = threading.Event()
    api.answers["GET /v1/status"] = Answer(json_body=answers.STATUS, hang=done)
    result = edgectl("status", "--timeout", "200ms", socket=api.path)
    done.set()
    assert result.returncode == 3
    assert result.stderr == f"edgectl: edged did not answer in time on {api.path} (--timeout waits longer)\n"


def test_errors_without_a_reason(api):
    for status, text in ((403, "may only look"), (404, "older than this edgectl"), (500, "HTTP status 500")):
        api.answers["POST /v1/confirm"] = Answer(status, raw=b"oops")
        result = edgectl("confirm", socket=api.path)
        assert result.returncode == 1 and text in result.stderr


def test_huge_list_is_shown(api):
    api.answers["GET /v1/bans"] = [dict(answers.BANS[1], address=f"192.0.2.{i % 256}") for i in range(50000)]
    result = edgectl("show", "bans", socket=api.path)
    assert result.returncode == 0 and result.stdout.count("\n") == 50001


def test_huge_cells_are_cut(api):
    api.answers["GET /v1/nodes"] = [dict(answers.NODES[0], pools=[f"pool-{i}" for i in range(100000)])]
    result = edgectl("show", "nodes", socket=api.path)
    assert result.returncode == 0 and "and 99968 more" in result.stdout


def test_endless_answer_is_refused(api):
    api.answers["GET /v1/bans"] = Answer(raw=b" " * (1 << 20), repeat=300)
    result = edgectl("show", "bans", socket=api.path)
    assert result.returncode == 1
    assert result.stderr == "edgectl: edged's answer is larger than 256 MiB and was refused\n"


# Nothing that comes from elsewhere reaches the terminal's own channel

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\n\u202egnp.exe\x7f\x00"


def test_escape_sequences_are_neutralised(api):
    def poison(answer):
        if isinstance(answer, dict):
            return {key: poison(value) for key, value in answer.items()}
        if isinstance(answer, list):
            return [poison(value) for value in answer]
        return EVIL.replace("\x00", "") if isinstance(answer, str) else answer
    for key, answer in answers.ALL.items():
        api.answers[key] = poison(answer)
    for name, arguments in SHOWN.items():
        for json_too in ([], ["--json"]):
            if name.startswith(("forward-", "config-e")):
                continue
            result = edgectl(*arguments, *json_too, socket=api.path, hostile=True)
            assert result.returncode == 0, (name, result.stderr)
            found = HAS_CONTROL.search((result.stdout + result.stderr).replace("\r\n", "\n"))
            assert not found, (name, found)


def test_escape_sequences_in_errors_are_neutralised(api):
    api.answers["POST /v1/apply"] = Answer(422, {"error": EVIL.replace("\x00", ""), "diagnostics": [EVIL[:-1]]})
    for json_too in ([], ["--json"]):
        result = edgectl("apply", *json_too, socket=api.path)
        assert result.returncode == 1 and not HAS_CONTROL.search(result.stdout + result.stderr)


def test_full_disk_is_noticed(api):
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run([EDGECTL, "--socket", api.path, "status"], stdout=full, stderr=subprocess.PIPE,
                                text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (1, "edgectl: cannot write the answer: is the disk full?\n")
