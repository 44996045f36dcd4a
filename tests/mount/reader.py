#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random 4 KiB reads of some files, past the kernel's cache.

reader.py SECONDS READS FILE...   reads for so long, and until so many were made; prints how many

Half of the reads go to a tenth of the offsets, so that some data is read again soon.
"""
import os, random, sys, time

seconds, least, files = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
rng = random.Random(1)
fds = [os.open(f, os.O_RDONLY) for f in files]
sizes = [os.fstat(fd).st_size // 4096 for fd in fds]
for fd in fds:
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
reads, end = 0, time.monotonic() + seconds
while reads < least or time.monotonic() < end:
    i = rng.randrange(len(fds))
    n = sizes[i]
    block = rng.randrange(max(1, n // 10)) if rng.random() < 0.5 else rng.randrange(n)
    os.posix_fadvise(fds[i], block * 4096, 4096, os.POSIX_FADV_DONTNEED)
    if len(os.pread(fds[i], 4096, block * 4096)) != 4096:
        sys.exit("a short read")
    reads += 1
print(reads)
