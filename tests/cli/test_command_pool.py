# SPDX-License-Identifier: Apache-2.0
"""forebay pool, and bench compare on what it prints."""
import json
import unittest

from command import REAL_MODEL, CommandTest

TRACE = ["forebay-heap-trace 1", "+ 5 10 1000000 64 context", "+ 6 20 500 4096 rows", "- 5 30",
         "+ 7 40 3000000 64 context", "- 6 50"]


class Pool(CommandTest):
    def test_a_size_is_proposed_as_yaml_that_can_be_read(self):
        shown = self.succeeds("pool", "size", "7B", "--ram", "32G").stdout.decode()
        self.assertIn("heap_size_mb: 512\n", shown)
        self.assertIn("num_heaps: 6\n", shown)
        self.path("pool.yaml", shown.replace("512", "4").encode())
        self.path("trace", TRACE)
        self.succeeds("pool", "run", "--config", "pool.yaml", "--trace", "trace")
        shown = self.succeeds("pool", "size", REAL_MODEL).stdout.decode()
        self.assertIn("a small model", shown)
        self.fails(2, "pool", "size", "no-such", says=["no-such", "7B"])

    def test_a_model_counts_once_and_what_is_assumed_is_said(self):
        both = self.dir / "both"
        both.mkdir()
        (both / "model.safetensors").write_bytes(b"{}" + bytes(3999998))
        (both / "pytorch_model.bin").write_bytes(bytes(4000000))
        shown = self.succeeds("pool", "size", str(both), "--ram", "16G").stdout.decode()
        self.assertIn("# 1 million parameters", shown)
        self.assertNotIn("assumed", shown)
        quantised = self.dir / "quantised"
        quantised.mkdir()
        (quantised / "model.gguf").write_bytes(bytes(5000000))
        shown = self.succeeds("pool", "size", str(quantised), "--ram", "16G").stdout.decode()
        self.assertIn("# 8 million parameters", shown)
        self.assertIn("5 bits a parameter assumed", shown)

    def test_more_parts_than_there_is_room_for_are_told_of(self):
        self.path("stats", ["forebay_heap_pool_heaps 1"])
        many = self.dir / "many"
        many.mkdir()
        for i in range(4097):
            (many / f"{i}.bin").write_bytes(b"x")
        self.fails(2, "pool", "advise", "stats", "--part", str(many), says=["4096 parts"])

    def test_a_trace_is_replayed_and_its_statistics_are_judged(self):
        self.path("trace", TRACE)
        self.path("pool.yaml", ["memory_pool:", "  heap_size_mb: 2", "  num_heaps: 2"])
        done = self.succeeds("pool", "run", "--config", "pool.yaml", "--trace", "trace", "--json",
                             "--stats", "stats")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([row["heap"] for row in rows], ["0", "1", "all", "all"])
        self.assertEqual(rows[-1]["fallback"], 1)  # 3,000,000 bytes are more than a heap
        self.assertEqual(rows[-2]["acquired"], 3)
        self.assertIn("not released: 3000000 bytes (context)", done.stderr)
        advice = self.succeeds("pool", "advise", "stats").stdout.decode()
        self.assertIn("hit rate 66.7 %: poor", advice)
        self.assertIn("  heap_size_mb: 5\n", advice)

    def test_auto_holds_what_the_trace_does(self):
        self.path("trace", TRACE)
        done = self.succeeds("pool", "run", "--trace", "trace", "--json")
        last = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual((last["fallback"], last["refused"], last["peak_bytes"]), (0, 0, 3000500))

    def test_the_engine_records_what_it_acquires(self):
        self.environment["FBY_HEAP_TRACE"] = str(self.dir / "engine")
        self.succeeds("embed", self.path("texts", ["a", "b"]))
        done = self.succeeds("pool", "run", "--trace", "engine", "--json")
        self.assertEqual(json.loads(done.stdout.splitlines()[-1])["fallback"], 0)
        self.assertIn("context", (self.dir / "engine").read_text())

    def test_faults_name_their_place(self):
        self.path("trace", TRACE)
        self.path("bad.yaml", ["memory_pool:", "  heap_size_mb: lots"])
        self.fails(2, "pool", "run", "--config", "bad.yaml", "--trace", "trace",
                   says=["bad.yaml:2: heap_size_mb"])
        self.fails(1, "pool", "run", "--trace", self.path("short", TRACE[:1] + ["+ 1"]),
                   says=["short", "line 2"])
        self.fails(1, "pool", "advise", "trace", says=["trace", "no statistics"])
        self.fails(1, "pool", "advise", "http://127.0.0.1:1/metrics", says=["127.0.0.1:1"])
        self.fails(2, "pool", "advise", says=["FILE or URL"])

    def test_results_are_compared_whatever_their_form(self):
        rows = [{"bench": "x", "cpu": "a", "isa": "c", "kind": kind, "bytes": 64, "ns": ns,
                 "ns_q1": ns - 1, "ns_q3": ns + 1} for kind, ns in (("one", 10.5), ("two", 20.5))]
        self.path("a.json", [json.dumps(row) for row in rows])
        rows[1]["ns"], rows[1]["ns_q1"], rows[1]["ns_q3"] = 41, 40, 42
        self.path("b.csv", [",".join(rows[0])] +
                  [",".join(f'"{x}"' if isinstance(x, str) else str(x) for x in row.values())
                   for row in rows])
        shown = self.succeeds("bench", "compare", "a.json", "b.csv").stdout.decode()
        self.assertIn("2 points in both; 0 only in the first, 0 only in the second\n", shown)
        self.assertRegex(shown, r"x, two, bytes=64\n  ns +20.5 +41 +\+100.00 %  apart\n")
        shown = self.succeeds("bench", "compare", "a.json", "b.csv", "--least", "5").stdout
        self.assertNotIn(b"one", shown)
        self.fails(1, "bench", "compare", "a.json", self.path("empty", []), says=["empty"])


if __name__ == "__main__":
    unittest.main()
