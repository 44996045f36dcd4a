#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sparse-compare.py WANT GOT: same size, and the same bytes wherever either file has data."""
import os
import sys


def ranges(fd, size):
    at = 0
    while at < size:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # ENXIO: the rest is a hole
            return
        at = os.lseek(fd, data, os.SEEK_HOLE)
        yield data, at


want, got = (os.open(path, os.O_RDONLY) for path in sys.argv[1:3])
size = os.fstat(want).st_size
if os.fstat(got).st_size != size:
    sys.exit(f"size {os.fstat(got).st_size} instead of {size}")
for fd in want, got:
    for start, end in list(ranges(fd, size)):
        while start < end:
            n = min(1 << 20, end - start)
            if os.pread(want, n, start) != os.pread(got, n, start):
                sys.exit(f"differs within {start}..{start + n}")
            start += n
