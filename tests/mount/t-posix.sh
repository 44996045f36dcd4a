#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# POSIX behaviour, case by case: first on tmpfs, which proves the cases themselves, then on a quiet
# mount, on plain files, while frames move, with writeback=off, and with passthrough. (They pass on ext4 too, slowly where it discards.)
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || skip "needs root: the cases change users"
bad=
ran=0
round() { # NAME FOLDER SKIPPED-CASES
	local program case
	for program in "$HELPERS"/posix_*; do
		[ "${program##*/}" != posix_handles ] || continue
		for case in $("$program" list); do
			[[ " $3 " != *" $case "* ]] || continue
			mkdir "$2/$1-${program##*/}-$case"
			"$program" "$case" "$2/$1-${program##*/}-$case" || bad="$bad $1:${program##*/}:$case"
			ran=$((ran + 1))
		done
	done
}
# needs -o noatime and -o strictatime
own='noatime strictatime'
if is_flavor release; then
	chmod 755 "$RAM"
	round native "$RAM" "$own fallocate" # tmpfs cannot zero a range
	find "$RAM" -mindepth 1 -delete
fi
pool_new
pool_mount
chmod 755 "$M"
round quiet "$M" "$own"
mkdir "$M/plain-files"
setfattr -n user.terrace.layout -v plain "$M/plain-files"
round plain "$M/plain-files" "$own huge" # as large as the tier's filesystem lets it be
move_all demote hdd
while :; do
	terrace demote --to hdd "$M" || true
	terrace promote --to ssd "$M" || true
done >/dev/null 2>&1 &
mover=$!
round moving "$M" "$own relatime"
kill "$mover"
wait "$mover" 2>/dev/null || true
[ -z "$bad" ] || fail "cases:$bad"
pool_umount
for option in $own; do
	MOUNT_OPTIONS="-o $option"
	pool_mount
	mkdir "$M/$option"
	"$HELPERS/posix_times" "$option" "$M/$option" || fail "-o $option"
	pool_umount
done
if is_flavor release; then
	MOUNT_OPTIONS='-o writeback=off'
	pool_mount
	round through "$M" "$own"
	[ -z "$bad" ] || fail "cases with writeback=off:$bad"
	pool_umount
	MOUNT_OPTIONS='-o passthrough'
	pool_mount
	round passed "$M/plain-files" "$own huge"
	[ -z "$bad" ] || fail "cases with passthrough:$bad"
	pool_umount
fi
echo "$ran cases"
