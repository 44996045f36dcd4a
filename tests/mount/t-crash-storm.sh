#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9, again and again: what was acknowledged is there.
. "$(dirname "$0")/lib.sh"

pool_new
for round in 1 2 3; do
	pool_mount
	mkdir "$M/storm-$round"
	"$HELPERS/crash" storm "$M/storm-$round" "$T/ledger-$round" "$round" 2>"$T/storm.err" &
	storm=$!
	sleep "1.$((RANDOM % 9))"
	pool_kill
	wait "$storm" || fail "the storm ended with an error: $(cat "$T/storm.err")"
	pool_mount
	for i in $(seq 1 "$round"); do
		"$HELPERS/crash" check "$M/storm-$i" "$T/ledger-$i" kill
	done
	pool_umount
done
