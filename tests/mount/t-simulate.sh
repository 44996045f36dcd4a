#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# terrace simulate on traces that are made here: formats, sizes, what-if lines, moves, mistakes.
. "$(dirname "$0")/lib.sh"

simulate() { terrace simulate --json "$@" >"$T/out" </dev/null; }
get() { jq -c "$1" "$T/out"; }
is() { # EXPRESSION VALUE
	[ "$(get "$1")" = "$2" ] || fail "$1 is $(get "$1"), not $2: $(cat "$T/out")"
}
refused() { # CODE WORDS ARGUMENT...: on standard error
	local code=$1 words=$2 status=0
	shift 2
	terrace simulate "$@" >/dev/null 2>"$T/err" </dev/null || status=$?
	[ "$status" -eq "$code" ] || fail "$*: exit code $status, not $code"
	grep -q -e "$words" "$T/err" || fail "$*: $(cat "$T/err")"
}

# Two rounds over eight blocks: all of the second is in memory, if memory is large enough.
for round in 1 2; do seq 1 8; done >"$T/ids"
simulate --tier ram=1M --tier ssd=rest "$T/ids"
is .format '"ids"'
is .requests 16
is .footprint 32768
is '.tiers | map(.hits)' '[8,8]'
is '.tiers | map(.lru_hits)' '[8,8]'
is '.tiers[0].up_bytes' 32768
is .moves 0

# The other formats say the same; xz and the standard input too.
awk '{ print $1, 1, 0, NR }' "$T/ids" >"$T/arc"
{ echo version,time,op,size,lbn && awk '{ print "1," NR "," (NR % 2 ? "28" : "2a") ",4096," 8 * $1 }' "$T/ids"; } >"$T/csv"
{ echo '# made up' && awk '{ print 100 + NR, "/a/file", 4096 * $1, 4096, (NR % 2 ? "r" : "w") }' "$T/ids"; } >"$T/text"
for format in ids arc csv text; do
	xz -k "$T/$format"
	for file in "$T/$format" "$T/$format.xz"; do
		simulate --block 4K --tier ram=1M --tier ssd=rest "$file"
		is .format "\"$format\""
		is '[.requests, .footprint, .tiers[0].hits]' '[16,32768,8]'
	done
done
terrace simulate --json --tier ram=1M --tier ssd=rest - <"$T/ids.xz" >"$T/out"
is '[.requests, .tiers[0].hits]' '[16,8]'
echo '5 12 0 0' >"$T/run" # one request of twelve blocks
simulate "$T/run"
is '[.requests, .footprint, .bytes]' '[1,49152,49152]'
# A request that crosses blocks needs all of them: the second one finds half of itself, be it the
# first half or the second.
for off in 0 4096; do
	printf '%s\n' "0 f $off 4096 r" '1 f 0 8192 r' '2 f 0 8192 r' >"$T/cross"
	simulate --block 4K --tier ram=1M --tier ssd=rest "$T/cross"
	is '.tiers | map(.hits)' '[1,2]'
	is '.tiers | map(.lru_hits)' '[1,2]'
done

# A loop a little larger than memory: LRU never hits, S3-FIFO keeps a part of it.
for round in {1..20}; do seq 1 1000; done >"$T/loop"
simulate --tier ram=80% --tier ssd=rest "$T/loop"
is '.tiers[0].lru_hits' 0
[ "$(get '.tiers[0].hit_percent > 20')" = true ] || fail "loop: $(get .tiers)"

# Zipf: what most requests ask for is in memory, whatever else there is.
awk 'BEGIN {
	for (i = 1; i <= 2000; i++) { sum += 1 / i; upto[i] = sum }
	x = 42
	for (n = 0; n < 40000; n++) {
		x = (x * 16807) % 2147483647
		want = x / 2147483647 * sum
		low = 1
		high = 2000
		while (low < high) {
			mid = int((low + high) / 2)
			if (upto[mid] < want) low = mid + 1; else high = mid
		}
		print (low * 7919) % 2003
	}
}' >"$T/zipf"
simulate --tier ram=10% --tier ssd=rest "$T/zipf"
[ "$(get '.tiers[0].hit_percent > 60 and .tiers[0].hit_percent > .tiers[0].lru_hit_percent')" = true ] ||
	fail "zipf: $(get .tiers)"
# What if says what a run of that size says.
size=$(get '.what_if[] | select(.change == "2x") | .size')
is '.tiers[0].size * 2' "$size"
after=$(get '.what_if[] | select(.change == "2x") | .hit_percent')
simulate --tier "ram=$size" --tier ssd=rest "$T/zipf"
is '.tiers[0].hit_percent' "$after"
# The same trace gives the same answer.
cp "$T/out" "$T/first"
simulate --tier "ram=$size" --tier ssd=rest "$T/zipf"
cmp "$T/out" "$T/first"
terrace simulate "$T/zipf" >"$T/text-out"
grep -Eq '^  ram \+10% of footprint \(.*\): hit [0-9.]+ % -> [0-9.]+ %$' "$T/text-out" || fail "$(cat "$T/text-out")"

