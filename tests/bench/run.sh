#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The benchmark, as root: Terrace beside ext4, btrfs and mergerfs on the same disk.
#
#   tests/bench/run.sh [OPTIONS] [ROWS] [COLUMNS]
#
# ROWS and COLUMNS are comma-separated names or "all"; a group's name means its rows. Rounds are
# interleaved: each runs every column, beginning with another one each time. The table (medians,
# range, Terrace over each column, targets) and what the daemons took go to standard error, JSON to
# standard output.
#
#   --rounds N     3
#   --files N      real files of the tree rows (20000)
#   --mb N         MiB of the file rows (512)
#   --million N    what counts as a million in the groups memory and names (1000000)
#   --out FILE     JSON goes there
#   --svg FILE     and a bar chart there; installs gnuplot if it is not there
#   --pgbench      the group pgbench too; installs PostgreSQL if it is not there
#   --simulated    Terrace's ssd takes 0.1 ms for each read and 500 MB/s, its hdd 8 ms and 150 MB/s,
#                  instead of the disk's own speed; columns default to terrace
#
# columns  ext4      the disk itself
#          btrfs     compress=zstd:3 on a loop file of that disk (direct I/O)
#          mergerfs  over a folder of that disk, with all its caching options on
#          floor     a FUSE filesystem in memory with Terrace's session settings and no storage work:
#                    what any daemon could reach here; a pool's cold is warm to it
#          terrace   ram 1G, ssd lz4, hdd zstd:12, both folders of that disk
#          plain     the same, mounted with passthrough and all files plain; only when named
#
# All are mounted noatime. The data is this machine's own /usr, and lies in memory before the clock
# starts; what fio writes compresses to half. Before each row everything is written out. Cold: FUSE
# filesystems are mounted anew, so the daemons' own caches are gone as well, and the kernel's caches
# are dropped. measure.sh says what is counted. Moves between tiers beside readers: moves.sh.
#
# rows, by groups:
here=$(cd "$(dirname "$0")" && pwd)
TERRACE_BUILD=${TERRACE_BUILD:-$here/../../build/release}
[ "$(stat -f -c %T "${TMPDIR:-/tmp}")" != tmpfs ] || export TMPDIR=/var/tmp

rounds=3
files=20000
small=20000 # files of the rates
mb=512
million=1000000
stall_seconds=10
pgbench_seconds=20
pgbench=
simulated=
out=/dev/stdout
svg=
while [ $# -gt 0 ]; do
	case $1 in
	--rounds) rounds=$2 && shift 2 ;;
	--files) files=$2 && shift 2 ;;
	--mb) mb=$2 && shift 2 ;;
	--million) million=$2 && shift 2 ;;
	--pgbench) pgbench=pgbench && shift ;;
	--small) small=$2 && shift 2 ;; # of the self-test, as the next
	--seconds) stall_seconds=$2 pgbench_seconds=$2 && shift 2 ;;
	--out) out=$(realpath -m "$2") && shift 2 ;;
	--svg) svg=$(realpath -m "$2") && shift 2 ;;
	--simulated) simulated=1 && shift ;;
	-*)
		sed -n '3,/^# rows, by/s/^# \{0,1\}//p' "$0"
		"$here/rows.py" text
		[ "$1" = --help ] && exit 0
		exit 2
		;;
	*) break ;;
	esac
done
IFS=, read -ra words <<<"${1:-all}${pgbench:+,pgbench}"
rows=$("$here/rows.py" names "${words[@]}") || exit 2
groups=$("$here/rows.py" groups "${words[@]}")

# shellcheck source=tests/mount/lib.sh
. "$here/../mount/lib.sh"
# shellcheck source=tests/real-tree.sh
. "$here/../real-tree.sh"
# shellcheck source=tests/bench/measure.sh
. "$here/measure.sh"
# shellcheck source=tests/bench/columns.sh
. "$here/columns.sh"
# shellcheck source=tests/bench/work.sh
. "$here/work.sh"

if [ -n "$simulated" ]; then
	SSD+=,test_delay=100us,test_bandwidth=500000000
	HDD+=,test_delay=8ms,test_bandwidth=150000000
	all_columns=terrace
