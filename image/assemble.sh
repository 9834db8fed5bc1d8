#!/bin/sh
# Runs in the tools' root, on /image: file system, hash tree, initial ram disk, boot loaders, disk.
# Every identifier is derived, no clock and no random number is used: the same root gives the same image.
set -eu
cd /image
export LC_ALL=C TZ=UTC

# A UUID from a name: always the same.
uuid() {
	echo "edged image $1" | sha256sum | sed 's/^\(.\{8\}\)\(.\{4\}\).\(.\{3\}\).\(.\{3\}\)\(.\{12\}\).*/\1-\2-4\3-8\4-\5/'
}

release=$(basename root/usr/lib/modules/*)
mkdir -p slot initrd-root/bin initrd-root/modules initrd-root/proc initrd-root/sys initrd-root/dev initrd-root/lower \
	initrd-root/upper initrd-root/new
cp root/boot/vmlinuz-* slot/vmlinuz

# The initial ram disk.
gcc -static -Os -s -Wall -Wextra -Werror -o initrd-root/bin/verity initrd/verity.c
cp "$(command -v busybox)" initrd-root/bin/busybox
cp initrd/init initrd-root/init
chmod 755 initrd-root/init
: >initrd-root/modules/order
for name in dm-verity sha256-ssse3 erofs overlay virtio_blk virtio_scsi sd_mod ahci; do
	for line in $(grep "/$name\.ko[^:]*:" "root/usr/lib/modules/$release/modules.dep" | tr -d : | tr ' ' '\n' | tac); do
		file=$(basename "$line" .xz)
		grep -qx "$file" initrd-root/modules/order && continue
		case $line in
		*.xz) xz -dc "root/usr/lib/modules/$release/$line" >"initrd-root/modules/$file" ;;
		*) cp "root/usr/lib/modules/$release/$line" "initrd-root/modules/$file" ;;
		esac
		echo "$file" >>initrd-root/modules/order
	done
done
find initrd-root -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(cd initrd-root && find . -print0 | sort -z | cpio --quiet -0 -o -H newc --reproducible -R 0:0) | zstd -q -19 >slot/initrd
rm -rf root/boot/*

# The root and its hash tree, in one file.
mkfs.erofs --quiet -zlz4hc,9 -T"$SOURCE_DATE_EPOCH" -U"$(uuid root)" slot/root root >/dev/null
blocks=$(($(stat -c %s slot/root) / 4096))
veritysetup format --uuid="$(uuid verity)" --salt="$(uuid salt | tr -d -)" --data-blocks="$blocks" \
	--hash-offset="$((blocks * 4096))" slot/root slot/root >verity.log
hash=$(sed -n 's/^Root hash:[ \t]*//p' verity.log)
printf 'set hash=%s\nset blocks=%s\n' "$hash" "$blocks" >slot/slot.cfg

# The boot partition: read by BIOS and by UEFI.
modules="part_gpt fat normal linux loadenv test serial terminal configfile echo"
grub-mkimage -O i386-pc -p '(,gpt2)/boot' -o core.img biosdisk $modules
grub-mkimage -O x86_64-efi -p '(,gpt2)/boot' -o bootx64.efi $modules
cp /usr/lib/grub/i386-pc/boot.img boot.img
grub-editenv grubenv create
grub-editenv grubenv set slot=a trial= left=
esp_mb=96
truncate -s ${esp_mb}M esp
mkfs.vfat -F 32 -s 8 -i ed6ed001 -n EDGED-BOOT --invariant esp >/dev/null
touch -d "@$SOURCE_DATE_EPOCH" bootx64.efi boot/grub.cfg grubenv slot/*
export MTOOLS_SKIP_CHECK=1
mmd -i esp ::EFI ::EFI/BOOT ::boot ::boot/a ::boot/b
mcopy -m -i esp bootx64.efi ::EFI/BOOT/BOOTX64.EFI
mcopy -m -i esp boot/grub.cfg grubenv ::boot/
mcopy -m -i esp slot/vmlinuz slot/initrd slot/slot.cfg ::boot/a/
# A second slot that is the first one's copy would only cost space: it is empty until an image is installed.

# The disk. Sizes in MiB: boot loader 1, boot partition, two roots, data to the end.
root_mb=400
disk_mb=2048
truncate -s ${disk_mb}M disk
boot_at=4096
root_a_at=$((boot_at + esp_mb * 2048))
root_b_at=$((root_a_at + root_mb * 2048))
data_at=$((root_b_at + root_mb * 2048))
data_size=$(((disk_mb - 4) * 2048 - data_at))
linux=0FC63DAF-8483-4772-8E79-3D69D8477DE4
efi=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
bios=21686148-6449-6E6F-744E-656564454649
sfdisk -q disk <<END
label: gpt
label-id: $(uuid disk)
unit: sectors
start=2048, size=2048, type=$bios, uuid=$(uuid bios), name=bios
start=$boot_at, size=$((esp_mb * 2048)), type=$efi, uuid=$(uuid esp), name=boot
start=$root_a_at, size=$((root_mb * 2048)), type=$linux, uuid=$(uuid root-a), name=root-a
start=$root_b_at, size=$((root_mb * 2048)), type=$linux, uuid=$(uuid root-b), name=root-b
start=$data_at, size=$data_size, type=$linux, uuid=$(uuid data), name=data
END
[ "$(stat -c %s slot/root)" -le $((root_mb * 1048576)) ] || { echo "the root does not fit its slot" >&2; exit 1; }
truncate -s $((data_size * 512)) data
E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH mke2fs -q -t ext4 -m 1 -L data -U "$(uuid data-fs)" \
	-E "hash_seed=$(uuid hash),root_owner=0:0" data

put() {
	dd if="$1" of=disk bs=512 seek="$2" conv=notrunc,sparse status=none
}

# A number as bytes, lowest first.
bytes() {
	number=$1
	count=$2
	while [ "$count" -gt 0 ]; do
		printf "\\$(printf %03o $((number % 256)))"
		number=$((number / 256))
		count=$((count - 1))
	done
}
# What grub-install would write: where boot.img finds the core, and where the core's first sector finds the rest.
bytes 2048 8 | dd of=boot.img bs=1 seek=92 conv=notrunc status=none
printf '\220\220' | dd of=boot.img bs=1 seek=102 conv=notrunc status=none
bytes 2049 8 | dd of=core.img bs=1 seek=500 conv=notrunc status=none
dd if=boot.img of=disk bs=440 count=1 conv=notrunc status=none
put core.img 2048
put esp $boot_at
put slot/root $root_a_at
put data $data_at
qemu-img convert -c -f raw -O qcow2 -o compression_type=zstd,cluster_size=256k disk image.qcow2
