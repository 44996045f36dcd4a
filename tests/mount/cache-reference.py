#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cache-reference.py SHARE < IDS: hits in percent of LRU and of ARC (Megiddo and Modha, FAST 2003,
figure 4) in a cache of SHARE percent of the distinct ids, one id per line. Prints "LRU ARC"."""
import sys
from collections import OrderedDict


def lru(ids, size):
    cache, hits = OrderedDict(), 0
    for i in ids:
        if i in cache:
            cache.move_to_end(i)
            hits += 1
            continue
        cache[i] = True
        if len(cache) > size:
            cache.popitem(last=False)
    return hits


def arc(ids, size):
    t1, t2, b1, b2 = (OrderedDict() for _ in range(4))
    p = hits = 0

    def replace(i):
        if t1 and (len(t1) > p or (i in b2 and len(t1) == p)):
            b1[t1.popitem(last=False)[0]] = True
        else:
            b2[t2.popitem(last=False)[0]] = True

    for i in ids:
        if i in t1 or i in t2:
            (t1 if i in t1 else t2).pop(i)
            t2[i] = True
            hits += 1
        elif i in b1:
            p = min(size, p + max(len(b2) // len(b1), 1))
            replace(i)
            del b1[i]
            t2[i] = True
        elif i in b2:
            p = max(0, p - max(len(b1) // len(b2), 1))
            replace(i)
            del b2[i]
            t2[i] = True
        else:
            if len(t1) + len(b1) == size:
                if len(t1) < size:
                    b1.popitem(last=False)
                    replace(i)
                else:
                    t1.popitem(last=False)
            elif len(t1) + len(t2) + len(b1) + len(b2) >= size:
                if len(t1) + len(t2) + len(b1) + len(b2) == 2 * size:
                    b2.popitem(last=False)
                replace(i)
            t1[i] = True
    return hits


numbers = [int(line) for line in sys.stdin]
room = len(set(numbers)) * int(sys.argv[1]) // 100
print(*("%.1f" % (100 * policy(numbers, room) / len(numbers)) for policy in (lru, arc)))
