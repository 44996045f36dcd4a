#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# terrace create refuses what cannot be, with one line, and leaves nothing behind.
# shellcheck disable=SC2086 # $create is several words
. "$(dirname "$0")/lib.sh"

create="terrace create --tier ram:path=$RAM,size=64M"
: >"$T/file"
refused "1" "$T/file" $create --tier "ssd:path=$T/file" "$POOL"
refused "1" "$T/nowhere/ssd" $create --tier "ssd:path=$T/nowhere/ssd" "$POOL"
refused "1" "$T/file/below" $create --tier "ssd:path=$T/file/below" "$POOL"
mkdir "$T/ssd" "$T/hdd" "$T/readonly"
mount --bind "$T/readonly" "$T/readonly"
mount -o remount,ro,bind "$T/readonly"
refused "1" "$T/readonly.*[Rr]ead-only" $create --tier "ssd:path=$T/readonly" "$POOL"
refused "1" "$T/readonly.*[Rr]ead-only" $create --tier "ssd:path=$T/ssd" --tier "hdd:path=$T/readonly" "$POOL"
refused "1 2" "size|10X" $create --tier "ssd:path=$T/ssd,size=10X" "$POOL"
refused "1 2" "colour" $create --tier "ssd:path=$T/ssd,colour=red" "$POOL"
refused "1 2" "codec|zip" $create --tier "ssd:path=$T/ssd,codec=zip" "$POOL"
refused "1 2" "ssd" $create --tier "ssd:path=$T/ssd" --tier "ssd:path=$T/hdd" "$POOL"
refused "1 2" "path|place" $create --tier "ssd" "$POOL"
refused "1 2" "ssd" $create --tier "ssd:path=$T/ssd" --tier "hdd:path=$T/ssd" "$POOL"
[ ! -e "$POOL" ] || fail "a config file was left behind"
[ -z "$(find "$T/ssd" "$T/hdd" "$RAM" -mindepth 1)" ] || fail "left behind: $(find "$T/ssd" "$T/hdd" "$RAM" -mindepth 1)"
$create --tier "ssd:path=$T/ssd" "$POOL" >/dev/null
# What nobody set has its default, and says so.
set=$(sed -n '/^\[pool\]/,/^\[tier/p' "$POOL" | grep -E '^[a-z_]+ *=' | grep -vE '^(uuid|metadata|meta) *=' || true)
[ -z "$set" ] || fail "set in a new pool: $set"
refused "1" "pool.conf.*exist|exist.*pool.conf" $create --tier "hdd:path=$T/hdd" "$POOL"
refused "1" "$T/ssd" $create --tier "hdd:path=$T/hdd" --tier "old:path=$T/ssd" "$T/other.conf"
mkdir "$T/ssd/segments/below"
ln -s "$T/ssd/segments" "$T/link"
refused "1" "$T/ssd/segments/below: lies in a directory of a pool: choose one outside" $create --tier "hdd:path=$T/ssd/segments/below" "$T/other.conf"
refused "1" "$T/link/below: lies in" $create --tier "hdd:path=$T/hdd" --tier "old:path=$T/link/below" "$T/other.conf"
refused "1" "$T/ssd/new: lies in" $create --tier "hdd:path=$T/ssd/new" "$T/other.conf"
[ ! -e "$T/ssd/new" ] || fail "a folder was left behind"
rmdir "$T/ssd/segments/below"
[ ! -e "$T/other.conf" ] || fail "a config file was left behind"
[ -z "$(find "$T/hdd" -mindepth 1)" ] || fail "left behind: $(find "$T/hdd" -mindepth 1)"
pool_mount # and the pool is unharmed
echo x >"$M/file"
$create --tier "ssd:path=$T/another" "$T/another.conf" >/dev/null
mkdir "$T/another/below"
refused "1" "$T/another/below: lies in a directory of a pool" terrace config add ssd "$T/another/below" "$M"
refused "1" "$T/ssd: already belongs to a pool" $create --tier "hdd:path=$T/ssd" "$T/other.conf"
if grep -q "remove" "$T/said"; then fail "advice that destroys the pool: $(cat "$T/said")"; fi
pool_umount
