#!/bin/sh
# The tools that make the image, in a small Debian 13 of their own: build/image/tools. So the result does not depend on this
# machine's release. Does nothing when they are there.
set -eu
cd "$(dirname "$0")/.."
tools=build/image/tools
suite=trixie
packages="erofs-utils,cryptsetup-bin,dosfstools,mtools,fdisk,grub-pc-bin,grub-efi-amd64-bin,grub-common,qemu-utils"
packages="$packages,e2fsprogs,gcc,libc6-dev,linux-libc-dev,kmod,cpio,zstd,xz-utils"
[ "$packages" != "$(cat "$tools/.complete" 2>/dev/null)" ] || exit 0
rm -rf "$tools"
mkdir -p "$(dirname "$tools")"
image/suite.sh sources $suite >"$tools.sources"
mmdebstrap --mode=root --variant=apt --quiet --include="$packages" \
	--aptopt='Apt::Install-Recommends "false"' $suite "$tools" "$tools.sources"
mkdir -p "$tools/image"
echo "$packages" >"$tools/.complete"
