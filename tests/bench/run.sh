#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The benchmark, as root: Terrace beside ext4, btrfs and mergerfs on the same disk.
#
#   tests/bench/run.sh [--rounds N] [--files N] [--mb N] [--out FILE] [ROWS] [COLUMNS]
#
# ROWS and COLUMNS are comma-separated names or "all". Rounds (3) are interleaved: each runs every
# column, beginning with another one each time; the table shows medians, the range, and Terrace over
# each column. JSON goes to FILE or to standard output, the table to standard error.
#
# rows     seqwrite            MB/s    512 MiB (--mb) written and fsynced
#          seqread_cold/_warm  MB/s    read again, after dropping caches / at once
#          randread_cold       ops/s   4 KiB, one at a time     randread_cold16: sixteen threads
#          randread_warm       ops/s   4 KiB from a file just read
#          randwrite           ops/s   4 KiB buffered, one fsync at the end
#          randwrite_fsync     ops/s   4 KiB, fsync after each
#          untar               files/s 20000 real files (--files) out of a tar in memory
#          find_cold tar_cold  files/s find -ls, tar to a pipe, after dropping caches
#          rm                  files/s rm -rf of them
#          create stat read rename unlink  ops/s  one thread, 4 KiB files
#          sqlite sqlite_wal   tx/s    one insert per transaction, synchronous=full
#          ratio ratio_cold    x       apparent size over disk space taken; _cold after demotion
# columns  ext4                the disk itself
#          btrfs               compress=zstd:3 on a loop file of that disk (direct I/O)
#          mergerfs            over a folder of that disk, with all its caching options on
#          floor               a FUSE filesystem in memory with Terrace's session settings and no storage
#                              work: what any daemon could reach here; a pool's cold is warm to it
#          terrace             ram 1G, ssd lz4, hdd zstd:12, both folders of that disk
#
# Cold: everything is written out, FUSE filesystems are mounted anew, so the daemons' own caches are
# gone as well, and the kernel's caches are dropped. Everything is higher-is-better.
TERRACE_BUILD=${TERRACE_BUILD:-$(cd "$(dirname "$0")/../.." && pwd)/build/release}
[ "$(stat -f -c %T "${TMPDIR:-/tmp}")" != tmpfs ] || export TMPDIR=/var/tmp
. "$(dirname "$0")/../mount/lib.sh"
. "$(dirname "$0")/../real-tree.sh"

rounds=3
files=20000
mb=512
out=/dev/stdout
while [ $# -gt 0 ]; do
	case $1 in
	--rounds) rounds=$2 && shift 2 ;;
	--files) files=$2 && shift 2 ;;
	--mb) mb=$2 && shift 2 ;;
	--out) out=$(realpath -m "$2") && shift 2 ;;
	-*)
		sed -n '3,37s/^# \{0,1\}//p' "$0"
		[ "$1" = --help ] && exit 0
		exit 2
		;;
	*) break ;;
	esac
done
all_rows=seqwrite,seqread_cold,seqread_warm,randread_cold,randread_cold16,randread_warm,randwrite,randwrite_fsync,untar,find_cold,tar_cold,rm,create,stat,read,rename,unlink,sqlite,sqlite_wal,ratio,ratio_cold
rows=${1:-all}
[ "$rows" != all ] || rows=$all_rows
columns=${2:-all}
[ "$columns" != all ] || columns=ext4,btrfs,mergerfs,floor,terrace
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

record() { # ROW VALUE
	wanted "$1" || return 0
	printf '%s\t%s\t%s\n' "$column" "$1" "$2" >>"$results"
	echo "round $round $column $1 $2" >&2
}

# rate ROW AMOUNT COMMAND...: records amount per second.
rate() {
	local row=$1 amount=$2 begin
	shift 2
	begin=$EPOCHREALTIME
	"$@" >/dev/null
	record "$row" "$(awk -v n="$amount" -v b="$begin" -v e="$EPOCHREALTIME" 'BEGIN { printf "%.1f", n / (e - b) }')"
}

# Columns: D is where the rows work. ----------------------------------------------------------------

