#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""A bar chart of a report of the benchmark, by gnuplot.

chart.py REPORT.json OUT.svg

Each bar is a column's median over that of the first column of the report, lines are the range of the
rounds; where less is better it is the other way round, so more is always better. Rows that the first
column does not have are left out.
"""
import json
import subprocess
import sys

COLOURS = {"ext4": "#7f7f7f", "btrfs": "#1f77b4", "mergerfs": "#9467bd", "floor": "#bcbd22", "terrace": "#d62728", "plain": "#ff7f0e"}
OTHER = "#2ca02c"


def bars(report):
    """(row, [(height, low, high) or None for each column]) of each row that can be compared."""
    out = []
    for name, row in report["rows"].items():
        first = row["columns"].get(report["columns"][0], {}).get("median")
        if not first:
            continue
        heights = []
        for column in report["columns"]:
            cell = row["columns"].get(column)
            if not cell or not cell["min"]:
                heights.append(None)
            elif row["less_is_better"]:
                heights.append((first / cell["median"], first / cell["max"], first / cell["min"]))
            else:
                heights.append((cell["median"] / first, cell["min"] / first, cell["max"] / first))
        out.append((name, heights))
    return out


def script(report, out):
    columns, rows = report["columns"], bars(report)
    lines = [f'set terminal svg size {300 + 60 * len(rows)},600 font "sans,13" background "white"', f'set output "{out}"',
             f'set title "Terrace {report["commit"]}: medians of {report["rounds"]} rounds'
             + (", SIMULATED media" if report["simulated"] else "") + '"',
             f'set ylabel "times {columns[0]} (more is better)"', "set logscale y", "set grid ytics",
             'set datafile missing "?"', "set style data histograms",
             "set style histogram errorbars gap 1 lw 1", "set style fill solid 0.9 noborder",
             'set xtics rotate by 45 right noenhanced', "set key outside right top noenhanced", "$data << EOD"]
    for name, heights in rows:
        cells = [" ".join(f"{value:.4g}" for value in height) if height else "? ? ?" for height in heights]
        lines.append(" ".join([name] + cells))
    plots = [f'$data using {2 + 3 * i}:{3 + 3 * i}:{4 + 3 * i}:xtic(1) title "{column}" linecolor rgb "{COLOURS.get(column, OTHER)}"'
             for i, column in enumerate(columns)]
    return "\n".join(lines + ["EOD", "plot " + ", ".join(plots)]) + "\n"


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    with open(sys.argv[1]) as source:
        report = json.load(source)
    if not bars(report):
        print(f"{sys.argv[1]}: no row of it has a figure of {report['columns'][0]} to compare with", file=sys.stderr)
        return 1
    return subprocess.run(["gnuplot"], input=script(report, sys.argv[2]), text=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
