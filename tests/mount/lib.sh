# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Fixtures of the mount tests, for t-*.sh, kill-loop.sh, soak-memory.sh and the bench.
#
# A test sources this file, makes a pool, mounts it, and fails by any command that fails. On every
# way out the trap unmounts, ends the daemon by its id, detaches loops and removes the folders.
#
#   T     a folder of the test's own, on disk      M     where the pool is mounted
#   RAM   a folder of its own on tmpfs             POOL  the pool's config file
#   PID   the daemon                               LOG   what all daemons of the test printed
#
# TERRACE_BUILD names the build folder (default build/debug), TERRACE_PROGRAMS where terracefs and
# terrace are (default: the build folder), TERRACE_SHM a folder on tmpfs (default /dev/shm).
set -Eeuo pipefail
shopt -s inherit_errexit
umask 022
export LC_ALL=C

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${TERRACE_BUILD:-$ROOT/build/debug}
PROGRAMS=${TERRACE_PROGRAMS:-$BUILD}
HELPERS=$BUILD/tests
export PATH="$PROGRAMS:$PATH:/usr/sbin:/sbin"

T=$(mktemp -d "${TMPDIR:-/tmp}/terrace-test.XXXXXX")
RAM=$(mktemp -d "${TERRACE_SHM:-/dev/shm}/terrace-test.XXXXXX")
M=$T/mnt
POOL=$T/pool.conf
LOG=$T/daemon.log
PID=
MOUNT_OPTIONS=
mkdir "$M"
chmod 755 "$T"
: >"$LOG"

trap 'failed_at "$LINENO" "$BASH_COMMAND"' ERR
trap cleanup EXIT
trap 'exit 143' TERM INT

