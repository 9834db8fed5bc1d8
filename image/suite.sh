#!/bin/sh
# Debian suites beside this machine's own, from the mirrors that apt is set up with.
# Everything stays in a folder; the machine's apt is only read.
# usage: suite.sh sources SUITE                  a sources file (deb822) for it
#        suite.sh download SUITE DIR PACKAGE...  fetch packages into DIR; a name of a meta package
#                                                ("linux-image-cloud-amd64") is followed to the real kernel
set -eu

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The archives' addresses, as apt is set up; needs no lists. archive "": the main one, archive -security: that one.
archive() {
	apt-get --print-uris update 2>/dev/null |
		sed -n "s#^'\(.*/\)dists/[a-z]*$1/InRelease'.*#\1#p" | grep '/debian' | head -n 1
}

sources() {
	main=$(archive "")
	security=$(archive -security)
	[ -n "$main" ] || { echo "suite.sh: apt has no Debian archive set up" >&2; exit 1; }
	printf 'Types: deb\nURIs: %s\nSuites: %s %s-updates\nComponents: main\nSigned-By: %s\n' \
		"$main" "$1" "$1" "$keyring"
	if [ -n "$security" ]; then
		printf '\nTypes: deb\nURIs: %s\nSuites: %s-security\nComponents: main\nSigned-By: %s\n' \
			"$security" "$1" "$keyring"
	fi
}

# apt with a state of its own under $1.
private_apt() {
	state=$1
	shift
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/parts"
	: >"$state/status"
	program=$1
	shift
	"$program" -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$state/parts" \
		-o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" \
		-o APT::Sandbox::User=root -o APT::Architecture=amd64 "$@"
}

download() {
	suite=$1
	folder=$2
	shift 2
	mkdir -p "$folder"
	folder=$(cd "$folder" && pwd)
	state=$folder/.apt
	mkdir -p "$state/parts"
	sources "$suite" >"$state/parts/suite.sources"
	private_apt "$state" apt-get update >"$state/log" 2>&1 || { cat "$state/log" >&2; exit 1; }
	for package; do
		real=$(private_apt "$state" apt-cache depends --important "$package" |
			awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }')
		(cd "$folder" && private_apt "$state" apt-get download "${real:-$package}")
	done
}

case ${1-} in
sources) sources "$2" ;;
download) shift; download "$@" ;;
*) sed -n '4,6s/^# //p' "$0" >&2; exit 2 ;;
esac
