#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The random programs for as long as wanted, a new seed each minute, as root, on the release build:
#
#   tests/posix-soak.sh SECONDS
#
# Bytes and names beside moves with kill -9 (t-stress.sh), many files against a model (t-model.sh), and
# once a folder with POSIX_ENTRIES names (default a million). The log of what fails is printed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
[ $# -eq 1 ] || { sed -n '3,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
export TERRACE_BUILD=${TERRACE_BUILD:-$PWD/build/release}
end=$((SECONDS + $1))
rounds=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
try() { # SCRIPT
	bash "tests/mount/$1" >"$log" 2>&1 && return
	failed=$((failed + 1))
	echo "FAIL $1, seed ${TERRACE_STRESS_SEED:-}:"
	tail -n 60 "$log"
}
TERRACE_ENTRIES=${POSIX_ENTRIES:-1000000} try t-many-entries.sh
while [ "$SECONDS" -lt "$end" ]; do
	left=$((end - SECONDS))
	export TERRACE_STRESS_SEED=$RANDOM$RANDOM TERRACE_MODEL_SEED=$RANDOM$RANDOM
	export TERRACE_STRESS_SECONDS=$((left < 60 ? left : 60)) TERRACE_MODEL_SECONDS=20
	try t-stress.sh
	try t-model.sh
	rounds=$((rounds + 1))
done
echo "$rounds rounds, $failed failed"
[ "$failed" -eq 0 ]
