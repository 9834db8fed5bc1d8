#!/bin/sh
# Runs in the tools' root, on /image, as assemble.sh VERSION: file system, hash tree, initial ram disk, boot loaders, disk.
# Every identifier is derived, no clock and no random number is used: the same root gives the same image.
set -eu
version=$1
cd /image
export LC_ALL=C TZ=UTC

# A UUID from a name: always the same.
uuid() {
	echo "edged image $1" | sha256sum | sed 's/^\(.\{8\}\)\(.\{4\}\).\(.\{3\}\).\(.\{3\}\)\(.\{12\}\).*/\1-\2-4\3-8\4-\5/'
}

release=$(basename root/usr/lib/modules/*)
mkdir -p slot initrd-root/modules initrd-root/proc initrd-root/sys initrd-root/dev initrd-root/lower initrd-root/upper \
	initrd-root/new
cp root/boot/vmlinuz-* slot/vmlinuz

# The initial ram disk.
gcc -static -D_GNU_SOURCE -Os -s -Wall -Wextra -Wformat=2 -Wconversion -Wvla -Werror -fstack-protector-strong \
	-o initrd-root/init initrd/*.c
modules() { # LIST NAME...: these modules with what they need, and in the file LIST their order; some are in the kernel
	list=$1
	shift
	: >"initrd-root/modules/$list"
	for name; do
		needs=$(modprobe -d /image/root -S "$release" --show-depends "$name" 2>/dev/null |
			sed -n 's/^insmod \([^ ]*\).*/\1/p')
		for path in $needs; do
			file=$(basename "$path" .xz)
			[ ! -e "initrd-root/modules/$file" ] || continue
			case $path in
			*.xz) xz -dc "$path" >"initrd-root/modules/$file" ;;
			*) cp "$path" "initrd-root/modules/$file" ;;
			esac
			echo "$file" >>"initrd-root/modules/$list"
		done
	done
}
# Without these it cannot start.
for name in virtio_blk dm-verity erofs overlay ext4; do
	modprobe -d /image/root -S "$release" --show-depends "$name" >/dev/null
done
modules first virtio_blk dm-verity sha256-ssse3 erofs overlay ext4
# What else a disk may hang on; the cloud kernel has only some of these.
modules more virtio_scsi sd_mod ahci nvme megaraid_sas mpt3sas smartpqi hpsa aacraid vmd ata_piix
find initrd-root -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(cd initrd-root && find . -print0 | sort -z | cpio --quiet -0 -o -H newc --reproducible -R 0:0) | zstd -q -19 >slot/initrd
rm -rf root/boot/*

# The root and its hash tree, in one file.
mkfs.erofs --quiet -zlz4hc,9 -T"$SOURCE_DATE_EPOCH" -U"$(uuid root)" slot/root root >/dev/null
blocks=$(($(stat -c %s slot/root) / 4096))
veritysetup format --uuid="$(uuid verity)" --salt="$(uuid salt | tr -d -)" --data-blocks="$blocks" \
	--hash-offset="$((blocks * 4096))" slot/root slot/root >verity.log
hash=$(sed -n 's/^Root hash:[ \t]*//p' verity.log)

