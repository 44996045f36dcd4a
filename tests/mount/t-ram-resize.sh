#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The RAM tier's size is changed while the pool is mounted: a smaller one is kept at once, the daemon
# gives its memory back, pins stay as far as they fit; a larger one is used. Sizes that cannot be are
# refused.
. "$(dirname "$0")/lib.sh"

rss() { awk '/^Rss(Anon|Shmem)/ { n += $2 } END { print n * 1024 }' "/proc/$PID/status"; }

# size SIZE BYTES: sets it, and waits until it is in force.
size() {
	local i
	sed -i "/^\[tier ram\]/,/^\[tier ssd/s/^size *=.*/size = $1/" "$POOL"
	kill -HUP "$PID"
	for i in $(seq 1 50); do
		[ "$(stats '.tiers[0].limit')" != "$2" ] || return 0
		sleep 0.1
	done
	fail "size $1, and the limit is $(stats '.tiers[0].limit')"
}

# used MOST: the tier takes no more; it may take a moment.
used() {
	local i
	for i in $(seq 1 50); do
		[ "$(stats '.tiers[0].used')" -gt "$1" ] || return 0
		sleep 0.1
	done
	fail "the RAM tier takes $(stats '.tiers[0].used') of $1"
}

# In small pieces: what is read in large ones goes past the tier the first time.
read_all() {
	local file
	for file in "$M"/file*; do
		dd if="$file" of=/dev/null bs=128k iflag=direct status=none
	done
}

pool_new "ram:path=$RAM,size=256M" "ssd:path=$T/ssd,codec=lz4"
pool_mount
for i in 1 2 3 4 5; do head -c 32M /dev/urandom >"$M/file$i"; done
terrace sync "$M"
terrace pin ram "$M/file1" >/dev/null
read_all
used 268435456
[ "$(stats '.tiers[0].cached > 150000000')" = true ] || fail "cached: $(stats '.tiers[0].cached')"
large=$(rss)

size 64M 67108864
used 67108864
for i in $(seq 1 50); do
	small=$(rss)
	[ "$small" -gt $((large - 100000000)) ] || break
	sleep 0.1
done
# sanitizers keep what was freed
is_flavor asan || is_flavor tsan || [ "$small" -le $((large - 100000000)) ] ||
	fail "the daemon took $large bytes and keeps $small"
for i in $(seq 1 50); do
	[ "$(stats '.tiers[0] | .pinned == 33554432 and .unpinned == 0')" != true ] || break
	sleep 0.1
done
before=$(stats '.tiers[0].misses')
dd if="$M/file1" of=/dev/null bs=128k iflag=direct status=none
[ "$(stats '.tiers[0].misses')" = "$before" ] || fail "the pinned file lost its place: $(stats '.tiers[0]')"
read_all
used 67108864

size 256M 268435456
read_all
[ "$(stats '.tiers[0].cached > 150000000')" = true ] || fail "cached: $(stats '.tiers[0].cached')"
echo "resident: $large, after the shrink $small, after growing again $(rss)"
pool_umount

mkdir "$T/other"
refused 2 'at least 16M' terrace create --tier "ram:path=$RAM,size=8M" --tier "ssd:path=$T/other" "$T/other.conf"
refused 1 'more than all memory' terrace create --tier "ram:path=$RAM,size=1000T" --tier "ssd:path=$T/other" "$T/other.conf"
