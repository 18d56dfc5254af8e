# SPDX-License-Identifier: Apache-2.0
"""forebay embed: its inputs, its formats, its options."""
import array
import json
import math
import os
import pty
import shutil
import subprocess
import unittest

import tiny_model
from command import REAL_MODEL, CommandTest, f32, jsonl, npy, vectors

TEXTS = ["a pool of water", "that feeds a turbine", "", "one word more", "x" * 300, "end"]


class Formats(CommandTest):
    def test_the_four_formats_hold_the_same_floats(self):
        texts = self.path("texts", TEXTS)
        wanted = None
        for form in ("npy", "jsonl", "csv", "f32"):
            out = self.path("out." + form)
            self.succeeds("embed", texts, "-o", out, "--format", form)
            content = out.read_bytes()
            if form == "npy":
                wanted = npy(content)
                rows = wanted
            elif form == "jsonl":
                rows = vectors(content)
            elif form == "csv":
                rows = [array.array("f", map(float, line.split(b",")))
                        for line in content.splitlines()]
            else:
                dim = len(wanted[0])
                floats = f32(content)
                rows = [floats[i:i + dim] for i in range(0, len(floats), dim)]
            self.assertEqual(rows, wanted, form)
        self.assertEqual(len(wanted), len(TEXTS))

    def test_a_file_gets_npy_and_a_pipe_jsonl_unless_told_otherwise(self):
        texts = self.path("texts", TEXTS)
        piped = vectors(self.succeeds("embed", texts).stdout)
        self.succeeds("embed", texts, "-o", "out")
        self.assertEqual(npy(self.path("out").read_bytes()), piped)
        with open(self.path("redirected"), "wb") as out:
            self.succeeds("embed", texts, stdout=out)
        self.assertEqual(npy(self.path("redirected").read_bytes()), piped)

    def test_jsonl_says_what_became_of_each_text(self):
        done = self.succeeds("embed", input="short\n{}\n".format("many " * 100).encode())
        rows = jsonl(done.stdout)
        self.assertEqual([row["index"] for row in rows], [0, 1])
        self.assertEqual([row["truncated"] for row in rows], [False, True])
        self.assertLess(rows[0]["tokens"], rows[1]["tokens"])
        self.assertIn("1 of 2 texts were longer than", done.stderr)

    def test_npy_into_a_pipe_wants_the_count(self):
        texts = self.path("texts", TEXTS)
        self.fails(2, "embed", texts, "--format", "npy", says=["--count"])
        done = self.succeeds("embed", texts, "--format", "npy", "--count", len(TEXTS))
        self.assertEqual(npy(done.stdout), vectors(self.succeeds("embed", texts).stdout))

    def test_a_wrong_count_is_a_failure(self):
        texts = self.path("texts", TEXTS)
        self.fails(1, "embed", texts, "--count", 5, "-o", "out", says=["--count"])
        self.fails(1, "embed", texts, "--count", 7, "-o", "out", says=["6 texts", "7"])

    def test_bytes_before_and_after_in_a_redirected_file_stay(self):
        texts = self.path("texts", TEXTS)
        with open(self.path("out"), "wb") as out:
            out.write(b"head")
            out.flush()
            self.succeeds("embed", texts, stdout=out)
            out.seek(0, os.SEEK_END)
            out.write(b"tail")
        content = self.path("out").read_bytes()
        self.assertEqual(content[:4] + content[-4:], b"headtail")
        self.assertEqual(len(npy(content[4:-4])), len(TEXTS))


