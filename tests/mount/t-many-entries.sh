#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# A folder with 50,000 names (TERRACE_ENTRIES says else): made, listed once each, removed.
. "$(dirname "$0")/lib.sh"

n=${TERRACE_ENTRIES:-50000}
! is_flavor asan || n=${TERRACE_ENTRIES:-10000}
pool_new
pool_mount
mkdir "$M/many"
(cd "$M/many" && seq -f 'a file with number %.0f' 1 $n | tr '\n' '\0' | xargs -0 touch)
count() { find "$M/many" -mindepth 1 -printf '%f\n' | sort -u | wc -l; }
[ "$(count)" = $n ] || fail "$(count) names"
[ "$(find "$M/many" -mindepth 1 | wc -l)" = $n ] || fail "names listed twice"
pool_remount
[ "$(count)" = $n ] || fail "$(count) names after a mount"
[ -f "$M/many/a file with number 777" ] || fail "lookup"
rm -r "$M/many"
[ -z "$(ls -A "$M")" ] || fail "left: $(ls -A "$M")"
pool_umount
