"""One boot per kernel runs all guest tests of that kernel; each test then looks at its own result.

EDGED_VM: "short" leaves out what says vm-long, anything else runs all. Without it this folder is not collected.
"""
import os

import machine
import pytest


def chosen(kernel, names):
    short = os.environ.get("EDGED_VM") == "short"
    return [test for test in machine.guest_tests() if kernel in test.kernels and test.name in names
            and not (short and test.long)]


def pytest_generate_tests(metafunc):
    if "guest_result" in metafunc.fixturenames:
        cases = [(kernel, test.name) for kernel in machine.KERNELS
                 for test in chosen(kernel, {test.name for test in machine.guest_tests()})]
        metafunc.parametrize("guest_result", cases, indirect=True, scope="session",
                             ids=[f"{kernel}-{name.rsplit('.', 1)[0]}" for kernel, name in cases])


@pytest.fixture(scope="session")
def boots(request):
    """What each kernel's boot brought: only the tests that this run has selected are run in it."""
    missing = machine.missing_tools()
    if missing:
        pytest.skip(f"needs {' '.join(missing)}: sudo make deps-vm")
    wanted = {}
    for item in request.session.items:
        kernel, name = getattr(item, "callspec", None) and item.callspec.params.get("guest_result") or (None, None)
        wanted.setdefault(kernel, set()).add(name)
    results = {}

    def boot(kernel):
        if kernel not in results:
            jobs = machine.jobs_of(chosen(kernel, wanted[kernel]))
            results[kernel] = {result.name: result for result in machine.boot(machine.Kernel(kernel), jobs)}
        return results[kernel]
    return boot


@pytest.fixture(scope="session")
def guest_result(request, boots):
    kernel, name = request.param
    return boots(kernel)[name]


@pytest.fixture(scope="session")
def small_image(root, tmp_path_factory):
    """The folder of small_image.make()."""
    import small_image
    missing = machine.missing_tools()
    if missing:
        pytest.skip(f"needs {' '.join(missing)}")
    folder = str(tmp_path_factory.mktemp("small"))
    small_image.make(folder)
    return folder
