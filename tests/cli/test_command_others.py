# SPDX-License-Identifier: Apache-2.0
"""forebay tokenize, info, bench and the table of commands itself."""
import json
import os
import re
import shutil
import struct
import subprocess
import time
import unittest

from command import FOREBAY, REAL_MODEL, CommandTest

COMMANDS = (["embed"], ["tokenize"], ["info"], ["search"], ["similarity"],
            ["bench", "embed"])


class Table(CommandTest):
    def test_help_of_each_fits_a_screen(self):
        for words in ([], ["bench"], *COMMANDS):
            done = self.succeeds(*words, "--help")
            lines = done.stdout.decode().splitlines()
            self.assertLessEqual(len(lines), 40, words)
            self.assertLess(max(map(len, lines)), 80, words)
            self.assertEqual(done.stderr, "")

    def test_every_option_of_the_help_is_one(self):
        for words in COMMANDS:
            shown = self.succeeds(*words, "--help").stdout.decode()
            names = set(re.findall(r"^  (?:-\w, |    )(--[\w-]+)", shown, re.M)) - {"--help"}
            self.assertIn("--model", names)
            for name in names:
                done = self.run_command(*words, name + "=", "x")
                self.assertNotIn("unknown option", done.stderr, (words, name))

    def test_the_version_is_a_line(self):
        self.assertRegex(self.succeeds("--version").stdout, rb"\Aforebay \d+\.\d+\.\d+\n\Z")

    def test_what_cannot_be_printed_is_said(self):
        with open("/dev/full", "wb") as full:
            for words in (["--help"], ["--version"], ["bench", "--help"], ["--completion", "bash"],
                          *([*command, "--help"] for command in COMMANDS)):
                self.fails(1, *words, stdout=full, says=["standard output: No space left"])

    def test_standard_files_that_are_closed_are_said(self):
        # By a shell: Python would use the descriptors itself.
        texts = self.path("texts", ["a"])
        for words, closed in ((["embed"], "0<&-"), (["tokenize"], "0<&-"),
                              (["similarity", "a", "-"], "0<&-"), (["search", "-", texts], "0<&-"),
                              (["embed", texts], "1>&-"), (["tokenize", texts], "1>&-"),
                              (["info"], "1>&-"), (["--version"], "1>&-"), (["--help"], "1>&-"),
                              (["search", "a", texts], "1>&-")):
            done = subprocess.run(["sh", "-c", f'exec "$0" "$@" {closed}', FOREBAY, *words],
                                  env=self.environment, cwd=self.dir, capture_output=True,
                                  timeout=60)
            self.assertIn(done.returncode, (1, 2), words)
            self.assertIn(b"Bad file descriptor", done.stderr, words)

    def test_a_wrong_setting_is_a_wrong_command_line_everywhere(self):
        self.environment["FBY_ISA"] = "no-such"
        texts = self.path("texts", ["a"])
        for words in (["embed", texts], ["tokenize", texts], ["info"], ["similarity", "a", "b"],
                      ["search", "a", texts], ["bench", "embed", "--file", texts]):
            self.fails(2, *words, says=["no-such"])

    def test_no_command_shows_the_help_and_fails(self):
        done = self.run_command()
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn("Usage: forebay COMMAND", done.stderr)

    def test_a_word_that_is_no_command_gets_a_suggestion(self):
        self.fails(2, "embde", says=["embde", "did you mean embed?"])
        self.fails(2, "tokenise", says=["did you mean tokenize?"])
        self.fails(2, "bench", "embd", says=["did you mean embed?"])
        self.fails(2, "quux", says=["unknown command quux"])

    def test_an_option_that_is_none_is_named(self):
        for words in COMMANDS:
            self.fails(2, *words, "--thread", "3", says=["--thread"])
            self.fails(2, *words, "-x", says=["-x"])
        self.fails(2, "embed", "--formt", "npy", says=["did you mean --format?"])
        self.fails(2, "embed", "--format", "xml", says=["npy|jsonl|csv|f32"])
        self.fails(2, "embed", "--threads", "1025", says=["--threads 1025"])
        self.fails(2, "embed", "--count", says=["--count wants N"])
        self.fails(2, "embed", "--field", "x", says=["--jsonl"])
        self.fails(2, "info", "word", says=["word"])


