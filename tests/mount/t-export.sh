#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# terrace export: all files from the tiers' directories without mounting; with a tier missing, what lived
# elsewhere, and a line for what did not; by a copy when the metadata is gone, with what went down after it; by
# number when there is no copy either.
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
[ ! -e "$T/out" ] || fail "the folder was made for nothing"
pool_umount
find "$T/ssd" "$T/hdd" -printf '%p %s %T@\n' | sort >"$T/before"

terrace export "$POOL" "$T/out" >"$T/said"
same_tree "$T/tree" "$T/out"
[ "$(du -k "$T/out/odd/hole" | cut -f 1)" -lt 1024 ] || fail "the hole is filled"
refused 1 'is not empty' terrace export "$POOL" "$T/out"
find "$T/ssd" "$T/hdd" -printf '%p %s %T@\n' | sort | diff "$T/before" - || fail "the pool was changed"

# export only reads: media that are mounted for reading will do
mount --bind "$T/ssd" "$T/ssd"
mount --bind "$T/hdd" "$T/hdd"
mount -o remount,bind,ro "$T/ssd"
mount -o remount,bind,ro "$T/hdd"
rm -r "$T/out"
terrace export "$POOL" "$T/out" >"$T/said" 2>&1 || fail "from read-only media: $(cat "$T/said")"
same_tree "$T/tree" "$T/out"
umount "$T/ssd" "$T/hdd"

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

# what went down after the copy is on the hdd, and comes out with it
head -c 100000 /dev/urandom >"$T/late"
pool_mount
cp "$T/late" "$M/late"
cp "$T/late" "$M/promised"
pool_remount # a copy
move_all demote hdd
terrace sync "$M"
ino=$(stat -c %i "$M/promised")
dd if="$T/late" of="$M/promised" bs=1000 count=1 seek=2 conv=notrunc status=none # newer bytes in the middle
cp "$M/promised" "$T/promised"
terrace sync "$M"
move_all demote hdd
pool_kill
mv "$T/ssd" "$T/gone"
rm -r "$T/out"
status=0
terrace export "$POOL" "$T/out" >"$T/said" 2>"$T/err" || status=$?
[ "$status" -eq 1 ] || fail "exit code $status: $(cat "$T/said" "$T/err")"
grep -q '^newer: .* bytes were written or moved after that copy' "$T/said" || fail "$(cat "$T/said")"
cmp "$T/promised" "$T/out/promised"
cmp "$T/late" "$T/out/late"
[ ! -e "$T/hdd/segments.newer" ] || fail "the pool was changed"

# no copy either
mv "$T/hdd/metadata" "$T/gone"
rm -r "$T/out"
status=0
terrace export "$POOL" "$T/out" >"$T/said" 2>"$T/err" || status=$?
[ "$status" -eq 1 ] || fail "exit code $status: $(cat "$T/said" "$T/err")"
grep -q '^missing: all names, ' "$T/said" || fail "$(cat "$T/said")"
grep -q '^missing: 1 directory of a tier, see above$' "$T/said" || fail "$(cat "$T/said")"
cmp "$T/promised" "$T/out/objects/$ino"
[ "$(find "$T/out/objects" -type f | wc -l)" -gt 100 ] || fail "few objects"
sha256sum "$T"/out/objects/* | cut -d' ' -f1 | sort -u >"$T/sums"
find "$T/tree/real" -type f -size +0 -exec sha256sum {} + | cut -d' ' -f1 | sort -u | comm -23 - "$T/sums" >"$T/lost"
[ ! -s "$T/lost" ] || fail "$(wc -l <"$T/lost") files did not come out"
[ "$(ls -A "$T/out")" = objects ] || fail "there is more: $(ls -A "$T/out")"
rm -r "$T/out"
status=0
terrace export --json "$POOL" "$T/out" >"$T/json" 2>/dev/null || status=$?
[ "$status" -eq 1 ] || fail "exit code $status of --json"
jq -e '.by_number and .bytes > 1000000' "$T/json" >/dev/null || fail "$(cat "$T/json")"

# and of a frame that is damaged the range is a hole, not what it was before
python3 - "$T"/hdd/segments/*/*.seg <<'PY'
import os, sys
path = max(sys.argv[1:], key=os.path.getsize)
with open(path, "r+b") as f:
    for at in range(os.path.getsize(path) // 2, os.path.getsize(path), 1 << 16):
        f.seek(at)  # one place may be what a frame that has gone left, or a header
        f.write(os.urandom(64))
PY
rm -r "$T/out"
status=0
terrace export "$POOL" "$T/out" >"$T/said" 2>"$T/err" || status=$?
[ "$status" -eq 1 ] || fail "exit code $status"
grep -qE '^missing: /objects/[0-9]+: [0-9]+ bytes at [0-9]+$' "$T/said" || fail "$(cat "$T/said")"
