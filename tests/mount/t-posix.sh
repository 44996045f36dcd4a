#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# POSIX behaviour of data and names, case by case, quiet and while frames move.
. "$(dirname "$0")/lib.sh"

data='seek fallocate truncate huge mmap append copy_range rename_open unlinked locks direct'
names='rename_flags rename_rules times suid permissions names readdir seekdir statvfs xattrs hardlinks ioctl tmpfile'
pool_new
pool_mount
chmod 755 "$M"
bad=
round() {
	local case
	for case in $data; do
		mkdir "$M/$1-$case"
		"$HELPERS/posix_data" "$case" "$M/$1-$case" || bad="$bad $1:$case"
	done
	for case in $names; do
		mkdir "$M/$1-$case"
		"$HELPERS/posix_names" "$case" "$M/$1-$case" || bad="$bad $1:$case"
	done
}
round quiet
move_all demote hdd
while :; do
	terrace demote --to hdd "$M" || true
	terrace promote --to ssd "$M" || true
done >/dev/null 2>&1 &
mover=$!
round moving
kill "$mover"
wait "$mover" 2>/dev/null || true
[ -z "$bad" ] || fail "cases:$bad"
pool_umount
