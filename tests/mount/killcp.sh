# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# One round of "kill -9 in the middle of cp -a", for t-kill-cp.sh and kill-loop.sh. Needs lib.sh and
# a pool that is not mounted.

# kill_cp_check SOURCE TARGET: cp printed what it began (ledger, outside the mount, as it was just
# before the kill), so all but the last file it named had been closed. Those must be identical in
# bytes and attributes; others may hold only their own bytes or zeros; nothing else may be there.
kill_cp_check() {
	local source=$1 target=$2 path last
	sed -nE "s/^'(.*)' -> '.*'\$/\1/p" "$T/ledger" >"$T/begun"
	# a folder's times are set when cp leaves it, so only files and links are compared
	head -n -1 "$T/begun" >"$T/ended"
	while IFS= read -r path; do
		[ -d "$path" ] && [ ! -L "$path" ] && continue
		printf '%s\0' "${path#"$source"/}"
	done <"$T/ended" >"$T/closed"
	(cd "$source" && xargs -0 -r stat -c '%F %a %u %g %s %y %n' <"$T/closed") >"$T/want"
	(cd "$target" && xargs -0 -r stat -c '%F %a %u %g %s %y %n' <"$T/closed") >"$T/got"
	cmp "$T/want" "$T/got" >&2 || {
		diff "$T/want" "$T/got" | head -n 10 >&2
		fail "closed files differ in attributes"
	}
	(
		cd "$source" || exit
		while IFS= read -r -d '' path; do
			[ ! -f "$path" ] || [ -L "$path" ] || printf '%s\0' "$path"
		done <"$T/closed" | xargs -0 -r sha256sum
	) >"$T/want"
	[ ! -s "$T/want" ] || (cd "$target" && sha256sum --quiet -c "$T/want") >&2 || fail "closed files differ in bytes"
	find "$target" -mindepth 1 -printf '%P\n' | sort >"$T/got"
	{
		find "$source" -mindepth 1 -printf '%P\n'
	} | sort >"$T/want"
	[ -z "$(comm -13 "$T/want" "$T/got")" ] || fail "names nobody wrote"
	# what was being written at the end may be short or have holes, but no other bytes
	tr '\0' '\n' <"$T/closed" | sort >"$T/want"
	(cd "$target" && find . -type f -printf '%P\n') | sort | comm -13 "$T/want" - | while IFS= read -r last; do
		[ "$(stat -c %s "$target/$last")" -le "$(stat -c %s "$source/$last")" ] ||
			fail "$last is longer than what was written"
		{ cmp -l "$source/$last" "$target/$last" 2>/dev/null || true; } |
			awk '$3 != 0 { bad = 1 } END { exit bad }' || fail "$last holds bytes nobody wrote"
	done
}

# kill_cp_round SOURCE NUMBER SECONDS: copies into a folder of its own, kills the daemon after that
# time, mounts again, checks this round's copy. Prints how many files had been closed and how long
# opening took.
kill_cp_round() {
	local source=$1 round=$2 after=$3 target=$M/round-$2 copier begin
	pool_mount
	mkdir "$target"
	stdbuf -oL cp -av "$source/." "$target/" >"$T/ledger.raw" 2>/dev/null &
	copier=$!
	sleep "$after"
	# cp names 'SOURCE/./x', and goes on naming when it meets nothing but errors
	sed "s|^'$source/\./|'$source/|" "$T/ledger.raw" >"$T/ledger"
	pool_kill
	kill "$copier" 2>/dev/null || true
	wait "$copier" 2>/dev/null || true
	begin=$(date +%s%N)
	pool_mount
	echo "round $round: killed after $after s, $(grep -c . "$T/ledger" || true) names begun," \
		"mounted again in $((($(date +%s%N) - begin) / 1000000)) ms"
	kill_cp_check "$source" "$target"
	pool_umount
}
