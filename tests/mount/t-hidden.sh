#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# .terrace is reachable by name, not listed, and cannot be changed.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
echo x >"$M/file"
[ "$(ls -A "$M")" = file ] || fail "listed: $(ls -A "$M")"
[ -d "$M/.terrace" ] || fail "not reachable"
jq -e '.version == 1 and (.tiers | length) == 3 and .tiers[0].name == "ram"' "$M/.terrace/stats.json" >/dev/null || fail "stats.json: $(cat "$M/.terrace/stats.json")"
[ "$(stats .pid)" = "$PID" ] || fail "pid"
head -n 1 "$M/.terrace/status" | grep -q '^Tier  *Size  *Used' || fail "status: $(cat "$M/.terrace/status")"
sed -n 2p "$M/.terrace/status" | grep -q '^combined' || fail "status: $(cat "$M/.terrace/status")"
no() { # COMMAND: must fail
	if "$@" 2>/dev/null; then fail "went through: $*"; fi
}
no rm "$M/.terrace/status"
no rmdir "$M/.terrace"
no touch "$M/.terrace/new"
no mkdir "$M/.terrace/new"
no mv "$M/.terrace" "$M/other"
no mv "$M/file" "$M/.terrace/file"
no mkdir "$M/.terrace"
no ln "$M/.terrace/status" "$M/link"
no truncate -s 0 "$M/.terrace/status"
no dd if=/dev/zero of="$M/.terrace/stats.json" count=1 status=none
[ "$(ls -A "$M")" = file ] || fail "listed: $(ls -A "$M")"
[ -n "$(find "$M/.terrace" -name stats.json)" ] || fail "its folder is not listable"
mkdir "$M/d"
no test -e "$M/d/.terrace"
pool_umount
