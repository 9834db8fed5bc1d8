"""--confirm-within: an operator cannot lock himself out."""
import os
import signal

import pytest

from harness import (CLIENT, DROPPED, FLOATING, OPEN, OPERATOR, REFUSED, ApiError, attempt, config, forward, readers, until)

WEB = {"plain": forward(80, 30099)}
OPERATORS = {"from": [OPERATOR], "ssh": 22, "reason": "test"}
GOOD = config(forwards=WEB, management=OPERATORS)
LOCKED_OUT = config(forwards={"other": forward(81, 30099)},
                    management={"from": ["198.51.100.201"], "ssh": 22, "reason": "test"})


@pytest.fixture
def running(net, start):
    edged = start(GOOD)
    edged.wait_backends("plain", 2)
    return net, edged


def may_manage(net):
    """Nothing listens on the port: a reset means that the firewall let the operator in."""
    return attempt(net.internet, OPERATOR, FLOATING, 22, 0.3) == REFUSED


def assert_good(net, edged, before):
    assert readers.rules(net.edge) == before
    assert may_manage(net) and attempt(net.internet, CLIENT, FLOATING, 80) == OPEN
    assert edged.read() == GOOD, "the file is the old one again, too"
    assert edged.get("/v1/status")["pending"] is None


def test_the_path_is_cut_and_comes_back(running):
    net, edged = running
    before = readers.rules(net.edge)
    edged.write(LOCKED_OUT)
    edged.ctl("apply", "--confirm-within", "3s")
    assert not may_manage(net)
    pending = edged.get("/v1/status")["pending"]
    assert pending and pending["seconds_left"] <= 3
    until(lambda: may_manage(net), 6, "the operator's way in to come back")
    until(lambda: edged.get("/v1/status")["pending"] is None, 3)
    assert_good(net, edged, before)
    since = edged.get("/v1/status")["applied_at"]
    for _ in range(2):
        states = {entry["revision"]: (entry["current"], entry["pending"], entry["lapsed"])
                  for entry in edged.get("/v1/history")}
        assert states == {1: (True, False, False), 2: (False, False, True)}, "told as lapsed, after a restart too"
        assert edged.get("/v1/status")["applied_at"] == since > pending["deadline"][:-4]
        edged.kill("main")
        edged.wait_ready()
    assert "lapsed" in edged.ctl("history").stdout


def test_rollback_never_goes_to_what_nobody_confirmed(running):
    net, edged = running
    edged.write(LOCKED_OUT)
    edged.ctl("apply", "--confirm-within", "1s")
    until(lambda: edged.get("/v1/status")["pending"] is None, 5)
    edged.write(edged.read() + "# the next one\n")
    edged.ctl("apply")
    edged.ctl("rollback")
    assert may_manage(net) and edged.read() != LOCKED_OUT
    edged.write(LOCKED_OUT)
    edged.ctl("apply", "--confirm-within", "60s")
    edged.ctl("rollback")
    assert may_manage(net)
    edged.ctl("rollback")
    assert may_manage(net) and edged.read() != LOCKED_OUT


def test_confirmed_it_stays(running):
    net, edged = running
    edged.write(LOCKED_OUT)
    edged.ctl("apply", "--confirm-within", "2s")
    edged.ctl("confirm")
    edged.ctl("apply")
    assert edged.get("/v1/status")["pending"] is None
    for _ in range(2):
        edged.kill("main")
        edged.wait_ready()
    until(lambda: not may_manage(net), 1)
    assert edged.read() == LOCKED_OUT


def test_edged_is_killed_inside_the_window(running):
    """Again and again, up to the deadline: the clock is on disk."""
    net, edged = running
    before = readers.rules(net.edge)
    edged.write(LOCKED_OUT)
    edged.ctl("apply", "--confirm-within", "3s")
    for _ in range(5):
        assert edged.kill("main")
        until(edged.answers, 5)
    until(lambda: may_manage(net), 6, "the operator's way in to come back")
    until(lambda: edged.get("/v1/status")["pending"] is None, 3)
    assert_good(net, edged, before)


def test_edged_is_down_at_the_deadline(net, start):
    edged = start(GOOD, supervised=False)
    edged.wait_backends("plain", 2)
    before = readers.rules(net.edge)
    edged.write(LOCKED_OUT)
    deadline = edged.apply(confirm_within_seconds=3)["pending"]["deadline"]
    os.kill(edged.pid, signal.SIGKILL)
    edged.process.wait(5)
    assert not may_manage(net)
    until(lambda: os.popen("date -u +%FT%TZ").read().strip() > deadline, 10, "the deadline to pass")
    edged.start()
    until(lambda: may_manage(net), 2, "a late start to roll back at once")
    edged.wait_backends("plain", 2)
    assert_good(net, edged, before)


def test_a_reboot_inside_the_window(site, running):
    net, edged = running
    edged.write(LOCKED_OUT)
    edged.ctl("apply", "--confirm-within", "10m")
    edged.power_off()
    net.remove()
    after = site.network()
    edged.boot(after.edge)
    assert may_manage(after), "rolled back at boot, ten minutes early: nobody could have confirmed"
    edged.wait_backends("plain", 2)
    assert edged.read() == GOOD and edged.get("/v1/status")["pending"] is None
    assert attempt(after.internet, CLIENT, FLOATING, 81, 0.3) == DROPPED


