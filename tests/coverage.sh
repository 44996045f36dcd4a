#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Which lines of compress/ and tiers/ the unit tests run: per file and in total.
#
#   tests/coverage.sh [-d DIR] [-k PATTERN] [-v]
#
# -d DIR   builds there and keeps it (default: a temporary folder), so that the next run builds
#          only what has changed; counts of earlier runs are dropped
# -k       only the unit tests whose name matches (extended regular expression)
# -v       also the lines that were not run, per file
#
# The fuzz corpora do not count. Loops over faults and power cuts take larger steps
# (tests/unit/fix_depth.h). Ends with 1 when a test fails, or when all tests together run less than
# 95 % of the lines.
set -euo pipefail
goal=95
top=$(cd "$(dirname "$0")/.." && pwd)
export LC_ALL=C
dir=
pattern=^test_
verbose=
while getopts d:k:v option; do
	case $option in
	d) dir=$OPTARG ;;
	k) pattern=$OPTARG ;;
	v) verbose=1 ;;
	*)
		sed -n '5,14s/^# \{0,1\}//p' "$0" >&2
		exit 2
		;;
	esac
done
if [ -z "$dir" ]; then
	dir=$(mktemp -d "${TMPDIR:-/tmp}/terrace-coverage.XXXXXX")
	trap 'rm -rf "$dir"' EXIT
fi
command -v gcovr >/dev/null || {
	echo "gcovr is missing: run tools/install-deps.sh" >&2
	exit 2
}

mkdir -p "$dir"
log=$dir/coverage.log
# Counters are atomic: tests have threads. Optimised code would fold lines together.
cmake -S "$top" -B "$dir" -G Ninja -DCMAKE_BUILD_TYPE=Debug \
	-DCMAKE_C_FLAGS="--coverage -O0 -fprofile-update=atomic -DTERRACE_COVERAGE" >"$log" 2>&1 || {
	tail -n 20 "$log" >&2
	exit 1
}
mapfile -t tests < <(ctest --test-dir "$dir" -N -R "$pattern" | sed -n 's/^ *Test *#[0-9]*: //p')
if [ "${#tests[@]}" = 0 ]; then
	echo "no test matches $pattern" >&2
	exit 2
fi
cmake --build "$dir" --target "${tests[@]}" >>"$log" 2>&1 || {
	tail -n 20 "$log" >&2
	exit 1
}
find "$dir" -name '*.gcda' -delete
status=0
ctest --test-dir "$dir" -j"$(nproc)" -R "$pattern" --output-on-failure </dev/null >>"$log" 2>&1 || {
	sed -n '/The following tests FAILED/,$p' "$log" >&2
	status=1
}

json=$dir/coverage.json
gcovr --root "$top" --object-directory "$dir" --filter "$top/compress/" --filter "$top/tiers/" \
	--exclude-unreachable-branches --json "$json" "$dir" >>"$log" 2>&1
python3 - "$json" "$goal" "${verbose:-0}" "$pattern" <<'EOF' || status=1
import json, sys
path, goal, verbose, pattern = sys.argv[1], float(sys.argv[2]), sys.argv[3] == '1', sys.argv[4]
total = ran = 0
rows = []
for item in json.load(open(path))['files']:
    lines = [l for l in item['lines'] if not l.get('gcovr/noncode')]
    hit = sum(1 for l in lines if l['count'])
    total += len(lines)
    ran += hit
    missed = sorted(l['line_number'] for l in lines if not l['count'])
    rows.append((item['file'], hit, len(lines), missed))
print('%-34s %6s %6s %6s' % ('File', 'Lines', 'Run', 'Run%'))
for name, hit, n, missed in sorted(rows):
    print('%-34s %6d %6d %6.1f' % (name, n, hit, 100 * hit / n if n else 100))
    if verbose and missed:
        print('    not run: ' + ' '.join(map(str, missed)))
share = 100 * ran / total if total else 0
print('%-34s %6d %6d %6.1f' % ('all', total, ran, share))
sys.exit(1 if pattern == '^test_' and share < goal else 0)
EOF
exit "$status"
