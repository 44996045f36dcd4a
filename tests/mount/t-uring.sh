#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Both ways for requests: over io_uring, where readers that wait keep nobody else waiting, the daemon
# can die and the mount can go under open files; and through the device, with io_uring=off. What the
# kernel has to forget of files that are deleted gathers before somebody is woken for it.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || skip "needs root"
grep -qx Y /sys/module/fuse/parameters/enable_uring 2>/dev/null ||
	skip "fuse.enable_uring is not set: echo Y > /sys/module/fuse/parameters/enable_uring"
rings() { find "/proc/$PID/fd" -lname 'anon_inode:*io_uring*' | wc -l; }

work() { # NAME: many at a time, and what comes back is what went in
	local i workers=()
	mkdir "$M/$1"
	for i in $(seq 1 24); do
		(
			head -c $((i * 40000)) /dev/urandom >"$T/in.$i"
			for turn in 1 2 3; do
				cp "$T/in.$i" "$M/$1/$i.new"
				sync "$M/$1/$i.new"
				mv "$M/$1/$i.new" "$M/$1/$i"
				cmp "$T/in.$i" "$M/$1/$i"
			done
		) &
		workers+=($!)
	done
	for i in "${workers[@]}"; do wait "$i" || fail "$1: what came back is not what went in"; done
	[ "$(find "$M/$1" -type f | wc -l)" -eq 24 ] || fail "$1: files are missing"
}

reads() { sed -n 's/^syscr: //p' "/proc/$PID/io"; }

pool_new
pool_mount
[ "$(rings)" -ge "$(nproc)" ] || fail "there are $(rings) rings for $(nproc) processors"
readers=()
for i in $(seq 1 60); do # more than there are threads, fewer than may wait
	cat "$M/.terrace/events" >"$T/events.$i" &
	readers+=($!)
done
sleep 0.5
work rings
terrace demote --progress=off --to hdd "$M/rings/24" >/dev/null
for i in $(seq 1 100); do
	[ "$(find "$T" -name 'events.*' -size +0 | wc -l)" -lt 60 ] || break
	sleep 0.1
done
[ "$(find "$T" -name 'events.*' -size +0 | wc -l)" -eq 60 ] || fail "not all who waited were told of the event"
kill "${readers[@]:0:30}"
for i in "${readers[@]:0:30}"; do wait "$i" || true; done
# What a look for holes waits for is never given to the thread that looks.
cat >"$T/holes.py" <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for i in range(500):
    os.pwrite(fd, b"x" * 65536, i % 16 * 65536)
    try:
        os.lseek(fd, 0, os.SEEK_DATA)
    except OSError:
        pass
END
holes=()
for i in 1 2 3 4; do
	python3 "$T/holes.py" "$M/holes.$i" &
	holes+=($!)
done
for i in "${holes[@]}"; do
	for _ in $(seq 1 300); do
		alive "$i" || break
		sleep 0.1
	done
	if alive "$i"; then
		pool_kill
		fail "who looks for holes waits for ever"
	fi
	wait "$i"
done
work again
mkdir "$M/many"
(cd "$M/many" && seq 1 2000 | xargs touch)
before=$(reads)
(cd "$M/many" && seq 1 2000 | xargs rm)
woken=$(($(reads) - before))
[ "$woken" -lt 500 ] || fail "the daemon was woken $woken times for 2000 files that were deleted"
pool_kill # the other readers wait on
for i in "${readers[@]:30}"; do wait "$i" || true; done
pool_mount
for i in $(seq 1 24); do cmp "$T/in.$i" "$M/again/$i"; done
pool_umount
MOUNT_OPTIONS='-o io_uring=off'
pool_mount
[ "$(rings)" -eq 0 ] || fail "io_uring=off, and there are $(rings) rings"
work device
pool_umount
