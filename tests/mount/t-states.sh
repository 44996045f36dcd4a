#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# States: archived goes to the last tier at once, strongly coded, and does not come up by itself;
# sealed is coded strongly where it is; active goes before what is set above. Open files too.
. "$(dirname "$0")/lib.sh"

state() { setfattr -n user.terrace.state -v "$1" "$2"; }

becomes() { # PATTERN PATH: the extents are so within 20 s
	local i
	for i in $(seq 1 200); do
		! attribute extents "$2" | grep -vqE "$1" && return 0
		sleep 0.1
	done
	fail "$2 does not become '$1': $(attribute extents "$2")"
}

pool_new
pool_mount
mkdir -p "$M/old/kept" "$M/new"
seq 1 100000 >"$M/old/a"
seq 1 100000 >"$M/old/kept/b"
seq 1 100000 >"$M/new/c"
terrace sync "$M"
exec 3<>"$M/old/a"
state active "$M/old/kept"
state archived "$M/old"
becomes ' hdd zstd:19 ' "$M/old/a"
[ "$(attribute tier "$M/old/kept/b")" = ssd ] || fail "active, and on $(attribute tier "$M/old/kept/b")"
[ "$(attribute effective.state "$M/old/a")" = "archived /old" ] || fail "$(attribute effective.state "$M/old/a")"
[ "$(attribute effective.state "$M/old/kept/b")" = "active /old/kept" ] || fail "$(attribute effective.state "$M/old/kept/b")"
terrace why "$M/old/a" | grep -q 'state archived set on /old' || fail "$(terrace why "$M/old/a")"

# read again and again, it stays; so does what is written to it
for _ in 1 2 3; do
	drop_caches
	cat "$M/old/a" >/dev/null
	sleep 2.1
done
terrace run "$M" >/dev/null || [ $? -eq 3 ]
becomes ' hdd zstd:19 ' "$M/old/a"
echo more >&3
exec 3>&-
terrace sync "$M"
becomes ' hdd ' "$M/old/a"

state sealed "$M/new/c"
becomes ' ssd zstd:19 ' "$M/new/c"

# taken away, nothing moves; and it can be taken away once
setfattr -x user.terrace.state "$M/new/c"
becomes ' ssd zstd:19 ' "$M/new/c"
if setfattr -x user.terrace.state "$M/new/c" 2>/dev/null; then fail "removed twice"; fi
if state frozen "$M/new/c" 2>"$T/err"; then fail "any word is taken"; fi
grep -q 'Invalid argument' "$T/err" || fail "$(cat "$T/err")"
pool_remount
[ "$(attribute effective.state "$M/old/a")" = "archived /old" ] || fail "lost by a mount"
[ "$(attribute state "$M/old/kept")" = active ] || fail "lost by a mount"
seq 1 100000 | cmp - "$M/new/c"
pool_umount
