"""The Debian package: that it builds from a clean tree, holds what it should, and what installing it does.

With virtual machines only (EDGED_VM, see make/vm.mk): it builds everything once more. The short form builds for this
machine's release; make vm-test also installs it into a chroot of Debian 12 and one of Debian 13."""
import glob
import os
import re
import shutil
import subprocess

import pytest

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
LONG = os.environ.get("EDGED_VM") == "long"
EXPECTED = """
/usr/lib/systemd/system/edged-agent@.service
/usr/bin/edgectl /usr/sbin/edged /usr/lib/edged/when-closed
/usr/lib/systemd/system/edged.service /usr/lib/systemd/system/edged-loader.service
/usr/lib/systemd/system/edged-api.socket /usr/lib/systemd/system/edged-api@.service
/usr/lib/systemd/system/edged-prober.socket /usr/lib/systemd/system/edged-prober@.service
/usr/lib/systemd/system/edged-proxy.socket /usr/lib/systemd/system/edged-proxy@.service
/usr/lib/systemd/system/edged-watch.socket /usr/lib/systemd/system/edged-watch@.service
/usr/lib/sysusers.d/edged.conf /usr/lib/tmpfiles.d/edged.conf /usr/lib/modules-load.d/edged.conf
/usr/share/man/man8/edged.8.gz /usr/share/man/man8/edgectl.8.gz /usr/share/bash-completion/completions/edgectl
/usr/share/zsh/vendor-completions/_edgectl /usr/share/fish/vendor_completions.d/edgectl.fish
/usr/share/doc/edged/examples/edged.yaml /usr/share/doc/edged/examples/blocklists/abuse.txt
/usr/share/doc/edged/copyright /usr/share/doc/edged/changelog.gz
""".split()


def run(*command, check=True, **options):
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP, **options)
    assert not check or result.returncode == 0, f"{command}: {result.stdout[-3000:]}{result.stderr[-3000:]}"
    return result


def suite_here():
    with open("/etc/os-release", encoding="utf-8") as file:
        return re.search(r"VERSION_CODENAME=(\w+)", file.read())[1]


@pytest.fixture(scope="module")
def package(root):
    """Built for a suite, once; lintian is part of that."""
    built = {}

    def build(suite):
        if suite not in built:
            run("make", "--no-print-directory", f"SUITE={suite}", "deb", timeout=1200)
            built[suite], = [path for path in glob.glob(f"{TOP}/build/deb/{suite}/edged_*.deb")]
        return built[suite]
    return build


def test_it_holds_what_it_should(package):
    lines = run("dpkg-deb", "-c", package(suite_here())).stdout.splitlines()
    # Debian 12 has units in /lib, which is the same folder.
    files = {line.split()[5].removeprefix(".").replace("/lib/systemd", "/usr/lib/systemd").replace("/usr/usr", "/usr"): line
             for line in lines}
    for path in EXPECTED:
        assert path in files, f"{path} is not in the package"
    for path, line in files.items():
        assert line.split()[1] == "root/root" and line[3] != "s" and line[6] != "s", line
        assert not path.startswith(("/etc/edged/edged.yaml", "/var")), f"{path} would be a configuration"


def test_it_does_not_know_where_it_was_built(package, tmp_path):
    run("dpkg-deb", "-x", package(suite_here()), str(tmp_path))
    for path in ("usr/sbin/edged", "usr/bin/edgectl"):
        with open(tmp_path / path, "rb") as file:
            assert TOP.encode() not in file.read(), path


def test_the_units_are_right(package, tmp_path):
    run("dpkg-deb", "-x", package(suite_here()), str(tmp_path))
    units = sorted(glob.glob(f"{tmp_path}/usr/lib/systemd/system/*") + glob.glob(f"{tmp_path}/lib/systemd/system/*"))
    for unit in units:
        with open(unit, encoding="utf-8") as file:
            text = file.read()
        with open(unit, "w", encoding="utf-8") as file:
            file.write(re.sub(r"/usr/s?bin/edge", rf"{tmp_path}\g<0>", text).replace("man:", "file:/"))
    said = run("systemd-analyze", "verify", "--man=no", *units, check=False)
    ours = [line for line in (said.stdout + said.stderr).splitlines() if "edged" in line and "D-Bus" not in line]
    assert not ours, ours


def test_main_is_before_the_network():
    with open(f"{TOP}/image/systemd/edged.service", encoding="utf-8") as file:
        text = file.read()
    assert "Before=network-pre.target" in text and "DefaultDependencies=no" in text
    assert re.search(r"^KillMode=process$", text, re.M), "workers must outlive main"
    assert not re.search(r"^After=.*loader", text, re.M), "it closes first: loading takes a minute where it is emulated"
    with open(f"{TOP}/image/systemd/edged-loader.service", encoding="utf-8") as file:
        assert re.search(r"^After=.*\bedged\.service", file.read(), re.M)


@pytest.mark.skipif(not LONG, reason="only in make vm-test: makes a Debian of its own")
@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_installing_changes_nothing_but_what_it_brings(package, suite, tmp_path):
    deb = package(suite)
    os.chmod(tmp_path, 0o755)
    shutil.copy(deb, tmp_path / "edged.deb")
    sources = tmp_path / "suite.sources"
    sources.write_text(run("image/suite.sh", "sources", suite).stdout)
    script = tmp_path / "look"
    script.write_text("""set -eu
cp "$2" "$1/tmp/edged.deb"
chroot "$1" sh -ec '
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q -y --no-install-recommends install /tmp/edged.deb
	getent passwd edged edged-proxy edged-api >/dev/null
	getent group edge edge-view >/dev/null
	test -d /etc/edged -a ! -e /etc/edged/edged.yaml
	edged --version
	cp -r /usr/share/doc/edged/examples /tmp/example
	edgectl check /tmp/example/edged.yaml
	test -L /etc/systemd/system/multi-user.target.wants/edged.service
	apt-get -q -y --reinstall install /tmp/edged.deb
	apt-get -q -y purge edged
	test ! -e /etc/edged -a ! -e /var/lib/edged -a ! -e /etc/systemd/system/multi-user.target.wants/edged.service
	echo "all as it should be"
'
""")
    script.chmod(0o755)
    said = run("mmdebstrap", "--mode=root", "--variant=apt", "--quiet", "--include=systemd", "--format=null",
               f"--customize-hook=sh {script} \"$1\" {tmp_path}/edged.deb", suite, "/dev/null", str(sources), timeout=900)
    assert "all as it should be" in said.stdout + said.stderr
