"""An edged that does not start: the network stays down, comes with edged, and a slot without it is left."""
import os
import re

import machine
import pytest
from slot_machine import SlotVm, node_server

pytestmark = pytest.mark.skipif(os.environ.get("EDGED_VM") != "image", reason="boots the image: make image-test")

# Before each try it says what there is, as a warning, so that the console has it; the tries fail until ports have been
# refused some times, with one plugged in meanwhile.
FAILS_AT_FIRST = """[Service]
ExecStartPre=+/bin/sh -c 'echo "<4>ports: $$(systemctl is-active edged-ports) $$(ls /sys/class/net | tr "\\n" " ")\
devices: $$(ls /sys/bus/virtio/devices | wc -l)." | tee -a /run/tries; [ $$(grep -c "failed lo.*: 4" /run/tries) -gt 10 ]'
"""
NEVER = "[Service]\nExecStartPre=/bin/false\n"


@pytest.fixture
def vm(root, tmp_path):
    missing = machine.missing_tools()
    if missing:
        pytest.skip(f"needs {' '.join(missing)}")
    with node_server() as port:
        yield SlotVm.in_use(str(tmp_path), port)


def test_ports_wait_for_edged(vm):
    """Neither what was there nor what is plugged in meanwhile: no driver is loaded before the firewall is closed."""
    vm.drop_ins["edged.service"] = FAILS_AT_FIRST
    vm.lan = False
    with vm.power():
        vm.wait_console(r"ports: failed lo devices: 3\.")  # a network port, two disks
        vm.plug_lan()
        assert vm.wait_answer(80, b"hello")
        assert vm.wait_answer(22).startswith(b"SSH-2.0")
        tries = re.findall(r"ports: (\S+) (.*) devices: (\d+)\.", vm.console())
    assert {links for _, links, _ in tries} == {"lo"}, tries
    assert [(state, devices) for state, _, devices in tries].count(("failed", "4")) > 10, tries


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
