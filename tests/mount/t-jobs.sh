#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The jobs folder: a request gives a number, bad ones EINVAL, others than root nothing.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
seq 1 200000 >"$M/file"

request() {
	python3 - "$M/.terrace/jobs/new" "$1" <<'PY'
import errno, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    os.write(fd, sys.argv[2].encode())
except OSError as e:
    print(errno.errorcode[e.errno], end=" ")
print(os.pread(fd, 4096, 0).decode())
PY
}
wait_job() {
	local i state
	for i in $(seq 1 300); do
		state=$(jq -r .state "$M/.terrace/jobs/$1")
		case $state in queued | running) sleep 0.1 ;; *) break ;; esac
	done
	echo "$state"
}
job=$(request '{"verb":"demote","to":"hdd","paths":["/file"]}' | jq -er .job)
[ "$(wait_job "$job")" = "done" ] || fail "job: $(cat "$M/.terrace/jobs/$job")"
[ "$(attribute tier "$M/file")" = hdd ] || fail "not moved"
jq -e ".job == $job and .verb == \"demote\" and .bytes_done == .bytes_total and .failed_frames == 0 and .engine_ms > 0 and .moving_ms >= .engine_ms and .error == null" "$M/.terrace/jobs/$job" >/dev/null ||
	fail "$(cat "$M/.terrace/jobs/$job")"
[ -n "$(find "$M/.terrace/jobs" -name "$job")" ] || fail "not listed"
for bad in '{}' 'no json' '{"verb":"dance"}' '{"verb":"demote","to":"nowhere","paths":["/file"]}' '{"verb":"demote","paths":["/missing"]}' \
	'{"verb":"demote","paths":"/file"}' '{"verb":"demote","paths":[7]}' "{\"verb\":\"$(head -c 10000 /dev/zero | tr '\0' x)\"}"; do
	got=$(request "$bad")
	[[ "$got" == "EINVAL "*error* ]] || fail "$bad: $got"
done
if setpriv --reuid 65534 --regid 65534 --clear-groups sh -c ": <>'$M/.terrace/jobs/new'" 2>/dev/null; then fail "anybody may start jobs"; fi
[ ! -e "$M/.terrace/jobs/99999" ] || fail "a job that never was"
terrace promote --async "$M/file" >"$T/out"
pool_umount
