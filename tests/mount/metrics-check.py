#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is this file Prometheus' text format 0.0.4? (What promtool check metrics does.) Prints the samples
as NAME{LABELS} VALUE, labels sorted, for greps; ends with 1 and a line when something is wrong."""
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"^({NAME})(?:\{{(.*)\}})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
PARTS = {"_bucket", "_sum", "_count"}


def fail(number, text):
    sys.exit(f"line {number}: {text}")


def labels_of(number, text):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        if not match:
            fail(number, f"labels: {text}")
        if match[1] in labels:
            fail(number, f"label {match[1]} twice")
        labels[match[1]] = match[2]
        at = match.end()
    return labels


def check_histogram(name, series):
    for key, parts in series.items():
        buckets = parts["_bucket"]
        edges = [edge for edge, _ in buckets]
        counts = [count for _, count in buckets]
        if edges != sorted(set(edges)) or edges[-1] != float("inf"):
            sys.exit(f"{name}{key}: edges {edges}")
        if counts != sorted(counts) or counts[-1] != parts["_count"] or "_sum" not in parts:
            sys.exit(f"{name}{key}: counts {counts}")
        if parts["_count"] == 0 and parts["_sum"] != 0:
            sys.exit(f"{name}{key}: a sum of nothing")


def main():
    data = open(sys.argv[1], encoding="utf-8", newline="").read()
    if not data.endswith("\n"):
        sys.exit("the last line does not end")
    types, helps, seen, histograms, current = {}, set(), set(), {}, None
    for number, line in enumerate(data[:-1].split("\n"), 1):
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            if name in helps or len(line.split(" ", 3)) < 4:
                fail(number, "HELP twice or empty")
            helps.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if name in types or name not in helps or kind not in ("counter", "gauge", "histogram"):
                fail(number, line)
            if (kind == "counter") != name.endswith("_total"):
                fail(number, "counters, and only they, end in _total")
            types[name] = kind
            current = name
        else:
            match = SAMPLE.match(line)
            if not match:
                fail(number, line)
            name, labels, value = match[1], labels_of(number, match[2] or ""), float(match[3])
            part = name[len(current):] if current and name.startswith(current) else None
            if part != "" and not (types.get(current) == "histogram" and part in PARTS):
                fail(number, f"{name} is not of the family {current}")
            if types[current] == "histogram" and part == "":
                fail(number, "a histogram has no sample of its own")
            if not current.startswith("terrace_"):
                fail(number, "not ours")
            if types[current] != "gauge" and value < 0:
                fail(number, "a counter below zero")
            key = (name, tuple(sorted(labels.items())))
            if key in seen:
                fail(number, "twice")
            seen.add(key)
            if types[current] == "histogram":
                rest = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
                parts = histograms.setdefault(current, {}).setdefault(rest, {"_bucket": []})
                if part == "_bucket":
                    parts["_bucket"].append((float(labels["le"].replace("+Inf", "inf")), value))
                else:
                    parts[part] = value
            text = ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()))
            print(f"{name}{{{text}}} {match[3]}" if text else f"{name} {match[3]}")
    for name, series in histograms.items():
        check_histogram(name, series)


main()