mergerfs_on() {
	mergerfs -o cache.files=auto-full,cache.writeback=true,cache.readdir=true,cache.attr=120,cache.entry=120,cache.symlinks=true,cache.statfs=10,category.create=mfs \
		"$T/under" "$T/mergerfs"
}

mergerfs_off() {
	local daemon i
	daemon=$(pgrep -f "mergerfs .* $T/mergerfs\$" || true)
	umount "$T/mergerfs"
	for i in $(seq 1 100); do
		[ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null || break
		sleep 0.05
	done
}

column_up() {
	local i
	case $column in
	ext4) D=$T/ext4 && mkdir "$D" ;;
	btrfs)
		truncate -s $((mb * 4 + 6000))M "$T/btrfs.image"
		mkfs.btrfs -q "$T/btrfs.image" >/dev/null 2>&1
		D=$T/btrfs
		mkdir "$D"
		mount -o compress=zstd:3 "$(losetup --direct-io=on --show -f "$T/btrfs.image")" "$D"
		;;
	mergerfs)
		mkdir "$T/under" "$T/mergerfs"
		mergerfs_on
		D=$T/mergerfs
		;;
	floor)
		D=$T/floor
		mkdir "$D"
		"$HELPERS/floor" "$D" 2>"$T/floor.log" &
		floor=$!
		for i in $(seq 1 100); do ! mountpoint -q "$D" || break; sleep 0.05; done
		mountpoint -q "$D" || fail "floor: $(cat "$T/floor.log")"
		;;
	terrace)
		pool_new "ram:path=$RAM,size=1G" "ssd:path=$T/ssd,codec=lz4" "hdd:path=$T/hdd,codec=zstd:12"
		pool_mount
		D=$M
		;;
	*) fail "no column $column" ;;
	esac
}

column_down() {
	case $column in
	ext4) rm -rf "$T/ext4" ;;
	btrfs)
		umount "$T/btrfs"
		losetup -d "$(losetup -j "$T/btrfs.image" -n -O NAME)"
		rm -rf "$T/btrfs.image" "$T/btrfs"
		;;
	mergerfs)
		mergerfs_off
		rm -rf "$T/mergerfs" "$T/under"
		;;
	floor)
		umount "$T/floor"
		wait "$floor"
		rmdir "$T/floor"
		;;
	terrace)
		pool_umount
		rm -rf "$T/ssd" "$T/hdd" "$POOL"
		;;
	esac
	sync -f "$T"
}

chill() {
	sync
	case $column in
	mergerfs) mergerfs_off && mergerfs_on ;;
	terrace) pool_remount ;;
	esac
	drop_caches
}

taken() { # bytes on the disk
	sync
	case $column in
	ext4) disk_bytes "$T/ext4" ;;
	mergerfs) disk_bytes "$T/under" ;;
	floor) echo 1 ;; # of no disk
	btrfs) btrfs filesystem usage -b "$D" | awk '/^ *Used:/ { print $2; exit }' ;;
	terrace) terrace sync "$D" && disk_bytes "$T/ssd" "$T/hdd" ;;
	esac
}

# Rows. ---------------------------------------------------------------------------------------------

fio_ops() { # ROW READ|WRITE ARGUMENT...
	local row=$1 side=$2
	shift 2
	wanted "$row" || return 0
	fio --name="$row" --filename="$D/file" --bs=4k --size="${mb}M" --ioengine=psync --norandommap \
		--randrepeat=0 --invalidate=0 --buffer_compress_percentage=50 --group_reporting --output-format=json "$@" >"$T/fio.json" 2>/dev/null
	record "$row" "$(jq -r ".jobs[0].$side.iops" "$T/fio.json")"
}

rows_file() {
	wanted seqwrite seqread_cold seqread_warm randread_cold randread_cold16 randread_warm randwrite randwrite_fsync || return 0
	rate seqwrite "$mb" dd if="$RAM.data" of="$D/file" bs=1M conv=fsync status=none
	chill
	rate seqread_cold "$mb" dd if="$D/file" of=/dev/null bs=1M status=none
	rate seqread_warm "$mb" dd if="$D/file" of=/dev/null bs=1M status=none
	fio_ops randread_warm read --rw=randread --time_based --runtime=2
	chill
	fio_ops randread_cold read --rw=randread --number_ios=20000 # few enough to stay cold
	chill
	fio_ops randread_cold16 read --rw=randread --thread --numjobs=16 --number_ios=1500
	fio_ops randwrite write --rw=randwrite --number_ios=100000 --end_fsync=1
	fio_ops randwrite_fsync write --rw=randwrite --time_based --runtime=2 --fsync=1
	rm "$D/file"
}

