# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For t-fill-*.sh: small disks under a pool, filled to the last byte, and what must hold then.
# Sourced after lib.sh.

FILL=$ROOT/tests/mount/fill.py

small_disk() { # NAME SIZE: $T/NAME is a filesystem of its own
	truncate -s "$2" "$T/$1.image"
	mkfs.ext4 -q -m 0 "$T/$1.image"
	mkdir "$T/$1"
	mount -o loop "$T/$1.image" "$T/$1"
}

# Somebody else takes all that is left on a disk.
fill_up() { # FOLDER
	dd if=/dev/zero of="$1/filler" bs=64K status=none 2>/dev/null || true
	dd if=/dev/zero of="$1/filler.2" bs=512 status=none 2>/dev/null || true
}
give_back() { rm "$1/filler" "$1/filler.2"; }

# The daemon's CPU time, in ticks.
cpu_ticks() { sed 's/.*) //' "/proc/$PID/stat" | awk '{ print $12 + $13 }'; }

# Nothing spins: 10 s after the last call the daemon takes less than 3 % of a processor.
expect_idle() { # WHEN
	local before ticks hz
	hz=$(getconf CLK_TCK)
	sleep "${FILL_SETTLE:-10}"
	before=$(cpu_ticks)
	sleep 4
	ticks=$(($(cpu_ticks) - before))
	[ "$((ticks * 100))" -le "$((3 * 4 * hz))" ] ||
		fail "$1: the daemon takes $ticks of $((4 * hz)) ticks"
}

# fill MODE [ARGUMENT...]: fill.py with a limit of time; a hang is a failure.
fill() {
	local status=0
	timeout -k 5 "${FILL_LIMIT:-120}" python3 "$FILL" "$M" "$@" || status=$?
	if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then fail "fill $* hangs"; fi
	[ "$status" -eq 0 ] || fail "fill $*: $status"
}

# How many files the last `fill small` or `fill write` got in.
fill_count() { cat "$T/mnt.count"; }
