#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# kill -9 while everything is being moved between tiers: nothing is lost.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
mkdir "$T/source"
cp -a /usr/include/linux "$T/source/"
cp -a /bin/ls /bin/cp "$T/source/"
cp -a "$T/source" "$M/copy"
for round in 1 2 3 4; do
	to=hdd
	verb=demote
	[ $((round % 2)) -eq 1 ] || { to=ssd verb=promote; }
	terrace "$verb" --to "$to" "$M" >/dev/null 2>&1 &
	mover=$!
	sleep "0.$((RANDOM % 5))$((RANDOM % 9))"
	pool_kill
	wait "$mover" || true
	pool_mount
	same_tree "$T/source" "$M/copy"
done
pool_umount
