# SPDX-License-Identifier: Apache-2.0
"""`forebay search` and `forebay similarity` as processes: on a tree of 2,000 files with a model of
random weights, and on a small one with the real model."""
import array
import base64
import json
import os
import random
import re
import resource
import signal
import subprocess
import time
import unittest

from command import FOREBAY, REAL_MODEL, CommandTest, jsonl

WORDS = "weir mill sluice pond gate race wheel stone grain flour water river level flood".split()
FILES = 2000


def text_of(number, seed):
    rng = random.Random(f"{number} {seed}")
    paragraphs = [" ".join(rng.choice(WORDS) for _ in range(8)) for _ in range(2)]
    return f"# File {number} {seed}\n\n" + "\n\n".join(paragraphs) + "\n"


class SearchTest(CommandTest):
    def tree(self, files, seed=0):
        for number in range(files):
            path = self.dir / "tree" / str(number % 40) / f"{number}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text_of(number, seed))

    def search(self, *words, code=0, query="weir flood"):
        done = self.run_command("search", "--json", query, *words)
        self.assertEqual(done.returncode, code, done.stderr)
        return jsonl(done.stdout), done.stderr

    def same_as_new(self, *words):
        """What the kept index answers is what a new one answers."""
        kept, said = self.search("--index", "kept", "--top", 50, *words)
        fresh, _ = self.search("--index", f"fresh-{time.monotonic_ns()}", "--top", 50, *words)
        self.assertEqual(kept, fresh)
        return said


