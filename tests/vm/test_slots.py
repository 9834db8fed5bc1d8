"""Two slots of the whole image: install, trial, commit, and a trial that is not kept."""
import os
import shutil

import machine
import pytest
from slot_machine import MOUNT, SlotVm, make_bundle, node_server

pytestmark = pytest.mark.skipif(os.environ.get("EDGED_VM") != "image", reason="boots the image: make image-test")


def slots(answer):
    return {slot["slot"]: (slot["state"], slot["version"]) for slot in answer["slots"]}


class Prepared:
    """Disks in two states: version 2 installed and not yet tried, and committed."""

    def __init__(self, folder, node_port):
        self.folder = folder
        self.vm = vm = SlotVm.in_use(folder, node_port)
        with vm.power():
            assert vm.wait_answer(80, b"hello"), "the node answers"
            self.before = vm.status()
            vm.ssh(MOUNT)
            vm.ssh("head -c 10000000 /mnt/two >cut")
            self.refused = vm.operator("doas edgectl image install cut", status=1)
            self.as_user = vm.operator("edgectl image install /mnt/two", status=1)
            self.after_refusal = vm.status()
            self.installed = vm.operator("doas edgectl image install /mnt/two")
            self.waiting = vm.status()
            vm.operator("doas systemctl reboot", status=None)
            vm.wait_off()
        shutil.copy(vm.disk, f"{folder}/trial.qcow2")
        with vm.power():
            vm.wait_console(r"slot b \(version 2\) is healthy and committed")
            self.committed = vm.status()
            assert vm.wait_answer(80, b"hello"), "as before"
            vm.operator("doas systemctl poweroff", status=None)
            vm.wait_off()
        shutil.copy(vm.disk, f"{folder}/committed.qcow2")

    def machine(self, folder, state, firmware):
        return SlotVm.copy_of(self.vm, f"{self.folder}/{state}.qcow2", folder, firmware)


@pytest.fixture(scope="module")
def prepared(root, tmp_path_factory):
    missing = machine.missing_tools()
    if missing:
        pytest.skip(f"needs {' '.join(missing)}")
    with node_server() as port:
        yield Prepared(str(tmp_path_factory.mktemp("slots")), port)


def test_install_trial_commit(prepared):
    assert (prepared.before["booted"], prepared.before["next"], prepared.before["trial"]) == ("a", "a", None)
    assert slots(prepared.before)["b"] == ("empty", None)
    assert "incomplete" in prepared.refused and slots(prepared.after_refusal) == slots(prepared.before)
    assert "doas" in prepared.as_user
    assert "slot b is tried at the next boot" in prepared.installed
    assert (prepared.waiting["next"], prepared.waiting["trial"], prepared.waiting["tries_left"]) == ("b", "b", 2)
    assert slots(prepared.waiting)["b"] == ("ready", "2")
    assert (prepared.committed["booted"], prepared.committed["committed"], prepared.committed["trial"]) == ("b", "b", None)
    assert {slot: state for slot, (state, _) in slots(prepared.committed).items()} == {"a": "good", "b": "good"}


def test_a_trial_without_its_backend_returns(prepared, tmp_path):
    """The node answered before the install; it does not in the trial."""
    vm = prepared.machine(str(tmp_path), "trial", "bios")
    vm.lan_is_cut = True
    with vm.power():
        vm.wait_console(r"slot b \(version 2\) is not kept: what answered before the install does not now: node k8s-1")
        vm.wait_off()
    vm.lan_is_cut = False
    with vm.power():
        assert vm.wait_answer(80, b"hello")
        assert vm.status()["committed"] == "a"
