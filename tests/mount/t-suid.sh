#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# suid and sgid go when somebody else changes the bytes, and the kernel knows at once: only the mode
# is asked for here, as running the program asks. (With its size or times, all would come anew.)
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || skip "needs root"
command -v setpriv >/dev/null || skip "needs setpriv"
pool_new "ram:path=$RAM,size=64M" "ssd:path=$T/ssd" "hdd:path=$T/hdd"
pool_mount
chmod 777 "$M"
as_other() { setpriv --reuid 65534 --regid 65534 --clear-groups sh -c "$1"; }
for change in 'echo x >>"$F"' ': >"$F"' 'truncate -s 100 "$F"' 'fallocate -l 20000 "$F"' \
	'dd if=/dev/zero of="$F" bs=10 count=1 conv=notrunc status=none'; do
	rm -f "$M/prog"
	head -c 8192 /bin/true >"$M/prog"
	chmod 6777 "$M/prog"
	F=$M/prog as_other "$change"
	[ "$(stat -c %a "$M/prog")" = 777 ] || fail "$change leaves $(stat -c %a "$M/prog")"
done
pool_umount
