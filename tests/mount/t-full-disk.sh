#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The disk under each directory full: errors, no hang, nothing lost, and it goes on after.
. "$(dirname "$0")/lib.sh"

small_disk() { # NAME SIZE
	truncate -s "$2" "$T/$1.image"
	mkfs.ext4 -q -m 0 "$T/$1.image"
	mkdir "$T/$1"
	mount -o loop "$T/$1.image" "$T/$1"
}
fill_up() { dd if=/dev/zero of="$1/filler" bs=64K status=none 2>/dev/null || true; }
small_disk fast 128M
small_disk slow 128M
pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/fast,segment=4M" "hdd:path=$T/slow,segment=4M"
pool_mount
head -c 8M /dev/urandom >"$T/piece"
cp "$T/piece" "$M/first"
terrace sync "$M"

fill_up "$T/slow" # hdd: demotion cannot, and says so
status=0
timeout 60 terrace demote --to hdd "$M/first" >"$T/said" 2>&1 || status=$?
[ "$status" -eq 1 ] || fail "demoting to a full disk: $status: $(cat "$T/said")"
grep -q "job [0-9]*: tier hdd has no room for all of it: make some" "$T/said" || fail "demoting to a full disk said: $(cat "$T/said")"
cmp "$T/piece" "$M/first"
rm "$T/slow/filler"
for i in $(seq 1 30); do # a folder that failed is left alone for a while
	if terrace demote --to hdd "$M/first" >/dev/null 2>&1; then break; fi
	sleep 1
done
[ "$(attribute tier "$M/first")" = hdd ] || fail "still not moved"

fill_up "$T/fast" # ssd, and the metadata with it
written=
for i in $(seq 1 20); do
	if timeout 60 dd if="$T/piece" of="$M/more-$i" bs=1M conv=fsync status=none 2>"$T/err"; then
		written="$written $i"
	else
		[ $? -ne 124 ] || fail "hangs with a full disk"
		grep -q 'No space left' "$T/err" || fail "$(cat "$T/err")"
		break
	fi
done
for i in first $(printf 'more-%s ' $written); do cmp "$T/piece" "$M/$i"; done
fill_up "$T/slow"
terrace status "$M" | grep -qE '^full: .* can still be written; delete' || fail "not said to be full: $(terrace status "$M")"
rm "$T/slow/filler"
timeout 20 ls -lR "$M" >/dev/null || fail "ls hangs or fails"
pool_kill
rm "$T/fast/filler"
pool_mount
for i in first $(printf 'more-%s ' $written); do cmp "$T/piece" "$M/$i"; done
timeout 60 dd if="$T/piece" of="$M/after" bs=1M conv=fsync status=none
cmp "$T/piece" "$M/after"
pool_umount
