#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SQLite in WAL and rollback mode, through kill -9: integrity_check says ok.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
for mode in delete wal; do
	db=$M/$mode.db
	sqlite3 "$db" "pragma journal_mode=$mode; create table t(id integer primary key, a text, b blob);" >/dev/null
	{
		for i in $(seq 1 200); do
			echo "begin; insert into t(a, b) values('row $i', randomblob($((i * 7)))); commit;"
			[ $((i % 10)) -ne 0 ] || echo "delete from t where id = $((i / 2)); update t set a = a || '!' where id % 7 = 0;"
		done
	} | sqlite3 "$db"
	[ "$(sqlite3 "$db" 'pragma integrity_check')" = ok ] || fail "$mode: integrity"
	[ "$(sqlite3 "$db" 'select count(*) from t')" = 180 ] || fail "$mode: rows"
done
pool_remount
move_all demote hdd
for mode in delete wal; do
	db=$M/$mode.db
	[ "$(sqlite3 "$db" 'pragma integrity_check; select count(*) from t' | tr '\n' ' ')" = "ok 180 " ] ||
		fail "$mode: after a mount"
	# each line is printed after its transaction has committed
	for i in $(seq 1 100000); do
		echo "insert into t(a) values('kill $i'); select $i;"
	done | sqlite3 "$db" >"$T/committed" 2>/dev/null &
	writer=$!
	sleep 1.3
	pool_kill
	wait "$writer" 2>/dev/null || true
	pool_mount
	[ "$(sqlite3 "$db" 'pragma integrity_check')" = ok ] || fail "$mode: integrity after kill -9"
	want=$(tail -n 1 "$T/committed")
	got=$(sqlite3 "$db" "select count(*) from t where a like 'kill %'")
	[ "$got" -ge "${want:-0}" ] || fail "$mode: $got of $want committed rows after kill -9"
done
pool_umount
