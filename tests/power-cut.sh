#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Real power cuts: ssd, hdd and metadata each on a filesystem of their own (ext4 and xfs, which
# change places in the middle of the time), cut off without a flush of their logs (FS_IOC_SHUTDOWN)
# at slightly different moments while programs are at work (tests/mount/works.sh) and everything is
# moved; the daemon killed, tmpfs emptied; everything mounted again and compared.
#
#   tests/power-cut.sh [SECONDS [SEED]]     default: 60 seconds
#
# What an fsync had acknowledged must be there, the names are those of one moment, no byte is
# invented. Prints the cuts, losses (must be 0), and how long opening took. TERRACE_BUILD names the
# build (default build/release); TERRACE_FILES how many files are unpacked (default 300).
TERRACE_BUILD=${TERRACE_BUILD:-$(cd "$(dirname "$0")/.." && pwd)/build/release}
. "$(dirname "$0")/mount/lib.sh"
. "$(dirname "$0")/mount/works.sh"

MEDIA="ssd hdd meta"
seconds=${1:-60}
seed=${2:-$(date +%s)}
RANDOM=$((seed % 32768))
echo "seed $seed"
command -v mkfs.xfs >/dev/null || skip "xfsprogs is not installed"
cuts=0 losses=0 slowest=0

medium_new() { # NAME ext4|xfs
	rm -f "$T/$1.image"
	truncate -s 512M "$T/$1.image"
	"mkfs.$2" -q "$T/$1.image" || skip "no mkfs.$2"
	mkdir -p "$T/$1"
	medium_mount "$1"
}
medium_mount() { mount -o loop "$T/$1.image" "$T/$1" || skip "cannot mount a $1"; }

media_pool() { # SSD HDD META: their filesystems
	local name medium
	rm -f "$POOL"
	rm -rf "$WORKS"
	mkdir "$WORKS"
	find "$RAM" -mindepth 1 -delete
	medium_new ssd "$1"
	medium_new hdd "$2"
	medium_new meta "$3"
	for name in $MEDIA; do mkdir "$T/$name/pool"; done
	rmdir "$T/meta/pool"
	terrace create --tier "ram:path=$RAM,size=64M" --meta "$T/meta/pool" \
		--tier "ssd:path=$T/ssd/pool,codec=lz4,size=96M,segment=8M,min_age=1s,high=60,low=40" \
		--tier "hdd:path=$T/hdd/pool,codec=zstd:3,segment=16M" "$POOL"
	config_set start_delay 0
	config_set move_pressure 0
	config_set commit_interval 1s
	config_set checkpoint_interval 2s
	config_set run_interval 500ms
	config_set residency 0
	config_set promote_gain 0
}

media_remove() {
	local name medium
	pool_umount
	for name in $MEDIA; do umount "$T/$name"; done
}

# Not while the daemon is in a call: fdatasync(2) on ext4 answers 0 when the shutdown comes into the
# middle of it, and has written nothing (seen without Terrace, once in 25 shutdowns). A machine that
# loses power has nobody to answer to. (Not by xfs_io: it looks at all mounts, also at the stopped.)
shut_down() { # NAME
	python3 - "$T/$1" "${PID:-0}" <<-'PYTHON'
		import fcntl, glob, os, signal, struct, sys, time
		medium, pid = os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2])
		state = lambda path: open(path).read().rpartition(") ")[2][0]
		if pid:
		    os.kill(pid, signal.SIGSTOP)
		    while any(state(path) != "T" for path in glob.glob("/proc/%d/task/*/stat" % pid)):
		        time.sleep(0.002)
		fcntl.ioctl(medium, 0x8004587D, struct.pack("I", 2)) # FS_IOC_SHUTDOWN, no flush of the log
		if pid:
		    os.kill(pid, signal.SIGCONT)
	PYTHON
}

# Each medium stops taking anything; between them the daemon goes on for a moment, or has died
# before.
cut_power() {
	local name medium
	[ $((RANDOM % 3)) -ne 0 ] || works_kill
	for name in $(for medium in $MEDIA; do echo "$RANDOM $medium"; done | sort -n | cut -d' ' -f2); do
		shut_down "$name"
		[ $((RANDOM % 2)) -ne 0 ] || sleep "0.0$(printf %02d $((RANDOM % 40)))"
	done
	[ -z "$PID" ] || works_kill
}

power_back() {
	local name begin
	find "$RAM" -mindepth 1 -delete
	for name in $MEDIA; do
		umount "$T/$name"
		medium_mount "$name"
	done
	begin=${EPOCHREALTIME/./}
	pool_mount
	took=$(((${EPOCHREALTIME/./} - begin) / 1000))
	[ $took -le $slowest ] || slowest=$took
}

cut_for() { # SECONDS
	local until=$((SECONDS + $1)) round=0
	pool_mount
	while [ $losses -eq 0 ] && { [ $round -eq 0 ] || [ $SECONDS -lt $until ]; }; do
		round=$((round + 1))
		works_begin $round $((RANDOM + 1))
		sleep "$((RANDOM % 3)).$(printf %03d $((RANDOM % 1000)))"
		works_freeze $round
		cut_power
		works_end || losses=$((losses + 1))
		umount -l "$M"
		power_back
		cuts=$((cuts + 1))
		echo "cut $cuts: opened in $took ms"
		works_check $round power || losses=$((losses + 1))
	done
}

works_prepare "${TERRACE_FILES:-300}"
media_pool ext4 xfs ext4
cut_for $((seconds / 2))
media_remove
if [ $losses -eq 0 ]; then
	media_pool xfs ext4 xfs
	cut_for $((seconds - seconds / 2))
	media_remove
fi
echo "$cuts power cuts, $losses losses, opening took at most $slowest ms"
[ $losses -eq 0 ]
