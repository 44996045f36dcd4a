#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# replicas = 2: flipped bytes are answered from the other copy and mended; a directory that is
# deleted while in use costs no read and no write, and `terrace run` makes all of it good; so does a
# copy that is missing at the mount; evacuating and taking out a directory.
. "$(dirname "$0")/lib.sh"

full() { stats '.replicas.missing_segments == 0 and .replicas.lost_places == 0 and .replicas.bad_frames == 0' >/dev/null; }
moves() { # VERB...: it may have nothing to move
	local status=0
	terrace "$@" >"$T/out" 2>&1 || status=$?
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || fail "terrace $1 ended with $status: $(cat "$T/out")"
}
run() { moves run --progress=off "$M"; }
# every segment file of the hdd in two of its directories, and the same in both
mirrored() {
	(cd "$T" && find "$@" -name '*.seg' -printf '%f\n') | sort | uniq -c | awk '$1 != 2 { print; bad = 1 } END { exit bad }' >"$T/out" ||
		fail "not in two directories: $(cat "$T/out")"
}
compare() {
	diff -r --no-dereference /usr/include/linux/netfilter "$M/linux" >"$T/out" 2>&1 || fail "the tree: $(head -3 "$T/out")"
	cmp "$T/content" "$M/big" || fail "$1"
}

mkdir -p "$T/d1" "$T/d2" "$T/d3"
pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=lz4" \
	"hdd:path=$T/d1,path=$T/d2,path=$T/d3,codec=zstd:3,replicas=2"
pool_mount
# making an empty directory again is something done
rm -rf "$T/d3"
terrace run --progress=off "$M" >"$T/out" 2>&1 || fail "run: $? $(cat "$T/out")"
grep -q '^made 1 directory again that had been deleted$' "$T/out" || fail "run: $(cat "$T/out")"
[ -e "$T/d3/terrace.tier" ] || fail "an empty directory was not made again"
head -c 3M /dev/urandom >"$T/content"
cp "$T/content" "$M/big"
cp -a /usr/include/linux/netfilter "$M/linux"
terrace demote --to hdd "$M" >/dev/null
terrace sync "$M"
full || fail "$(stats .replicas)"
mirrored d1 d2 d3
terrace usage "$M" | grep -q '^Replicas' || fail "$(terrace usage "$M")"
pool_umount

# bit rot in one copy of some frames, in each directory
for d in d1 d2; do
	python3 - "$T/$d" "$T/content" <<'PY'
import pathlib, sys
content, flipped = open(sys.argv[2], "rb").read(), 0
for path in pathlib.Path(sys.argv[1], "segments").rglob("*.seg"):
    data = bytearray(path.read_bytes())
    for at in range(0, len(content), 1 << 19):
        where = data.find(content[at : at + 64])
        if where >= 0:
            data[where + 20] ^= 1
            flipped += 1
    path.write_bytes(data)
sys.exit(not flipped)
PY
	pool_mount
	compare "after damage in $d"
	pool_umount
	pool_mount
	terrace scrub --progress=off "$M" >"$T/out" 2>&1 || fail "scrub: $(cat "$T/out")"
	[ "$(stats .scrub.mended)" -gt 0 ] || fail "the scrub found nothing in $d"
	full || fail "after damage in $d: $(stats .replicas)"
	compare "mended in $d"
	pool_umount
	pool_mount
	terrace scrub --progress=off "$M" >"$T/out" 2>&1 || fail "scrub: $(cat "$T/out")"
	[ "$(stats .scrub.mended)" -eq 0 ] || fail "it was not mended"
	pool_umount
done

# each directory in turn is deleted while files are read and written
pool_mount
for d in d1 d2 d3; do
	(while [ -e "$T/go" ]; do cmp "$T/content" "$M/big" || exit 1; done) &
	reader=$!
	touch "$T/go"
	rm -rf "${T:?}/$d"
	for i in 1 2; do
		cp "$T/content" "$M/copy$i"
		terrace demote --to hdd "$M/copy$i" >/dev/null || fail "a write failed while $d was gone"
		sync "$M/copy$i"
	done
	compare "with $d gone"
	rm "$T/go"
	wait "$reader" || fail "a read failed while $d was gone"
	run
	full || fail "$d was deleted: $(stats .replicas)"
	[ -e "$T/$d/terrace.tier" ] || fail "$d was not made again"
	terrace sync "$M"
	mirrored d1 d2 d3
	for i in 1 2; do cmp "$T/content" "$M/copy$i"; done
	rm "$M"/copy*
	terrace sync "$M"
done
grep -q 'd2 had been deleted and has been made again' "$LOG" || fail "the log does not tell"
pool_kill

# a segment's file is missing at the mount
find "$T/d1" -name '*.seg' -delete
pool_mount
compare "with files missing"
terrace status "$M" | grep -q '^replicas: .* too few' || fail "$(terrace status "$M")"
run
full || fail "files were missing: $(stats .replicas)"
mirrored d1 d2 d3

# a directory is taken out
moves evacuate "$T/d3" "$M"
terrace config remove hdd "$T/d3" "$M" >/dev/null || fail "config remove"
run
full || fail "d3 was taken out: $(stats .replicas)"
mirrored d1 d2
compare "with d3 taken out"
pool_umount
pool_mount
compare "mounted again"
pool_umount
terrace check "$POOL" >"$T/out" || fail "check: $(cat "$T/out")"
