#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Plain files: by attribute, folder and rule, through the daemon and past it (-o passthrough): content, sizes
# and times, du, kill -9, SQLite, export, check, what is refused, and the way back.
. "$(dirname "$0")/lib.sh"

plain_files() { find "$T/ssd" "$T/hdd" -path '*/plain/*' | wc -l; }

pool_new
cat >>"$POOL" <<END
[rule machines]
match = *.img
layout = plain
END

round() { # OPTIONS
	local sum db before
	MOUNT_OPTIONS=$1
	pool_mount
	mkdir "$M/db"
	setfattr -n user.terrace.layout -v plain "$M/db"

	# a file that is there turns at once, unless it is open
	head -c 3000000 /dev/urandom >"$M/big"
	sum=$(sha256sum <"$M/big")
	touch -d 2020-01-01 "$M/big"
	exec 5<"$M/big"
	refused 1 'busy' setfattr -n user.terrace.layout -v plain "$M/big"
	exec 5<&-
	refused 1 'No such' getfattr --only-values -n user.terrace.layout "$M/big"
	setfattr -n user.terrace.layout -v plain "$M/big"
	[ "$(plain_files)" -eq 1 ] || fail "not one plain file"
	[ "$(sha256sum <"$M/big")" = "$sum" ] || fail "wrong bytes when plain"
	[ "$(stat -c %y "$M/big" | cut -c 1-10)" = 2020-01-01 ] || fail "mtime: $(stat -c %y "$M/big")"
	[ "$(du -k "$M/big" | cut -f 1)" -ge 2900 ] || fail "du"
	refused 1 'Invalid' setfattr -n user.terrace.layout -v nonsense "$M/big"
	terrace why "$M/big" | grep -q 'without compression and checksums' || fail "$(terrace why "$M/big")"
	[ "$(attribute tiers "$M/big")" = ssd=3000000 ] || fail "$(attribute tiers "$M/big")"

	# what is done to a plain file shows at once, whoever does it
	exec 5<>"$M/big"
	printf 'hello' | dd of="$M/big" bs=1 seek=3000000 conv=notrunc status=none
	[ "$(stat -c %s "$M/big")" -eq 3000005 ] || fail "size $(stat -c %s "$M/big")"
	[ "$(stat -c %Y "$M/big")" -ge "$(($(date +%s) - 60))" ] || fail "mtime stays"
	touch -d 2021-02-03 "$M/big"
	[ "$(stat -c %y "$M/big" | cut -c 1-10)" = 2021-02-03 ] || fail "mtime set"
	truncate -s 10000000 "$M/big"
	[ "$(stat -Lc %s /proc/self/fd/5)" -eq 10000000 ] || fail "truncated while open"
	fallocate -p -o 0 -l 1048576 "$M/big"
	cmp -n 1048576 "$M/big" /dev/zero
	truncate -s 3000000 "$M/big"
	exec 5<&-
	sum=$(sha256sum <"$M/big")
	cp --reflink=auto "$M/big" "$M/copy"
	cmp "$M/big" "$M/copy"

	# rule and folder: new files are plain
	: >"$M/machine.img"
	[ "$(attribute effective.layout "$M/machine.img")" = 'plain rule machines' ] || fail rule
	sqlite3 "$M/db/x.db" 'pragma journal_mode=wal; create table t(a); insert into t values(1),(2);' >/dev/null
	cp "$M/copy" "$M/db/moved"
	terrace sync "$M" # what is deleted goes from the disks when that is durable
	[ "$(plain_files)" -eq 4 ] || fail "plain files: $(plain_files)"
	before=$(plain_files)
	for i in $(seq 1 100000); do
		echo "insert into t values($i); select $i;"
	done | sqlite3 "$M/db/x.db" >"$T/committed" 2>/dev/null &
	db=$!
	sleep 0.7
	pool_kill
	wait "$db" 2>/dev/null || true
	pool_mount
	[ "$(sqlite3 "$M/db/x.db" 'pragma integrity_check')" = ok ] || fail "integrity after kill -9"
	[ "$(sqlite3 "$M/db/x.db" 'select count(*) from t')" -gt "$(tail -n 1 "$T/committed")" ] ||
		fail "committed rows are lost"
	[ "$(sha256sum <"$M/big")" = "$sum" ] || fail "wrong bytes after kill -9"
	terrace sync "$M"
	[ "$(plain_files)" -eq "$before" ] || fail "plain files: $(plain_files), were $before"

	# the way back: by the attribute, by the engine; deleted ones leave nothing
	setfattr -x user.terrace.layout "$M/big"
	[ "$(sha256sum <"$M/big")" = "$sum" ] || fail "wrong bytes in frames"
	setfattr -n user.terrace.layout -v frames "$M/db"
	rm "$M/machine.img" "$M/copy"
	terrace run "$M" >/dev/null || [ $? -eq 3 ] # nothing to move
	terrace sync "$M"
	terrace run "$M" >/dev/null || [ $? -eq 3 ] # nothing to move
	[ "$(plain_files)" -eq 0 ] || fail "plain files stay: $(ls "$T/ssd/plain")"
	[ "$(sqlite3 "$M/db/x.db" 'pragma integrity_check')" = ok ] || fail "integrity in frames"
	setfattr -n user.terrace.layout -v plain "$M/big"
	pool_umount
	terrace check "$POOL" >/dev/null || fail "$(terrace check "$POOL")"
	rm -rf "$T/out"
	terrace export "$POOL" "$T/out" >/dev/null
	[ "$(sha256sum <"$T/out/big")" = "$sum" ] || fail "wrong bytes exported"
	pool_mount
	[ "$(sha256sum <"$M/big")" = "$sum" ] || fail "wrong bytes after a mount"
	rm -r "$M/big" "$M/db"
	pool_umount
	[ "$(plain_files)" -eq 0 ] || fail "plain files of nobody"
}

