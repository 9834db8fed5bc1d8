"""The units as they stand in the tree: systemd finds nothing wrong, and what it says of their exposure."""
import glob
import os
import re
import shutil
import subprocess

import pytest

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
# The loader mounts and loads programs into the kernel, and is gone then.
MOST_EXPOSURE = {"edged.service": 2.0, "edged-loader.service": 10.0}
MOST_EXPOSURE_OF_OTHERS = 1.5


@pytest.fixture
def units(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    for path in glob.glob(f"{TOP}/image/systemd/*"):
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"/usr/s?bin/(edged|edgectl)\b", "/bin/true", file.read()).replace("man:", "file:/")
        (tmp_path / os.path.basename(path)).write_text(text)
    return sorted(map(str, tmp_path.iterdir()))


def exposure(unit):
    said = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", unit], capture_output=True, text=True,
                          check=False).stdout
    return float(re.search(r"Overall exposure level.*: ([\d.]+)", said)[1])


def test_systemd_understands_them(units):
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False)
    ours = [line for line in (said.stdout + said.stderr).splitlines() if "edged" in line and "D-Bus" not in line]
    assert not ours, ours


def test_they_expose_little(units):
    services = [unit for unit in units if unit.endswith(".service")]
    assert len(services) >= 6
    for unit in services:
        most = MOST_EXPOSURE.get(os.path.basename(unit), MOST_EXPOSURE_OF_OTHERS)
        assert exposure(unit) <= most, f"{os.path.basename(unit)}: {exposure(unit)}"


def test_a_unit_that_is_root_would_be_seen(units):
    main = next(unit for unit in units if unit.endswith("/edged.service"))
    with open(main, encoding="utf-8") as file:
        text = file.read()
    with open(main, "w", encoding="utf-8") as file:
        file.write(text.replace("User=edged\n", "").replace("RestrictSUIDSGID=yes\n", ""))
    assert exposure(main) > MOST_EXPOSURE["edged.service"]
