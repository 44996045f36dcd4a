#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The benchmark itself, at its smallest: it runs, and its report says what was measured.
. "$(dirname "$0")/lib.sh"

# flavors: release
bench=$ROOT/tests/bench
"$bench/test_report.py" >"$T/said" 2>&1 || fail "$(cat "$T/said")"
"$bench/run.sh" --help >"$T/help"
for row in $("$bench/rows.py" names all memory names pgbench); do
	grep -q "^  $row " "$T/help" || fail "--help does not know $row"
done
refused 2 'no row or group nothing' "$bench/run.sh" nothing
if TERRACE_BUILD=$T/no-such-build "$bench/run.sh" --rounds 1 create floor >"$T/said" 2>&1; then
	fail "a benchmark that could not run ended well: $(cat "$T/said")"
fi
TERRACE_BUILD=$BUILD "$bench/run.sh" --rounds 2 --small 50 --mb 8 --out "$T/json" create,stat,unlink floor,terrace 2>"$T/said" ||
	fail "$(cat "$T/said")"
for row in create stat unlink; do
	for column in floor terrace; do
		jq -e ".rows.$row.columns.$column | .median > 0 and (.values | length) == 2" "$T/json" >/dev/null ||
			fail "no $row of $column: $(cat "$T/json")"
	done
	jq -e ".rows.$row.columns.terrace.costs | .cpu_s.median >= 0 and .peak_mb.median > 1" "$T/json" >/dev/null ||
		fail "the daemon's costs are missing: $(cat "$T/json")"
done
grep -qE '^create +ops/s .* 0\.85 floor' "$T/said" || fail "no table: $(cat "$T/said")"
