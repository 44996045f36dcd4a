#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# .terrace/metrics is what Prometheus reads, and its numbers are those of stats.json.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount

metrics() { # into $T/metrics
	cat "$M/.terrace/metrics" >"$T/text"
	python3 "$ROOT/tests/mount/metrics-check.py" "$T/text" >"$T/metrics" || fail "not the text format"
}
value() { # SERIES
	awk -v series="$1" '$1 == series { print $2; n++ } END { exit n != 1 }' "$T/metrics" || fail "$1 is missing"
}
same() { # SERIES FILTER
	[ "$(value "$1")" = "$(stats "$2")" ] || fail "$1: $(value "$1") is not $(stats "$2")"
}

metrics
[ "$(value 'terrace_medium_seconds_count{op="write",tier="hdd"}')" = 0 ] || fail "a new hdd was written to"
seq 1 300000 >"$M/file"
terrace sync "$M"
move_all demote hdd
metrics
[ "$(value 'terrace_moves_total{reason="asked"}')" -gt 0 ] || fail "moves do not count"
same 'terrace_moved_bytes_total{reason="asked"}' .engine.moves.asked.bytes
same 'terrace_tier_moved_in_bytes_total{tier="hdd"}' '.tiers[2].moved_in'
[ "$(value 'terrace_breaker_state{state="closed",tier="hdd"}')" = 1 ] || fail "breaker"
[ "$(value 'terrace_breaker_state{state="open",tier="hdd"}')" = 0 ] || fail "breaker"
[ "$(value terrace_events_total)" = "$(terrace events --json "$M" | wc -l)" ] || fail "events"
[ "$(terrace status "$M")" = "$(cat "$M/.terrace/status")" ] || fail "two words about the status"
pool_remount
drop_caches
cat "$M/file" >/dev/null
metrics
same terrace_logical_bytes .logical
same terrace_stored_bytes .stored
same terrace_objects .objects
for tier in ram ssd hdd; do
	for key in size used live logical; do
		same "terrace_tier_${key}_bytes{tier=\"$tier\"}" ".tiers[] | select(.name == \"$tier\").$key"
	done
	same "terrace_tier_hits_total{tier=\"$tier\"}" ".tiers[] | select(.name == \"$tier\").hits"
done
[ "$(value 'terrace_medium_seconds_count{op="read",tier="hdd"}')" -gt 0 ] || fail "the file was read from hdd"
[ "$(value 'terrace_medium_bytes_total{op="read",tier="hdd"}')" -ge "$(stats '.tiers[2].live')" ] || fail "bytes read"
awk '/^terrace_medium_seconds_sum.*op="read".*tier="hdd"/ { exit !($2 > 0 && $2 < 60) }' "$T/metrics" || fail "time"
[ "$(value 'terrace_jobs{state="done"}')" = "$(find "$M/.terrace/jobs" -name '[0-9]*' | wc -l)" ] || fail "jobs"
[ "$(value 'terrace_jobs{state="running"}')" = 0 ] || fail "jobs run"
grep -q '^terrace_info{pool="pool",uuid="[0-9a-f]*",version="' "$T/metrics" || fail "info"
before=$(value 'terrace_medium_seconds_count{op="write",tier="ssd"}')
seq 1 100000 >"$M/more"
terrace sync "$M"
metrics
[ "$(value 'terrace_medium_seconds_count{op="write",tier="ssd"}')" -gt "$before" ] || fail "writes do not count"
[ "$(value 'terrace_medium_seconds_count{op="sync",tier="ssd"}')" -gt 0 ] || fail "syncs do not count"

# Each kind of request: as many as there were, and the histogram holds them all.
requests() { terrace stats -lj "$M" | jq "$1"; }
made=$(requests '.mkdir.count // 0')
for i in $(seq 1 40); do mkdir "$M/made-$i"; done
[ "$(requests .mkdir.count)" = $((made + 40)) ] || fail "40 folders, and mkdir went from $made to $(requests .mkdir.count)"
[ "$(requests '[.[] | .count == ([.histogram[][1]] | add)] | all')" = true ] || fail "a histogram lacks some"
[ "$(requests '[.[] | .p50_ns <= .p90_ns and .p90_ns <= .p99_ns and .p99_ns <= .p999_ns] | all')" = true ] || fail "quantiles"
terrace stats --latency "$M" | grep -qE '^mkdir +[0-9]+ ' || fail "no line for mkdir"
terrace stats "$M" | jq -e .requests.mkdir >/dev/null || fail "stats is not stats.json"
pool_umount
