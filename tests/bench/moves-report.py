#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Medians, ranges and ratios of moves.sh: table on standard error, JSON into a file.

moves-report.py RESULTS ROUNDS OBJECTS MB LIMIT OUT DISK COMMIT   (RESULTS: name, unit, value lines)
"""
import json
import os
import platform
import statistics
import sys


def main():
    results, rounds, objects, mb, limit, out, disk, commit = sys.argv[1:]
    rows = {}
    with open(results) as lines:
        for line in lines:
            name, unit, value = line.split("\t")
            rows.setdefault((name, unit), []).append(float(value))
    report = [
        {"row": name, "unit": unit, "median": statistics.median(got), "min": min(got), "max": max(got),
         "values": got}
        for (name, unit), got in rows.items()]
    for row in report:
        print(f"{row['row']:18} {row['median']:12.1f} {row['unit']:10} ({row['min']:.1f} - {row['max']:.1f})",
              file=sys.stderr)
    median = {row["row"]: row["median"] for row in report}
    ratios = {}
    for row in ("read_moving", "read_limited"):
        for which in ("rate", "p50", "p99"):
            if f"{row}.{which}" in median and f"read_quiet.{which}" in median:
                ratios[f"{row}.{which}"] = round(
                    median[f"{row}.{which}"] / median[f"read_quiet.{which}"], 2)
    for name, ratio in ratios.items():
        print(f"{name} over read_quiet: {ratio:.2f}", file=sys.stderr)
    print(f"medians of {rounds} rounds (range); disk: {disk}", file=sys.stderr)
    with open(out, "w") as target:
        json.dump({
            "version": 1, "commit": commit, "kernel": platform.release(), "processors": os.cpu_count(),
            "disk": disk, "rounds": int(rounds), "objects": int(objects), "mb": int(mb),
            "move_bandwidth": limit, "rows": report, "over_quiet": ratios}, target, indent=1)
        target.write("\n")


if __name__ == "__main__":
    main()
