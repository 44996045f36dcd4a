#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# terrace restore-metadata: the fast tier's directory deleted, with all names in it; the metadata damaged; a copy
# that is older than the data. What is gone is an error, never other data.
. "$(dirname "$0")/lib.sh"

restore() { terrace restore-metadata "$@" "$POOL" >"$T/said" 2>&1 || { cat "$T/said" >&2; return 1; }; }

pool_new
pool_mount
make_tree "$T/tree"
cp -a "$T/tree/." "$M/"
move_all demote hdd
head -c 2M /dev/urandom >"$T/hot"
cp "$T/hot" "$M/hot"
refused 75 'in use' terrace restore-metadata "$POOL"
pool_umount
refused 3 'is sound' terrace restore-metadata "$POOL"

# the fast tier's directory is gone: a disk that is not mounted looks the same, so it must be said
rm -r "$T/ssd"
refused 1 'mount its disk; if it is gone for good' terrace restore-metadata "$POOL"
refused 2 'is not lost' terrace restore-metadata --lost "$T/hdd" --lost "$T/ssd" "$POOL"
terrace restore-metadata --dry-run --lost "$T/ssd" "$POOL" | grep -q '^would be restored from'
[ ! -e "$T/ssd" ] || fail "a dry run made the directory"
ln -s "$T/ssd" "$T/ssd" # neither there nor missing: it cannot be looked at
for lost in "" --lost="$T/ssd"; do
	refused 1 "$T/ssd: cannot be looked at, so it is not taken for lost" terrace restore-metadata $lost "$POOL"
done
rm "$T/ssd"
restore --lost "$T/ssd"
grep -qx 'lost: /hot: 2097152 bytes' "$T/said" && grep -q 'missing: 2097152 bytes' "$T/said" || fail "what is lost is not said: $(cat "$T/said")"
pool_mount
if cat "$M/hot" >/dev/null 2>&1; then fail "data of a tier that is gone was read"; fi
[ "$(stat -c %s "$M/hot")" -eq 2097152 ]
rm "$M/hot"
same_tree "$T/tree" "$M"
cp "$T/hot" "$M/hot-again"
pool_remount
cmp "$T/hot" "$M/hot-again"
rm "$M/hot-again"
pool_umount

# a page of the tree damaged: refused at the mount, restored, the damaged one kept
terrace restore-metadata --generation 99 "$POOL" >/dev/null 2>&1 && fail "a generation that is not there"
python3 - "$T/ssd/meta/metadata.mdb" <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(8192)
    n = len(f.read())
    f.seek(8192)
    f.write(b"\xee" * n)
PY
if terracefs "$POOL" "$M" -f >"$T/said" 2>&1; then fail "mounted with a damaged tree"; fi
grep -q 'terrace restore-metadata' "$T/said" || fail "$(cat "$T/said")"
cp "$T/ssd/meta/metadata.mdb" "$T/damaged"
mkdir "$T/ssd/meta/restoring" # of an attempt that died
cp "$T/damaged" "$T/ssd/meta/restoring/metadata.mdb"
head -c 4096 /dev/zero >"$T/ssd/meta/restoring/journal.tail"
restore
[ ! -e "$T/ssd/meta/restoring" ]
cmp "$T/damaged" "$T/ssd/meta/damaged-1/metadata.mdb"
pool_mount
same_tree "$T/tree" "$M"

# a copy older than the data: files deleted, moved, overwritten and written since. What was moved is there, what
# was overwritten is newer, and only what was deleted is lost.
mkdir "$M/new"
for n in 1 2 3 4 5; do head -c 700000 /dev/urandom >"$M/new/$n"; done
rm -r "$M/odd" "$M/real/linux/"[a-h]*
head -c 50000 /dev/urandom >"$T/part"
dd if="$T/part" of="$M/real/program" bs=1000 seek=20 conv=notrunc status=none
cp --attributes-only -p "$T/tree/real/program" "$M/real/program"
terrace sync "$M"
move_all promote ssd
move_all demote hdd
pool_umount
cp "$T/tree/real/program" "$T/program"
dd if="$T/part" of="$T/program" bs=1000 seek=20 conv=notrunc status=none
generation=$(find "$T/hdd/metadata" -name 'copy.*' | sort | head -n 1 | sed 's/.*copy\.//')
restore --generation $((16#$generation))
grep -q '^newer: /real/program: ' "$T/said" || fail "$(cat "$T/said")"
grep -q 'files made after that time, which have no name' "$T/said" || fail "$(cat "$T/said")"
if grep '^lost: ' "$T/said" | grep -vE '^lost: /(odd/|real/linux/[a-h]|locked/hard-2:)'; then fail "more is lost than was deleted"; fi
terrace check --deep "$POOL" >"$T/checked" || true
if grep -E '^C[0-9]' "$T/checked" | grep -vE '^C(209|308) '; then fail "the accounts of the pool do not hold"; fi
pool_mount
find "$M" -type f ! -path "$M/.terrace/*" -printf '%P\n' >"$T/files"
errors=0
while read -r f; do
	if cat "$M/$f" >"$T/got" 2>/dev/null; then
		cmp "$T/got" "$T/tree/$f" 2>/dev/null || { [ "$f" = real/program ] && cmp "$T/got" "$T/program"; } ||
			fail "$f shows other data"
	else
		grep -qF "lost: /$f: " "$T/said" || [ "$f" = odd/hard-1 ] || fail "$f is lost, and that was not said"
		errors=$((errors + 1))
	fi
done <"$T/files"
[ "$(wc -l <"$T/files")" -gt 100 ] || fail "the names of the copy are not there"
echo "$errors of $(wc -l <"$T/files") files cannot be read"
cp "$T/hot" "$M/hot"
[ "$(stat -c %i "$M/hot")" -gt $((1 << 32)) ] || fail "a number may be given out twice"
pool_remount
cmp "$T/hot" "$M/hot"
pool_umount
