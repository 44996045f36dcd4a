#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# terrace sync, then power loss: what was there before is identical, no byte is invented.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
make_tree "$T/tree"
mkdir "$M/before" "$M/storm"
cp -a "$T/tree/." "$M/before/"
terrace sync "$M"
"$HELPERS/crash" storm "$M/storm" "$T/ledger" 1 2>"$T/storm.err" &
storm=$!
sleep 1.5
pool_power_loss
wait "$storm" || fail "the storm ended with an error: $(cat "$T/storm.err")"
pool_mount
same_tree "$T/tree" "$M/before"
"$HELPERS/crash" check "$M/storm" "$T/ledger" power
pool_remount
same_tree "$T/tree" "$M/before"
"$HELPERS/crash" check "$M/storm" "$T/ledger" power

# fsync of a folder: what was named in it stays, and so do all earlier names.
mkdir "$M/names"
: >"$M/names/a"
mv "$M/names/a" "$M/names/b"
ln "$M/names/b" "$M/before/linked"
sync "$M/names"
pool_power_loss
pool_mount
[ -e "$M/names/b" ] && [ ! -e "$M/names/a" ] && [ -e "$M/before/linked" ] || fail "a folder's fsync did not keep its names"
pool_umount
