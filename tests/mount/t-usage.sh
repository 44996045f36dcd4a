#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# du, terrace usage and what the folders really take agree within 3 %.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
mkdir "$M/tree"
cp -a /usr/include/linux "$M/tree/"
head -c 20000000 /dev/urandom >"$M/tree/random"
cp /bin/* "$M/tree/" 2>/dev/null || true
logical=$(find "$M" -type f -printf '%s\n' | awk '{ n += $1 } END { printf "%d", n }')
within() { # WHAT A B PERCENT
	awk -v a="$2" -v b="$3" -v p="$4" 'BEGIN { d = a > b ? a - b : b - a; exit !(d <= b * p / 100) }' ||
		fail "$1: $2 against $3"
}
check() {
	terrace sync "$M"
	sync -f "$T"
	within "$1: logical" "$(stats .logical)" "$logical" 0.1
	within "$1: ssd used and its folder" "$(stats '.tiers[] | select(.name == "ssd") | .used')" \
		"$(find "$T/ssd/segments" -type f -printf '%b\n' | awk '{ n += $1 * 512 } END { printf "%d", n }')" 3
	within "$1: hdd used and its folder" "$(stats '.tiers[] | select(.name == "hdd") | .used')" \
		"$(find "$T/hdd/segments" -type f -printf '%b\n' | awk '{ n += $1 * 512 } END { printf "%d", n }')" 3
	within "$1: stored and metadata and the folders" "$(stats '.stored + .metadata')" "$(disk_bytes "$T/ssd" "$T/hdd")" 3
	within "$1: du and stored" "$(disk_bytes "$M")" "$(stats .stored)" 3
	terrace usage "$M" >/dev/null
}
check flushed
move_all demote hdd
check demoted
rm "$M/tree/random"
logical=$((logical - 20000000))
terrace sync "$M"
terrace run "$M" >/dev/null || [ $? -eq 3 ]
check removed
pool_umount
