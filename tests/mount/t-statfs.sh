#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# df: sizes make sense, writing takes from free, deleting gives back.
. "$(dirname "$0")/lib.sh"

pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,size=300M" "hdd:path=$T/hdd,size=400M"
pool_mount
free() { stat -f -c '%a * %S' "$M" | { read -r e; echo $((e)); }; }
total() { stat -f -c '%b * %S' "$M" | { read -r e; echo $((e)); }; }
[ "$(total)" -gt $((500 << 20)) ] && [ "$(total)" -lt $((800 << 20)) ] || fail "total $(total) for 300M + 400M (+ 64M)"
[ "$(free)" -le "$(total)" ] || fail "free $(free) of $(total)"
before=$(free)
head -c $((50 << 20)) /dev/urandom >"$M/file"
terrace sync "$M"
for i in $(seq 1 10); do # what was appended while the media were asked counts twice until they are asked again
	after=$(free)
	[ $((before - after)) -gt $((60 << 20)) ] || break
	sleep 0.2
done
[ $((before - after)) -ge $((45 << 20)) ] && [ $((before - after)) -le $((60 << 20)) ] || fail "50 MiB took $((before - after))"
rm "$M/file"
terrace sync "$M"
for i in $(seq 1 20); do
	[ $((before - $(free))) -gt $((3 << 20)) ] || break
	sleep 0.2
done
[ "$i" -lt 20 ] || fail "$((before - $(free))) bytes did not come back"
[ "$(stat -f -c %T "$M")" = fuseblk ] || [ "$(findmnt -no FSTYPE "$M")" = fuse.terracefs ] || fail "type $(findmnt -no FSTYPE "$M")"
[ "$(findmnt -no SOURCE "$M")" = "$POOL" ] || fail "source $(findmnt -no SOURCE "$M")"
pool_umount
