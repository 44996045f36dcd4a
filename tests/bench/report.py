#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Medians, ranges and ratios of the benchmark: table on standard error, JSON into a file.

report.py RESULTS ROWS COLUMNS ROUNDS FILES MB OUT DISK COMMIT   (RESULTS: column, row, value lines)
"""
import json
import os
import platform
import statistics
import sys

UNITS = {
    "seqwrite": "MB/s", "seqread_cold": "MB/s", "seqread_warm": "MB/s",
    "untar": "files/s", "find_cold": "files/s", "tar_cold": "files/s", "rm": "files/s",
    "sqlite": "tx/s", "sqlite_wal": "tx/s", "ratio": "x", "ratio_cold": "x",
}


def short(value):
    if value >= 100000:
        return f"{value / 1000:.0f}k"
    if value >= 10000:
        return f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def main():
    results, rows, columns, rounds, files, mb, out, disk, commit = sys.argv[1:]
    values = {}
    with open(results) as lines:
        for line in lines:
            column, row, value = line.split("\t")
            values.setdefault(row, {}).setdefault(column, []).append(float(value))
    columns = columns.split(",")
    peers = [c for c in columns if c != "terrace"] if "terrace" in columns else []
    table, report = [], {}
    for row in rows.split(","):
        cells = values.get(row, {})
        entry = {"unit": UNITS.get(row, "ops/s"), "columns": {}, "terrace_over": {}}
        for column, got in cells.items():
            entry["columns"][column] = {
                "median": statistics.median(got), "min": min(got), "max": max(got), "values": got}
        for peer in peers:
            if peer in cells and "terrace" in cells:
                entry["terrace_over"][peer] = round(
                    entry["columns"]["terrace"]["median"] / entry["columns"][peer]["median"], 3)
        report[row] = entry
        line = [row, entry["unit"]]
        for column in columns:
            c = entry["columns"].get(column)
            line.append(f"{short(c['median'])} ({short(c['min'])}-{short(c['max'])})" if c else "-")
        line += [f"{entry['terrace_over'][p]:.2f}" if p in entry["terrace_over"] else "-" for p in peers]
        table.append(line)
    head = ["row", "unit"] + columns + [f"/{p}" for p in peers]
    widths = [max(len(line[i]) for line in [head] + table) for i in range(len(head))]
    for line in [head] + table:
        cells = [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths))]
        print("  ".join(cells), file=sys.stderr)
    if disk:
        print(f"medians of {rounds} interleaved rounds (range); /x is terrace over x; disk: {disk}", file=sys.stderr)
    with open(out, "w") as target:
        json.dump({
            "version": 1, "commit": commit, "kernel": platform.release(), "processors": os.cpu_count(),
            "disk": disk, "rounds": int(rounds), "files": int(files), "mb": int(mb), "rows": report,
        }, target, indent=1)
        target.write("\n")


if __name__ == "__main__":
    main()
