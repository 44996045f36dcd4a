#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fills a mount until it says ENOSPC, and knows what must be there then.

fill.py MNT MODE [ARGUMENT]: what was accepted is kept in MNT.model beside the mount (a pickle), so
that later calls, and later mounts, can check it.

  write SIZE    files of SIZE, each synced, until ENOSPC
  small         files of a few KB, synced in groups, until ENOSPC
  empty         empty files until ENOSPC (or --most)
  random N      N overwrites at random places of the files there are, synced now and then
  delete PART   deletes each PART-th file
  oldest PART   deletes the oldest of PART parts
  truncate      cuts every other file to half, then to nothing
  check         everything that was accepted can be read
  one SIZE      one file more must go in, within 30 s of trying
"""
import errno
import hashlib
import os
import pickle
import random
import sys
import time

MNT, MODE = sys.argv[1], sys.argv[2]
ARG = sys.argv[3] if len(sys.argv) > 3 else None
MODEL = MNT.rstrip("/") + ".model"
FULL = (errno.ENOSPC, errno.EDQUOT)

try:
    with open(MODEL, "rb") as f:
        model = pickle.load(f)
except FileNotFoundError:
    model = {"next": 0, "files": {}, "seed": int(os.environ.get("TERRACE_SEED", "1"))}
model["seed"] += 1
rng = random.Random(model["seed"])
files = model["files"]  # name -> [bytes known to be on media, doubtful]


def save():
    with open(MODEL, "wb") as f:
        pickle.dump(model, f)


def path(name):
    return f"{MNT}/{name}"


def fresh():
    model["next"] += 1
    return f"file-{model['next']}"


def full(e, what):
    if e.errno not in FULL:
        sys.exit(f"{what}: {e}")
    return True


def told(count, what):
    print(f"full after {count} {what}")
    with open(MNT.rstrip("/") + ".count", "w") as f:
        f.write(str(count))


def write_file(name, data, sync=True):
    """True: accepted. On ENOSPC the file goes again, which must work."""
    fd = None
    try:
        fd = os.open(path(name), os.O_CREAT | os.O_RDWR, 0o600)
        done = 0
        while done < len(data):
            done += os.write(fd, data[done:done + (1 << 20)])
        if sync:
            os.fsync(fd)
        os.close(fd)
        return True
    except OSError as e:
        full(e, f"writing {name}")
    if fd is not None:
        try:
            os.close(fd)
        except OSError as e:
            full(e, f"closing {name}")
    try:
        os.unlink(path(name))
    except FileNotFoundError:
        pass
    return False


def write_until_full(size, most):
    count = 0
    while count < most:
        data = rng.randbytes(size)
        name = fresh()
        if not write_file(name, data):
            break
        files[name] = data
        count += 1
    else:
        sys.exit(f"{count} files of {size} bytes went in: never full")
    told(count, f"files of {size} bytes")


def small_until_full():
    count, group = 0, []
    for _ in range(200000):
        data = rng.randbytes(rng.randrange(1, 9000))
        name = fresh()
        if not write_file(name, data, sync=False):
            break
        group.append((name, data))
        if len(group) < 50:
            continue
        # Durable together: the root's fsync is that of everything.
        try:
            fd = os.open(MNT, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        except OSError as e:
            full(e, "syncing")
            break
        files.update(group)
        count += len(group)
        group = []
    else:
        sys.exit("never full")
    # Those of the last group are there or not, but not both: gone now.
    for name, _ in group:
        os.unlink(path(name))
    told(count, "small files")


def empty_until_full(most):
    for i in range(most):
        try:
            os.close(os.open(path(f"empty-{i}"), os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as e:
            full(e, "creating")
            print(f"full after {i} empty files")
            return
    print(f"{most} empty files went in")


def overwrite(count):
    names = sorted(name for name, data in files.items() if data)
    refused = 0
    for _ in range(count):
        if not names:
            break
        name = rng.choice(names)
        data = bytearray(files[name])
        off = rng.randrange(len(data))
        piece = rng.randbytes(min(rng.randrange(1, 65536), len(data) - off))
        try:
            fd = os.open(path(name), os.O_RDWR)
        except OSError as e:
            full(e, f"opening {name}")
            refused += 1
            continue
        try:
            done = os.pwrite(fd, piece, off)
            data[off:off + done] = piece[:done]
            os.fsync(fd)
            files[name] = bytes(data)
        except OSError as e:
            full(e, f"overwriting {name}")
            refused += 1
            # Old or new, block by block, but nothing else: read what it is.
            now = os.pread(fd, len(data), 0)
            old = files[name]
            if len(now) != len(old):
                sys.exit(f"{name}: {len(now)} bytes instead of {len(old)}")
            for at, byte in enumerate(now):
                if byte != old[at] and not (off <= at < off + len(piece)
                                            and byte == piece[at - off]):
                    sys.exit(f"{name}: byte {at} is neither old nor new")
            # What becomes of the pages that the kernel still has of it is open.
            files[name] = None
            names.remove(name)
        try:
            os.close(fd)
        except OSError as e:
            full(e, f"closing {name}")
    print(f"{count} overwrites, {refused} refused")


def delete(part):
    for i, name in enumerate(sorted(files)):
        if i % part == 0:
            os.unlink(path(name))
            del files[name]


def oldest(part):
    names = sorted(files, key=lambda name: int(name.split("-")[1]))
    for name in names[:len(names) // part + 1]:
        os.unlink(path(name))
        del files[name]


def truncate():
    for i, name in enumerate(sorted(files)):
        if i % 2:
            continue
        data = files[name]
        if data is None:
            continue
        os.truncate(path(name), len(data) // 2)
        files[name] = data[:len(data) // 2]
        if i % 4 == 0:
            os.close(os.open(path(name), os.O_WRONLY | os.O_TRUNC))
            files[name] = b""


def check():
    bad = 0
    for name, data in files.items():
        try:
            with open(path(name), "rb") as f:
                now = f.read()
        except OSError as e:
            sys.exit(f"{name}: {e}")
        if data is not None and now != data:
            same = next((i for i, (a, b) in enumerate(zip(now, data)) if a != b), None)
            print(f"{name}: {len(now)} bytes, {hashlib.md5(now).hexdigest()}: differs at {same} "
                  f"from the {len(data)} that were accepted")
            bad += 1
    if bad:
        sys.exit(f"{bad} of {len(files)} files differ")


def one_more(size):
    data = rng.randbytes(size)
    name = fresh()
    until = time.monotonic() + 30
    while not write_file(name, data):
        if time.monotonic() > until:
            sys.exit(f"{size} bytes do not go in")
        time.sleep(0.2)
    files[name] = data


{
    "write": lambda: write_until_full(int(ARG), 5000),
    "small": small_until_full,
    "empty": lambda: empty_until_full(int(ARG or "300000")),
    "random": lambda: overwrite(int(ARG)),
    "delete": lambda: delete(int(ARG)),
    "oldest": lambda: oldest(int(ARG)),
    "truncate": truncate,
    "check": check,
    "one": lambda: one_more(int(ARG)),
}[MODE]()
save()
