"""The Debian package in a Debian that systemd has booted, with Debian's own kernel: the units as they are run for real.
What is done there stands in system/inside.py."""
import os
import re
import shutil
import subprocess

import machine
import pytest

pytestmark = pytest.mark.skipif(os.environ.get("EDGED_VM") != "long", reason="makes and boots a Debian: make vm-test")
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


@pytest.fixture(params=["bookworm", "trixie"])
def system(request, tmp_path, root):
    """A root folder with the package's dependencies, and the package beside it."""
    missing = machine.missing_tools()
    if missing:
        pytest.skip(f"needs {' '.join(missing)}: sudo make deps-vm")
    suite = request.param
    machine.run("make", "--no-print-directory", f"SUITE={suite}", "deb", cwd=machine.TOP, timeout=1800)
    deb = next(entry.path for entry in os.scandir(f"{machine.TOP}/build/deb/{suite}")
               if entry.name.startswith("edged_") and entry.name.endswith(".deb"))
    depends = machine.run("dpkg-deb", "-f", deb, "Depends")
    names = [name.split("|")[0].split("(")[0].strip() for name in depends.split(",")]
    sources = tmp_path / "suite.sources"
    sources.write_text(machine.run("image/suite.sh", "sources", suite, cwd=machine.TOP))
    folder = tmp_path / "root"
    machine.run("mmdebstrap", "--mode=root", "--variant=apt", "--quiet", f"--include={PACKAGES},{','.join(names)}",
                "--aptopt=Apt::Install-Recommends \"false\"", suite, str(folder), str(sources), timeout=1200)
    kernel = machine.Kernel(suite)
    subprocess.run(["cp", "-a", f"{kernel.modules}/.", f"{folder}/usr/lib/modules/"], check=True)
    shutil.copy(deb, folder / "edged.deb")
    next_version(deb, folder / "next.deb", tmp_path)
    shutil.copy(f"{machine.HERE}/system/inside.py", folder / "inside.py")
    (folder / "etc/systemd/system/inside.service").write_text(SERVICE)
    os.symlink("/etc/systemd/system/inside.service", folder / "etc/systemd/system/multi-user.target.wants/inside.service")
    return kernel, folder


def test_the_package_as_systemd_runs_it(system):
    kernel, folder = system
    said = machine.boot_system(kernel, str(folder), 3000)
    assert "\nall as it should be" in said, said[-12000:]
