#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tier engine's speed, as root: what moves take, and what readers feel of them.
#
#   tests/bench/moves.sh [--rounds N] [--objects N] [--mb N] [--limit SIZE] [--out FILE] [ROWS]
#
# ROWS are comma-separated names or "all". JSON goes to FILE or to standard output, a table of
# medians and ranges of the rounds (3) to standard error.
#
# rows  demote promote          --objects (10000) files of 3 KB in folders of 1000. engine: ms of CPU
#                               that choosing and committing took, as the job counts it; moving: ms
#                               from begin to end of the moves, with coding and the disk; objects/s:
#                               by the time from the call of the command to its end
#       file_demote file_promote  s  a file of 100 MiB changes its tier
#       file_medium             s      the same bytes copied and fsynced on the medium itself
#       read_quiet              us     p50, p99 of 4 KiB reads at random places, one at a time, of a
#                               file on the ssd that memory does not hold; and their rate
#       read_moving             us     while --mb (512) MiB are demoted at full speed
#       read_limited            us     while the tier engine demotes as much by itself, with
#                               move_bandwidth = --limit (32M) and without waiting for pressure
#       moving_rate limited_rate  MB/s  what these demotions reached
#
# The pool: ram 64M (256M for the small files), ssd lz4, hdd zstd:3, both folders of one disk, so
# that readers and moves meet there.
TERRACE_BUILD=${TERRACE_BUILD:-$(cd "$(dirname "$0")/../.." && pwd)/build/release}
[ "$(stat -f -c %T "${TMPDIR:-/tmp}")" != tmpfs ] || export TMPDIR=/var/tmp
. "$(dirname "$0")/../mount/lib.sh"

rounds=3
objects=10000
mb=512
limit=32M
out=/dev/stdout
while [ $# -gt 0 ]; do
	case $1 in
	--rounds) rounds=$2 && shift 2 ;;
	--objects) objects=$2 && shift 2 ;;
	--mb) mb=$2 && shift 2 ;;
	--limit) limit=$2 && shift 2 ;;
	--out) out=$(realpath -m "$2") && shift 2 ;;
	-*)
		sed -n '3,24s/^# \{0,1\}//p' "$0"
		[ "$1" = --help ] && exit 0
		exit 2
		;;
	*) break ;;
	esac
