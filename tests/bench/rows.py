#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""The rows of the benchmark: names, units, what each measures, and what Terrace must reach.

rows.py names GROUP|ROW...   the names in their order; "all" leaves out those that take long
rows.py groups GROUP|ROW...  the groups of these
rows.py text                 for people

A target is "FACTOR COLUMN" (so many times the median of that column in the same row),
"FACTOR row ROW" (of Terrace's own other row), "FACTOR p50 or BOUND" (so many times the median of
the same operations, or the bound if that is more), or "BOUND". It is Terrace's; "COLUMN: ..." is
another column's, and asked for only when that was measured. In rows where less is better the
figure may be at most that, else it must be at least that.
"""
import collections
import sys

Row = collections.namedtuple("Row", "name group unit less targets what")
LONG = ("memory", "names", "pgbench")  # groups that are measured only when they are named

# What was reached once is asked for since, with room for what one machine swings by.
RATES = ["0.85 floor", "2.5 mergerfs"]
DELETES = ["0.85 floor", "3 mergerfs", "1.5 ext4"]
COLD4K = ["1.2 mergerfs", "3 btrfs"]
RANDOM = ["1.2 mergerfs", "5 btrfs"]
CHECKPOINT = ["3 p50 or 4000"]

_TABLE = [
    ("tree", "files/s", [
        ("untar", RATES, "real files (--files) out of a tar in memory"),
        ("find_cold", ["4 mergerfs", "1.2 btrfs"], "find -ls of them"),
        ("tar_cold", ["2.5 mergerfs", "1 btrfs"], "tar of them to a pipe"),
        ("rm", DELETES, "rm -rf of them"),
    ]),
    ("tree", "x", [
        ("ratio", [], "apparent size over disk space taken"),
        ("ratio_cold", [], "... after demotion"),
    ]),
    ("file", "MB/s", [
        ("seqwrite", ["0.9 floor"], "--mb MiB in writes of 1 MiB, and close"),
        ("seqwrite_fsync", ["1.2 btrfs"], "... fsync, and close"),
        ("seqread_cold", ["2 mergerfs", "1 btrfs"], "read once"),
        ("seqread_warm", ["0.95 ext4"], "read again and again for half a second at least"),
    ]),
    ("file", "ops/s", [
        ("randread_cold", COLD4K, "4 KiB reads, 20000 of the file's blocks, one at a time"),
        ("randread_cold16", COLD4K, "... 24000, sixteen threads"),
        ("randread_warm", ["0.95 ext4"], "... for two seconds, of a file just read"),
        ("randwrite", RANDOM, "4 KiB writes, buffered, one fsync at the end"),
        ("randwrite_fsync", RANDOM, "... fsync after each, for two seconds"),
    ]),
    ("hdd", "MB/s", [
        ("seqread_hdd", [], "the file from the last tier, cold"),
        ("migrate", ["0.8 zstd"], "ssd to hdd at zstd:3; column zstd: zstd -3 -T2 of the same bytes"),
    ]),
    ("hdd", "ops/s", [
        ("randread_hdd", [], "4 KiB reads from the last tier, cold, 2000 of the file's blocks"),
    ]),
    ("rates", "ops/s", [
        ("create", RATES, "open, write 4 KiB, close; one thread, 20000 files, folders of 1000"),
        ("stat", RATES, "in scattered order, again and again for half a second at least"),
        ("read", RATES, "open, read 4 KiB, close; likewise"),
        ("rename", RATES, "to another name in the folder and back; likewise"),
        ("unlink", DELETES, "in scattered order"),
    ]),
    ("db", "tx/s", [
        ("sqlite", ["2 mergerfs", "plain: 0.9 ext4"], "one insert per transaction, rollback journal, synchronous=full"),
        ("sqlite_wal", ["1.3 mergerfs", "plain: 0.9 ext4"], "... write-ahead log"),
    ]),
    ("checkpoint", "us", [
        ("ckpt_create", CHECKPOINT, "p99 while the pool makes a checkpoint and a sync each second"),
        ("ckpt_write", CHECKPOINT, "and another thread creates and deletes files all the time:"),
        ("ckpt_stat", CHECKPOINT, "operations begin by the clock, so each that a stall would have"),
        ("ckpt_read", CHECKPOINT, "met is counted; all of them reach the daemon"),
        ("ckpt_unlink", CHECKPOINT, "(other columns: sync -f each second)"),
    ]),
    ("pgbench", "tx/s", [
        ("pgbench", ["plain: 0.8 ext4"], "PostgreSQL's own, scale 20, 4 clients, 20 s (--pgbench)"),
    ]),
    ("memory", "MB", [
        ("mem_inodes", ["300"], "of the daemon, without mapped files, per million inodes that the kernel knows"),
        ("mem_objects", ["2000"], "of the process and its RAM tier, a million objects of 1 KB in it"),
    ]),
    ("names", "ops/s", [
        ("create_1m", [], "files made in a pool of a million, in the process, without FUSE"),
        ("create_4m", [], "... of four million"),
        ("create_16m", ["0.7 row create_1m"], "... of sixteen"),
        ("lookup_1m", [], "names looked up in scattered order"),
        ("lookup_4m", [], "..."),
        ("lookup_16m", ["0.7 row lookup_1m"], "..."),
    ]),
]

ROWS = collections.OrderedDict(
    (name, Row(name, group, unit, group in ("checkpoint", "memory"), targets, what))
    for group, unit, rows in _TABLE for name, targets, what in rows)


def chosen(words):
    """The rows that words name; ValueError says which word is none."""
    groups = {row.group for row in ROWS.values()}
    for word in words:
        if word != "all" and word not in groups and word not in ROWS:
            raise ValueError(f"no row or group {word}; there are all, {', '.join(sorted(groups))}, "
                             f"and {', '.join(ROWS)}")
    return [row.name for row in ROWS.values()
            if row.name in words or row.group in words or ("all" in words and row.group not in LONG)]


def text():
    lines, last = [], None
    for row in ROWS.values():
        if row.group != last:
            lines.append(f"{row.group}" + ("  (only when named)" if row.group in LONG else ""))
        last = row.group
        lines.append(f"  {row.name:15} {row.unit:7}  {row.what}")
    return "\n".join(lines)


def main():
    if sys.argv[1:2] == ["text"]:
        print(text())
        return 0
    if len(sys.argv) < 3 or sys.argv[1] not in ("names", "groups"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        names = chosen(sys.argv[2:])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if sys.argv[1] == "groups":
        names = list(dict.fromkeys(ROWS[name].group for name in names))
    print(" ".join(names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
