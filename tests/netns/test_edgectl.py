"""edgectl against a running edged: what an operator does in a day."""
import json
import os

import yaml

from harness import CLIENT, DROPPED, FLOATING, NODES, OPERATOR, OPEN, REFUSED, attempt, config, forward, until


def test_a_forward_comes_changes_and_goes(start, net):
    edged = start()
    edged.wait_forwards_up("https")
    before = edged.read()

    plan = edged.ctl("forward", "add", "alt", "--listen", "8080", "--to", "ingress:30080", "--proxy-protocol", "v2",
                     "--reason", "a second door", "--dry-run")
    assert "+  alt:\n" in plan.stdout and "+ forward alt" in plan.stdout
    assert edged.read() == before

    edged.ctl("forward", "add", "alt", "--listen", "8080", "--to", "ingress:30080", "--proxy-protocol", "v2",
              "--reason", "a second door", "--message", "ticket 17")
    after = edged.read()
    kept = iter(after.splitlines())
    assert all(any(line == other for other in kept) for line in before.splitlines()), "comments and order stay"
    assert yaml.safe_load(after)["forwards"]["alt"]["listen"] == 8080
    until(lambda: attempt(net.internet, CLIENT, FLOATING, 8080) == OPEN, 10, "the new port to be open")
    newest = json.loads(edged.ctl("history", "--json").stdout)[0]
    assert newest["current"] and newest["message"] == "ticket 17" and newest["user"] == "root"

    edged.ctl("forward", "set", "alt", "listen=8081")
    until(lambda: attempt(net.internet, CLIENT, FLOATING, 8081) == OPEN, 10, "the other port to be open")
    edged.ctl("forward", "remove", "alt")
    assert edged.read() == before
    assert attempt(net.internet, CLIENT, FLOATING, 8081) != OPEN


def test_edits_are_refused_where_they_would_surprise(start):
    edged = start()
    revision = json.loads(edged.ctl("status", "--json").stdout)["revision"]
    refused = edged.ctl("forward", "set", "http", "listen=443", check=False)
    assert refused.returncode == 1 and "port 443 is forward http's already" in refused.stderr
    edged.write(edged.read().replace("listen: 80\n", "listen: 81\n"))
    refused = edged.ctl("rule", "remove", "ping", check=False)
    assert refused.returncode == 1 and "edited and not applied yet" in refused.stderr
    assert json.loads(edged.ctl("status", "--json").stdout)["revision"] == revision
    edged.ctl("rule", "remove", "ping", "--include-edits")
    assert "name: ping" not in edged.read() and "listen: 81\n" in edged.read()
    assert json.loads(edged.ctl("show", "forwards", "http", "--json").stdout)[0]["listen"].startswith("81")


def test_rules_keep_the_order_that_was_asked_for(start):
    edged = start()
    edged.ctl("rule", "add", "stranger", "--from", "198.51.100.78", "--to", "any", "--action", "drop", "--before", "node-dns")
    names = [rule["name"] for rule in json.loads(edged.ctl("show", "rules", "--json").stdout)]
    assert names.index("ping") < names.index("stranger") < names.index("node-dns")
    story = edged.ctl("explain", "--from", "198.51.100.78", "--to", f"{FLOATING}:443").stdout
    assert "DROPPED by rule stranger" in story


def test_pending_and_back(start):
    edged = start()
    said = edged.ctl("forward", "set", "http", "listen=8080", "--confirm-within", "60s").stdout
    assert "NOT CONFIRMED" in said and "edgectl confirm" in said
    status = edged.ctl("status").stdout
    assert status.startswith("NOT WELL") and "is not confirmed" in status
    refused = edged.ctl("apply", check=False)
    assert refused.returncode == 1 and "confirm" in refused.stderr
    edged.ctl("rollback")
    assert "listen: 80\n" in edged.read()
    assert edged.ctl("confirm", check=False).returncode == 1


def test_a_folder_that_cannot_be_written_is_told(start):
    edged = start()
    edged.ctl("forward", "set", "http", "listen=8080")
    os.rename(edged.config, edged.config + ".away")
    os.mkdir(edged.config)
    said = edged.ctl("rollback", "1")
    assert "revision 3 is in force" in said.stdout
    assert "the configuration folder does not show revision 3" in said.stdout + said.stderr
    os.rmdir(edged.config)
    assert "configuration folder" not in edged.ctl("rollback", "1").stdout and "listen: 80\n" in edged.read()


