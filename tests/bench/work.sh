# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154 # what run.sh sets
# The work of the rows, for run.sh: one function for each group of rows.py, for one column.

# fio_ops ROW READ|WRITE LOGICAL-BYTES ARGUMENT...: operations per second of the file.
fio_ops() {
	local row=$1 side=$2 logical=$3
	shift 3
	wanted "$row" || return 0
	measure_begin
	fio --name="$row" --filename="$D/file" --bs=4k --size="${mb}M" --ioengine=psync --norandommap \
		--randrepeat=0 --invalidate=0 --buffer_compress_percentage=50 --group_reporting --output-format=json "$@" >"$T/fio.json" 2>/dev/null
	[ -n "$logical" ] || logical=$(jq -r ".jobs[0].$side.io_bytes" "$T/fio.json")
	measure_end "$row" "$(jq -r ".jobs[0].$side.iops" "$T/fio.json")" "$logical"
}

group_file() {
	local bytes=$((mb << 20))
	told seqwrite "$bytes" "$HELPERS/stream" write "$RAM.data" "$D/file"
	rm "$D/file"
	told seqwrite_fsync "$bytes" "$HELPERS/stream" write "$RAM.data" "$D/file" fsync
	if wanted seqread_cold seqread_warm randread_warm; then
		chill
		told seqread_cold 0 "$HELPERS/stream" read "$D/file"
		told seqread_warm 0 "$HELPERS/stream" read "$D/file" 0.5
		fio_ops randread_warm read 0 --rw=randread --time_based --runtime=2
	fi
	if wanted randread_cold; then
		chill
		fio_ops randread_cold read 0 --rw=randread --number_ios=20000
	fi
	if wanted randread_cold16; then
		chill
		fio_ops randread_cold16 read 0 --rw=randread --thread --numjobs=16 --number_ios=1500
	fi
	fio_ops randwrite write "" --rw=randwrite --number_ios=100000 --end_fsync=1
	fio_ops randwrite_fsync write "" --rw=randwrite --time_based --runtime=2 --fsync=1
	rm "$D/file"
}

# A pool of other settings takes the column's place, and back.
other_pool() { # CODEC-OF-HDD
	local HDD=${HDD/zstd:12/$1}
	pool_gone
	terrace_pool
	terrace_on
}

migrate() {
	local bytes=$((mb << 20))
	other_pool zstd:3
	"$HELPERS/stream" write "$RAM.data" "$D/file" fsync >/dev/null
	rate migrate "$mb" "$bytes" terrace demote --to hdd --progress off "$D/file"
	other_pool zstd:12
	local column=zstd DAEMON='' DEVICE='' D=$T
	rate migrate "$mb" "" zstd -q -3 -T2 -c "$RAM.data"
}

# From the last tier; of the other columns none has one.
group_hdd() {
	[ "$column" = terrace ] || return 0
	! wanted migrate || migrate
	wanted seqread_hdd randread_hdd || return 0
	"$HELPERS/stream" write "$RAM.data" "$D/file" fsync >/dev/null
	move_all demote hdd
	chill
	told seqread_hdd 0 "$HELPERS/stream" read "$D/file"
	chill
	fio_ops randread_hdd read 0 --rw=randread --number_ios=2000
	rm "$D/file"
}

record_ratio() { # ROW BEFORE
	! wanted "$1" || [ "$column" = floor ] || record "$1" "$(per "$apparent" $(($(taken) - $2)))"
}

group_tree() {
	local before=0
	mkdir "$D/tree"
	! is_pool || before=$(taken) # a pool's log and metadata have a size from the start
	rate untar "$count" "$apparent" tar -C "$D/tree" -xf "$RAM.tar"
	record_ratio ratio "$before"
	if wanted find_cold; then
		chill
		rate find_cold "$count" 0 find "$D/tree" -ls
	fi
	if wanted tar_cold; then
		chill
		rate tar_cold "$count" 0 sh -c 'tar -C "$1" -cf - tree | cat' sh "$D"
	fi
	if [ "$column" = terrace ] && wanted ratio_cold; then
		move_all demote hdd
		record_ratio ratio_cold "$before"
	fi
	rate rm "$count" 0 rm -rf "$D/tree"
}

group_rates() {
	local kind logical=$((small * 4096))
	mkdir "$D/rates"
	for kind in create stat read rename unlink; do
		[ "$kind" = create ] || wanted "$kind" || continue
		told "$kind" "$logical" "$HELPERS/rates" "$D/rates" "$small" "$kind"
		logical=0
	done
	rm -rf "$D/rates"
}

inserts() { # COUNT
	seq 1 "$1" | sed "s/.*/insert into t(a) values('a row of some length, number &');/" >"$T/sql"
}

