#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# flavors: release
# What root makes in a pool of somebody else belongs to that one, who can use the pool afterwards; where something
# is of another owner, one line says what to do.
. "$(dirname "$0")/lib.sh"

[ "$(id -u)" = 0 ] || skip "needs root"
command -v setpriv >/dev/null || skip "needs setpriv"
other() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
all_theirs() {
	local found
	found=$(find "$T/own" "$RAM" -mindepth 1 -uid 0)
	[ -z "$found" ] || fail "$1: root's: $found"
}

chmod 1777 "$RAM"
install -d -o 65534 -g 65534 "$T/own"
POOL=$T/own/pool.conf
other terrace create --tier "ram:path=$RAM,size=64M" --tier "ssd:path=$T/own/ssd" --tier "hdd:path=$T/own/hdd" "$POOL"
pool_mount
all_theirs "mounted"
cp -r /usr/include/linux "$M/tree"
terrace demote --to hdd "$M/tree" >/dev/null
head -c 3000000 /dev/urandom >"$M/random"
terrace sync "$M"
all_theirs "written"
terrace policy set run_interval=10s "$M" >/dev/null
pool_kill
all_theirs "the daemon died"
[ -n "$(find "$RAM" -name 'log.*' -uid 65534)" ] || fail "no RAM folder is left"
pool_mount
pool_umount
all_theirs "unmounted"
other terrace check "$POOL" >"$T/out" || fail "check: $(cat "$T/out")"
other terrace export "$POOL" "$T/own/out" >"$T/out" || fail "export: $(cat "$T/out")"
rm -r "$T/own/out"

# root's rescue leaves a pool that its owner can use
rm -r "$T/own/ssd/meta"
terrace restore-metadata "$POOL" >"$T/out" || fail "$(cat "$T/out")"
all_theirs "restored"
terrace check --repair "$POOL" >/dev/null || [ $? -le 1 ] || fail "check --repair"
all_theirs "checked"
pool_mount
pool_umount
all_theirs "mounted again"

# what is root's already keeps the owner out, and that is said
chown 0 "$T/own/ssd/meta/metadata.lock"
status=0
other terrace check "$POOL" >"$T/out" 2>&1 || status=$?
[ "$status" -eq 8 ] || fail "check ended with $status: $(cat "$T/out")"
grep -q "metadata.lock: Permission denied: be the pool's owner or root, or give its files to the owner (chown)" "$T/out" ||
	fail "$(cat "$T/out")"
