"""edgectl's editing verbs: what they make of the file, and what they send."""
import copy

import pytest
import yaml

import answers
from fake_api import Answer
from test_cli import api, edgectl, golden  # noqa: F401 (a fixture)


def sent(api, path="/v1/apply"):
    """The files of the last apply, by name."""
    return {file["name"]: file["text"] for file in api.last("POST", path)["files"]}


def edit(api, *arguments, code=0):
    result = edgectl(*arguments, socket=api.path)
    assert result.returncode == code, result.stderr
    return result


def lines_kept(before, after):
    """Every line of before stands in after, in order."""
    rest = iter(after.splitlines())
    return all(any(line == other for other in rest) for line in before.splitlines())


def test_forward_add(api):
    edit(api, "forward", "add", "internal", "--listen", "8443", "--from", "lan,wg0", "--to", "ingress:31443",
         "--proxy-protocol", "v2", "--limits-ban", "10m", "--limits-new-per-source", "5/second burst 20",
         "--reason", "dashboards: never public", "-m", "for ada", "--confirm-within", "60s")
    body = api.last("POST", "/v1/apply")
    assert (body["base"], body["message"], body["confirm_within_seconds"]) == (12, "for ada", 60)
    files = sent(api)
    assert files["conf.d/20-lists.yaml"] == answers.EXTRA_YAML
    assert lines_kept(answers.EDGED_YAML, files["edged.yaml"])
    assert yaml.safe_load(files["edged.yaml"])["forwards"]["internal"] == {
        "listen": 8443, "from": ["lan", "wg0"], "to": "ingress:31443", "proxy_protocol": "v2",
        "limits": {"ban": "10m", "new_per_source": "5/second burst 20"}, "reason": "dashboards: never public"}
    golden("edit-forward-add.yaml", files["edged.yaml"])


def test_forward_add_into_a_new_file(api):
    edit(api, "forward", "add", "web", "--listen", "80,8080", "--to", "ingress", "--reason", "x", "--into",
         "conf.d/30-web.yaml")
    files = sent(api)
    assert files["edged.yaml"] == answers.EDGED_YAML
    assert yaml.safe_load(files["conf.d/30-web.yaml"]) == {
        "forwards": {"web": {"listen": "80,8080", "to": "ingress", "reason": "x"}}}


def test_forward_add_to_nothing(api):
    api.answers["GET /v1/config/running?blocklists=no"] = {"revision": 0, "differs": [], "files": []}
    edit(api, "forward", "add", "web", "--listen", "80", "--to", "a:80", "--reason", "x")
    assert yaml.safe_load(sent(api)["edged.yaml"]) == {
        "version": 1, "forwards": {"web": {"listen": 80, "to": "a:80", "reason": "x"}}}


@pytest.mark.parametrize("name", ["../x", "a b", "", "-", ".x", "x" * 41, "a\x1b", "a/b"])
def test_bad_names_are_usage(api, name):
    result = edit(api, "forward", "add", "--listen", "80", "--to", "a:80", "--reason", "x", "--", name, code=2)
    assert "is no name" in result.stderr and not api.requests and "\x1b" not in result.stderr


@pytest.mark.parametrize("file", ["../x.yaml", "conf.d/../x.yaml", "conf.d/.x.yaml", "conf.d/.yaml", "x.yaml", "conf.d/x",
                                  "/etc/passwd"])
def test_bad_files_are_usage(api, file):
    result = edit(api, "forward", "add", "web", "--listen", "80", "--to", "a:80", "--reason", "x", "--into", file, code=2)
    assert "cannot hold configuration" in result.stderr


def test_add_what_is_there(api):
    result = edit(api, "forward", "add", "https", "--listen", "80", "--to", "a:80", "--reason", "x", code=1)
    assert result.stderr == ('edgectl: there is a forward "https" already (edged.yaml:11): edgectl forward set https '
                             "KEY=VALUE changes it\n")