rows_tree() {
	local apparent before
	wanted untar find_cold tar_cold rm ratio ratio_cold || return 0
	mkdir "$D/tree"
	before=$(taken)
	rate untar "$count" tar -C "$D/tree" -xf "$RAM.tar"
	apparent=$(du -s --apparent-size --block-size=1 "$T/real" | cut -f1)
	[ "$column" = terrace ] || before=0
	! wanted ratio || [ "$column" = floor ] || record ratio "$(awk -v a="$apparent" -v t=$(($(taken) - before)) 'BEGIN { printf "%.2f", a / t }')"
	chill
	rate find_cold "$count" find "$D/tree" -ls
	chill
	rate tar_cold "$count" sh -c 'tar -C "$1" -cf - tree | cat' sh "$D"
	if [ "$column" = terrace ] && wanted ratio_cold; then
		move_all demote hdd
		record ratio_cold "$(awk -v a="$apparent" -v t=$(($(taken) - before)) 'BEGIN { printf "%.2f", a / t }')"
	fi
	rate rm "$count" rm -rf "$D/tree"
}

rows_rates() {
	local name value
	wanted create stat read rename unlink || return 0
	mkdir "$D/rates"
	"$HELPERS/rates" "$D/rates" 20000 >"$T/rates"
	while read -r name value; do record "$name" "$value"; done <"$T/rates"
	rm -rf "$D/rates"
}

rows_sqlite() {
	local n
	if wanted sqlite; then
		n=1500
		sqlite3 "$D/a.db" 'pragma journal_mode=delete; create table t(id integer primary key, a text);' >/dev/null
		seq 1 $n | sed "s/.*/insert into t(a) values('a row of some length, number &');/" >"$T/sql"
		rate sqlite $n sqlite3 "$D/a.db" ".read $T/sql"
	fi
	if wanted sqlite_wal; then
		n=6000
		sqlite3 "$D/b.db" 'pragma journal_mode=wal; create table t(id integer primary key, a text);' >/dev/null
		seq 1 $n | sed "s/.*/insert into t(a) values('a row of some length, number &');/" >"$T/sql"
		rate sqlite_wal $n sqlite3 "$D/b.db" ".read $T/sql"
	fi
	rm -f "$D"/?.db*
}

# The same data for all: this machine's own files, so about as compressible as files are. They lie
# in memory while the rows run.
trap 'rm -f "$RAM.data" "$RAM.tar"; cleanup' EXIT
real_tree "$T/real" "$files" $((mb / 2))
(cd "$T/real" && find . -type f | sort >"$T/all")
head -n "$files" "$T/all" >"$T/list"
count=$(wc -l <"$T/list")
tar -C "$T/real" -T "$T/list" -cf "$RAM.tar"
rm -rf "$T/real"
mkdir "$T/real"
tar -C "$T/real" -xf "$RAM.tar"
find /usr/lib /usr/bin /usr/share -type f -size +16k 2>/dev/null | sort | tr '\n' '\0' |
	xargs -0 cat 2>/dev/null | head -c "${mb}M" >"$RAM.data" || true
[ "$(stat -c %s "$RAM.data")" -eq $((mb << 20)) ] || fail "less than $mb MiB in /usr"

IFS=, read -ra order <<<"$columns"
for ((round = 1; round <= rounds; round++)); do
	for column in "${order[@]}"; do
		column_up
		rows_tree # first: the space it takes is that of a fresh filesystem
		rows_file
		rows_rates
		rows_sqlite
		column_down
	done
	order=("${order[@]:1}" "${order[0]}")
done
python3 "$(dirname "$0")/report.py" "$results" "$rows" "$columns" "$rounds" "$files" "$mb" "$out" \
	"$(findmnt -n -o FSTYPE -T "$T")" "$(git -C "$ROOT" rev-parse --short HEAD 2>/dev/null || echo none)"
