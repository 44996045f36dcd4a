#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# terrace jobs: lists, waits, pauses, resumes, cancels, and its exit codes.
. "$(dirname "$0")/lib.sh"

pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=none" "hdd:path=$T/hdd,codec=none,test_bandwidth=10M"
pool_mount
code() { # WANT ARGUMENTS
	local want=$1 got=0
	shift
	terrace jobs "$@" >"$T/out" 2>&1 || got=$?
	[ "$got" -eq "$want" ] || fail "jobs $*: $got instead of $want: $(cat "$T/out")"
}
code 0 "$M"
[ "$(wc -l <"$T/out")" = 1 ] || fail "$(cat "$T/out")"
head -c 20000000 /dev/urandom >"$M/big"
head -c 1000 /dev/urandom >"$M/small"
terrace sync "$M"
[ "$(terrace demote --async --json --to hdd "$M/big")" = '{"job":1}' ] || fail "number"
[ "$(terrace demote --async --to hdd "$M/small")" = 2 ] || fail "not the number alone"
code 75 status 1 "$M"
code 0 "$M"
grep -qE '^ +1 +(running|queued) +demote .* /big to hdd$' "$T/out" || fail "$(cat "$T/out")"
code 0 pause 1 "$M"
code 0 wait 2 "$M" # not held up by the paused one
code 75 status 1 "$M"
grep -q paused "$T/out" || fail "$(cat "$T/out")"
# what is left of it shows
percent=$(jq '100 * .bytes_done / .bytes_total | floor' "$M/.terrace/jobs/1")
[ "$percent" -lt 100 ] || fail "a paused job is at $percent%: $(cat "$M/.terrace/jobs/1")"
code 0 resume 1 "$M"
code 0 wait 1 -p off "$M"
code 0 status 1 "$M"
code 3 pause 1 "$M"
code 3 cancel 1 "$M"
terrace promote --async --to ssd "$M/big" >/dev/null
terrace demote --async --to hdd "$M/big" >/dev/null
code 0 cancel 4 "$M"
code 1 wait 4 "$M"
code 1 status 4 "$M"
code 0 wait 3 "$M"
code 1 status 99 "$M"
code 1 cancel 99 "$M"
code 2 status
code 2 status x "$M"
code 2 dance 1 "$M"
code 0 --json "$M"
jq -e 'map(.job) == [1,2,3,4] and map(.state) == ["done","done","done","cancelled"] and .[0].what == "/big"' "$T/out" >/dev/null ||
	fail "$(cat "$T/out")"

# Ctrl-C ends waiting for a job, but cancels one's own
terrace demote --async --to hdd "$M/big" >/dev/null
timeout -s INT 0.5 terrace jobs wait 5 "$M" >/dev/null 2>&1 || true
[ "$(jq -r .state "$M/.terrace/jobs/5")" = running ] || fail "waiting cancelled the job: $(cat "$M/.terrace/jobs/5")"
code 0 wait 5 "$M"
# Once the job runs, the command follows it. (bash lets background commands ignore SIGINT.)
python3 - "$M" <<'END'
import os, signal, subprocess, sys, time
p = subprocess.Popen(["terrace", "promote", "--progress=off", "--to", "ssd", sys.argv[1] + "/big"],
                     preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
while p.poll() is None and not os.path.exists(sys.argv[1] + "/.terrace/jobs/6"):
    time.sleep(0.01)
time.sleep(0.1)
p.send_signal(signal.SIGINT)
p.wait()
END
for i in $(seq 1 100); do
	[ "$(jq -r .state "$M/.terrace/jobs/6")" != running ] && break
	sleep 0.1
done
code 0 "$M"
[[ "$(jq -r .state "$M/.terrace/jobs/6")" == cancelled ]] || fail "Ctrl-C: $(cat "$M/.terrace/jobs/6")"

# A script takes the number from the standard output, and only that is there.
code 0 wait "$(terrace demote --async --to hdd "$M/big" 2>/dev/null)" "$M"
code 3 wait "$(terrace run --async "$M")" "$M"
job=$(terrace pin --async ssd "$M/big" 2>"$T/err")
grep -q 'big: pinned in ssd' "$T/err" || fail "$(cat "$T/err")"
code 0 wait "$job" "$M"
code 0 "$M"
grep -qE "^ +$job +done +place .* /big\$" "$T/out" || fail "a job names a number: $(cat "$T/out")"
job=$(terrace scrub --async "$M")
code 0 wait "$job" "$M"

# Others are told once, and by the exit code.
if [ "$(id -u)" = 0 ]; then
	for verb in jobs scrub; do
		refused 1 'it belongs to root and to who mounted the pool' \
			setpriv --reuid 65534 --regid 65534 --clear-groups terrace "$verb" "$M"
	done
fi
pool_umount
