#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9, again and again, while real programs are at work and everything is being moved:
# untar, rm, SQLite, git, files replaced by rename, files written in place (tests/mount/works.sh).
# After each, everything that was acknowledged must be there.
#
#   tests/kill-loop.sh [SECONDS [SEED]]     default: 60 seconds
#
# Every third opening is killed too, in the middle of it; every fourth round dies with 64 MiB of
# journal. Prints iterations, losses (must be 0), and how long opening took. TERRACE_BUILD names the
# build (default build/release). TERRACE_KEEP=FOLDER: a copy of the pool that lost something.
TERRACE_BUILD=${TERRACE_BUILD:-$(cd "$(dirname "$0")/.." && pwd)/build/release}
. "$(dirname "$0")/mount/lib.sh"
. "$(dirname "$0")/mount/works.sh"

until=$((SECONDS + ${1:-60}))
seed=${2:-$(date +%s)}
RANDOM=$((seed % 32768))
echo "seed $seed"
iterations=0 losses=0 again=0
: >"$T/times"
: >"$T/times.64"

metric() { sed -n "s/^terrace_$1 //p" "$M/.terrace/metrics"; }

# Mounts; `took` is how long that lasted, in ms: until the root folder answers. `cpu`, the processor
# time in it, is what tells when the machine is busy with other things.
timed_mount() {
	local begin=${EPOCHREALTIME/./} i
	terracefs "$POOL" "$M" -f </dev/null >>"$LOG" 2>&1 &
	PID=$!
	for ((i = 0; i < 20000; i++)); do
		[ ! -e "$M/.terrace/status" ] || break
		kill -0 "$PID" 2>/dev/null || fail "the daemon ended instead of mounting"
		read -rt 0.003 <> <(:) || true
	done
	took=$(((${EPOCHREALTIME/./} - begin) / 1000))
	[ "$i" -lt 20000 ] || fail "not mounted"
	cpu=$(cat /proc/$PID/task/*/schedstat | awk '{ ns += $1 } END { printf "%d", ns / 1000000 }')
}

# A mount that dies before it is done: what it had begun to mend is mended by the next one.
killed_mount() {
	terracefs "$POOL" "$M" -f </dev/null >>"$LOG" 2>&1 &
	PID=$!
	sleep "0.$(printf %03d $((RANDOM % 120)))"
	pool_kill
	again=$((again + 1))
}

# Names made and changed until the journal on the medium holds 64 MiB.
fill_journal() {
	local i=0
	mkdir -p "$M/filler"
	while [ "$(metric journal_bytes)" -lt $((64 << 20)) ]; do
		python3 - "$M/filler" "$i" <<-'PYTHON'
			import os, sys
			folder, first = sys.argv[1], int(sys.argv[2])
			for i in range(first, first + 500):
			    path = "%s/name-%d" % (folder, i % 8000)
			    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
			    os.setxattr(path, "user.some", b"x" * (i % 1500))
			    os.chmod(path, 0o600)
			    os.rename(path, path + ".to")
		PYTHON
		i=$((i + 500))
		terrace sync "$M"
	done
}

percentiles() { # FILE COLUMN
	cut -d' ' -f"$2" "$1" | sort -n | awk '{ t[NR] = $1 } END {
		if (NR == 0) print "none"
		else printf "p50 %d ms, p99 %d ms, most %d ms, of %d\n",
			t[int((NR + 1) * 0.5)], t[int(NR * 0.99 + 0.999999)], t[NR], NR }'
}

pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=lz4,size=96M,segment=8M,min_age=1s,high=60,low=40" \
	"hdd:path=$T/hdd,codec=zstd:3,segment=16M"
config_set run_interval 500ms
config_set residency 0
config_set promote_gain 0
works_prepare 1500
timed_mount
while [ $SECONDS -lt "$until" ] && [ $losses -eq 0 ]; do
	iterations=$((iterations + 1))
	large=$((iterations % 4 == 0))
	works_begin "$iterations" $((RANDOM + 1))
	if [ $large -eq 1 ]; then
		fill_journal
	else
		sleep "$((RANDOM % 4)).$(printf %03d $((RANDOM % 1000)))"
	fi
	works_freeze "$iterations"
	journal=$(metric journal_bytes || echo 0)
	works_kill
	works_end || losses=$((losses + 1))
	umount -l "$M"
	[ $((iterations % 3)) -ne 0 ] || killed_mount
	config_set checkpoint_interval "$([ $((iterations % 4)) -eq 3 ] && echo 1h || echo 2s)"
	config_set journal_size "$([ $((iterations % 4)) -eq 3 ] && echo 128M || echo 2M)"
	timed_mount
	# a checkpoint may have come in between
	echo "$took $cpu" >>"$T/times$([ "$journal" -lt $((64 << 20)) ] || echo .64)"
	works_check "$iterations" kill || losses=$((losses + 1))
	echo "iteration $iterations: $((journal >> 20)) MiB of journal, opened in $took ms (processor: $cpu ms)"
done
if [ $losses -ne 0 ] && [ -n "${TERRACE_KEEP:-}" ]; then
	pool_kill
	cp -a "$T" "$RAM" "$TERRACE_KEEP/"
fi
[ -z "$PID" ] || pool_umount
echo "$iterations iterations, $again openings killed, $losses losses"
echo "opening: $(percentiles "$T/times" 1)"
echo "opening with 64 MiB of journal: $(percentiles "$T/times.64" 1)"
echo "processor time of that: $(percentiles "$T/times.64" 2)"
[ $losses -eq 0 ]
