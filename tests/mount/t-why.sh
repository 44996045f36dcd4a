#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# terrace why says who decided, what is next and what holds it up; pins lists what is set.
. "$(dirname "$0")/lib.sh"

says() { # PATH PATTERN
	terrace why "$1" >"$T/why"
	grep -qE -- "$2" "$T/why" || fail "'$2' is not in: $(cat "$T/why")"
}

pool_new
printf '[rule docs]\nmatch = /docs/\ntier = hdd\n' >>"$POOL"
pool_mount
mkdir "$M/db" "$M/docs" "$M/old"
seq 1 200000 >"$M/db/file"
seq 1 1000 >"$M/plain"
says "$M/plain" 'on ram'
terrace sync "$M"
says "$M/plain" 'on ssd, lz4'
says "$M/plain" 'decided by: heat'
says "$M/plain" 'next: stays'
says "$M/plain" 'used (just now|.* ago)'
terrace pin hdd "$M/db" >/dev/null
says "$M/db/file" 'decided by: pin hdd set on /db'
[ "$(terrace why --json "$M/db/file" | jq -r '.[0].runs | length')" = 1 ] || fail "runs are not merged"
[ "$(terrace why --json "$M/db/file" | jq -r '.[0].runs[0] | .tier + " " + .reason + " " + .decided')" = "hdd none pin hdd set on /db" ] ||
	fail "$(terrace why --json "$M/db/file")"
[ "$(terrace why -v --json "$M/db/file" | jq -r '.[0].runs | length')" -gt 1 ] || fail "-v merges"
says "$M/db" 'pin: hdd /db'

# what a rule wants, and what holds it up
mv "$M/plain" "$M/docs/plain"
says "$M/docs/plain" "decided by: rule docs \($POOL \[rule docs\]\)"
says "$M/docs/plain" 'next: goes to hdd, at the next pass'
day=$(LC_ALL=C date -d '-2 days' +%a)
terrace policy set --runtime "move_window=$day" "$M" >/dev/null
says "$M/docs/plain" 'goes to hdd; held up: outside move_window, which opens 20'
[ "$(terrace why --json "$M/docs/plain" | jq -r '.[0].runs[0] | .block + " " + .to')" = "window hdd" ] || fail "$(cat "$T/why")"
terrace policy set --runtime move_window=always "$M" >/dev/null
terrace run "$M" >/dev/null
says "$M/docs/plain" 'next: stays'

# text for scripts, a line per extent
attribute why "$M/docs/plain" | grep -qE $'^0 3893 hdd zstd:3 [0-9.]+ [0-9]+ 20[0-9T:Z-]+ none none hdd - 1/1\trule docs .*\tstays$' ||
	fail "$(attribute why "$M/docs/plain")"

# all that is set
setfattr -n user.terrace.state -v archived "$M/old"
setfattr -n user.terrace.codec -v zstd:9 "$M/db"
terrace pins "$M" >"$T/pins"
grep -qE '^hdd +- +zstd:9 +- +- +/db$' "$T/pins" || fail "$(cat "$T/pins")"
grep -qE '^- +archived +- +- +- +/old$' "$T/pins" || fail "$(cat "$T/pins")"
setfattr -n user.terrace.layout -v frames "$M/db"
terrace pins "$M" | grep -qE '^hdd +- +zstd:9 +- +frames +/db$' || fail "$(terrace pins "$M")"
setfattr -x user.terrace.layout "$M/db"
[ "$(terrace pins --json "$M" | jq -r '.[] | .path' | tr '\n' ' ')" = "/db /old " ] || fail "$(terrace pins --json "$M")"
terrace unpin "$M/db" >/dev/null
setfattr -x user.terrace.codec "$M/db"
rmdir "$M/old"
terrace pins "$M" | grep -q 'nothing is set' || fail "$(terrace pins "$M")"
refused 1 'No such file' terrace why "$M/nothing"
pool_umount