group_db() { # in a folder: fsync of a mount's root means more to Terrace than to others
	mkdir "$D/db"
	if wanted sqlite; then
		sqlite3 "$D/db/a.db" 'pragma journal_mode=delete; create table t(id integer primary key, a text);' >/dev/null
		inserts 1500
		rate sqlite 1500 "" sqlite3 "$D/db/a.db" ".read $T/sql"
	fi
	if wanted sqlite_wal; then
		sqlite3 "$D/db/b.db" 'pragma journal_mode=wal; create table t(id integer primary key, a text);' >/dev/null
		inserts 6000
		rate sqlite_wal 6000 "" sqlite3 "$D/db/b.db" ".read $T/sql"
	fi
	rm -rf "$D/db"
}

checkpoints() {
	! is_pool || awk '/^terrace_checkpoints_total/ { print $2 }' "$D/.terrace/metrics"
}

group_checkpoint() {
	local before name p50 p99 most
	if is_pool; then
		pool_umount
		config_set checkpoint_interval 1s
		terrace_on
	fi
	before=$(checkpoints)
	mkdir "$D/stalls"
	"$HELPERS/stalls" "$D/stalls" "$stall_seconds" "$D" >"$T/stalls"
	! is_pool || [ "$(checkpoints)" -gt "$before" ] || fail "there was no checkpoint"
	rm -rf "$D/stalls"
	while read -r name p50 p99 most; do
		wanted "ckpt_$name" || continue
		record "ckpt_$name" "$p99"
		say "ckpt_$name" p50 "$p50"
		say "ckpt_$name" most "$most"
	done <"$T/stalls"
	if is_pool; then
		pool_umount
		config_set checkpoint_interval 30s
		terrace_on
	fi
}

resident() { # FIELD...: KB of the daemon, added up
	awk -v fields=" $* " 'index(fields, " " substr($1, 1, length($1) - 1) " ") { n += $2 } END { print n }' "/proc/$DAEMON/status"
}

# Memory that only the daemon's end gives back. What it has mapped of the metadata's file is page
# cache, which goes when others need room: it is told beside ("mapped").
mem_inodes() {
	local own mapped
	"$HELPERS/rates" "$D" "$million" touch >/dev/null
	chill
	own=$(resident RssAnon RssShmem)
	mapped=$(resident RssFile)
	find "$D" -ls >/dev/null
	record mem_inodes "$(per $((($(resident RssAnon RssShmem) - own) * 1000)) "$million")"
	say mem_inodes mapped "$(per $((($(resident RssFile) - mapped) * 1000)) "$million")"
	find "$D" -mindepth 1 -delete
}

# inside COMMAND...: of a pool of its own, without a mount
inside() {
	mkdir "$T/inside" "$RAM.inside"
	"$HELPERS/inside" "$1" "$T/inside" "$RAM.inside" "${@:2}"
	rm -rf "$T/inside" "$RAM.inside"
}

group_memory() {
	if [ "$column" = terrace ] || [ "$column" = mergerfs ]; then
		! wanted mem_inodes || mem_inodes
	fi
	if [ "$column" = terrace ] && wanted mem_objects; then
		inside objects "$million" >"$T/told"
		record mem_objects "$(per "$(cat "$T/told")000000" "$million")"
	fi
}

group_names() {
	local marks=() n count creates lookups
	[ "$column" = terrace ] || return 0
	for n in 1 4 16; do
		! wanted "create_${n}m" "lookup_${n}m" || marks+=($((n * million)))
	done
	inside names "${marks[@]}" >"$T/names"
	while read -r count creates lookups; do
		record "create_$((count / million))m" "$creates"
		record "lookup_$((count / million))m" "$lookups"
	done <"$T/names"
}

as_postgres() { # PROGRAM ARGUMENT...
	setpriv --reuid=postgres --regid=postgres --clear-groups "$postgres/$1" "${@:2}"
}

group_pgbench() {
	local postgres data=$D/pg socket=$T/pg-socket
	postgres=$(find /usr/lib/postgresql -name pg_ctl -printf '%h\n' | sort -V | tail -n 1)
	mkdir "$data" "$socket"
	chown postgres: "$data" "$socket"
	cd /
	as_postgres initdb -D "$data" -A trust >/dev/null
	as_postgres pg_ctl -D "$data" -w -s -l "$socket/log" -o "-k $socket -c listen_addresses=" start
	as_postgres pgbench -h "$socket" -q -i -s 20 postgres >/dev/null 2>&1
	measure_begin
	as_postgres pgbench -h "$socket" -n -c 4 -j 2 -T "$pgbench_seconds" postgres >"$T/pgbench" 2>&1
	measure_end pgbench "$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$T/pgbench")"
	as_postgres pg_ctl -D "$data" -w -s -m fast stop
	rm -rf "$data" "$socket"
}
