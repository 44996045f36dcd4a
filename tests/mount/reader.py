#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random 4 KiB reads of some files, past the kernel's cache.

reader.py SECONDS FILE...   prints how many reads were made

Half of the reads go to a tenth of the offsets, so that some data is read again soon.
"""
import os, random, sys, time

seconds, files = float(sys.argv[1]), sys.argv[2:]
rng = random.Random(1)
fds = [os.open(f, os.O_RDONLY) for f in files]
sizes = [os.fstat(fd).st_size // 4096 for fd in fds]
for fd in fds:
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
reads, end = 0, time.monotonic() + seconds
while time.monotonic() < end:
    i = rng.randrange(len(fds))
    n = sizes[i]
    block = rng.randrange(max(1, n // 10)) if rng.random() < 0.5 else rng.randrange(n)
    os.posix_fadvise(fds[i], block * 4096, 4096, os.POSIX_FADV_DONTNEED)
    if len(os.pread(fds[i], 4096, block * 4096)) != 4096:
        sys.exit("a short read")
    reads += 1
print(reads)
