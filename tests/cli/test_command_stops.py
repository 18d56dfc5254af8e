# SPDX-License-Identifier: Apache-2.0
"""forebay embed: what is left behind when something ends it early, and how much memory it takes."""
import os
import re
import resource
import signal
import subprocess
import time
import unittest

from command import FOREBAY, REAL_MODEL, CommandTest, npy, vectors

TEXT = "a sentence of some words, so that there is work to do, and a number: {}"


class Interrupted(CommandTest):
    """A stream without end, stopped once some rows are there."""

    def stop_midway(self, number, *words, rows_at=None, **more):
        process = self.start("embed", *words, stdin=subprocess.PIPE, **more)
        os.set_blocking(process.stdin.fileno(), False)
        sent = 0
        deadline = time.monotonic() + 60
        while not rows_at():
            self.assertLess(time.monotonic(), deadline, "no row came")
            chunk = "".join(TEXT.format(sent + i) + "\n" for i in range(64)).encode()
            try:
                if os.write(process.stdin.fileno(), chunk) == len(chunk):
                    sent += 64
                else:
                    break  # the pipe is full: a line was cut, so this is the last
            except BlockingIOError:
                time.sleep(0.01)
        while not rows_at():
            self.assertLess(time.monotonic(), deadline, "no row came")
            time.sleep(0.01)
        process.send_signal(number)
        return self.ends(process, 130)

    def grown(self, name, size):
        """Whether the file that is being written has `size` bytes."""
        def look():
            return any(path.stat().st_size >= size for path in self.dir.glob(name + "*"))
        return look

    def expect_first_rows(self, rows, said):
        match = re.search(r"the first (\d+) rows, whole", said)
        self.assertIsNotNone(match, said)
        self.assertEqual(len(rows), int(match[1]))
        self.assertGreater(len(rows), 0)
        texts = self.path("again", [TEXT.format(i) for i in range(len(rows))])
        self.assertEqual(rows, vectors(self.succeeds("embed", texts).stdout))

    def test_ctrl_c_leaves_an_npy_file_of_whole_rows(self):
        said = self.stop_midway(signal.SIGINT, "-o", "out", rows_at=self.grown("out", 2000))
        self.expect_first_rows(npy(self.path("out").read_bytes()), said)

    def test_sigterm_does_the_same_for_jsonl(self):
        said = self.stop_midway(signal.SIGTERM, "-o", "out", "--format", "jsonl",
                                rows_at=self.grown("out", 2000))
        self.expect_first_rows(vectors(self.path("out").read_bytes()), said)

    def test_ctrl_c_patches_standard_output_that_is_a_file(self):
        with open(self.path("out"), "wb") as out:
            said = self.stop_midway(signal.SIGINT, rows_at=self.grown("out", 2000), stdout=out)
        self.expect_first_rows(npy(self.path("out").read_bytes()), said)

    def test_sigint_counts_where_a_script_had_it_ignored(self):
        said = self.stop_midway(signal.SIGINT, "-o", "out", rows_at=self.grown("out", 2000),
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        self.expect_first_rows(npy(self.path("out").read_bytes()), said)

    def test_before_the_first_row_the_earlier_file_stays(self):
        out = self.path("out", b"earlier")
        process = self.start("embed", "-o", "out", stdin=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while not list(self.dir.glob("out.part.*")):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        self.assertIn("before the first row", self.ends(process, 130))
        self.assertEqual(out.read_bytes(), b"earlier")
        self.assertEqual([path.name for path in self.dir.iterdir()], ["out"])


class Broken(CommandTest):
    def test_a_failure_leaves_the_earlier_file(self):
        out = self.path("out", b"earlier")
        texts = self.path("texts", b'{"text":"a"}\nno\n')
        self.fails(1, "embed", "--jsonl", texts, "-o", "out")
        self.assertEqual(out.read_bytes(), b"earlier")

    def test_a_failure_empties_standard_output_that_is_a_file(self):
        texts = self.path("texts", [f'{{"text":"{i}"}}' for i in range(5000)] + ["no"])
        for form in ("npy", "jsonl", "csv", "f32"):
            with open(self.path("out"), "wb") as out:
                done = self.run_command("embed", "--jsonl", texts, "--format", form, stdout=out)
            self.assertEqual(done.returncode, 1)
            self.assertIn("texts:5001: ", done.stderr)
            self.assertEqual(self.path("out").read_bytes(), b"")

    def test_a_full_disk_is_said(self):
        texts = self.path("texts", [TEXT.format(i) for i in range(3000)])
        for form in ("npy", "jsonl", "csv", "f32"):
            self.fails(1, "embed", texts, "-o", "/dev/full", "--format", form, "--count", 3000,
                       says=["/dev/full: No space left on device"])
            with open("/dev/full", "wb") as full:
                self.fails(1, "embed", texts, "--format", form, "--count", 3000, stdout=full,
                           says=["standard output: No space left on device"])

    def test_a_small_file_on_a_full_disk_is_said_too(self):
        self.fails(1, "embed", "-o", "/dev/full", input=b"a\n", says=["No space left"])
        with open("/dev/full", "wb") as full:
            self.fails(1, "tokenize", input=b"a\n", stdout=full, says=["No space left"])
            self.fails(1, "info", stdout=full)
            self.fails(1, "info", "--json", stdout=full)

    def test_a_file_size_limit_leaves_nothing(self):
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
        texts = self.path("texts", [TEXT.format(i) for i in range(3000)])
        self.fails(1, "embed", texts, "-o", "out", preexec_fn=limit, says=["out: File too large"])

    def test_a_closed_pipe_is_said(self):
        texts = self.path("texts", [TEXT.format(i) for i in range(20000)])
        for command in ("embed", "tokenize"):
            process = self.start(command, texts, stdout=subprocess.PIPE)
            self.assertNotEqual(process.stdout.readline(), b"")
            process.stdout.close()
            self.assertIn("closed the pipe", self.ends(process, 1))

    def test_what_cannot_be_opened_is_named(self):
        texts = self.path("texts", ["a"])
        self.fails(1, "embed", "missing.txt", says=["missing.txt: No such file"])
        self.fails(1, "embed", texts, "missing.txt", "-o", "out", says=["missing.txt"])
        self.fails(1, "embed", ".", says=[".: is a directory"])
        self.fails(1, "embed", texts, "-o", "missing/out", says=["missing/out: No such file"])
        self.fails(1, "embed", texts, "-o", ".", says=[".: is a directory"])

    def test_a_model_that_cannot_be_opened_is_named(self):
        self.fails(1, "embed", "-m", "missing", input=b"a\n", says=["missing"])
        del self.environment["FBY_MODEL"]
        self.fails(1, "embed", input=b"a\n", says=["--model", "FBY_MODEL", "make model"])
        self.path("models").mkdir()
        os.symlink(REAL_MODEL, self.dir / "models" / "all-MiniLM-L6-v2")
        self.assertEqual(len(vectors(self.succeeds("embed", input=b"a\n").stdout)[0]), 384)


class Memory(CommandTest):
    def peak_kib(self, content, repeats, *words):
        """Peak resident memory of embed while `content` goes through it so many times."""
        process = subprocess.Popen([FOREBAY, "embed", "--format", "f32", *words], cwd=self.dir,
                                   env=self.environment, stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(repeats):
            process.stdin.write(content)
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        return usage.ru_maxrss

    def test_a_stream_of_200_mb_takes_no_more_memory_than_a_tenth_of_it(self):
        content = b"".join(b"%d " % i * 50 + b"word " * (i % 700) + b"\n" for i in range(560))
        repeats = 200 * 1000 * 1000 // len(content) + 1
        some = self.peak_kib(content, repeats // 10)
        all_of_it = self.peak_kib(content, repeats)
        self.assertLess(all_of_it, some + 8 * 1024)

    def test_long_lines_take_a_few_times_their_length(self):
        small = self.peak_kib(b"a\n", 1)
        large = self.peak_kib(b"word " * (2 * 1000 * 1000) + b"\n", 20)  # 10 MB each
        self.assertLess(large, small + 8 * 10 * 1000)


if __name__ == "__main__":
    unittest.main()
