#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# What is said to be on the media is there, also of files that their writers still have open and
# have not synced: after terrace sync; when a signal ends the daemon; what was written with O_SYNC,
# also where so little room is left that the kernel does not cache the file; names with -o dirsync.
. "$(dirname "$0")/lib.sh"

# FILE HOW: writes, or maps and fills, 3 MB; keeps the file open. HOW: flags of open(2), or "map".
cat >"$T/writer.py" <<'END'
import mmap, os, signal, sys
path, how = sys.argv[1:]
data = b"".join(b"%07d\n" % i for i in range(375000))
flags = 0 if how == "map" else getattr(os, how)
fd = os.open(path, os.O_RDWR | os.O_CREAT | flags)
if how == "map":
    os.truncate(fd, len(data))
    mapped = mmap.mmap(fd, len(data))
    mapped[:] = data
elif os.write(fd, data) != len(data):
    sys.exit("a short write")
print("written", flush=True)
signal.pause()
END
seq -f %07.0f 0 374999 >"$T/want"
writers=()
writer() { # FILE HOW
	local i
	: >"$T/said"
	python3 "$T/writer.py" "$@" >"$T/said" &
	writers+=($!)
	for i in $(seq 1 200); do
		[ ! -s "$T/said" ] || return 0
		sleep 0.05
	done
	fail "the writer of $1 has not come through"
}
end_writers() {
	kill "${writers[@]}"
	wait "${writers[@]}" || true
	writers=()
}

pool_new
config_set commit_interval 1h # nothing becomes durable by itself
pool_mount
writer "$M/open" O_APPEND
writer "$M/mapped" map
terrace sync "$M"
pool_power_loss
end_writers
pool_mount
for file in open mapped; do cmp "$T/want" "$M/$file" || fail "$file was synced by terrace sync, and is lost"; done

writer "$M/ended" O_APPEND
writer "$M/ended.mapped" map
kill -TERM "$PID"
wait "$PID" || fail "the daemon ended with $?"
end_writers
pool_mount
for file in ended ended.mapped; do cmp "$T/want" "$M/$file" || fail "$file was there when the daemon was asked to end"; done
pool_umount

POOL=$T/small.conf
pool_new "ram:path=$RAM,size=32M" "ssd:path=$T/small,size=24M,segment=2M"
config_set commit_interval 1h
for how in O_SYNC O_DSYNC; do
	pool_mount
	[ "$(stat -f -c '%a * %S' "$M" | { read -r e; echo $((e)); })" -lt $((64 << 20)) ] || fail "there is too much room for this test"
	writer "$M/$how" "$how"
	pool_power_loss
	end_writers
	pool_mount
	cmp "$T/want" "$M/$how" || fail "$how: what was written is lost"
	pool_umount
done

POOL=$T/names.conf
pool_new "ram:path=$RAM,size=32M" "ssd:path=$T/names"
config_set commit_interval 1h
for option in sync dirsync; do
	MOUNT_OPTIONS="-o $option"
	pool_mount
	mkdir "$M/$option" "$M/$option.gone"
	(cd "$M/$option" && : >made && : >old && mkfifo fifo && ln -s there link && ln made hard && : >gone &&
		mv old new && rm gone && rmdir "../$option.gone")
	pool_power_loss
	pool_mount
	names=$(cd "$M" && echo "$option"* "$option"/*)
	[ "$names" = "$option $option/fifo $option/hard $option/link $option/made $option/new" ] ||
		fail "with -o $option there are: $names"
	pool_umount
done
