#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 in the middle of cp -a of a large real tree, at random moments, then power loss after
# terrace sync: the long version of t-kill-cp.sh and t-power-loss.sh.
#
#   tests/kill-loop.sh [ROUNDS|SECONDSs] [FILES]     default: 20 rounds, at least 20000 files
#
# TERRACE_BUILD names the build (default build/release). Prints how long each opening took.
TERRACE_BUILD=${TERRACE_BUILD:-$(cd "$(dirname "$0")/.." && pwd)/build/release}
. "$(dirname "$0")/mount/lib.sh"
. "$(dirname "$0")/mount/killcp.sh"
. "$(dirname "$0")/real-tree.sh"

rounds=${1:-20}
until=
case $rounds in
*s)
	until=$((SECONDS + ${rounds%s}))
	rounds=1000000
	;;
esac
pool_new "ram:path=$RAM,size=256M" "ssd:path=$T/ssd,codec=lz4" "hdd:path=$T/hdd,codec=zstd:3"
real_tree "$T/source" "${2:-20000}" 500
begin=$(date +%s%N)
pool_mount
mkdir "$M/undisturbed"
cp -a "$T/source/." "$M/undisturbed/"
terrace sync "$M"
seconds=$((($(date +%s%N) - begin) / 1000000))
echo "copy and sync without disturbance: $seconds ms"
pool_umount
for ((round = 1; round <= rounds; round++)); do
	[ -z "$until" ] || [ $SECONDS -lt "$until" ] || break
	after=$((RANDOM % seconds + 50))
	kill_cp_round "$T/source" "$round" "$((after / 1000)).$(printf %03d $((after % 1000)))"
	pool_mount
	if [ $((round % 5)) -eq 0 ]; then
		same_tree "$T/source" "$M/undisturbed"
		rm -rf "$M"/round-*
	fi
	pool_umount
done

echo "power loss after terrace sync"
for round in 1 2 3; do
	pool_mount
	rm -rf "$M/after"
	mkdir "$M/after"
	terrace sync "$M"
	cp -a "$T/source/." "$M/after/" 2>/dev/null &
	copier=$!
	sleep "$((RANDOM % 3)).$((RANDOM % 9))"
	pool_power_loss
	wait "$copier" || true
	pool_mount
	same_tree "$T/source" "$M/undisturbed"
	(cd "$M/after" && find . -type f -print0) | while IFS= read -r -d '' file; do
		# what was on its way is a beginning of the file, without bytes nobody wrote
		cmp -s "$T/source/$file" "$M/after/$file" ||
			cmp -n "$(stat -c %s "$M/after/$file")" "$T/source/$file" "$M/after/$file" ||
			fail "$file holds bytes nobody wrote"
	done
	pool_umount
done
echo "all there"
