"""Golden tests: NAME.yaml beside NAME.nft, what `nft list table inet edged` prints once it is applied.

UPDATE=1 writes the .nft files anew: read the difference before committing it. nft prints some
things differently from version to version, so they are compared by the version that wrote them.
"""
import glob
import os
import re
import shutil
import subprocess
import tempfile

import pytest

from harness import Edged, Namespace, ip, readers
from harness.edged import BUILD

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = sorted(os.path.basename(path)[:-5] for path in glob.glob(f"{HERE}/*.yaml"))
BLOCKLIST = "198.51.100.66\n203.0.113.192/27\n2001:db8:bad::/48\n198.51.100.67\n"


def nft_version():
    return re.search(r"v(\S+)", subprocess.run(["nft", "--version"], capture_output=True, text=True).stdout)[1]


@pytest.fixture(scope="module")
def edge(root):
    """One edged for all of them: each configuration is applied over the one before."""
    assert os.path.exists(f"{BUILD}/edged"), "run make first"
    folder = tempfile.mkdtemp(prefix="edged-golden-", dir="/tmp")
    os.chmod(folder, 0o755)
    space = Namespace(f"{os.environ.get('EDGED_TEST_PREFIX', 'edgedtest')}-{os.getpid()}-golden")
    try:
        ip("-n", space.name, batch=[
            "link add name ens3 type veth peer name out", "link add name ens4 type veth peer name in",
            "address add 198.18.0.10/24 dev ens3",
            "address add 2001:db8:18::10/64 dev ens3", "address add 192.0.2.1/24 dev ens4", "link set ens3 up",
            "link set ens4 up", "link set out up", "link set in up"])
        with open(f"{HERE}/{CASES[0]}.yaml") as file:
            edged = Edged(space, folder, file.read(), supervised=False)
        edged.write(BLOCKLIST, "bad.txt")
        edged.start()
        # The header programs stay attached once they are: from here on the set of their devices is the same.
        with open(f"{HERE}/21-header.yaml") as file:
            edged.apply(file.read())
        edged.wait_plane("kernel")
        yield edged
        edged.stop()
    finally:
        space.remove()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("name", CASES)
def test_golden(edge, name):
    with open(f"{HERE}/{name}.yaml") as file:
        edge.apply(file.read())
    # Chains and sets by name, elements in order: the kernel lists them as they came to be.
    text = f"# nft {nft_version()}\n{readers.rules(edge.space)}\n"
    path = f"{HERE}/{name}.nft"
    if os.environ.get("UPDATE"):
        with open(path, "w") as file:
            file.write(text)
        return
    with open(path) as file:
        golden = file.read()
    if golden.split("\n", 1)[0] != text.split("\n", 1)[0]:
        pytest.skip(f"the golden files are of {golden.splitlines()[0][2:]}, here is nft {nft_version()}")
    assert text == golden


@pytest.mark.parametrize("name", CASES)
def test_the_way_there_does_not_matter(edge, name):
    """Reached from another configuration, and again: the same ruleset, down to the order of rules."""
    with open(f"{HERE}/{name}.yaml") as file:
        text = file.read()
    found = []
    for before in (CASES[0], CASES[CASES.index(name) - 1], CASES[-4]):
        with open(f"{HERE}/{before}.yaml") as file:
            edge.apply(file.read())
        edge.apply(text)
        found.append(readers.rules(edge.space))
    assert found[0] == found[1] == found[2]