failed_at() { # the line of the test, not of this file
	local line=$1 i
	for ((i = 1; i < ${#BASH_SOURCE[@]}; i++)); do
		[ "${BASH_SOURCE[i]}" = "${BASH_SOURCE[0]}" ] || break
		line=${BASH_LINENO[i]}
	done
	echo "failed at line $line: $2" >&2
}

# fail TEXT...: ends the test.
fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# skip TEXT...: the machine cannot do this one.
skip() {
	echo "SKIPPED: $*" >&2
	exit 77
}

cleanup() {
	local status=$? i jobs
	trap - ERR EXIT
	set +e
	jobs=$(jobs -p | grep -vx "${PID:-none}")
	[ -z "$jobs" ] || kill $jobs 2>/dev/null
	cd /
	for i in 1 2 3 4 5 6 7 8; do
		mountpoint -q "$M" || break
		umount "$M" 2>/dev/null || sleep 0.3
		[ "$i" -lt 6 ] || umount -l "$M" 2>/dev/null
	done
	umount -l "$M" 2>/dev/null # a mount whose daemon has gone is no mountpoint to mountpoint(1)
	if [ -n "$PID" ]; then
		for i in $(seq 1 100); do
			alive "$PID" || break
			sleep 0.1
		done
		alive "$PID" && kill -9 "$PID" && echo "the daemon did not end" >&2 && status=1
		wait "$PID" 2>/dev/null
	fi
	# what the test mounted for itself, last first
	while read -r i; do umount -l "$i"; done < <(
		awk -v t="$T/" 'index($2, t) == 1 { print $2 }' /proc/self/mounts | tac)
	for i in $(losetup -n -O NAME,BACK-FILE | awk -v t="$T/" 'index($2, t) == 1 { print $1 }'); do
		losetup -d "$i"
	done
	if ! check_log; then
		status=1
	elif [ "$status" -ne 0 ] && [ "$status" -ne 77 ] && [ -s "$LOG" ]; then
		echo "--- the daemon's last lines:" >&2
		tail -n 40 "$LOG" >&2
	fi
	rm -rf --one-file-system "$T" "$RAM"
	exit "$status"
}

# alive PID: it runs; a zombie that nobody waits for does not.
alive() {
	[[ "$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null)" == [!ZX]* ]]
}

# No sanitizer has complained so far.
check_log() {
	if grep -aqE 'ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed' "$LOG"; then
		echo "--- a sanitizer or an assertion in the daemon:" >&2
		grep -aE -A 25 'Sanitizer|runtime error:|Assertion' "$LOG" | head -n 60 >&2
		return 1
	fi
}

# is_flavor asan|tsan|release|debug
is_flavor() {
	[ "$(basename "$BUILD")" = "$1" ]
}

# pool_new [TIER...]: makes the pool; without words ram 64M, ssd lz4, hdd zstd:3. Background moves
# are left to the test: nothing is old enough. When something is, it does not wait.
pool_new() {
	local args=() tier
	[ $# -gt 0 ] || set -- "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=lz4" \
		"hdd:path=$T/hdd,codec=zstd:3"
	mkdir -p "$T/ssd" "$T/hdd"
	for tier; do args+=(--tier "$tier"); done
	terrace create "${args[@]}" "$POOL"
	config_set start_delay 0
	config_set move_pressure 0 # the machine may be busy with other tests
}

# config_set KEY VALUE: sets a key of the pool's section.
config_set() {
	sed -i -e "/^\[pool\]/,/^\[tier/{/^$1 *=/d}" -e "s|^\[pool\]|&\n$1 = $2|" "$POOL"
}

pool_mount() {
	local i
	# shellcheck disable=SC2086 # options are several words
	terracefs "$POOL" "$M" -f $MOUNT_OPTIONS </dev/null >>"$LOG" 2>&1 &
	PID=$!
	for i in $(seq 1 600); do
		mountpoint -q "$M" && return 0
		kill -0 "$PID" 2>/dev/null || break
		sleep 0.05
	done
	if kill -0 "$PID" 2>/dev/null; then fail "not mounted after 30 s"; fi
	wait "$PID" || true
	PID=
	fail "the daemon ended instead of mounting"
}

# Unmounts as an admin does and waits for the daemon, which must end well.
pool_umount() {
	local i status=0
	for i in 1 2 3 4 5 6 7 8 9 10; do
		umount "$M" 2>/dev/null && break
		[ "$i" -lt 10 ] || umount "$M"
		sleep 0.2
	done
	wait "$PID" || status=$?
	PID=
	[ "$status" -eq 0 ] || fail "the daemon ended with $status"
	check_log
}

pool_remount() {
	pool_umount
	pool_mount
}

# The daemon dies; what it had acknowledged must be there at the next mount.
pool_kill() {
	kill -9 "$PID"
	wait "$PID" 2>/dev/null || true
	PID=
	umount -l "$M" 2>/dev/null || true
}

# Power is lost: the daemon dies and all of tmpfs is gone.
pool_power_loss() {
	pool_kill
	find "$RAM" -mindepth 1 -delete
}

# Everything to a tier; that there is nothing to do is as good.
move_all() { # demote|promote TIER
	local status=0
	terrace "$1" --to "$2" "$M" >/dev/null || status=$?
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || fail "terrace $1 --to $2 ended with $status"
}

# stats FILTER: a value of stats.json, as jq takes it.
stats() {
	jq -er "$1" "$M/.terrace/stats.json"
}

attribute() { # NAME PATH
	getfattr --only-values -h -n "user.terrace.$1" "$2" 2>/dev/null
}

drop_caches() {
	sync -f "$T" || true
	echo 3 >/proc/sys/vm/drop_caches
}

# sizes of folders as they really are, in bytes
disk_bytes() {
	du -s --block-size=1 "$@" | awk '{ n += $1 } END { printf "%d\n", n }'
}

# manifest FOLDER: everything a copy must keep, one line per name. Folder sizes and link counts
# belong to the filesystem.
manifest() {
	(
		cd "$1"
		find . -mindepth 1 \
			\( -type d -printf 'd %m %U %G %T@ %p\n' -o \
			-type l -printf 'l %U %G %T@ %p -> %l\n' -o \
			-type f -printf 'f %m %U %G %n %s %T@ %p\n' -o -printf '%y %m %U %G %T@ %p\n' \) |
			sort
		find . -mindepth 1 -type f -links +1 -printf '%i %p\n' | sort |
			awk '{ if ($1 != last) group++; last = $1; sub(/^[0-9]+ /, ""); print group, $0 }' |
			sort -k2 | awk '{ if (!($1 in seen)) seen[$1] = ++n; print "linked", seen[$1], $2 }'
		find . -mindepth 1 -print0 | sort -z >"$T/manifest.names"
		xargs -0 -r getfattr -h -d -m '^(user|trusted|security)\.' -e hex <"$T/manifest.names" 2>/dev/null |
			grep -v '^$' || true
		find . -mindepth 1 ! -type l -print0 | sort -z |
			xargs -0 -r getfacl -s -n -p 2>/dev/null || true
	)
}

# same_tree A B: same names, attributes and bytes.
same_tree() {
	manifest "$1" >"$T/manifest.a"
	manifest "$2" >"$T/manifest.b"
	diff "$T/manifest.a" "$T/manifest.b" | head -n 20 >"$T/manifest.diff" || true
	if [ -s "$T/manifest.diff" ]; then
		cat "$T/manifest.diff" >&2
		fail "$1 and $2 differ in names or attributes"
	fi
	diff -r --no-dereference "$1" "$2" >"$T/tree.diff" 2>&1 || true
	# fifos and devices cannot be compared by their contents
	if grep -vE ' is a (fifo|character special|block special|socket)' "$T/tree.diff" >&2; then
		fail "$1 and $2 differ in contents"
	fi
}

# make_tree FOLDER: some of everything: real files, odd sizes, links, holes, owners, times, xattrs.
make_tree() {
	mkdir -p "$1/real" "$1/odd/empty folder" "$1/locked"
	cp -a /usr/include/linux "$1/real/"
	cp /bin/ls "$1/real/program"
	head -c 3000000 /dev/urandom >"$1/odd/random"
	for n in 0 1 4095 4096 4097 131071 131072 131073 1048577; do
		head -c "$n" /dev/zero | tr '\0' x >"$1/odd/size-$n"
	done
	truncate -s 5M "$1/odd/hole"
	printf end >>"$1/odd/hole"
	ln "$1/odd/random" "$1/odd/hard-1"
	ln "$1/odd/random" "$1/locked/hard-2"
	ln -s ../real/linux "$1/odd/soft"
	ln -s "nowhere at all" "$1/odd/dangling"
	mkfifo "$1/odd/fifo"
	mknod "$1/odd/null" c 1 3
	chown 1234:4321 "$1/odd/random" "$1/locked"
	chown -h 77:88 "$1/odd/dangling"
	chmod 4711 "$1/real/program"
	chmod 0 "$1/odd/size-1"
	chmod 1750 "$1/locked"
	touch -d '1969-12-31 23:59:58.123456789' "$1/odd/size-4096"
	touch -d '2100-01-02 03:04:05.000000001' "$1/odd/size-4097"
	touch -h -d '2001-02-03 04:05:06.7' "$1/odd/soft"
	setfattr -n user.colour -v blue "$1/odd/size-0" "$1/locked"
	setfattr -n user.binary -v 0x00ff00 "$1/odd/size-0"
	setfattr -n trusted.secret -v yes "$1/odd/random"
	touch -d '1999-09-09 09:09:09.999999999' "$1/odd/empty folder"
}

# refused CODES PATTERN COMMAND...: ends within 30 s with one of the exit codes ("1 75") and says
# one line, which matches the extended regular expression.
refused() {
	local codes=$1 pattern=$2 status=0
	shift 2
	timeout -k 5 30 "$@" </dev/null >"$T/said" 2>&1 || status=$?
	[[ " $codes " == *" $status "* ]] || fail "$*: exit code $status instead of $codes: $(cat "$T/said")"
	[ "$(wc -l <"$T/said")" -eq 1 ] || fail "$*: not one line: $(cat "$T/said")"
	grep -qE -- "$pattern" "$T/said" || fail "$*: '$(cat "$T/said")' does not say $pattern"
}
