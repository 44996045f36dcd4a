#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The daemon's memory stays within the RAM tier's size and 150 MB.
. "$(dirname "$0")/lib.sh"

# flavors: release
# TERRACE_SOAK_MB and TERRACE_SOAK_FILES (default 1024 and 20000) set the amounts.
mb=${TERRACE_SOAK_MB:-1024}
files=${TERRACE_SOAK_FILES:-20000}
pool_new "ram:path=$RAM,size=128M" "ssd:path=$T/ssd,codec=lz4" "hdd:path=$T/hdd,codec=zstd:3"
pool_mount
most=0
measure() {
	local now
	now=$(awk '/^Rss(Anon|Shmem)/ { n += $2 } END { print n }' "/proc/$PID/status")
	[ "$now" -le "$most" ] || most=$now
}
watch() { while :; do
	awk '/^Rss(Anon|Shmem)/ { n += $2 } END { print n }' "/proc/$PID/status" || break
	sleep 0.2
done >"$T/memory"; }
watch &
head -c 64M /dev/urandom >"$T/piece"
for i in $(seq 1 $((mb / 64))); do cp "$T/piece" "$M/big-$i"; done
mkdir "$M/many"
python3 - "$M/many" "$files" <<'PY'
import os, sys
for i in range(int(sys.argv[2])):
    folder = f"{sys.argv[1]}/{i // 1000}"
    if i % 1000 == 0:
        os.mkdir(folder)
    with open(f"{folder}/{i}", "wb") as f:
        f.write(b"content of file %d\n" % i * (i % 50 * 4 + 1))
PY
terrace sync "$M"
measure
pool_size=$(stats '.tiers[0].size')
cat "$M"/big-* >/dev/null
find "$M/many" -type f -print0 | xargs -0 cat | wc -c
measure
find "$M" -ls >/dev/null
move_all demote hdd
measure
limit=$(((128 << 10) + 150 * 1000))
peak=$(sort -n "$T/memory" | tail -n 1)
echo "RAM tier $((pool_size >> 20)) MiB, peak $((peak / 1024)) MiB, limit $((limit / 1024)) MiB"
[ "$peak" -le "$limit" ] || fail "peak $peak KiB, limit $limit KiB"
pool_umount
