#!/bin/sh
# Signs a bundle: sign.sh BUNDLE PRIVATE-KEY.pem [SIGNED-BUNDLE]. Without the third, the signed one takes its place.
# The key is an Ed25519 one (docs/image.md says how to make and keep it); openssl asks for its passphrase.
set -eu
[ $# = 2 ] || [ $# = 3 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
to=${3:-$1}
# Beside the result: a bundle need not fit /tmp.
work=$(mktemp -d "$to.XXXXXX")
trap 'rm -rf "$work"' EXIT
tar -xf "$1" -C "$work" manifest boot root
openssl pkeyutl -sign -rawin -inkey "$2" -in "$work/manifest" -out "$work/manifest.sig"
[ "$(stat -c %s "$work/manifest.sig")" = 64 ] || { echo "sign.sh: $2 is no Ed25519 key" >&2; exit 1; }
tar --format=ustar --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=644 -C "$work" -cf "$work/signed" \
	manifest manifest.sig boot root
mv "$work/signed" "$to"