class Tokenize(CommandTest):
    def tokens(self, text, *words):
        done = self.succeeds("tokenize", "-m", REAL_MODEL, *words, input=text.encode())
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_ids_are_those_of_the_model(self):
        # tokenizers 0.21, bert-base-uncased's vocabulary
        self.assertEqual(self.tokens("a pool of water\n\n"),
                         [[101, 1037, 4770, 1997, 2300, 102], [101, 102]])

    def test_special_tokens_can_be_left_out(self):
        self.assertEqual(self.tokens("a pool\n", "--no-special"), [[1037, 4770]])

    def test_pieces_are_the_vocabularys_entries(self):
        self.assertEqual(self.tokens("Forebays, \"x\"\n", "--pieces"),
                         [["[CLS]", "fore", "##bay", "##s", ",", '"', "x", '"', "[SEP]"]])

    def test_a_long_text_is_cut_unless_told_otherwise(self):
        text = "word " * 1000 + "end\n"
        self.assertEqual(len(self.tokens(text)[0]), 256)
        self.assertEqual(len(self.tokens(text, "--no-truncate")[0]), 1003)
        self.assertEqual(self.tokens(text, "--pieces", "--truncate-side", "left")[0][-2:],
                         ["end", "[SEP]"])

    def test_jsonl_and_files_are_read_as_embed_reads_them(self):
        file = self.path("in.jsonl", [json.dumps({"body": "a pool"})])
        self.assertEqual(self.tokens("", "--jsonl", "--field", "body", file),
                         [[101, 1037, 4770, 102]])
        self.fails(1, "tokenize", "--jsonl", file, says=["in.jsonl:1: "])

    def test_what_became_of_texts_is_said(self):
        bad = self.path("bad", b"fine\n" + b"a " * 300 + b"\xff\n\xc3 x\n")
        done = self.succeeds("tokenize", "-m", REAL_MODEL, bad)
        self.assertIn("1 of 3 texts were longer than 256 tokens", done.stderr)
        self.assertIn("1 of 3 texts held invalid UTF-8", done.stderr)
        self.assertEqual(self.succeeds("tokenize", input=b"a\n").stderr, "")
        self.fails(1, "tokenize", "-m", REAL_MODEL, "--strict", bad, "-o", "out",
                   says=["bad:2: invalid UTF-8"])
        self.fails(1, "tokenize", "--strict", "--jsonl", input=b'{"text":"\xff"}', says=[":1: "])

    def test_a_file_appears_when_it_is_whole(self):
        self.succeeds("tokenize", "-o", "out", input=b"a\nb\n")
        self.assertEqual(len(self.path("out").read_bytes().splitlines()), 2)


class Info(CommandTest):
    def test_json_describes_model_and_machine(self):
        info = json.loads(self.succeeds("info", "--json", "-m", REAL_MODEL).stdout)
        expected = {"architecture": "bert", "pooling": "mean", "dim": 384, "max_tokens": 256,
                    "layers": 6, "heads": 12, "hidden": 384, "intermediate": 1536,
                    "vocabulary": 30522, "normalizes": True, "precision": "f32"}
        self.assertEqual({key: info[key] for key in expected}, expected)
        self.assertRegex(info["fingerprint"], r"\A[0-9a-f]{32}\Z")
        self.assertIn(info["isa"], info["isas"])
        self.assertGreaterEqual(info["processors"], 1)

    def test_packed_weights_that_nobody_uses_go_after_a_month(self):
        self.environment["XDG_CACHE_HOME"] = str(self.dir / "cache")
        cache = self.dir / "cache" / "forebay"

        def packed(model):
            info = json.loads(self.succeeds("info", "--json", "-m", model).stdout)
            return info["packed_path"]

        models = []
        for number in range(3):
            models.append(self.dir / str(number))
            shutil.copytree(self.shared / "tiny", models[-1])
            with open(models[-1] / "model.safetensors", "r+b") as weights:
                weights.seek(-4, os.SEEK_END)
                weights.write(struct.pack("<f", number + 0.25))
        time.sleep(0.2)  # so that their times are believed, and keys are made
        packs = [packed(model) for model in models[:2]]
        self.assertEqual(len(list(cache.glob("*.key"))), 2)
        (cache / "mine.pack").write_text("mine")
        for path in cache.iterdir():
            then = time.time() - 31 * 86400
            os.utime(path, (then, then), follow_symlinks=False)
        packed(models[1])
        packs.append(packed(models[2]))
        self.assertEqual([os.path.exists(path) for path in packs], [False, True, True])
        self.assertTrue((cache / "mine.pack").exists())
        self.assertEqual(len(list(cache.glob("*.key"))), 2)
        self.assertEqual(packed(models[0]), packs[0])

    def test_people_get_a_line_for_each(self):
        lines = self.succeeds("info").stdout.decode().splitlines()
        self.assertTrue(any(re.match(r"pooling +mean$", line) for line in lines), lines)


