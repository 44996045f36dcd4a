#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# terrace check --deep at a mounted pool, in which files come and go and are moved: silent, though
# what it looks at has been let go of meanwhile; data that is damaged is found all the same.
# flavors: release
. "$(dirname "$0")/lib.sh"

work() { # until it is killed: every file is written anew, or goes to the other tier
	local i=0
	while :; do
		head -c 300K /dev/urandom >"$M/work/$((i % 6))"
		[ $((i % 3)) -ne 0 ] || terrace demote --to hdd "$M/work/$((i % 6))" >/dev/null
		terrace sync "$M"
		i=$((i + 1))
	done 2>/dev/null
}

# check CODE ARGUMENTS...: ends with that code; what it says is in $T/said.
check() {
	local want=$1 status=0
	shift
	terrace check "$@" >"$T/said" 2>&1 || status=$?
	[ "$status" -eq "$want" ] || fail "check $* ended with $status instead of $want: $(cat "$T/said")"
}

pool_new
config_set checkpoint_interval 3s
pool_mount
head -c 500K /dev/urandom >"$T/content"
cp "$T/content" "$M/stays"
# What the checkpoint has, and the medium has not any more.
mkdir "$M/goes"
for i in $(seq 40); do head -c 150K /dev/urandom >"$M/goes/$i"; done
terrace sync "$M"
sleep 3.5 # a checkpoint
rm -r "$M/goes"
terrace sync "$M"
check 0 --deep --json "$M"
jq -e '.mounted and .deep and .found == 0' "$T/said" >/dev/null || fail "$(cat "$T/said")"

mkdir "$M/work"
work &
worker=$!
for i in 1 2 3; do check 0 --deep "$M"; done
kill "$worker"
wait "$worker" 2>/dev/null || true

# shellcheck disable=SC2046 # names without blanks
python3 - "$T/content" $(find "$T/ssd/segments" "$T/hdd/segments" -type f) <<'PY'
import sys
part = open(sys.argv[1], "rb").read()[100000:100064]
for path in sys.argv[2:]:
    with open(path, "r+b") as f:
        where = f.read().find(part)
        if where >= 0:
            f.seek(where)
            f.write(b"damage")
            sys.exit(0)
sys.exit("the bytes are in no segment")
PY
check 4 --deep --json "$M"
jq -e '.mounted and .found == 1 and .problems[0].code == "C210" and .problems[0].where == "/stays"' \
	"$T/said" >/dev/null || fail "$(cat "$T/said")"
pool_umount
