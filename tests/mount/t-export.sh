#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# terrace export: all files from the tiers' directories without mounting; with a tier missing, what lived
# elsewhere, and a line for what did not; by a copy when the metadata is gone.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
make_tree "$T/tree"
cp -a "$T/tree/." "$M/"
setfacl -m u:1234:rwx -d -m g:4321:rx "$T/tree/locked" "$M/locked"
move_all demote hdd
head -c 2M /dev/urandom >"$T/tree/hot"
cp -a "$T/tree/hot" "$M/hot"
evil=$'li\nne\xff' # of two lines, and not UTF-8
cp "$T/tree/hot" "$T/tree/$evil"
cp -a "$T/tree/$evil" "$M/$evil"
printf 'small and synced' >"$T/tree/synced"
cp -a "$T/tree/synced" "$M/synced"
touch -r "$M" "$T/tree"
refused 75 'in use' terrace export "$POOL" "$T/out"
rmdir "$T/out"
pool_umount
find "$T/ssd" "$T/hdd" -printf '%p %s %T@\n' | sort >"$T/before"

terrace export "$POOL" "$T/out" >"$T/said"
same_tree "$T/tree" "$T/out"
[ "$(du -k "$T/out/odd/hole" | cut -f 1)" -lt 1024 ] || fail "the hole is filled"
refused 1 'is not empty' terrace export "$POOL" "$T/out"
find "$T/ssd" "$T/hdd" -printf '%p %s %T@\n' | sort | diff "$T/before" - || fail "the pool was changed"

# the fast tier is gone, with the metadata
mv "$T/ssd" "$T/gone"
rm -r "$T/out"
status=0
terrace export "$POOL" "$T/out" >"$T/said" 2>"$T/err" || status=$?
[ "$status" -eq 1 ] || fail "exit code $status: $(cat "$T/said" "$T/err")"
grep -q '^missing: /hot: ' "$T/said" || fail "$(cat "$T/said")"
grep -qF 'missing: /li\nne\377: ' "$T/said" || fail "$(cat "$T/said")"
grep -q 'by the copy ' "$T/said"
rm "$T/out/$evil" "$T/tree/$evil" "$T/out/hot" "$T/out/synced" "$T/tree/hot" "$T/tree/synced"
touch -r "$T/out" "$T/tree"
same_tree "$T/tree" "$T/out"
terrace export --json "$POOL" "$T/out2" >"$T/json" 2>/dev/null || status=2
[ "$status" -eq 2 ] || fail "exit code 0 with files missing"
jq -e '.copy and .directories_missing == 1 and .missing[0].length > 0' "$T/json" >/dev/null
jq -e 'any(.missing[]; .path | startswith("/li\nne"))' "$T/json" >/dev/null || fail "$(cat "$T/json")"
mv "$T/gone" "$T/ssd"

# the daemon died: what was synced is there
rm -r "$T/out"
pool_mount
head -c 100000 /dev/urandom >"$T/late"
cp "$T/late" "$M/late"
terrace sync "$M"
pool_kill
terrace export "$POOL" "$T/out" >"$T/said"
cmp "$T/late" "$T/out/late"
grep -q 'not closed in order' "$T/said" || fail "$(cat "$T/said")"
pool_mount
pool_umount
