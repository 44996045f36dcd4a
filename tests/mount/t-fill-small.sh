#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# Disks filled to the last byte with small files, and files of others in between.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fill.sh"

small_disk fast 64M
small_disk slow 48M
pool_new "ram:path=$RAM,size=32M" "ssd:path=$T/fast,segment=4M" "hdd:path=$T/slow,segment=4M"
pool_mount
fill small
before=$(fill_count)
[ "$before" -gt 1000 ] || fail "full after $before small files"
fill check
expect_idle "full of small files"
fill delete 3 # each frame loses some of its files
fill small
fill oldest 2 # and here all of them
fill small
[ "$(fill_count)" -gt 300 ] || fail "half of it deleted, and there is no room"
fill_up "$T/slow" # not ours: the pool has less than it thought
fill small
fill check
FILL_SETTLE=3 expect_idle "the slow disk full of others' files"
fill_up "$T/fast"
fill small
fill check
expect_idle "both disks full of others' files"
fill delete 2 # goes, without a byte free anywhere
fill check
give_back "$T/slow"
give_back "$T/fast"
fill one 500000
pool_kill
pool_mount
fill check
fill one 500000
pool_umount
