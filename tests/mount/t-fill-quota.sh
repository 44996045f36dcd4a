#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tiers of several directories with a limit (`size=`): it is kept, and what it leaves can be used.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fill.sh"

small_disk slow 24M
mkdir "$T/ssd" "$T/hdd"
pool_new "ram:path=$RAM,size=32M" "ssd:path=$T/ssd,size=24M,segment=2M,frame=64K" \
	"hdd:path=$T/slow,path=$T/hdd,size=40M,segment=4M"
pool_mount
fill write 1000000
fill check
files_bytes() { find "$@" -type f -printf '%b\n' | awk '{ n += $1 } END { print n * 512 }'; }
for tier in ssd:24 hdd:40; do
	case $tier in
	ssd:*) used=$(files_bytes "$T/ssd/segments") ;;
	hdd:*) used=$(files_bytes "$T/hdd/segments" "$T/slow/segments") ;;
	esac
	[ "$used" -le $((${tier#*:} * 1048576)) ] || fail "$tier MiB, and takes $used"
	# most of the limit can be used
	[ "$used" -ge $((${tier#*:} * 1048576 * 8 / 10)) ] || fail "$tier MiB, and takes only $used"
done
expect_idle "at the limit"
fill delete 3
fill write 200000
fill random 50
fill check
fill delete 2
fill one 1000000
pool_remount
fill check
pool_umount
