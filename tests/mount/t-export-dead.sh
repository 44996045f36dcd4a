#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# terrace export after the daemon died: what the next mount shows, from media that are mounted for reading, and
# nothing changes. With the RAM tier's files gone, of another session or damaged it says so and gives what is on
# the tiers.
. "$(dirname "$0")/lib.sh"

pool_new
config_set commit_interval 1h # names stay in the journal's tail, data in the RAM log
pool_mount
make_tree "$T/tree"
cp -a "$T/tree/." "$M/"
terrace sync "$M"
move_all demote hdd

# all kinds of changes over what is in frames, and nothing synced behind them
change() { # FOLDER
	head -c 300000 "$T/noise" >"$1/late"
	dd if="$T/noise" of="$1/late" bs=1000 seek=7 count=20 conv=notrunc status=none
	cp "$T/noise" "$1/grown" && truncate -s 5M "$1/grown"
	cp "$T/noise" "$1/cut" && truncate -s 12345 "$1/cut" && truncate -s 50000 "$1/cut"
	fallocate -p -o 100000 -l 400001 "$1/stored"
	dd if="$T/noise" of="$1/stored" bs=4000 seek=40 count=3 conv=notrunc status=none
	truncate -s 900000 "$1/stored"
	cp "$T/noise" "$1/new" && mv "$1/new" "$1/replaced"
	rm "$1/gone"
	mkdir "$1/folder" && ln -s ../late "$1/folder/link" && ln "$1/late" "$1/folder/hard"
	setfattr -n user.word -v late "$1/late"
	chmod 640 "$1/stored" && chown 1234:4321 "$1/replaced"
	touch -d '2001-02-03 04:05:06.789' "$1/folder/hard"
}
head -c 1000000 /dev/urandom >"$T/noise"
for i in stored replaced gone; do
	cp "$T/noise" "$M/$i"
done
terrace sync "$M"
change "$M"
pool_kill
[ -n "$(find "$RAM" -name 'log.[0-9]*' -size +1M)" ] || fail "nothing is in the RAM tier"
facts() { find "$RAM" "$T/ssd" "$T/hdd" \( -type f -exec sha256sum {} + \) , -printf '%p %s %b %T@\n' | sort; }
facts >"$T/before"
for i in "$RAM" "$T/ssd" "$T/hdd"; do
	mount --bind "$i" "$i"
	mount -o remount,bind,ro "$i"
done
terrace export "$POOL" "$T/out" >"$T/said" 2>"$T/err" || fail "$(cat "$T/said" "$T/err")"
umount "$RAM" "$T/ssd" "$T/hdd"
facts | diff "$T/before" - || fail "the pool was changed"
grep -q 'writes .* taken from the RAM tier' "$T/said" || fail "$(cat "$T/said")"
cp -a "$RAM" "$T/ram.kept"
cp -a "$T/ssd" "$T/ssd.kept"
pool_mount
same_tree "$M" "$T/out"
[ "$(stat -c %s "$M/late" "$M/grown" "$M/cut" "$M/stored" | tr '\n' ' ')" = '300000 5242880 50000 900000 ' ]
[ "$(stat -c '%Y %h' "$T/out/late")" = "$(date -d '2001-02-03 04:05:06' +%s) 2" ] || fail "$(stat "$T/out/late")"
pool_umount

# the same folder, once more: of a session before the last one
cp -a "$T/ram.kept/." "$RAM/"
rm -r "$T/out"
terrace export "$POOL" "$T/out" >"$T/said" 2>"$T/err" || fail "$(cat "$T/said" "$T/err")"
! grep -q 'RAM tier' "$T/said" || fail "an old session's data was taken"
pool_mount
same_tree "$M" "$T/out"
pool_umount

back() { # the pool as the dead daemon left it
	rm -rf "$T/out" "$T/ssd"
	find "$RAM" -mindepth 1 -delete
	cp -a "$T/ssd.kept" "$T/ssd"
	cp -a "$T/ram.kept/." "$RAM/"
}

# without them: what a mount shows after a power loss
expect_missing() {
	local status=0
	terrace export "$POOL" "$T/out" >"$T/said" 2>"$T/err" || status=$?
	[ "$status" -eq 1 ] || fail "exit code $status: $(cat "$T/said" "$T/err")"
	grep -q '^missing: what only the RAM tier had' "$T/said" || fail "$(cat "$T/said")"
	same_tree "$T/out" "$T/lost"
}
back
find "$RAM" -mindepth 1 -delete
pool_mount
expect_busy=$(terrace export "$POOL" "$T/out" 2>&1) && fail "exported while mounted"
[[ $expect_busy == *'in use'* ]] || fail "$expect_busy"
cp -a "$M/." "$T/lost"
pool_umount
back
find "$RAM" -mindepth 1 -delete
expect_missing
back
printf x | dd of="$(find "$RAM" -name log.head)" bs=1 seek=50 conv=notrunc status=none
expect_missing
grep -q 'log.head: damaged' "$T/err" || fail "$(cat "$T/err")"
back
find "$RAM" -name 'log.[0-9]*' | while read -r i; do # in each the first record
	printf '\377' | dd of="$i" bs=1 seek=80 conv=notrunc status=none
done
expect_missing
grep -q 'damaged record' "$T/err" || fail "$(cat "$T/err")"
back
printf '\377\377\377\377' | dd of="$(find "$RAM" -name session)" bs=1 seek=44 conv=notrunc status=none
status=0
terrace export --json "$POOL" "$T/out" >"$T/json" 2>/dev/null || status=$?
[ "$status" -eq 1 ] || fail "exit code $status of --json"
jq -e '.unclean and .ram_missing and .ram_writes == 0' "$T/json" >/dev/null || fail "$(cat "$T/json")"
same_tree "$T/out" "$T/lost"
