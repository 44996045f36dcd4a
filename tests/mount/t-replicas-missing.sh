#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# replicas = 2, and a directory is missing when the pool is mounted: it is mounted without it and says
# so; terrace run copies to what is there; a directory that is put back is used again, another pool's
# is not; it can be taken out; where data would be missing, the mount is refused.
. "$(dirname "$0")/lib.sh"

full() { stats '.replicas | .missing_segments == 0 and .lost_places == 0 and .bad_frames == 0' >/dev/null; }
run() {
	local status=0
	terrace run --progress=off "$M" >"$T/out" 2>&1 || status=$?
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || fail "terrace run ended with $status: $(cat "$T/out")"
}
status_says() { terrace status "$M" | grep -qE "$1" || fail "no '$1' in: $(terrace status "$M")"; }
compare() {
	cmp "$T/content" "$M/big" || fail "$1"
}
scrubbed() {
	terrace scrub --progress=off "$M" >"$T/out" 2>&1 || fail "scrub: $(cat "$T/out")"
	for _ in $(seq 100); do # a pass may be under way
		full && return 0
		sleep 0.1
	done
	fail "$(stats .replicas)"
}

mkdir -p "$T/d1" "$T/d2" "$T/d3"
hdd="hdd:path=$T/d1,path=$T/d2,path=$T/d3,segment=1M,frame=64K,codec=none"
refused "1 2" "replicas" terrace create --tier "ram:path=$RAM,size=64M" --tier "ssd:path=$T/d1" \
	--tier "$hdd,replicas=6" "$T/wrong.conf"
refused "1 2" "replicas" terrace create --tier "ram:path=$RAM,size=64M" --tier "ssd:path=$T/d1" \
	--tier "$hdd,replicas=0" "$T/wrong.conf"
refused "1 2" "replicas=4 needs 4 directories.* 3" terrace create --tier "ram:path=$RAM,size=64M" --tier "ssd:path=$T/ssd" \
	--tier "$hdd,replicas=4" "$T/wrong.conf"
pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=lz4" "$hdd,replicas=2"
pool_mount
head -c 4M /dev/urandom >"$T/content"
cp "$T/content" "$M/big"
terrace demote --to hdd "$M" >/dev/null
terrace sync "$M"
pool_umount

# two of three are gone: data would be missing
mv "$T/d2" "$T/away2"
mv "$T/d3" "$T/away3"
status=0
timeout 30 terracefs "$POOL" "$M" -f >"$T/said" 2>&1 || status=$?
[ "$status" -eq 1 ] || fail "mounted with data missing: $status, $(cat "$T/said")"
grep -q 'directory [23] of tier hdd is missing, and data is in it and nowhere else' "$T/said" || fail "$(cat "$T/said")"

# two go while in use, and come back one after the other: nothing was thrown away, or taken for a copy
# that is none
mv "$T/away2" "$T/d2"
mv "$T/away3" "$T/d3"
pool_mount
terrace policy set --runtime run_interval=200ms "$M" >/dev/null
lost_is() {
	for _ in $(seq 150); do
		[ "$(stats .replicas.lost_places)" -eq "$1" ] && return 0
		sleep 0.1
	done
	fail "not $1 directories are lost: $(stats .replicas)"
}
mv "$T/d2" "$T/away2"
mv "$T/d3" "$T/away3"
lost_is 2
cmp "$T/content" "$M/big" >/dev/null 2>&1 && fail "nothing is missing: this tests nothing"
sleep 1 # some passes
mv "$T/away2" "$T/d2"
lost_is 1
compare "two directories went and one is back"
mv "$T/away3" "$T/d3"
lost_is 0
scrubbed
pool_umount

# one: everything is there, and there is a third
mv "$T/d2" "$T/away2"
pool_mount
grep -q "tier hdd: $T/d2 is not there; the pool is opened without it" "$LOG" || fail "the log: $(tail -3 "$LOG")"
status_says "^hdd: $T/d2 is not there: mount its disk"
compare "without d2"
run
status_says "^hdd: $T/d2 is not there"
[ "$(stats .replicas.missing_bytes)" -eq 0 ] || fail "terrace run left $(stats .replicas)"
cp "$T/content" "$M/more"
terrace demote --to hdd "$M/more" >/dev/null
pool_umount
mv "$T/d3" "$T/away3" # and so it does without the other now
pool_mount
compare "without d2 and d3"
cmp "$T/content" "$M/more"
status_says "^replicas: .* there are no others: put one back"

# another pool's directory is not taken for it; the right one is, with what is old in it
mkdir "$T/d2" "$T/ssd2" "$T/first"
terrace create --tier "ram:path=$RAM,size=64M" --tier "ssd:path=$T/ssd2" --tier "hdd:path=$T/first,path=$T/d2" "$T/other.conf" >/dev/null
run
[ "$(stats .replicas.lost_places)" -eq 2 ] || fail "another pool's directory was taken: $(stats .replicas)"
[ -z "$(find "$T/d2" -name '*.seg')" ] || fail "something was written into another pool's directory"
rm -rf "$T/d2"
mv "$T/away2" "$T/d2"
run
[ "$(stats .replicas.missing_bytes)" -eq 0 ] || fail "terrace run left $(stats .replicas)"
terrace sync "$M"
compare "with d2 again"

# the other one never comes back
terrace config remove hdd "$T/d3" "$M" >/dev/null || fail "config remove"
! grep -q "$T/d3" "$POOL" || fail "the configuration still has it"
scrubbed
mkdir "$T/d4"
terrace config add hdd "$T/d4" "$M" >/dev/null || fail "config add"
pool_umount
rm -rf "$T/d1"
pool_mount
compare "without d1"
cmp "$T/content" "$M/more"
terrace config remove hdd "$T/d1" "$M" >/dev/null || fail "config remove"
run
scrubbed
pool_umount
terrace check "$POOL" >"$T/out" || fail "check: $(cat "$T/out")"
