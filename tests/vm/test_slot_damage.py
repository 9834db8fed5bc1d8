"""Slots that do not come up, with BIOS and UEFI: the small image of two slots, one of them damaged."""
import os
import re
import shutil

import pytest
from slot_machine import make_bundle
from small_image import SmallVm

SETTLE = "edgectl image status; edgectl image commit --force; edgectl image status --json"


@pytest.fixture(scope="module")
def small_disks(small_image, tmp_path_factory):
    """Disks of the small image: version 2 on trial, and committed."""
    folder = str(tmp_path_factory.mktemp("small-disks"))
    bundle, public = make_bundle(folder, f"{small_image}/slot")
    vm = SmallVm(folder, small_image)
    vm.put(f"mkdir -p /data/etc/image-keys\necho '{public}' >/data/etc/image-keys/test.pem\n"
           "edgectl image install /mnt/two && edgectl image status --json", [bundle])
    with vm.power():
        vm.wait_off()
        assert '"trial": "b"' in vm.console(), vm.console()
    shutil.copy(vm.disk, f"{folder}/trial")
    said = vm.boot(SETTLE)
    assert "slot b is up" in said and '"committed": "b"' in said, said
    shutil.copy(vm.disk, f"{folder}/committed")
    return folder


# Partition, where and how much (None: to the hash tree).
DAMAGE = {"verity": ("root-b", 1 << 20, None), "hash-tree": ("root-b", None, 1 << 20), "kernel": ("boot-b", 0, 8 << 20)}
CASES = [(state, what, firmware) for firmware in ("bios", "uefi") for state in ("trial", "committed") for what in DAMAGE]
SHORT = [("trial", "verity", "bios"), ("committed", "kernel", "uefi")]


@pytest.mark.parametrize("state, what, firmware", SHORT if os.environ.get("EDGED_VM") == "short" else CASES)
def test_a_damaged_slot_is_left_within_two_boots(small_image, small_disks, tmp_path, state, what, firmware):
    vm = SmallVm(str(tmp_path), small_image, f"{small_disks}/{state}", firmware)
    name, offset, size = DAMAGE[what]
    offset = vm.hash_tree() if offset is None else offset
    vm.damage(name, offset, vm.hash_tree() - offset if size is None else size)
    for _ in range(2):
        said = vm.boot(SETTLE)
        assert "is up" not in said, said
    said = vm.boot(SETTLE)
    assert "slot a is up" in said and '"committed": "a"' in said, said
    assert re.search(r'"slot": "b",\s+"state": "bad"', said), said