def test_apply_of_a_folder_elsewhere(start, tmp_path):
    edged = start()
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "blocklists").mkdir()
    (tmp_path / "blocklists" / "abuse.txt").write_text("198.51.100.66\n203.0.113.99\n")
    (tmp_path / "next.yaml").write_text(edged.read())
    (tmp_path / "conf.d" / "alt.yaml").write_text("forwards: { alt: { listen: 8080, to: ingress:30080, reason: x } }\n")
    edged.ctl("plan", tmp_path / "next.yaml")
    assert "alt" not in edged.ctl("show", "forwards").stdout
    edged.ctl("apply", tmp_path / "next.yaml")
    assert "alt" in edged.ctl("show", "forwards").stdout
    assert edged.read("conf.d/alt.yaml") == (tmp_path / "conf.d" / "alt.yaml").read_text()
    assert edged.read("blocklists/abuse.txt") == "198.51.100.66\n203.0.113.99\n"
    (tmp_path / "next.yaml").write_text("forwards: 7\n")
    refused = edged.ctl("apply", tmp_path / "next.yaml", check=False)
    assert refused.returncode == 1 and f"{tmp_path}/next.yaml:1:" in refused.stderr


def test_nodes_and_bans(start, net):
    edged = start()
    edged.wait_forwards_up("https")
    edged.ctl("node", "drain", "k8s-1")
    assert "draining" in edged.ctl("show", "nodes", "k8s-1").stdout
    assert "1 draining" in edged.ctl("status").stdout
    edged.ctl("node", "undrain", "k8s-1")
    assert attempt(net.internet, CLIENT, FLOATING, 443) == OPEN
    edged.ctl("ban", CLIENT, "--for", "10m")
    assert attempt(net.internet, CLIENT, FLOATING, 443) != OPEN
    assert CLIENT in edged.ctl("show", "bans").stdout
    edged.ctl("unban", CLIENT)
    assert attempt(net.internet, CLIENT, FLOATING, 443) == OPEN
    assert edged.ctl("unban", CLIENT, check=False).returncode == 1
    held = {OPERATOR: "would lock you out", NODES["k8s-1"][0]: "holds node k8s-1", "192.0.2.0/24": "holds node"}
    for address, why in held.items():
        refused = edged.ctl("ban", address, check=False)
        assert refused.returncode == 1 and why in refused.stderr


def test_every_look_works_in_text_and_json(example):
    for look in (["status"], ["history"], ["plan"], ["version"], ["show", "config"], ["diff", "1"],
                 ["explain", "--from", OPERATOR, "--to", "self:22"],
                 *(["show", what] for what in ("forwards", "nodes", "rules", "tunnels", "limits", "bans", "connections"))):
        assert example.edged.ctl(*look).stdout
        json.loads(example.edged.ctl(*look, "--json").stdout)


def test_without_edged_the_exit_code_is_3(start):
    edged = start(supervised=False)
    edged.stop()
    gone = edged.ctl("status", check=False)
    assert gone.returncode == 3 and "is it running?" in gone.stderr


def test_a_ban_does_not_outlive_becoming_management(start, net):
    """What no ban may hit is cut out of those that were there before."""
    edged = start(config(management={"from": ["203.0.113.200"], "ssh": 22, "reason": "test"},
                         forwards={"plain": forward(80, 30099)}))
    edged.wait_backends("plain", 2)
    edged.ctl("ban", "198.51.100.0/24")
    assert attempt(net.internet, OPERATOR, FLOATING, 22) == DROPPED
    edged.apply(config(management={"from": [OPERATOR], "ssh": 22, "reason": "test"}, forwards={"plain": forward(80, 30099)}))
    assert attempt(net.internet, OPERATOR, FLOATING, 22) == REFUSED
    assert attempt(net.internet, CLIENT, FLOATING, 80) == DROPPED
    assert "management" in edged.ctl("explain", "--from", OPERATOR, "--to", "self:22", "--in", "wan").stdout


def test_draining_the_last_node_says_which_forwards_refuse(start, net):
    edged = start(config(forwards={"plain": forward(80, 30099)}))
    edged.wait_backends("plain", 2)
    assert "refuses" not in edged.ctl("node", "drain", "k8s-1").stdout
    last = edged.ctl("node", "drain", "k8s-2").stdout
    assert "forward plain has no node left: it refuses connections" in last
    assert attempt(net.internet, CLIENT, FLOATING, 80) == REFUSED