class Large(SearchTest):
    def test_only_what_changed_is_embedded_again(self):
        self.tree(FILES)
        time.sleep(0.1)
        _, said = self.search("-v", "--index", "kept", "tree")
        self.assertIn(f"{FILES} files, ", said)
        self.assertIn(f"read {FILES} files", said)
        passages = int(re.search(r"(\d+) passages;", said)[1])
        before = os.stat(self.dir / "kept")
        _, said = self.search("-v", "--index", "kept", "tree")
        self.assertIn("read 0 files, embedded 0 passages", said)
        self.assertEqual(os.stat(self.dir / "kept").st_ino, before.st_ino)
        for number in range(0, FILES, 20):
            (self.dir / "tree" / str(number % 40) / f"{number}.md").write_text(text_of(number, 1))
        said = self.same_as_new("-v", "tree")
        self.assertIn(f"read {FILES // 20} files, embedded {passages // 20} passages", said)

    def test_killed_at_any_moment_the_next_run_is_right(self):
        self.tree(FILES // 4)
        rng = random.Random()
        for round_ in range(100):
            process = self.start("search", "--index", "kept", "weir", "tree",
                                 stdout=subprocess.DEVNULL)
            time.sleep(rng.random() * 0.25)
            process.kill()
            process.wait()
            if round_ % 4 == 3:
                self.same_as_new("tree")
                if round_ % 8 == 3:
                    self.tree(FILES // 8, round_)
                else:
                    (self.dir / "kept").unlink()
        self.same_as_new("tree")

    def test_two_at_once_both_answer(self):
        self.tree(FILES // 4)
        both = [subprocess.Popen([FOREBAY, "search", "--json", "--index", "kept", "weir", "tree"],
                                 cwd=self.dir, env=self.environment, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE) for _ in range(3)]
        answers = [process.communicate()[0] for process in both]
        self.assertEqual([process.returncode for process in both], [0, 0, 0])
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(answers[0], answers[2])

    def test_a_stop_says_what_is_kept(self):
        self.tree(FILES * 2)
        process = self.start("search", "--index", "kept", "weir", "tree",
                             stdout=subprocess.DEVNULL)
        journal = self.dir / "kept.journal"
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None and (
                not journal.exists() or journal.stat().st_size < 100_000):
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read().decode()
        if process.wait() != 0:  # it may have been faster
            self.assertEqual(process.returncode, 130)
            self.assertRegex(said, r"stopped: \d+ passages are embedded and kept")
        self.same_as_new("tree")


class Small(SearchTest):
    def test_a_file_that_is_no_index_is_left_alone(self):
        self.tree(1)
        for content in (b"", b"F", b"FBYINDE", b"a diary of seven years\n", b"FBYINDEY" * 20):
            kept = self.path("kept", content)
            self.search("--index", "kept", "tree", code=2)
            self.assertEqual(kept.read_bytes(), content)

    def test_the_index_goes_where_a_link_leads(self):
        self.tree(1)
        (self.dir / "kept").symlink_to("elsewhere")
        for _ in range(2):
            self.search("--index", "kept", "tree")
            self.assertTrue((self.dir / "kept").is_symlink())
            self.assertEqual((self.dir / "elsewhere").read_bytes()[:8], b"FBYINDEX")
            (self.dir / "tree" / "0" / "0.md").write_text("another flood\n")

    def test_indexes_that_nobody_asks_go_after_a_month(self):
        self.environment["XDG_CACHE_HOME"] = str(self.dir / "cache")
        cache = self.dir / "cache" / "forebay" / "search"
        self.tree(3)

        def indexes():
            return sorted(path.name for path in cache.glob("*.index"))

        def age(path, days):
            then = time.time() - days * 86400
            os.utime(path, (then, then))

        self.search("tree/0")
        old = indexes()
        self.search("tree/1")
        young = [name for name in indexes() if name not in old]
        (cache / "notes.index").write_text("mine")
        (cache / ("0" * 32 + ".index.journal")).write_text("left by a process that was killed")
        for path in cache.iterdir():
            age(path, 31)
        age(cache / young[0], 29)
        self.search("tree/2")
        names = sorted(path.name for path in cache.iterdir())
        self.assertEqual([name for name in names if name.startswith((old[0], "0" * 32))], [])
        self.assertIn("notes.index", names)
        self.assertIn(young[0], names)
        # Asking is using.
        self.search("tree/1")
        self.assertGreater(os.stat(cache / young[0]).st_mtime, time.time() - 3600)

    def test_an_index_among_what_is_searched_is_not(self):
        self.tree(3)
        for words in (["--index", "tree/kept", "tree"], ["--index", "tree/1/../kept", "--hidden"]):
            time.sleep(0.1)
            self.search(*words)
            _, said = self.search("-v", *words)
            self.assertIn("read 0 files", said)
            self.assertIn("3 files", said)
            self.assertNotIn("binary", said)

    def test_a_passage_of_a_file_that_has_changed_since_is_not_shown(self):
        note = self.path("note.md", ["weir and flood"])
        process = self.start("search", "--json", "-", note, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)

        def ask():
            process.stdin.write(b"weir\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())["text"]

        self.assertEqual(ask(), "weir and flood")
        note.write_text("mill and flour\n")
        self.assertIsNone(ask())
        process.stdin.close()
        self.assertEqual(process.wait(timeout=60), 0)

    def test_names_do_not_steer_the_terminal(self):
        self.tree(1)
        (self.dir / "tree" / "a\x1b[31m\nforebay search: b").write_bytes(b"\0")
        done = self.succeeds("search", "-v", "weir", "tree")
        self.assertNotIn("\x1b", done.stderr)
        self.assertIn("binary: tree/a?[31m?forebay search: b\n", done.stderr)

    def test_a_cache_that_cannot_be_written_is_left_as_it_was(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        self.environment["XDG_CACHE_HOME"] = str(self.dir / "cache")
        self.tree(200)
        done = self.run_command("search", "weir", "tree", preexec_fn=limit)
        self.assertIn("no index is kept", done.stderr)
        left = [path.suffix for path in (self.dir / "cache" / "forebay" / "search").iterdir()]
        self.assertEqual(left, [".lock"])

    def test_a_torn_or_foreign_index_is_made_anew(self):
        self.tree(30)
        self.search("--index", "kept", "tree")
        whole = (self.dir / "kept").read_bytes()
        rng = random.Random()
        for cut in [8, 119, 120, 4096, len(whole) - 1] + [rng.randrange(len(whole))
                                                                for _ in range(10)]:
            (self.dir / "kept").write_bytes(whole[:cut])
            self.assertIn("made anew", self.same_as_new("tree"))
        for _ in range(30):
            torn = bytearray(whole)
            torn[rng.randrange(8, len(whole))] ^= 1 << rng.randrange(8)
            (self.dir / "kept").write_bytes(torn)
            self.same_as_new("tree")

    def test_a_file_that_is_no_index_is_left_alone(self):
        self.tree(2)
        for content in (b"some other file of someone's\n", b"x"):
            self.path("mine", content)
            done = self.run_command("search", "--index", "mine", "weir", "tree")
            self.assertEqual(done.returncode, 2)
            self.assertIn("mine is no index", done.stderr)
            self.assertEqual((self.dir / "mine").read_bytes(), content)

    def test_files_without_text_are_passed_over_with_a_word(self):
        self.tree(3)
        (self.dir / "tree" / "binary").write_bytes(b"a\0b")
        (self.dir / "tree" / "large.txt").write_text("word " * 1000)
        (self.dir / "tree" / "loop").symlink_to(".")
        for _ in range(2):
            hits, said = self.search("--max-file-size", "4K", "--top", 100, "tree")
            self.assertIn("passed over: 1 binary, 1 too large (-v names them)", said)
            self.assertEqual({hit["file"].split("/")[-1] for hit in hits},
                             {"0.md", "1.md", "2.md"})
        _, said = self.search("-v", "--max-file-size", "4K", "tree")
        self.assertIn("passed over, binary: tree/binary", said)

    def test_names_of_any_bytes(self):
        names = [b"new\nline.md", b"\xff\xfe.md", b"\x1b[31mred.md", b"*?[.md"]
        (self.dir / "tree").mkdir()
        for name in names:
            with open(os.path.join(os.fsencode(self.dir), b"tree", name), "w") as file:
                file.write("weir\n")
        hits, _ = self.search("tree")
        self.assertEqual(len(hits), 4)
        coded = [hit for hit in hits if "file_base64" in hit]
        self.assertEqual(len(coded), 1)
        self.assertEqual(base64.b64decode(coded[0]["file_base64"]), b"tree/\xff\xfe.md")
        self.assertIn("tree/new\nline.md", {hit["file"] for hit in hits})
        plain = self.succeeds("search", "weir", "tree").stdout
        self.assertIn(b"tree/new?line.md:1", plain)
        self.assertNotIn(b"\x1b", plain)

    def test_exit_codes_are_greps(self):
        (self.dir / "empty").mkdir()
        hits, _ = self.search("empty", code=1)
        self.assertEqual(hits, [])
        self.tree(1)
        self.search("--min-score", "1.5", "tree", code=1)
        for words, says in (((), "missing"), (("x", "nowhere"), "nowhere"),
                            (("--glob", "[", "x", "tree"), "cannot match")):
            done = self.run_command("search", *words)
            self.assertEqual(done.returncode, 2)
            self.assertIn(says, done.stderr)

    def test_questions_from_standard_input(self):
        self.tree(5)
        done = self.succeeds("search", "--json", "--top", 2, "-", "tree", input=b"weir\nmill pond\n")
        hits = jsonl(done.stdout)
        self.assertEqual([hit["query"] for hit in hits], ["weir"] * 2 + ["mill pond"] * 2)
        self.assertEqual([hit["rank"] for hit in hits], [1, 2, 1, 2])

    def test_lines_around_a_passage(self):
        self.path("a.txt", ["one", "", "two", "", "three"])
        hits, _ = self.search("--passage-tokens", 8, "--context", 1, "a.txt")
        for hit in hits:
            whole = hit["before"] + hit["text"] + hit["after"]
            self.assertIn(whole, "one\n\ntwo\n\nthree\n")

    def test_a_cache_that_cannot_be_written_is_done_without(self):
        self.tree(2)
        self.path("file", ["x"])
        self.environment["XDG_CACHE_HOME"] = str(self.dir / "file")
        hits, said = self.search("tree")
        self.assertTrue(hits)
        self.assertIn("no index is kept", said)
        done = self.run_command("search", "--index", "file/index", "weir", "tree")
        self.assertEqual(done.returncode, 2)

    def test_gitignore_and_globs(self):
        self.path(".gitignore", ["b.md"])
        for name in ("a.md", "b.md", "c.txt"):
            self.path(name, ["weir"])
        self.assertEqual({hit["file"] for hit in self.search()[0]}, {"a.md", "c.txt"})
        self.assertEqual({hit["file"] for hit in self.search("--glob", "*.md")[0]}, {"a.md"})
        self.assertEqual({hit["file"] for hit in self.search("--no-ignore", "--top", 9)[0]},
                         {"a.md", "b.md", "c.txt"})


class Meaning(SearchTest):
    """With the real model."""

    def setUp(self):
        super().setUp()
        self.environment["FBY_MODEL"] = str(REAL_MODEL)

    def test_the_nearest_passage_comes_first(self):
        self.path("notes.md", ["# Animals", "", "The cat sleeps on the warm windowsill.", "",
                               "# Finance", "", "Interest rates were raised by the central bank."])
        hits, _ = self.search("--top", 1, "notes.md", query="What did the bank do to rates?")
        self.assertEqual((hits[0]["file"], hits[0]["line"]), ("notes.md", 5))

    def test_a_score_is_the_cosine_of_what_embed_gives(self):
        self.path("a.txt", ["the weir is full"])
        hits, _ = self.search("a.txt", query="a pool of water")
        done = self.succeeds("similarity", "a pool of water", "the weir is full")
        self.assertAlmostEqual(float(done.stdout), hits[0]["score"], places=6)
        rows = jsonl(self.succeeds("embed", "--normalize", "--format", "jsonl",
                                   input=b"a pool of water\nthe weir is full\n").stdout)
        a, b = (array.array("f", row["embedding"]) for row in rows)
        self.assertAlmostEqual(sum(x * y for x, y in zip(a, b)), hits[0]["score"], places=6)


class Similarity(CommandTest):
    def test_one_text_with_each_line(self):
        done = self.succeeds("similarity", "--json", "weir", "-", input=b"weir\nmill\n")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([row["b"] for row in rows], ["weir", "mill"])
        self.assertAlmostEqual(rows[0]["similarity"], 1, places=6)

    def test_lines_with_lines(self):
        self.path("a", ["weir", "mill", "gate"])
        self.path("b", ["weir", "mill", "gate"])
        same = self.succeeds("similarity", "--lines", "a", "b").stdout.split()
        self.assertEqual(len(same), 3)
        for value in same:
            self.assertAlmostEqual(float(value), 1, places=6)
        matrix = [line.split(b"\t")
                  for line in self.succeeds("similarity", "--lines", "--matrix", "a", "b")
                  .stdout.splitlines()]
        self.assertEqual([len(row) for row in matrix], [3, 3, 3])
        self.assertEqual(matrix[0][1], matrix[1][0])

    def test_what_cannot_be_paired_is_refused(self):
        self.path("a", ["weir", "mill"])
        self.path("b", ["weir", "mill", "gate"])
        self.fails(2, "similarity", "--lines", "a", "b", says=["2 lines", "3"])
        self.fails(2, "similarity", "one", says=["two texts"])
        self.fails(2, "similarity", "-", "-", says=["two texts"])


class OutputType(CommandTest):
    def values(self, kind):
        done = self.succeeds("embed", "--output-type", kind, "--format", "jsonl",
                             input=b"weir\nmill pond\n")
        return jsonl(done.stdout)

    def test_fewer_bits_are_made_of_the_floats(self):
        floats = [row["embedding"] for row in jsonl(
            self.succeeds("embed", "--normalize", "--format", "jsonl",
                          input=b"weir\nmill pond\n").stdout)]
        bits = [[sum((x > 0) << (7 - i) for i, x in enumerate(row[at:at + 8]))
                 for at in range(0, len(row), 8)] for row in floats]
        self.assertEqual([row["embedding"] for row in self.values("ubinary")], bits)
        self.assertEqual([row["embedding"] for row in self.values("binary")],
                         [[byte - 128 for byte in row] for row in bits])
        for row, whole in zip(self.values("int8"), floats):
            self.assertEqual(row["scale"], 127)
            for value, x in zip(row["embedding"], whole):
                self.assertLessEqual(abs(value - 127 * x), 0.501)

    def test_int8_wants_vectors_of_length_one(self):
        self.fails(2, "embed", "--output-type", "int8", "--no-normalize", input=b"weir\n",
                   says=["--no-normalize"])


if __name__ == "__main__":
    unittest.main()