def test_a_reboot_boots_the_last_committed_revision_with_its_files(site, net, start):
    """Whatever lies under the configuration folder and was never applied."""
    blocked = config(forwards=WEB, management=OPERATORS, blocklists={"bad": {"file": "bad.txt", "reason": "test"}})
    edged = start(GOOD)
    edged.write("198.51.100.78\n", "bad.txt")
    edged.apply(blocked)
    edged.write("# emptied\n", "bad.txt")
    edged.write("version: 1\nbroken: [", "edged.yaml")
    edged.power_off()
    net.remove()
    after = site.network()
    edged.boot(after.edge)
    edged.wait_backends("plain", 2)
    assert attempt(after.internet, CLIENT, FLOATING, 80) == OPEN
    assert attempt(after.internet, "198.51.100.78", FLOATING, 80, 0.3) == DROPPED


def test_one_at_a_time(running):
    _, edged = running
    edged.write(LOCKED_OUT)
    edged.ctl("apply", "--confirm-within", "10m")
    with pytest.raises(ApiError) as refused:
        edged.apply(GOOD)
    assert "confirm" in refused.value.answer["error"]
    edged.ctl("rollback")
    assert edged.get("/v1/status")["pending"] is None
    with pytest.raises(ApiError):
        edged.post("/v1/confirm")


def test_what_the_operator_wrote_meanwhile_is_not_lost(running):
    """A rollback rewrites the files; an edit made inside the window is kept beside them or in the history."""
    net, edged = running
    edged.write(LOCKED_OUT)
    edged.ctl("apply", "--confirm-within", "1s", "--message", "oops")
    until(lambda: may_manage(net), 5)
    until(lambda: edged.get("/v1/status")["pending"] is None, 3)
    number = [entry["revision"] for entry in edged.get("/v1/history") if entry["message"] == "oops"][0]
    edged.ctl("rollback", number)
    assert edged.read() == LOCKED_OUT


def unapplied(edged):
    """The copies of edits that were never applied: their names without the time, and what they hold."""
    found = {}
    for folder, _, names in os.walk(edged.etc):
        for name in names:
            if ".unapplied-" in name:
                with open(os.path.join(folder, name)) as file:
                    found[os.path.relpath(os.path.join(folder, name), edged.etc).split("-2")[0]] = file.read()
    return found


def test_edits_that_were_never_applied_are_kept(running):
    _, edged = running
    edited = GOOD + "# an edit of mine\n"
    edged.write(LOCKED_OUT)
    edged.ctl("apply", "--confirm-within", "2s")
    edged.write(edited)
    until(lambda: edged.read() == GOOD, 8, "the window to end")
    assert unapplied(edged) == {"edged.yaml.unapplied": edited}
    edged.write("nodes: {}\n", "conf.d/more.yaml")
    answer = edged.ctl("rollback", "1")
    assert "conf.d/more.yaml.unapplied-" in answer.stdout + answer.stderr
    assert unapplied(edged)["conf.d/more.yaml.unapplied"] == "nodes: {}\n"
    assert not os.path.exists(os.path.join(edged.etc, "conf.d", "more.yaml"))


def test_what_was_applied_once_is_not_kept_again(running):
    _, edged = running
    for text in (GOOD + "# one\n", GOOD + "# two\n"):
        edged.write(text)
        edged.ctl("apply")
    edged.write(GOOD + "# one\n")
    edged.ctl("rollback", "1")
    assert edged.read() == GOOD and unapplied(edged) == {}


def test_edits_that_cannot_be_kept_stay(running):
    """A folder with something that cannot be read is not written: the way back is in force, and the answer says why."""
    _, edged = running
    edged.write(LOCKED_OUT)
    edged.ctl("apply")
    edged.write(LOCKED_OUT + "# an edit of mine\n")
    os.makedirs(f"{edged.etc}/conf.d", exist_ok=True)
    os.mkfifo(f"{edged.etc}/conf.d/pipe.yaml")
    answer = edged.ctl("rollback", "1")
    assert "could not be kept: cannot read" in answer.stdout + answer.stderr and "pipe.yaml" in answer.stdout + answer.stderr
    assert edged.read() == LOCKED_OUT + "# an edit of mine\n"
    assert edged.get("/v1/forwards")[0]["name"] == "plain"


def guards(edged):
    """The processes beside edged that watch over the deadline."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/cmdline") as file:
                words = file.read().split("\0")
        except OSError:
            continue
        if "--expire-pending" in words and edged.state_dir in words:
            found.append(int(process))
    return found


@pytest.mark.parametrize("end", ["confirm", "rollback"])
def test_the_guard_ends_with_what_it_guards(running, end):
    _, edged = running
    for number in range(3):
        edged.write(GOOD + f"# {number}\n")
        edged.ctl("apply", "--confirm-within", "10m")
        until(lambda: len(guards(edged)) == 1, 5, "one guard")
        edged.ctl(end)
        until(lambda: not guards(edged), 5, "the guard to end")
