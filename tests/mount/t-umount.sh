#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The daemon in the background, terrace umount waits for it, and the verbs' exit codes.
. "$(dirname "$0")/lib.sh"

pool_new
terracefs "$POOL" "$M" >>"$LOG" 2>&1
mountpoint -q "$M" || fail "not mounted when terracefs returned"
daemon=$(stats .pid)
[ "$(cat "/proc/$daemon/comm")" = terracefs ] || fail "pid $daemon is $(cat "/proc/$daemon/comm")"
seq 1 100000 >"$M/file"
terrace umount "$M"
if alive "$daemon"; then fail "terrace umount returned before the daemon had ended"; fi
if mountpoint -q "$M"; then fail "still mounted"; fi
[ -z "$(find "$RAM" -type f -size +0)" ] || fail "left in the RAM tier's folder: $(ls -R "$RAM")"
code() { # WANT COMMAND
	local want=$1 got=0
	shift
	"$@" >"$T/out" 2>&1 || got=$?
	[ "$got" -eq "$want" ] || fail "$*: $got instead of $want: $(cat "$T/out")"
}
code 1 terrace umount "$M"
code 1 terrace status "$M"
says() { # PATTERN COMMAND: fails and says so
	local pattern=$1
	shift
	code 1 "$@"
	grep -qE -- "$pattern" "$T/out" || fail "$*: '$(cat "$T/out")' does not say $pattern"
}
says 'no such file, and no pool of this name is mounted' terrace status no-such-pool
says 'no such file, and no pool of this name is mounted' terrace umount no-such-pool
says "the pool $POOL is not mounted; .terracefs" terrace status "$POOL"
says "the pool $POOL is not mounted; .terracefs" terrace umount "$POOL"
says 'no pool is mounted there|not on a mounted pool' terrace status "$M"
code 2 terrace
code 2 terrace dance
code 2 terrace demote
code 2 terrace demote --nonsense "$M"
code 0 terrace --help
code 0 terrace create --help
terracefs "$POOL" "$M" >>"$LOG" 2>&1
PID=$(stats .pid)
seq 1 100000 | cmp - "$M/file"
code 0 terrace status "$POOL"
cp "$POOL" "$M/some.conf"
code 0 terrace status "$M/some.conf"
for verb in status usage; do
	code 0 terrace "$verb" "$M"
	code 0 terrace "$verb" --json "$M"
	jq -e . "$T/out" >/dev/null || fail "$verb --json: $(cat "$T/out")"
done
code 0 terrace where "$M/file"
code 0 terrace where --json "$M/file"
jq -e . "$T/out" >/dev/null || fail "where --json: $(cat "$T/out")"
code 1 terrace where "$M/missing"
code 1 terrace where /etc/passwd
code 0 terrace demote --to hdd "$M/file"
code 3 terrace demote --to hdd "$M/file"
code 3 terrace demote "$M/file"
exec 9<"$M/file"
got=0
terrace umount "$M" >"$T/out" 2>&1 || got=$?
[ "$got" -eq 75 ] || fail "umount of a busy mount: $got: $(cat "$T/out")"
exec 9<&-
code 0 terrace umount "$M"
PID=
# A daemon of another pid namespace calls itself 1: nobody waits for init.
unshare --pid --fork terracefs "$POOL" "$M" -f </dev/null >>"$LOG" 2>&1 &
PID=$!
for i in $(seq 1 200); do
	! mountpoint -q "$M" || break
	sleep 0.05
done
[ "$(stats .pid)" = 1 ] || fail "the daemon of another namespace calls itself $(stats .pid)"
code 0 timeout 20 terrace umount "$M"
wait "$PID" || fail "the daemon of another namespace ended with $?"
PID=
