"""What a start meets: a port that somebody else has, a history that cannot be read, nothing at all."""
import glob
import os
import socket

import pytest

from harness import (CLIENT, DROPPED, FLOATING, OPEN, OPERATOR, REFUSED, ApiError, attempt, config, forward, readers, until)

OPERATORS = {"from": [OPERATOR], "ssh": 22, "reason": "test"}
WEB = config(forwards={"web": forward(80, 30080, "v2", via="proxy"), "plain": forward(81, 30099)}, management=OPERATORS)


def may_manage(net):
    """Nothing listens on the port: a reset means that the firewall let the operator in."""
    return attempt(net.internet, OPERATOR, FLOATING, 22, 0.5) == REFUSED


def somebody_on(net, port):
    """Another program that has the port, and shares it with nobody."""
    with net.edge.inside():
        taken = socket.create_server(("0.0.0.0", port))
    return taken


def test_a_port_in_use_refuses_an_apply(net, start):
    edged = start(config(forwards={"plain": forward(81, 30099)}, management=OPERATORS))
    edged.wait_backends("plain", 2)
    before = readers.rules(net.edge)
    with somebody_on(net, 80):
        edged.write(WEB)
        with pytest.raises(ApiError) as refused:
            edged.post("/v1/apply")
        assert refused.value.status == 409
        assert "port 80" in refused.value.answer["error"] and "in use" in refused.value.answer["error"]
    assert readers.rules(net.edge) == before
    assert edged.post("/v1/apply")["changed"]


def test_a_port_in_use_does_not_keep_the_rules_away_at_a_start(net, start):
    edged = start(WEB, supervised=False)
    edged.wait_backends("web", 2)
    edged.stop()
    until(lambda: free(net, 80), 5)
    net.edge.run("nft", "flush", "ruleset")
    with somebody_on(net, 80):
        edged.start()
        edged.wait_backends("plain", 2)
        assert may_manage(net) and attempt(net.internet, CLIENT, FLOATING, 81) == OPEN
        assert attempt(net.internet, CLIENT, FLOATING, 22) == DROPPED


def free(net, port):
    try:
        somebody_on(net, port).close()
    except OSError:
        return False
    return True


def damage(edged):
    for path in glob.glob(f"{edged.state_dir}/revisions/*/*"):
        os.truncate(path, 1)


def test_a_damaged_history_falls_back_to_the_folder(net, start):
    edged = start(WEB, supervised=False)
    edged.wait_backends("plain", 2)
    edged.stop()
    damage(edged)
    edged.start()
    assert edged.get("/v1/status")["revision"] == 2
    assert may_manage(net) and attempt(net.internet, CLIENT, FLOATING, 81) == OPEN


def unowned(rules):
    """Without who owns the table: nobody does, after a start that wrote nothing."""
    return [line for line in rules.splitlines() if "flags owner" not in line and line.strip() != "flags"]


def test_with_nothing_left_to_read_the_kernel_stays_as_it_is(net, start):
    edged = start(WEB, supervised=False)
    edged.wait_backends("plain", 2)
    edged.stop()
    before = unowned(readers.rules(net.edge))
    damage(edged)
    edged.write("this is: [no configuration")
    edged.start(wait=False)
    until(edged.answers, 10)
    assert unowned(readers.rules(net.edge)) == before
    assert may_manage(net) and attempt(net.internet, CLIENT, FLOATING, 81) == OPEN
    assert edged.get("/v1/status")["warnings"]


def test_nothing_valid_and_nothing_in_the_kernel_is_closed(net, start):
    edged = start("version: 1\nthis: is wrong\n", wait=False)
    until(edged.answers, 10)
    assert attempt(net.internet, CLIENT, FLOATING, 81) == DROPPED
    assert attempt(net.internet, CLIENT, FLOATING, 22) == DROPPED
    assert "errors" in str(edged.get("/v1/status")["warnings"])
    # And the way out: a configuration that is right.
    edged.write(WEB)
    edged.post("/v1/apply")
    edged.wait_backends("plain", 2)
    assert may_manage(net)


@pytest.mark.parametrize("text, operator, stranger", [
    # A mistake elsewhere: management as the file says it.
    (WEB + "unknown: 1\n", REFUSED, DROPPED),
    # Not YAML, or the section itself is wrong: whom it means is not known.
    ("version: 1\nmanagement: [", REFUSED, REFUSED),
    (WEB.replace(OPERATOR, "198.51.100.300"), REFUSED, REFUSED),
])
def test_a_broken_first_file_keeps_a_way_in(net, start, text, operator, stranger):
    edged = start(text, wait=False)
    until(edged.answers, 10)
    assert attempt(net.internet, OPERATOR, FLOATING, 22) == operator
    assert attempt(net.internet, CLIENT, FLOATING, 22) == stranger
    assert attempt(net.internet, CLIENT, FLOATING, 80) == DROPPED
    assert "errors" in str(edged.get("/v1/status")["warnings"])


def test_after_a_first_configuration_only_its_management_gets_in(net, start):
    edged = start(WEB, supervised=False)
    edged.stop()
    net.edge.run("nft", "flush", "ruleset")
    damage(edged)
    edged.write("version: 1\nmanagement: [")
    edged.start(wait=False)
    until(edged.answers, 10)
    assert attempt(net.internet, OPERATOR, FLOATING, 22) == DROPPED
    assert attempt(net.internet, CLIENT, FLOATING, 22) == DROPPED
