# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Real programs at work on a mount, side by side, each with a ledger outside of it that knows what
# it was promised; for kill-loop.sh and power-cut.sh. Needs lib.sh; the pool is mounted.
#
#   works_begin ROUND SEED      starts them; they end when the filesystem goes away
#   works_freeze ROUND          just before that: what is in the ledgers now has been done
#   works_kill                  kills the daemon
#   works_end                   waits for that, before the dead mount is taken away (else they would
#                               go on in the folder below it); an error other than "gone" is a finding
#   works_check ROUND kill|power    compares; a difference is printed, and the result is 1
#
# What they leave lives on over the rounds, so that moves and deaths meet old data too.
. "$ROOT/tests/mount/killcp.sh"

WORKS=$T/works # ledgers
mkdir -p "$WORKS"
declare -A work_pids=()
git_options=(-c user.name=t -c user.email=t@example.org -c init.defaultBranch=main -c gc.auto=0
	-c safe.directory='*' -c core.fsync=all -c core.fsyncMethod=fsync)
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null

# A tree like that of sources, and its archive: what untar takes.
works_prepare() { # FILES
	mkdir "$T/source"
	(cd /usr/include && find linux c++ sys asm-generic -type f 2>/dev/null | head -n "$1") >"$WORKS/list" || true
	tar --format=posix -C /usr/include -cf - -T "$WORKS/list" | tar -C "$T/source" -xf -
	ln -s linux "$T/source/link"
	tar --format=posix -C "$T/source" -cf "$T/source.tar" .
}

works_begin() { # ROUND SEED
	local work
	mkdir -p "$M/storm-$1"
	for work in storm blocks names untar remove sqlite git mover marks; do
		"${work}_work" "$1" "$2" </dev/null 2>"$WORKS/$work.err" &
		work_pids[$work]=$!
	done
}

works_freeze() { # ROUND
	local ledger
	for ledger in "$WORKS/untar-$1"-*; do
		[ ! -e "$ledger" ] || cp "$ledger" "$WORKS/frozen-${ledger##*/}"
	done
}

# The daemon dies; its mount stays for a while, and answers ENOTCONN.
works_kill() {
	kill -9 "$PID"
	wait "$PID" 2>/dev/null || true
	PID=
}

works_end() {
	local work status bad=0
	for work in "${!work_pids[@]}"; do
		status=0
		wait "${work_pids[$work]}" || status=$?
		case $work in
		storm | blocks | names) # they tell "gone" from errors
			[ "$status" -eq 0 ] && continue
			echo "$work ended with $status: $(cat "$WORKS/$work.err")" >&2
			bad=1
			;;
		esac
	done
	work_pids=()
	return $bad
}

works_check() { # ROUND kill|power
	local work bad=0
	for work in storm blocks names untar remove sqlite git; do
		"${work}_check" "$1" "$2" & # a process of its own: what fails ends only that
		if ! wait $!; then
			echo "LOST: $work, round $1, $2" >&2
			bad=1
		fi
	done
	return $bad
}

# Files replaced by rename, and a log that is synced: crash.c. The last three rounds' stay.
storm_work() { exec "$HELPERS/crash" storm "$M/storm-$1" "$WORKS/storm-$1" "$2"; }
storm_check() {
	local i
	for ((i = $1 > 2 ? $1 - 2 : 1; i <= $1; i++)); do
		[ ! -s "$WORKS/storm-$i" ] || "$HELPERS/crash" check "$M/storm-$i" "$WORKS/storm-$i" "$2"
	done
}

# One file that is written in place for ever.
blocks_work() { exec "$HELPERS/blocks" write "$M/blocks" "$WORKS/blocks" "$2"; }
blocks_check() { "$HELPERS/blocks" check "$M/blocks" "$WORKS/blocks" "$2"; }

# Names that change one after the other: what is found is the state of one moment.
names_work() { exec python3 "$ROOT/tests/mount/names.py" change "$M/names" "$WORKS/names"; }
names_check() { python3 "$ROOT/tests/mount/names.py" check "$M/names" "$WORKS/names" "$2"; }

