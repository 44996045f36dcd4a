#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""What the benchmark has found: tables on standard error, JSON into a file.

report.py RESULTS RUN OUT

RESULTS: lines of column, row, measure, value, separated by tabs, in the order of the rounds; RUN: a
JSON object of what all of it was measured with (commit, disk, simulated, rounds, columns, rows ...).
Medians are of the rounds; ratios and targets are of medians.
"""
import json
import os
import platform
import statistics
import sys

from rows import ROWS

BUSY = 0.5  # load for each processor
COSTS = ("cpu_s", "peak_mb", "disk_mb", "daemon_mb", "logical_mb")


def short(value):
    if value >= 100000:
        return f"{value / 1000:.0f}k"
    if value >= 10000:
        return f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": values}


def read_results(lines):
    """{row: {column: {measure: spread}}}"""
    found = {}
    for line in lines:
        column, row, measure, value = line.rstrip("\n").split("\t")
        found.setdefault(row, {}).setdefault(column, {}).setdefault(measure, []).append(float(value))
    return {row: {column: {measure: spread(values) for measure, values in measures.items()}
                  for column, measures in columns.items()} for row, columns in found.items()}


def median(found, row, column, measure="value"):
    return found.get(row, {}).get(column, {}).get(measure, {}).get("median")


def subject(target):
    """Whose target it is, and what it asks for."""
    column, colon, rest = target.partition(": ")
    return (column, rest) if colon else ("terrace", target)


def bound(target, row, found):
    """The figure that a target asks for, None when what it compares with was not measured."""
    column, target = subject(target)
    words = target.split()
    if len(words) == 1:
        return float(words[0])
    factor, other = float(words[0]), words[1]
    if other == "row":
        reference = median(found, words[2], column)
    elif other == "p50":
        reference = median(found, row, column, "p50")
    else:
        reference = median(found, row, other)
    if reference is None:
        return None
    return max(factor * reference, float(words[3])) if "or" in words else factor * reference


def verdict(row, found):
    """What medians must be and whether they are, for each target: {text: {bound, met}}."""
    out = {}
    for target in ROWS[row].targets:
        column = subject(target)[0]
        got = median(found, row, column)
        if got is None and column != "terrace":
            continue
        need = bound(target, row, found)
        met = None
        if got is not None and need is not None:
            met = got <= need if ROWS[row].less else got >= need
        out[target] = {"bound": need, "met": met}
    return out


def summary(targets):
    """met / NOT MET / - : nothing to compare with. A part that is not met decides."""
    verdicts = [target["met"] for target in targets.values()]
    if False in verdicts:
        return "NOT MET"
    return "met" if verdicts and None not in verdicts else "-"


def build(found, run):
    """The report: what is written as JSON, but for the machine."""
    rows = {}
    for name in run["rows"]:
        columns = found.get(name, {})
        got = median(found, name, "terrace")
        targets = verdict(name, found)
        rows[name] = {
            "unit": ROWS[name].unit, "less_is_better": ROWS[name].less,
            "columns": {column: {**measures["value"], "costs": {
                measure: values for measure, values in measures.items() if measure != "value"}}
                for column, measures in columns.items()},
            "terrace_over": {column: round(got / measures["value"]["median"], 3)
                             for column, measures in columns.items()
                             if column != "terrace" and got is not None and measures["value"]["median"]},
            "targets": targets, "verdict": summary(targets)}
    return {**run, "rows": rows}


def asked(text, need):
    return f"{text} = {short(need)}" if need is not None and " " in text else text


def table_of_rows(report):
    columns = report["columns"]
    peers = [column for column in columns if column != "terrace"] if "terrace" in columns else []
    table = [["row", "unit"] + columns + [f"/{peer}" for peer in peers] + ["target", ""]]
    for name, row in report["rows"].items():
        line = [name, row["unit"]]
        for column in columns:
            cell = row["columns"].get(column)
            line.append(f"{short(cell['median'])} ({short(cell['min'])}-{short(cell['max'])})" if cell else "-")
        for peer in peers:
            line.append(f"{row['terrace_over'][peer]:.2f}" if peer in row["terrace_over"] else "-")
        missed = [text for text, target in row["targets"].items() if target["met"] is False]
        line += [", ".join(asked(text, row["targets"][text]["bound"]) for text in missed or row["targets"]),
                 row["verdict"] if row["targets"] else ""]
        table.append(line)
    return table


def table_of_costs(report):
    table = [["row", "column", "CPU s", "peak MB", "to disk MB", "by daemon", "written MB", "amplification"]]
    for name, row in report["rows"].items():
        for column, cell in row["columns"].items():
            # Others' writes only add to what the device has taken, so the least is nearest.
            costs = {measure: values["min" if measure == "disk_mb" else "median"]
                     for measure, values in cell["costs"].items()}
            if "disk_mb" not in costs and "cpu_s" not in costs:
                continue
            line = [name, column] + [short(costs[m]) if m in costs else "-" for m in COSTS]
            known = costs.get("logical_mb") and "disk_mb" in costs
            table.append(line + [f"{costs['disk_mb'] / costs['logical_mb']:.2f}" if known else "-"])
    return table


def show(table, words, out):
    """Columns of equal width; the first `words` of them, and the last two of the rows', are text."""
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        print("  ".join(cell.ljust(w) if i < words else cell.rjust(w)
                        for i, (cell, w) in enumerate(zip(line, widths))).rstrip(), file=out)


def processor():
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main():
    results, run_file, out = sys.argv[1:]
    with open(run_file) as source:
        run = json.load(source)
    with open(results) as lines:
        found = read_results(lines)
    report = build(found, run)
    show(table_of_rows(report), 2, sys.stderr)
    print(f"\nmedians of {run['rounds']} interleaved rounds (range); /x: Terrace over x; disk: {run['disk']}"
          + ("; SIMULATED media: ssd 500 MB/s 0.1 ms, hdd 150 MB/s 8 ms" if run["simulated"] else "")
          + f"; FUSE over io_uring: {run['fuse_io_uring']}; a target that is not met names what is missed; us and MB: less is better\n", file=sys.stderr)
    if run["load_before"] > BUSY * os.cpu_count():
        print(f"THE MACHINE WAS BUSY before this began (load {run['load_before']}, {os.cpu_count()} processors): "
              "figures mean little\n", file=sys.stderr)
    show(table_of_costs(report), 2, sys.stderr)
    print("\nof the daemon: processor time, peak memory, bytes it wrote; to disk: sectors of the column's device,"
          "\nothers' too where they share it, so the least of the rounds; amplification: to disk over what the row wrote", file=sys.stderr)
    with open(out, "w") as target:
        json.dump({"version": 2, "kernel": platform.release(), "processors": os.cpu_count(),
                   "processor": processor(), **report}, target, indent=1)
        target.write("\n")


if __name__ == "__main__":
    main()
