#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A config with an unknown key, a wrong size or no sense: refused with file and line.
. "$(dirname "$0")/lib.sh"

pool_new
cp "$POOL" "$T/good"
refused "1 2" "$T/none.conf" terracefs "$T/none.conf" "$M" -f
refused "1 2" "$T/nomount" terracefs "$POOL" "$T/nomount" -f
with() { # SED REGEX: the config changed so is refused with its line number
	sed "$1" "$T/good" >"$POOL"
	cmp -s "$POOL" "$T/good" && fail "nothing changed: $1"
	refused "1 2" "pool.conf:[0-9]+: .*($2)" terracefs "$POOL" "$M" -f
	if mountpoint -q "$M"; then fail "mounted"; fi
}
with 's/^\[pool\]/&\ncolour = red/' colour
with 's/^\[tier ssd\]/&\nflavour = sweet/' flavour
with 's/^\[tier ssd\]/&\nsize = 10Q/' '10Q'
with 's/^\[tier ssd\]/&\nsize = 120%/' '120%'
with 's/^\[tier ssd\]/&\nhigh = much/' much
with 's/^\[tier hdd\]/[shelf hdd]/' shelf
with 's/^\[pool\]/&\ncommit_interval = soon/' soon
with 's/^\[tier hdd\]/[tier hdd/' 'tier hdd|section|\['
head -c 3000 /dev/urandom >"$POOL"
refused "1 2" "pool.conf" terracefs "$POOL" "$M" -f
cp "$T/good" "$POOL"
pool_mount
pool_umount
