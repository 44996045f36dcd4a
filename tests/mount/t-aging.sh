#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The engine demotes by age and watermark and promotes what is read again.
. "$(dirname "$0")/lib.sh"

pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=lz4,size=200M,min_age=1s,high=30,low=10" "hdd:path=$T/hdd,codec=zstd:3"
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
pool_remount # forget what is cached
for i in $(seq 1 10); do [ "$(attribute tier "$M/file-$i")" != hdd ] || break; done
[ "$(attribute tier "$M/file-$i")" = hdd ] || fail "no file on hdd"
for n in 1 2 3; do
	dd if="$M/file-$i" of=/dev/null bs=1M iflag=direct status=none
	sleep 0.2
done
terrace run "$M" >/dev/null || [ $? -eq 3 ]
[[ "$(attribute tiers "$M/file-$i")" =~ (ssd|ram)=[1-9] ]] || fail "read again and again, still $(attribute tiers "$M/file-$i")"
sha256sum --quiet -c "$T/sums"
pool_umount
