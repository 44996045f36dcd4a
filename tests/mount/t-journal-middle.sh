#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A journal damaged in the middle is refused, and the line says what to do.
. "$(dirname "$0")/lib.sh"

# shellcheck source=tests/mount/journal.sh
. "$(dirname "$0")/journal.sh"
journal_pool
file=$(journal_file)
cp "$file" "$T/good"
python3 - "$file" $(($(journal_end) / 2)) <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2]))
    piece = f.read(16)
    f.seek(int(sys.argv[2]))
    f.write(bytes(b ^ 0x5A for b in piece))
PY
refused "1" "$(basename "$file").*" terracefs "$POOL" "$M" -f
cat "$T/said"
cp "$T/good" "$file" # the refusal changed nothing
pool_mount
for i in $(seq 1 30); do journal_check "$i"; done
pool_umount
