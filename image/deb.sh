#!/bin/sh
# Builds the Debian package of one suite: deb.sh SUITE VERSION BUILD-DEPENDENCY...
# On a machine of that suite with its own tools, else in a chroot that is made once, in build/deb/root-SUITE.
# The result and its .changes lie in build/deb/SUITE; lintian must find nothing.
set -eu
cd "$(dirname "$0")/.."

suite=$1
version=$2
shift 2
here=$(. /etc/os-release && echo "$VERSION_CODENAME")
folder=build/deb/$suite
root=build/deb/root-$suite
tree=edged-$version
number=$(case $suite in bookworm) echo 12 ;; trixie) echo 13 ;; *) echo "$suite" ;; esac)

# What is built is what would be committed, and its date is the last commit's: the same tree gives the same package.
rm -rf "$folder"
mkdir -p "$folder/$tree"
git -c safe.directory='*' ls-files -co --exclude-standard -z | grep -zv '^\.ci/' |
	xargs -0 cp --parents -P -t "$folder/$tree" 2>/dev/null || true
date=$(git -c safe.directory='*' log -1 --format=%cD 2>/dev/null || date -R)
mv "$folder/$tree/image/debian" "$folder/$tree/debian"
depends=$(for package; do echo " $package," | sed 's/|/ | /'; done)
awk -v list="$depends" '$0 == "@BUILD_DEPENDS@" { print list; next } { print }' "$folder/$tree/debian/control" \
	>"$folder/control"
mv "$folder/control" "$folder/$tree/debian/control"
mkdir -p "$folder/$tree/debian/source"
echo "3.0 (native)" >"$folder/$tree/debian/source/format"
cat >"$folder/$tree/debian/changelog" <<END
edged ($version+deb$number) $suite; urgency=medium

  * Built from the source tree.

 -- The edged developers <edged@packages.debian.org>  $date
END

# Debian 12's debhelper knows units only here.
[ "$suite" != bookworm ] || export UNITDIR=/lib/systemd/system
build='dpkg-buildpackage -b -us -uc'
if [ "$suite" = "$here" ]; then
	(cd "$folder/$tree" && $build) >"$folder/log" 2>&1 || { tail -n 40 "$folder/log" >&2; exit 1; }
else
	if [ "$*" != "$(cat "$root/.complete" 2>/dev/null)" ]; then
		rm -rf "$root"
		image/suite.sh sources "$suite" >"build/deb/$suite.sources"
		include=build-essential,debhelper
		for package; do include=$include,${package%%|*}; done
		mmdebstrap --mode=root --variant=apt --quiet --include="$include" \
			--aptopt='Apt::Install-Recommends "false"' "$suite" "$root" "build/deb/$suite.sources"
		echo "$*" >"$root/.complete"
	fi
	rm -rf "$root/build"
	cp -a "$folder" "$root/build"
	# A mount namespace of its own: /proc is gone with it.
	unshare --mount --fork sh -c "mount -t proc proc '$root/proc' &&
		exec chroot '$root' sh -c 'cd /build/$tree && $build'" >"$folder/log" 2>&1 </dev/null ||
		{ tail -n 40 "$folder/log" >&2; exit 1; }
	find "$root/build" -maxdepth 1 -type f ! -name log -exec cp -t "$folder" {} +
	rm -rf "$root/build"
fi
rm -rf "${folder:?}/$tree"
lintian --fail-on error,warning --suppress-tags-from-file image/debian/lintian-reasons "$folder"/*.changes
ls "$folder"/*.deb
