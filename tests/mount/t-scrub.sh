#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# terrace scrub: flipped bytes in every tier are found and named, nothing else; the list of damage
# lasts over a restart, and what is overwritten or deleted leaves it; pause, resume, restart.
. "$(dirname "$0")/lib.sh"

damaged_paths() { terrace damaged --json "$M" | jq -r '.damaged[].path' | sort -u; }
scrub_fails() { # the whole output in $T/out
	local status=0
	terrace scrub --progress=off "$M" >"$T/out" 2>&1 || status=$?
	[ "$status" -eq 1 ] || fail "a scrub that finds damage ended with $status: $(cat "$T/out")"
}
nothing_damaged() {
	local status=0
	terrace damaged "$M" >"$T/out" || status=$?
	[ "$status" -eq 3 ] || fail "terrace damaged ended with $status: $(cat "$T/out")"
}
# break_at FOLDER OF CONTENT AT WHAT: changes bytes of the frame that holds the content's bytes at
# AT, which do not compress: payload, or header (the 96 bytes before the tables of its frame)
break_at() {
	python3 - "$1" "$2" "$3" "$4" <<'PY'
import pathlib, sys
content, at = open(sys.argv[2], "rb").read(), int(sys.argv[3])
for path in pathlib.Path(sys.argv[1], "segments").rglob("*.seg"):
    data = bytearray(path.read_bytes())
    where = data.find(content[at : at + 64])
    if where >= 0:
        if sys.argv[4] == "header":
            where = data.rfind(b"TRfr", 0, where) + 24
        data[where + 5] ^= 1
        path.write_bytes(data)
        sys.exit(0)
sys.exit("the bytes are in no segment")
PY
}

pool_new
pool_mount
mkdir "$M/hot" "$M/cold"
for i in 1 2 3 4; do
	head -c 1M /dev/urandom >"$T/c$i"
	cp "$T/c$i" "$M/hot/f$i"
	cp "$T/c$i" "$M/cold/g$i"
done
cp -a /usr/include/linux "$M/hot/"
terrace demote --to hdd "$M/cold" >/dev/null
terrace sync "$M"
terrace scrub --progress=off "$M" >"$T/out" || fail "a sound pool: $(cat "$T/out")"
grep -q '^verified ' "$T/out" || fail "$(cat "$T/out")"
nothing_damaged
[ "$(stats '.scrub.frames')" -gt 40 ] || fail "few frames were verified"
pool_umount

break_at "$T/ssd" "$T/c1" 300000 payload
break_at "$T/ssd" "$T/c2" 300000 header
break_at "$T/hdd" "$T/c3" 300000 payload
break_at "$T/hdd" "$T/c4" 300000 header
segment=$(find "$T/hdd/segments" -name '*.seg' | head -n 1)
printf 'x' | dd of="$segment" bs=1 seek=70 conv=notrunc status=none # reserved bytes of its header
pool_mount
scrub_fails
printf '/cold/g3\n/cold/g4\n/hot/f1\n/hot/f2\n' >"$T/want"
damaged_paths | diff "$T/want" - || fail "other files are named"
terrace damaged --json "$M" | jq -e '[.damaged[] | select(.path == "/hot/f1")] | length == 1 and
	.[0].offset <= 300000 and .[0].offset + .[0].length > 300000 and .[0].length <= 32768' >"$T/out" ||
	fail "the range in f1: $(terrace damaged "$M")"
grep -q 'segment .*: the header was damaged and has been written anew' "$LOG" || fail "the segment's header"
terrace events --json "$M" | jq -r 'select(.kind == "damage") | .path // empty' | sort -u | diff "$T/want" - ||
	fail "$(terrace events "$M")"
terrace status "$M" | grep -q '^damaged: 4 frames' || fail "$(terrace status "$M")"
grep -q '^terrace_damaged_frames 4$' "$M/.terrace/metrics" || fail "the metric"
for i in 3 4; do cmp "$T/c$i" "$M/hot/f$i"; done
for i in 1 2; do cmp "$T/c$i" "$M/cold/g$i"; done
diff -r --no-dereference /usr/include/linux "$M/hot/linux"

# it lasts; and goes with the bytes
sleep 1.2
pool_kill
pool_mount
damaged_paths | diff "$T/want" - || fail "after a restart"
cp "$T/c1" "$M/hot/f1"
rm "$M/cold/g3"
mv "$M/cold/g1" "$M/cold/g4"
terrace sync "$M"
damaged_paths | diff <(echo /hot/f2) - || fail "what was overwritten or deleted is listed: $(terrace damaged "$M")"
break_at "$T/ssd" "$T/c2" 300000 header # flips it back
terrace scrub --progress=off "$M" >"$T/out" 2>&1 || fail "mended: $(cat "$T/out")"
nothing_damaged

# slow, paused, resumed, interrupted by another job and by a death: it goes on where it was
terrace policy set --runtime scrub_bandwidth=2M "$M" >/dev/null
job=$(terrace scrub --async --json "$M" | jq .job)
for _ in $(seq 100); do
	[ "$(stats '.scrub.frames')" -gt 8 ] && break
	sleep 0.05
done
terrace demote --to hdd "$M/hot/f3" >/dev/null || fail "a job waits for a scrub"
status=0
terrace scrub "$M" 2>/dev/null || status=$?
[ "$status" -eq 75 ] || fail "a second scrub ended with $status"
terrace jobs pause "$job" "$M"
sleep 0.3
frames=$(stats '.scrub.frames')
sleep 0.3
[ "$(stats '.scrub.frames')" -eq "$frames" ] || fail "it runs while paused"
terrace scrub --status "$M" | grep -q paused || fail "$(terrace scrub --status "$M")"
began=$(stats '.scrub.began')
pool_kill
pool_mount
[ "$(stats '.scrub.frames')" -eq "$frames" ] || fail "it forgot where it was"
terrace policy set --runtime scrub_bandwidth=0 "$M" >/dev/null
terrace jobs resume "$job" "$M"
terrace jobs wait "$job" "$M" >/dev/null || fail "the resumed scrub"
[ "$(stats '.scrub.began')" -eq "$began" ] || fail "it began anew"
[ "$(stats '.scrub.frames')" -gt "$frames" ] || fail "no more was verified"

# by itself
terrace policy set --runtime scrub_interval=1s "$M" >/dev/null
for _ in $(seq 150); do
	[ "$(stats '.scrub.began')" -gt "$began" ] && break
	sleep 0.1
done
[ "$(stats '.scrub.began')" -gt "$began" ] || fail "no scrub began by itself"
pool_umount
