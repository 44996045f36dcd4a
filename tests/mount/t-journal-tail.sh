#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A journal cut short in its last group: opens, with all that was there before it.
. "$(dirname "$0")/lib.sh"

# shellcheck source=tests/mount/journal.sh
. "$(dirname "$0")/journal.sh"
journal_pool
at=$(journal_end)
truncate -s $((at - 7)) "$(journal_file)"
pool_mount
for i in $(seq 1 29); do journal_check "$i"; done
if [ -d "$M/step-30" ] && [ -f "$M/step-30/file" ]; then journal_check 30; fi
echo again >"$M/new"
terrace sync "$M"
pool_power_loss
pool_mount
[ "$(cat "$M/new")" = again ] || fail "what came after the cut was lost"
for i in $(seq 1 29); do journal_check "$i"; done
pool_umount
