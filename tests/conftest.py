"""Common to all suites: the tests' own tools on the path, and what every run needs."""
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "netns"))
sys.dont_write_bytecode = True
# Virtual machines only when asked for: make vm-test.
collect_ignore = [] if os.environ.get("EDGED_VM") else ["vm", "package"]

from harness import sweep  # noqa: E402


def pytest_sessionstart(session):
    if os.geteuid() == 0:
        sweep(os.environ.get("EDGED_TEST_PREFIX", "edgedtest"))


@pytest.fixture(scope="session")
def root():
    """For tests that make network namespaces."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and nftables")
    if subprocess.run(["ip", "netns", "list"], capture_output=True, check=False).returncode:
        pytest.skip("needs a kernel with network namespaces")
