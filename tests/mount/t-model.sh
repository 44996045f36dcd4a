#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Reads, writes, truncates, unlinks against a model while frames move; then kill -9 and compare.
. "$(dirname "$0")/lib.sh"

# TERRACE_MODEL_SECONDS (default 12) and TERRACE_MODEL_SEED choose the run.
pool_new
config_set run_interval 1s
pool_mount
mkdir "$T/dump"
"$HELPERS/model" "$M" "${TERRACE_MODEL_SECONDS:-12}" "${TERRACE_MODEL_SEED:-$RANDOM$RANDOM}" "$T/dump" &
model=$!
while kill -0 "$model" 2>/dev/null; do
	case $((RANDOM % 4)) in
	0) terrace demote --to hdd "$M" ;;
	1) terrace promote --to ssd "$M" ;;
	2) terrace run "$M" ;;
	3) terrace sync "$M" ;;
	esac >"$T/verb.out" 2>&1 || case $? in
	3 | 75) ;; # nothing to do, or the pass that is running
	*) grep -qE 'No such file|vanished' "$T/verb.out" || fail "a verb failed: $(cat "$T/verb.out")" ;;
	esac
	sleep "0.0$((RANDOM % 9))"
done
wait "$model" || fail "the model and the files differ"
rm "$M/shared"
same_dump() { diff -r "$T/dump" "$M" >&2 || fail "differs from the model $1"; }
same_dump "at the end"
pool_kill
pool_mount
same_dump "after kill -9"
move_all demote hdd
same_dump "after demotion"
terrace sync "$M"
pool_power_loss
pool_mount
same_dump "after power loss"
pool_umount
