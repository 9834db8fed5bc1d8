"""The initial ram disk: what it makes of the data partition."""
from small_image import SmallVm

LOOK = """cd /data/etc/edged && stat -c "%n %a %u %g" deep/key link new 2>&1; cat link
stat -c "%n %a" /data/var/log /data/image; stat -c "%u" /data/home/edge-admin; ls -d /data/.half
cmp /etc/machine-id /data/machine-id && echo "id $(cat /etc/machine-id)"
grep -c ' /var/log ' /proc/mounts
"""
CUT_SHORT = "mkdir -p /data/.half/deep; echo half >/data/.half/deep/key; rm -r /data/etc/edged; sync"


def looked(said):
    """What LOOK printed, and the identity."""
    lines = [line.strip() for line in said[said.index("deep/key"):].splitlines()]
    return lines, next(line for line in lines if line.startswith("id ") and len(line) == 35)


def test_the_data_partition_is_made_once(small_image, tmp_path):
    vm = SmallVm(str(tmp_path), small_image)
    lines, identity = looked(vm.boot(LOOK + "echo edited >/data/etc/edged/new; echo edited >/data/etc/edged/deep/key"))
    assert "deep/key 640 7 8" in lines and "as the image has it" in lines, lines
    assert "/data/var/log 2755" in lines and "/data/image 700" in lines and "1000" in lines and "1" in lines, lines
    # What is there stays; what root wrote is edged's.
    again, same = looked(vm.boot(LOOK + CUT_SHORT))
    assert "new 644 900 901" in again and "edited" in again and same == identity, again
    # A power cut in the first boot left half of a folder.
    mended, same = looked(vm.boot(LOOK))
    assert "deep/key 640 7 8" in mended and "as the image has it" in mended and same == identity, mended
    assert "ls: /data/.half: No such file or directory" in mended, mended
    # Its identity was cut short as well; nor is anything in the way for ever.
    other = looked(vm.boot(": >/data/machine-id; sync\n" + LOOK.replace("&& echo", "; echo")))[0]
    assert other
    assert looked(vm.boot(LOOK))[1] != identity


def test_without_a_data_partition_it_boots_and_says_so(small_image, tmp_path):
    vm = SmallVm(str(tmp_path), small_image)
    vm.damage("data", 0, 1 << 20)
    said = vm.boot("grep -c ' /data ' /proc/mounts; cat /etc/edged/link")
    assert "nothing of this boot will last" in said and "as the image has it" in said and "slot a is up" in said, said
