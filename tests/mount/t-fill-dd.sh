#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# Both tiers' disks filled to the last byte with large files, again and again after deletes: ENOSPC
# to the writer, no hang, what was accepted stays, nothing spins, and there is room after rm.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fill.sh"

small_disk fast 96M
small_disk slow 96M
pool_new "ram:path=$RAM,size=32M" "ssd:path=$T/fast,segment=4M" "hdd:path=$T/slow,segment=4M"
pool_mount
fill write 4000000
fill check
expect_idle "full of large files"
fill delete 3
fill one 4000000
fill write 1500000
fill truncate
fill one 4000000
fill write 300000
timeout 60 terrace run "$M" >/dev/null || true
fill check
fill delete 2
terrace sync "$M"
fill one 4000000
pool_remount
fill check
fill write 4000000
pool_kill
pool_mount
fill check
fill delete 1
fill one 20000000
pool_umount