class Bench(CommandTest):
    def test_a_row_has_the_figures_and_their_spread(self):
        texts = self.path("texts", [f"some text {i}" for i in range(50)])
        done = self.succeeds("bench", "embed", "--file", texts, "--seconds", "0.2", "--batch", "8",
                             "--threads", "1", "--json")
        row = json.loads(done.stdout)
        self.assertEqual((row["bench"], row["batch"], row["threads"]), ("embed", 8, 1))
        self.assertGreaterEqual(row["repetitions"], 9)
        for key in ("texts_per_s", "tokens_per_s", "share_of_peak"):
            self.assertLessEqual(0, row[key + "_q1"])
            self.assertLessEqual(row[key + "_q1"], row[key])
            self.assertLessEqual(row[key], row[key + "_q3"])
        self.assertLessEqual(row["p50_ms"], row["p99_ms"])
        self.assertGreater(row["peak_rss_mb"], 0)
        self.assertGreater(row["cores_used"], 0)
        self.assertTrue(row["cpu"] and row["isa"])

    def test_a_table_is_for_people(self):
        texts = self.path("texts", ["some text"])
        shown = self.succeeds("bench", "embed", "--file", texts, "--seconds", "0.1").stdout
        self.assertIn(b"tokens_per_s", shown)

    def test_ring_pools_are_measured_beside_bare_cursors(self):
        small = ("--largest", "4M", "--rounds", "9", "--json")
        done = self.succeeds("bench", "ring", "--pool-sizes", "--in-flight", "64", *small)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual({(row["kind"], row["window"], row["write"]) for row in rows},
                         {(kind, window, write) for kind in ("local", "local-unordered", "shared")
                          for window in (True, False) for write in ("first", "all")
                          if (kind, write) != ("shared", "all")})
        for row in rows:
            self.assertEqual((row["slice_bytes"], row["in_flight"]), (512, 64))
            self.assertLessEqual(row["window_bytes"], row["pool_bytes"])
            self.assertGreater(row["ns_per_pair"], 0)
            self.assertLessEqual(row["ratio_to_bare_q1"], row["ratio_to_bare_q3"])

        rows = [json.loads(line) for line in
                self.succeeds("bench", "ring", "--trace", *small).stdout.splitlines()]
        self.assertEqual([row["pool_bytes"] for row in rows], [1 << 20, 4 << 20])
        for row in rows:
            self.assertLessEqual(row["in_flight_peak_bytes"], row["span_peak_bytes"])
            self.assertLessEqual(row["window_peak_bytes"], 2 * row["span_peak_bytes"])

        done = self.succeeds("bench", "ring", "--profile", "1000", "--kind", "shared", *small)
        self.assertEqual(json.loads(done.stdout)["pairs"], 1024)
        self.fails(1, "bench", "ring", "--profile", "--kind", "shared", "--in-flight", "48",
                   says=["48 slices in flight"])
        self.fails(1, "bench", "ring", "--profile", "--in-flight", "16384", "--largest", "4M",
                   says=["too many"])

    def test_nothing_to_measure_is_a_failure(self):
        self.fails(2, "bench", "ring", says=["--pool-sizes"])
        self.fails(1, "bench", "embed", "--file", self.path("empty", b""), says=["empty: no text"])
        self.fails(1, "bench", "embed", "--file", self.path("blank", b"\n\n"), says=["no text"])
        self.fails(1, "bench", "embed", "--file", "missing", says=["missing: No such file"])
        self.fails(2, "bench", "embed", says=["--file"])


if __name__ == "__main__":
    unittest.main()
