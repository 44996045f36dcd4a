#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# A file that replaces another while its writer still has it open has its bytes on media no later
# than its name: after a power loss there is the old content or the new one, never none.
. "$(dirname "$0")/lib.sh"

# Nothing is synced, and nothing is closed before the power goes.
cat >"$T/writer.py" <<'END'
import ctypes, os, signal, sys
folder, size = sys.argv[1], int(sys.argv[2])
libc = ctypes.CDLL(None)
def put(name, text):
    file = open(folder + "/" + name, "w")
    file.write(text * (size // len(text)))
    file.flush()
    return file
def exchange(one, two):
    if libc.renameat2(-100, f"{folder}/{one}".encode(), -100, f"{folder}/{two}".encode(), 2):
        sys.exit("renameat2")
files = [put(name + ".new", "new\n") for name in ("replaced", "one", "two")]
os.rename(folder + "/replaced.new", folder + "/replaced")
exchange("one.new", "one")
exchange("two", "two.new")
print("written", flush=True)
signal.pause()
END

old_or_new() { # FILE SIZE
	[ "$(cat "$1")" = old ] || { [ "$(stat -c %s "$1")" -eq "$2" ] && [ "$(sort -u "$1")" = new ]; } ||
		fail "${1##*/} has neither its old nor its new content: $(stat -c %s "$1") bytes of $2"
}

pool_new
for size in 4096 3000000; do
	pool_mount
	for name in replaced one two; do echo old >"$M/$name"; done
	terrace sync "$M"
	: >"$T/said"
	python3 "$T/writer.py" "$M" "$size" >"$T/said" &
	writer=$!
	for _ in $(seq 1 200); do
		[ ! -s "$T/said" ] || break
		sleep 0.05
	done
	[ -s "$T/said" ] || fail "the writer has not come through"
	# Somebody else's fsync makes the names durable.
	echo beside >"$M/beside"
	sync "$M/beside"
	pool_power_loss
	kill "$writer"
	wait "$writer" || true
	pool_mount
	for name in replaced one two; do old_or_new "$M/$name" "$size"; done
	pool_umount
done
