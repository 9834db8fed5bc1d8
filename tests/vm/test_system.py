"""The Debian package in a Debian that systemd has booted: the units as they are run for real. In a container on this
machine's kernel, which takes seconds and is part of the short form, for this machine's release; and, with make vm-test, of
both releases, also in a virtual machine with Debian's own kernel. What is done there stands in system/inside.py."""
import os
import re
import shutil
import subprocess

import machine
import pytest

LONG = os.environ.get("EDGED_VM") == "long"
pytestmark = pytest.mark.skipif(os.environ.get("EDGED_VM") not in ("short", "long"), reason="makes and boots a Debian")
PACKAGES = "systemd-sysv,dbus,udev,kmod,iproute2,nftables,procps,python3-minimal,libpython3-stdlib,wireguard-tools"
SERVICE = """[Unit]
After=multi-user.target
[Service]
ExecStart=/usr/bin/python3 -B /inside.py
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
[Install]
WantedBy=multi-user.target
"""


def next_version(deb, to, folder):
    """The same package, as its next version."""
    machine.run("dpkg-deb", "-R", deb, str(folder / "next"))
    control = folder / "next/DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1.1", control.read_text(), flags=re.M))
    machine.run("dpkg-deb", "-Zgzip", "-b", str(folder / "next"), str(to))


def suite_here():
    with open("/etc/os-release", encoding="utf-8") as file:
        return re.search(r"VERSION_CODENAME=(\w+)", file.read())[1]


@pytest.fixture(scope="module")
def system(tmp_path_factory, root):
    """The folder of a suite's root with the package's dependencies, and the package beside it; made once."""
    made = {}

    def make(suite):
        if suite in made:
            return made[suite]
        above = tmp_path_factory.mktemp(suite)
        machine.run("make", "--no-print-directory", f"SUITE={suite}", "deb", cwd=machine.TOP, timeout=1800)
        deb = next(entry.path for entry in os.scandir(f"{machine.TOP}/build/deb/{suite}")
                   if entry.name.startswith("edged_") and entry.name.endswith(".deb"))
        depends = machine.run("dpkg-deb", "-f", deb, "Depends")
        names = [name.split("|")[0].split("(")[0].strip() for name in depends.split(",")]
        sources = above / "suite.sources"
        sources.write_text(machine.run("image/suite.sh", "sources", suite, cwd=machine.TOP))
        folder = above / "root"
        machine.run("mmdebstrap", "--mode=root", "--variant=apt", "--quiet", f"--include={PACKAGES},{','.join(names)}",
                    "--aptopt=Apt::Install-Recommends \"false\"", suite, str(folder), str(sources), timeout=1800)
        shutil.copy(deb, folder / "edged.deb")
        next_version(deb, folder / "next.deb", above)
        shutil.copy(f"{machine.HERE}/system/inside.py", folder / "inside.py")
        (folder / "etc/systemd/system/inside.service").write_text(SERVICE)
        os.symlink("/etc/systemd/system/inside.service",
                   folder / "etc/systemd/system/multi-user.target.wants/inside.service")
        made[suite] = folder
        return folder
    return make


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_the_package_as_systemd_runs_it(system, suite, tmp_path):
    """A container: no tunnels where this machine's kernel has none."""
    if not shutil.which("systemd-nspawn"):
        pytest.skip("needs systemd-nspawn: sudo make deps-vm")
    if not LONG and suite != suite_here():
        pytest.skip("only in make vm-test: another release's")
    with machine.process([f"{machine.HERE}/system/container", str(system(suite)), str(tmp_path / "results")],
                         str(tmp_path / "console")) as running:
        running.wait(900)
    said = machine.tail(str(tmp_path / "console")) + machine.tail(str(tmp_path / "results"), 200000)
    assert "\nall as it should be" in said, said[-12000:]


@pytest.mark.skipif(not LONG, reason="only in make vm-test: minutes in a virtual machine")
@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_the_package_on_its_own_kernel(system, suite):
    if machine.missing_tools():
        pytest.skip(f"needs {' '.join(machine.missing_tools())}: sudo make deps-vm")
    kernel, folder = machine.Kernel(suite), system(suite)
    subprocess.run(["cp", "-a", f"{kernel.modules}/.", f"{folder}/usr/lib/modules/"], check=True)
    said = machine.boot_system(kernel, str(folder), 3000)
    assert "\nall as it should be" in said, said[-12000:]
