#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# A dry run says how much there is to do, and what would fail; then it is done, and as much as was said.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
mkdir "$M/d"
for i in $(seq 1 20); do head -c 50000 /dev/urandom >"$M/d/$i"; done
terrace sync "$M"
terrace demote -n "$M/d" | grep -qE '^would demote .*/d: 20 files, 976\.6K$' || fail "$(terrace demote -n "$M/d")"
terrace demote -nj --to hdd "$M/d" | jq -e '.dry_run and .files == 20 and .bytes == 1000000' >/dev/null || fail "$(terrace demote -nj --to hdd "$M/d")"
terrace demote -n --to ssd "$M/d" | grep -q ': 0 files, 0$' || fail "there already: $(terrace demote -n --to ssd "$M/d")"
terrace promote -n --to ssd "$M/d/3" | grep -q ': 0 files' || fail "$(terrace promote -n --to ssd "$M/d/3")"
[ "$(attribute tier "$M/d/1")" = ssd ] || fail "a dry run moved something"
terrace demote --to hdd "$M/d/1" "$M/d/2" >/dev/null
terrace promote -n "$M/d/1" | grep -qE 'now hdd=50000\): 1 files, 48\.8K$' || fail "$(terrace promote -n "$M/d/1")"
terrace demote -n --to hdd "$M/d" | grep -q ': 18 files' || fail "$(terrace demote -n --to hdd "$M/d")"
# a demotion moves nothing up, a promotion nothing down, and they say so
code=0
terrace demote --to ssd "$M/d" >"$T/said" || code=$?
[ "$code" = 3 ] && grep -q '^nothing to move down to ssd (.*terrace promote)$' "$T/said" || fail "demote to a tier above: $code, $(cat "$T/said")"
code=0
terrace promote --to hdd "$M/d" >"$T/said" || code=$?
[ "$code" = 3 ] && grep -q '^nothing to move up to hdd (.*terrace demote)$' "$T/said" || fail "promote to a tier below: $code, $(cat "$T/said")"
terrace promote -n --to hdd "$M/d" | grep -q ': 0 files' || fail "$(terrace promote -n --to hdd "$M/d")"
[ "$(attribute tier "$M/d/1") $(attribute tier "$M/d/3")" = 'hdd ssd' ] || fail "moved the other way"

setfattr -n user.terrace.pin -v hdd "$M/d"
terrace jobs wait "$(attribute job "$M/d")" "$M" >/dev/null || true
terrace run -n "$M" | grep -qE ': 0 files, 0 ' || fail "$(terrace run -n "$M")"
terrace run -nj "$M" | jq -e '.dry_run and .bytes == 0' >/dev/null || fail "$(terrace run -nj "$M")"
terrace evacuate -nj hdd "$M" | jq -e '.used >= 1000000' >/dev/null || fail "$(terrace evacuate -nj hdd "$M")"
terrace evacuate -n "$T/hdd" "$M" | grep -qE 'takes [0-9.]+[KM],' || fail "$(terrace evacuate -n "$T/hdd" "$M")"

# what would fail fails
refused 1 "$T/nowhere is no directory of a tier" terrace evacuate -n "$T/nowhere" "$M"
refused 1 "$T/nowhere is no directory of a tier" terrace config remove -n hdd "$T/nowhere" "$M"
refused 1 "$T/nowhere: No such file" terrace config add -n hdd "$T/nowhere" "$M"
refused 2 "there is no tier 'hd'" terrace config add -n hd "$T" "$M"
terrace policy set -n ssd.high=50% "$M" | grep -qx 'ssd.high = 50% would be set' || fail "policy set -n"
[ "$(terrace policy -j "$M" | jq -r '.settings[] | select(.key == "ssd.high") | .value')" = 90% ] || fail "set by a dry run"
pool_umount
