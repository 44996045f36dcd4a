#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# The metadata's disk filled to the last byte: creating fails cleanly, deleting and truncating go.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fill.sh"

small_disk meta 32M
mkdir "$T/ssd" "$T/hdd"
terrace create --meta "$T/meta/m" --tier "ram:path=$RAM,size=32M" \
	--tier "ssd:path=$T/ssd,size=64M,segment=4M" --tier "hdd:path=$T/hdd,size=64M,segment=4M" "$POOL" >/dev/null
pool_mount
for _ in 1 2 3 4 5 6 7 8; do fill one 700000; done
fill empty
fill check
expect_idle "no room for names"
fill truncate
fill delete 3
timeout 60 find "$M" -name 'empty-*0' -delete
fill check
fill_up "$T/meta" # not even what was kept for this
fill delete 2
timeout 60 find "$M" -name 'empty-*1' -delete
fill check
expect_idle "the metadata's disk full of others' files"
give_back "$T/meta"
timeout 100 find "$M" -name 'empty-*' -delete
fill one 700000
pool_kill
pool_mount
fill check
fill one 700000
pool_umount
