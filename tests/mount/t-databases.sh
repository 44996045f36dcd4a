#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The engine finds databases by how they are written (plain_databases): SQLite in both modes, and an image that
# is written at random, become plain; a download, a film, an archive and a copy do not.
# flavors: release
. "$(dirname "$0")/lib.sh"

rows() { # FILE MODE: enough of them for a megabyte and more, then changes here and there
	sqlite3 "$1" "pragma journal_mode=$2; create table t(id integer primary key, a blob);
		with recursive n(i) as (select 1 union all select i + 1 from n where i < 8000)
		insert into t select i, randomblob(200) from n;" >/dev/null
	# wal: what is changed comes to the file when there is enough of it
	for i in $(seq 1 30); do
		echo "update t set a = randomblob(200) where id in ($((i * 131 % 8000)), $((i * 1709 % 8000)), $((i * 3571 % 8000)));"
		[ "$2" = delete ] || echo "pragma wal_checkpoint(restart);"
	done | sqlite3 "$1" >/dev/null
}

others() {
	python3 - "$M" <<'PYTHON'
import os, random, sys
random.seed(1)
folder = sys.argv[1]
BLOCK, MB = 16384, 1 << 20

def make(name, size):
    f = open(f"{folder}/{name}", "wb+", buffering=0)
    for _ in range(size // MB):
        f.write(os.urandom(MB))
    return f

with make("machine", 4 * MB) as f:
    for i in range(400):
        os.pwrite(f.fileno(), os.urandom(4096), random.randrange(1024) * 4096)
        if i % 20 == 0:
            os.fsync(f.fileno())
# blocks as they come, into room that was asked for first
with open(f"{folder}/download", "wb+", buffering=0) as f:
    os.posix_fallocate(f.fileno(), 0, 4 * MB)
    blocks = list(range(4 * MB // BLOCK))
    random.shuffle(blocks)
    for i, block in enumerate(blocks):
        os.pwrite(f.fileno(), os.urandom(BLOCK), block * BLOCK)
        if i % 16 == 0:
            os.fsync(f.fileno())
# written from front to back, its head again and again
with open(f"{folder}/film", "wb+", buffering=0) as f:
    f.write(os.urandom(MB))
    for i in range(100):
        f.seek(0, 2)
        f.write(os.urandom(40000))
        os.pwrite(f.fileno(), os.urandom(1000), 0)
        if i % 10 == 0:
            os.fsync(f.fileno())
PYTHON
	cp "$M/machine" "$M/copy"
	tar -C "$M" -cf "$M/archive" copy
}

is_seen() { [ "$(attribute layout "$M/$1" || true)" = database ]; }

pool_new
for MOUNT_OPTIONS in '' '-o passthrough'; do
	pool_mount
	if [ -z "$MOUNT_OPTIONS" ]; then
		rows "$M/no.db" delete
		if is_seen no.db; then fail "without being asked"; fi
	fi
	terrace policy set plain_databases=yes "$M" >/dev/null
	rows "$M/delete.db" delete
	rows "$M/wal.db" wal
	others
	for name in delete.db wal.db machine; do
		is_seen "$name" || fail "$name is no database"
	done
	for name in no.db download film copy archive; do
		if is_seen "$name"; then fail "$name is a database"; fi
	done
	sum=$(sha256sum <"$M/machine")
	terrace run "$M" >/dev/null || [ $? -eq 3 ] # nothing to move
	[ "$(find "$T/ssd/plain" -type f | wc -l)" -eq 3 ] || fail "plain files: $(ls -l "$T/ssd/plain")"
	[ "$(sha256sum <"$M/machine")" = "$sum" ] || fail "wrong bytes"
	terrace why "$M/delete.db" | grep -q 'written as a database' || fail "$(terrace why "$M/delete.db")"
	[ "$(attribute effective.layout "$M/delete.db")" = 'plain database' ] || fail "$(attribute effective.layout "$M/delete.db")"
	pool_kill
	pool_mount
	for name in delete wal; do
		[ "$(sqlite3 "$M/$name.db" 'pragma integrity_check; select count(*) from t' | tr '\n' ' ')" = 'ok 8000 ' ] || fail "$name.db"
	done
	[ "$(sha256sum <"$M/machine")" = "$sum" ] || fail "wrong bytes after kill -9"
	refused 1 'Invalid' setfattr -n user.terrace.layout -v database "$M/film"
	setfattr -n user.terrace.layout -v frames "$M/machine"
	terrace policy set plain_databases=no "$M" >/dev/null
	terrace run "$M" >/dev/null || [ $? -eq 3 ]
	terrace sync "$M"
	terrace run "$M" >/dev/null || [ $? -eq 3 ]
	[ "$(find "$T/ssd/plain" -type f | wc -l)" -eq 0 ] || fail "plain files stay: $(ls -l "$T/ssd/plain")"
	[ "$(sha256sum <"$M/machine")" = "$sum" ] || fail "wrong bytes in frames"
	rm "$M"/*
	pool_umount
done