round ''
round '-o passthrough'
if grep -q 'offers no passthrough\|takes no passthrough' "$LOG"; then
	skip "no passthrough here: $(grep -m 1 'passthrough' "$LOG")"
fi

# past us: the daemon is asked for nothing while a file is read and written
MOUNT_OPTIONS='-d -o passthrough'
pool_mount
: >"$M/a.img"
exec 5<>"$M/a.img"
lines=$(grep -c 'READ\|WRITE' "$LOG" || true)
head -c 1000000 /dev/urandom >&5
cat "$M/a.img" >/dev/null
[ "$(grep -c ' READ\| WRITE' "$LOG" || true)" -le "$((lines + 2))" ] || fail "the daemon was asked"
exec 5<&-

# what the kernel has cached of a file in frames is not what is read when it has been plain in between
head -c 1000000 /dev/zero >"$M/turns"
cat "$M/turns" >/dev/null
setfattr -n user.terrace.layout -v plain "$M/turns"
printf 'past us' | dd of="$M/turns" conv=notrunc status=none
setfattr -x user.terrace.layout "$M/turns"
[ "$(head -c 7 "$M/turns")" = 'past us' ] || fail "stale pages: $(head -c 7 "$M/turns" | od -c)"
pool_umount

# what is written past us would keep suid: nobody else may be writing then
MOUNT_OPTIONS='-o passthrough'
pool_mount
chmod 755 "$M"
python3 - "$M/p" <<'PYTHON'
import errno, os, sys, time
folder = sys.argv[1]
path = folder + "/tool"
os.mkdir(folder)
os.setxattr(folder, "user.terrace.layout", b"plain")
os.chmod(folder, 0o777)

def as_user(uid, call):
    os.seteuid(uid)
    try:
        return call()
    finally:
        os.seteuid(0)

def suid():
    return bool(os.stat(path).st_mode & 0o4000)

def refused(call, what):
    try:
        call()
    except OSError as e:
        assert e.errno == errno.ETXTBSY, e
    else:
        raise SystemExit(what)

# its owner makes it, as cp -p does
own = as_user(1001, lambda: os.open(path, os.O_CREAT | os.O_WRONLY, 0o777))
os.chmod(path, 0o777)
as_user(1001, lambda: os.write(own, b"first"))
as_user(1001, lambda: os.fchmod(own, 0o4777))
assert suid(), "suid of the owner"
other = as_user(1002, lambda: os.open(path, os.O_WRONLY))
assert not suid(), "suid while another may write"
os.close(other)
os.close(own)
os.chmod(path, 0o4777)
assert suid(), "suid after all have closed it"
time.sleep(0.2) # the kernel tells of a close some time after it
# nobody has it open: any one may write, and takes suid away
other = as_user(1002, lambda: os.open(path, os.O_WRONLY))
as_user(1002, lambda: os.write(other, b"other"))
assert not suid(), "suid after another's write"
os.close(other)
time.sleep(0.2)
# somebody else has it open
other = as_user(1002, lambda: os.open(path, os.O_WRONLY))
refused(lambda: os.chmod(path, 0o4777), "suid while another writes to it")
assert not suid(), "suid though refused"
os.close(other)
os.chmod(path, 0o4777)
assert suid()
PYTHON
pool_umount

# More plain files are open than the daemon was given descriptors to begin with.
limit=$(ulimit -S -n)
ulimit -S -n 200
MOUNT_OPTIONS=
pool_mount
ulimit -S -n "$limit"
mkdir "$M/many"
setfattr -n user.terrace.layout -v plain "$M/many"
before=$(plain_files)
python3 - "$M/many" <<'PYTHON'
import os, sys
files = [os.open(f"{sys.argv[1]}/{i}", os.O_RDWR | os.O_CREAT) for i in range(400)]
for i, fd in enumerate(files):
    os.pwrite(fd, b"%d" % i, 0)
os.fsync(fd)
for i, fd in enumerate(files):
    assert os.pread(fd, 9, 0) == b"%d" % i
PYTHON
[ $(($(plain_files) - before)) -eq 400 ] || fail "$(($(plain_files) - before)) of 400 files became plain"
pool_umount
