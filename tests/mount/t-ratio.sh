#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Small files are packed at nearly the codec's own ratio: zstd:12 on hdd, lz4 on ssd.
. "$(dirname "$0")/lib.sh"

# flavors: release
pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd,codec=lz4" "hdd:path=$T/hdd,codec=zstd:12"
pool_mount
mkdir "$T/empty"
cp -a /usr/include "$M/include"
find "$M/include" -type f | sort >"$T/paths"
terrace sync "$M"
ratio() { # TIER CODEC LEVEL BLOCK: at least 0.9 of the ideal
	local raw ideal took
	read -r raw ideal < <("$HELPERS/ideal" "$2" "$3" "$4" <"$T/paths")
	sync -f "$T"
	took=$(disk_bytes "$T/$1/segments")
	awk -v raw="$raw" -v ideal="$ideal" -v took="$took" -v what="$1 $2:$3" 'BEGIN {
		printf "%s: %.2f, ideal %.2f, %.3f of it\n", what, raw / took, raw / ideal, ideal / took
		exit !(ideal / took >= 0.9) }'
}
ratio ssd lz4 1 32768 || fail "ssd lz4"
terrace demote --to hdd "$M/include" >/dev/null
terrace sync "$M"
ratio hdd zstd 12 1048576 || fail "hdd zstd:12"
diff -r --no-dereference /usr/include "$M/include"
pool_umount
