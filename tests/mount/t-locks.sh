#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flock and POSIX locks hold between processes and end with their owner.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
exec 8>"$M/lock"
flock -n 8
if flock -n "$M/lock" true; then fail "locked twice"; fi
exec 8>&-
flock -w 5 "$M/lock" true || fail "the lock did not end with its owner"
sh -c 'exec 9>"$1"; flock 9; exec sleep 100' sh "$M/lock" &
for i in $(seq 1 50); do
	flock -n "$M/lock" true || break
	sleep 0.1
done
[ "$i" -lt 50 ] || fail "the other process did not get the lock"
kill -9 $!
wait $! 2>/dev/null || true
flock -w 5 "$M/lock" true || fail "the lock did not end with a killed owner"
pool_umount
