#!/bin/sh
# Makes an unsigned bundle of one slot: bundle.sh BUNDLE VERSION BOOT ROOT. The format is in docs/image.md.
# The same parts give the same bytes.
set -eu
[ $# = 4 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$(realpath "$3")" "$work/boot"
ln -s "$(realpath "$4")" "$work/root"
{
	printf 'edged-bundle 1\nversion %s\n' "$2"
	for part in boot root; do
		echo "$part $(stat -Lc %s "$work/$part") $(sha256sum "$work/$part" | cut -d ' ' -f 1)"
	done
} >"$work/manifest"
tar --format=ustar --dereference --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=644 -C "$work" -cf "$1.new" \
	manifest boot root
mv "$1.new" "$1"
