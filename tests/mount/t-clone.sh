#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# copy_file_range shares extents: a copy costs next to nothing and is a file of its own.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
head -c 20000000 /dev/urandom >"$T/content"
cp "$T/content" "$M/first"
terrace sync "$M"
before=$(stats .stored)
[ "$before" -ge 19000000 ] || fail "stored is $before for 20 MB of random bytes"
cp "$M/first" "$M/second" # copy_file_range
terrace sync "$M"
after=$(stats .stored)
[ $((after - before)) -lt 1000000 ] || fail "a shared copy took $((after - before)) bytes"
cmp "$T/content" "$M/second"
cp --reflink=never "$M/first" "$M/third" # read and write
terrace sync "$M"
cmp "$T/content" "$M/third"
printf 'changed' | dd of="$M/second" bs=1 seek=5000000 conv=notrunc status=none
cmp "$T/content" "$M/first"
rm "$M/first"
terrace sync "$M"
cp "$T/content" "$T/changed"
printf 'changed' | dd of="$T/changed" bs=1 seek=5000000 conv=notrunc status=none
cmp "$T/changed" "$M/second"
pool_remount
cmp "$T/changed" "$M/second"
cp "$M/second" "$M/fourth"
pool_kill
pool_mount
cmp "$T/changed" "$M/fourth"
move_all demote hdd
cmp "$T/changed" "$M/second"
cmp "$T/changed" "$M/fourth"
rm "$M/second" "$M/fourth" "$M/third"
terrace sync "$M"
[ "$(stats .stored)" -lt 1000000 ] || fail "$(stats .stored) bytes stored with no file left"
pool_umount
