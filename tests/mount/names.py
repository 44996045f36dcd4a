#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Names that change one after the other in two folders: the state of which moment is found?

names.py change FOLDER LEDGER     makes, moves and removes folders until the filesystem goes away
names.py check FOLDER LEDGER kill|power

Step 3i makes a/n-i, step 3i+1 renames it to b/o-i, step 3i+2 removes b/o-(i-2). So what is found
tells how many steps have been done: exactly some number of them, nothing in between (promise 1).
The ledger, a map outside of the filesystem, has the numbers of steps that were begun, that had
returned, and that an fsync of a folder had made durable.
"""
import errno, mmap, os, random, struct, sys

mode, folder, ledger = sys.argv[1:4]
file = os.open(ledger, os.O_RDWR | os.O_CREAT, 0o644)
os.ftruncate(file, 24)
numbers = mmap.mmap(file, 24)
BEGUN, RETURNED, DURABLE = 0, 8, 16


def get(at):
    return struct.unpack_from("<q", numbers, at)[0]


def put(at, value):
    struct.pack_into("<q", numbers, at, value)


def step(t):
    i, what = divmod(t, 3)
    if what == 0:
        os.mkdir("%s/a/n-%d" % (folder, i))
    elif what == 1:
        os.rename("%s/a/n-%d" % (folder, i), "%s/b/o-%d" % (folder, i))
    elif i >= 2:
        os.rmdir("%s/b/o-%d" % (folder, i - 2))


def state(t):  # after t steps
    i, what = divmod(t, 3)
    a = {"n-%d" % i} if what == 1 else set()
    moved = i + (1 if what == 2 else 0)  # o-0 to o-(moved - 1) have been made
    return a, {"o-%d" % k for k in range(max(0, i - 2), moved)}


def listing(name):
    try:
        return set(os.listdir(folder + "/" + name))
    except FileNotFoundError:
        return set()


def change():
    for name in ("", "/a", "/b"):
        try:  # not makedirs(): where the daemon dies after it has found it, that says EEXIST
            os.mkdir(folder + name)
        except FileExistsError:
            pass
    fds = [os.open(folder + "/" + name, os.O_RDONLY) for name in "ab"]
    t = get(RETURNED)
    while True:
        put(BEGUN, t + 1)
        step(t)
        t += 1
        put(RETURNED, t)
        if random.randrange(200) == 0:
            os.fsync(random.choice(fds))
            put(DURABLE, t)


def check(power):
    found = listing("a"), listing("b")
    least, most = get(DURABLE if power else RETURNED), get(BEGUN)
    good = [t for t in range(least, most + 1) if state(t) == found]
    if not good:
        sys.exit("names: %s is no state from step %d to %d" % (found, least, most))
    for at in (BEGUN, RETURNED) + ((DURABLE,) if power else ()):
        put(at, good[-1])


if mode == "change":
    try:
        change()
    except OSError as e:
        if e.errno not in (errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED, errno.EINTR, errno.EIO):
            raise
else:
    check(sys.argv[4] == "power")
