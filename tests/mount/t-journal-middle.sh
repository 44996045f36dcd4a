#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A journal damaged in the middle is refused, and the line says what to do: terrace restore-metadata takes what
# comes before the damage.
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
	refused "1" "$(basename "$file").*terrace restore-metadata" terracefs "$POOL" "$M" -f
	cat "$T/said"
done
cp "$T/good" "$file" # the refusal changed nothing
mkdir "$T/kept"
cp -a "$T/ssd" "$T/hdd" "$T/kept"
pool_mount
for i in $(seq 1 30); do journal_check "$i"; done
pool_umount

# what was synced before the damage is there, and it is the state of one moment
rm -r "$T/ssd" "$T/hdd"
mv "$T/kept/ssd" "$T/kept/hdd" "$T"
head -c 8192 /dev/urandom | dd of="$file" bs=4096 seek=$(($(journal_end) / 8192)) conv=notrunc status=none
terrace restore-metadata "$POOL" >"$T/said"
grep -q 'and its journal, up to the damage$' "$T/said" || fail "$(cat "$T/said")"
pool_mount
last=0
for i in $(seq 1 30); do
	[ -e "$M/step-$i/file" ] || break
	journal_check "$i"
	last=$i
done
for i in $(seq $((last + 2)) 30); do [ ! -e "$M/step-$i" ] || fail "step $i is there, step $((last + 1)) is not"; done
if [ "$last" -lt 5 ] || [ "$last" -ge 30 ]; then fail "$last steps are left"; fi
echo "$last of 30 steps are left"
seq 1 100000 >"$M/after"
pool_remount
seq 1 100000 | cmp - "$M/after"
pool_umount
terrace check "$POOL" >"$T/checked" || fail "$(cat "$T/checked")"
