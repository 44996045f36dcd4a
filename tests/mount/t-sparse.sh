#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Scattered writes in a 10 GiB sparse file: right, small, and still so after a mount.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
truncate -s 10G "$M/sparse" "$T/twin"
for i in $(seq 1 60); do
	off=$((RANDOM * 32768 + RANDOM)) # up to 1 GiB, times ten below
	off=$((off * 10))
	head -c $((RANDOM * 3 + 1)) /dev/urandom >"$T/piece"
	for file in "$M/sparse" "$T/twin"; do
		dd if="$T/piece" of="$file" bs=64K seek="$off" oflag=seek_bytes conv=notrunc status=none
	done
done
same() { # by the twin's data ranges, and the holes by SEEK_DATA of both
	python3 "$(dirname "$0")/sparse-compare.py" "$T/twin" "$M/sparse"
}
same
[ $(($(stat -c %b "$M/sparse") * 512)) -lt 20000000 ] || fail "takes $(stat -c %b "$M/sparse") blocks"
pool_remount
same
move_all demote hdd
same
pool_umount
