"""Power cuts during installs and applies, and boots one after another: make vm-soak; `make image-test` has a short form.

A cut is the disk as it is at a random moment, with the machine stopped: what a machine finds whose power goes then.
(What a disk loses that was not synced is tests/unit/image_crash_test.c's.) Each is looked at from outside; some boot.
"""
import base64
import glob
import hashlib
import json
import os
import random
import shutil
import subprocess

import image
import machine
import pytest
import test_image
import wire
from slot_machine import SlotVm, make_bundle, node_server
from small_image import SmallVm
from wire import Wire

pytestmark = pytest.mark.skipif(os.environ.get("EDGED_VM") != "image", reason="boots the image: make vm-soak")
CUTS = int(os.environ.get("EDGED_SOAK_CUTS", "20"))
BOOTS = int(os.environ.get("EDGED_SOAK_BOOTS", "1"))
SEED = int(os.environ.get("EDGED_SOAK_SEED", "1"))


@pytest.fixture(scope="module")
def node(root):
    missing = machine.missing_tools()
    if missing:
        pytest.skip(f"needs {' '.join(missing)}")
    with node_server() as port:
        yield port


@pytest.fixture(scope="module")
def vm(node, tmp_path_factory):
    """One machine for applies and boots."""
    return SlotVm.in_use(str(tmp_path_factory.mktemp("soak")), node)


def cut_during(vm, running, look, cuts, moments):
    """Stop the machine at random moments while a process runs, at most cuts times; look at the disk each time."""
    while running.poll() is None and cuts:
        try:
            running.wait(moments.uniform(0.05, 3))
        except subprocess.TimeoutExpired:
            vm.qmp("stop")
            look()
            vm.qmp("cont")
            cuts -= 1
    return cuts


def part_is(vm, name, path):
    data = vm.read_partition(name, os.path.getsize(path))
    with open(path, "rb") as file:
        return hashlib.sha256(data).digest() == hashlib.sha256(file.read()).digest()


def test_power_cuts_during_installs(small_image, tmp_path):
    states, kept, moments = [], [], random.Random(SEED)
    slot = f"{small_image}/slot"
    bundle, public = make_bundle(str(tmp_path), slot)
    vm = SmallVm(str(tmp_path), small_image)

    def look():
        state = vm.boot_state()
        states.append((state["trial"], state["state_b"]))
        assert state["slot"] == "a", state
        assert states[-1] in (("", "empty"), ("", "writing"), ("b", "ready"), ("", "ready")), state
        if state["trial"] == "b":
            assert part_is(vm, "boot-b", f"{slot}/boot") and part_is(vm, "root-b", f"{slot}/root")
        if len(states) * BOOTS // CUTS > len(kept):
            kept.append((shutil.copy(vm.disk, f"{tmp_path}/cut-{len(kept)}"), state["trial"] or "a"))

    vm.put(f"mkdir -p /data/etc/image-keys; echo '{public}' >/data/etc/image-keys/test.pem\n"
           "while edgectl image install /mnt/two && edgectl image rollback; do :; done", [bundle])
    with vm.power():
        assert cut_during(vm, vm.process, look, CUTS, moments) == 0, vm.console()
    assert ("", "writing") in states, "the cuts were during installs"
    for disk, next_slot in kept:
        said = SmallVm(os.path.dirname(disk), small_image, disk).boot("edgectl image status")
        assert f"slot {next_slot} is up" in said, said


def test_power_cuts_during_applies(vm, node, tmp_path):
    texts = [test_image.configuration(node) + f"# {letter * 3000}\n" for letter in "ab"]

    def look():
        data, out = str(tmp_path / "data"), str(tmp_path / "out")
        vm.read(*vm.partition("data"), data)
        # The journal is replayed, as at a boot.
        status = subprocess.run(["e2fsck", "-fy", data], capture_output=True, text=True, check=False)
        assert status.returncode in (0, 1), status.stdout
        os.makedirs(out)
        machine.run("debugfs", "-R", f"rdump /var/lib/edged {out}", data)
        with open(f"{out}/edged/committed", encoding="utf-8") as file:
            revision = json.load(file)["revision"]
        files = [path for path in glob.glob(f"{out}/edged/revisions/**/edged.yaml", recursive=True)
                 if int(path.split("/revisions/")[1].split("/")[0]) == revision]
        with open(files[0], encoding="utf-8") as file:
            assert file.read() in texts + [test_image.configuration(node)]
        shutil.rmtree(out)

    send = "".join(f"base64 -d >{i}.yaml <<END\n{base64.b64encode(text.encode()).decode()}\nEND\n"
                   for i, text in enumerate(texts))
    with vm.power():
        assert vm.wait_answer(80, b"hello")
        vm.status()
        vm.ssh(send)
        with vm.operator_process("while edgectl apply 0.yaml && edgectl apply 1.yaml; do :; done") as running:
            assert cut_during(vm, running, look, CUTS, random.Random(SEED)) == 0


