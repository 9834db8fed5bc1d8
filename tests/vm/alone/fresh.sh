#!/bin/sh
# A machine where no module is loaded, not even conntrack: its sysctls are not there before the rules that need them.
# The configuration is in force all the same.
if [ -e /proc/sys/net/netfilter/nf_conntrack_max ]; then
	echo "conntrack is loaded already"
	exit 1
fi
folder=$(mktemp -d)
mkdir "$folder/state" "$folder/run"
ip netns add fresh
for device in ens3 ens4; do
	ip -n fresh link add $device type veth peer name ${device}x
	ip -n fresh link set $device up
	ip -n fresh link set ${device}x up
done
ip netns exec fresh build/edged --config examples/edged.yaml --state-dir "$folder/state" --runtime-dir "$folder/run" \
	--foreground >"$folder/log" 2>&1 </dev/null &
tries=0
until ip netns exec fresh nft list chain inet edged forward >"$folder/rules" 2>/dev/null; do
	tries=$((tries + 1))
	if [ $tries = 300 ]; then
		cat "$folder/log"
		exit 1
	fi
	sleep 0.2
done
kill $!
wait
cat "$folder/log"
grep -q 'policy drop' "$folder/rules" && grep -q 'revision 1 by' "$folder/log"
