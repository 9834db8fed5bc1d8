"""The scripts of guest/, each on Debian's kernels."""
import os

import machine
import pytest


def test_guest(guest_result):
    if guest_result.skipped:
        pytest.skip(guest_result.skipped)
    print(guest_result.output)
    assert guest_result.status == 0, f"{guest_result.name}: status {guest_result.status}\n{guest_result.output}"


@pytest.mark.skipif(os.environ.get("EDGED_VM") == "short", reason="every module is loaded on demand, which takes half a minute")
def test_a_machine_where_no_module_is_loaded():
    if machine.missing_tools():
        pytest.skip(f"needs {' '.join(machine.missing_tools())}: sudo make deps-vm")
    result, = machine.boot(machine.Kernel("trixie"), [("fresh", 120, "tests/vm/alone/fresh.sh")], preload=False)
    assert result.status == 0, result.output