# Refused at once while no node of it is up, which is not early.
FORWARDED = 8080


def opened_early(seen, node_port):
    """Ports from which the client got an answer, or on which it got through, that no configuration lets through; and when its
    first packet was forwarded."""
    arrived = seen.arrived()
    forwarded = [when for when, port in arrived if port == node_port]
    return ([port for _, port in arrived if port != node_port] +
            [port for _, port in seen.answered() if port != FORWARDED], min(forwarded, default=None))


# Said on the console as a warning, since asking over SSH takes longer than the boot; again whenever it is another one, as it
# is when a node is found to be up or the header programs are loaded. The unit has a network of its own.
READ_BACK = """[Service]
ExecStartPost=+/bin/sh -c 'for try in $$(seq 300); do now=$$(nsenter -t 1 -n nft --stateless list ruleset | sha256sum); \
[ "$$now" = "$$old" ] || echo "<4>read back: $$now"; old=$$now; sleep 1; done'
"""


def booted(vm, work):
    """What work returns, done between power-on and the plug. Two emulated processors that run at once sometimes meet a kernel
    that patches its own code, and it panics (int3): such a boot is done again, a few times in a row at most."""
    tries = 0
    while True:
        try:
            with vm.power():
                return work()
        except AssertionError:
            tries += 1
            if tries == 5 or machine.accelerator() != "tcg" or "Oops: int3" not in vm.console():
                raise
            print("the emulator fell over the kernel's patches: once more", flush=True)


def test_boots_bring_the_same_ruleset_and_forward_nothing_early(vm, node):
    """The ruleset is read back without counters and handles, until it is the one of the boot before. From power-on a
    client sends to a node's address, to a closed port, to SSH, which is not for it, and to a port that is forwarded to a
    node. The plug ends each boot."""
    sent = 0
    vm.counted = False

    def read_back():
        assert vm.wait_answer(80, b"hello")
        vm.status()
        vm.ssh("systemctl is-system-running --wait; sync")
        assert "table inet edged" in vm.ssh("doas /usr/sbin/nft --stateless list ruleset | tee all")
        return vm.ssh("sha256sum <all").split()[0]

    def compare():
        with vm.wire.sending():
            vm.wait_console(f"read back: {expected}")
            machine.until(lambda: opened_early(vm.wire, node)[1], "the client's first packet to be forwarded", image.PATIENCE)

    # Twice: where the configuration came in, the chains were made one after another, and are in another order.
    booted(vm, read_back)
    expected = booted(vm, read_back)
    vm.drop_ins["edged-image.service"] = READ_BACK
    vm.wire = Wire(vm.folder, image.WAN_MAC, image.HOST_LAN, [22, FORWARDED])
    for _ in range(BOOTS):
        booted(vm, compare)
        sent += vm.wire.rounds
        early, first = opened_early(vm.wire, node)
        assert not early, early
        print(f"first forwarded packet {first:.1f} s after power-on", flush=True)
    assert sent > 20 * BOOTS


ROUTER = """modprobe virtio_net
for path in /sys/class/net/*; do
	case $(cat $path/address) in
	*:01) ip addr add 198.51.100.15/24 dev ${path##*/}; ip link set ${path##*/} up ;;
	*:02) ip addr add 192.0.2.15/24 dev ${path##*/}; ip link set ${path##*/} up; lan=$path ;;
	esac
done
ip route add default via 198.51.100.2
echo 1 >/proc/sys/net/ipv4/ip_forward
# The client sends to three ports in turn, and answers go back as well.
tries=0
until [ $(cat $lan/statistics/tx_packets) -ge 60 ] || [ $tries -ge 600 ]; do
	usleep 100000
	tries=$((tries + 1))
done
"""


def test_what_a_plain_router_forwards_is_seen(small_image, tmp_path):
    """The control of the test above: nothing is closed here."""
    vm = SmallVm(str(tmp_path), small_image)
    vm.wire = Wire(vm.folder, image.WAN_MAC, image.HOST_LAN, [22, FORWARDED])
    vm.put(ROUTER)
    with vm.power(), vm.wire.sending():
        vm.wait_off()
    for seen in (vm.wire.arrived(), vm.wire.answered()):
        assert [port for _, port in seen].count(wire.CLOSED_PORT) > 10, seen
