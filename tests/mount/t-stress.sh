#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Random operations on one file's bytes and on a tree's names while frames move; the same tree after
# kill -9. TERRACE_STRESS_SECONDS (default 3) and TERRACE_STRESS_SEED choose the run.
. "$(dirname "$0")/lib.sh"

seconds=${TERRACE_STRESS_SECONDS:-3}
seed=${TERRACE_STRESS_SEED:-$RANDOM$RANDOM}
pool_new
config_set run_interval 1s
pool_mount
mkdir "$M/tree" "$M/bytes"
"$HELPERS/fsx" "$M/bytes" "$seconds" "$seed" &
fsx=$!
"$HELPERS/stress" "$M/tree" "$seconds" "$seed" &
stress=$!
while kill -0 "$fsx" 2>/dev/null || kill -0 "$stress" 2>/dev/null; do
	case $((RANDOM % 3)) in
	0) terrace demote --to hdd "$M" ;;
	1) terrace promote --to ssd "$M" ;;
	2) terrace run "$M" ;;
	esac >/dev/null 2>&1 || true # names come and go under it
	sleep "0.0$((RANDOM % 9))"
done
wait "$fsx" || fail "bytes"
wait "$stress" || fail "names"
find "$M/tree" -printf '%y %i %m %n %T@ %P %l\n' ! -type d -printf '%s\n' | sort >"$T/before"
pool_kill
pool_mount
find "$M/tree" -printf '%y %i %m %n %T@ %P %l\n' ! -type d -printf '%s\n' | sort >"$T/after"
diff "$T/before" "$T/after" >&2 || fail "other names or attributes after kill -9"
"$HELPERS/stress" "$M/tree" 0 || fail "the tree after kill -9"
rm -r "$M/tree"
[ "$(ls -A "$M")" = bytes ] || fail "left: $(ls -A "$M")"
pool_umount
