#!/bin/sh
# Install the packages that are missing and make the system users. Does nothing,
# and asks for nothing, when all is there. Never starts a service: what apt would
# start (nginx, haproxy) is only wanted inside the lab's namespaces.
# usage: deps.sh SYSUSERS-FILE PACKAGE[|ALTERNATIVE]...
set -eu

sysusers=$1
shift

installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

known() {
	apt-cache show --no-all-versions "$1" >/dev/null 2>&1
}

any_installed() {
	for name in $(echo "$1" | tr '|' ' '); do
		if installed "$name"; then return 0; fi
	done
	return 1
}

first_known() {
	for name in $(echo "$1" | tr '|' ' '); do
		if known "$name"; then
			echo "$name"
			return 0
		fi
	done
	echo "${1%%|*}"
}

need_root() {
	if [ "$(id -u)" != 0 ]; then
		echo "deps: $1: run 'sudo make deps'" >&2
		exit 1
	fi
}

missing=
for package; do
	any_installed "$package" || missing="$missing $package"
done

if [ -n "$missing" ]; then
	need_root "these packages are missing:$missing"
	command -v apt-get >/dev/null || { echo "deps: no apt-get here; please install:$missing" >&2; exit 1; }
	export DEBIAN_FRONTEND=noninteractive
	apt-get -q update
	names=
	for package in $missing; do names="$names $(first_known "$package")"; done
	services=
	for service in nginx haproxy; do installed "$service" || services="$services $service"; done

	# policy-rc.d is what the packages' scripts ask before they start a service; 101: not allowed.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		trap 'rm -f "$policy"' EXIT
		trap 'exit 130' INT TERM HUP
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
	# shellcheck disable=SC2086 # a list of names
	RUNLEVEL=1 apt-get -q -y --no-install-recommends install $names

	# Nor at the next boot: we wanted the programs, not the machine's port 80.
	if [ -d /run/systemd/system ]; then
		for service in $services; do
			systemctl -q disable "$service" 2>/dev/null || true
			if systemctl -q is-active "$service"; then
				echo "deps: the service $service was started by its package; stopping it" >&2
				systemctl stop "$service"
			fi
		done
	fi
	for package in $missing; do
		any_installed "$package" || { echo "deps: $package could not be installed" >&2; exit 1; }
	done
fi

users=$(awk '$1 == "u" { print $2 }' "$sysusers")
groups=$(awk '$1 == "g" { print $2 }' "$sysusers")
absent=
for user in $users; do getent passwd "$user" >/dev/null || absent="$absent $user"; done
for group in $groups; do getent group "$group" >/dev/null || absent="$absent $group"; done
if [ -n "$absent" ]; then
	need_root "these system users and groups are missing:$absent"
	if command -v systemd-sysusers >/dev/null; then
		systemd-sysusers - <"$sysusers"
	else
		for group in $groups; do getent group "$group" >/dev/null || groupadd --system "$group"; done
		for user in $users; do
			getent passwd "$user" >/dev/null ||
				useradd --system --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin "$user"
		done
	fi
fi
