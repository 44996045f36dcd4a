#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Hard links stay links over mounts, kill -9 and moves.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
mkdir "$M/a" "$M/b"
head -c 500000 /dev/urandom >"$T/content"
cp "$T/content" "$M/a/one"
ln "$M/a/one" "$M/b/two"
ln "$M/a/one" "$M/three"
check() {
	[ "$(stat -c '%h %i' "$M/a/one")" = "$(stat -c '%h %i' "$M/b/two")" ] || fail "$1: not the same file"
	[ "$(stat -c %h "$M/three")" = "$2" ] || fail "$1: $(stat -c %h "$M/three") links instead of $2"
	cmp "$T/content" "$M/b/two"
}
check new 3
pool_remount
check "after a mount" 3
terrace demote --to hdd "$M/b/two" >/dev/null
check demoted 3
[ "$(attribute tier "$M/a/one")" = hdd ] || fail "one name of the file was moved, not the file"
echo more | tee -a "$T/content" >>"$M/three"
check appended 3
rm "$M/a/one"
ln "$M/three" "$M/a/one"
mv "$M/three" "$M/b/three"
ln "$M/b/three" "$M/three"
check renamed 4
pool_kill
pool_mount
check "after kill -9" 4
rm "$M/a/one" "$M/b/two" "$M/b/three"
cmp "$T/content" "$M/three"
[ "$(stat -c %h "$M/three")" = 1 ] || fail "links left"
pool_umount
