"""What the image's network ports wait for: the kernel's word that the firewall is closed."""
import os

import pytest
from harness import Edged, config
from harness.edged import BUILD

DROPS = "add table inet {0}; add chain inet {0} {1} {{ type filter hook {1} priority 0; policy {2}; }}"


@pytest.fixture
def asked(net, tmp_path):
    """Whether the command was run, and what was said."""
    def ask():
        stamp = tmp_path / "closed"
        result = net.edge.run(f"{BUILD}/when-closed", str(stamp), "/bin/echo", "the command", check=False)
        assert stamp.exists() == (result.returncode == 0) == (result.stdout == "the command\n"), result
        if stamp.exists():
            os.unlink(stamp)
        return result
    return ask


@pytest.mark.parametrize("chains, closed", [
    ([], False),
    ([("edged", "input", "drop")], False),
    ([("edged", "input", "drop"), ("edged", "forward", "accept")], False),
    ([("edged", "input", "drop"), ("other", "forward", "drop")], False),
    ([("edged", "output", "drop"), ("edged", "forward", "drop")], False),
    ([("edged", "forward", "drop"), ("other", "input", "accept"), ("edged", "input", "drop")], True),
])
def test_both_ways_in_must_be_shut(net, asked, chains, closed):
    for chain in chains:
        net.edge.nft(DROPS.format(*chain))
    result = asked()
    assert (result.returncode == 0) == closed
    assert closed or "systemctl status edged" in result.stderr


def test_an_edged_that_runs_or_ran_keeps_it_closed(net, asked, tmp_path):
    edged = Edged(net.edge, str(tmp_path / "edged"), config()).start()
    assert asked().returncode == 0
    edged.stop()
    assert asked().returncode == 0


def test_who_may_not_ask_is_told(net, tmp_path):
    result = net.edge.run("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", f"{BUILD}/when-closed",
                          str(tmp_path / "closed"), "/bin/true", check=False)
    assert result.returncode == 1 and "does not list its chains: Operation not permitted" in result.stderr, result
