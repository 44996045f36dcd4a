#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mount -t fuse.terracefs and an fstab line work.
# mount(8) finds terracefs in the system's folders only: lay ours over one, for this test alone
[ -n "${TERRACE_UNSHARED:-}" ] || exec env TERRACE_UNSHARED=1 unshare -m bash "$0"
. "$(dirname "$0")/lib.sh"

mount --bind "$PROGRAMS" /usr/local/sbin
mount --bind "$PROGRAMS" /usr/local/bin

pool_new
[ -x /sbin/mount.fuse3 ] || [ -x /sbin/mount.fuse ] || skip "no mount.fuse here"
mount -t fuse.terracefs "$POOL" "$M" >>"$LOG" 2>&1
PID=$(stats .pid)
echo hello >"$M/file"
daemon=$PID
umount "$M"
for i in $(seq 1 100); do
	alive "$daemon" || break
	sleep 0.1
done
[ "$i" -lt 100 ] || fail "the daemon does not end"
PID=
echo "$POOL $M fuse.terracefs noauto,noatime,nosuid 0 0" >"$T/fstab"
mount -T "$T/fstab" "$M" >>"$LOG" 2>&1
PID=$(stats .pid)
[ "$(cat "$M/file")" = hello ] || fail "contents"
findmnt -no OPTIONS "$M" | grep -q nosuid || fail "options: $(findmnt -no OPTIONS "$M")"
# options are settled at the mount; the kernel alone may make it read-only
code=0
terracefs "$POOL" "$M" -o remount,relatime >"$T/said" 2>&1 || code=$?
[ "$code" -eq 2 ] && grep -q 'settled when a pool is mounted' "$T/said" || fail "remount: $code, $(cat "$T/said")"
mount -i -o remount,ro "$M"
! touch "$M/new" 2>/dev/null || fail "written to after remount,ro"
mount -i -o remount,rw "$M"
touch "$M/new"
terrace umount "$M"
PID=
