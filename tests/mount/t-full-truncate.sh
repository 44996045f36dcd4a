#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# With no room for metadata either, truncating at open works; if it fails, the file is as it was.
. "$(dirname "$0")/lib.sh"

small_disk() { # NAME SIZE
	truncate -s "$2" "$T/$1.image"
	mkfs.ext4 -q -m 0 "$T/$1.image"
	mkdir "$T/$1"
	mount -o loop "$T/$1.image" "$T/$1"
}
small_disk fast 64M
pool_new "ram:path=$RAM,size=32M" "ssd:path=$T/fast,segment=4M,codec=none"
pool_mount
head -c 2M /dev/urandom >"$T/piece"
for i in 1 2 3; do cp "$T/piece" "$M/file-$i"; done
terrace sync "$M"
dd if=/dev/zero of="$T/fast/filler" bs=64K status=none 2>/dev/null || true
python3 - "$M" <<'PY'
import errno, os, sys
where = sys.argv[1]
for i in range(200000): # until the metadata is full
    try:
        os.close(os.open(f"{where}/small-{i}", os.O_CREAT | os.O_EXCL))
    except OSError as e:
        print("full after", i, errno.errorcode[e.errno])
        break
for i in 1, 2, 3:
    try:
        os.close(os.open(f"{where}/file-{i}", os.O_WRONLY | os.O_TRUNC))
        size = 0
    except OSError as e:
        print("open:", errno.errorcode[e.errno])
        size = 2 << 20
    got = os.stat(f"{where}/file-{i}").st_size
    if got != size:
        sys.exit(f"file-{i}: {got} bytes, expected {size}")
    with open(f"{where}/file-{i}", "rb") as f:
        if size and f.read() == bytes(size):
            sys.exit(f"file-{i}: zeros that nobody wrote")
PY
rm "$T/fast/filler"
pool_umount
