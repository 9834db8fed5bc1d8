"""Kernel and evaluator agree: random configurations, thousands of random packets through the real ruleset, and each
packet's fate held against what rules/ask says. SEEDS=n runs n configurations, SEED=n only that one."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from random_config import write_config

TOP = pathlib.Path(__file__).resolve().parents[2]
ORACLE = TOP / "build/tests/tools/packet_oracle"
PACKETS = 3000
BATCH = 8  # configurations in one test case


def seeds():
    if "SEED" in os.environ:
        return [int(os.environ["SEED"])]
    return list(range(1, 1 + int(os.environ.get("SEEDS", "60"))))


def run(seed, folder, *more, packets=PACKETS):
    return subprocess.run([ORACLE, "--seed", str(seed), "--packets", str(packets), *more, folder], capture_output=True,
                          text=True, check=False, timeout=120)


def show(seed, folder, result):
    files = "".join(f"--- {path.name}\n{path.read_text()}" for path in sorted(folder.rglob("*")) if path.is_file())
    return (f"seed {seed} (again: SEED={seed} make test T=oracle), exit {result.returncode}\n{result.stdout}"
            f"{result.stderr}{files}")


BATCHES = [seeds()[i:i + BATCH] for i in range(0, len(seeds()), BATCH)]


@pytest.mark.parametrize("batch", BATCHES, ids=[f"{batch[0]}-{batch[-1]}" for batch in BATCHES])
def test_kernel_and_evaluator_agree(root, tmp_path, batch):
    failed = []
    for seed in batch:
        folder = tmp_path / str(seed)
        write_config(seed, folder)
        result = run(seed, folder)
        if result.returncode != 0:
            failed.append(show(seed, folder, result))
    assert not failed, "\n\n".join(failed)


def copy_example(folder, settings):
    """The example with limits that are never reached: the evaluator knows no time."""
    shutil.copytree(TOP / "examples", folder)
    text = (folder / "edged.yaml").read_text()
    text = re.sub(r"\d+/second burst \d+", "1000000/second burst 1000000", text)
    text = re.sub(r"open_per_source: \d+", "open_per_source: 100000", text)
    (folder / "edged.yaml").write_text(text)
    (folder / "settings.txt").write_text("address wan 203.0.113.2/27\naddress lan 192.0.2.1/24\n" + settings)


@pytest.mark.parametrize("injection", ["", "injection\n"], ids=["proxy", "kernel"])
def test_the_example(root, tmp_path, injection):
    copy_example(tmp_path / "c", "up k8s-1 30443\nup k8s-2 30080\nup k8s-3 30443\n" + injection)
    result = run(1, tmp_path / "c", packets=5000)
    assert result.returncode == 0, show(1, tmp_path / "c", result)


# Each breaks the ruleset in one place; a test that does not see them sees nothing.
TAMPERS = {
    "a default that accepts": "insert rule inet edged drop-default ct mark set 0x80000000 accept",
    "no spoof check": "flush chain inet edged early\n"
                      "insert rule inet edged decide iifname ens3 ip saddr 192.0.2.0/24 ct mark set 1 goto fresh",
    "a port too many": "insert rule inet edged fresh tcp dport 444 ct mark set 0x80000000 accept",
    "a drop too many": "insert rule inet edged fresh ip saddr 198.51.100.128/27 drop",
    "a reject for a drop": "insert rule inet edged fresh udp dport 1-1023 reject",
    "a source rewritten": "insert rule inet edged postrouting masquerade",
    "another node's port": "insert rule inet edged prerouting meta l4proto tcp dnat ip to 192.0.2.11:30081",
}


@pytest.mark.parametrize("name", TAMPERS)
def test_a_wrong_ruleset_is_noticed(root, tmp_path, name):
    copy_example(tmp_path / "c", "up k8s-1 30080\nup k8s-1 30443\ninjection\n")
    result = run(1, tmp_path / "c", "--tamper", TAMPERS[name], packets=5000)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "DISAGREE" in result.stdout
