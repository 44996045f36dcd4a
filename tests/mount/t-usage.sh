#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# du, terrace usage and what the folders really take agree within 3 %.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
mkdir "$M/tree"
cp -a /usr/include/linux "$M/tree/"
head -c 20000000 /dev/urandom >"$M/tree/random"
find /usr/bin /usr/lib/git-core -type f -size +50k -size -2000k | sort | awk 'NR <= 100' | xargs -d '\n' cp -t "$M/tree"
logical=$(find "$M" -type f -printf '%s\n' | awk '{ n += $1 } END { printf "%d", n }')
within() { # WHAT A B PERCENT
	awk -v a="$2" -v b="$3" -v p="$4" 'BEGIN { d = a > b ? a - b : b - a; exit !(d <= b * p / 100) }' ||
		fail "$1: $2 against $3"
}
files_take() { # what a tier's own files take; metadata is counted for itself
	find "$1" -type f ! -path '*/meta/*' -printf '%b\n' | awk '{ n += $1 * 512 } END { printf "%d", n }'
}
check() {
	find "$M" -ls >/dev/null # what the kernel has cached of sizes must not outlive a flush or a move
	terrace sync "$M"
	sync -f "$T"
	within "$1: logical" "$(stats .logical)" "$logical" 0.1
	within "$1: ssd used and its folder" "$(stats '.tiers[] | select(.name == "ssd") | .used')" \
		"$(files_take "$T/ssd")" 3
	within "$1: hdd used and its folder" "$(stats '.tiers[] | select(.name == "hdd") | .used')" \
		"$(files_take "$T/hdd")" 3
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
