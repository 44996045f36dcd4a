#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Does the report say what was measured? Run by tests/mount/t-bench.sh."""
import io
import unittest

import chart
import report
from rows import ROWS, chosen


def found(**rows):
    """row={column: [values]} as read_results() makes it; "column.measure" for other measures."""
    lines = []
    for row, columns in rows.items():
        for column, values in columns.items():
            name, _, measure = column.partition(".")
            lines += [f"{name}\t{row}\t{measure or 'value'}\t{value}\n" for value in values]
    return report.read_results(lines)


def built(results, columns="ext4 btrfs mergerfs floor terrace"):
    return report.build(results, {"rows": list(results), "columns": columns.split(), "rounds": 3})["rows"]


class Report(unittest.TestCase):
    def test_median_and_range_are_of_the_rounds(self):
        cell = built(found(untar={"terrace": [60, 10, 20]}))["untar"]["columns"]["terrace"]
        self.assertEqual((cell["median"], cell["min"], cell["max"], cell["values"]), (20, 10, 60, [60, 10, 20]))

    def test_ratio_is_terrace_over_the_column(self):
        row = built(found(untar={"terrace": [30], "floor": [40], "ext4": [0]}))["untar"]
        self.assertEqual(row["terrace_over"], {"floor": 0.75})

    def test_every_target_must_be_met(self):
        row = {"terrace": [85], "floor": [100], "mergerfs": [34]}
        self.assertEqual(built(found(create=row))["create"]["verdict"], "met")
        for worse in ({**row, "floor": [101]}, {**row, "mergerfs": [35]}):
            self.assertEqual(built(found(create=worse))["create"]["verdict"], "NOT MET")

    def test_the_figure_asked_for_is_shown(self):
        row = built(found(create={"terrace": [80], "floor": [100], "mergerfs": [10]}))
        self.assertIn("0.85 floor = 85.00", report.table_of_rows({"rows": row, "columns": ["floor", "terrace"]})[1])

    def test_what_was_not_measured_is_not_met_silently(self):
        self.assertEqual(built(found(create={"terrace": [85], "floor": [50]}))["create"]["verdict"], "-")
        self.assertEqual(built(found(create={"floor": [50], "mergerfs": [50]}))["create"]["verdict"], "-")
        self.assertEqual(built(found(create={"terrace": [1], "floor": [50]}))["create"]["verdict"], "NOT MET")

    def test_p99_may_be_three_times_the_median_or_a_bound(self):
        for p50, p99, verdict in ((100, 4000, "met"), (100, 4001, "NOT MET"), (2000, 6000, "met"), (2000, 6001, "NOT MET")):
            row = found(ckpt_read={"terrace": [p99], "terrace.p50": [p50]})
            self.assertEqual(built(row)["ckpt_read"]["verdict"], verdict, (p50, p99))

    def test_bounds_and_other_rows(self):
        self.assertEqual(built(found(mem_inodes={"terrace": [301]}))["mem_inodes"]["verdict"], "NOT MET")
        self.assertEqual(built(found(mem_inodes={"terrace": [299]}))["mem_inodes"]["verdict"], "met")
        names = {"create_1m": {"terrace": [100]}, "create_16m": {"terrace": [69]}}
        self.assertEqual(built(found(**names))["create_16m"]["verdict"], "NOT MET")

    def test_costs_are_kept_and_amplification_is_disk_over_written(self):
        row = built(found(seqwrite={"terrace": [1], "terrace.disk_mb": [30], "terrace.logical_mb": [20],
                                    "terrace.cpu_s": [1.5]}))
        line = report.table_of_costs({"rows": row})[1]
        self.assertEqual((line[1], line[2], line[-1]), ("terrace", "1.50", "1.50"))

    def test_of_the_device_the_least_counts(self):
        row = built(found(untar={"terrace": [1, 1, 1], "terrace.disk_mb": [90, 30, 60], "terrace.cpu_s": [9, 3, 6]}))
        line = report.table_of_costs({"rows": row})[1]
        self.assertEqual((line[2], line[4]), ("6.00", "30.00"))

    def test_chart_is_relative_to_the_first_column_and_more_is_better(self):
        results = found(untar={"ext4": [10], "terrace": [20, 30, 40]}, mem_inodes={"ext4": [10], "terrace": [20]},
                        rm={"terrace": [5]})
        rows = dict(chart.bars({"rows": built(results), "columns": ["ext4", "floor", "terrace"]}))
        self.assertEqual(rows["untar"], [(1, 1, 1), None, (3, 2, 4)])
        self.assertEqual(rows["mem_inodes"][2], (0.5, 0.5, 0.5))
        self.assertNotIn("rm", rows)

    def test_the_table_shows_every_row_and_column(self):
        rows = built(found(untar={"terrace": [30000], "floor": [40000]}, rm={"terrace": [5]}))
        out = io.StringIO()
        report.show(report.table_of_rows({"rows": rows, "columns": ["floor", "terrace"]}), 2, out)
        lines = out.getvalue().splitlines()
        self.assertEqual(len(lines), 3)
        self.assertIn("30.0k (30.0k-30.0k)", lines[1])
        self.assertRegex(lines[1], r"0\.75 ")

    def test_another_columns_target_counts_when_it_was_measured(self):
        row = {"terrace": [50], "mergerfs": [25], "ext4": [100]}
        self.assertEqual(built(found(sqlite=row))["sqlite"]["verdict"], "met")
        self.assertEqual(built(found(sqlite={**row, "plain": [90]}))["sqlite"]["verdict"], "met")
        self.assertEqual(built(found(sqlite={**row, "plain": [89]}))["sqlite"]["verdict"], "NOT MET")
        self.assertEqual(built(found(pgbench={"terrace": [1], "ext4": [9]}))["pgbench"]["targets"], {})

    def test_targets_can_be_read(self):
        for row in ROWS.values():
            for target in row.targets:
                words = report.subject(target)[1].split()
                float(words[0])
                if words[1:2] == ["row"]:
                    self.assertIn(words[2], ROWS)
                elif len(words) > 1:
                    self.assertIn(words[1], ("ext4", "btrfs", "mergerfs", "floor", "zstd", "p50"))

    def test_all_leaves_out_what_takes_long(self):
        self.assertFalse({"create_16m", "lookup_1m", "mem_inodes", "mem_objects", "pgbench"} & set(chosen(["all"])))
        self.assertLessEqual({"untar", "ckpt_read", "migrate"}, set(chosen(["all"])))
        self.assertEqual(chosen(["rm", "untar"]), ["untar", "rm"])
        self.assertRaises(ValueError, chosen, ["nothing"])


if __name__ == "__main__":
    unittest.main()
