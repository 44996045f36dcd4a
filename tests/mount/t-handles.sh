#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# File handles, which an NFS server gives to its clients, hold over cache drops, mounts, kill -9 and
# renames; those of deleted files are refused, also when the inode number is another file's now.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || skip "open_by_handle_at needs root"
pool_new
config_set commit_interval 1h
pool_mount
handles() { "$HELPERS/posix_handles" "$@"; }
cd "$M" || exit
mkdir -p d/e
for name in a d/b d/e/c gone; do printf %s "$name" >"$name"; done
ln -s a soft
terrace sync "$M"
handles save . . a d d/b d/e d/e/c soft >"$T/handles"
handles save . gone >"$T/gone"
grep -v ' soft$' "$T/handles" >"$T/opened" # a link has a handle but cannot be opened
still() {
	cd "$M" || exit
	handles open . text <"$T/opened" || fail "$1"
	rm -f gone
	handles open . stale <"$T/gone" || fail "$1: a deleted file"
	cd /
}
still "at once"
echo 2 >/proc/sys/vm/drop_caches
still "after a cache drop"
pool_remount
still "after a mount"
cd "$M" || exit
mv d/e/c c
mv d other
cd /
echo 2 >/proc/sys/vm/drop_caches
still "after renames"
pool_kill
pool_mount
still "after kill -9"

# A number that is given again, which takes a power loss that nothing was made durable before since
# the mount, not even by the pool itself: tried again when there was something.
pool_remount
for _ in 1 2 3 4 5 6 7 8; do
	echo lost >"$M/lost"
	inode=$(stat -c %i "$M/lost")
	(cd "$M" && handles save . lost) >"$T/gone"
	sleep 0.01
	pool_power_loss
	pool_mount
	echo new >"$M/new"
	again=$(stat -c %i "$M/new")
	[ "$again" != "$inode" ] || break
	rm "$M/new"
	pool_remount
done
[ "$again" = "$inode" ] || fail "number $inode was not given again: this shows nothing"
still "another file with its number"
pool_umount
