#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# A mount point that is, contains or lies in one of the pool's own folders is refused, by any name it has: the
# daemon would wait for itself.
. "$(dirname "$0")/lib.sh"

mkdir -p "$T/in/hdd" "$T/ram" "$T/m/meta"
mount -t tmpfs tmpfs "$T/ram"
mkdir "$T/ram/base"
pool_new "ram:path=$T/ram/base,size=64M" "ssd:path=$T/ssd" "hdd:path=$T/in/hdd"
mkdir "$T/ssd/below" "$T/bound"
ln -s "$T/in" "$T/link"
mount --bind "$T/ssd" "$T/bound"

hides() { # RELATION FOLDER
	refused 1 ": the mount point $1.*mount at another folder" terracefs "$POOL" "$2" -f
	if mountpoint -q "$2" && [ "$2" != "$T/bound" ] && [ "$2" != "$T/ram" ]; then fail "mounted on $2"; fi
}
hides "is the tier directory $T/ssd" "$T/ssd"
hides "is the tier directory $T/ssd" "$T/bound"
hides "lies in the tier directory $T/ssd" "$T/ssd/below"
hides "lies in the tier directory $T/ssd" "$T/ssd/meta"
hides "contains the tier directory $T/in/hdd" "$T/in"
hides "contains the tier directory $T/in/hdd" "$T/link"
hides "is or contains the RAM tier's $T/ram/base" "$T/ram"
hides "is or contains the RAM tier's $T/ram/base" "$T/ram/base"
mv "$T/ssd/meta" "$T/m/meta/own"
config_set meta "$T/m/meta/own"
hides "contains the metadata's folder $T/m/meta/own" "$T/m"
hides "is the metadata's folder $T/m/meta/own" "$T/m/meta/own"

# beside them is as good as anywhere
mkdir "$T/ram/base/beside"
for M in "$T/ram/base/beside" "$T/mnt"; do
	pool_mount
	echo here >"$M/file"
	pool_umount
done
pool_mount
pool_kill
hides "is the RAM folder $T/ram/base/terrace-" "$(echo "$T/ram/base/terrace-"*)"
pool_mount
pool_umount