def test_add_what_is_there_names_the_line_of_its_name(api):
    for arguments, start in ((["node", "add", "k8s-2", "--address", "192.0.2.9"], "  k8s-2:"),
                             (["rule", "add", "node-dns", *RULE], "  - { name: node-dns,")):
        result = edit(api, *arguments, code=1)
        line = next(i for i, at in enumerate(answers.EDGED_YAML.splitlines(), 1) if at.startswith(start))
        assert f"(edged.yaml:{line})" in result.stderr


OLD = ["edged.yaml:9:3: forwards.git: warning: no expectation names it", "a list of 3 networks is empty"]


@pytest.mark.parametrize("verb", [[], ["--dry-run"]])
def test_only_new_warnings_are_printed(api, verb):
    """Those of what is in force are counted, though the edit has moved their lines."""
    api.answers["GET /v1/status"] = dict(answers.STATUS, warnings=OLD)
    new = "conf.d/a.yaml:1:2: forwards.new: warning: no expectation names it"
    warnings = ["edged.yaml:11:3: forwards.git: warning: no expectation names it", new, OLD[1]]
    path = "POST /v1/plan" if verb else "POST /v1/apply"
    api.answers[path] = dict(api.answers[path], warnings=warnings)
    lines = edit(api, "forward", "set", "https", "reason=x", *verb).stdout.splitlines()
    assert [line for line in lines if "warning" in line] == [new, "2 warnings as before (edgectl status lists them)"]
    assert "as before" not in edgectl("apply", socket=api.path).stdout
    api.answers["GET /v1/status"] = Answer(500, {"error": "no"})
    lines = edit(api, "forward", "set", "https", "reason=x", *verb).stdout.splitlines()
    assert len([line for line in lines if "warning: " in line]) == 3


def test_forward_set(api):
    edit(api, "forward", "set", "https", "reason=the public web", "limits.new_per_source=60/second burst 100",
         "limits.open_per_source=400", "timeouts.idle=2h", "proxy-protocol=")
    text = sent(api)["edged.yaml"]
    assert yaml.safe_load(text)["forwards"]["https"] == {
        "listen": 443, "to": "ingress:30443", "reason": "the public web", "timeouts": {"idle": "2h"},
        "limits": {"new_per_source": "60/second burst 100", "open_per_source": 400}}
    assert "  https:                       # the web\n" in text
    golden("edit-forward-set.yaml", text)


def test_taking_out_what_is_not_there_changes_nothing(api):
    edit(api, "forward", "set", "https", "snat=")
    assert sent(api)["edged.yaml"] == answers.EDGED_YAML


@pytest.mark.parametrize("change,line", [
    ("lsten=80", 'a forward has no key "lsten": did you mean "listen"?'),
    ("ban=10m", 'a forward has no key "ban": did you mean "limits.ban"?'),
    ("frobnicate=1", 'a forward has no key "frobnicate" (known: listen, '),
    ("listen", '"listen" is not KEY=VALUE'),
    ("=80", '"=80" is not KEY=VALUE'),
])
def test_wrong_keys(api, change, line):
    result = edit(api, "forward", "set", "https", change, code=2)
    assert line in result.stderr and result.stderr.count("\n") == 1 and not api.requests


def test_names_that_are_not_there(api):
    assert edit(api, "forward", "set", "htps", "listen=1", code=1).stderr == (
        'edgectl: there is no forward "htps": did you mean "https"?\n')
    assert edit(api, "rule", "remove", "zzz", code=1).stderr == (
        'edgectl: there is no rule "zzz" (known: ping, node-dns)\n')
    assert edit(api, "snat", "remove", "zzz", code=1).stderr == 'edgectl: there is no snat "zzz" among 0\n'


def test_set_finds_the_file(api):
    edit(api, "blocklist", "set", "abuse", "reason=other scanners")
    files = sent(api)
    assert files["edged.yaml"] == answers.EDGED_YAML
    assert yaml.safe_load(files["conf.d/20-lists.yaml"])["blocklists"]["abuse"]["reason"] == "other scanners"


def test_remove(api):
    edit(api, "forward", "remove", "https")
    text = sent(api)["edged.yaml"]
    assert "https" not in text and "# the web" not in text and "ingress" in text
    edit(api, "blocklist", "remove", "abuse")
    assert not (yaml.safe_load(sent(api)["conf.d/20-lists.yaml"]) or {}).get("blocklists")


