#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# An unlinked open file's space comes back, at the last close and after kill -9.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
stored() {
	terrace sync "$M"
	stats '.logical + .stored'
}
echo base >"$M/base"
base=$(stored)
exec 7<>"$M/open"
head -c 8000000 /dev/urandom >&7
rm "$M/open"
[ "$(stored)" -gt $((base + 8000000)) ] || fail "an open unlinked file is not kept"
exec 7>&-
for i in 1 2 3 4 5 6 7 8 9 10; do # the release arrives after close(2) returned
	[ "$(stored)" -gt $((base + 100000)) ] || break
	sleep 0.1
done
[ "$i" -lt 10 ] || fail "$(stored) bytes after the last close, $base before"
exec 7<>"$M/open"
head -c 8000000 /dev/urandom >&7
rm "$M/open"
terrace sync "$M"
pool_kill
exec 7>&- || true
pool_mount
for i in 1 2 3 4 5 6 7 8 9 10; do
	[ "$(stored)" -gt $((base + 100000)) ] || break
	sleep 0.2
done
[ "$i" -lt 10 ] || fail "$(stored) bytes after kill -9, $base before"
[ "$(ls "$M")" = base ] || fail "$(ls "$M")"
pool_umount