fi
columns=${2:-all}
[ "$columns" != all ] || columns=$all_columns
for column in ${columns//,/ }; do
	[[ ",ext4,btrfs,mergerfs,floor,terrace,plain," == *",$column,"* ]] ||
		fail "no column $column; there are ext4, btrfs, mergerfs, floor, terrace, plain"
done

wanted_group() { [[ " $groups " == *" $1 "* ]]; }

# The same data for all: this machine's own files, so about as compressible as files are. They lie
# in memory while the rows run.
tree_data() {
	real_tree "$T/real" "$files" $((mb / 2))
	(cd "$T/real" && find . -type f | sort >"$T/all")
	head -n "$files" "$T/all" >"$T/list"
	count=$(wc -l <"$T/list")
	tar -C "$T/real" -T "$T/list" -cf "$RAM.tar"
	rm -rf "$T/real"
	mkdir "$T/real"
	tar -C "$T/real" -xf "$RAM.tar"
	apparent=$(du -s --apparent-size --block-size=1 "$T/real" | cut -f1)
	rm -rf "$T/real"
	compressible tree "$RAM.tar"
}

file_data() {
	find /usr/lib /usr/bin /usr/share -type f -size +16k 2>/dev/null | sort | tr '\n' '\0' |
		xargs -0 cat 2>/dev/null | head -c "${mb}M" >"$RAM.data" || true
	[ "$(stat -c %s "$RAM.data")" -eq $((mb << 20)) ] || fail "less than $mb MiB in /usr"
	compressible file "$RAM.data"
}

compresses='{}'
compressible() { # NAME FILE: how many times smaller zstd -3 makes it
	local coded
	command -v zstd >/dev/null || return 0
	coded=$(zstd -q -3 -T0 -c "$2" | wc -c)
	compresses=$(jq --arg name "$1" --argjson x "$(per "$(stat -c %s "$2")" "$coded")" '.[$name] = $x' <<<"$compresses")
}

load=$(cut -d ' ' -f 1 /proc/loadavg) # of the machine, before the benchmark does anything
# needs COMMAND PACKAGE: what only the benchmark uses is installed when it is asked for
needs() {
	command -v "$1" >/dev/null || "$ROOT/tools/install-deps.sh" "$2" >&2
	command -v "$1" >/dev/null || fail "there is no $1; tools/install-deps.sh $2 installs it"
}

[ -z "$svg" ] || needs gnuplot gnuplot-nox
! wanted pgbench || needs pg_ctlcluster postgresql

finish() {
	local status=$?
	set +e
	trap - ERR
	rm -rf --one-file-system "$RAM.data" "$RAM.tar" "$RAM.inside"
	(exit "$status")
	cleanup # ends with that
}
trap finish EXIT
! wanted_group tree || tree_data
if wanted_group file || wanted_group hdd; then file_data; fi

IFS=, read -ra order <<<"$columns"
for ((round = 1; round <= rounds; round++)); do
	for column in "${order[@]}"; do
		column_up
		for group in $groups; do "group_$group"; done # tree first: its space is a fresh filesystem's
		column_down
	done
	order=("${order[@]:1}" "${order[0]}")
done
jq -n --arg commit "$(git -C "$ROOT" rev-parse --short HEAD 2>/dev/null || echo none)" \
	--arg disk "$(findmnt -n -o FSTYPE -T "$T")" --arg simulated "$simulated" --arg columns "$columns" \
	--arg rows "$rows" --arg mergerfs "$(mergerfs -V 2>&1 | head -n 1 || true)" --argjson load "$load" \
	--arg uring "$(cat /sys/module/fuse/parameters/enable_uring 2>/dev/null || echo N)" \
	--argjson data "$compresses" --argjson rounds "$rounds" --argjson files "$files" --argjson mb "$mb" \
	--argjson million "$million" '{commit: $commit, disk: $disk, mergerfs: $mergerfs, fuse_io_uring: $uring, load_before: $load,
	  data_compresses: $data, simulated: ($simulated == "1"), rounds: $rounds, files: $files, mb: $mb, million: $million,
	  columns: ($columns | split(",")), rows: ($rows | split(" "))}' >"$T/run.json"
"$here/report.py" "$results" "$T/run.json" "$T/report.json"
[ -z "$svg" ] || "$here/chart.py" "$T/report.json" "$svg"
cat "$T/report.json" >"$out"
