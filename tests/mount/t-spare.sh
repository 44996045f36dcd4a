#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# copy_path: a tier with one directory keeps its second copy in a folder for copies. Either goes while in use or is
# missing at the mount, and nobody notices; terrace run makes it good; check, export and restore-metadata read the
# copies; the folder is added and taken out while mounted.
. "$(dirname "$0")/lib.sh"

full() { stats '.replicas | .missing_segments == 0 and .lost_places == 0 and .bad_frames == 0' >/dev/null; }
run() { # it may have nothing to do
	local status=0
	terrace run --progress=off "$M" >"$T/out" 2>&1 || status=$?
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || fail "terrace run ended with $status: $(cat "$T/out")"
	full || fail "after terrace run: $(stats .replicas)"
}
compare() {
	diff -r --no-dereference /usr/include/linux/netfilter "$M/linux" >"$T/out" 2>&1 || fail "$1: $(head -3 "$T/out")"
	cmp "$T/content" "$M/big" || fail "$1"
}
segments() { (cd "$1" && find . -name '*.seg' | sort); }
write_one() { cp "$T/content" "$M/$1" && terrace sync "$M"; }

mkdir -p "$T/ssd" "$T/hdd" "$T/meta"
for n in 1 2; do
	terrace create -n --tier "ssd:path=$T/ssd,copy_path=$T/spare,replicas=$n" "$T/dry.conf" >"$T/out"
	[ "$(grep -c 'tier ssd keeps one copy' "$T/out")" -eq $((2 - n)) ] || fail "replicas=$n: $(cat "$T/out")"
done
refused "1 2" "tier ssd has no place: add path=" terrace create --tier "ram:path=$RAM,size=64M" --tier "ssd:copy_path=$T/spare" "$T/wrong.conf"
terrace create --meta "$T/meta" --tier "ram:path=$RAM,size=64M" \
	--tier "ssd:path=$T/ssd,copy_path=$T/spare,replicas=2,codec=lz4,size=64M" \
	--tier "hdd:path=$T/hdd,codec=zstd:3,size=1G" "$POOL" >/dev/null
config_set start_delay 0
config_set move_pressure 0
pool_mount
size=$(stats .space.total)
head -c 3M /dev/urandom >"$T/content"
cp -a /usr/include/linux/netfilter "$M/linux"
write_one big

# writes begin in the tier's own directory; the second copy follows
[ -z "$(segments "$T/spare")" ] || fail "a write went to the folder for copies"
run
[ "$(segments "$T/spare")" = "$(segments "$T/ssd")" ] || fail "not copied: $(segments "$T/spare"), $(segments "$T/ssd")"
terrace config "$M" | grep -q "copies *$T/spare" || fail "$(terrace config "$M")"
stats '.tiers[1] | .size == 64 * 1048576 and .used < 7e6' >/dev/null || fail "room: $(stats '.tiers[1]')"
[ "$(stats .space.total)" -eq "$size" ] || fail "the room for copies is counted"

# the tier's own directory is deleted while in use
rm -rf "$T/ssd"
compare "with ssd deleted"
write_one more
cmp "$T/content" "$M/more"
run
[ -e "$T/ssd/terrace.tier" ] || fail "ssd was not made again"
compare "with ssd made again"

# the folder for copies is
rm -rf "$T/spare"
write_one another
compare "with spare deleted"
run
[ "$(segments "$T/spare")" = "$(segments "$T/ssd")" ] || fail "spare was not filled again"
pool_umount

# each missing at the mount
for away in ssd spare; do
	mv "$T/$away" "$T/away"
	pool_mount
	compare "mounted without $away"
	write_one without
	cmp "$T/content" "$M/without"
	terrace status "$M" | grep -q "^ssd: $T/$away is not there" || fail "$(terrace status "$M")"
	mv "$T/away" "$T/$away"
	run
	pool_umount
	terrace check "$POOL" >"$T/out" || fail "check: $(cat "$T/out")"
done
pool_mount
write_one last
[ "$(segments "$T/spare")" != "$(segments "$T/ssd")" ] || fail "the folder that is back is no longer one for copies"
run
pool_umount

# what is left of it without ssd comes out
mv "$T/ssd" "$T/away"
terrace export "$POOL" "$T/dest" >"$T/out" 2>&1 || true
cmp "$T/content" "$T/dest/big" || fail "export: $(cat "$T/out")"
mv "$T/away" "$T/ssd"

# ssd and the metadata are lost
rm -r "$T/ssd" "$T/meta"
terrace restore-metadata --lost "$T/ssd" "$POOL" >"$T/said" || fail "$(cat "$T/said")"
! grep -q '^lost:' "$T/said" || fail "$(cat "$T/said")"
pool_mount
compare "restored"
run

# taken out and added again while mounted
terrace config remove ssd "$T/spare" "$M" >/dev/null
! grep -q '^copy_path = ' "$POOL" || fail "the configuration still has it"
[ -z "$(ls -A "$T/spare")" ] || fail "left in it: $(ls -A "$T/spare")"
terrace config add-copy ssd "$T/spare" "$M" >/dev/null
grep -q "^copy_path = $T/spare\$" "$POOL" || fail "no line for it"
run
[ "$(segments "$T/spare")" = "$(segments "$T/ssd")" ] || fail "not copied to what was added"
compare "at the end"
pool_umount
terrace check "$POOL" >"$T/out" || fail "check: $(cat "$T/out")"
