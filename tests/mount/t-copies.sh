#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# Copies of the metadata: made while mounted and at the unmount, so many generations, in the other tiers' folders.
. "$(dirname "$0")/lib.sh"

copies() { find "$T/hdd/metadata" -name 'copy.*' 2>/dev/null | sort; }

pool_new
config_set metadata_copy_interval 1s
config_set checkpoint_interval 200ms
pool_mount
terrace status "$M" | grep -q '^metadata: not copied yet' || fail "$(terrace status "$M")"
for n in 1 2 3 4; do
	echo "$n" >"$M/file-$n"
	generation=$(stats .metadata_copies.generation)
	for _ in $(seq 1 100); do
		[ "$(stats .metadata_copies.generation)" -le "$generation" ] || break
		sleep 0.1
	done
	[ "$(stats .metadata_copies.generation)" -gt "$generation" ] || fail "no new copy after 10 s"
done
terrace status "$M" | grep -qE '^metadata: newest copy [0-9]+s old$' || fail "$(terrace status "$M")"
[ "$(stats .metadata_copies.directories)" -eq 1 ]
[ "$(copies | wc -l)" -eq 2 ] || fail "not two generations: $(copies)"
[ ! -e "$T/ssd/metadata" ] || fail "a copy beside the metadata itself"
before=$(copies | tail -n 1)
echo last >"$M/last"
pool_umount
after=$(copies | tail -n 1)
[ "$before" != "$after" ] || fail "no copy at the unmount"
[ "$(stat -c %a "$after")" -eq 600 ]
pool_mount
[ "$(stats .metadata_copies.generation)" -ge 5 ] || fail "the copies are not found again"
pool_umount

# a copy shows what was there when it was due, however rarely there are checkpoints
config_set checkpoint_interval 1h
pool_mount
echo important >"$M/doc"
terrace sync "$M"
synced=$(date +%s.%N)
for _ in $(seq 1 100); do
	! stats ".metadata_copies.time >= $synced" >"$T/said" || break
	sleep 0.1
done
pool_kill
find "$RAM" -mindepth 1 -delete
mv "$T/ssd/meta" "$T/away"
terrace restore-metadata --json "$POOL" >"$T/said"
jq -e ".time >= $synced" "$T/said" >/dev/null || fail "older than the sync: $(cat "$T/said")"
pool_mount
grep -qx important "$M/doc" || fail "a copy of after the sync does not show what was synced"
pool_umount
config_set metadata_copies 0
copies >"$T/had"
pool_mount
echo more >"$M/more"
pool_umount
copies | cmp - "$T/had" || fail "a copy that nobody wants"

# early, when much was moved
config_set metadata_copies 2
config_set metadata_copy_interval 36s
config_set metadata_copy_bytes 1M
pool_mount
head -c 3M /dev/urandom >"$M/large"
terrace sync "$M"
sleep 4
generation=$(stats .metadata_copies.generation)
move_all demote hdd
for _ in $(seq 1 60); do
	[ "$(stats .metadata_copies.generation)" -eq "$generation" ] || break
	sleep 0.1
done
[ "$(stats .metadata_copies.generation)" -gt "$generation" ] || fail "no copy after 3M were moved"
pool_umount
