#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A damaged frame: EIO on that range, its path in the log, the rest readable.
. "$(dirname "$0")/lib.sh"

pool_new
pool_mount
mkdir "$M/folder"
head -c 8M /dev/urandom >"$T/content"
cp "$T/content" "$M/folder/big file"
cp -a /usr/include/linux "$M/"
terrace sync "$M"
pool_umount
# shellcheck disable=SC2046 # names without blanks
# random bytes are stored as they are: find those at 3 MiB in a segment and change them
python3 - "$T/content" $((3 << 20)) $(find "$T/ssd/segments" -type f) <<'PY'
import sys
content = open(sys.argv[1], "rb").read()
at = int(sys.argv[2])
for path in sys.argv[3:]:
    with open(path, "r+b") as f:
        where = f.read().find(content[at : at + 64])
        if where >= 0:
            f.seek(where + 10)
            f.write(b"damage")
            sys.exit(0)
sys.exit("the bytes are in no segment")
PY
pool_mount
head -c 2M "$M/folder/big file" | cmp - <(head -c 2M "$T/content")
tail -c 4M "$M/folder/big file" | cmp - <(tail -c 4M "$T/content")
if dd if="$M/folder/big file" of=/dev/null bs=4096 skip=768 count=1 2>"$T/err"; then fail "damaged bytes were returned"; fi
grep -q 'Input/output error' "$T/err" || fail "$(cat "$T/err")"
if cmp "$T/content" "$M/folder/big file" 2>/dev/null; then fail "no error over the whole file"; fi
grep -q '/folder/big file' "$LOG" || fail "the path is not in the log"
python3 - "$M/folder/big file" "$T/content" <<'PY'
import os, sys
fd, want = os.open(sys.argv[1], os.O_RDONLY), open(sys.argv[2], "rb").read()
bad = 0
for off in range(0, len(want), 4096):
    try:
        if os.pread(fd, 4096, off) != want[off : off + 4096]:
            sys.exit(f"wrong bytes at {off}")
    except OSError:
        bad += 4096
if not 0 < bad <= 256 << 10:
    sys.exit(f"{bad} bytes cannot be read; at most a frame or two of 128 KiB should be lost")
PY
diff -r --no-dereference /usr/include/linux "$M/linux"
move_all_status=0
terrace demote --to hdd "$M" >/dev/null 2>"$T/err" || move_all_status=$?
[ "$move_all_status" -eq 1 ] || fail "demoting a damaged frame ended with $move_all_status"
diff -r --no-dereference /usr/include/linux "$M/linux"
head -c 2M "$M/folder/big file" | cmp - <(head -c 2M "$T/content")
cp "$T/content" "$M/folder/big file" # writing it again mends it
cmp "$T/content" "$M/folder/big file"
pool_umount
