#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Others take the disks while data waits in RAM: it is kept and readable, the daemon does not code it
# again and again, a full pool's fsync fails, and all of it goes once there is room.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fill.sh"

small_disk fast 96M
small_disk slow 96M
mkdir "$T/meta"
terrace create --meta "$T/meta/m" --tier "ram:path=$RAM,size=96M" \
	--tier "ssd:path=$T/fast,segment=4M,codec=lz4:12" \
	--tier "hdd:path=$T/slow,segment=4M,codec=zstd:12" "$POOL" >/dev/null
config_set commit_interval 1min # nothing goes by itself yet
pool_mount
head -c 20M /dev/urandom | base64 >"$T/piece"
echo old >"$M/replaced"
terrace sync "$M"
cp "$T/piece" "$M/waiting"
echo new >"$M/fresh"
seq 1 100 >"$M/small"
fill_up "$T/fast"
fill_up "$T/slow"
status=0
timeout 30 sync "$M/waiting" 2>/dev/null || status=$?
[ "$status" -eq 1 ] || fail "fsync of what has no place: $status"
cmp "$T/piece" "$M/waiting"
refused 75 'waits in RAM for room; delete something, or add a directory' terrace umount "$M"
mountpoint -q "$M" || fail "unmounted with data that has no place"
# a file that replaces another meanwhile: small enough for the journal, so others can be synced
mv "$M/fresh" "$M/replaced"
timeout 30 sync "$M/small" || fail "a small file cannot be synced"
pool_kill
config_set commit_interval 2s
pool_mount
expect_idle "27 MB wait for room"
cmp "$T/piece" "$M/waiting"
[ "$(grep -c 'No space left' "$LOG")" -lt 60 ] || fail "the log fills with it"
give_back "$T/slow"
for i in $(seq 1 60); do
	[ "$(stats '.tiers[0].live')" -ne 0 ] || break
	sleep 0.5
done
[ "$i" -lt 60 ] || fail "it does not go by itself"
give_back "$T/fast"
timeout 30 sync "$M/waiting"
pool_power_loss
pool_mount
cmp "$T/piece" "$M/waiting"
[ "$(cat "$M/replaced")" = new ] || fail "replaced: $(cat "$M/replaced")"
seq 1 100 | cmp - "$M/small"
pool_umount
