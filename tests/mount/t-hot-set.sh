#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# A working set that changes: two planning periods later 95 % of the reads come from ram and ssd. A
# full scan moves less than 2 % of the bytes up.
. "$(dirname "$0")/lib.sh"

period=4
pool_new "ram:path=$RAM,size=32M" \
	"ssd:path=$T/ssd,codec=none,size=600M,min_age=2s,high=90,low=85" \
	"hdd:path=$T/hdd,codec=none,size=2G,frame=128K,block=32K"
config_set run_interval ${period}s
config_set heat_half_life ${period}s
config_set residency 1s
config_set start_delay 0
config_set move_pressure 0
# Both tiers are folders of one disk here: no time is to be saved.
config_set promote_gain 0
pool_mount

# from_slow FOLDER: percent of reads that hdd served while FOLDER was read for a period.
from_slow() {
	local before after
	before=$(stats '[.tiers[].hits] | @csv')
	python3 "$(dirname "$0")/reader.py" $period 1000 "$M/$1"/* >/dev/null
	after=$(stats '[.tiers[].hits] | @csv')
	python3 - "$before" "$after" <<-'END'
		import sys
		a, b = ([int(x) for x in s.replace('"', '').split(',')] for s in sys.argv[1:])
		d = [y - x for x, y in zip(a, b)]
		print(round(100 * d[-1] / max(1, sum(d)), 1))
	END
}

# Bytes that promotions have moved so far.
moved_up() {
	terrace events --json "$M" | jq -s '[.[] | select(.kind == "move" and .reason == "hot") | .length] | add // 0'
}

mkdir "$M/a" "$M/b" "$M/rest"
for i in $(seq 1 8); do head -c 20M /dev/urandom >"$M/a/$i"; done
for i in $(seq 1 8); do head -c 20M /dev/urandom >"$M/b/$i"; done
for i in $(seq 1 40); do head -c 30M /dev/urandom >"$M/rest/$i"; done
terrace sync "$M"
terrace demote --progress=off --to hdd "$M/a" "$M/b" "$M/rest" >/dev/null
drop_caches
for set in a b; do
	# it begins to be used, and two periods pass; on a slow machine it takes longer to be seen
	python3 "$(dirname "$0")/reader.py" $((2 * period)) 30000 "$M/$set"/* >/dev/null
	slow=$(from_slow $set)
	echo "set $set: $slow % from hdd"
	awk -v s="$slow" 'BEGIN { exit !(s <= 5) }' || fail "two periods after $set came into use, $slow % of the reads still come from hdd"
done

drop_caches
before=$(moved_up)
[ "$before" -gt 0 ] || fail "the working sets came up, and no event tells of it"
tar c -C "$M" . | cat >/dev/null
sleep $((2 * period))
after=$(moved_up)
total=$(stats .logical)
echo "a scan of $total bytes moved $((after - before)) up"
[ $(((after - before) * 50)) -lt "$total" ] || fail "a scan of $total bytes moved $((after - before)) bytes up"
pool_umount