RULE = ["--from", "lan", "--to", "wan", "--protocol", "tcp", "--port", "80,443", "--action", "accept", "--reason", "x"]


@pytest.mark.parametrize("where,order", [
    ([], ["ping", "node-dns", "new"]),
    (["--before", "node-dns"], ["ping", "new", "node-dns"]),
    (["--before", "ping"], ["new", "ping", "node-dns"]),
    (["--after", "ping"], ["ping", "new", "node-dns"]),
    (["--after", "node-dns"], ["ping", "node-dns", "new"]),
])
def test_rule_add_keeps_the_order_that_was_asked_for(api, where, order):
    edit(api, "rule", "add", "new", *RULE, "--log", "true", *where)
    text = sent(api)["edged.yaml"]
    rules = yaml.safe_load(text)["rules"]
    assert [rule["name"] for rule in rules] == order
    assert rules[order.index("new")] == {"name": "new", "from": "lan", "to": "wan", "protocol": "tcp",
                                         "port": [80, 443], "action": "accept", "reason": "x", "log": True}
    assert lines_kept(answers.EDGED_YAML, text)
    assert text.index("# the nodes' resolvers") < text.index("name: node-dns")


def test_rule_add_needs_a_place_that_is_there(api):
    assert edit(api, "rule", "add", "new", *RULE, "--before", "pong", code=1).stderr == (
        'edgectl: there is no rule "pong": did you mean "ping"?\n')
    assert edit(api, "rule", "add", "new", *RULE, "--before", "ping", "--after", "ping", code=2).stderr == (
        "edgectl: --before and --after cannot both be given\n")


def test_rule_set_and_remove(api):
    edit(api, "rule", "set", "node-dns", "port=53,853", "from=192.0.2.0/24")
    rules = yaml.safe_load(sent(api)["edged.yaml"])["rules"]
    assert (rules[1]["port"], rules[1]["from"]) == ([53, 853], "192.0.2.0/24")
    edit(api, "rule", "remove", "node-dns")
    text = sent(api)["edged.yaml"]
    assert "resolvers" not in text and [rule["name"] for rule in yaml.safe_load(text)["rules"]] == ["ping"]


def test_node_add_joins_its_pools_and_remove_leaves_them(api):
    edit(api, "node", "add", "k8s-9", "--address", "192.0.2.19", "--pool", "ingress")
    config = yaml.safe_load(sent(api)["edged.yaml"])
    assert config["nodes"]["k8s-9"] == {"address": "192.0.2.19"}
    assert config["pools"]["ingress"]["nodes"] == ["k8s-1", "k8s-2", "k8s-9"]
    assert edit(api, "node", "add", "n", "--address", "192.0.2.19", "--pool", "none", code=1).stderr == (
        'edgectl: there is no pool "none"\n')
    result = edit(api, "node", "remove", "k8s-1")
    config = yaml.safe_load(sent(api)["edged.yaml"])
    assert config["pools"]["ingress"]["nodes"] == ["k8s-2"] and "k8s-1" not in config["nodes"]
    assert "k8s-1 leaves pool ingress\n" in result.stdout


def test_node_in_short_form(api):
    edit(api, "node", "set", "k8s-2", "tunnel=wg0")
    assert yaml.safe_load(sent(api)["edged.yaml"])["nodes"]["k8s-2"] == {"address": "192.0.2.12", "tunnel": "wg0"}


def test_peer_of_the_only_tunnel(api):
    key = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
    edit(api, "peer", "add", "k8s-4", "--public-key", key, "--allowed-ips", "198.18.88.14/32", "--keepalive", "25s")
    peers = yaml.safe_load(sent(api)["edged.yaml"])["wireguard"]["wg0"]["peers"]
    assert peers["k8s-4"] == {"public_key": key, "allowed_ips": "198.18.88.14/32", "keepalive": "25s"}
    edit(api, "peer", "set", "k8s-3", "endpoint=node3.example.net:51820")
    peers = yaml.safe_load(sent(api)["edged.yaml"])["wireguard"]["wg0"]["peers"]
    assert peers["k8s-3"]["endpoint"] == "node3.example.net:51820"
    assert edit(api, "peer", "remove", "k8s-3", "--tunnel", "wg1", code=1).stderr == (
        'edgectl: there is no tunnel "wg1" (known: wg0)\n')


