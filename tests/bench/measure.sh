# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # what run.sh sets
# What a row cost, for run.sh: processor time and peak memory of the column's daemon, and the bytes
# that reached the medium.
#
# A row is settle, measure_begin, the work, measure_end. settle writes everything out, so that a row
# does not pay for the one before; measure_end settles too before it takes the counters, so what a
# filesystem has put off is counted with the row that caused it.
#
#   cpu_s     of the daemon, user and system (/proc/PID/stat: to 10 ms)
#   peak_mb   of the daemon: VmHWM, begun anew by clear_refs
#   disk_mb   sectors written to the column's device: the only count that is the same for all, with
#             journals and metadata of the filesystem below; of a disk that others share it counts
#             their writes too, so it means something on a quiet machine only
#   daemon_mb write_bytes of the daemon (/proc/PID/io): nobody else's, but the pages that it has
#             made dirty, whether or not they were written out, and nothing that the filesystem
#             below adds; so JSON has it, and amplification is by the device
#   logical_mb what the row wrote as its user sees it, where that is known
#
# DEVICE and DAEMON are set by column_up: a name in /sys/class/block, a process id, or nothing.

results=$T/results
: >"$results"
clock_ticks=$(getconf CLK_TCK)

wanted() { # ROW...: any of them
	local row
	for row; do [[ " $rows " != *" $row "* ]] || return 0; done
	return 1
}

say() { # ROW MEASURE VALUE
	printf '%s\t%s\t%s\t%s\n' "$column" "$1" "$2" "$3" >>"$results"
}

# The same for a row that has no counters.
record() { # ROW VALUE
	wanted "$1" || return 0
	say "$1" value "$2"
	echo "round $round $column $1 $2" >&2
}

settle() {
	case $column in
	mergerfs) # says ESTALE when a file was deleted before the kernel had written it back
		sync -f "$D" 2>/dev/null || true
		sync -f "$T/under"
		;;
	terrace | plain)
		sync -f "$D"
		terrace sync "$D"
		;;
	*) sync -f "$D" ;;
	esac
}

counters() { # ticks of the daemon, bytes it wrote, sectors of the device
	local ticks=0 bytes=0 sectors=0
	if [ -n "$DAEMON" ]; then
		ticks=$(sed 's/.*) //' "/proc/$DAEMON/stat" | awk '{ print $12 + $13 }')
		bytes=$(awk '/^write_bytes/ { print $2 }' "/proc/$DAEMON/io")
	fi
	[ -z "$DEVICE" ] || sectors=$(awk '{ print $7 }' "/sys/class/block/$DEVICE/stat")
	echo "$ticks $bytes $sectors"
}

measure_begin() {
	settle
	[ -z "$DAEMON" ] || echo 5 >"/proc/$DAEMON/clear_refs"
	read -r ticks_before bytes_before sectors_before < <(counters)
}

measure_end() { # ROW VALUE [LOGICAL-BYTES]
	local ticks bytes sectors
	record "$1" "$2"
	wanted "$1" || return 0
	settle
	read -r ticks bytes sectors < <(counters)
	if [ -n "$DAEMON" ]; then
		say "$1" cpu_s "$(per $((ticks - ticks_before)) "$clock_ticks")"
		say "$1" peak_mb "$(per "$(awk '/^VmHWM/ { print $2 }' "/proc/$DAEMON/status")" 1024)"
		say "$1" daemon_mb "$(per $((bytes - bytes_before)) $((1 << 20)))"
	fi
	[ -z "$DEVICE" ] || say "$1" disk_mb "$(per $((sectors - sectors_before)) 2048)"
	[ -z "${3:-}" ] || say "$1" logical_mb "$(per "$3" $((1 << 20)))"
}

per() { # A B
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a / b }'
}

# rate ROW AMOUNT LOGICAL-BYTES COMMAND...: amount per second of a command that takes long enough
# for its start not to matter.
rate() {
	local row=$1 amount=$2 logical=$3 begin end
	shift 3
	measure_begin
	begin=$EPOCHREALTIME
	"$@" >/dev/null
	end=$EPOCHREALTIME
	measure_end "$row" "$(awk -v n="$amount" -v b="$begin" -v e="$end" 'BEGIN { printf "%.1f", n / (e - b) }')" "$logical"
}

# told ROW LOGICAL-BYTES COMMAND...: a command that measures by itself and prints the figure.
told() {
	local row=$1 logical=$2
	shift 2
	measure_begin
	"$@" >"$T/told"
	measure_end "$row" "$(cat "$T/told")" "$logical"
}
