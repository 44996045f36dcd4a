#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Missing tier, another pool's tier, two mounts of one pool: refused, nothing harmed.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
seq 1 100000 >"$M/file"
move_all demote hdd
refused "1 75" "mounted|use|busy" terracefs "$POOL" "$M" -f
mkdir "$T/second"
refused "1 75" "mounted|use|busy" terracefs "$POOL" "$T/second" -f
seq 1 100000 | cmp - "$M/file"
pool_umount

mv "$T/hdd" "$T/away"
refused "1" "$T/hdd" terracefs "$POOL" "$M" -f
mkdir "$T/hdd" # an empty folder: the disk is not mounted
refused "1" "$T/hdd" terracefs "$POOL" "$M" -f
[ -z "$(ls -A "$T/hdd")" ] || fail "something was written to an unmounted disk's folder"
rmdir "$T/hdd"

mkdir "$T/other-ssd" "$T/hdd"
terrace create --tier "ram:path=$RAM,size=64M" --tier "ssd:path=$T/other-ssd" --tier "hdd:path=$T/hdd" "$T/other.conf" >/dev/null
refused "1" "$T/hdd.*pool|pool.*$T/hdd" terracefs "$POOL" "$M" -f
mv "$T/hdd" "$T/other-hdd"

mv "$T/away" "$T/hdd"
mv "$T/ssd" "$T/ssd-away"
refused "1" "$T/ssd" terracefs "$POOL" "$M" -f
mv "$T/ssd-away" "$T/ssd"

mv "$T/ssd/meta" "$T/meta-away" # lost, or its disk is not mounted
for again in 1 2; do
	refused 1 "metadata.mdb: is missing: .*pool.conf; if it is lost, .terrace restore-metadata" terracefs "$POOL" "$M" -f
	[ "$again" -eq 2 ] || mkdir "$T/ssd/meta"
done
rmdir "$T/ssd/meta" # nothing was made there
mv "$T/meta-away" "$T/ssd/meta"

cp "$POOL" "$T/good" # the tiers' folders changed round
sed -i "s|$T/ssd\$|$T/swap|; s|$T/hdd\$|$T/ssd|; s|$T/swap\$|$T/hdd|" "$POOL"
if ! cmp -s "$POOL" "$T/good"; then refused "1" "$T/(ssd|hdd)" terracefs "$POOL" "$M" -f; fi
cp "$T/good" "$POOL"
pool_mount
seq 1 100000 | cmp - "$M/file"
pool_umount
