#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A journal damaged in the middle is refused, and the line says what to do.
. "$(dirname "$0")/lib.sh"

# shellcheck source=tests/mount/journal.sh
. "$(dirname "$0")/journal.sh"
journal_pool
file=$(journal_file)
cp "$file" "$T/good"
for skip in 0 140; do # the beginning of what comes after the middle, and something inside it
	cp "$T/good" "$file"
	python3 - "$file" $(($(journal_end) / 2)) "$skip" <<'PY'
import sys
with open(sys.argv[1], "r+b") as f:
    at, skip, all = int(sys.argv[2]), int(sys.argv[3]), f.read()
    while all[at] == 0:  # groups are padded with zeros that mean nothing
        at += 1
    at += skip
    while all[at] == 0:
        at += 1
    f.seek(at)
    f.write(bytes([all[at] ^ 0x5A]))
PY
	refused "1" "$(basename "$file").*" terracefs "$POOL" "$M" -f
	cat "$T/said"
done
cp "$T/good" "$file" # the refusal changed nothing
pool_mount
for i in $(seq 1 30); do journal_check "$i"; done
pool_umount
