#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""restless.py FILE: whenever somebody reads FILE, it grows by a byte before the read is done; until
this is killed. Prints a line when it is ready. For root (fanotify)."""
import ctypes
import os
import struct
import sys

CLASS_CONTENT, CLOEXEC, MARK_ADD, ACCESS_PERM, ALLOW = 4, 1, 1, 0x20000, 1
AT_FDCWD = -100

libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def main(path):
    fd = check(libc.fanotify_init(CLASS_CONTENT | CLOEXEC, os.O_RDONLY))
    out = os.open(path, os.O_WRONLY | os.O_APPEND)
    check(libc.fanotify_mark(fd, MARK_ADD, ctypes.c_uint64(ACCESS_PERM), AT_FDCWD, path.encode()))
    print("ready", flush=True)
    while True:
        events = os.read(fd, 4096)
        while events:
            length, _, _, _, _, event, _ = struct.unpack("=IBBHQii", events[:24])
            os.write(out, b"x")
            os.write(fd, struct.pack("=iI", event, ALLOW))
            os.close(event)
            events = events[length:]


main(sys.argv[1])
