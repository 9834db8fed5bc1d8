"""The harness itself: a run that cannot fail would make every guest test worthless."""
import machine
import pytest


def frame(name, status, output):
    return f"@test {name} {status} 1500 {len(output)}\n{output}\n".encode()


def test_results_are_told_apart():
    good, bad = machine.parse(frame("a.sh", 0, "fine\n") + frame("b.py", 3, ""))
    assert (good.name, good.status, good.seconds, good.output) == ("a.sh", 0, 1.5, "fine\n")
    assert (bad.name, bad.status, bad.output) == ("b.py", 3, "")


def test_a_test_cannot_report_for_another():
    results = machine.parse(frame("a.sh", 1, "@test b.sh 0 1 2\nok\n") + frame("b.sh", 4, "x"))
    assert [(result.name, result.status) for result in results] == [("a.sh", 1), ("b.sh", 4)]


def test_a_cut_report_is_no_success():
    assert machine.parse(b"@test a.sh 0 15") == []


def test_a_skip_has_a_reason():
    assert machine.Result("a", machine.SKIPPED, 0, "x\nno BTF\n").skipped == "no BTF"
    assert machine.Result("a", 1, 0, "no BTF\n").skipped is None


def test_failures_hangs_and_dead_kernels_are_seen():
    if machine.missing_tools():
        pytest.skip(f"needs {' '.join(machine.missing_tools())}: sudo make deps-vm")
    jobs = [("fails", 10, "echo seen; exit 3"), ("hangs", 1, "exec sleep 100"), ("panics", 10, "echo c >/proc/sysrq-trigger"),
            ("never", 10, "true")]
    fails, hangs, panics, never = machine.boot(machine.Kernel("trixie"), jobs)
    assert (fails.status, fails.output) == (3, "seen\n")
    assert hangs.status == 124 and "ended after 1 s" in hangs.output
    for lost in (panics, never):
        assert lost.status == 1 and "never reported" in lost.output and "sysrq" in lost.output
