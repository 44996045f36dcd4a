#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# The engine demotes by age and watermark and promotes what is read again.
. "$(dirname "$0")/lib.sh"

pool_new "ram:path=$RAM,size=24M" "ssd:path=$T/ssd,codec=lz4,size=200M,min_age=1s,high=30,low=10" "hdd:path=$T/hdd,codec=zstd:3"
# Both tiers are folders of one disk here: no time is to be saved.
config_set promote_gain 0
config_set residency 0 # what has gone down may come up at once
pool_mount
for i in $(seq 1 10); do head -c 10M /dev/urandom >"$M/file-$i"; done
terrace sync "$M"
sleep 1.2
sha256sum "$M"/file-* >"$T/sums"
sleep 1.2
terrace run "$M" >/dev/null
used=$(stats '.tiers[] | select(.name == "ssd") | .live')
[ "$used" -le $((70 << 20)) ] || fail "ssd above its watermark holds $used after a run"
[ "$(stats '.tiers[] | select(.name == "hdd") | .live')" -ge $((40 << 20)) ] || fail "nothing on hdd"
sha256sum --quiet -c "$T/sums"
# Reads again and again, here and there: read from end to end is a scan, which moves nothing. Each
# round goes to the tier (the RAM tier and the kernel hold less than a file), and reads within two
# seconds count as one. The file takes the place of what is not read.
for i in $(seq 1 10); do
	[ "$(attribute tier "$M/file-$i")" != hdd ] || break
done
for n in 1 2 3; do
	drop_caches
	python3 "$(dirname "$0")/reader.py" 3 3000 "$M/file-$i" >/dev/null
	sleep 2.2
done
terrace run "$M" >/dev/null || [ $? -eq 3 ]
case $(attribute tier "$M/file-$i") in
hdd) fail "read again and again, and still there: $(attribute why "$M/file-$i")" ;;
esac
sha256sum --quiet -c "$T/sums"
pool_umount
