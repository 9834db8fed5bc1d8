#!/bin/sh
# wireguard.sh FOLDER: puts the embeddable WireGuard library of Debian's wireguard-tools there: from the installed
# documentation, or, where that is left out of installations, from the package file that apt fetches.
set -eu
folder=$1
installed=/usr/share/doc/wireguard-tools/examples/embeddable-wg-library
mkdir -p "$folder"
if [ ! -f "$installed/wireguard.c" ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	chmod 755 "$work"
	(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download wireguard-tools) || {
		echo "wireguard-tools: neither its documentation is installed nor can apt-get fetch the package:" \
			"run 'apt-get update', or install it with its documentation" >&2
		exit 1
	}
	dpkg-deb -x "$work"/wireguard-tools_*.deb "$work/package"
	installed=$work/package$installed
fi
cp "$installed/wireguard.h" "$folder/wireguard.h"
cp "$installed/wireguard.c" "$folder/wireguard.c.new"
mv "$folder/wireguard.c.new" "$folder/wireguard.c"
