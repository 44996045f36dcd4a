#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Directories come and go while the pool is mounted; the configuration file follows.
. "$(dirname "$0")/lib.sh"

mkdir -p "$T/hdd2" "$T/hdd3"
pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=lz4,segment=4M" \
	"hdd:path=$T/hdd,codec=none,segment=4M"
sed -i 's/^\[tier hdd\]/# the slow ones\n&/' "$POOL"
pool_mount
paths() { stats '.tiers[2].paths | map(split("/") | last) | sort | join(" ")'; }

refused 1 "no such directory" terrace config add hdd "$T/nowhere" "$M"
refused 1 "overlap" terrace config add hdd "$T" "$M"
refused 1 "tier ssd already" terrace config add hdd "$T/ssd" "$M"
refused 1 "no such tier" terrace config add tape "$T/hdd2" "$M"
refused 2 "config add TIER DIR" terrace config add hdd
terrace config add -n hdd "$T/hdd2" "$M" | grep -q "would add"
refused 1 "$T/nowhere: No such file" terrace config add -n hdd "$T/nowhere" "$M"
[ "$(paths)" = hdd ] || fail "a dry run has added: $(paths)"

terrace config add hdd "$T/hdd2" "$M"
[ "$(paths)" = "hdd hdd2" ] || fail "paths: $(paths)"
grep -q "^# the slow ones" "$POOL" || fail "a comment has gone"
grep -q "^path = $T/hdd2\$" "$POOL" || fail "no line for the new directory"
refused 1 "already" terrace config add hdd "$T/hdd2" "$M"
terrace config "$M" | grep -q "open *$T/hdd2" || fail "$(terrace config "$M")"
terrace config show --json "$M" | jq -e '.tiers[2].places | length == 2' >/dev/null

head -c 40M /dev/urandom >"$T/piece"
cp "$T/piece" "$M/file"
move_all demote hdd
[ "$(disk_bytes "$T/hdd2/segments")" -gt 8000000 ] || fail "nothing went to the new directory"
cmp "$T/piece" "$M/file"

# one filesystem is one filesystem, however many directories and tiers are on it
size=$(df -B1 --output=size "$T" | tail -n 1)
for what in '.space.total' '.tiers[1].size' '.tiers[2].size'; do
	[ "$(stats "$what")" -eq "$size" ] || fail "$what is $(stats "$what") on a disk of $size"
done

# with data in it, it stays; one without goes
refused 1 "evacuate" terrace config remove hdd "$T/hdd2" "$M"
refused 1 "only directory" terrace config remove ssd "$T/ssd" "$M"
terrace config add ssd "$T/hdd3" "$M"
refused 1 "metadata is in it" terrace config remove ssd "$T/ssd" "$M"
terrace config remove ssd "$T/hdd3" "$M"
terrace config add hdd "$T/hdd3" "$M"
terrace config remove hdd "$T/hdd3" "$M"
[ -z "$(ls -A "$T/hdd3")" ] || fail "left in the directory that was taken out: $(ls -A "$T/hdd3")"
[ "$(paths)" = "hdd hdd2" ] || fail "paths: $(paths)"

# the next mounts know it, in any order of the lines, and after kill -9
pool_kill
sed -i "s|^path = $T/hdd\$|path = $T/swap|; s|^path = $T/hdd2\$|path = $T/hdd|; s|^path = $T/swap\$|path = $T/hdd2|" "$POOL"
pool_mount
cmp "$T/piece" "$M/file"
pool_umount
cp "$POOL" "$T/good"
sed -i "\|^path = $T/hdd2\$|d" "$POOL"
refused 1 "directory 2 of tier hdd is missing" terracefs "$POOL" "$M" -f
cp "$T/good" "$POOL"
pool_mount
cmp "$T/piece" "$M/file"

# emptied and taken out, while somebody reads
(while [ ! -e "$T/stop" ]; do cmp "$T/piece" "$M/file" || echo differs >>"$T/bad"; done) &
terrace evacuate "$T/hdd" "$M"
terrace config remove hdd "$T/hdd" "$M"
touch "$T/stop"
wait "$!"
[ ! -e "$T/bad" ] || fail "read something else meanwhile"
[ "$(paths)" = hdd2 ] || fail "paths: $(paths)"
! grep -q "^path = $T/hdd\$" "$POOL" || fail "the file still names it"
refused 1 "only directory" terrace config remove hdd "$T/hdd2" "$M"
pool_remount
cmp "$T/piece" "$M/file"
# A directory inside the pool's own mount is refused at once: the pool would wait for itself.
mkdir -p "$M/inside"
status=0
timeout 30 terrace config add hdd "$M/inside" "$M" 2>"$T/err" || status=$?
[ "$status" -eq 1 ] || fail "a directory of the mount itself as a tier: exit code $status"
grep -q "own mount" "$T/err" || fail "$(cat "$T/err")"
if grep -q "$M/inside" "$POOL"; then fail "it is in the configuration all the same"; fi
pool_umount