def test_which_tunnel(api):
    running = copy.deepcopy(answers.RUNNING)
    running["files"][1]["text"] += "wireguard:\n  wg1: { listen: 51821, address: 198.18.89.1/24 }\n"
    api.answers["GET /v1/config/running?blocklists=no"] = running
    arguments = ["peer", "add", "x", "--public-key", "k", "--allowed-ips", "198.18.89.2/32"]
    assert edit(api, *arguments, code=1).stderr == "edgectl: which tunnel? --tunnel NAME (known: wg0, wg1)\n"
    edit(api, *arguments, "--tunnel", "wg1")
    assert "x" in yaml.safe_load(sent(api)["conf.d/20-lists.yaml"])["wireguard"]["wg1"]["peers"]


def test_edits_by_hand_are_noticed(api):
    api.answers["GET /v1/config/running?blocklists=no"] = dict(answers.RUNNING, differs=["edged.yaml", "blocklists/a.txt"])
    result = edit(api, "forward", "remove", "https", code=1)
    assert result.stderr.startswith("edgectl: edged.yaml, blocklists/a.txt under edged's folder were edited and not "
                                    "applied yet:\n")
    assert all(word in result.stderr for word in ("edgectl plan", "edgectl apply", "--include-edits"))
    assert [request.method for request in api.requests] == ["GET"]
    edit(api, "forward", "remove", "https", "--include-edits")
    assert "https" not in sent(api)["edged.yaml"]


def test_somebody_was_faster(api):
    api.answers["POST /v1/apply"] = Answer(409, {"error": "revision 13 is current, and this was made from 12"})
    assert edit(api, "forward", "remove", "https", code=1).stderr == (
        "edgectl: revision 13 is current, and this was made from 12\n")


def test_dry_run_shows_the_text_and_changes_nothing(api):
    result = edit(api, "forward", "set", "https", "listen=8443", "--dry-run")
    golden("edit-dry-run.txt", result.stdout)
    assert [request.path for request in api.requests] == ["/v1/config/running?blocklists=no", "/v1/status", "/v1/plan"]
    assert "listen: 8443" in sent(api, "/v1/plan")["edged.yaml"]
    result = edgectl("forward", "set", "https", "listen=8443", "--dry-run", "--json", socket=api.path)
    golden("edit-dry-run.json", result.stdout)


def test_broken_files_are_not_edited(api):
    api.answers["GET /v1/config/running?blocklists=no"] = {
        "revision": 1, "differs": [], "files": [{"name": "edged.yaml", "text": "version: 1\nforwards: [\n"}]}
    result = edit(api, "forward", "remove", "https", code=1)
    assert "edged.yaml:" in result.stderr and len(api.requests) == 1


@pytest.mark.parametrize("spoil", [{"files": None}, {"files": [{"name": "x"}]}, {"files": [17]}, {"differs": None},
                                   {"revision": "x"}, {"files": [{"name": "", "text": ""}]}])
def test_answers_that_make_no_sense(api, spoil):
    api.answers["GET /v1/config/running?blocklists=no"] = dict(answers.RUNNING, **spoil)
    result = edit(api, "forward", "remove", "https", code=1)
    assert "is not one that this edgectl" in result.stderr


def test_a_value_cannot_break_out_of_its_place(api):
    evil = 'x"\n  evil: { listen: 1, to: "a:1", reason: y }\nrules: []\n# '
    edit(api, "forward", "set", "https", f"reason={evil}")
    config = yaml.safe_load(sent(api)["edged.yaml"])
    assert config["forwards"]["https"]["reason"] == evil and list(config["forwards"]) == ["https"]
    edit(api, "forward", "add", "web", "--listen", "80 }, evil: {", "--to", "], [", "--reason", "- x: #")
    assert yaml.safe_load(sent(api)["edged.yaml"])["forwards"]["web"] == {
        "listen": "80 }, evil: {", "to": "], [", "reason": "- x: #"}
