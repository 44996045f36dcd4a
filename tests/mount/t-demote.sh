#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything demoted reads the same and says where it is; so it does promoted back.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
make_tree "$T/tree"
cp -a "$T/tree/." "$M/"
move_all demote hdd
[ "$(attribute tier "$M/odd/random")" = hdd ] || fail "tier is $(attribute tier "$M/odd/random")"
same_tree "$T/tree" "$M"
pool_remount
same_tree "$T/tree" "$M"
[ "$(attribute tier "$M/odd/random")" = hdd ] || fail "tier is $(attribute tier "$M/odd/random") after a mount"
[ "$(stats '.tiers[] | select(.name == "ssd") | .live')" -lt 100000 ] || fail "ssd still holds data"
move_all promote ssd
[ "$(attribute tier "$M/odd/random")" = ssd ] || fail "tier is $(attribute tier "$M/odd/random")"
same_tree "$T/tree" "$M"
status=0
terrace promote --to ssd "$M" || status=$?
[ "$status" -eq 3 ] || fail "promoting again gave $status instead of 3 (nothing to do)"
pool_remount
same_tree "$T/tree" "$M"
pool_umount
