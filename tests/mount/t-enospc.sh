#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A full pool: the writer hears it, nothing hangs or is damaged, deleting helps.
. "$(dirname "$0")/lib.sh"

pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,size=160M,segment=4M" "hdd:path=$T/hdd,size=96M,segment=4M"
pool_mount
head -c 16M /dev/urandom >"$T/piece"
kept=0
heard=
for i in $(seq 1 30); do
	if timeout 60 dd if="$T/piece" of="$M/file-$i" bs=1M conv=fsync status=none 2>"$T/err"; then
		kept=$i
	else
		[ $? -ne 124 ] || fail "hangs when full"
		grep -q 'No space left' "$T/err" || fail "$(cat "$T/err")"
		heard=$i
		break
	fi
done
[ -n "$heard" ] || fail "480 MiB went into 256 MiB"
[ "$kept" -ge 8 ] || fail "full after $kept files of 16 MiB"
for i in $(seq 1 "$kept"); do cmp "$T/piece" "$M/file-$i"; done
timeout 60 rm "$M/file-$heard"
# small things: an error or success, no hang, and what succeeded is there
for i in $(seq 1 50); do
	if timeout 20 sh -c "echo small-$i >'$M/small-$i' && sync '$M/small-$i'" 2>/dev/null; then
		[ "$(cat "$M/small-$i")" = "small-$i" ] || fail "small-$i was accepted and is gone"
	else
		[ $? -ne 124 ] || fail "hangs when full"
	fi
done
timeout 60 terrace run "$M" >/dev/null 2>&1 || [ $? -ne 124 ] || fail "run hangs when full"
pool_kill
pool_mount
for i in $(seq 1 "$kept"); do cmp "$T/piece" "$M/file-$i"; done
timeout 60 rm "$M"/file-[1-4]
terrace sync "$M"
timeout 60 terrace run "$M" >/dev/null 2>&1 || [ $? -ne 124 ] || fail "run hangs"
for i in $(seq 1 20); do
	if timeout 60 dd if="$T/piece" of="$M/again" bs=1M conv=fsync status=none 2>"$T/err"; then break; fi
	sleep 0.3
done
[ "$i" -lt 20 ] || fail "16 MiB do not go in after 64 MiB were removed: $(cat "$T/err")"
cmp "$T/piece" "$M/again"
for i in $(seq 5 "$kept"); do cmp "$T/piece" "$M/file-$i"; done
# a large file's room is there as soon as it is gone, not only when the background has cut it down
rm -f "$M"/small-* "$M"/file-* "$M/again"
sync "$M"
timeout 60 head -c 170M /dev/urandom >"$M/large" || fail "170 MiB do not go into an empty pool of 256"
rm "$M/large"
timeout 60 head -c 170M /dev/urandom >"$M/large" || fail "what a large file took is not there for the next"
rm "$M/large"
pool_umount
