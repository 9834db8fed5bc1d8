"""The node's agent in a Debian that systemd has booted, under its unit's hardening, with the kernel's WireGuard. What is
done there stands in system/agent.py."""
import shutil
import subprocess

import machine
import pytest
from test_system import LONG, system  # noqa: F401


@pytest.mark.skipif(not LONG, reason="only in make vm-test: minutes in a virtual machine")
@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_the_agent_as_systemd_runs_it(system, suite):  # noqa: F811
    if machine.missing_tools():
        pytest.skip(f"needs {' '.join(machine.missing_tools())}: sudo make deps-vm")
    kernel, folder = machine.Kernel(suite), system(suite)
    subprocess.run(["cp", "-a", f"{kernel.modules}/.", f"{folder}/usr/lib/modules/"], check=True)
    shutil.copy(f"{machine.HERE}/system/agent.py", folder / "inside.py")
    said = machine.boot_system(kernel, str(folder), 3000)
    assert "\nall as it should be" in said, said[-12000:]