# An archive, unpacked again and again. Nothing is synced: after a power loss only that no byte is
# invented is promised.
untar_work() {
	local i
	for i in 1 2 3 4 5 6 7 8 9; do
		mkdir "$M/untar-$1-$i" || exit
		: >"$WORKS/untar-$1-$i"
		stdbuf -oL tar -C "$M/untar-$1-$i" -xvf "$T/source.tar" >>"$WORKS/untar-$1-$i" || exit
		echo "/end" >>"$WORKS/untar-$1-$i"
	done
}
untar_check() {
	local ledger folder
	for ledger in "$WORKS/frozen-untar-$1"-*; do
		[ -e "$ledger" ] || return 0
		folder=$M/${ledger##*/frozen-}
		if [ "$2" = kill ]; then
			sed "s|^\./|$T/source/|; s|.*|'&' -> 'x'|" "$ledger" >"$T/ledger"
			kill_cp_check "$T/source" "$folder"
		elif [ -d "$folder" ]; then
			no_foreign_bytes "$folder"
		fi
	done
}
# Every file is as long as the source's or shorter, with its bytes or none where they should be.
no_foreign_bytes() { # FOLDER
	python3 - "$T/source" "$1" <<-'PYTHON'
		import os, sys
		source, target = sys.argv[1:3]
		for folder, _, names in os.walk(target):
		    for name in names:
		        path = os.path.join(folder, name)
		        if os.path.islink(path):
		            continue
		        got = open(path, "rb").read()
		        want = open(source + path[len(target):], "rb").read()
		        if len(got) > len(want) or got != want[:len(got)] and any(a != b and a for a, b in zip(got, want)):
		            sys.exit(path + " holds bytes nobody wrote")
	PYTHON
}

# What the round before last has left is deleted. What rm has named is gone, and stays so.
remove_work() {
	: >"$WORKS/removed"
	find "$M" -mindepth 1 -maxdepth 1 \( -name "untar-*" ! -name "untar-$1-*" -o -name "storm-$(($1 - 3))" \
		-o -name "repository-*" \) -print0 |
		xargs -0 -r stdbuf -oL rm -rfv >"$WORKS/removed"
}
remove_check() {
	local name
	[ "$2" = kill ] || return 0
	sed -nE "s/^removed (directory )?'(.*)'\$/\2/p" "$WORKS/removed" | while IFS= read -r name; do
		[ ! -e "$name" ] || fail "$name is back"
	done
}

# Rows are printed when their transaction has committed.
sqlite_work() {
	local i mode=delete
	[ $(($1 % 2)) -eq 0 ] || mode=wal
	{
		echo "pragma journal_mode=$mode; pragma synchronous=extra;"
		echo "create table if not exists t(round int, i int, b blob, primary key(round, i));"
		echo "delete from t where round < $1 - 5;"
		for ((i = 1; i < 100000; i++)); do
			echo "insert into t values($1, $i, randomblob($((i * 37 % 3000)))); select 'row', $i;"
			[ $((i % 10)) -ne 0 ] || echo "update t set b = randomblob(500) where i % 17 = $((i % 17));"
		done
	} 2>/dev/null | sqlite3 -bail "$M/rows.db" >"$WORKS/sqlite-$1"
}
sqlite_check() {
	local i want
	[ -e "$M/rows.db" ] || [ ! -s "$WORKS/sqlite-$1" ] || fail "the database is gone"
	[ -e "$M/rows.db" ] || return 0
	[ "$(sqlite3 "$M/rows.db" 'pragma integrity_check')" = ok ] || fail "integrity"
	if [ -z "$(sqlite3 "$M/rows.db" "select 1 from sqlite_master where name = 't'")" ]; then
		! grep -qs '^row|' "$WORKS"/sqlite-* || fail "the table is gone"
		return 0 # killed before it was made
	fi
	for ((i = $1 > 4 ? $1 - 4 : 1; i <= $1; i++)); do
		want=$(sed -n 's/^row|//p' "$WORKS/sqlite-$i" | tail -n 1)
		[ "$(sqlite3 "$M/rows.db" "select count(*) >= ${want:-0} and count(*) = coalesce(max(i), 0)
			from t where round = $i")" = 1 ] || fail "rows of round $i: ${want:-0} were committed"
	done
}

# Commits; the ledger gets the hash when git has returned. Every tenth round in a new repository: the
# old one goes out of the way at once, for in one that is half removed fsck finds what is missing.
git_work() {
	local i first at=$M/repository
	if [ $(($1 % 10)) -eq 1 ]; then
		: >"$WORKS/git"
		[ ! -e "$at" ] || mv -T "$at" "$at-$1" || exit # remove_work() removes it
	fi
	rm -f "$at"/.git/{,refs/heads/}*.lock
	git "${git_options[@]}" init -q "$at" || exit
	for ((i = 1; ; i++)); do
		first=$(($2 * 1000 + i)) # so that no two are the same; one in seven is larger than the RAM tier
		seq "$first" "$((first + (i % 7 ? 300 : 10000000)))" >"$at/file-$((i % 7))" || exit
		git "${git_options[@]}" -C "$at" add "file-$((i % 7))" || exit
		git "${git_options[@]}" -C "$at" commit -q -m "$1 $i" || exit
		git "${git_options[@]}" -C "$at" rev-parse HEAD >"$WORKS/git.last" || exit
		cat "$WORKS/git.last" >>"$WORKS/git"
	done
}
# kill: the last commit whose git had returned is there. power: a commit's own fsyncs make its
# objects durable, the branch follows in order; what an earlier check has found stays.
git_check() {
	local at=$M/repository last
	[ -s "$WORKS/git" ] || return 0
	last=$(tail -n 1 "$WORKS/git")
	[ "$2" = kill ] || last=$(comm -12 <(sort "$WORKS/git") <(sort "$WORKS/git.found" 2>/dev/null))
	if [ "$2" = kill ] || git "${git_options[@]}" -C "$at" rev-parse -q --verify HEAD >/dev/null; then
		git "${git_options[@]}" -C "$at" fsck --full --strict >"$WORKS/git.fsck" 2>&1 ||
			fail "fsck: $(head -n 5 "$WORKS/git.fsck")"
		[ -z "$last" ] || git "${git_options[@]}" -C "$at" merge-base --is-ancestor "$last" HEAD ||
			fail "commit $last is not there"
		git "${git_options[@]}" -C "$at" rev-parse HEAD >"$WORKS/git.found"
	else
		[ -z "$last" ] || fail "commit $last is not there"
	fi
}

# Everything goes up and down, whole folders and single files, on top of what the engine does.
mover_work() {
	local i
	for ((i = $2; ; i++)); do
		[ -e "$M/.terrace" ] || exit 0
		case $((i % 5)) in
		0) terrace demote --to hdd "$M" ;;
		1) terrace promote --to ssd "$M/blocks" "$M/rows.db" ;;
		2) terrace demote --to hdd "$M/storm-$1" "$M/rows.db" ;;
		3) terrace run "$M" ;;
		4) terrace promote --to ssd "$M/storm-$1" ;;
		esac >/dev/null 2>&1 || true # nothing to do, or gone
	done
}

# What people say about files, and reads that make them hot.
marks_work() {
	local i
	for ((i = $2; ; i++)); do
		[ -e "$M/.terrace" ] || exit 0
		case $((i % 6)) in
		0) setfattr -n user.terrace.state -v sealed "$M/storm-$1/d$((i % 4))" ;;
		1) setfattr -x user.terrace.state "$M/storm-$1/d$((i % 4))" ;;
		2) setfattr -n user.terrace.pin -v hdd "$M/storm-$1/d$((i / 2 % 4))" ;;
		3) setfattr -x user.terrace.pin "$M/storm-$1/d$((i / 2 % 4))" ;;
		4) setfattr -n user.terrace.state -v archived "$M/repository/file-$((i % 7))" ;;
		*) cat "$M/storm-$1"/d*/file-* >/dev/null ;;
		esac 2>/dev/null || true
		sleep 0.05
	done
}
