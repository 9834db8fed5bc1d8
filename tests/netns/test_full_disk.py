"""A state folder that is full: nothing is lost, nothing half done, and there is a way back."""
import subprocess

import pytest

from harness import CLIENT, OPERATOR, ApiError, config, forward

OPERATORS = {"from": [OPERATOR], "ssh": 22, "reason": "test"}
GOOD = config(forwards={"plain": forward(80, 30099)}, management=OPERATORS)
OTHER = config(forwards={"other": forward(81, 30099)}, management=OPERATORS)


@pytest.fixture
def small_disk(net, start):
    """edged on a state folder of four megabytes; yields it and a function that fills the folder up."""
    edged = start(GOOD, supervised=False)
    edged.stop()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", edged.state_dir], check=True)
    try:
        edged.start()

        def fill():
            with open(f"{edged.state_dir}/filler", "wb", buffering=0) as file:
                try:
                    for size in (65536, 4096):
                        while True:
                            file.write(b"x" * size)
                except OSError:
                    pass
        yield edged, fill
    finally:
        edged.stop()
        subprocess.run(["umount", "--lazy", edged.state_dir], check=True)


def test_there_is_a_way_back(small_disk):
    edged, fill = small_disk
    edged.apply(OTHER)
    fill()
    edged.write(GOOD + "# more\n")
    refused = edged.ctl("apply", check=False)
    assert refused.returncode == 1
    assert "No space left on device" in refused.stderr and f"free some of {edged.state_dir}" in refused.stderr
    assert edged.get("/v1/forwards")[0]["name"] == "other"
    edged.ctl("rollback", "1")
    assert edged.get("/v1/forwards")[0]["name"] == "plain"
    edged.stop()
    edged.start()
    assert edged.get("/v1/forwards")[0]["name"] == "plain", "it is what boots, too"


def test_what_nobody_confirmed_does_not_stay(small_disk):
    """Not even the room that is kept for it is there: back to what was confirmed."""
    edged, fill = small_disk
    edged.write(OTHER)
    edged.ctl("apply", "--confirm-within", "10m")
    subprocess.run(["rm", "-f", f"{edged.state_dir}/reserve"], check=True)
    fill()
    answer = edged.ctl("rollback", check=False)
    assert edged.get("/v1/forwards")[0]["name"] == "plain", answer
    assert edged.get("/v1/status")["pending"] is None and edged.read() == GOOD


def test_status_says_what_a_restart_would_forget(small_disk):
    edged, fill = small_disk
    fill()
    try:
        edged.post("/v1/bans", {"address": CLIENT})
    except ApiError as error:
        assert "space" in str(error)
    assert any("a restart forgets them" in str(warning) for warning in edged.get("/v1/status")["warnings"])
