#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What is pinned to ram is served from memory while a scan of much more than the memory runs, after
# it was rewritten, moved, after a restart and after kill -9.
. "$(dirname "$0")/lib.sh"

misses() { stats '.tiers[0].misses'; }

# reads FILE: how many blocks of it came from a medium; past the kernel's cache.
reads() {
	local before
	before=$(misses)
	dd if="$1" of="$T/read" bs=1M iflag=direct status=none
	cmp -s "$T/read" "$T/want" || fail "$1 is not what was written"
	echo $(($(misses) - before))
}

# scan: twice as much as the memory, twice
scan() {
	local file
	for file in "$M"/large/* "$M"/large/*; do
		dd if="$file" of=/dev/null bs=1M iflag=direct status=none
	done
}

# resident BYTES: waits until that much is pinned, with nothing missing.
resident() {
	local i
	for i in $(seq 1 100); do
		[ "$(stats '.tiers[0].pinned')" != "$1" ] || [ "$(stats '.tiers[0].unpinned')" != 0 ] || return 0
		sleep 0.1
	done
	fail "$(stats '.tiers[0] | "pinned \(.pinned), of them unpinned \(.unpinned)"') instead of $1"
}

pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=lz4" "hdd:path=$T/hdd,codec=zstd:1"
pool_mount
head -c 8M /dev/urandom >"$T/want"
mkdir "$M/hot" "$M/large"
cp "$T/want" "$M/hot/file"
for i in $(seq 1 16); do head -c 8M /dev/urandom >"$M/large/$i"; done
terrace sync "$M"
reads "$M/hot/file" >/dev/null
scan
[ "$(reads "$M/hot/file")" -gt 100 ] || fail "not pinned, and the scan did not push it out: no test"

terrace pin ram "$M/hot"
resident 8388608
scan
[ "$(reads "$M/hot/file")" = 0 ] || fail "pinned, and read from the disk after a scan"
[ "$(attribute resident "$M/hot/file")" = 8388608 ] || fail "resident: $(attribute resident "$M/hot/file")"
terrace where -r "$M/hot" >"$T/where"
grep -q 'pinned in memory: 8' "$T/where" || fail "$(cat "$T/where")"
[ "$(attribute tier "$M/hot/file")" = ssd ] || fail "the pin moved it: $(attribute tier "$M/hot/file")"

# rewritten, and a second file beside it
head -c 8M /dev/urandom >"$T/want"
cp "$T/want" "$M/hot/file"
cp "$T/want" "$M/hot/second"
terrace sync "$M"
resident 16777216
scan
[ "$(reads "$M/hot/file")" = 0 ] || fail "rewritten, and read from the disk"
[ "$(reads "$M/hot/second")" = 0 ] || fail "new in the pinned folder, and read from the disk"

pool_remount
resident 16777216
scan
[ "$(reads "$M/hot/file")" = 0 ] || fail "not resident after a mount"
pool_kill
pool_mount
resident 16777216
[ "$(reads "$M/hot/file")" = 0 ] || fail "not resident after kill -9"

# moved, it is still resident; deleted or without its pin, it is not
terrace demote --to hdd "$M/hot/file" >/dev/null
resident 16777216
scan
[ "$(reads "$M/hot/file")" = 0 ] || fail "moved, and read from the disk"
rm "$M/hot/second"
resident 8388608
terrace unpin "$M/hot"
resident 0

# more than there is room for: as much as goes, and it is said
terrace pin ram "$M/large"
for i in $(seq 1 100); do
	[ "$(stats '.tiers[0].unpinned')" = 0 ] || break
	sleep 0.1
done
[ "$(stats '.tiers[0].unpinned > 80000000')" = true ] || fail "$(stats '.tiers[0]')"
for i in $(seq 1 50); do
	! grep -q 'pinned to memory' "$LOG" || break
	sleep 0.2
done
grep -q 'pinned to memory' "$LOG" || fail "nobody was told"
pool_umount
