#!/bin/sh
# Builds the image: build.sh VERSION [PUBLIC-KEY.pem...]. The result is build/image/edged-VERSION.qcow2, and
# edged-VERSION.bundle, unsigned: what one of its two slots holds, for machines that have an older one (docs/image.md).
# Bundles that are signed for one of the keys can be installed on it. It holds the package that `make deb` builds.
# The tools are image/tools.sh's.
# No loop device, no mount of a file system that was made here; the same input gives the same bytes.
set -eu
umask 022
cd "$(dirname "$0")/.."

version=$1
shift
# KERNEL=full: Debian's whole kernel, with drivers for real machines, into build/image-full.
case ${KERNEL:-cloud} in
cloud) folder=build/image kernel=linux-image-cloud-amd64 ;;
full) folder=build/image-full kernel=linux-image-amd64 ;;
*) echo "KERNEL is cloud or full" >&2; exit 2 ;;
esac
work=$folder/work
tools=build/image/tools
suite=trixie

SOURCE_DATE_EPOCH=$(git -c safe.directory='*' log -1 --format=%ct 2>/dev/null || stat -c %Y image/build.sh)
export SOURCE_DATE_EPOCH
mkdir -p "$folder"
image/suite.sh sources $suite >"$folder/$suite.sources"
image/tools.sh

rm -rf "$work"
mkdir -p "$work/stub/DEBIAN"
# Kernels want a package that makes an initial ram disk; ours is made here.
cat >"$work/stub/DEBIAN/control" <<END
Package: edged-no-initramfs
Version: 1
Architecture: all
Maintainer: The edged developers <edged@packages.debian.org>
Provides: linux-initramfs-tool
Description: says that the initial ram disk comes from elsewhere
END
dpkg-deb -Zxz -b "$work/stub" "$work/stub.deb" >/dev/null

# edged's package is built beside the root, which needs it last. The lock is held until it is there, or cannot be.
exec 9>"$work/deb.lock"
flock 9
(
	MAKEFLAGS='' make --no-print-directory SUITE=$suite VERSION="$version" deb
	touch "$work/deb.there"
) >"$work/deb.log" 2>&1 </dev/null &
builder=$!
exec 9>&-
trap 'kill $builder 2>/dev/null || :' EXIT
cat >"$work/wait-deb" <<END
flock '$work/deb.lock' true
[ -e '$work/deb.there' ] || { tail -n 40 '$work/deb.log' >&2; exit 1; }
exec cp build/deb/$suite/edged_*.deb "\$1/tmp/edged.deb"
END

# Python is compiled once, at the end (customize.sh), and not by each package.
compiler=/usr/bin/py3compile
include=$kernel,$(grep -v '^#' image/packages | tr '\n' ',')
mmdebstrap --mode=root --variant=essential --quiet --include="${include%,}" \
	--aptopt='Apt::Install-Recommends "false"' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/lintian/*' \
	--dpkgopt='path-include=/usr/share/doc/edged/*' \
	--essential-hook="cp '$work/stub.deb' \"\$1/tmp/\" && chroot \"\$1\" dpkg -i /tmp/stub.deb" \
	--essential-hook="chroot \"\$1\" dpkg-divert --quiet --local --rename --divert $compiler.kept --add $compiler" \
	--essential-hook="ln -s true \"\$1$compiler\"" \
	--customize-hook="rm \"\$1$compiler\" && chroot \"\$1\" dpkg-divert --quiet --rename --remove $compiler" \
	--customize-hook="install -D -m 644 image/image.sysusers \"\$1/etc/sysusers.d/edged.conf\"" \
	--customize-hook="sh '$work/wait-deb' \"\$1\" && chroot \"\$1\" dpkg -i /tmp/edged.deb && rm -f \"\$1\"/tmp/*.deb" \
	--customize-hook="sh image/customize.sh \"\$1\"" \
	$suite "$work/root" "$folder/$suite.sources"
mkdir -p "$work/root/usr/share/edged/image-keys"
for key; do
	# Read as a public key, so that a private one never gets in by mistake.
	openssl pkey -pubin -in "$key" -pubout -out "$work/root/usr/share/edged/image-keys/$(basename "$key" .pem).pem"
done
find "$work/root/usr/share/edged" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

cp -a image/initrd image/boot "$work/"
cp image/assemble.sh "$work/"
unshare --mount --fork sh -c "mount --bind '$work' '$tools/image' && mount -t proc proc '$tools/proc' &&
	exec chroot '$tools' sh /image/assemble.sh '$version'" </dev/null
mv "$work/image.qcow2" "$folder/edged-$version.qcow2"
rm -rf "$folder/slot"
mv "$work/slot" "$folder/slot"
image/bundle.sh "$folder/edged-$version.bundle" "$version" "$folder/slot/boot" "$folder/slot/root"
python3 image/sbom.py "$work/root/var/lib/dpkg/status" "$version" $suite >"$folder/edged-$version.cdx.json"
rm -rf "$work"
ls -l "$folder/edged-$version".*
sha256sum "$folder/edged-$version".*