# Three tiers. Ten hours: 64 MiB are read once and again, from front to back, and all the while
# four files of 1 MiB that were there before are read here and there. They come up and stay; the
# scans bring nothing up.
awk 'BEGIN {
	x = 7
	for (s = 0; s < 36000; s += 10) {
		for (k = 0; k < 4; k++) {
			x = (x * 16807) % 2147483647
			print s, "hot" k, int(x % 16) * 65536, 4096, "r"
		}
		print s, "cold", s / 10 % 512 * 131072, 131072, "r"
	}
}' >"$T/shift"
simulate --tier ram=128K --tier ssd=16M --tier hdd=rest "$T/shift"
[ "$(get '.tiers[1].up_bytes >= 4194304 and .tiers[1].up_bytes < 6000000')" = true ] ||
	fail "what came up: $(get .tiers)"
is .pingpong 0
[ "$(get '.tiers[0].hits + .tiers[1].hits > .requests * 0.7')" = true ] || fail "hot set: $(get .tiers)"

# What is read from front to back comes up no further than it takes to see that: 1 MiB.
awk 'BEGIN { for (s = 0; s < 256; s++) print s, "film", s % 64 * 131072, 131072, "r"; print 9999, "film", 0, 1, "r" }' >"$T/scans"
simulate --tier ram=128K --tier ssd=100M --tier hdd=rest "$T/scans"
[ "$(get '.tiers[1].up_bytes <= 1179648')" = true ] || fail "scans: $(get .tiers)"

# Two sets that take turns, every three hours, in room for one: what comes back is counted.
awk 'BEGIN {
	x = 7
	for (s = 0; s < 86400; s += 2) {
		x = (x * 16807) % 2147483647
		print s, "set" int(s / 10800) % 2, x % 192 * 65536, 4096, "r"
	}
}' >"$T/turns"
simulate --tier ram=128K --tier ssd=16M --tier hdd=rest "$T/turns"
[ "$(get '.pingpong > 0 and .pingpong == .tiers[1].again and .pingpong <= .tiers[1].up')" = true ] ||
	fail "turns: $(get .)"

# Zipf, a loop that is larger than the ssd, working sets that change, scans: less than a twentieth of
# the moves, where there are moves to speak of, brings back what went down within a day.
awk 'BEGIN {
	for (i = 1; i <= 300; i++) { sum += 1 / i; upto[i] = sum }
	x = 42
	for (s = 0; s < 3 * 86400; s += 8) {
		x = (x * 16807) % 2147483647
		want = x / 2147483647 * sum
		low = 1
		high = 300
		while (low < high) {
			mid = int((low + high) / 2)
			if (upto[mid] < want) low = mid + 1; else high = mid
		}
		x = (x * 16807) % 2147483647
		print s, "zipf" (low * 101) % 307, x % 8 * 16384, 4096, "r"
		x = (x * 16807) % 2147483647
		print s, "loop" int(s / 200) % 150, x % 2 * 65536, 4096, "r"
		print s, "set" int(s / 14400) % 5, x % 192 * 65536, 4096, "r"
		if (s % 21600 < 800) print s, "scan", s % 800 * 131072, 131072, "r"
	}
}' >"$T/mixed"
for load in "zipf" "loop" "set" "zipf|loop" "zipf|set|scan" "zipf|loop|set|scan"; do
	grep -E "^[0-9]+ ($load)" "$T/mixed" >"$T/load"
	for size in 10% 20% 40%; do
		simulate --tier ram=1% --tier "ssd=$size" --tier hdd=rest "$T/load"
		[ "$(get '.tiers[1].up > 0 and (.pingpong_percent < 5 or .moves < 50)')" = true ] || fail "$load, $size: $(get .)"
	done
done

# What is written fills the ssd; what is old enough leaves it above the high watermark.
awk 'BEGIN { for (s = 0; s < 7200; s++) print s, "log", s * 65536, 65536, "w" }' >"$T/writes"
simulate --tier ram=1M --tier ssd=300M --tier hdd=rest "$T/writes"
[ "$(get '.tiers[1].down > 0 and .tiers[1].up == 0')" = true ] || fail "written: $(get .tiers)"
[ "$(get '.moved_bytes == .tiers[1].down_bytes and .moved_per_byte > 0 and .moved_per_byte < 1')" = true ] ||
	fail "bytes moved: $(get .)"

# Mistakes.
printf '1\n2\nthree\n' >"$T/bad"
refused 1 "bad:3: should be the number of a block" "$T/bad"
printf '0 f 0 4096 x\n' >"$T/bad"
refused 1 "bad:1: a line of no format that is known" "$T/bad"
refused 1 "should be version,time" --format csv "$T/ids"
head -c 60 "$T/text.xz" >"$T/cut.xz"
refused 1 "damaged xz" "$T/cut.xz"
: >"$T/empty"
refused 1 "nothing is read or written" "$T/empty"
head -c 10000 /dev/zero | tr '\0' 1 >"$T/long"
refused 1 "long:1: " "$T/long"
refused 1 "No such file" "$T/none"
refused 1 "does not fit" --tier ram=1M --tier ssd=10% "$T/ids"
refused 2 "first tier is ram" --tier ssd=10% --tier hdd=rest "$T/ids"
refused 2 "only the last" --tier ram=10% --tier ssd=rest --tier hdd=rest "$T/ids"
refused 2 "a tier below ram" --tier ram=10% "$T/ids"
refused 2 "like 64G" --tier ram=much "$T/ids"
refused 2 "like 80us" --tier ram=1M,soon --tier ssd=rest "$T/ids"
refused 2 "NAME=SIZE" --tier ram "$T/ids"
refused 2 "power of two" --block 5000 "$T/ids"
refused 2 "text, ids, arc or csv" --format sql "$T/ids"