done
all_rows=demote,promote,file_demote,file_promote,file_medium,read_quiet,read_moving,read_limited
rows=${1:-all}
[ "$rows" != all ] || rows=$all_rows
for row in ${rows//,/ }; do
	[[ ,$all_rows, == *,$row,* ]] || { echo "no row $row; there are $all_rows" >&2 && exit 2; }
done

results=$T/results
: >"$results"

wanted() { # ROW...: any of them
	local row
	for row; do [[ ,$rows, != *,$row,* ]] || return 0; done
	return 1
}

record() { # NAME UNIT VALUE
	printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$results"
	echo "round $round $1 $3 $2" >&2
}

seconds() { # BEGIN: since then
	awk -v b="$1" -v e="$EPOCHREALTIME" 'BEGIN { printf "%.4f", e - b }'
}

per() { # A B
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", a / b }'
}

ssd_and_hdd=("ssd:path=$T/ssd,codec=lz4" "hdd:path=$T/hdd,codec=zstd:3")

pool_gone() {
	pool_umount
	rm -rf --one-file-system "$T/ssd" "$T/hdd" "$POOL"
	find "$RAM" -mindepth 1 -delete
	sync -f "$T"
}

# Small files. --------------------------------------------------------------------------------------

# Text of a vocabulary, so about as compressible as source is.
small_files() { # FOLDER
	python3 - "$1" "$objects" <<'PY'
import os, random, sys
folder, count = sys.argv[1], int(sys.argv[2])
random.seed(1)
words = ["".join(random.choices("etaoinshrdlu_()", k=random.randint(2, 9))) for _ in range(4000)]
for i in range(count):
    if i % 1000 == 0:
        os.makedirs(f"{folder}/{i // 1000}")
    text = " ".join(random.choices(words, k=900))[:3072]
    with open(f"{folder}/{i // 1000}/{i}", "w") as out:
        out.write(text)
PY
}

move_small() { # ROW VERB TIER
	local begin=$EPOCHREALTIME took
	terrace "$2" --to "$3" --json --progress off "$M/small" >"$T/job"
	took=$(seconds "$begin")
	[ "$(jq .files "$T/job")" -eq "$objects" ] || fail "moved $(cat "$T/job")"
	wanted "$1" || return 0
	record "$1.engine" ms "$(jq .engine_ms "$T/job")"
	record "$1.moving" ms "$(jq .moving_ms "$T/job")"
	record "$1" objects/s "$(per "$objects" "$took")"
}

rows_small() {
	wanted demote promote || return 0
	pool_new "ram:path=$RAM,size=256M" "${ssd_and_hdd[@]}" >/dev/null
	pool_mount
	small_files "$M/small"
	terrace sync "$M"
	move_small demote demote hdd
	move_small promote promote ssd
	pool_gone
}

# One file. -----------------------------------------------------------------------------------------

timed() { # ROW COMMAND...
	local row=$1 begin=$EPOCHREALTIME took
	shift
	"$@" >/dev/null
	took=$(seconds "$begin")
	! wanted "$row" || record "$row" s "$took"
}

rows_file() {
	wanted file_demote file_promote file_medium || return 0
	pool_new "ram:path=$RAM,size=64M" "${ssd_and_hdd[@]}" >/dev/null
	pool_mount
	head -c 100M "$T/data" >"$T/plain"
	cp "$T/plain" "$M/file"
	terrace sync "$M"
	sync -f "$T"
	drop_caches
	timed file_demote terrace demote --to hdd --progress off "$M/file"
	drop_caches
	timed file_promote terrace promote --to ssd --progress off "$M/file"
	drop_caches
	timed file_medium dd if="$T/plain" of="$T/copy" bs=1M conv=fsync status=none
	rm "$T/copy" "$T/plain"
	pool_gone
}

# Readers. ------------------------------------------------------------------------------------------

# Reads until the command has ended (without one: ten seconds), then says what reads took.
read_while() { # ROW [COMMAND...]
	local row=$1 reader
	shift
	drop_caches
	fio --name=read --filename="$M/read" --rw=randread --bs=4k --direct=1 --ioengine=psync --norandommap --randrepeat=0 \
		--time_based --runtime=3600 --output-format=json --output="$T/fio.out" >/dev/null 2>&1 &
	reader=$!
	sleep 1
	if [ $# -gt 0 ]; then "$@"; else sleep 10; fi
	kill -INT "$reader"
	wait "$reader" || true
	sed -n '/^{/,$p' "$T/fio.out" >"$T/fio.json" # before it: that it was interrupted
	jq -e '.jobs[0].read.total_ios > 100' "$T/fio.json" >/dev/null || fail "hardly any reads: $(cat "$T/fio.json")"
	record "$row.p50" us "$(jq '.jobs[0].read.clat_ns.percentile["50.000000"] / 1000' "$T/fio.json")"
	record "$row.rate" reads/s "$(jq '.jobs[0].read.iops' "$T/fio.json")"
	record "$row.p99" us "$(jq '.jobs[0].read.clat_ns.percentile["99.000000"] / 1000' "$T/fio.json")"
}

demote_all() {
	terrace demote --to hdd --progress off "$M/cold" >/dev/null
}

# The tier engine by itself: it empties the ssd to its low watermark.
demote_by_engine() {
	local i
	for ((i = 0; i < 6000; i++)); do
		[ "$(stats '.tiers[] | select(.name == "hdd") | .logical')" -lt "$want" ] || return 0
		sleep 0.1
	done
	fail "the tier engine did not demote: $(cat "$M/.terrace/status")"
}

# A pool with a file for the readers and `mb` MiB to be moved.
reading_pool() { # SSD-KEYS
	pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=lz4$1" "hdd:path=$T/hdd,codec=zstd:3" >/dev/null
	config_set start_delay 0
	config_set move_pressure 0
}

fill_pool() {
	cat "$T/data" >"$M/read"
	cat "$T/data" >>"$M/read"
	mkdir "$M/cold"
	for ((i = 0; i < mb; i += 64)); do head -c 64M "$T/data" >"$M/cold/$i"; done
	terrace sync "$M"
	sync -f "$T"
}

rows_read() {
	local i begin want
	if wanted read_quiet read_moving; then
		reading_pool ""
		pool_mount
		fill_pool
		! wanted read_quiet || read_while read_quiet
		if wanted read_moving; then
			begin=$EPOCHREALTIME
			read_while read_moving demote_all
			record moving_rate MB/s "$(per "$mb" "$(awk -v s="$(seconds "$begin")" 'BEGIN { print s - 1 }')")"
		fi
		pool_gone
	fi
	wanted read_limited || return 0
	# Files are filled while nothing may move; then the watermarks fall.
	reading_pool ",min_age=0,high=99,low=98,size=$((mb * 3 + 512))M"
	pool_mount
	fill_pool
	terrace pin ssd "$M/read" # else it is among what must leave, and its readers meet the hdd
	pool_umount
	sed -i -e 's/^high *=.*/high = 2/' -e 's/^low *=.*/low = 1/' "$POOL"
	config_set move_bandwidth "$limit"
	config_set run_interval 1s
	pool_mount
	want=$((mb << 19)) # half of it
	begin=$EPOCHREALTIME
	read_while read_limited demote_by_engine
	record limited_rate MB/s "$(per $((mb / 2)) "$(awk -v s="$(seconds "$begin")" 'BEGIN { print s - 1 }')")"
	pool_gone
}

find /usr/lib /usr/bin /usr/share -type f -size +16k 2>/dev/null | sort | tr '\n' '\0' |
	xargs -0 cat 2>/dev/null | head -c 512M >"$T/data" || true
[ "$(stat -c %s "$T/data")" -ge $((128 << 20)) ] || fail "less than 128 MiB in /usr"
for ((round = 1; round <= rounds; round++)); do
	rows_small
	rows_file
	rows_read
done
python3 "$(dirname "$0")/moves-report.py" "$results" "$rounds" "$objects" "$mb" "$limit" "$out" \
	"$(findmnt -n -o FSTYPE -T "$T")" "$(git -C "$ROOT" rev-parse --short HEAD 2>/dev/null || echo none)"
