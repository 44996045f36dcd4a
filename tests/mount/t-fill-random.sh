#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Random overwrites on a pool that is full, or nearly.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fill.sh"

small_disk fast 64M
small_disk slow 64M
pool_new "ram:path=$RAM,size=32M" "ssd:path=$T/fast,segment=4M" "hdd:path=$T/slow,segment=4M"
pool_mount
fill write 3000000
fill random 150
fill check
expect_idle "full, overwritten"
fill delete 4
fill random 300
fill check
fill write 3000000
fill random 100
fill check
pool_kill
pool_mount
fill check
fill delete 2
fill one 3000000
fill random 100
fill check
pool_umount
