"""An edged that does not start: the network stays down, comes with edged, and a slot without it is left."""
import os
import re

import machine
import pytest
from slot_machine import SlotVm, node_server

pytestmark = pytest.mark.skipif(os.environ.get("EDGED_VM") != "image", reason="boots the image: make image-test")

# Before each try it says what is up, as a warning, so that the console has it; the tries fail until the network has been
# refused its start, and some more times.
FAILS_AT_FIRST = """[Service]
ExecStartPre=+/bin/sh -c 'echo "<4>up: $$(ip -o link show up | grep -vc LOOPBACK), \
ports: $$(systemctl is-active edged-ports) $$(systemctl is-active systemd-networkd)" | tee -a /run/tries; \
[ $$(grep -c "failed inactive" /run/tries) -gt 10 ]'
"""
NEVER = "[Service]\nExecStartPre=/bin/false\n"


@pytest.fixture
def vm(root, tmp_path):
    missing = machine.missing_tools()
    if missing:
        pytest.skip(f"needs {' '.join(missing)}")
    with node_server() as port:
        yield SlotVm.in_use(str(tmp_path), port)


def test_the_network_waits_for_edged(vm):
    vm.drop_ins["edged.service"] = FAILS_AT_FIRST
    with vm.power():
        assert vm.wait_answer(80, b"hello")
        assert vm.wait_answer(22).startswith(b"SSH-2.0")
        tries = re.findall(r"up: (\d+), ports: (\S+ \S+)", vm.console())
    assert {up for up, _ in tries} == {"0"} and [state for _, state in tries].count("failed inactive") > 10, tries


def test_a_slot_without_edged_is_left_for_one_that_was_good(vm):
    """The last of its boots."""
    vm.drop_ins["edged.service"] = NEVER
    vm.set_boot_state(state_b="good", left="1")
    with vm.power():
        vm.wait_console("slot b was good: the machine restarts")
        vm.wait_off()
        assert vm.ask(22) is None
    state = vm.boot_state()
    assert (state["slot"], state["left"]) == ("a", "0"), "GRUB takes b next"
