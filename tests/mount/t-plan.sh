#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# terrace plan says what terrace run then does; terrace evacuate empties a tier or a directory.
. "$(dirname "$0")/lib.sh"

mkdir "$T/hdd2"
pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=none,size=40M,high=50,low=30,min_age=0s" \
	"hdd:path=$T/hdd,path=$T/hdd2,codec=none"
config_set run_interval 1h
pool_mount
terrace plan "$M" >"$T/plan"
grep -q '^nothing to move$' "$T/plan" || fail "$(cat "$T/plan")"
mkdir "$M/d"
for i in $(seq 1 30); do head -c 1000000 /dev/urandom >"$M/d/$i"; done
terrace sync "$M"
used=$(stats '.tiers[1].used')
terrace plan --json "$M" >"$T/plan"
jq -e '[.moves[] | select(.reason == "full" and .from == "ssd" and .to == "hdd" and .block == null)] | length == 1 and
	.[0].bytes > 10000000 and .[0].files >= 10 and .[0].stored_after > 0' "$T/plan" >/dev/null || fail "$(cat "$T/plan")"
jq -e '(.tiers[0].used_after < .tiers[0].used) and (.tiers[1].used_after > .tiers[1].used) and
	(.files | length >= 10 and all(startswith("/d/")))' "$T/plan" >/dev/null || fail "$(cat "$T/plan")"
terrace plan -v "$M" >"$T/out"
{ grep -qE "^ssd +hdd +full " "$T/out" && grep -q "^/d/" "$T/out"; } || fail "$(cat "$T/out")"
[ "$(stats '.tiers[1].used')" = "$used" ] || fail "a plan moved something"
terrace run "$M" >/dev/null
moved=$(stats .engine.moves.full.bytes)
jq -e --argjson moved "$moved" '([.moves[] | select(.reason == "full" and .block == null) | .bytes] | add) as $n |
	$moved > $n * 0.5 and $moved < $n * 2' "$T/plan" >/dev/null || fail "planned $(cat "$T/plan"), moved $moved"
terrace plan "$M" >"$T/plan"
grep -q '^nothing to move$' "$T/plan" || fail "not done by run: $(cat "$T/plan")"
if setpriv --reuid 65534 --regid 65534 --clear-groups cat "$M/.terrace/plan" >/dev/null 2>&1; then
	fail "anybody reads the names of files"
fi

terrace evacuate -n hdd "$M" | grep -q 'would empty hdd' || fail "dry run"
terrace evacuate "$T/hdd2" "$M" >/dev/null
[ "$(stats '[.tiers[2].places[] | select(.path | endswith("hdd2")).live] | add')" = 0 ] || fail "$(stats .tiers[2].places)"
terrace evacuate ssd "$M" >"$T/out"
[ "$(stats '.tiers[1].live')" = 0 ] || fail "ssd is not empty: $(cat "$T/out")"
status=0
terrace evacuate nowhere "$M" 2>/dev/null || status=$?
[ "$status" = 2 ] || fail "a tier that does not exist: $status"
status=0
terrace evacuate "$T/nowhere" "$M" 2>/dev/null || status=$?
[ "$status" = 1 ] || fail "a directory that does not exist: $status"
pool_umount
