#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A RAM tier's folder that is full or too small: an error at the mount, never SIGBUS.
. "$(dirname "$0")/lib.sh"

mkdir "$T/tmpfs"
mount -t tmpfs -o size=24M tmpfs "$T/tmpfs"
pool_new "ram:path=$T/tmpfs,size=64M" "ssd:path=$T/ssd" "hdd:path=$T/hdd"
pool_mount # less room than the tier's limit: works with what there is
head -c 60M /dev/urandom >"$T/content"
timeout 120 cp "$T/content" "$M/file"
cmp "$T/content" "$M/file"
pool_umount
dd if=/dev/zero of="$T/tmpfs/filler" bs=4K status=none 2>/dev/null || true
refused "1" "$T/tmpfs|[Nn]o space" terracefs "$POOL" "$M" -f
rm "$T/tmpfs/filler"
pool_mount
cmp "$T/content" "$M/file"
dd if=/dev/zero of="$T/tmpfs/filler" bs=4K status=none 2>/dev/null || true # full while mounted
timeout 60 sh -c "cp '$T/content' '$M/second'" 2>"$T/err" || { [ $? -ne 124 ] || fail "hangs with a full tmpfs"; }
kill -0 "$PID" || fail "the daemon died"
cmp "$T/content" "$M/file"
rm "$T/tmpfs/filler"
cp "$T/content" "$M/third"
cmp "$T/content" "$M/third"
pool_umount