class Inputs(CommandTest):
    def embed(self, content, *words):
        return vectors(self.succeeds("embed", *words, input=content).stdout)

    def test_rows_come_in_the_order_of_the_texts(self):
        texts = [f"text {i} " + "word " * (i * 7 % 50) for i in range(3000)]
        rows = vectors(self.succeeds("embed", self.path("texts", texts)).stdout)
        self.assertEqual(len(rows), len(texts))
        for i in (0, 1, 511, 512, 1777, 2999):
            self.assertEqual(rows[i], self.embed(texts[i].encode())[0], i)

    def test_files_and_standard_input_follow_one_another(self):
        files = [self.path("a", ["one", "two"]), "-", self.path("b", b"five")]
        rows = self.embed(b"three\nfour", *files)
        self.assertEqual(rows, self.embed(b"one\ntwo\nthree\nfour\nfive\n"))

    def test_no_text_has_no_row(self):
        self.assertEqual(self.embed(b""), [])
        self.succeeds("embed", "-o", "out", input=b"")
        self.assertEqual(npy(self.path("out").read_bytes()), [])

    def test_empty_lines_are_texts_and_the_last_needs_no_end(self):
        rows = self.embed(b"\na\n\nb")
        self.assertEqual(len(rows), 4)
        self.assertEqual(rows[0], rows[2])
        self.assertEqual(rows, self.embed(b"\na\n\nb\n"))

    def test_cr_lf_ends_a_line_as_lf_does(self):
        self.assertEqual(self.embed(b"a\r\nb\r\n\r\n"), self.embed(b"a\nb\n\n"))

    def test_a_nul_is_a_byte_of_its_line(self):
        rows = self.embed(b"a\0b\nc\n")
        self.assertEqual(len(rows), 2)
        self.assertEqual(rows[0], self.embed(b"ab\n")[0])  # a control character has no token

    def test_jsonl_gives_the_vectors_of_its_texts(self):
        plain = self.embed("a\tb\n\u6c34\n".encode())
        self.assertEqual(self.embed(rb'{"text":"a\tb","n":1}' b"\n" rb'{"text":"\u6c34"}',
                                    "--jsonl"), plain)
        self.assertEqual(self.embed(rb'{"body":"a\tb","text":3}', "--jsonl", "--field", "body"),
                         plain[:1])

    def test_jsonl_that_is_none_is_named_by_file_and_line(self):
        for bad in (b"{", b"[]", b'{"txt":"a"}', b'{"text":1}', b"", b'{"text":"\xff}'):
            path = self.path("bad.jsonl", b'{"text":"a"}\n' + bad + b"\n")
            self.fails(1, "embed", "--jsonl", path, "-o", "out", says=["bad.jsonl:2: "])

    def test_a_very_long_line_is_a_text_that_is_cut(self):
        done = self.succeeds("embed", input=b"a" * (9 << 20) + b" b\nc\n")
        self.assertEqual(len(vectors(done.stdout)), 2)
        done = self.succeeds("embed", input=b"a b " * (2 << 20) + b"\nc\n")
        self.assertEqual([row["truncated"] for row in jsonl(done.stdout)], [True, False])

    def test_a_line_over_the_limit_is_refused_by_place(self):
        path = self.path("huge", b"a\n" + b"b" * ((16 << 20) + 1) + b"\n")
        self.fails(1, "embed", path, "-o", "out", says=["huge:2: ", "16777216 bytes"])

    def test_a_pipe_that_trickles_is_answered_line_by_line(self):
        process = self.start("embed", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for line in (b"one\n", b"two\n"):
            process.stdin.write(line)
            process.stdin.flush()
            self.assertIn(b'"embedding":[', process.stdout.readline())
        process.stdin.close()
        self.assertEqual(process.stdout.read(), b"")
        self.assertEqual(self.ends(process, 0), "")


class Options(CommandTest):
    def rows(self, *words, text=b"some text\nand another one\n"):
        return vectors(self.succeeds("embed", *words, input=text).stdout)

    def test_normalized_vectors_have_length_one(self):
        for row in self.rows("--normalize"):
            self.assertAlmostEqual(math.sqrt(sum(x * x for x in row)), 1, places=5)
        for row, plain in zip(self.rows("--normalize"), self.rows("--no-normalize")):
            length = math.sqrt(sum(x * x for x in plain))
            self.assertGreater(abs(length - 1), 1e-3)
            for x, y in zip(row, plain):
                self.assertAlmostEqual(x, y / length, places=5)

    def test_dimensions_cut_the_vectors(self):
        whole = self.rows("--no-normalize")
        self.assertEqual(self.rows("--no-normalize", "--dimensions", 8),
                         [row[:8] for row in whole])
        for row in self.rows("--normalize", "--dimensions", 8):
            self.assertEqual(len(row), 8)
            self.assertAlmostEqual(math.sqrt(sum(x * x for x in row)), 1, places=5)
        self.fails(2, "embed", "--dimensions", 100000, input=b"a\n", says=["--dimensions 100000"])

    def test_a_prompt_goes_before_each_text(self):
        self.assertEqual(self.rows("--prompt", "query", text=b"a\n"),
                         self.rows(text=b"query: a\n"))
        self.fails(1, "embed", "--prompt", "riddle", input=b"a\n", says=["riddle", "query"])

    def test_a_text_over_the_limit_is_cut_on_the_side_that_was_asked(self):
        long = b"z z z " + b"a " * 100
        self.assertEqual(self.rows(text=long), self.rows("--truncate-side", "right", text=long))
        self.assertEqual(self.rows("--truncate-side", "left", text=long),
                         self.rows(text=b"a " * 62))
        self.assertNotEqual(self.rows(text=long), self.rows(text=b"a " * 62))

    def test_a_text_over_the_limit_can_be_refused(self):
        path = self.path("texts", ["a", "b", "c " * 100])
        self.fails(1, "embed", path, "--no-truncate", "-o", "out",
                   says=["texts:3: 102 tokens", "64"])
        self.succeeds("embed", self.path("fits", ["c " * 62]), "--no-truncate")

    def test_invalid_utf8_is_replaced_and_counted_or_refused(self):
        bad = self.path("bad", b"fine\n\xff\xfe odd\n\xc3\n")
        done = self.succeeds("embed", bad)
        self.assertEqual(vectors(done.stdout), self.rows(text="fine\n\ufffd\ufffd odd\n\ufffd\n"
                                                         .encode()))
        self.assertIn("2 of 3 texts held invalid UTF-8", done.stderr)
        self.fails(1, "embed", bad, "--strict", "-o", "out", says=["bad:2: ", "UTF-8"])

    def test_invalid_utf8_in_jsonl_is_met_in_the_same_way(self):
        bad = self.path("bad", b'{"text":"fine"}\n{"text":"\xff\xfe odd"}\n'
                        b'{"id":"\xe6\xb0","text":"\xf0\x9f\x90!"}\n')
        done = self.succeeds("embed", "--jsonl", bad)
        self.assertEqual(vectors(done.stdout), self.rows(text="fine\n\ufffd\ufffd odd\n\ufffd!\n"
                                                         .encode()))
        self.assertIn("2 of 3 texts held invalid UTF-8", done.stderr)
        self.fails(1, "embed", "--jsonl", bad, "--strict", "-o", "out", says=["bad:2: ", "UTF-8"])

    def test_a_vector_that_is_not_finite_is_refused_by_its_line(self):
        broken = self.path("broken")
        tiny_model.make_not_finite(self.shared / "tiny", broken, "q")
        texts = self.path("texts", ["a"] * 600 + ["a q"] + ["a"] * 600)
        for words in ((), ("--format", "csv"), ("--output-type", "int8"), ("--no-normalize",),
                      ("--output-type", "binary")):
            self.fails(1, "embed", "-m", broken, texts, *words, "-o", "out",
                       says=["texts:601: ", "NaN"])
        self.fails(1, "similarity", "-m", broken, "a", "q", says=["NaN"])
        self.fails(1, "similarity", "-m", broken, "--lines", texts, texts, says=["texts:601: "])
        self.fails(2, "search", "-m", broken, "q", texts, says=["NaN"])

    def test_more_threads_than_processors_are_said(self):
        done = self.succeeds("embed", "--threads", 1024, input=b"a\n")
        self.assertRegex(done.stderr, r"--threads 1024: this process may use \d+ processors")
        self.assertEqual(done.stdout, self.succeeds("embed", input=b"a\n").stdout)

    def test_the_models_own_cut_is_the_default(self):
        cut = self.path("cut")
        shutil.copytree(self.shared / "tiny", cut)
        (cut / "config_sentence_transformers.json").write_text('{"truncate_dim": 7}')
        whole = self.rows("--dimensions", 32, text=b"a b\n")[0]
        self.assertEqual(self.rows("-m", cut, text=b"a b\n")[0], whole[:7])
        self.assertEqual(self.rows("-m", cut, "--dimensions", 32, text=b"a b\n")[0], whole)
        self.assertEqual(json.loads(self.succeeds("info", "--json", "-m", cut).stdout)["dim"], 7)
        self.fails(2, "embed", "-m", cut, "--dimensions", 33, input=b"a\n", says=["32 numbers"])

    def test_threads_change_nothing(self):
        texts = self.path("texts", [f"text {i}" for i in range(700)])
        one = self.succeeds("embed", texts, "--threads", 1).stdout
        self.assertEqual(one, self.succeeds("embed", texts, "--threads", 3).stdout)

    def test_the_real_model_gives_unit_vectors_of_384_numbers(self):
        rows = self.rows("-m", REAL_MODEL)
        self.assertEqual([len(row) for row in rows], [384, 384])
        for row in rows:
            self.assertAlmostEqual(sum(x * x for x in row), 1, places=5)


class Progress(CommandTest):
    def stderr_on_a_terminal(self, *words):
        leader, follower = pty.openpty()
        try:
            with open(self.path("out"), "wb") as out:
                subprocess.run([os.environ["FBY_TEST_COMMAND"], *map(str, words)], stdout=out,
                               stderr=follower, env=self.environment, check=True, timeout=60)
            return os.read(leader, 65536).decode()
        finally:
            os.close(leader)
            os.close(follower)

    def test_a_terminal_is_told_the_speed(self):
        texts = self.path("texts", ["word " * 40] * 4000)
        said = self.stderr_on_a_terminal("embed", texts)
        self.assertRegex(said, r"4000 texts, \d+ tokens in \d+\.\d+ s: \d+ texts/s, \d+ tokens/s")

    def test_a_pipe_is_told_nothing(self):
        self.assertEqual(self.succeeds("embed", input=b"a\n").stderr, "")


if __name__ == "__main__":
    unittest.main()
