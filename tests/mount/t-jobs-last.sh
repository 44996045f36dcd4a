#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Jobs outlive the daemon: killed in the middle of one, unmounted with one paused.
. "$(dirname "$0")/lib.sh"

pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=none" "hdd:path=$T/hdd,codec=none,test_bandwidth=20M"
pool_mount
state() {
	jq -r .state "$M/.terrace/jobs/$1"
}
wait_state() { # NUMBER STATE
	local _
	for _ in $(seq 1 600); do
		[ "$(state "$1")" != "$2" ] || return 0
		sleep 0.05
	done
	fail "job $1: $(cat "$M/.terrace/jobs/$1") is not $2"
}
mkdir "$M/many"
for i in $(seq 1 40); do
	head -c 1000000 /dev/urandom >"$M/many/$i"
done
(cd "$M" && find many -type f -exec sha256sum {} +) >"$T/sums"
terrace sync "$M"

terrace demote --async --to hdd "$M/many" >/dev/null
terrace demote --async --to hdd "$M/many/7" >/dev/null
wait_state 1 running
sleep 0.5
pool_kill
pool_mount
[ "$(ls "$M/.terrace/jobs")" = "$(printf '1\n2\nnew')" ] || fail "$(ls "$M/.terrace/jobs")"
jq -e '.what == "/many" and .verb == "demote" and .to == "hdd"' "$M/.terrace/jobs/1" >/dev/null ||
	fail "$(cat "$M/.terrace/jobs/1")"
[[ "$(state 1)" == running || "$(state 1)" == queued ]] || fail "$(cat "$M/.terrace/jobs/1")"
for i in $(seq 1 600); do # the rate and the time that is left are told on the way
	jq -e '.state == "done" or (.rate > 100000 and .eta_s >= 1 and .started != null)' "$M/.terrace/jobs/1" >/dev/null &&
		break
	sleep 0.01
done
[ "$i" -lt 600 ] || fail "$(cat "$M/.terrace/jobs/1")"
wait_state 1 "done"
wait_state 2 "done"
jq -e '.files == 40 and .ended > .started and .error == null' "$M/.terrace/jobs/1" >/dev/null || fail "$(cat "$M/.terrace/jobs/1")"
[ "$(getfattr -R --absolute-names -n user.terrace.tier "$M/many" | grep -c '"hdd"')" -ge 40 ] || fail "not all are on hdd"

# unmounting interrupts, and does not wait for the whole of it
terrace promote --async --to ssd "$M/many" >/dev/null
terrace demote --async --to hdd "$M/many" >/dev/null
wait_state 3 running
echo pause >"$M/.terrace/jobs/4"
pool_remount
[ "$(state 4)" = paused ] || fail "$(cat "$M/.terrace/jobs/4")"
wait_state 3 "done"
[ "$(state 4)" = paused ] || fail "$(cat "$M/.terrace/jobs/4")"
[ "$(attribute tier "$M/many/1")" = ssd ] || fail "the paused job ran"
echo resume >"$M/.terrace/jobs/4"
wait_state 4 running
echo cancel >"$M/.terrace/jobs/4"
pool_kill # what was acknowledged: it is cancelled
pool_mount
[ "$(state 4)" = cancelled ] || fail "$(cat "$M/.terrace/jobs/4")"
terrace run --async "$M" >/dev/null
[ -e "$M/.terrace/jobs/5" ] || fail "numbers do not go on: $(ls "$M/.terrace/jobs")"
exec 9<>"$M/.terrace/jobs/new" # a plain read after the write
echo '{"verb":"run"}' >&9
read -r reply <&9 || true
[ "$reply" = '{"job":6}' ] || fail "reply: $reply"
exec 9>&-
(cd "$M" && sha256sum --quiet -c "$T/sums")
pool_umount