# What GRUB reads of a slot: a small FAT of its own. sums lets GRUB see a damaged kernel before it starts it: CRC-32, since
# GRUB needs seconds for SHA-256 on a small machine, and whoever could forge one could write the other.
mkdir files
mv slot/vmlinuz slot/initrd files/
printf 'set hash=%s\nset blocks=%s\n' "$hash" "$blocks" >files/slot.cfg
(cd files && for name in vmlinuz initrd slot.cfg; do
	printf '%08x  %s\n' "$(cksum -a crc32b <"$name" | cut -d ' ' -f 1)" "$name"
done >sums)
touch -d "@$SOURCE_DATE_EPOCH" files/*
export MTOOLS_SKIP_CHECK=1
truncate -s "$(($(cat files/* | wc -c) / 1048576 + 4))M" slot/boot
mkfs.vfat -F 12 -s 64 -i ed6ed002 -n EDGED-SLOT --invariant slot/boot >/dev/null
mcopy -m -i slot/boot files/slot.cfg files/sums files/vmlinuz files/initrd ::

# The boot partition: read by BIOS and by UEFI, and never written again.
modules="part_gpt fat normal linux loadenv test serial terminal configfile echo regexp hashsum gcry_crc sleep reboot"
grub-mkimage -O i386-pc -p '(,gpt2)/boot' -o core.img biosdisk $modules
grub-mkimage -O x86_64-efi -p '(,gpt2)/boot' -o bootx64.efi $modules
cp /usr/lib/grub/i386-pc/boot.img boot.img
esp_mb=40
truncate -s ${esp_mb}M esp
mkfs.vfat -F 32 -s 1 -i ed6ed001 -n EDGED-BOOT --invariant esp >/dev/null
touch -d "@$SOURCE_DATE_EPOCH" bootx64.efi boot/grub.cfg
mmd -i esp ::EFI ::EFI/BOOT ::boot
mcopy -m -i esp bootx64.efi ::EFI/BOOT/BOOTX64.EFI
mcopy -m -i esp boot/grub.cfg ::boot/
# See docs/image.md. A second slot that is the first one's copy would only cost space: it is empty until an install.
# The boot state is the first cluster of a FAT, which GRUB can write to; edgectl finds it at 4096 bytes.
grub-editenv grubenv create
grub-editenv grubenv set slot=a trial= left=2 state_a=good state_b=empty "version_a=$version" version_b=
touch -d "@$SOURCE_DATE_EPOCH" grubenv
truncate -s 1M state
mkfs.vfat -a -F 12 -s 2 -R 4 -f 1 -r 16 -i ed6ed003 -n EDGED-STATE --invariant state >/dev/null
mcopy -m -i state grubenv ::
dd if=state bs=4096 skip=1 count=1 status=none | head -c 1024 | cmp - grubenv

# The disk, sizes in MiB.
boot_mb=64
root_mb=400
disk_mb=2048
at=2048
parts=
place() { # NAME MIB TYPE: the next partition; sets NAME_at, in sectors
	name=$(echo "$1" | tr - _)
	eval "${name}_at=$at"
	parts="${parts}start=$at, size=$(($2 * 2048)), type=$3, uuid=$(uuid "$1"), name=$1
"
	at=$((at + $2 * 2048))
}
linux=0FC63DAF-8483-4772-8E79-3D69D8477DE4
place bios 1 21686148-6449-6E6F-744E-656564454649
place boot $esp_mb C12A7328-F81F-11D2-BA4B-00A0C93EC93B
place state 1 $linux
place boot-a $boot_mb $linux
place boot-b $boot_mb $linux
place root-a $root_mb $linux
place root-b $root_mb $linux
data_mb=$((disk_mb - 2 - at / 2048))
place data $data_mb $linux
truncate -s ${disk_mb}M disk
printf 'label: gpt\nlabel-id: %s\nunit: sectors\n%s' "$(uuid disk)" "$parts" | sfdisk -q disk
[ "$(stat -c %s slot/boot)" -le $((boot_mb * 1048576)) ] || { echo "the kernel does not fit its slot" >&2; exit 1; }
[ "$(stat -c %s slot/root)" -le $((root_mb * 1048576)) ] || { echo "the root does not fit its slot" >&2; exit 1; }
truncate -s ${data_mb}M data
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
put core.img "$bios_at"
put esp "$boot_at"
put state "$state_at"
put slot/boot "$boot_a_at"
put slot/root "$root_a_at"
put data "$data_at"
qemu-img convert -c -f raw -O qcow2 -o compression_type=zstd,cluster_size=256k disk image.qcow2
